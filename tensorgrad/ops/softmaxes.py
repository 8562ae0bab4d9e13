"""softmax, log_softmax and logsumexp, each one kernel in either direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._native import SOFTMAX, fail, lib
from tensorgrad._tensor import Tensor, copy_raw, empty_raw
from tensorgrad.autograd import Case, is_grad_enabled, op
from tensorgrad.dtypes import F64, float32
from tensorgrad.errors import ShapeError
from tensorgrad.ops.pointwise import exp
from tensorgrad.ops.reductions import CASES as REDUCTION_CASES
from tensorgrad.ops.reductions import expand, prod_of
from tensorgrad.ops.shaping import swapaxes, transpose
from tensorgrad.shapes import normalize_axes, normalize_axis, reduced_shape

CASES = (
    Case((3, 5)),
    Case((2, 3, 4), axis=1),
    Case((4,)),
    Case((3, 1), axis=0),
    Case((0, 3)),
    Case((2, 3), axis=0),
)


def _rows(x: Tensor, axis: int, name: str) -> tuple[Tensor, int]:
    """x with the axis last and contiguous, and the axis normalized. Off the tape."""
    if not x._shape:
        raise ShapeError(f"{name}: expected at least 1 axis, got a tensor without axes")
    i = normalize_axis(axis, len(x._shape), name)
    if i != len(x._shape) - 1:
        x = swapaxes(x, i, -1)
    return (x if x._strides is None else copy_raw(x)), i


def _back(y: Tensor, axis: int) -> Tensor:
    return y if axis == len(y._shape) - 1 else copy_raw(swapaxes(y, axis, -1))


def _forward(name: str, x: Tensor, axis: int) -> Tensor:
    if x._code > F64:
        x = x.astype(float32)
    x, i = _rows(x.detach() if x._node is not None else x, axis, name)
    y = empty_raw(x._shape, x._size, x._code)
    columns = x._shape[-1]
    status = lib.tg_softmax(
        SOFTMAX[name], x._code, x._size // columns if columns else 0, columns, x._ptr, y._ptr
    )
    if status:
        fail(status, name, y._storage)
    return _back(y, i)


def _backward(name: str, gy: Tensor, y: Tensor, axis: int) -> Tensor:
    gy, i = _rows(gy.detach() if gy._node is not None else gy, axis, name)
    y, _ = _rows(y.detach() if y._node is not None else y, axis, name)
    gx = empty_raw(y._shape, y._size, y._code)
    columns = y._shape[-1]
    status = lib.tg_softmax_grad(
        SOFTMAX[name],
        y._code,
        y._size // columns if columns else 0,
        columns,
        gy._ptr,
        y._ptr,
        gx._ptr,
    )
    if status:
        fail(status, name, gx._storage)
    return _back(gx, i)


def softmax_reference(x: np.ndarray, axis: int = -1) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


@op(
    gradient=lambda gy, y, x, axis=-1: softmax_gradient(gy, y, axis),
    saves=("y",),
    reference=softmax_reference,
    cases=CASES,
)
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, without overflow. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.softmax(tensorgrad.tensor([1e4, 1e4]))
    tensor([0.5, 0.5])
    """
    return _forward("softmax", x, axis)


@op(
    gradient=(
        lambda g, gx, gy, y, axis=-1: softmax_gradient(g, y, axis),
        lambda g, gx, gy, y, axis=-1: (
            g * (gy - (gy * y).sum(axis, keepdims=True)) - gy * (g * y).sum(axis, keepdims=True)
        ),
    ),
    saves=("gy", "y"),
    reference=lambda gy, y, axis=-1: y * (gy - (gy * y).sum(axis=axis, keepdims=True)),
    cases=(Case((3, 5), (3, 5)), Case((2, 3, 4), (2, 3, 4), axis=1)),
    method=False,
)
def softmax_gradient(gy: Tensor, y: Tensor, axis: int = -1) -> Tensor:
    """The gradient of softmax from its output: y * (gy - sum(gy * y)). gy, y: (...). Returns (...).

    >>> import tensorgrad
    >>> tensorgrad.ops.softmax_gradient(tensorgrad.ones(2), tensorgrad.tensor([0.5, 0.5]))
    tensor([0., 0.])
    """
    return _backward("softmax", gy, y, axis)


