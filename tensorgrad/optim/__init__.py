"""Optimizers: PyTorch's names and meanings."""

from tensorgrad.optim import lr_scheduler
from tensorgrad.optim._optimizer import Optimizer
from tensorgrad.optim._sgd import SGD

__all__ = ["SGD", "Optimizer", "lr_scheduler"]
