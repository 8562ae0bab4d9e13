"""Reductions that leave NaNs out. Their gradient is 0 at a NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.reductions import max, min, prod, sum
from tensorgrad.ops.sorting import _along, sort
from tensorgrad.ops.statistics import (
    axes_as_last,
    between,
    checked_probabilities,
    in_place_of_axes,
    places,
)

_HOLES = np.array([[1.0, np.nan, 2.0], [np.nan, 4.0, -1.0], [0.5, 3.0, np.nan], [9.0, 7.0, 8.0]])
_CASES = (
    Case((2, 3, 4), axis=(0, 2)),
    Case((5,)),
    Case((2, 3), axis=1, keepdims=True),
    Case(_HOLES),
    Case(_HOLES, axis=0),
    Case(_HOLES, axis=1, keepdims=True),
)


def _known(x: Any, name: str) -> tuple[Any, Any]:
    """x as float, and where it is a NaN."""
    x = as_tensor(x, name)
    if x.dtype.kind in "iub":
        x = x.astype("float32")
    return x, x != x


def _count(missing: Any, dtype: Any, axis: Any, keepdims: bool) -> Any:
    return sum((~missing).astype(dtype), axis, keepdims)


@composite(reference=np.nansum, cases=_CASES, tags=("reduction",))
def nansum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes (None: all) of the elements that are no NaN; 0 of none. x: (...).

    >>> import tensorgrad
    >>> tensorgrad.nansum(tensorgrad.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    x, missing = _known(x, "nansum")
    return sum(where(missing, 0.0, x), axis, keepdims)


@composite(reference=np.nanprod, cases=_CASES, tags=("reduction",))
def nanprod(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes (None: all) of the elements that are no NaN; 1 of none. x: (...).

    >>> import tensorgrad
    >>> tensorgrad.nanprod(tensorgrad.tensor([3.0, float("nan"), 2.0]))
    tensor(6.)
    """
    x, missing = _known(x, "nanprod")
    return prod(where(missing, 1.0, x), axis, keepdims)


@composite(reference=np.nanmean, cases=_CASES, tags=("reduction",))
def nanmean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over axes (None: all) of the elements that are no NaN; NaN of none. x: (...).

    >>> import tensorgrad
    >>> tensorgrad.nanmean(tensorgrad.tensor([1.0, float("nan"), 2.0]))
    tensor(1.5)
    """
    x, missing = _known(x, "nanmean")
    return sum(where(missing, 0.0, x), axis, keepdims) / _count(missing, x.dtype, axis, keepdims)


def _extreme(x: Any, axis: Any, keepdims: bool, name: str, fill: float, function: Any) -> Any:
    x, missing = _known(x, name)
    y = function(where(missing, fill, x), axis, keepdims)
    return where(_count(missing, x.dtype, axis, keepdims) == 0.0, float("nan"), y)


@composite(reference=np.nanmax, cases=_CASES, tags=("reduction",))
def nanmax(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest over axes (None: all) of the elements that are no NaN; NaN of NaNs alone. Equals
    share the gradient. x: (...). Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.nanmax(tensorgrad.tensor([1.0, float("nan"), 2.0]))
    tensor(2.)
    """
    return _extreme(x, axis, keepdims, "nanmax", -float("inf"), max)


@composite(reference=np.nanmin, cases=_CASES, tags=("reduction",))
def nanmin(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest over axes (None: all) of the elements that are no NaN; NaN of NaNs alone. Equals
    share the gradient. x: (...). Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.nanmin(tensorgrad.tensor([1.0, float("nan"), 2.0]))
    tensor(1.)
    """
    return _extreme(x, axis, keepdims, "nanmin", float("inf"), min)


@composite(
    reference=lambda x, axis=None, correction=0, keepdims=False: np.nanvar(
        x, axis=axis, ddof=correction, keepdims=keepdims
    ),
    cases=(*_CASES, Case(_HOLES, axis=0, correction=1)),
    tags=("reduction",),
)
def nanvar(x: Tensor, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """The variance over axes (None: all) of the elements that are no NaN: squares of deviations from
    their mean, divided by their number - correction; NaN unless that is above 0. x: (...).

    >>> import tensorgrad
    >>> tensorgrad.nanvar(tensorgrad.tensor([1.0, float("nan"), 3.0]))
    tensor(1.)
    """
    x, missing = _known(x, "nanvar")
    count = _count(missing, x.dtype, axis, True)
    center = sum(where(missing, 0.0, x), axis, True) / count
    squares = sum(where(missing, 0.0, x - center).square(), axis, keepdims)
    divisor = _count(missing, x.dtype, axis, keepdims) - float(correction)
    return squares / where(divisor > 0.0, divisor, float("nan"))


@composite(
    reference=lambda x, axis=None, correction=0, keepdims=False: np.nanstd(
        x, axis=axis, ddof=correction, keepdims=keepdims
    ),
    cases=(*_CASES, Case(_HOLES, axis=0, correction=1)),
    tags=("reduction",),
)
def nanstd(x: Tensor, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """The square root of `nanvar`; its gradient is 0 where it is 0.

    >>> import tensorgrad
    >>> tensorgrad.nanstd(tensorgrad.tensor([1.0, float("nan"), 3.0]))
    tensor(1.)
    """
    v = nanvar(x, axis, correction, keepdims)
    return where(v == 0.0, 0.0, where(v == 0.0, 1.0, v).sqrt())


@composite(
    batching="loop",
    reference=lambda x, q, axis=None, keepdims=False, method="linear": np.nanquantile(
        x, q, axis=axis, keepdims=keepdims, method=method
    ),
    cases=(
        Case((7,), q=0.3),
        Case((2, 3, 4), q=np.array([0.1, 1.0]), axis=(0, 2)),
        Case(_HOLES, q=0.4, axis=0),
        Case(_HOLES, q=np.array([0.0, 0.7]), axis=1, keepdims=True),
        Case(_HOLES, q=0.5, method="lower"),
    ),
)
def nanquantile(
    x: Tensor, q: Any, axis: Any = None, keepdims: bool = False, method: str = "linear"
) -> Tensor:
    """`quantile` of the elements that are no NaN; NaN of none.

    >>> import tensorgrad
    >>> tensorgrad.nanquantile(tensorgrad.tensor([4.0, float("nan"), 2.0]), 0.5)
    tensor(3.)
    """
    shape = as_tensor(x, "nanquantile").shape
    rows, axes = axes_as_last(x, axis, "nanquantile")
    probabilities = checked_probabilities(q, "nanquantile")
    ordered = sort(rows)  # NaNs are last
    count = sum((ordered == ordered).astype("int64"), -1, keepdims=True)._array()
    at = probabilities.reshape(-1) * np.maximum(count - 1, 0)
    low, high, weight = places(at, method, "nanquantile")
    share = as_tensor(weight.astype(ordered.dtype), "nanquantile")
    first, second = (_along(ordered, as_tensor(i, "nanquantile"), -1) for i in (low, high))
    y = between(first, second, share)
    return in_place_of_axes(y, probabilities.shape, shape, axes, keepdims)


@composite(batching="loop", reference=np.nanmedian, cases=_CASES)
def nanmedian(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """`median` of the elements that are no NaN; NaN of none.

    >>> import tensorgrad
    >>> tensorgrad.nanmedian(tensorgrad.tensor([4.0, float("nan"), 2.0]))
    tensor(3.)
    """
    return nanquantile(x, 0.5, axis, keepdims)


__all__ = [
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
]
