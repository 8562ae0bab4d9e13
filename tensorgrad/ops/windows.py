"""Sliding windows: views in which an element is several times."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._tensor import Tensor, as_tensor, view, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.shapes import Shape, as_shape, normalize_axis


def _unfold_reference(x: np.ndarray, axis: int, size: int, step: int) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis)
    return windows[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)]


@op(
    gradient=lambda gy, y, x, axis, size, step=1: unfold_gradient(gy, x.shape, axis, size, step),
    reference=_unfold_reference,
    cases=(
        Case((7,), axis=0, size=3, step=1),
        Case((7,), axis=0, size=3, step=2),
        Case((7, 2), axis=0, size=2, step=3),
        Case((2, 5), axis=-1, size=5, step=1),
        Case((2, 5, 2), axis=1, size=1, step=2),
    ),
    view=True,
)
def unfold(x: Tensor, axis: int, size: int, step: int = 1) -> Tensor:
    """All windows of `size` elements along an axis, each `step` after the one before: a view, as
    PyTorch's. x: (..., n, ...). Returns (..., (n - size) // step + 1, ..., size): the window as a
    last axis. The gradient sums where windows overlap. Raises ShapeError, ArgumentError.

    >>> import tensorgrad
    >>> tensorgrad.unfold(tensorgrad.arange(5), 0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    axis = normalize_axis(axis, len(x._shape), "unfold")
    n = x._shape[axis]
    if step < 1:
        raise ArgumentError(f"unfold: expected a step >= 1, got {step}")
    if not 0 <= size <= n:
        raise ShapeError(f"unfold: expected a size in [0, {n}] for shape {x._shape}, got {size}")
    strides = x.strides
    shape = (*x._shape[:axis], (n - size) // step + 1, *x._shape[axis + 1 :], size)
    return view(
        x, shape, (*strides[:axis], strides[axis] * step, *strides[axis + 1 :], strides[axis]), 0
    )


def _unfold_gradient_reference(
    gy: np.ndarray, shape: Shape, axis: int, size: int, step: int
) -> Any:
    gx = np.zeros(shape, gy.dtype)
    places = _unfold_reference(np.arange(gx.size).reshape(shape), axis, size, step)
    np.add.at(gx.reshape(-1), places, gy)
    return gx


@op(
    gradient=lambda g, gx, gy, shape, axis, size, step=1: unfold(g, axis, size, step),
    reference=_unfold_gradient_reference,
    cases=(
        Case((3, 3), shape=(7,), axis=0, size=3, step=2),
        Case((2, 2, 4), shape=(2, 5), axis=-1, size=4, step=1),
        Case((4, 2, 1), shape=(4, 3), axis=1, size=1, step=2),
    ),
    method=False,
    kernel="NumPy",
)
def unfold_gradient(gy: Tensor, shape: Shape, axis: int, size: int, step: int = 1) -> Tensor:
    """Zeros of `shape` to which windows along an axis are added: the gradient of `unfold`.

    >>> import tensorgrad
    >>> tensorgrad.ops.unfold_gradient(tensorgrad.ones((2, 3)), (5,), 0, 3, 2)
    tensor([1., 1., 2., 1., 1.])
    """
    axis = normalize_axis(axis, len(shape), "unfold")
    return wrap_array(_windows_added(gy._array(), shape, axis, size, step))


@one_step
def _windows_added(gy: np.ndarray, shape: Shape, axis: int, size: int, step: int) -> np.ndarray:
    gx = np.zeros(shape, gy.dtype)
    sums = np.moveaxis(gx, axis, 0)
    windows = np.moveaxis(gy, (axis, -1), (0, 1))  # (positions, size, ...)
    count = windows.shape[0]
    if size <= count:  # the same element of all windows at once
        for i in range(size):
            sums[i : i + (count - 1) * step + 1 : step] += windows[:, i]
    else:
        for i in range(count):
            sums[i * step : i * step + size] += windows[i]
    return gx


@composite(
    reference=np.lib.stride_tricks.sliding_window_view,
    cases=(
        Case((6,), window_shape=3),
        Case((3, 4), window_shape=(2, 2)),
        Case((3, 4), window_shape=2, axis=1),
        Case((3, 5), window_shape=(2, 3), axis=(1, 1)),
    ),
)
def sliding_window_view(x: Tensor, window_shape: Any, axis: Any = None) -> Tensor:
    """All windows of a shape, as in NumPy: a view. window_shape: an integer or several; axis: that of
    each (None: all axes in order). Returns the positions, then the windows' axes. Raises
    ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.sliding_window_view(tensorgrad.arange(4), 3)
    tensor([[0, 1, 2],
            [1, 2, 3]])
    """
    x = as_tensor(x, "sliding_window_view")
    sizes = as_shape(window_shape, "sliding_window_view")
    axes = (
        range(len(x.shape)) if axis is None else axis if isinstance(axis, (tuple, list)) else [axis]
    )
    if len(axes) != len(sizes):
        raise ShapeError(
            f"sliding_window_view: expected a length for each of {len(axes)} axes, got {sizes}"
        )
    ndim = len(x.shape)
    for a, size in zip([normalize_axis(a, ndim, "sliding_window_view") for a in axes], sizes):
        x = unfold(x, a, size, 1)
    return x


__all__ = ["sliding_window_view", "unfold", "unfold_gradient"]
