"""Reading and writing parts of tensors.

A basic index (integers, slices, None, ...) gives a view; integer tensors along one axis go to the C
gather; every other index (boolean, several arrays) goes to NumPy on a copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._native import fail, lib
from tensorgrad._tensor import (
    Tensor,
    as_tensor,
    copy_into,
    copy_raw,
    empty_raw,
    full_raw,
    overlap,
    view,
    wrap_array,
)
from tensorgrad.autograd import Case, composite, op
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import record
from tensorgrad.autograd._traced import Traced, traced
from tensorgrad.dtypes import BOOL, F64, INT64, ITEMSIZES, float32
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.inplace import rebase
from tensorgrad.ops.shaping import broadcast_to, reshape
from tensorgrad.shapes import Shape, checked_size, contiguous_strides, normalize_axis

_BASIC = (int, slice, type(None), type(Ellipsis), np.integer)


def _is_basic(key: tuple[Any, ...]) -> bool:
    return all(not (not isinstance(k, _BASIC) or isinstance(k, bool)) for k in key)


def _window(shape: Shape, strides: Shape, key: tuple[Any, ...]) -> tuple[Shape, Shape, int]:
    """Shape, strides and offset of a basic index."""
    used = len([k for k in key if k is not None and k is not Ellipsis])
    if len([k for k in key if k is Ellipsis]) > 1:
        raise IndexOutOfRangeError("index: expected at most one ellipsis (...)")
    if used > len(shape):
        raise IndexOutOfRangeError(
            f"index: expected at most {len(shape)} indices for shape {shape}, got {used}"
        )
    if Ellipsis not in key:
        key = (*key, Ellipsis)
    out_shape: list[int] = []
    out_strides: list[int] = []
    offset = axis = 0
    for k in key:
        if k is None:
            out_shape.append(1)
            out_strides.append(0)
        elif k is Ellipsis:
            rest = len(shape) - used
            out_shape += shape[axis : axis + rest]
            out_strides += strides[axis : axis + rest]
            axis += rest
        elif isinstance(k, slice):
            try:
                start, stop, step = k.indices(shape[axis])
            except (TypeError, ValueError) as error:
                raise ArgumentError(f"index: {error}") from None
            n = len(range(start, stop, step))
            out_shape.append(n)
            out_strides.append(strides[axis] * step)
            offset += start * strides[axis] if n else 0
            axis += 1
        else:
            n = shape[axis]
            if not -n <= k < n:
                raise IndexOutOfRangeError(
                    f"index: expected an index in [{-n}, {n}) for axis {axis} of shape {shape}, "
                    f"got {k}"
                )
            offset += int(k + n if k < 0 else k) * strides[axis]
            axis += 1
    return tuple(out_shape), tuple(out_strides), offset


def _window_reference(x: np.ndarray, key: Any) -> Any:
    return x[key]


_KEYS: tuple[Any, ...] = (
    1,
    (slice(None), 2),
    (slice(0, 2), slice(None, None, 2)),
    (Ellipsis, slice(None, None, -1)),
    (None, slice(1, None)),
    (-1, -1),
)


@op(
    gradient=lambda gy, y, x, key: window_gradient(gy, x.shape, key),
    reference=_window_reference,
    cases=tuple(Case((3, 4), key=key) for key in _KEYS),
    method=False,
    view=True,
)
def window(x: Tensor, key: Any) -> Tensor:
    """x[key] for a basic index, one of integers, slices, None and ...: a view. Raises
    IndexOutOfRangeError.

    >>> import tensorgrad
    >>> tensorgrad.arange(6)[1:4]
    tensor([1, 2, 3])
    """
    key = key if isinstance(key, tuple) else (key,)
    return view(x, *_window(x._shape, x.strides, key))


def _window_gradient_reference(gy: np.ndarray, shape: Shape, key: Any) -> Any:
    gx = np.zeros(shape, gy.dtype)
    gx[key] = gy
    return gx


@op(
    gradient=lambda g, gx, gy, shape, key: window(g, key),
    reference=_window_gradient_reference,
    cases=(Case((2, 2), shape=(3, 4), key=(slice(0, 2), slice(None, None, 2))),),
    method=False,
)
def window_gradient(gy: Tensor, shape: Shape, key: Any) -> Tensor:
    """Zeros of `shape` with gy at the basic index `key`: the gradient of `window`.

    >>> import tensorgrad
    >>> tensorgrad.ops.window_gradient(tensorgrad.ones(2), (4,), slice(1, 3))
    tensor([0., 1., 1., 0.])
    """
    key = key if isinstance(key, tuple) else (key,)
    gx = full_raw(shape, checked_size(shape, ITEMSIZES[gy._code], "index"), gy._code, 0.0)
    copy_into(view(gx, *_window(shape, contiguous_strides(shape), key)), gy, "index")
    return gx


# ---- gather --------------------------------------------------------------------------------------


def _axis_counts(shape: Shape, axis: int) -> tuple[int, int]:
    outer = inner = 1
    for n in shape[:axis]:
        outer *= n
    for n in shape[axis + 1 :]:
        inner *= n
    return outer, inner


def _check_positions(index: Tensor, length: int, where: str) -> None:
    array = index._array().reshape(-1)
    wrong = np.flatnonzero((array < -length) | (array >= length))
    if wrong.size:
        raise IndexOutOfRangeError(
            f"{where}: expected indices in [{-length}, {length}), got {array[wrong[0]]} at "
            f"position {wrong[0]}"
        )


@op(
    gradient=(lambda gy, y, x, index, axis=0: take_gradient(gy, index, x.shape, axis), None),
    saves=("index",),
    reference=lambda x, index, axis=0: np.take(x, index, axis),
    cases=(
        Case((3, 4), np.array([2, 0, 2])),
        Case((3, 4), np.array([[1, -1], [0, 1]]), axis=1),
        Case((5,), np.array(3)),
        Case((2, 3, 2), np.array([], dtype=np.int64), axis=1),
    ),
)
def take(x: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    """The elements of x at integer positions along an axis. x: (..., n, ...), index: any shape,
    integers in [-n, n). Returns x's shape with the index's in place of n. Raises
    IndexOutOfRangeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.take(tensorgrad.tensor([10.0, 20.0, 30.0]), tensorgrad.tensor([2, 0]))
    tensor([30., 10.])
    """
    if index._code <= BOOL:
        raise DTypeError(f"take: expected integer indices, got {index.dtype}")
    axis = normalize_axis(axis, len(x._shape), "take")
    index = index if index._code == INT64 else index.astype("int64")
    index = index if index._strides is None else copy_raw(index)
    x = x if x._strides is None else copy_raw(x)
    shape = (*x._shape[:axis], *index._shape, *x._shape[axis + 1 :])
    y = empty_raw(shape, checked_size(shape, ITEMSIZES[x._code], "take"), x._code)
    outer, inner = _axis_counts(x._shape, axis)
    status = lib.tg_take(
        ITEMSIZES[x._code], outer, x._shape[axis], inner, index._size, index._ptr, x._ptr, y._ptr
    )  # fmt: skip
    if status:
        _check_positions(index, x._shape[axis], "take")
        fail(status, "take", y._storage)
    return y


def _take_gradient_reference(gy: np.ndarray, index: np.ndarray, shape: Shape, axis: int = 0) -> Any:
    gx = np.zeros(shape, gy.dtype)
    where: Any = (slice(None),) * axis + (index,)
    np.add.at(gx, where, gy)
    return gx


@op(
    gradient=(lambda g, gx, gy, index, shape, axis=0: take(g, index, axis), None),
    saves=("index",),
    reference=_take_gradient_reference,
    cases=(
        Case((3, 4), np.array([2, 0, 2]), shape=(3, 4)),
        Case((3, 2), np.array([1, -1]), shape=(3, 4), axis=1),
    ),
    method=False,
)
def take_gradient(gy: Tensor, index: Tensor, shape: Shape, axis: int = 0) -> Tensor:
    """Zeros of `shape` to which gy is added at the positions `index`, in order: the gradient of
    `take`.

    >>> import tensorgrad
    >>> tensorgrad.ops.take_gradient(tensorgrad.ones(2), tensorgrad.tensor([1, 1]), (3,))
    tensor([0., 2., 0.])
    """
    axis = normalize_axis(axis, len(shape), "take")
    index = index if index._code == INT64 else index.astype("int64")
    index = index if index._strides is None else copy_raw(index)
    gy = gy if gy._strides is None else copy_raw(gy)
    gx = full_raw(shape, checked_size(shape, ITEMSIZES[gy._code], "take"), gy._code, 0.0)
    outer, inner = _axis_counts(shape, axis)
    status = lib.tg_take_grad(
        gy._code, outer, shape[axis], inner, index._size, index._ptr, gy._ptr, gx._ptr
    )
    if status:
        fail(status, "take", gx._storage)
    return gx


# ---- any other index -----------------------------------------------------------------------------


def _numpy_key(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_numpy_key(k) for k in key)
    if isinstance(key, Tensor):
        key = key.detach()._array()
    if isinstance(key, list):
        key = np.asarray(
            [_numpy_key(k) for k in key] if any(isinstance(k, Tensor) for k in key) else key
        )
        if key.size == 0:
            key = key.astype(np.int64)
    if isinstance(key, np.ndarray) and key.dtype.kind not in "iub":
        raise DTypeError(f"index: expected integers or booleans, got an array of {key.dtype}")
    if not isinstance(key, (*_BASIC, np.ndarray, np.bool_)):
        raise DTypeError(
            f"index: expected integers, slices, None, ..., or arrays, got {type(key).__name__}"
        )
    return key


@op(
    gradient=lambda gy, y, x, key: scatter_add(gy, x.shape, key),
    reference=_window_reference,
    cases=(
        Case((3, 4), key=np.array([[True, False, True, False]] * 3)),
        Case((3, 4), key=(np.array([0, 0, 2]), np.array([1, 1, 3]))),
        Case((3, 4), key=(slice(None), np.array([3, 3]))),
    ),
    method=False,
)
def gather(x: Tensor, key: Any) -> Tensor:
    """x[key] for an index with boolean or several integer arrays, by NumPy's rules: a copy. Raises
    IndexOutOfRangeError.

    >>> import numpy as np, tensorgrad
    >>> tensorgrad.arange(4)[np.array([True, False, True, False])]
    tensor([0, 2])
    """
    try:
        return wrap_array(np.asarray(np.ascontiguousarray(x._array()[key])))
    except IndexError as error:
        raise IndexOutOfRangeError(f"index: {error}") from None


def _scatter_reference(gy: np.ndarray, shape: Shape, key: Any) -> Any:
    gx = np.zeros(shape, gy.dtype)
    np.add.at(gx, key, gy)
    return gx


@op(
    gradient=lambda g, gx, gy, shape, key: gather(g, key),
    reference=_scatter_reference,
    cases=(Case((3,), shape=(3, 4), key=(np.array([0, 0, 2]), np.array([1, 1, 3]))),),
    method=False,
    kernel="NumPy",
)
def scatter_add(gy: Tensor, shape: Shape, key: Any) -> Tensor:
    """Zeros of `shape` to which gy is added at the index `key`: the gradient of `gather`.

    >>> import numpy as np, tensorgrad
    >>> tensorgrad.ops.scatter_add(tensorgrad.ones(2), (3,), np.array([1, 1]))
    tensor([0., 2., 0.])
    """
    gx = np.zeros(shape, gy.dtype)
    np.add.at(gx, key, gy._array())
    return wrap_array(gx)


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key], by NumPy's rules; see the module's docstring."""
    basic = key if isinstance(key, tuple) else (key,)
    if _is_basic(basic):
        return window(x, key)
    places = [i for i, k in enumerate(basic) if isinstance(k, Tensor)]
    tensors = tuple(basic[i] for i in places)
    if traced(tensors) is not None:
        found: Any = traced((x, *tensors))
        return found.apply(_index, (x, *tensors), {"key": basic, "places": places})
    key = _numpy_key(key)
    if isinstance(key, np.ndarray) and key.dtype.kind in "iu" and x._shape:
        return take(x, as_tensor(key.astype(np.int64, copy=False), "index"))
    return gather(x, key)


