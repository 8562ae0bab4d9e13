"""Reading and writing parts of tensors.

A basic index (integers, slices, None, ...) gives a view. An integer array alone goes to the C gather
(`take`); any other index of arrays (boolean, several, mixed with slices) is read by NumPy, and its
gradient summed by C."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._native import fail, lib
from tensorgrad._tensor import (
    Tensor,
    as_tensor,
    copy_into,
    copy_raw,
    full_raw,
    overlap,
    view,
    wrap_array,
)
from tensorgrad.autograd import Case, op
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import record
from tensorgrad.autograd._traced import traced
from tensorgrad.dtypes import BOOL, F64, ITEMSIZES
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.gathering import check_positions, int64_index, take
from tensorgrad.ops.inplace import rebase, update
from tensorgrad.ops.shaping import broadcast_to, reshape
from tensorgrad.shapes import Shape, checked_size, contiguous_strides

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


def _index_reference(x: np.ndarray, key: Any) -> Any:
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
    gradient=lambda gy, y, x, key: basic_index_gradient(gy, x.shape, key),
    reference=_index_reference,
    cases=tuple(Case((3, 4), key=key) for key in _KEYS),
    method=False,
    view=True,
)
def basic_index(x: Tensor, key: Any) -> Tensor:
    """x[key] for a basic index, one of integers, slices, None and ...: a view. Raises
    IndexOutOfRangeError.

    >>> import tensorgrad
    >>> tensorgrad.arange(6)[1:4]
    tensor([1, 2, 3])
    """
    key = key if isinstance(key, tuple) else (key,)
    return view(x, *_window(x._shape, x.strides, key))


def _basic_index_gradient_reference(gy: np.ndarray, shape: Shape, key: Any) -> Any:
    gx = np.zeros(shape, gy.dtype)
    gx[key] = gy
    return gx


@op(
    gradient=lambda g, gx, gy, shape, key: basic_index(g, key),
    reference=_basic_index_gradient_reference,
    cases=(Case((2, 2), shape=(3, 4), key=(slice(0, 2), slice(None, None, 2))),),
    method=False,
)
def basic_index_gradient(gy: Tensor, shape: Shape, key: Any) -> Tensor:
    """Zeros of `shape` with gy at the basic index `key`: the gradient of `basic_index`.

    >>> import tensorgrad
    >>> tensorgrad.ops.basic_index_gradient(tensorgrad.ones(2), (4,), slice(1, 3))
    tensor([0., 1., 1., 0.])
    """
    key = key if isinstance(key, tuple) else (key,)
    gx = full_raw(shape, checked_size(shape, ITEMSIZES[gy._code], "index"), gy._code, 0.0)
    copy_into(view(gx, *_window(shape, contiguous_strides(shape), key)), gy, "index")
    return gx


# ---- any other index -----------------------------------------------------------------------------


def _numpy_key(key: Any, copied: bool = False) -> Any:
    """An index as NumPy takes it, without Tensors in it. copied: its arrays are new ones, so that a
    backward finds them as they were. Raises DTypeError."""
    if isinstance(key, tuple):
        return tuple(_numpy_part(k, copied) for k in key)
    return _numpy_part(key, copied)


def _numpy_part(key: Any, copied: bool) -> Any:
    if isinstance(key, Tensor):
        key = key.detach()._array()
    elif isinstance(key, (list, tuple)):
        try:
            key = np.asarray([k._array() if isinstance(k, Tensor) else k for k in key])
        except ValueError as error:
            raise ShapeError(f"index: {error}") from None
        if key.size == 0:
            key = key.astype(np.int64)
    elif isinstance(key, np.ndarray) and copied:
        key = key.copy()
    if isinstance(key, np.ndarray) and key.dtype.kind not in "iub":
        raise DTypeError(f"index: expected integers or booleans, got an array of {key.dtype}")
    if not isinstance(key, (*_BASIC, np.ndarray, np.bool_)):
        raise DTypeError(
            f"index: expected integers, slices, None, ..., or arrays, got {type(key).__name__}"
        )
    return key.copy() if copied and isinstance(key, np.ndarray) and not key.flags.owndata else key


@op(
    gradient=lambda gy, y, x, key: array_index_gradient(gy, x.shape, key),
    reference=_index_reference,
    cases=(
        Case((3, 4), key=np.array([[True, False, True, False]] * 3)),
        Case((3, 4), key=(np.array([0, 0, 2]), np.array([1, 1, 3]))),
        Case((3, 4), key=(slice(None), np.array([3, 3]))),
    ),
    method=False,
)
def array_index(x: Tensor, key: Any) -> Tensor:
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


def _array_index_gradient_reference(gy: np.ndarray, shape: Shape, key: Any) -> Any:
    gx = np.zeros(shape, gy.dtype)
    np.add.at(gx, key, gy)
    return gx


@op(
    gradient=lambda g, gx, gy, shape, key: array_index(g, key),
    reference=_array_index_gradient_reference,
    cases=(Case((3,), shape=(3, 4), key=(np.array([0, 0, 2]), np.array([1, 1, 3]))),),
    method=False,
    kernel="NumPy",
)
def array_index_gradient(gy: Tensor, shape: Shape, key: Any) -> Tensor:
    """Zeros of `shape` to which gy is added at the index `key`: the gradient of `array_index`.

    >>> import numpy as np, tensorgrad
    >>> tensorgrad.ops.array_index_gradient(tensorgrad.ones(2), (3,), np.array([1, 1]))
    tensor([0., 2., 0.])
    """
    if gy._code > F64:
        return wrap_array(_array_index_gradient_reference(gy._array(), shape, key))
    positions, inner = _positions(shape, key)
    gx = full_raw(shape, checked_size(shape, ITEMSIZES[gy._code], "index"), gy._code, 0.0)
    gy = gy if gy._strides is None else copy_raw(gy)
    if inner == 1:
        status = lib.tg_scatter_add(
            gy._code, 1, gx._size, 1, positions._size, positions._ptr, gy._ptr, gx._ptr
        )
    else:
        lines = gx._size // inner if inner else 0
        status = lib.tg_take_grad(
            gy._code, 1, lines, inner, positions._size, positions._ptr, gy._ptr, gx._ptr
        )
    if status:
        fail(status, "index", gx._storage)
    return gx


def _positions(shape: Shape, key: Any) -> tuple[Tensor, int]:
    """Where x[key] lies in x, of `shape`: the places of its lines in C order, and the number of
    elements in a line. Lines are along the axes after those that the key names."""
    parts = key if isinstance(key, tuple) else (key,)
    named = 0
    for k in parts:
        if k is Ellipsis:
            named = len(shape)
            break
        named += 0 if k is None else getattr(k, "ndim", 0) if _is_mask(k) else 1
    count = inner = 1
    for n in shape[:named]:
        count *= n
    for n in shape[named:]:
        inner *= n
    places = np.arange(count).reshape(shape[:named])[key]
    return wrap_array(np.ascontiguousarray(places)), inner


def _is_mask(key: Any) -> bool:
    return isinstance(key, (bool, np.bool_)) or (
        isinstance(key, np.ndarray) and key.dtype.kind == "b"
    )


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key], by NumPy's rules; see the module's docstring."""
    basic = key if isinstance(key, tuple) else (key,)
    if _is_basic(basic):
        return basic_index(x, key)
    places = [i for i, k in enumerate(basic) if isinstance(k, Tensor)]
    tensors = tuple(basic[i] for i in places)
    if traced(tensors) is not None:
        found: Any = traced((x, *tensors))
        return found.apply(_index, (x, *tensors), {"key": basic, "places": places})
    key = _numpy_key(key, mode.enabled and x._node is not None)
    if isinstance(key, np.ndarray) and key.dtype.kind in "iu" and x._shape:
        return take(x, wrap_array(key.astype(np.int64, order="C", copy=False)), 0)
    return array_index(x, key)


