"""Sums, products, extremes and their kind of all elements up to each one, along an axis."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._native import SCAN, fail, in_c_order, lib
from tensorgrad._tensor import Tensor, as_tensor, copy_raw, empty_raw, full_raw, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.dtypes import F64, INT64, code_of, float32
from tensorgrad.errors import ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.joining import concat
from tensorgrad.ops.pointwise import exp
from tensorgrad.ops.shaping import reshape
from tensorgrad.ops.sorting import _along
from tensorgrad.shapes import Shape, normalize_axis

_CASES = (Case((5,)), Case((2, 3, 4), axis=1), Case((3, 19), axis=-1), Case((0, 3), axis=0))


def _counts(shape: Shape, axis: int) -> tuple[int, int, int]:
    outer = inner = 1
    for n in shape[:axis]:
        outer *= n
    for n in shape[axis + 1 :]:
        inner *= n
    return outer, shape[axis], inner


def _scan(kernel: str, name: str, x: Tensor, axis: int, reverse: bool) -> Tensor:
    axis = normalize_axis(axis, len(x._shape), name)
    if x._strides is not None:
        x = copy_raw(x)
    y = empty_raw(x._shape, x._size, x._code)
    status = lib.tg_scan(
        SCAN[kernel], x._code, reverse, *_counts(x._shape, axis), x._ptr, y._ptr
    )  # fmt: skip
    if status:
        fail(status, name, y._storage)
    return y


def _by_numpy(function: Any, x: Tensor, axis: int, reverse: bool) -> Tensor:
    array = x._array()
    if reverse:
        return wrap_array(np.flip(function(np.flip(array, axis), axis=axis), axis).copy())
    return wrap_array(in_c_order(function(array, axis=axis)))


def _axis_of(x: Tensor, axis: int | None, name: str) -> tuple[Tensor, int]:
    """x flattened where no axis is named, and the axis."""
    if axis is None:
        return reshape(x, (-1,)), 0
    return x, normalize_axis(axis, x.ndim, name)


def _shifted(x: Tensor, axis: int, reverse: bool, fill: float) -> Tensor:
    """What came before each element, along the direction of a scan; `fill` before the first."""
    n = x.shape[axis]
    if n == 0:
        return x
    axis = axis % x.ndim
    lead: Any = (slice(None),) * axis
    edge = full_raw(
        (*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.size // n, code_of(x.dtype, ""), fill
    )
    kept = (*lead, slice(1, n) if reverse else slice(0, n - 1))
    rest = x[kept]
    return concat([rest, edge] if reverse else [edge, rest], axis)


@op(
    gradient=lambda gy, y, x, axis, reverse=False: scan_sum(gy, axis, not reverse),
    reference=lambda x, axis, reverse=False: (
        np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)
    ),
    cases=(Case((5,), axis=0), Case((2, 3, 4), axis=1, reverse=True), Case((3, 19), axis=-1)),
    method=False,
)
def scan_sum(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """The sum of all elements up to each one along an axis; with `reverse`, from it to the end. x:
    (...), any numeric dtype. Returns (...). The op under `cumsum` and `cumulative_sum`.

    >>> import tensorgrad
    >>> tensorgrad.ops.scan_sum(tensorgrad.tensor([1.0, 2.0, 3.0]), 0, reverse=True)
    tensor([6., 5., 3.])
    """
    if x._code > F64:
        return _by_numpy(np.cumsum, x, axis, reverse)
    return _scan("sum", "cumulative_sum", x, axis, reverse)


def _prod_gradient(gy: Tensor, y: Tensor, x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    # sum over j >= k of gy[j] * product of x[..j] without x[k]: no division, so zeros do no harm
    after = linear_recurrence(_shifted(x, axis, not reverse, 0.0), gy, axis, not reverse)
    return _shifted(y, axis, reverse, 1.0) * after


@op(
    gradient=_prod_gradient,
    saves=("x", "y"),
    reference=lambda x, axis, reverse=False: (
        np.flip(np.cumprod(np.flip(x, axis), axis), axis) if reverse else np.cumprod(x, axis)
    ),
    cases=(Case((5,), axis=0), Case((2, 3, 4), axis=1, reverse=True), Case((3, 6), axis=-1)),
    method=False,
)
def scan_prod(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """The product of all elements up to each one along an axis; with `reverse`, from it to the end.
    Gradients of all orders are right where elements are zero. x: (...), any numeric dtype. Returns
    (...). The op under `cumprod` and `cumulative_prod`.

    >>> import tensorgrad
    >>> tensorgrad.ops.scan_prod(tensorgrad.tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 2., 6.])
    """
    if x._code > F64:
        return _by_numpy(np.cumprod, x, axis, reverse)
    return _scan("prod", "cumulative_prod", x, axis, reverse)


def exclusive_prod(x: Tensor, axis: int, reverse: bool) -> Tensor:
    """The product of what comes before each element, or with `reverse` after it."""
    return _shifted(scan_prod(x, axis, reverse), axis, reverse, 1.0)


def _recurrence_reference(
    a: np.ndarray, b: np.ndarray, axis: int = -1, reverse: bool = False
) -> np.ndarray:
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    y = np.zeros_like(b)
    order = range(len(b))[::-1] if reverse else range(len(b))
    before: Any = 0.0
    for i in order:
        y[i] = before = b[i] + a[i] * before
    return np.moveaxis(y, 0, axis)


@op(
    gradient=(
        lambda gy, y, a, b, axis=-1, reverse=False: (
            _shifted(y, axis, reverse, 0.0)
            * linear_recurrence(_shifted(a, axis, not reverse, 0.0), gy, axis, not reverse)
        ),
        lambda gy, y, a, b, axis=-1, reverse=False: linear_recurrence(
            _shifted(a, axis, not reverse, 0.0), gy, axis, not reverse
        ),
    ),
    saves=("a", "y"),
    reference=_recurrence_reference,
    cases=(
        Case((5,), (5,)),
        Case((2, 4, 3), (2, 4, 3), axis=1, reverse=True),
        Case((2, 9), (2, 9)),
    ),
    method=False,
)
def linear_recurrence(a: Tensor, b: Tensor, axis: int = -1, reverse: bool = False) -> Tensor:
    """y[i] = b[i] + a[i] * y[i - 1] along an axis (y[i + 1] with `reverse`), 0 being before the
    first. a, b: (...), one shape, float. Returns (...). Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.linear_recurrence(tensorgrad.tensor([0.5, 0.5]), tensorgrad.ones(2))
    tensor([1. , 1.5])
    """
    if a._shape != b._shape:
        raise ShapeError(f"linear_recurrence: expected one shape, got {a._shape} and {b._shape}")
    a, b = (t if t._code <= F64 else t.astype(float32) for t in (a, b))
    if a._code != b._code:
        code = max(a._code, b._code)
        a, b = (t if t._code == code else t.astype("float64") for t in (a, b))
    axis = normalize_axis(axis, len(a._shape), "linear_recurrence")
    a, b = (t if t._strides is None else copy_raw(t) for t in (a, b))
    y = empty_raw(b._shape, b._size, b._code)
    status = lib.tg_recurrence(
        b._code, reverse, *_counts(b._shape, axis), a._ptr, b._ptr, y._ptr
    )  # fmt: skip
    if status:
        fail(status, "linear_recurrence", y._storage)
    return y


def _cumulative(
    scan: Any, name: str, x: Any, axis: int | None, dtype: Any, initial: int | None, flatten: bool
) -> Tensor:
    x = as_tensor(x, name)
    if axis is None and not flatten and x.ndim > 1:
        raise ShapeError(f"{name}: expected an axis for a tensor of shape {x.shape}")
    if dtype is not None:
        x = x if x.dtype == np.dtype(dtype) else x.astype(dtype)
    x, axis = _axis_of(x, axis, name)
    y: Tensor = scan(x, axis)
    if dtype is not None and y.dtype != np.dtype(dtype):
        y = y.astype(dtype)
    if initial is not None:
        shape = (*y.shape[:axis], 1, *y.shape[axis + 1 :])
        y = concat([wrap_array(np.full(shape, initial, y.dtype)), y], axis)
    return y


def _with_initial(function: Any, identity: int) -> Any:
    def reference(
        x: np.ndarray, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> np.ndarray:
        y = function(x, axis=axis, dtype=dtype)
        if not include_initial:
            return np.asarray(y)
        at = 0 if axis is None else axis
        return np.insert(y, 0, identity, axis=at)

    return reference


@composite(
    reference=_with_initial(np.cumsum, 0),
    cases=(*_CASES, Case((2, 3), axis=1, include_initial=True), Case((4,), dtype=np.float64)),
)
def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The sum of all elements up to each one along an axis (may be left out for one axis only). x:
    (...), any numeric dtype; integers sum in 64 bits. include_initial: a 0 comes first. Returns
    (...), the axis longer by 1 then. Raises ShapeError. (Array API.)

    >>> import tensorgrad
    >>> tensorgrad.cumulative_sum(tensorgrad.tensor([1.0, 2.0, 3.0]), include_initial=True)
    tensor([0., 1., 3., 6.])
    """
    initial = 0 if include_initial else None
    return _cumulative(scan_sum, "cumulative_sum", x, axis, dtype, initial, False)


