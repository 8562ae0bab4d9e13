"""What NumPy's functions do with Tensors: `np.exp(t)`, `np.concatenate([t, u])`, `ndarray * t`.

A function of NumPy that has a counterpart here is computed by that, and recorded. Any other is
computed by NumPy, on the tensors' arrays, if nothing in it is on the tape, and refused otherwise: its
gradient would be lost."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad._tensor import Tensor, wrap_array
from tensorgrad.autograd._modes import mode
from tensorgrad.dtypes import CODES
from tensorgrad.errors import GradientError, TensorgradError

# where NumPy's name is another than ours
_NAMES = {
    "absolute": "abs",
    "amax": "max",
    "amin": "min",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "around": "round",
    "concatenate": "concat",
    "conjugate": "conj",
    "cross": "linalg.cross",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "power": "pow",
    "ravel": "flatten",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
    "divide": "div",
    "multiply": "mul",
    "negative": "neg",
    "subtract": "sub",
    "true_divide": "div",
}
# functions of NumPy, beside its ufuncs, whose arguments mean what ours do
_FUNCTIONS = frozenset(
    [
        "all",
        "amax",
        "amin",
        "any",
        "argmax",
        "argmin",
        "argsort",
        "argwhere",
        "around",
        "atleast_1d",
        "atleast_2d",
        "atleast_3d",
        "broadcast_arrays",
        "broadcast_to",
        "clip",
        "concatenate",
        "cross",
        "count_nonzero",
        "cumprod",
        "cumsum",
        "cumulative_prod",
        "cumulative_sum",
        "diag",
        "diagonal",
        "diff",
        "dot",
        "einsum",
        "expand_dims",
        "flip",
        "inner",
        "isin",
        "kron",
        "linalg.cholesky",
        "linalg.cond",
        "linalg.cross",
        "linalg.det",
        "linalg.diagonal",
        "linalg.eigh",
        "linalg.eigvalsh",
        "linalg.inv",
        "linalg.lstsq",
        "linalg.matrix_norm",
        "linalg.matrix_power",
        "linalg.matrix_rank",
        "linalg.norm",
        "linalg.outer",
        "linalg.pinv",
        "linalg.qr",
        "linalg.slogdet",
        "linalg.solve",
        "linalg.svd",
        "linalg.svdvals",
        "linalg.trace",
        "linalg.vector_norm",
        "matrix_transpose",
        "max",
        "mean",
        "median",
        "meshgrid",
        "min",
        "moveaxis",
        "nanmax",
        "nanmean",
        "nanmedian",
        "nanmin",
        "nanprod",
        "nanquantile",
        "nanstd",
        "nansum",
        "nanvar",
        "nonzero",
        "outer",
        "pad",
        "permute_dims",
        "prod",
        "quantile",
        "ravel",
        "repeat",
        "reshape",
        "roll",
        "rot90",
        "round",
        "searchsorted",
        "sinc",
        "sort",
        "split",
        "squeeze",
        "stack",
        "std",
        "sum",
        "swapaxes",
        "take",
        "take_along_axis",
        "tensordot",
        "tile",
        "transpose",
        "tril",
        "triu",
        "unstack",
        "var",
        "vdot",
        "vecdot",
        "where",
        "fft.fft",
        "fft.fftn",
        "fft.fftshift",
        "fft.hfft",
        "fft.ifft",
        "fft.ifftn",
        "fft.ifftshift",
        "fft.ihfft",
        "fft.irfft",
        "fft.irfftn",
        "fft.rfft",
        "fft.rfftn",
        "copy",
        "ones_like",
        "zeros_like",
        "full_like",
        "empty_like",
    ]
)
_KEYWORDS = {
    **{name: {"ddof": "correction"} for name in ("nanstd", "nanvar", "std", "var")},
    "clip": {"a_min": "min", "a_max": "max"},
}
# ufunc.reduce, by the ufunc
_REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}


def _counterpart(name: str) -> Callable[..., Any] | None:
    found: Any = tensorgrad
    for part in _NAMES.get(name, name).split("."):
        found = getattr(found, part, None)
    return found


@cache
def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:  # written in C
        return []


def _by_name(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the third and those after it by name, since ours come in another order, but
    for those that are what they are by default, since ours need not know them."""
    extra = _parameters(function)[2 : len(args)]
    if len(extra) < len(args) - 2 or any(p.kind != p.POSITIONAL_OR_KEYWORD for p in extra):
        return args, kwargs
    given = {p.name: v for p, v in zip(extra, args[2:], strict=True) if v is not p.default}
    return args[:2], {**given, **kwargs}


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, (tuple, list)):
        return [t for value in values for t in _tensors(value)]
    if isinstance(values, dict):
        return _tensors(list(values.values()))
    return []


