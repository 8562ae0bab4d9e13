"""Order statistics, norms of all orders and differences, written in other ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.gathering import take
from tensorgrad.ops.joining import concat
from tensorgrad.ops.reductions import euclidean_norm, max, min, sum
from tensorgrad.ops.shaping import broadcast_to, permute_dims, reshape
from tensorgrad.ops.sorting import sort
from tensorgrad.shapes import normalize_axes, normalize_axis, reduced_shape


def axes_as_last(x: Any, axis: Any, name: str) -> tuple[Any, tuple[int, ...]]:
    """x with the axes reduced over merged into a last one, and these axes. Integers become
    float64. Raises ShapeError where there is nothing to reduce."""
    x = as_tensor(x, name)
    if x.dtype.kind in "iub":
        x = x.astype("float64")
    axes = normalize_axes(axis, x.ndim, name)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    n = 1
    for a in axes:
        n *= x.shape[a]
    if n == 0:
        raise ShapeError(
            f"{name}: expected at least one element along the reduced axes, got shape {x.shape}"
        )
    shape = tuple(x.shape[i] for i in kept)
    moved = x if kept + axes == tuple(range(x.ndim)) else permute_dims(x, kept + axes)
    return reshape(moved, (*shape, n)), axes


def checked_probabilities(q: Any, name: str) -> np.ndarray:
    """q as float64, without a tape. Raises ArgumentError outside [0, 1]."""
    # a float32 such as 0.1 stands for the number that was written
    array = np.asarray(q) if isinstance(q, (float, int)) else as_tensor(q, name)._array()
    return _checked(array, name)


@one_step
def _checked(array: np.ndarray, name: str) -> np.ndarray:
    array = array.astype(np.float64)
    if not ((array >= 0) & (array <= 1)).all():
        raise ArgumentError(f"{name}: expected probabilities in [0, 1], got {array}")
    return array


@one_step
def places(at: np.ndarray, method: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions of both neighbours of real positions, and the weight of the second."""
    low, high = np.floor(at), np.ceil(at)
    if method == "lower":
        high = low
    elif method == "higher":
        low = high
    elif method == "nearest":
        low = high = np.rint(at)
    elif method not in ("linear", "midpoint"):
        raise ArgumentError(
            f"{name}: expected a method among linear, lower, higher, nearest, midpoint, "
            f"got {method!r}"
        )
    weight = np.where(high > low, 0.5 if method == "midpoint" else at - low, 0.0)
    return low.astype(np.int64), high.astype(np.int64), weight


def between(low: Any, high: Any, weight: Any) -> Any:
    """Both mixed; a weight of 0 leaves an infinite neighbour out."""
    return where(weight == 0.0, low, low * (1.0 - weight) + high * weight)


def in_place_of_axes(y: Any, q_shape: Any, shape: Any, axes: Any, keepdims: bool) -> Any:
    """(..., quantiles) -> the quantiles' axes first, as in NumPy, and the reduced ones if kept."""
    rest = y.ndim - 1
    if q_shape:
        y = permute_dims(y, (rest, *range(rest)))
    return reshape(y, (*q_shape, *reduced_shape(shape, axes, keepdims)))


def _quantile_reference(
    x: np.ndarray, q: Any, axis: Any = None, keepdims: bool = False, method: Any = "linear"
) -> Any:
    function: Any = np.quantile  # whose overloads do not know a method that is a variable
    return function(x, q, axis=axis, keepdims=keepdims, method=method)


QUANTILES = (
    Case((7,), q=0.3),
    Case((2, 3, 4), q=0.5, axis=1, keepdims=True),
    Case((2, 3, 4), q=np.array([0.1, 1.0]), axis=(0, 2)),
    Case((5, 3), q=0.25, axis=0, method="midpoint"),
    Case((5, 3), q=0.33, axis=0, method="lower"),
    Case((5, 3), q=0.33, axis=0, method="higher"),
    Case((6,), q=0.3, method="nearest"),
)


@composite(batching="loop", reference=_quantile_reference, cases=QUANTILES)
def quantile(
    x: Tensor, q: Any, axis: Any = None, keepdims: bool = False, method: str = "linear"
) -> Tensor:
    """The values below which the fraction q of the elements over axes (None: all) lies; NaN where
    there is one. The gradient goes to the elements that the value is made of. x: (...), real; q: a
    number or any shape, in [0, 1]; method: linear, lower, higher, nearest or midpoint, between
    neighbours. Returns q's shape and then what is left of x's. Raises ArgumentError, ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.quantile(tensorgrad.tensor([4.0, 1.0, 2.0]), 0.25)
    tensor(1.5)
    """
    shape = as_tensor(x, "quantile").shape
    rows, axes = axes_as_last(x, axis, "quantile")
    probabilities = checked_probabilities(q, "quantile")
    ordered = sort(rows)
    n = ordered.shape[-1]
    low, high, weight = places(probabilities.reshape(-1) * (n - 1), method, "quantile")
    share = as_tensor(weight.astype(ordered.dtype), "quantile")
    first, second = (take(ordered, as_tensor(i, "quantile"), -1) for i in (low, high))
    y = between(first, second, share)
    last = ordered[..., n - 1 :]
    y = where(last != last, float("nan"), y)  # a NaN is sorted to the end
    return in_place_of_axes(y, probabilities.shape, shape, axes, keepdims)