@op(
    gradient=lambda gy, y, x, axis=-1: log_softmax_gradient(gy, y, axis),
    saves=("y",),
    reference=lambda x, axis=-1: np.log(softmax_reference(x, axis)),
    cases=CASES,
)
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along an axis, without overflow. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.log_softmax(tensorgrad.tensor([1e4, 1e4]))
    tensor([-0.6931472, -0.6931472])
    """
    return _forward("log_softmax", x, axis)


@op(
    gradient=(
        lambda g, gx, gy, y, axis=-1: g - (g * exp(y)).sum(axis, keepdims=True),
        lambda g, gx, gy, y, axis=-1: -(g * exp(y)) * gy.sum(axis, keepdims=True),
    ),
    saves=("gy", "y"),
    reference=lambda gy, y, axis=-1: gy - np.exp(y) * gy.sum(axis=axis, keepdims=True),
    cases=(Case((3, 5), (3, 5)), Case((2, 3, 4), (2, 3, 4), axis=1)),
    method=False,
)
def log_softmax_gradient(gy: Tensor, y: Tensor, axis: int = -1) -> Tensor:
    """The gradient of log_softmax from its output: gy - exp(y) * sum(gy). gy, y: (...). Returns
    (...).

    >>> import tensorgrad
    >>> tensorgrad.ops.log_softmax_gradient(tensorgrad.ones(1), tensorgrad.zeros(1))
    tensor([0.])
    """
    return _backward("log_softmax", gy, y, axis)


# ---- logsumexp -----------------------------------------------------------------------------------


def _axes_last(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, int]:
    """x contiguous with the axes last, and the number of elements along them. Off the tape."""
    kept = tuple(i for i in range(len(x._shape)) if i not in axes)
    if kept + axes != tuple(range(len(x._shape))):
        x = transpose(x, kept + axes)
    x = x if x._strides is None else copy_raw(x)
    return x, prod_of(x._shape[len(kept) :])


def _logsumexp_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False
) -> Tensor:
    axes = normalize_axes(axis, len(x._shape), "logsumexp")
    if is_grad_enabled() or axes != tuple(range(len(x._shape) - len(axes), len(x._shape))):
        return expand(gy, x._shape, axis) * exp(x - expand(y, x._shape, axis))
    x = x if x._strides is None else copy_raw(x)
    gy = gy if gy._strides is None else copy_raw(gy)
    gx = empty_raw(x._shape, x._size, x._code)
    rows = y._size
    status = lib.tg_logsumexp_grad(
        x._code, rows, x._size // rows if rows else 0, gy._ptr, x._ptr, y._ptr, gx._ptr
    )
    if status:
        fail(status, "logsumexp", gx._storage)
    return gx


@op(
    gradient=_logsumexp_gradient,
    saves=("x", "y"),
    reference=lambda x, axis=None, keepdims=False: np.log(
        np.sum(np.exp(x), axis=axis, keepdims=keepdims)
    ),
    cases=REDUCTION_CASES,
    tags=("reduction",),
)
def logsumexp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes (None: all), without overflow. x: (...), float.

    >>> import tensorgrad
    >>> tensorgrad.logsumexp(tensorgrad.tensor([1e4, 1e4]))
    tensor(10000.693)
    """
    if x._code > F64:
        x = x.astype(float32)
    axes = normalize_axes(axis, len(x._shape), "logsumexp")
    shape = reduced_shape(x._shape, axes, keepdims)
    x, n = _axes_last(x.detach() if x._node is not None else x, axes)
    rows = prod_of(shape)
    y = empty_raw(shape, rows, x._code)
    status = lib.tg_logsumexp(x._code, rows, n, x._ptr, y._ptr)
    if status:
        fail(status, "logsumexp", y._storage)
    return y


__all__ = [
    "log_softmax",
    "log_softmax_gradient",
    "logsumexp",
    "softmax",
    "softmax_gradient",
]
