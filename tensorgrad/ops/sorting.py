"""Sorting and searching. The C library sorts float32, float64 and int64 along the last axis, NumPy
the other dtypes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._native import NULL, fail, in_c_order, lib
from tensorgrad._tensor import Tensor, as_tensor, copy_raw, empty_raw, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.autograd._modes import mode
from tensorgrad.dtypes import F64, INT64
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.ops.shaping import moveaxis
from tensorgrad.shapes import Shape, normalize_axes, normalize_axis

# ---- elements at positions along an axis ---------------------------------------------------------


@op(
    gradient=(lambda gy, y, x, index, axis: _along_gradient(gy, index, x.shape, axis), None),
    saves=("index",),
    reference=np.take_along_axis,
    cases=(
        Case((3, 4), np.array([[2, 0, 2, 1]]), axis=0),
        Case((2, 3), np.array([[2, 0], [1, 1]]), axis=1),
    ),
    method=False,
    kernel="NumPy",
)
def _along(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """The elements of x at positions along an axis, each row having its own. x: (..., n, ...),
    index: (..., m, ...). Returns (..., m, ...).

    >>> import tensorgrad
    >>> from tensorgrad.ops.sorting import _along
    >>> _along(tensorgrad.tensor([3.0, 4.0]), tensorgrad.tensor([1, 1, 0]), 0)
    tensor([4., 4., 3.])
    """
    return wrap_array(np.take_along_axis(x._array(), index._array(), axis))


@one_step
def _scattered(gy: np.ndarray, index: np.ndarray, shape: Shape, axis: int) -> np.ndarray:
    gx = np.zeros(shape, gy.dtype)
    axis %= len(shape)
    places: list[Any] = [
        np.arange(n).reshape(*(n if i == j else 1 for j in range(len(shape))))
        for i, n in enumerate(index.shape)
    ]
    places[axis] = index
    np.add.at(gx, tuple(places), gy)
    return gx


@op(
    gradient=(lambda g, gx, gy, index, shape, axis: _along(g, index, axis), None),
    saves=("index",),
    reference=_scattered,
    cases=(Case((2, 2), np.array([[2, 0], [1, 1]]), shape=(2, 3), axis=1),),
    method=False,
    kernel="NumPy",
)
def _along_gradient(gy: Tensor, index: Tensor, shape: Shape, axis: int) -> Tensor:
    """Zeros of `shape` to which gy is added at positions along an axis.

    >>> import tensorgrad
    >>> from tensorgrad.ops.sorting import _along_gradient
    >>> _along_gradient(tensorgrad.ones(3), tensorgrad.tensor([1, 1, 0]), (2,), 0)
    tensor([1., 2.])
    """
    return wrap_array(_scattered(gy._array(), index._array(), shape, axis))


# ---- sort ----------------------------------------------------------------------------------------


def _kernel_dtype(x: Tensor) -> int | None:
    """The C library's name of x's dtype, if it can sort it."""
    if x._code <= F64:
        return x._code
    return int(lib.TG_I64) if x._code == INT64 else None


def _rows(x: Tensor, axis: int) -> Tensor:
    """x off the tape with the axis last, contiguous."""
    x = x.detach() if x._node is not None else x
    if axis != len(x._shape) - 1:
        x = moveaxis(x, axis, -1)
    return x if x._strides is None else copy_raw(x)


def _back(y: Tensor, axis: int) -> Tensor:
    return y if axis == len(y._shape) - 1 else copy_raw(moveaxis(y, -1, axis))


@one_step
def _argsort_array(array: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(array, axis=axis, kind="stable")
    backwards = np.argsort(np.flip(array, axis), axis=axis, kind="stable")
    return np.asarray(array.shape[axis] - 1 - np.flip(backwards, axis))


def _sorted_by_c(name: str, x: Tensor, axis: int, descending: bool, values: bool) -> Tensor:
    rows = _rows(x, axis)
    n = rows._shape[-1]
    y = empty_raw(rows._shape, rows._size, x._code if values else INT64)
    status = lib.tg_sort(
        _kernel_dtype(x), descending, rows._size // n if n else 0, n, rows._ptr,
        y._ptr if values else NULL, NULL if values else y._ptr,
    )  # fmt: skip
    if status:
        fail(status, name, y._storage)
    return _back(y, axis)


def _check_axes(x: Tensor, name: str) -> None:
    if not x.ndim:
        raise ShapeError(f"{name}: expected at least 1 axis, got a tensor without axes")


def _order_reference(
    x: np.ndarray, axis: int = -1, descending: bool = False, stable: bool = True
) -> Any:
    return _argsort_array(x, axis, descending)


_SORT_CASES = (
    Case((7,)),
    Case((3, 5)),
    Case((2, 4, 3), axis=1),
    Case((3, 5), axis=0, descending=True),
    Case((0, 3)),
    Case(np.array([2, -1, 2, 0])),
)


@op(gradient=None, reference=_order_reference, cases=_SORT_CASES)
def argsort(
    x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The positions that sort x along an axis; always stable. A NaN counts as the greatest. x:
    (...), real. Returns (...), int64. Raises ShapeError for a tensor without axes.

    >>> import tensorgrad
    >>> tensorgrad.argsort(tensorgrad.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    _check_axes(x, "argsort")
    axis = normalize_axis(axis, len(x._shape), "argsort")
    if _kernel_dtype(x) is not None:
        return _sorted_by_c("argsort", x, axis, descending, False)
    return wrap_array(in_c_order(_argsort_array(x._array(), axis, descending)))


@composite(
    batching="loop",
    reference=lambda x, axis=-1, descending=False, stable=True: np.take_along_axis(
        x, _argsort_array(x, axis, descending), axis
    ),
    cases=_SORT_CASES,
)
def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """x sorted along an axis. A NaN counts as the greatest. The gradient goes back to where each
    element came from. x: (...), real. Returns (...). Raises ShapeError for a tensor without axes.

    >>> import tensorgrad
    >>> tensorgrad.sort(tensorgrad.tensor([3.0, 1.0, 2.0]), descending=True)
    tensor([3., 2., 1.])
    """
    x = as_tensor(x, "sort")
    _check_axes(x, "sort")
    axis = normalize_axis(axis, x.ndim, "sort")
    recorded = not isinstance(x, Tensor) or (x._node is not None and mode.enabled)
    if not recorded and _kernel_dtype(x) is not None:
        return _sorted_by_c("sort", x, axis, descending, True)
    return _along(x, argsort(x, axis=axis, descending=descending), axis)


class Selection(NamedTuple):
    """What `topk` and `kthvalue` return."""

    values: Tensor
    indices: Tensor


def _topk_reference(
    x: np.ndarray, k: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    index = np.take(_argsort_array(x, axis, largest), np.arange(k), axis)
    return np.take_along_axis(x, index, axis), index


def _first_positions(name: str, x: Tensor, k: int, axis: int, largest: bool) -> Tensor:
    dtype = _kernel_dtype(x)
    if dtype is None:
        order = _argsort_array(x._array(), axis, largest)
        return wrap_array(in_c_order(np.take(order, np.arange(k), axis)))
    rows = _rows(x, axis)
    n = rows._shape[-1]
    count = rows._size // n if n else 0
    shape = (*rows._shape[:-1], k)
    values, positions = empty_raw(shape, count * k, x._code), empty_raw(shape, count * k, INT64)
    status = lib.tg_topk(dtype, largest, count, n, k, rows._ptr, values._ptr, positions._ptr)
    if status:
        fail(status, name, values._storage, positions._storage)
    return _back(positions, axis)


@composite(
    batching="loop",
    reference=_topk_reference,
    cases=(Case((9,), k=3), Case((2, 5, 3), k=2, axis=1, largest=False), Case((3, 4), k=4)),
)
def topk(x: Tensor, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> Selection:
    """The k largest (or smallest) elements along an axis in order, and where they are: of equals
    the first. A NaN counts as the greatest. The gradient goes to the elements chosen. x: (..., n,
    ...), real; k in [0, n]. Returns (values, indices), each (..., k, ...). `sorted` is there for
    PyTorch's users: the result always is. Raises ArgumentError, ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.topk(tensorgrad.tensor([3.0, 1.0, 2.0]), 2).indices
    tensor([0, 2])
    """
    x = as_tensor(x, "topk")
    _check_axes(x, "topk")
    axis = normalize_axis(axis, x.ndim, "topk")
    if not 0 <= k <= x.shape[axis]:
        raise ArgumentError(f"topk: expected k in [0, {x.shape[axis]}], got {k}")
    indices = _first_positions("topk", x, k, axis, largest)
    return Selection(_along(x, indices, axis), indices)


def _kth_reference(
    x: np.ndarray, k: int, axis: int = -1, keepdims: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    index = np.take(_argsort_array(x, axis, False), [k - 1], axis)
    found = np.take_along_axis(x, index, axis), index
    return found if keepdims else (found[0].squeeze(axis), found[1].squeeze(axis))


@composite(
    batching="loop",
    reference=_kth_reference,
    cases=(Case((9,), k=3), Case((2, 5, 3), k=2, axis=1, keepdims=True)),
)
def kthvalue(x: Tensor, k: int, axis: int = -1, keepdims: bool = False) -> Selection:
    """The k-th smallest element along an axis (k from 1), and where it is. The gradient goes there.
    x: (..., n, ...), real. Returns (values, indices). Raises ArgumentError unless 1 <= k <= n.

    >>> import tensorgrad
    >>> tensorgrad.kthvalue(tensorgrad.tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """
    x = as_tensor(x, "kthvalue")
    _check_axes(x, "kthvalue")
    axis = normalize_axis(axis, x.ndim, "kthvalue")
    if not 1 <= k <= x.shape[axis]:
        raise ArgumentError(f"kthvalue: expected k in [1, {x.shape[axis]}], got {k}")
    lead: Any = (slice(None),) * axis
    last = (*lead, slice(k - 1, k) if keepdims else k - 1)
    found = topk(x, k, axis, largest=False)
    return Selection(found.values[last], found.indices[last])


# ---- searching -----------------------------------------------------------------------------------


@op(
    gradient=None,
    reference=lambda x1, x2, sorter=None, side="left": np.searchsorted(x1, x2, side, sorter),
    cases=(
        Case(np.array([1.0, 2.0, 2.0, 5.0]), (2, 3)),
        Case(np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0]), side="right"),
        Case(np.array([3, 1, 2]), np.array([2, 9]), np.array([1, 2, 0])),
    ),
    kernel="NumPy",
)
def searchsorted(
    x1: Tensor, x2: Tensor, /, sorter: Tensor | None = None, *, side: str = "left"
) -> Tensor:
    """Where elements would be put into a sorted tensor: before equals ("left") or after ("right").
    x1: (n), sorted, or sorted by the positions `sorter`: (n); x2: any shape. Returns x2's shape,
    int64. Raises ShapeError, ArgumentError.

    >>> import tensorgrad
    >>> tensorgrad.searchsorted(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.5, 9.0]))
    tensor([1, 2])
    """
    if len(x1._shape) != 1:
        raise ShapeError(f"searchsorted: expected a sorted tensor of 1 axis, got {x1._shape}")
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: expected side 'left' or 'right', got {side!r}")
    order = None if sorter is None else sorter._array()
    found: Any = np.searchsorted(x1._array(), x2._array(), side, order)  # type: ignore[call-overload]
    return wrap_array(in_c_order(found))


@op(
    gradient=None,
    reference=lambda x: np.argwhere(x),
    cases=(Case(np.array([[0, 1], [2, 0]])), Case(np.array([True, False]))),
    kernel="NumPy",
)
def argwhere(x: Tensor) -> Tensor:
    """The indices of the elements that are not zero, one per row, in C order. x: (...). Returns
    (count, ndim), int64.

    >>> import tensorgrad
    >>> tensorgrad.argwhere(tensorgrad.tensor([0.0, 2.0, 3.0]))
    tensor([[1],
            [2]])
    """
    return wrap_array(in_c_order(np.argwhere(x._array())))


@composite(
    tags=("values decide the shape",),
    reference=np.nonzero,
    cases=(Case(np.array([[0, 1], [2, 0]])),),
    differentiable=False,
)
def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero, one tensor per axis, in C order. x: (...), at
    least 1 axis. Returns a tuple of ndim tensors (count), int64. Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.nonzero(tensorgrad.tensor([0.0, 2.0, 3.0]))
    (tensor([1, 2]),)
    """
    x = as_tensor(x, "nonzero")
    _check_axes(x, "nonzero")
    return tuple(wrap_array(in_c_order(i)) for i in np.nonzero(x._array()))


