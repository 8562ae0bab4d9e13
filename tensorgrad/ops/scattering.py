"""Elements read from and written to places given by index tensors, with PyTorch's meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.autograd import Case, composite
from tensorgrad.autograd._traced import traced
from tensorgrad.errors import DTypeError, IndexOutOfRangeError, ShapeError
from tensorgrad.ops.gathering import (
    add_along_axis,
    take,
    take_along_axis,
    take_along_axis_gradient,
    take_gradient,
)
from tensorgrad.ops.indexing import basic_index_gradient
from tensorgrad.ops.shaping import broadcast_to
from tensorgrad.ops.writing import put
from tensorgrad.shapes import Shape, broadcast_shapes, normalize_axis


def _checked(x: Any, axis: Any, index: Any, where: str) -> tuple[Tensor, int, Tensor]:
    """The arguments of gather and its like. Raises ShapeError unless the index lies within x but for
    the axis."""
    x, index = as_tensor(x, where), as_tensor(index, where)
    if len(x.shape) != len(index.shape):
        raise ShapeError(
            f"{where}: expected an index with as many axes as x, got shapes {index.shape} and "
            f"{x.shape}"
        )
    axis = normalize_axis(axis, len(x.shape), where)
    for a, (n, m) in enumerate(zip(x.shape, index.shape)):
        if a != axis and m > n:
            raise ShapeError(
                f"{where}: expected an index of at most x's lengths but for axis {axis}, got shapes "
                f"{index.shape} and {x.shape}"
            )
    return x, axis, index


def _corner(shape: Shape, axis: int | None = None) -> Any:
    """The index of the first elements, as many as `shape` has along each axis but `axis`."""
    return tuple(slice(None) if a == axis else slice(0, n) for a, n in enumerate(shape))


def _source(src: Any, x: Tensor, index: Tensor, where: str) -> Tensor:
    """What is written: the corner of src with the index's shape, in x's dtype."""
    src = as_tensor(src, where)
    if not src.shape:
        src = broadcast_to(src, index.shape)
    if len(src.shape) != len(index.shape) or any(n < m for n, m in zip(src.shape, index.shape)):
        raise ShapeError(
            f"{where}: expected a source of at least the index's lengths, got shapes {src.shape} and "
            f"{index.shape}"
        )
    if src.shape != index.shape:
        src = src[_corner(index.shape)]
    return src if src.dtype == x.dtype else src.astype(x.dtype)


def _gather_reference(x: np.ndarray, axis: Any, index: np.ndarray) -> Any:
    axis = axis % x.ndim
    return np.take_along_axis(x[_corner(index.shape, axis)], index, axis)


@composite(
    reference=_gather_reference,
    cases=(
        Case((3, 4), axis=1, index=np.array([[3, 0], [1, 1], [-1, 2]])),
        Case((3, 4), axis=0, index=np.array([[2, 0], [1, 1]])),
        Case((2, 3, 2), axis=-2, index=np.array([[[2], [2]]])),
        Case((5,), axis=0, index=np.array([], dtype=np.int64)),
    ),
)
def gather(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """y[i, j, k] = x[i, index[i, j, k], k], here for axis 1: as in PyTorch. index: integers in [-n,
    n), n being x's length along the axis; as many axes as x, and no longer along the others.
    Returns the index's shape. Raises IndexOutOfRangeError, ShapeError, DTypeError.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tensorgrad.gather(x, 1, tensorgrad.tensor([[0, 0], [1, 0]]))
    tensor([[1., 1.],
            [4., 3.]])
    """
    x, axis, index = _checked(x, axis, index, "gather")
    key = _corner(index.shape, axis)
    if any(a != axis and n != m for a, (n, m) in enumerate(zip(x.shape, index.shape))):
        x = x[key]
    return take_along_axis(x, index, axis)


def _scatter_add_reference(x: np.ndarray, axis: Any, index: np.ndarray, src: np.ndarray) -> Any:
    y = x.copy()
    add_along_axis(y, index, src[_corner(index.shape)], axis)
    return y


_SCATTERS = (
    Case(
        (3, 4), axis=1, index=np.array([[3, 0], [1, 1], [-1, 2]]), src=np.arange(6.0).reshape(3, 2)
    ),
    Case((3, 4), axis=0, index=np.array([[2, 0], [2, 1]]), src=np.arange(9.0).reshape(3, 3)),
    Case((2, 3, 2), axis=-2, index=np.array([[[2], [2]]]), src=np.ones((1, 2, 1))),
    Case((3,), axis=0, index=np.array([], dtype=np.int64), src=np.ones(2)),
)


@composite(reference=_scatter_add_reference, cases=_SCATTERS)
def scatter_add(x: Tensor, axis: int, index: Tensor, src: Tensor) -> Tensor:
    """x with src[i, j, k] added at [i, index[i, j, k], k], here for axis 1: as in PyTorch, and the
    opposite of gather. index: as for gather; src: at least as long along every axis. Returns x's
    shape and dtype. The sums do not depend on the number of threads. Raises IndexOutOfRangeError,
    ShapeError, DTypeError.

    >>> import tensorgrad
    >>> index = tensorgrad.tensor([1, 1, 0])
    >>> tensorgrad.scatter_add(tensorgrad.zeros(3), 0, index, tensorgrad.ones(3))
    tensor([1., 2., 0.])
    """
    x, axis, index = _checked(x, axis, index, "scatter_add")
    src = _source(src, x, index, "scatter_add")
    region = tuple(n if a == axis else m for a, (n, m) in enumerate(zip(x.shape, index.shape)))
    sums = take_along_axis_gradient(src, index, region, axis)
    if region != x.shape:
        sums = basic_index_gradient(sums, x.shape, _corner(region))
    return x + sums


def _scatter_reference(x: np.ndarray, axis: Any, index: np.ndarray, src: np.ndarray) -> Any:
    y = x.copy()
    key: Any = list(np.ogrid[_corner(index.shape)])
    key[axis] = index
    y[tuple(key)] = src[_corner(index.shape)] if src.ndim else src
    return y


@composite(
    reference=_scatter_reference,
    cases=(*_SCATTERS, Case((2, 3), axis=1, index=np.array([[0], [2]]), src=np.array(2.5))),
)
def scatter(x: Tensor, axis: int, index: Tensor, src: Tensor) -> Tensor:
    """x with src[i, j, k] in place of [i, index[i, j, k], k], here for axis 1: as in PyTorch; of
    several to one place the last, in C order, stays, and it alone has a gradient. index, src: as for
    scatter_add; src may be a number. Raises IndexOutOfRangeError, ShapeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.scatter(tensorgrad.zeros((2, 2)), 1, tensorgrad.tensor([[1], [0]]), 5.0)
    tensor([[0., 5.],
            [5., 0.]])
    """
    x, axis, index = _checked(x, axis, index, "scatter")
    src = _source(src, x, index, "scatter")
    if (found := traced((index,))) is not None:
        given = (x, index, src)
        found = traced(given)
        return found.apply(_scatter, given, {"axis": axis})
    if index.dtype.kind not in "iu":
        raise DTypeError(f"scatter: expected integer indices, got {index.dtype}")
    return put(x, wrap_array(_flat_places(index.detach()._array(), x.shape, axis)), src)


@one_step
def _flat_places(places: np.ndarray, shape: Any, axis: int) -> np.ndarray:
    """Where in a flattened tensor of `shape` the places along an axis are."""
    n = shape[axis]
    if ((places < -n) | (places >= n)).any():
        raise IndexOutOfRangeError(
            f"scatter: expected indices in [{-n}, {n}), got {places.min()} to {places.max()}"
        )
    key: Any = list(np.ogrid[_corner(places.shape)])
    key[axis] = np.where(places < 0, places + n, places).astype(np.int64)
    flat = np.zeros(places.shape, np.int64)
    for part, length in zip(key, shape):
        flat = flat * length + part
    return np.ascontiguousarray(flat)


def _scatter(x: Tensor, index: Tensor, src: Tensor, axis: int) -> Tensor:
    return scatter(x, axis, index, src)


def _line_index(index: Any, where: str) -> Tensor:
    index = as_tensor(index, where)
    if len(index.shape) > 1:
        raise ShapeError(f"{where}: expected an index with one axis, got shape {index.shape}")
    return index


@composite(
    reference=lambda x, axis, index: np.take(x, index, axis),
    cases=(
        Case((3, 4), axis=1, index=np.array([3, 0, -1])),
        Case((3, 4), axis=0, index=np.array([1, 1])),
    ),
)
def index_select(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """The parts of x at positions along an axis. x: (..., n, ...), index: (m), integers in [-n, n).
    Returns (..., m, ...). `take` with an index of one axis, as in PyTorch. Raises
    IndexOutOfRangeError, ShapeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.index_select(tensorgrad.arange(4), 0, tensorgrad.tensor([3, 0]))
    tensor([3, 0])
    """
    x = as_tensor(x, "index_select")
    axis = normalize_axis(axis, len(x.shape), "index_select")
    return take(x, _line_index(index, "index_select"), axis)


def _index_add_reference(x: np.ndarray, axis: Any, index: np.ndarray, src: np.ndarray) -> Any:
    y = x.copy()
    where: Any = (slice(None),) * (axis % x.ndim) + (index,)
    np.add.at(y, where, src)
    return y


@composite(
    reference=_index_add_reference,
    cases=(
        Case((3, 4), axis=1, index=np.array([3, 0, 3]), src=np.arange(9.0).reshape(3, 3)),
        Case((3, 2), axis=0, index=np.array([1, -1]), src=np.ones((2, 2))),
    ),
)
def index_add(x: Tensor, axis: int, index: Tensor, src: Tensor) -> Tensor:
    """x with the parts of src added at positions along an axis, in order. x: (..., n, ...), index:
    (m), integers in [-n, n), src: (..., m, ...). Returns x's shape and dtype. Raises
    IndexOutOfRangeError, ShapeError, DTypeError.

    >>> import tensorgrad
    >>> index = tensorgrad.tensor([1, 1])
    >>> tensorgrad.index_add(tensorgrad.zeros(3), 0, index, tensorgrad.ones(2))
    tensor([0., 2., 0.])
    """
    x, src = as_tensor(x, "index_add"), as_tensor(src, "index_add")
    axis = normalize_axis(axis, len(x.shape), "index_add")
    index = _line_index(index, "index_add")
    expected = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    if src.shape != expected:
        raise ShapeError(f"index_add: expected a source of shape {expected}, got {src.shape}")
    src = src if src.dtype == x.dtype else src.astype(x.dtype)
    return x + take_gradient(src, index, x.shape, axis)


@composite(
    reference=lambda x, mask: np.broadcast_arrays(x, mask)[0][np.broadcast_arrays(x, mask)[1]],
    cases=(
        Case((2, 3), mask=np.array([[True, False, True], [False, False, True]])),
        Case((2, 3), mask=np.array([True, False, True])),
        Case((3,), mask=np.array([[True], [False]])),
        Case((), mask=np.array(True)),
    ),
)
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where a mask is true, in C order. x, mask: shapes that broadcast; mask: bool.
    Returns (count). Raises DTypeError, ShapeError.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, -2.0, 3.0])
    >>> tensorgrad.masked_select(x, x > 0)
    tensor([1., 3.])
    """
    x, mask = as_tensor(x, "masked_select"), as_tensor(mask, "masked_select")
    if mask.dtype != bool:
        raise DTypeError(f"masked_select: expected a mask of bool, got {mask.dtype}")
    shape = broadcast_shapes(x.shape, mask.shape, "masked_select")
    return broadcast_to(x, shape)[broadcast_to(mask, shape)]


__all__ = ["gather", "index_add", "index_select", "masked_select", "scatter", "scatter_add"]
