"""The tape, grad modes, and the declaration of ops. Knows no concrete op."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tensorgrad.autograd._declare import Case, Op, composite, op, registry
from tensorgrad.autograd._functional import grad
from tensorgrad.autograd._hooks import RemovableHandle
from tensorgrad.autograd._modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tensorgrad.autograd._tape import Leaf, Node

if TYPE_CHECKING:
    from tensorgrad.autograd import functional
    from tensorgrad.autograd._anomaly import detect_anomaly
    from tensorgrad.autograd._checkpoint import checkpoint
    from tensorgrad.autograd._function import Function, once_differentiable
    from tensorgrad.autograd._saved import saved_tensors_hooks

_LATER = {  # loaded when first asked for
    "Function": "_function",
    "checkpoint": "_checkpoint",
    "detect_anomaly": "_anomaly",
    "functional": "",
    "once_differentiable": "_function",
    "saved_tensors_hooks": "_saved",
}


if not TYPE_CHECKING:  # a type checker sees the imports above and below

    def __getattr__(name: str) -> Any:
        module = _LATER.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = import_module(f"{__name__}.{module or name}")
        value = getattr(found, name) if module else found
        globals()[name] = value
        return value


__all__ = [
    "Case",
    "Function",
    "Leaf",
    "Node",
    "Op",
    "RemovableHandle",
    "checkpoint",
    "composite",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "op",
    "registry",
    "saved_tensors_hooks",
    "set_grad_enabled",
]