@op(
    gradient=None,
    reference=lambda x, axis=None, keepdims=False: np.asarray(
        np.count_nonzero(x, axis=axis, keepdims=keepdims)
    ),
    cases=(Case(np.array([[0, 1], [2, 0]])), Case((2, 3), axis=1, keepdims=True)),
    kernel="NumPy",
)
def count_nonzero(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """How many elements over axes (None: all) are not zero. x: (...). Returns int64.

    >>> import tensorgrad
    >>> tensorgrad.count_nonzero(tensorgrad.tensor([0.0, 2.0, 3.0]))
    tensor(2)
    """
    axes = normalize_axes(axis, len(x._shape), "count_nonzero")
    return wrap_array(in_c_order(np.count_nonzero(x._array(), axis=axes, keepdims=keepdims)))


@op(
    gradient=(None, lambda gy, y, x, weights, minlength=0: gy[x]),
    saves=("x",),
    reference=lambda x, weights=None, minlength=0: np.bincount(x, weights, minlength),
    cases=(
        Case(np.array([0, 2, 2])),
        Case(np.array([0, 2, 2]), (3,), minlength=5),
    ),
    kernel="NumPy",
)
def bincount(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each integer from 0 occurs, or the sum of the weights at its places, with gradient.
    x: (n), integers >= 0; weights: (n). Returns (max(x) + 1), or more to reach `minlength`; int64, or
    the weights' float dtype. Raises DTypeError, ShapeError, ArgumentError.

    >>> import tensorgrad
    >>> tensorgrad.bincount(tensorgrad.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    array = x._array()
    if array.dtype.kind not in "iu":
        raise DTypeError(f"bincount: expected integers, got {array.dtype}")
    if array.ndim != 1 or (weights is not None and weights._shape != array.shape):
        raise ShapeError(
            f"bincount: expected one axis and weights of the same length, got {array.shape}"
            + ("" if weights is None else f" and {weights._shape}")
        )
    if minlength < 0 or (array.size and array.min() < 0):
        raise ArgumentError("bincount: expected integers >= 0 and minlength >= 0")
    array = array.astype(np.int64, copy=False)
    if weights is None:
        return wrap_array(np.bincount(array, minlength=minlength))
    sums = np.bincount(array, weights._array(), minlength)
    return wrap_array(
        sums.astype(weights.dtype if weights._code <= F64 else np.float64, copy=False)
    )


__all__ = [
    "argsort",
    "argwhere",
    "bincount",
    "count_nonzero",
    "kthvalue",
    "nonzero",
    "searchsorted",
    "sort",
    "topk",
]
