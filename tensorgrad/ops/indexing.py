"""Reading and writing parts of tensors.

A basic index (integers, slices, None, ...) gives a view. An integer array alone goes to the C gather
(`take`); any other index of arrays (boolean, several, mixed with slices) is read by NumPy, and its
gradient summed by C."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._native import fail, in_c_order, is_array, lib
from tensorgrad._tensor import (
    Tensor,
    copy_into,
    copy_raw,
    full_raw,
    view,
    wrap_array,
)
from tensorgrad.autograd import Case, op
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._traced import traced
from tensorgrad.dtypes import BOOL, F64, ITEMSIZES
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from tensorgrad.ops.gathering import take
from tensorgrad.shapes import Shape, checked_size, contiguous_strides

_BASIC = (int, slice, type(None), type(Ellipsis), np.integer)


def is_basic(key: tuple[Any, ...]) -> bool:
    for k in key:
        kind = k.__class__
        if kind is not int and kind is not slice and (not isinstance(k, _BASIC) or kind is bool):
            return False
    return True


def window_of(shape: Shape, strides: Shape, key: tuple[Any, ...]) -> tuple[Shape, Shape, int]:
    """Shape, strides and offset of a basic index."""
    if len(key) == 1 and shape:  # the two most frequent indices, without the lists
        k, n = key[0], shape[0]
        if k.__class__ is int and -n <= k < n:
            return shape[1:], strides[1:], (k + n if k < 0 else k) * strides[0]
        if k.__class__ is slice and k.step is None:
            try:
                start, stop, _ = k.indices(n)
            except TypeError as error:
                raise ArgumentError(f"index: {error}") from None
            length = stop - start if stop > start else 0
            return (length, *shape[1:]), strides, start * strides[0] if length else 0
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
    return view(x, *window_of(x._shape, x.strides, key))


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
    copy_into(view(gx, *window_of(shape, contiguous_strides(shape), key)), gy, "index")
    return gx


# ---- any other index -----------------------------------------------------------------------------


def numpy_key(key: Any, copied: bool = False) -> Any:
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
    elif is_array(key) and copied:
        key = key.copy()
    if is_array(key) and key.dtype.kind not in "iub":
        raise DTypeError(f"index: expected integers or booleans, got an array of {key.dtype}")
    if not isinstance(key, (*_BASIC, np.bool_)) and not is_array(key):
        raise DTypeError(
            f"index: expected integers, slices, None, ..., or arrays, got {type(key).__name__}"
        )
    return key.copy() if copied and is_array(key) and not key.flags.owndata else key


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
        return wrap_array(in_c_order(x._array()[key]))
    except IndexError as error:
        raise IndexOutOfRangeError(f"index: {error}") from None


@one_step
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
    positions, inner = positions_of(shape, key)
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


def positions_of(shape: Shape, key: Any) -> tuple[Tensor, int]:
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
    return wrap_array(_places(count, shape[:named], key)), inner


@one_step
def _places(count: int, shape: Shape, key: Any) -> np.ndarray:
    return np.ascontiguousarray(np.arange(count).reshape(shape)[key])


def _is_mask(key: Any) -> bool:
    return isinstance(key, (bool, np.bool_)) or (is_array(key) and key.dtype.kind == "b")


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key], by NumPy's rules; see the module's docstring."""
    basic = key if isinstance(key, tuple) else (key,)
    if is_basic(basic):
        return basic_index(x, key)
    places = [i for i, k in enumerate(basic) if isinstance(k, Tensor)]
    tensors = tuple(basic[i] for i in places)
    if traced(tensors) is not None:
        found: Any = traced((x, *tensors))
        return found.apply(_index, (x, *tensors), {"key": basic, "places": places})
    key = numpy_key(key, mode.enabled and x.requires_grad)
    if is_array(key) and key.dtype.kind in "iu" and x._shape:
        return take(x, wrap_array(key.astype(np.int64, order="C", copy=False)), 0)
    if isinstance(key, tuple) and (alone := _lone_array(x.shape, key)) is not None:
        parts, axis, array = alone
        return take(basic_index(x, parts), array, axis)
    return array_index(x, key)


def _lone_array(shape: Shape, key: tuple[Any, ...]) -> tuple[tuple[Any, ...], int, Tensor] | None:
    """For an index of one integer array, and slices, None and ... : the latter, with all of the
    array's axis, as a basic index; the place of that axis in what it gives; the array. None for any
    other index, and for a small array, for which much would be copied in vain."""
    places = [
        i for i, k in enumerate(key) if not isinstance(k, (slice, type(None), type(Ellipsis)))
    ]
    if len(places) != 1 or getattr(key[places[0]], "dtype", np.dtype(bool)).kind not in "iu":
        return None
    place, array = places[0], key[places[0]]
    used = sum(k is not None and k is not Ellipsis for k in key)
    before = key[:place]
    rest = len(shape) - used  # the axes that an ellipsis stands for
    taken = sum(k is not None and k is not Ellipsis for k in before)
    axis = taken + (rest if Ellipsis in before else 0)
    whole = all(not isinstance(k, slice) or k == slice(None) for k in key)
    if rest < 0 or not is_array(array) or not (whole or 2 * array.size >= shape[axis]):
        return None
    index = wrap_array(array.astype(np.int64, order="C", copy=False))
    parts = (*before, slice(None), *key[place + 1 :])
    return parts, axis + sum(k is None for k in before), index


def _index(x: Tensor, *tensors: Tensor, key: tuple[Any, ...], places: list[int]) -> Tensor:
    """x[key] with the tensors at their places in the key."""
    filled = list(key)
    for i, t in zip(places, tensors):
        filled[i] = t
    if len(filled) == 1:
        return take(x, tensors[0], 0) if filled[0]._code > BOOL and x.ndim else x[filled[0]]
    return x[tuple(filled)]


Tensor.__getitem__ = getitem

__all__ = [
    "array_index",
    "array_index_gradient",
    "basic_index",
    "basic_index_gradient",
]
