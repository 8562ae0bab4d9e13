"""Sums and their kind over any axes. The C kernels reduce one run of neighbouring axes at a
time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tensorgrad._native import ARGREDUCE, REDUCE, fail, lib
from tensorgrad._tensor import Tensor, copy_raw, empty_raw, view, wrap_array
from tensorgrad.autograd import Case, composite, is_grad_enabled, op
from tensorgrad.dtypes import F64, INT64, float32
from tensorgrad.errors import ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.shaping import broadcast_to, reshape
from tensorgrad.shapes import (
    Shape,
    broadcast_strides,
    contiguous_strides,
    normalize_axes,
    normalize_axis,
    reduced_shape,
)

_AXES: tuple[dict[str, Any], ...] = (
    {},
    {"axis": 0},
    {"axis": -1},
    {"axis": (0, 2)},
    {"axis": 1, "keepdims": True},
    {"axis": (0, 1, 2), "keepdims": True},
)
CASES = (
    *tuple(Case((2, 3, 4), **axes) for axes in _AXES),
    Case((5,)),
    Case(()),
    Case((3, 1), axis=1),
)


def _count(shape: Shape) -> int:
    n = 1
    for length in shape:
        n *= length
    return n


@lru_cache(4096)
def _plan(
    shape: Shape, axis: Any, keepdims: bool, name: str
) -> tuple[tuple[tuple[int, int, int, int], ...], Shape]:
    """How to reduce an array of `shape`: for every run of neighbouring axes, from the last, (outer,
    n, inner, size of the result); and the shape at the end."""
    axes = normalize_axes(axis, len(shape), name)
    runs: list[tuple[int, int]] = []
    for a in reversed(axes):
        if runs and runs[-1][0] == a + 1:
            runs[-1] = (a, runs[-1][1])
        else:
            runs.append((a, a + 1))
    steps = []
    current = shape
    for first, last in runs or [(0, 0)]:
        outer, n, inner = (
            _count(current[:first]),
            _count(current[first:last]),
            _count(current[last:]),
        )
        steps.append((outer, n, inner, outer * inner))
        current = current[:first] + (1,) * (last - first) + current[last:]
    return tuple(steps), reduced_shape(shape, axes, keepdims)


_tg_reduce = lib.tg_reduce


def reduce_raw(name: str, x: Tensor, axis: Any, keepdims: bool, then: str | None = None) -> Tensor:
    """The C reduction `name` of a float tensor over axes, off the tape. `then` is what combines the
    results of one run of axes with those of the next, if it is another op (sums after a sum of
    squares)."""
    if x._strides is not None:
        x = copy_raw(x)
    steps, shape = _plan(x._shape, tuple(axis) if axis.__class__ is list else axis, keepdims, name)
    kernel = REDUCE[name]
    for outer, n, inner, size in steps:
        y = empty_raw(shape, size, x._code)
        status = _tg_reduce(kernel, x._code, outer, n, inner, x._ptr, y._ptr)
        if status:
            fail(status, name, y._storage)
        x = y
        kernel = REDUCE[then or name]
    return y


@lru_cache(4096)
def _expansion(shape: Shape, axis: Any) -> tuple[Shape, Shape]:
    """Of a contiguous reduction over `axis` of an array of `shape`: its shape with the reduced axes
    kept, and the strides that repeat it along them."""
    kept = reduced_shape(shape, normalize_axes(axis, len(shape), "reduction"), True)
    return kept, broadcast_strides(kept, contiguous_strides(kept), shape)


def expand(reduced: Tensor, shape: Shape, axis: Any) -> Tensor:
    """A reduction's result (or its gradient) repeated to the shape of the input: a view."""
    kept, strides = _expansion(shape, tuple(axis) if axis.__class__ is list else axis)
    if is_grad_enabled() or reduced._strides is not None:
        return broadcast_to(reshape(reduced, kept), shape)
    return view(reduced, shape, strides, 0)


def _by_numpy(
    function: Callable[..., Any], x: Tensor, axis: Any, keepdims: bool, name: str
) -> Tensor:
    """Integer and boolean reductions."""
    axes = normalize_axes(axis, len(x._shape), name)
    try:
        return wrap_array(np.asarray(function(x._array(), axis=axes, keepdims=keepdims)))
    except ValueError as error:
        raise ShapeError(f"{name}: {error}") from None


