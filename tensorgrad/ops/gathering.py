"""Elements chosen by integer positions along one axis, and their opposite, sums to such positions: the
C kernels that indexing, embeddings and scattering go through."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._native import fail, lib
from tensorgrad._tensor import Tensor, as_tensor, copy_raw, empty_raw, full_raw, view, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.autograd._traced import Traced
from tensorgrad.dtypes import BOOL, COMPLEX64, F64, INT64, ITEMSIZES, float32
from tensorgrad.errors import DTypeError, IndexOutOfRangeError, ShapeError
from tensorgrad.ops.shaping import reshape
from tensorgrad.shapes import (
    Shape,
    broadcast_shapes,
    broadcast_strides,
    checked_size,
    normalize_axis,
)


def axis_counts(shape: Shape, axis: int) -> tuple[int, int]:
    """The numbers of elements of the axes before `axis`, and of those after it."""
    outer = inner = 1
    for n in shape[:axis]:
        outer *= n
    for n in shape[axis + 1 :]:
        inner *= n
    return outer, inner


def check_positions(index: Tensor, length: int, where: str) -> None:
    """Raises IndexOutOfRangeError, with the first of the positions that is not in [-length,
    length)."""
    _check_positions(index._array(), length, where)


@one_step
def _check_positions(array: np.ndarray, length: int, where: str) -> None:
    array = array.reshape(-1)
    wrong = np.flatnonzero((array < -length) | (array >= length))
    if wrong.size:
        raise IndexOutOfRangeError(
            f"{where}: expected indices in [{-length}, {length}), got {array[wrong[0]]} at "
            f"position {wrong[0]}"
        )


def int64_index(index: Tensor, where: str) -> Tensor:
    """An index as a contiguous int64 tensor, off the tape. Raises DTypeError unless it holds
    integers."""
    if index._code <= BOOL or index._code >= COMPLEX64:
        raise DTypeError(f"{where}: expected integer indices, got {index.dtype}")
    index = index if index._code == INT64 else index.astype("int64")
    return index if index._strides is None else copy_raw(index)


# ---- lines ---------------------------------------------------------------------------------------


@op(
    gradient=(lambda gy, y, x, indices, axis=None: take_gradient(gy, indices, x.shape, axis), None),
    saves=("indices",),
    reference=lambda x, indices, axis=None: np.take(x, indices, axis),
    cases=(
        Case((3, 4), np.array([2, 0, 2]), axis=0),
        Case((3, 4), np.array([[1, -1], [0, 1]]), axis=1),
        Case((5,), np.array(3)),
        Case((2, 3, 2), np.array([], dtype=np.int64), axis=1),
        Case((2, 3), np.array([[5, 0, -1]])),
    ),
)
def take(x: Tensor, /, indices: Tensor, axis: int | None = None) -> Tensor:
    """The elements of x at integer positions along an axis; without an axis, in the flattened x.
    x: (..., n, ...), indices: any shape, integers in [-n, n). Returns x's shape with the indices'
    in place of n. Raises IndexOutOfRangeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.take(tensorgrad.tensor([10.0, 20.0, 30.0]), tensorgrad.tensor([2, 0]))
    tensor([30., 10.])
    """
    index = int64_index(indices, "take")
    x = x if x._strides is None else copy_raw(x)
    whole = x._shape
    if axis is None:
        whole, axis = (x._size,), 0
    else:
        axis = normalize_axis(axis, len(whole), "take")
    shape = (*whole[:axis], *index._shape, *whole[axis + 1 :])
    y = empty_raw(shape, checked_size(shape, ITEMSIZES[x._code], "take"), x._code)
    outer, inner = axis_counts(whole, axis)
    status = lib.tg_take(
        ITEMSIZES[x._code], outer, whole[axis], inner, index._size, index._ptr, x._ptr, y._ptr
    )
    if status:
        check_positions(index, whole[axis], "take")
        fail(status, "take", y._storage)
    return y


@one_step
def _take_gradient_reference(
    gy: np.ndarray, indices: np.ndarray, shape: Shape, axis: int | None = None
) -> Any:
    gx = np.zeros(shape, gy.dtype)
    where: Any = (indices,) if axis is None else (slice(None),) * axis + (indices,)
    np.add.at(gx.reshape(-1) if axis is None else gx, where, gy)
    return gx


@op(
    gradient=(lambda g, gx, gy, indices, shape, axis=None: take(g, indices, axis), None),
    saves=("indices",),
    reference=_take_gradient_reference,
    cases=(
        Case((3, 4), np.array([2, 0, 2]), shape=(3, 4), axis=0),
        Case((3, 2), np.array([1, -1]), shape=(3, 4), axis=1),
        Case((2, 2), np.array([[5, 0], [5, -1]]), shape=(2, 3)),
    ),
    method=False,
)
def take_gradient(gy: Tensor, indices: Tensor, shape: Shape, axis: int | None = None) -> Tensor:
    """Zeros of `shape` to which gy is added at positions along an axis (in the flattened result
    without one), in order: the gradient of `take`.

    >>> import tensorgrad
    >>> tensorgrad.ops.take_gradient(tensorgrad.ones(2), tensorgrad.tensor([1, 1]), (3,))
    tensor([0., 2., 0.])
    """
    index = int64_index(indices, "take")
    gy = gy if gy._strides is None else copy_raw(gy)
    size = checked_size(shape, ITEMSIZES[gy._code], "take")
    whole, place = (
        ((size,), 0) if axis is None else (shape, normalize_axis(axis, len(shape), "take"))
    )
    if gy._code > F64:
        check_positions(index, whole[place], "take")
        return wrap_array(_take_gradient_reference(gy._array(), index._array(), shape, axis))
    gx = full_raw(shape, size, gy._code, 0.0)
    outer, inner = axis_counts(whole, place)
    status = lib.tg_take_grad(
        gy._code, outer, whole[place], inner, index._size, index._ptr, gy._ptr, gx._ptr
    )
    if status:
        check_positions(index, whole[place], "take")
        fail(status, "take", gx._storage)
    return gx


# ---- elements ------------------------------------------------------------------------------------


def _spread(t: Tensor, shape: Shape) -> Tensor:
    """t broadcast to `shape`, contiguous."""
    if t._shape != shape:
        t = view(t, shape, broadcast_strides(t._shape, t.strides, shape), 0)
    return t if t._strides is None else copy_raw(t)


def _along(shape: Shape, index: Shape, axis: int, where: str) -> tuple[Shape, Shape, int]:
    """Both shapes broadcast but for `axis`, and the axis in [0, ndim). Raises ShapeError."""
    if len(shape) != len(index):
        raise ShapeError(
            f"{where}: expected indices with as many axes as x, got shapes {index} and {shape}"
        )
    axis = normalize_axis(axis, len(shape), where)
    before = broadcast_shapes(shape[:axis], index[:axis], where)
    after = broadcast_shapes(shape[axis + 1 :], index[axis + 1 :], where)
    return (*before, shape[axis], *after), (*before, index[axis], *after), axis


def _along_axis_gradient(gy: Tensor, y: Any, x: Tensor, indices: Tensor, axis: int = -1) -> Tensor:
    # of the broadcast x: the engine sums over what was repeated
    shape = (*gy.shape[: axis % gy.ndim], x.shape[axis], *gy.shape[axis % gy.ndim + 1 :])
    return take_along_axis_gradient(gy, indices, shape, axis)


@op(
    gradient=(_along_axis_gradient, None),
    saves=("indices",),
    reference=lambda x, indices, axis=-1: np.take_along_axis(x, indices, axis),
    cases=(
        Case((3, 4), np.array([[3, 0], [1, 1], [-1, 2]])),
        Case((3, 4), np.array([[2, 0, -3, 1], [2, 1, 0, 0]]), axis=0),
        Case((2, 3, 4), np.array([[[0], [2], [2], [1]]]).reshape(1, 4, 1), axis=1),
        Case((1, 3), np.array([[0], [2]]), axis=1),
        Case((3, 0), np.zeros((3, 0), np.int64)),
    ),
)
def take_along_axis(x: Tensor, indices: Tensor, /, axis: int = -1) -> Tensor:
    """y[..., i, ...] = x[..., indices[..., i, ...], ...], the place of i being `axis`: what argsort
    and argmax (with keepdims) give, applied. x: (..., n, ...), indices: integers in [-n, n), as many
    axes; shapes that broadcast but for the axis. Raises IndexOutOfRangeError, DTypeError,
    ShapeError.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([[3.0, 1.0], [5.0, 7.0]])
    >>> tensorgrad.take_along_axis(x, tensorgrad.tensor([[1], [0]]))
    tensor([[1.],
            [5.]])
    """
    where = "take_along_axis"
    whole, shape, axis = _along(x._shape, indices._shape, axis, where)
    index = _spread(int64_index(indices, where), shape)
    x = _spread(x, whole)
    y = empty_raw(shape, checked_size(shape, ITEMSIZES[x._code], where), x._code)
    outer, inner = axis_counts(shape, axis)
    status = lib.tg_gather(
        ITEMSIZES[x._code], outer, whole[axis], inner, shape[axis], index._ptr, x._ptr, y._ptr
    )
    if status:
        check_positions(index, whole[axis], where)
        fail(status, where, y._storage)
    return y


def add_along_axis(gx: np.ndarray, index: np.ndarray, gy: np.ndarray, axis: int) -> None:
    """gx[..., index[..., i, ...], ...] += gy[..., i, ...], by NumPy."""
    key: Any = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    key[axis] = index
    np.add.at(gx, tuple(key), gy)


@one_step
def _along_axis_gradient_reference(
    gy: np.ndarray, indices: np.ndarray, shape: Shape, axis: int = -1
) -> Any:
    gx = np.zeros(shape, gy.dtype)
    add_along_axis(gx, np.broadcast_to(indices, gy.shape), gy, axis)
    return gx


@op(
    gradient=(lambda g, gx, gy, indices, shape, axis=-1: take_along_axis(g, indices, axis), None),
    saves=("indices",),
    reference=_along_axis_gradient_reference,
    cases=(
        Case((3, 2), np.array([[3, 0], [1, 1], [-1, 2]]), shape=(3, 4)),
        Case((2, 4), np.array([[2, 0, -3, 1], [2, 1, 0, 0]]), shape=(3, 4), axis=0),
    ),
    method=False,
)
def take_along_axis_gradient(gy: Tensor, indices: Tensor, shape: Shape, axis: int = -1) -> Tensor:
    """Zeros of `shape` to which gy is added at positions along an axis, in order: the gradient of
    `take_along_axis`. gy: `shape` but for the axis.

    >>> import tensorgrad
    >>> index = tensorgrad.tensor([1, 1])
    >>> tensorgrad.ops.take_along_axis_gradient(tensorgrad.ones(2), index, (3,))
    tensor([0., 2., 0.])
    """
    where = "take_along_axis"
    axis = normalize_axis(axis, len(shape), where)
    index = _spread(int64_index(indices, where), gy._shape)
    if gy._code > F64:
        check_positions(index, shape[axis], where)
        return wrap_array(_along_axis_gradient_reference(gy._array(), index._array(), shape, axis))
    gy = gy if gy._strides is None else copy_raw(gy)
    gx = full_raw(shape, checked_size(shape, ITEMSIZES[gy._code], where), gy._code, 0.0)
    outer, inner = axis_counts(shape, axis)
    status = lib.tg_scatter_add(
        gy._code, outer, shape[axis], inner, gy._shape[axis], index._ptr, gy._ptr, gx._ptr
    )
    if status:
        check_positions(index, shape[axis], where)
        fail(status, where, gx._storage)
    return gx


# ---- one-hot rows --------------------------------------------------------------------------------


@composite(
    reference=lambda index, classes=None: np.eye(classes or int(index.max()) + 1, dtype=np.float32)[
        index
    ],
    cases=(Case(np.array([0, 2, 1]), classes=3), Case(np.array([[1, 0]]), classes=2)),
    method=False,
    differentiable=False,
)
def one_hot(index: Tensor, classes: int | None = None) -> Tensor:
    """Rows of zeros with a 1 at each index. index: (...), integers in [0, classes); classes: by
    default one more than the largest. Returns (..., classes), float32. Raises
    IndexOutOfRangeError, and ShapeError for the default over nothing.

    >>> import tensorgrad
    >>> tensorgrad.one_hot(tensorgrad.tensor([1]), 3)
    tensor([[0., 1., 0.]])
    """
    if isinstance(index, Traced) and classes is not None:
        return index.apply(one_hot, (index,), {"classes": classes})
    array = as_tensor(index, "one_hot")._array()
    if array.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: expected integer indices, got {array.dtype}")
    if classes is None:
        if not array.size:
            raise ShapeError("one_hot: expected the number of classes for an index of no elements")
        classes = int(array.max()) + 1
    return reshape(wrap_array(_one_hot(array, classes)), (*array.shape, classes))


@one_step
def _one_hot(array: np.ndarray, classes: int) -> np.ndarray:
    if array.size and (array.min() < 0 or array.max() >= classes):
        raise IndexOutOfRangeError(
            f"one_hot: expected indices in [0, {classes}), got {array.min()} to {array.max()}"
        )
    result = np.zeros((array.size, classes), float32)
    result[np.arange(array.size), array.reshape(-1)] = 1
    return result


__all__ = [
    "one_hot",
    "take",
    "take_along_axis",
    "take_along_axis_gradient",
    "take_gradient",
]
