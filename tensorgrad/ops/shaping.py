"""Shapes, views and copies. A view shares its tensor's memory; its gradient goes back by the
opposite view."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, borrowed, copy_raw, empty_raw, view
from tensorgrad.autograd import Case, composite, op
from tensorgrad.dtypes import ITEMSIZES, check_device, code_of
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.shapes import (
    Shape,
    as_shape,
    broadcast_shapes,
    broadcast_strides,
    checked_size,
    contiguous_strides,
    infer_reshape,
    is_contiguous,
    normalize_axes,
    normalize_axis,
    view_strides,
)


@op(
    gradient=lambda gy, y, x, shape, copy=None: reshape(gy, x.shape),
    reference=lambda x, shape, copy=None: np.reshape(x, shape),
    cases=(
        Case((3, 4), shape=(2, 6)),
        Case((2, 3, 4), shape=(-1, 4)),
        Case((1,), shape=()),
        Case((0, 3), shape=(3, 0)),
        Case((2, 3), shape=(3, 2), copy=True),
    ),
    method=False,
    view=True,
)
def reshape(x: Tensor, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """The same elements in another shape: a view where strides allow, else a copy. shape: integers,
    one of them may be -1; copy: True for a copy in any case, False for none. Raises ShapeError if
    the sizes differ, ArgumentError if a copy is needed and not allowed.

    >>> import tensorgrad
    >>> tensorgrad.reshape(tensorgrad.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    target = infer_reshape(
        x._shape, x._size, tuple(shape) if isinstance(shape, list) else shape, "reshape"
    )
    if not copy:
        if x._strides is None:
            return view(x, target, None, 0)
        strides = view_strides(x._shape, x._strides, target)
        if strides is not None:
            return view(x, target, strides, 0)
    if copy is False:
        raise ArgumentError(
            f"reshape: a tensor of shape {x._shape} and strides {x._strides} cannot be seen as "
            f"{target} without a copy"
        )
    y = copy_raw(x)
    y._shape = target
    return y


def _reshape_method(self: Tensor, *shape: Any, copy: bool | None = None) -> Tensor:
    """`t.reshape(2, 3)` or `t.reshape((2, 3))`: see `tensorgrad.reshape`."""
    return reshape(self, shape[0] if len(shape) == 1 else shape, copy=copy)


Tensor.reshape = Tensor.view = _reshape_method


@composite(
    reference=lambda x, start_axis=0, end_axis=-1: x.reshape(
        *x.shape[:start_axis], -1, *(x.shape[end_axis + 1 :] if end_axis != -1 else ())
    ),
    cases=(
        Case((2, 3, 4)),
        Case((2, 3, 4), start_axis=1),
        Case((2, 3, 4), start_axis=0, end_axis=1),
    ),
)
def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from start_axis to end_axis merged into one. x: (...).

    >>> import tensorgrad
    >>> tensorgrad.flatten(tensorgrad.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    x = as_tensor(x, "flatten")
    if not x._shape:
        return reshape(x, (1,))
    start = normalize_axis(start_axis, len(x._shape), "flatten")
    end = normalize_axis(end_axis, len(x._shape), "flatten")
    if end < start:
        raise ShapeError(
            f"flatten: expected start_axis <= end_axis, got {start_axis} and {end_axis}"
        )
    merged = 1
    for n in x._shape[start : end + 1]:
        merged *= n
    return reshape(x, (*x._shape[:start], merged, *x._shape[end + 1 :]))


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    result = [0] * len(axes)
    for i, axis in enumerate(axes):
        result[axis] = i
    return tuple(result)


@lru_cache(4096)
def _permuted(
    shape: Shape, strides: Shape | None, axes: tuple[int, ...]
) -> tuple[Shape, Shape | None]:
    """The shape and strides of an array with its axes in another order."""
    ndim = len(shape)
    order = [normalize_axis(axis, ndim, "permute_dims") for axis in axes]
    if sorted(order) != list(range(ndim)):
        raise ShapeError(f"permute_dims: expected a permutation of {ndim} axes, got {axes}")
    if strides is None:
        strides = contiguous_strides(shape)
    new_shape, new_strides = tuple(shape[a] for a in order), tuple(strides[a] for a in order)
    return new_shape, None if is_contiguous(new_shape, new_strides) else new_strides


@op(
    gradient=lambda gy, y, x, axes: permute_dims(gy, _inverse([a % len(axes) for a in axes])),
    reference=np.transpose,
    cases=(Case((2, 3, 4), axes=(2, 0, 1)), Case((3, 4), axes=(1, 0)), Case((2, 3), axes=(0, -1))),
    view=True,
)
def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis axes[i] of x. A view. Raises
    ShapeError unless axes is a permutation.

    >>> import tensorgrad
    >>> tensorgrad.permute_dims(tensorgrad.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    order = tuple(axes)
    for axis in order:
        if axis.__class__ is not int:
            order = tuple(normalize_axis(axis, len(x._shape), "permute_dims") for axis in order)
            break
    shape, strides = _permuted(x._shape, x._strides, order)
    y = view(x, shape, None, 0)
    y._strides = strides
    return y


@op(
    gradient=lambda gy, y, x: matrix_transpose(gy),
    reference=lambda x: np.swapaxes(x, -1, -2),
    cases=(Case((3, 4)), Case((2, 3, 4)), Case((0, 3))),
    view=True,
)
def matrix_transpose(x: Tensor) -> Tensor:
    """The last two axes swapped: a view. x: (..., m, n). Returns (..., n, m). Also `x.mT`.

    >>> import tensorgrad
    >>> tensorgrad.zeros((2, 3, 4)).mT.shape
    (2, 4, 3)
    """
    shape = x._shape
    if len(shape) < 2:
        raise ShapeError(f"matrix_transpose: expected at least 2 axes, got shape {shape}")
    strides = x._strides or contiguous_strides(shape)
    return view(
        x, (*shape[:-2], shape[-1], shape[-2]), (*strides[:-2], strides[-1], strides[-2]), 0
    )


@composite(
    reference=np.transpose,
    cases=(Case((3, 4)), Case((2, 3, 4)), Case((2, 3, 4), axes=(1, 0, 2)), Case((5,))),
)
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """The axes reversed, or in the order given, as in NumPy: a view. Also `x.T`. (torch's
    transpose(i, j) is `swapaxes`.)

    >>> import tensorgrad
    >>> tensorgrad.transpose(tensorgrad.zeros((2, 3, 4))).shape
    (4, 3, 2)
    """
    x = as_tensor(x, "transpose")
    return permute_dims(x, tuple(reversed(range(len(x._shape)))) if axes is None else axes)


@composite(reference=np.swapaxes, cases=(Case((2, 3, 4), axis1=0, axis2=-1),))
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged: a view.

    >>> import tensorgrad
    >>> tensorgrad.swapaxes(tensorgrad.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    x = as_tensor(x, "swapaxes")
    order = list(range(len(x._shape)))
    i, j = (normalize_axis(a, len(order), "swapaxes") for a in (axis1, axis2))
    order[i], order[j] = order[j], order[i]
    return permute_dims(x, order)


@composite(
    reference=np.moveaxis,
    cases=(
        Case((2, 3, 4), source=0, destination=-1),
        Case((2, 3, 4), source=2, destination=0),
        Case((2, 3, 4, 1), source=(0, -1), destination=(2, 0)),
    ),
)
def moveaxis(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places, the others in their order: a view. source, destination: an
    integer each, or as many distinct ones each. Raises ShapeError, IndexOutOfRangeError.

    >>> import tensorgrad
    >>> tensorgrad.moveaxis(tensorgrad.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = as_tensor(x, "moveaxis")
    ndim = len(x.shape)
    ends = []
    for axes in (source, destination):
        given = axes if isinstance(axes, (tuple, list)) else (axes,)
        ends.append([normalize_axis(a, ndim, "moveaxis") for a in given])
        if len(set(ends[-1])) != len(ends[-1]):
            raise ShapeError(f"moveaxis: expected distinct axes, got {axes}")
    if len(ends[0]) != len(ends[1]):
        raise ShapeError(
            f"moveaxis: expected as many sources as destinations, got {source} and {destination}"
        )
    order = [a for a in range(ndim) if a not in ends[0]]
    for place, axis in sorted(zip(ends[1], ends[0])):
        order.insert(place, axis)
    return permute_dims(x, order)


@composite(
    reference=np.expand_dims,
    cases=(
        Case((3, 4), axis=0),
        Case((3, 4), axis=-1),
        Case((), axis=0),
        Case((3, 4), axis=(0, -2)),
    ),
)
def expand_dims(x: Tensor, /, axis: Any = 0) -> Tensor:
    """New axes of length 1 at the place `axis`, or the places, of the result: a view.

    >>> import tensorgrad
    >>> tensorgrad.expand_dims(tensorgrad.zeros(3), -1).shape
    (3, 1)
    """
    x = as_tensor(x, "expand_dims")
    shape = x.shape
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    places = normalize_axes(axis, len(shape) + count, "expand_dims")
    rest = iter(shape)
    return reshape(x, tuple(1 if i in places else next(rest) for i in range(len(shape) + count)))


@composite(
    reference=np.squeeze, cases=(Case((1, 3, 1)), Case((1, 3, 1), axis=0), Case((1, 3, 1), axis=-1))
)
def squeeze(x: Tensor, /, axis: Any = None) -> Tensor:
    """Axes of length 1 removed (all of them, or those named): a view. Raises ShapeError if a named
    axis is longer.

    >>> import tensorgrad
    >>> tensorgrad.squeeze(tensorgrad.zeros((1, 3, 1))).shape
    (3,)
    """
    x = as_tensor(x, "squeeze")
    if axis is None:
        return reshape(x, tuple(n for n in x._shape if n != 1))
    axes = normalize_axes(axis, len(x._shape), "squeeze")
    for a in axes:
        if x._shape[a] != 1:
            raise ShapeError(f"squeeze: expected axis {a} to have length 1, got shape {x._shape}")
    return reshape(x, tuple(n for i, n in enumerate(x._shape) if i not in axes))


@op(
    gradient=lambda gy, y, x, shape: gy,  # the engine sums over the repeated axes
    reference=np.broadcast_to,
    cases=(
        Case((4,), shape=(3, 4)),
        Case((3, 1), shape=(2, 3, 4)),
        Case((), shape=(2, 2)),
        Case((1,), shape=(0,)),
    ),
    view=True,
)
def broadcast_to(x: Tensor, /, shape: Any) -> Tensor:
    """x repeated along axes of length 1 and new leading axes: a view. Raises ShapeError if it does
    not broadcast to `shape`.

    >>> import tensorgrad
    >>> tensorgrad.broadcast_to(tensorgrad.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    target = as_shape(shape, "broadcast_to")
    checked_size(target, ITEMSIZES[x._code], "broadcast_to")
    if broadcast_shapes(x._shape, target, "broadcast_to") != target:
        raise ShapeError(
            f"broadcast_to: expected a shape that {x._shape} broadcasts to, got {target}"
        )
    return view(x, target, broadcast_strides(x._shape, x.strides, target), 0)


# ---- copies --------------------------------------------------------------------------------------


@op(
    gradient=lambda gy, y, x: gy,
    reference=np.copy,
    cases=(Case((3, 4)), Case(()), Case((0, 2))),
    method=("copy", "clone"),
)
def copy(x: Tensor) -> Tensor:
    """A contiguous copy. x: (...), any dtype.

    >>> import tensorgrad
    >>> tensorgrad.copy(tensorgrad.ones(2))
    tensor([1., 1.])
    """
    return copy_raw(x)


@op(
    gradient=lambda gy, y, x: gy,
    reference=np.ascontiguousarray,
    cases=(Case((3, 4)), Case((0, 2))),
    view=True,
)
def contiguous(x: Tensor) -> Tensor:
    """x in C order: x itself if it is so already, else a copy.

    >>> import tensorgrad
    >>> tensorgrad.contiguous(tensorgrad.zeros((2, 3)).T).strides
    (2, 1)
    """
    return x if x._strides is None else copy_raw(x)


@op(
    gradient=lambda gy, y, x, dtype, copy, device: astype(gy, x.dtype),
    reference=lambda x, dtype: x.astype(dtype),
    cases=(Case((3, 4), dtype=np.float64), Case((), dtype=np.float64)),
)
def astype(x: Tensor, dtype: Any, *, copy: bool = True, device: Any = None) -> Tensor:
    """x converted to another dtype: a copy, but x itself with copy=False if it has the dtype. The
    gradient flows between float32 and float64, and ends at an integer dtype. device: "cpu" or None.
    Raises DTypeError, ArgumentError.

    >>> import tensorgrad
    >>> tensorgrad.astype(tensorgrad.tensor([1.7]), "int64")
    tensor([1])
    """
    code = code_of(dtype, "astype")
    check_device(device, "astype")
    if x._code == code and not copy:
        return x
    y = empty_raw(x._shape, x._size, code)
    with np.errstate(
        invalid="ignore", over="ignore"
    ):  # inf and NaN to an integer are what C makes of them, as in NumPy
        np.copyto(borrowed(y), borrowed(x), casting="unsafe")
    return y


Tensor.mT = property(matrix_transpose)  # type: ignore[assignment]
Tensor.T = property(transpose)  # type: ignore[assignment]

__all__ = [
    "astype",
    "broadcast_to",
    "contiguous",
    "copy",
    "expand_dims",
    "flatten",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "reshape",
    "squeeze",
    "swapaxes",
    "transpose",
]
