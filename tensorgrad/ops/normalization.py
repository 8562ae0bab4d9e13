"""Layer and root-mean-square normalisation over the last axes, one kernel in either direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorgrad._native import NULL, Storage, allocate, fail, lib
from tensorgrad._tensor import Tensor, copy_raw, empty_raw
from tensorgrad.autograd import Case, is_grad_enabled, op
from tensorgrad.dtypes import F64, ITEMSIZES
from tensorgrad.errors import DTypeError, ShapeError
from tensorgrad.ops.moments import var
from tensorgrad.ops.pointwise import rsqrt, square
from tensorgrad.ops.reductions import mean, prod_of, sum
from tensorgrad.shapes import Shape


def _check(x: Tensor, parameter: Tensor | None, shape: Shape, where: str, name: str) -> None:
    """Raises ShapeError, DTypeError for a weight or bias that does not fit."""
    if parameter is None:
        return
    if parameter._shape != shape:
        raise ShapeError(f"{where}: expected a {name} of shape {shape}, got {parameter._shape}")
    if parameter._code != x._code:
        raise DTypeError(f"{where}: expected a {name} of {x.dtype}, got {parameter.dtype}")


def _normalized(x: Tensor, axes: int, where: str) -> Shape:
    """The lengths of the last `axes` axes of x. Raises ShapeError, DTypeError."""
    if not 1 <= axes <= len(x._shape):
        raise ShapeError(f"{where}: expected x with at least {axes} axes, got {x._shape}")
    if x._code > F64:
        raise DTypeError(f"{where}: expected a float x, got {x.dtype}")
    return x._shape[-axes:]


def _pointer(t: Tensor | None) -> Any:
    return NULL if t is None else t._ptr


def _contiguous(t: Tensor | None) -> Any:
    return t if t is None or t._strides is None else copy_raw(t)


def _like(t: Tensor) -> Tensor:
    return empty_raw(t._shape, prod_of(t._shape), t._code)


def _in_ops(
    gy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    eps: float,
    axes: int,
    centered: bool,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The three gradients, to be differentiated again."""
    last = tuple(range(-axes, 0))
    rows = tuple(range(len(x._shape) - axes))
    if centered:
        h = (x - mean(x, last, True)) * rsqrt(var(x, last, 0, True) + eps)
        scale = rsqrt(var(x, last, 0, True) + eps)
    else:
        scale = rsqrt(mean(square(x), last, True) + eps)
        h = x * scale
    gx = None
    if needs[0]:
        g = gy if weight is None else gy * weight
        gx = g - h * mean(g * h, last, True)
        gx = scale * (gx - mean(g, last, True) if centered else gx)
    gw = sum(gy * h, rows) if needs[1] else None
    return gx, gw, sum(gy, rows) if needs[2] else None