@composite(
    batching="loop",
    reference=lambda x, axis=None, keepdims=False: np.median(x, axis=axis, keepdims=keepdims),
    cases=(
        Case((7,)),
        Case((6,)),
        Case((2, 3, 4), axis=(0, 2)),
        Case((2, 5), axis=1, keepdims=True),
    ),
)
def median(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The middle element over axes (None: all), of an even number the mean of both (as NumPy, not
    PyTorch, has it); NaN where there is one. x: (...), real. Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.median(tensorgrad.tensor([4.0, 1.0, 2.0]))
    tensor(2.)
    """
    return quantile(x, 0.5, axis, keepdims)


def _norm_reference(
    x: np.ndarray, axis: Any = None, keepdims: bool = False, ord: float = 2
) -> np.ndarray:
    a = np.abs(x)
    if ord == np.inf:
        return np.asarray(a.max(axis=axis, keepdims=keepdims))
    if ord == -np.inf:
        return np.asarray(a.min(axis=axis, keepdims=keepdims))
    if ord == 0:
        return np.asarray((a != 0).sum(axis=axis, keepdims=keepdims), x.dtype)
    return np.asarray((a**ord).sum(axis=axis, keepdims=keepdims) ** (1 / ord))


@composite(
    reference=_norm_reference,
    cases=(
        Case((2, 3, 4), axis=(0, 2)),
        Case((5,)),
        Case((2, 3), axis=1, keepdims=True, ord=1, avoid=[0.0]),
        Case((2, 3), axis=1, ord=3, avoid=[0.0]),
        Case((2, 3), axis=0, ord=0.5, avoid=[0.0]),
        Case((2, 3), axis=0, ord=float("inf"), avoid=[0.0]),
        Case((2, 3), axis=1, ord=-float("inf"), avoid=[0.0]),
        Case((2, 3), axis=1, ord=-2, avoid=[0.0]),
    ),
    tags=("reduction",),
)
def norm(x: Tensor, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The vector norm of order `ord` over axes (None: all): sum(|x|^ord)^(1 / ord); the largest or
    smallest |x| for inf and -inf, the number of elements that are not 0 for 0, which has no
    gradient. The powers are of numbers scaled by the largest, but for the squares of order 2, so that
    they do not overflow. The gradient is 0 where the norm is, and shared by equals for inf and -inf.
    x: (...); integers become float32.

    >>> import tensorgrad
    >>> tensorgrad.norm(tensorgrad.tensor([3.0, 4.0]))
    tensor(5.)
    >>> tensorgrad.norm(tensorgrad.tensor([3.0, -4.0]), ord=1)
    tensor(7.)
    """
    if ord == 2:
        return euclidean_norm(x, axis, keepdims)
    x = as_tensor(x, "norm")
    if x.dtype.kind in "iub":
        x = x.astype("float32")
    if ord == 0:
        return sum((x != 0.0).astype(x.dtype), axis, keepdims)
    size = abs(x)
    if ord == float("inf"):
        return max(size, axis, keepdims)
    if ord == -float("inf"):
        return min(size, axis, keepdims)
    if ord == 1:
        return sum(size, axis, keepdims)
    axes = normalize_axes(axis, x.ndim, "norm")
    if not all(x.shape[a] for a in axes):
        return sum(size, axes, keepdims)
    # the result does not depend on the scale, so its derivative by that is 0
    kept = size.detach()
    scale = max(kept, axes, True) if ord > 0 else min(kept, axes, True)
    scale = where((scale == 0.0) | (scale == float("inf")), 1.0, scale)
    # powers of 0 have no finite gradient for an order below 1; that of the norm is taken as 0
    ratio = size / scale
    zero, of_zero = ratio == 0.0, 0.0 if ord > 0 else float("inf")
    total = sum(where(zero, of_zero, where(zero, 1.0, ratio) ** float(ord)), axes, True)
    nothing = total == 0.0
    result = where(nothing, of_zero, where(nothing, 1.0, total) ** (1.0 / ord)) * scale
    return result if keepdims else reshape(result, reduced_shape(x.shape, axes, False))


def _extended(x: Any, edge: Any, axis: int) -> Any:
    """prepend or append of `diff`: a number becomes an edge of length 1."""
    edge = as_tensor(edge, "diff")
    if edge.ndim == 0:
        edge = broadcast_to(edge, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    return edge if edge.dtype == x.dtype else edge.astype(x.dtype)


def _diff_reference(
    x: np.ndarray, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> np.ndarray:
    edges = {"prepend": prepend, "append": append}
    return np.diff(x, n, axis, **{k: v for k, v in edges.items() if v is not None})


@composite(
    reference=_diff_reference,
    cases=(
        Case((5,)),
        Case((2, 4, 3), axis=1, n=2),
        Case((2, 3), axis=0, n=3),
        Case((2, 3), prepend=1.0, append=np.ones((2, 2))),
        Case(np.array([True, False, False])),
        Case(np.array([3, 1, 7]), n=0),
    ),
)
def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Tensor:
    """The differences of neighbours along an axis, n times over. prepend, append: put before and
    after x first, numbers or shapes like x's but for that axis. x: (..., m, ...); of bool, whether
    neighbours differ. Returns (..., m - n, ...). Raises ArgumentError, ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.diff(tensorgrad.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    x = as_tensor(x, "diff")
    if not x.ndim:
        raise ShapeError("diff: expected at least 1 axis, got a tensor without axes")
    if n < 0:
        raise ArgumentError(f"diff: expected n >= 0, got {n}")
    if n == 0:
        return x
    axis = normalize_axis(axis, x.ndim, "diff")
    before = [] if prepend is None else [_extended(x, prepend, axis)]
    after = [] if append is None else [_extended(x, append, axis)]
    if before or after:
        x = concat([*before, x, *after], axis)
    lead: Any = (slice(None),) * axis
    upper, lower = (*lead, slice(1, None)), (*lead, slice(None, -1))
    for _ in range(n):
        x = x[upper] != x[lower] if x.dtype.kind == "b" else x[upper] - x[lower]
    return x


__all__ = ["diff", "median", "norm", "quantile"]
