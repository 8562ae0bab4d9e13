"""Transformations of functions: derivatives, and vmap, which makes functions of single elements ones
of batches. Arguments and results may be tuples, lists and dicts of Tensors."""

from __future__ import annotations

from tensorgrad.func._modules import functional_call
from tensorgrad.func._transforms import grad, hessian, jacfwd, jacrev, jvp, value_and_grad, vjp
from tensorgrad.func._vmap import vmap

__all__ = [
    "functional_call",
    "grad",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "value_and_grad",
    "vjp",
    "vmap",
]