def _index(x: Tensor, *tensors: Tensor, key: tuple[Any, ...], places: list[int]) -> Tensor:
    """x[key] with the tensors at their places in the key."""
    filled = list(key)
    for i, t in zip(places, tensors):
        filled[i] = t
    if len(filled) == 1:
        return take(x, tensors[0], 0) if filled[0]._code > BOOL and x.ndim else x[filled[0]]
    return x[tuple(filled)]


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, in place. The value is broadcast and converted. Differentiable: the gradient
    of what was overwritten is zero, that of the value is the gradient of its place."""
    value = as_tensor(value, "setitem")
    basic = key if isinstance(key, tuple) else (key,)
    base = getattr(x, "_base", x)
    recorded = mode.enabled and not (x._node is value._node is None and base._node is None)
    if _is_basic(basic):
        target = (
            basic_index(x, basic) if recorded else view(x, *_window(x._shape, x.strides, basic))
        )
        _copy_to(target, value, recorded)
    else:
        _put(x, _numpy_key(key, recorded), value, recorded)


def _copy_to(target: Tensor, value: Tensor, recorded: bool) -> None:
    """Writes `value` to every element of `target`."""
    if value._code != target._code:
        value = value.astype(target.dtype)
    if overlap(target, value):
        value = value.copy()
    value = _without_leading(value, target._shape)
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


def _without_leading(value: Tensor, shape: Shape) -> Tensor:
    """The value without leading axes of length 1 that `shape` does not have: as in NumPy, they do
    not hinder a write."""
    extra = len(value._shape) - len(shape)
    if extra <= 0 or any(n != 1 for n in value._shape[:extra]):
        return value
    return reshape(value, value._shape[extra:])


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
    if value._node is not None and value._size != 1:
        value = (
            _without_leading(value, _positions(x._shape, key)[0]._shape)
            if value.ndim > x.ndim
            else value
        )
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


@op(
    gradient=(
        lambda gy, y, x, indices, values: put(gy, indices, 0.0),
        None,
        lambda gy, y, x, indices, values: _put_values_gradient(gy, indices),
    ),
    saves=("indices",),
    reference=lambda x, indices, values: _put_reference(x, indices, values),
    cases=(
        Case((3, 4), np.array([2, 0, -1]), (3,)),
        Case((5,), np.array([[1, 1], [4, 1]]), (2, 2)),
        Case((2, 3), np.array([5, 0]), ()),
    ),
)
def put(x: Tensor, /, indices: Tensor, values: Tensor) -> Tensor:
    """x with other values at integer positions of the flattened x; of several to one position the
    last stays. indices: any shape, integers in [-x.size, x.size); values: broadcast to the indices'
    shape and converted. Returns a new tensor; `put_` writes in place. Raises IndexOutOfRangeError,
    ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.put(tensorgrad.zeros(3), tensorgrad.tensor([0, -1]), tensorgrad.tensor([1.0, 2.0]))
    tensor([1., 0., 2.])
    """
    index = int64_index(indices, "put")
    check_positions(index, x._size, "put")
    y = copy_raw(x)
    try:
        y._array().reshape(-1)[index._array()] = values._array()
    except ValueError as error:
        raise ShapeError(f"put: {error}") from None
    return y


def _put_reference(x: np.ndarray, indices: np.ndarray, values: np.ndarray) -> Any:
    y = x.copy()
    y.reshape(-1)[indices] = values
    return y


def _put_values_gradient(gy: Tensor, indices: Tensor) -> Tensor:
    gv = take(gy, indices)
    kept = _kept((gy.size,), indices._array())
    return gv if kept is None else where(wrap_array(kept), gv, 0.0)


def put_(self: Tensor, indices: Any, values: Any) -> Tensor:
    """`put` in place: other values at integer positions of the flattened tensor. Returns self."""
    return update(self, put(self, indices, values), "put_")


Tensor.put_ = put_  # type: ignore[attr-defined]

__all__ = [
    "array_index",
    "array_index_gradient",
    "basic_index",
    "basic_index_gradient",
    "index_blank",
    "put",
]