def _index(x: Tensor, *tensors: Tensor, key: tuple[Any, ...], places: list[int]) -> Tensor:
    """x[key] with the tensors at their places in the key."""
    filled = list(key)
    for i, t in zip(places, tensors):
        filled[i] = t
    if len(filled) == 1:
        return take(x, tensors[0]) if filled[0]._code > BOOL and x.ndim else x[filled[0]]
    return x[tuple(filled)]


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, in place. The value is broadcast and converted. Differentiable: the gradient
    of what was overwritten is zero, that of the value is the gradient of its place."""
    value = as_tensor(value, "setitem")
    basic = key if isinstance(key, tuple) else (key,)
    base = getattr(x, "_base", x)
    recorded = mode.enabled and not (x._node is value._node is None and base._node is None)
    if _is_basic(basic):
        target = window(x, basic) if recorded else view(x, *_window(x._shape, x.strides, basic))
        _copy_to(target, value, recorded)
    else:
        _put(x, _numpy_key(key), value, recorded)


def _copy_to(target: Tensor, value: Tensor, recorded: bool) -> None:
    """Writes `value` to every element of `target`."""
    if value._code != target._code:
        value = value.astype(target.dtype)
    if overlap(target, value):
        value = value.copy()
    try:
        value = broadcast_to(value, target._shape)
    except ShapeError:
        raise ShapeError(
            f"setitem: expected a value that broadcasts to {target._shape}, got {value._shape}"
        ) from None
    target._writable("setitem", value._node is not None)
    copy_into(target, value, "setitem")
    if recorded:
        rebase(target, value._node)


def _put(x: Tensor, key: Any, value: Tensor, recorded: bool) -> None:
    """Writes `value` to the elements of x at an index of arrays."""
    x._writable("setitem", value._node is not None)
    try:
        x._array()[key] = value.detach()._array()
    except IndexError as error:
        raise IndexOutOfRangeError(f"setitem: {error}") from None
    except ValueError as error:
        raise ShapeError(f"setitem: {error}") from None
    if not recorded or x._code > F64:
        return
    node, value_node = x._node, value._node
    x_shape, value_shape, value_dtype = x._shape, value._shape, value.dtype

    def setitem_gradient(gy: Tensor, _: Any) -> list[Tensor | None]:
        gx = None if node is None else index_blank(gy, key)
        if value_node is None:
            return [gx, None]
        gv = getitem(gy, key)
        kept = _kept(x_shape, key)
        if kept is not None:
            gv = where(wrap_array(kept), gv, 0.0)
        return [gx, gv.sum_to(value_shape).astype(value_dtype)]

    setitem_gradient.__name__ = "setitem"
    written = x.detach()
    record(written, setitem_gradient, (node, value_node), None)
    rebase(x, written._node)


def _kept(shape: Shape, key: Any) -> np.ndarray[Any, Any] | None:
    """Which of the values written at an index of arrays stay: of several to one element the last.
    None if all do."""
    places = np.arange(int(np.prod(shape))).reshape(shape)[key]
    unique, last = np.unique(places.reshape(-1)[::-1], return_index=True)
    if len(unique) == places.size:
        return None
    kept = np.zeros(places.size, bool)
    kept[places.size - 1 - last] = True
    return kept.reshape(places.shape)


def _index_blank_reference(x: np.ndarray, key: Any) -> Any:
    y = x.copy()
    y[key] = 0
    return y


@op(
    gradient=lambda gy, y, x, key: index_blank(gy, key),
    reference=_index_blank_reference,
    cases=(Case((3, 4), key=(np.array([0, 0, 2]), np.array([1, 1, 3]))),),
    method=False,
)
def index_blank(x: Tensor, key: Any) -> Tensor:
    """A copy of x with zeros at an index of arrays.

    >>> import numpy as np, tensorgrad
    >>> tensorgrad.ops.index_blank(tensorgrad.ones(3), np.array([1, 1]))
    tensor([1., 0., 1.])
    """
    y = copy_raw(x)
    y._array()[key] = 0
    return y


Tensor.__getitem__ = getitem
Tensor.__setitem__ = setitem


@composite(
    reference=lambda index, classes: np.eye(classes, dtype=np.float32)[index],
    cases=(Case(np.array([0, 2, 1]), classes=3),),
    method=False,
    differentiable=False,
)
def one_hot(index: Tensor, classes: int) -> Tensor:
    """Rows of zeros with a 1 at each index. index: (...), integers in [0, classes). Returns (...,
    classes), float32. Raises IndexOutOfRangeError.

    >>> import tensorgrad
    >>> tensorgrad.one_hot(tensorgrad.tensor([1]), 3)
    tensor([[0., 1., 0.]])
    """
    if isinstance(index, Traced):
        return index.apply(one_hot, (index,), {"classes": classes})
    array = as_tensor(index, "one_hot")._array()
    if array.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: expected integer indices, got {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= classes):
        raise IndexOutOfRangeError(
            f"one_hot: expected indices in [0, {classes}), got {array.min()} to {array.max()}"
        )
    result = np.zeros((array.size, classes), float32)
    result[np.arange(array.size), array.reshape(-1)] = 1
    return reshape(wrap_array(result), (*array.shape, classes))


__all__ = [
    "gather",
    "index_blank",
    "one_hot",
    "scatter_add",
    "take",
    "take_gradient",
    "window",
    "window_gradient",
]