@composite(
    reference=_with_initial(np.cumprod, 1),
    cases=(*_CASES[:2], Case((2, 3), axis=1, include_initial=True)),
)
def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The product of all elements up to each one along an axis (may be left out for one axis only).
    x: (...), any numeric dtype. include_initial: a 1 comes first. Returns (...), the axis longer by
    1 then. Raises ShapeError. (Array API.)

    >>> import tensorgrad
    >>> tensorgrad.cumulative_prod(tensorgrad.tensor([2.0, 3.0]))
    tensor([2., 6.])
    """
    initial = 1 if include_initial else None
    return _cumulative(scan_prod, "cumulative_prod", x, axis, dtype, initial, False)


@composite(reference=np.cumsum, cases=(*_CASES, Case((2, 3)), Case(())))
def cumsum(x: Tensor, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The sum of all elements up to each one along an axis (None: of the flattened tensor), as in
    NumPy. x: (...). Returns (...).

    >>> import tensorgrad
    >>> tensorgrad.cumsum(tensorgrad.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    return _cumulative(scan_sum, "cumsum", x, axis, dtype, None, True)


@composite(reference=np.cumprod, cases=(Case((5,)), Case((2, 3, 4), axis=1), Case((2, 3))))
def cumprod(x: Tensor, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The product of all elements up to each one along an axis (None: of the flattened tensor), as
    in NumPy. x: (...). Returns (...).

    >>> import tensorgrad
    >>> tensorgrad.cumprod(tensorgrad.tensor([1.0, 2.0, 3.0]))
    tensor([1., 2., 6.])
    """
    return _cumulative(scan_prod, "cumprod", x, axis, dtype, None, True)