@op(
    gradient=lambda gy, y, x, axis=None, keepdims=False: expand(gy, x.shape, axis),
    reference=np.sum,
    cases=(*CASES, Case((0, 3), axis=0)),
    tags=("reduction",),
)
def sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes (None: all), pairwise, so that its error grows with log n. x: (...), any
    dtype; integers sum in int64.

    >>> import tensorgrad
    >>> tensorgrad.sum(tensorgrad.ones((2, 3)), axis=1)
    tensor([3., 3.])
    """
    if x._code > F64:
        return _by_numpy(np.sum, x, axis, keepdims, "sum")
    return reduce_raw("sum", x, axis, keepdims)


def _mean_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False
) -> Tensor:
    n = _count(tuple(x.shape[a] for a in normalize_axes(axis, len(x.shape), "mean")))
    return expand(gy * (1.0 / n if n else float("nan")), x.shape, axis)


@op(gradient=_mean_gradient, reference=np.mean, cases=CASES, tags=("reduction",))
def mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over axes (None: all); NaN over nothing. x: (...); integers become float32.

    >>> import tensorgrad
    >>> tensorgrad.mean(tensorgrad.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    if x._code > F64:
        x = x.astype(float32)
    return reduce_raw("mean", x, axis, keepdims)


def _extreme_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False
) -> Tensor:
    # equal extremes share the gradient evenly
    winners = (x == expand(y.detach(), x.shape, axis)).astype(gy.dtype)
    share = gy / reshape(winners.sum(axis), gy.shape)
    return expand(share, x.shape, axis) * winners


def _extreme(name: str, ufunc: Any, x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    if x._size == 0 and 0 in (x._shape[a] for a in normalize_axes(axis, len(x._shape), name)):
        raise ShapeError(
            f"{name}: expected at least one element along the reduced axes, got shape {x._shape}"
        )
    if x._code > F64:
        return _by_numpy(ufunc, x, axis, keepdims, name)
    return reduce_raw(name, x, axis, keepdims)


@op(
    gradient=_extreme_gradient,
    saves=("x", "y"),
    reference=np.max,
    cases=CASES,
    method=("max", "amax"),
    tags=("reduction",),
)
def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes (None: all), NaN if there is one; equal ones share the
    gradient. x: (...), any real dtype. Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.max(tensorgrad.tensor([[1.0, 5.0], [3.0, 2.0]]), axis=0)
    tensor([3., 5.])
    """
    return _extreme("max", np.max, x, axis, keepdims)


