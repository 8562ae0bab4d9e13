"""The tape, grad modes, and the declaration of ops. Knows no concrete op."""

from tensorgrad.autograd._declare import Case, Op, composite, op, registry
from tensorgrad.autograd._functional import grad
from tensorgrad.autograd._modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tensorgrad.autograd._tape import Leaf, Node

__all__ = [
    "Case",
    "Leaf",
    "Node",
    "Op",
    "composite",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "op",
    "registry",
    "set_grad_enabled",
]
