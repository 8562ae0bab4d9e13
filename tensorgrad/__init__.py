"""tensorgrad: a small, fast tensor autodiff framework for the CPU."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tensorgrad import autograd, data, errors, nn, ops, optim
from tensorgrad._config import __version__, get_include, show_config
from tensorgrad._native import (
    get_num_threads,
    memory_stats,
    release_memory,
    set_memory_limit,
    set_num_threads,
)
from tensorgrad._tensor import Tensor
from tensorgrad.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tensorgrad.dtypes import (
    bool_,
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tensorgrad.errors import *
from tensorgrad.ops import *
from tensorgrad.random import (
    Generator,
    bernoulli,
    default_generator,
    manual_seed,
    normal,
    rand,
    randn,
    randperm,
    uniform,
)

if TYPE_CHECKING:
    from tensorgrad import fft, linalg

_LAZY_MODULES = frozenset(("fft", "linalg"))  # imported when they are first asked for


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"tensorgrad.{name}")
    raise AttributeError(f"module 'tensorgrad' has no attribute {name!r}")


__all__ = [
    *errors.__all__,
    *ops.__all__,
    "Generator",
    "Tensor",
    "__version__",
    "autograd",
    "bernoulli",
    "bool_",
    "complex64",
    "complex128",
    "data",
    "default_generator",
    "enable_grad",
    "errors",
    "fft",
    "float32",
    "float64",
    "get_include",
    "get_num_threads",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "linalg",
    "manual_seed",
    "memory_stats",
    "nn",
    "no_grad",
    "normal",
    "ops",
    "optim",
    "rand",
    "randn",
    "randperm",
    "release_memory",
    "set_grad_enabled",
    "set_memory_limit",
    "set_num_threads",
    "show_config",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uniform",
]
