"""tensorgrad: a small, fast tensor autodiff framework for the CPU."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tensorgrad import autograd, errors, nn, ops, optim
from tensorgrad._config import __version__, get_include, show_config
from tensorgrad._native import (
    get_num_threads,
    memory_stats,
    release_memory,
    set_memory_limit,
    set_num_threads,
)
from tensorgrad._tensor import Tensor
from tensorgrad.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
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

_LAZY_OPS = {name for name, module in ops._lazy.NAMES.items() if module not in ops.TOOLS}
# modules and names that are imported when they are first asked for
_LAZY_MODULES = frozenset(("compiler", "data", "fft", "func", "linalg", "viz"))
_LAZY_NAMES = dict.fromkeys(
    ("__array_namespace_info__", "can_cast", "finfo", "iinfo", "isdtype", "result_type"),
    "tensorgrad._array_api",
)
_LAZY_NAMES["compile"] = "tensorgrad.compiler"

# constants of the Array API standard; `bool` stays out of `import *`, which would hide Python's
__array_api_version__ = "2025.12"
bool = bool_
e, inf, nan, newaxis, pi = 2.718281828459045, float("inf"), float("nan"), None, 3.141592653589793


if not TYPE_CHECKING:  # a type checker sees the imports above and below

    def __getattr__(name: str) -> Any:
        if name in _LAZY_MODULES:
            return import_module(f"tensorgrad.{name}")
        if name in _LAZY_NAMES or name in _LAZY_OPS:
            found = getattr(import_module(_LAZY_NAMES.get(name, "tensorgrad.ops")), name)
            globals()[name] = found
            return found
        raise AttributeError(f"module 'tensorgrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_NAMES, *_LAZY_OPS})


if TYPE_CHECKING:  # what `from tensorgrad.ops import *` and __getattr__ give, for type checkers
    from tensorgrad import compiler, data, fft, func, linalg, viz
    from tensorgrad._array_api import (
        __array_namespace_info__,
        can_cast,
        finfo,
        iinfo,
        isdtype,
        result_type,
    )
    from tensorgrad.compiler import compile
    from tensorgrad.ops.arithmetic import *
    from tensorgrad.ops.broadcasting import *
    from tensorgrad.ops.comparisons import *
    from tensorgrad.ops.contractions import *
    from tensorgrad.ops.creation import *
    from tensorgrad.ops.cumulative import *
    from tensorgrad.ops.diagonals import *
    from tensorgrad.ops.gathering import *
    from tensorgrad.ops.indexing import *
    from tensorgrad.ops.into import matmul as matmul
    from tensorgrad.ops.joining import *
    from tensorgrad.ops.logic import *
    from tensorgrad.ops.losses import *
    from tensorgrad.ops.matrix import linear as linear
    from tensorgrad.ops.matrix import linear_activated as linear_activated
    from tensorgrad.ops.moments import *
    from tensorgrad.ops.nan_statistics import *
    from tensorgrad.ops.normalization import *
    from tensorgrad.ops.padding import *
    from tensorgrad.ops.pointwise import *
    from tensorgrad.ops.products import *
    from tensorgrad.ops.rearranging import *
    from tensorgrad.ops.reductions import *
    from tensorgrad.ops.scattering import *
    from tensorgrad.ops.sets import *
    from tensorgrad.ops.shaping import *
    from tensorgrad.ops.softmaxes import *
    from tensorgrad.ops.sorting import *
    from tensorgrad.ops.special import *
    from tensorgrad.ops.statistics import *
    from tensorgrad.ops.trigonometric import *
    from tensorgrad.ops.windows import *
    from tensorgrad.ops.writing import *

__all__ = [
    *errors.__all__,
    *ops.__all__,
    "Generator",
    "Tensor",
    "__version__",
    "autograd",
    "bernoulli",
    "bool_",
    "can_cast",
    "compile",
    "complex64",
    "complex128",
    "data",
    "default_generator",
    "e",
    "enable_grad",
    "errors",
    "finfo",
    "fft",
    "float32",
    "float64",
    "func",
    "get_include",
    "get_num_threads",
    "iinfo",
    "inf",
    "inference_mode",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "isdtype",
    "linalg",
    "manual_seed",
    "memory_stats",
    "nan",
    "newaxis",
    "nn",
    "no_grad",
    "normal",
    "ops",
    "optim",
    "pi",
    "rand",
    "randn",
    "randperm",
    "release_memory",
    "result_type",
    "set_grad_enabled",
    "set_memory_limit",
    "set_num_threads",
    "show_config",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uniform",
    "viz",
]
