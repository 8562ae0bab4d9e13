"""Writing parts of tensors: x[key] = value, and `put`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._tensor import Tensor, as_tensor, copy_into, copy_raw, overlap, view, wrap_array
from tensorgrad.autograd import Case, op
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import record
from tensorgrad.dtypes import F64
from tensorgrad.errors import IndexOutOfRangeError, ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.gathering import check_positions, int64_index, take
from tensorgrad.ops.indexing import (
    basic_index,
    getitem,
    is_basic,
    numpy_key,
    positions_of,
    window_of,
)
from tensorgrad.ops.inplace import rebase, update
from tensorgrad.ops.shaping import broadcast_to, reshape
from tensorgrad.shapes import Shape


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, in place. The value is broadcast and converted. Differentiable: the gradient
    of what was overwritten is zero, that of the value is the gradient of its place."""
    value = as_tensor(value, "setitem")
    basic = key if isinstance(key, tuple) else (key,)
    base = getattr(x, "_base", x)
    recorded = mode.enabled and not (x._node is value._node is None and base._node is None)
    if is_basic(basic):
        target = (
            basic_index(x, basic) if recorded else view(x, *window_of(x._shape, x.strides, basic))
        )
        _copy_to(target, value, recorded)
    else:
        _put(x, numpy_key(key, recorded), value, recorded)


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
    node, value_node = x._node, value._node
    x_shape, value_shape, value_dtype = x._shape, value._shape, value.dtype

    def setitem_gradient(gy: Tensor, _: Any) -> list[Tensor | None]:
        gx = None if node is None else index_blank(gy, key)
        if value_node is None:
            return [gx, None]
        gv = getitem(gy, key)
        kept = _kept(positions_of(x_shape, key)[0]._array())
        gv = where(wrap_array(kept.reshape(*kept.shape, *(1,) * (gv.ndim - kept.ndim))), gv, 0.0)
        core = value_shape[max(len(value_shape) - gv.ndim, 0) :]  # see _without_leading
        return [gx, gv.sum_to(core).astype(value_dtype).reshape(value_shape)]

    setitem_gradient.__name__ = "setitem"
    written = x.detach()
    record(written, setitem_gradient, (node, value_node), None)
    rebase(x, written._node)


@one_step
def _kept(places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which of the values written to `places` stay: of several to one place the last."""
    _, last = np.unique(places.reshape(-1)[::-1], return_index=True)
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
    places = indices._array()
    kept = _kept(np.where(places < 0, places + gy.size, places))
    return where(wrap_array(kept), take(gy, indices), 0.0)


def put_(self: Tensor, indices: Any, values: Any) -> Tensor:
    """`put` in place: other values at integer positions of the flattened tensor. Returns self."""
    return update(self, put(self, indices, values), "put_")


Tensor.put_ = put_

__all__ = ["index_blank", "put"]