def _arrays(values: Any) -> Any:
    """The same with arrays in place of tensors."""
    if isinstance(values, Tensor):
        return values._array()
    if isinstance(values, (tuple, list)):
        return type(values)(_arrays(value) for value in values)
    if isinstance(values, dict):
        return {key: _arrays(value) for key, value in values.items()}
    return values


def _wrapped(result: Any) -> Any:
    if isinstance(result, np.ndarray) and result.dtype in CODES:
        return wrap_array(result)
    if isinstance(result, (tuple, list)):
        return type(result)(_wrapped(part) for part in result)
    return result


def _by_numpy(function: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """The function on the tensors' arrays."""
    tensors = _tensors([args, kwargs])
    if mode.enabled and any(t.requires_grad for t in tensors):
        raise GradientError(
            f"np.{name}: a tensor requires grad, and tensorgrad has no such function (or not with "
            "these arguments) to record; call it on t.detach() if no gradient is wanted"
        )
    for target in _tensors(kwargs.get("out")):
        target._writable(f"np.{name}")
    result = function(*_arrays(args), **_arrays(kwargs))
    out = kwargs.get("out")
    if out is None:
        return _wrapped(result)
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


def array_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`Tensor.__array_ufunc__`."""
    name = ufunc.__name__
    out = kwargs.pop("out", None)
    ours = None
    if method == "__call__" and not kwargs:
        ours = _counterpart(name)
    elif method == "reduce" and kwargs.keys() <= {"axis", "keepdims"}:
        ours = _counterpart(_REDUCTIONS.get(name, "no such function"))
        kwargs = {"axis": 0, **kwargs}  # ufunc.reduce is over the first axis unless told
    if ours is None:
        if out is not None:
            kwargs["out"] = out
        called = ufunc if method == "__call__" else getattr(ufunc, method)
        where = name if method == "__call__" else f"{name}.{method}"
        return _by_numpy(called, where, tuple(inputs), kwargs)
    result = ours(*inputs, **kwargs)
    if out is None:
        return result
    (target,) = out
    if isinstance(target, Tensor):
        return target.copy_(result)
    if result.requires_grad:
        raise GradientError(
            f"np.{name}: the result requires grad and an array cannot record; write to a Tensor, or "
            "use t.detach()"
        )
    np.copyto(target, result._array(), casting="same_kind")
    return target


def array_function(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """`Tensor.__array_function__`."""
    module = (function.__module__ or "numpy").removeprefix("numpy").lstrip(".")
    name = f"{module}.{function.__name__}" if module in ("linalg", "fft") else function.__name__
    ours = _counterpart(name) if name in _FUNCTIONS else None
    if ours is not None:
        renamed = _KEYWORDS.get(name, {})
        first, named = _by_name(function, args, kwargs) if len(args) > 2 else (args, kwargs)
        try:
            return ours(*first, **{renamed.get(key, key): value for key, value in named.items()})
        except TypeError as error:
            if isinstance(error, TensorgradError):
                raise
    return _by_numpy(function, name, args, kwargs)


__all__ = ["array_function", "array_ufunc"]
