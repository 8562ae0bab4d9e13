"""Optimizers: PyTorch's names and meanings."""

from tensorgrad.optim import lr_scheduler
from tensorgrad.optim._adam import Adam, AdamW
from tensorgrad.optim._optimizer import Optimizer
from tensorgrad.optim._sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