@op(
    gradient=_extreme_gradient,
    saves=("x", "y"),
    reference=np.min,
    cases=CASES,
    method=("min", "amin"),
    tags=("reduction",),
)
def min(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes (None: all), NaN if there is one; equal ones share the
    gradient. x: (...), any real dtype. Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.min(tensorgrad.tensor([[1.0, 5.0], [3.0, 2.0]]), axis=0)
    tensor([1., 2.])
    """
    return _extreme("min", np.min, x, axis, keepdims)


def _prod_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False
) -> Tensor:
    # the product of the others, also where some are zero
    zero = x == 0.0
    others = where(zero, 1.0, x)
    zeros = expand(zero.astype(x.dtype).sum(axis), x.shape, axis)
    product = expand(prod(others, axis), x.shape, axis)
    return expand(gy, x.shape, axis) * where(
        zero, where(zeros == 1.0, product, 0.0), where(zeros == 0.0, product / others, 0.0)
    )


@op(
    gradient=_prod_gradient,
    saves=("x",),
    reference=np.prod,
    cases=(*CASES, Case((0, 3), axis=0)),
    tags=("reduction",),
)
def prod(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes (None: all). x: (...), any dtype. Its gradient is right where elements
    are zero; its second derivative is so only where none is.

    >>> import tensorgrad
    >>> tensorgrad.prod(tensorgrad.tensor([2.0, 3.0]))
    tensor(6.)
    """
    if x._code > F64:
        return _by_numpy(np.prod, x, axis, keepdims, "prod")
    return reduce_raw("prod", x, axis, keepdims)


@composite(
    reference=lambda x, axis=None, correction=0, keepdims=False: np.var(
        x, axis=axis, ddof=correction, keepdims=keepdims
    ),
    cases=(*CASES[:6], Case((3, 4), axis=1, correction=1)),
    tags=("reduction",),
)
def var(x: Tensor, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """The variance over axes (None: all): the sum of squared deviations from the mean, divided by n
    - correction.

    >>> import tensorgrad
    >>> tensorgrad.var(tensorgrad.tensor([1.0, 3.0]), correction=1)
    tensor(2.)
    """
    axes = normalize_axes(axis, len(x._shape), "var")
    n = _count(tuple(x._shape[a] for a in axes)) - correction
    deviation = x - mean(x, axes, keepdims=True)
    return sum(deviation * deviation, axes, keepdims) * (1.0 / n if n > 0 else float("nan"))


@composite(
    reference=lambda x, axis=None, correction=0, keepdims=False: np.std(
        x, axis=axis, ddof=correction, keepdims=keepdims
    ),
    cases=(*CASES[:6], Case((3, 4), axis=1, correction=1)),
    tags=("reduction",),
)
def std(x: Tensor, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes (None: all): the square root of `var`.

    >>> import tensorgrad
    >>> tensorgrad.std(tensorgrad.tensor([1.0, 3.0]))
    tensor(1.)
    """
    return var(x, axis, correction, keepdims).sqrt()


def _norm_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False
) -> Tensor:
    # 0 at the origin, the subgradient of least norm
    scale = where(y == 0.0, 0.0, gy / where(y == 0.0, 1.0, y))
    return expand(scale, x.shape, axis) * x


@op(
    gradient=_norm_gradient,
    saves=("x", "y"),
    reference=lambda x, axis=None, keepdims=False: np.sqrt(
        np.sum(np.square(x), axis=axis, keepdims=keepdims)
    ),
    cases=CASES,
    tags=("reduction",),
)
def norm(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The Euclidean norm over axes (None: all). The gradient at 0 is 0. x: (...), float.

    >>> import tensorgrad
    >>> tensorgrad.norm(tensorgrad.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = x if x._code <= F64 else x.astype(float32)
    return reduce_raw("sumsq", x, axis, keepdims, then="sum").sqrt()


def _logsumexp_reference(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


@composite(reference=_logsumexp_reference, cases=CASES, tags=("reduction",))
def logsumexp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes (None: all), without overflow. x: (...), float.

    >>> import tensorgrad
    >>> tensorgrad.logsumexp(tensorgrad.tensor([1e4, 1e4]))
    tensor(10000.693)
    """
    axes = normalize_axes(axis, len(x._shape), "logsumexp")
    top = max(x.detach(), axes, keepdims=True)
    top = where(top.abs() == float("inf"), 0.0, top)  # all -inf gives -inf, an inf gives inf
    result = sum((x - top).exp(), axes, keepdims=True).log() + top
    return result if keepdims else reshape(result, reduced_shape(x._shape, axes, False))


# ---- positions and truth -------------------------------------------------------------------------


def _arg(name: str, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    if axis is None:
        flat = x if x._strides is None else x.contiguous()
        i, shape = 0, (1,) * len(x._shape) if keepdims else ()
        x = view(flat, (flat._size,), None, 0)
    else:
        i = normalize_axis(axis, len(x._shape), name)
        shape = reduced_shape(x._shape, (i,), keepdims)
        x = x if x._strides is None else x.contiguous()
    if x._shape[i] == 0:
        raise ShapeError(
            f"{name}: expected at least one element along the reduced axis, got shape {x._shape}"
        )
    if x._code > F64:
        found = getattr(np, name)(x._array(), axis=i)
        return reshape(wrap_array(np.asarray(found, dtype=np.int64)), shape)
    outer, inner = _count(x._shape[:i]), _count(x._shape[i + 1 :])
    y = empty_raw(shape, outer * inner, INT64)
    status = lib.tg_argreduce(ARGREDUCE[name], x._code, outer, x._shape[i], inner, x._ptr, y._ptr)
    if status:
        fail(status, name, y._storage)
    return y


@op(
    gradient=None,
    reference=np.argmax,
    cases=(Case((3, 4)), Case((2, 3, 4), axis=1), Case((2, 3), axis=-1, keepdims=True)),
)
def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the largest element along an axis (None: in the flattened tensor), the first
    of equals, a NaN before all. Returns int64. Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.argmax(tensorgrad.tensor([1.0, 5.0, 3.0]))
    tensor(1)
    """
    return _arg("argmax", x, axis, keepdims)


@op(
    gradient=None,
    reference=np.argmin,
    cases=(Case((3, 4)), Case((2, 3, 4), axis=1), Case((2, 3), axis=-1, keepdims=True)),
)
def argmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the smallest element along an axis (None: in the flattened tensor), the first
    of equals, a NaN before all. Returns int64. Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.argmin(tensorgrad.tensor([1.0, 5.0, 3.0]))
    tensor(0)
    """
    return _arg("argmin", x, axis, keepdims)


@op(gradient=None, reference=np.all, cases=(Case((3, 4)), Case((2, 3), axis=0)), kernel="NumPy")
def all(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether every element over axes (None: all) is true. Returns bool.

    >>> import tensorgrad
    >>> tensorgrad.all(tensorgrad.tensor([True, False]))
    tensor(False)
    """
    return _by_numpy(np.all, x, axis, keepdims, "all")


@op(gradient=None, reference=np.any, cases=(Case((3, 4)), Case((2, 3), axis=0)), kernel="NumPy")
def any(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether some element over axes (None: all) is true. Returns bool.

    >>> import tensorgrad
    >>> tensorgrad.any(tensorgrad.tensor([True, False]))
    tensor(True)
    """
    return _by_numpy(np.any, x, axis, keepdims, "any")


__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "logsumexp",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
]
