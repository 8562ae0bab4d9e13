"""The program behind `python -m tensorgrad`: a multilayer perceptron learns handwritten digits."""

from tensorgrad.demo._main import main

__all__ = ["main"]