def _layer_norm_gradient(
    gy: Tensor,
    y: Any,
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    axes: int = 1,
    *,
    extra: Storage,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if is_grad_enabled():
        return _in_ops(gy, x, weight, eps, axes, True, needs)
    x, gy, weight = _contiguous(x), _contiguous(gy), _contiguous(weight)
    gx = _like(x) if needs[0] else None
    gw = _like(weight) if needs[1] and weight is not None else None
    gb = _like(bias) if needs[2] and bias is not None else None
    cols = prod_of(x._shape[-axes:])
    status = lib.tg_layer_norm_grad(
        x._code,
        x._size // cols if cols else 0,
        cols,
        gy._ptr,
        x._ptr,
        _pointer(weight),
        extra.ptr,
        _pointer(gx),
        _pointer(gw),
        _pointer(gb),
    )
    if status:
        fail(status, "layer_norm", *(t._storage for t in (gx, gw, gb) if t is not None))
    return gx, gw, gb


def _layer_norm_reference(x, weight=None, bias=None, eps=1e-5, axes=1):  # type: ignore[no-untyped-def]
    last = tuple(range(-axes, 0))
    h = (x - x.mean(last, keepdims=True)) / np.sqrt(x.var(last, keepdims=True) + eps)
    h = h if weight is None else h * weight
    return h if bias is None else h + bias


@op(
    gradient=_layer_norm_gradient,
    saves=("x", "weight"),
    reference=_layer_norm_reference,
    cases=(
        Case((3, 5), (5,), (5,)),
        Case((2, 3, 40), (40,), (40,), eps=1e-3),
        Case((4, 3), None, None),
        Case((4, 3), (3,), None),
        Case((2, 3, 4), (3, 4), (3, 4), axes=2),
        Case((6,), (6,), (6,)),
        Case((0, 3), (3,), (3,)),
    ),
    method=False,
    kernel_only=True,
)
def layer_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    /,
    eps: float = 1e-5,
    axes: int = 1,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, mean and variance over the last `axes` axes
    (Ba, Kiros, Hinton 2016).

    x: (..., *shape), float; weight, bias: (*shape) of x's dtype, or None, shape being the lengths
    of the last `axes` axes. Returns (..., *shape). Raises ShapeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.layer_norm(tensorgrad.tensor([[1.0, 3.0]]), eps=0.0)
    tensor([[-1.,  1.]])
    """
    shape = _normalized(x, axes, "layer_norm")
    _check(x, weight, shape, "layer_norm", "weight")
    _check(x, bias, shape, "layer_norm", "bias")
    x, weight, bias = _contiguous(x), _contiguous(weight), _contiguous(bias)
    code, size = x._code, x._size
    cols = prod_of(shape)
    rows = size // cols if cols else 0
    y = empty_raw(x._shape, size, code)
    saved = allocate(2 * rows * ITEMSIZES[code])
    status = lib.tg_layer_norm(
        code, rows, cols, x._ptr, _pointer(weight), _pointer(bias), eps, y._ptr, saved.ptr
    )
    if status:
        fail(status, "layer_norm", y._storage, saved)
    return y, saved  # type: ignore[return-value]


def _rms_norm_gradient(
    gy: Tensor,
    y: Any,
    x: Tensor,
    weight: Tensor | None = None,
    eps: float = 1e-6,
    axes: int = 1,
    *,
    extra: Storage,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    if is_grad_enabled():
        return _in_ops(gy, x, weight, eps, axes, False, (*needs, False))[:2]
    x, gy, weight = _contiguous(x), _contiguous(gy), _contiguous(weight)
    gx = _like(x) if needs[0] else None
    gw = _like(weight) if needs[1] and weight is not None else None
    cols = prod_of(x._shape[-axes:])
    status = lib.tg_rms_norm_grad(
        x._code,
        x._size // cols if cols else 0,
        cols,
        gy._ptr,
        x._ptr,
        _pointer(weight),
        extra.ptr,
        _pointer(gx),
        _pointer(gw),
    )
    if status:
        fail(status, "rms_norm", *(t._storage for t in (gx, gw) if t is not None))
    return gx, gw


def _rms_norm_reference(x, weight=None, eps=1e-6, axes=1):  # type: ignore[no-untyped-def]
    h = x / np.sqrt(np.mean(x * x, tuple(range(-axes, 0)), keepdims=True) + eps)
    return h if weight is None else h * weight


@op(
    gradient=_rms_norm_gradient,
    saves=("x", "weight"),
    reference=_rms_norm_reference,
    cases=(
        Case((3, 5), (5,)),
        Case((2, 3, 40), (40,), eps=1e-3),
        Case((4, 3), None),
        Case((2, 3, 4), (3, 4), axes=2),
        Case((0, 3), (3,)),
    ),
    method=False,
    kernel_only=True,
)
def rms_norm(
    x: Tensor, weight: Tensor | None = None, /, eps: float = 1e-6, axes: int = 1
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, the mean over the last `axes` axes (Zhang, Sennrich
    2019).

    x: (..., *shape), float; weight: (*shape) of x's dtype, or None, shape being the lengths of the
    last `axes` axes. Returns (..., *shape). Raises ShapeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.rms_norm(tensorgrad.tensor([[1.0, -1.0]]), eps=0.0)
    tensor([[ 1., -1.]])
    """
    shape = _normalized(x, axes, "rms_norm")
    _check(x, weight, shape, "rms_norm", "weight")
    x, weight = _contiguous(x), _contiguous(weight)
    code, size = x._code, x._size
    cols = prod_of(shape)
    rows = size // cols if cols else 0
    y = empty_raw(x._shape, size, code)
    saved = allocate(rows * ITEMSIZES[code])
    status = lib.tg_rms_norm(code, rows, cols, x._ptr, _pointer(weight), eps, y._ptr, saved.ptr)
    if status:
        fail(status, "rms_norm", y._storage, saved)
    return y, saved  # type: ignore[return-value]


__all__ = ["layer_norm", "rms_norm"]