def _log_gradient(gy: Tensor, y: Tensor, x: Tensor, axis: int) -> Tensor:
    # sum over j >= k of gy[j] * exp(x[k] - y[j]); y never falls, so that no factor is above 1
    following = _shifted(y, axis, True, float("inf"))
    factor = exp(where(y == following, 0.0, y - following))
    total = linear_recurrence(factor, gy, axis, True)
    return total * exp(x - where(y == float("-inf"), 0.0, y))


@op(
    gradient=_log_gradient,
    saves=("x", "y"),
    reference=lambda x, axis: np.logaddexp.accumulate(x, axis),
    cases=(Case((5,), axis=0), Case((2, 3, 4), axis=1), Case((2, 19), axis=-1)),
)
def logcumsumexp(x: Tensor, axis: int) -> Tensor:
    """log of the sum of exp over all elements up to each one along an axis, without overflow. x:
    (...); integers become float32. Returns (...). The gradient of a -inf is 0.

    >>> import tensorgrad
    >>> tensorgrad.logcumsumexp(tensorgrad.tensor([1e4, 1e4]), 0)
    tensor([10000.   , 10000.693])
    """
    if x._code > F64:
        x = x.astype(float32)
    return _scan("logsumexp", "logcumsumexp", x, axis, False)


class CumulativeExtreme(NamedTuple):
    """What `cummax` and `cummin` return."""

    values: Tensor
    indices: Tensor


def _positions(name: str, kernel: str, x: Tensor, axis: int) -> Tensor:
    x = x.detach()
    if x._code > F64:
        x = x.astype("float64")
    if x._strides is not None:
        x = copy_raw(x)
    y = empty_raw(x._shape, x._size, INT64)
    status = lib.tg_argscan(SCAN[kernel], x._code, *_counts(x._shape, axis), x._ptr, y._ptr)
    if status:
        fail(status, name, y._storage)
    return y


def _extreme_reference(accumulate: Any) -> Any:
    def reference(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        values = accumulate(x, axis)
        moved, best = np.moveaxis(x, axis, 0), np.moveaxis(values, axis, 0)
        places = np.arange(len(moved)).reshape(-1, *(1,) * (moved.ndim - 1))
        found = np.maximum.accumulate(np.where(moved == best, places, 0), 0)
        return values, np.moveaxis(found, 0, axis)

    return reference


@composite(
    batching="loop",
    reference=_extreme_reference(np.maximum.accumulate),
    cases=(Case((5,), axis=0), Case((2, 3, 4), axis=1)),
)
def cummax(x: Tensor, axis: int) -> CumulativeExtreme:
    """The largest of all elements up to each one along an axis, and where it is: the last of
    equals; a NaN stays. The gradient goes to the element chosen. x: (...), real. Returns (values,
    indices), each (...).

    >>> import tensorgrad
    >>> tensorgrad.cummax(tensorgrad.tensor([1.0, 3.0, 2.0]), 0).values
    tensor([1., 3., 3.])
    """
    x = as_tensor(x, "cummax")
    axis = normalize_axis(axis, x.ndim, "cummax")
    indices = _positions("cummax", "max", x, axis)
    return CumulativeExtreme(_along(x, indices, axis), indices)


@composite(
    batching="loop",
    reference=_extreme_reference(np.minimum.accumulate),
    cases=(Case((5,), axis=0), Case((2, 3, 4), axis=1)),
)
def cummin(x: Tensor, axis: int) -> CumulativeExtreme:
    """The smallest of all elements up to each one along an axis, and where it is: the last of
    equals; a NaN stays. The gradient goes to the element chosen. x: (...), real. Returns (values,
    indices), each (...).

    >>> import tensorgrad
    >>> tensorgrad.cummin(tensorgrad.tensor([2.0, 3.0, 1.0]), 0).values
    tensor([2., 2., 1.])
    """
    x = as_tensor(x, "cummin")
    axis = normalize_axis(axis, x.ndim, "cummin")
    indices = _positions("cummin", "min", x, axis)
    return CumulativeExtreme(_along(x, indices, axis), indices)


__all__ = [
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "linear_recurrence",
    "logcumsumexp",
    "scan_prod",
    "scan_sum",
]
