"""Sums and their kind over any axes. The C kernels reduce one run of neighbouring axes at a
time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tensorgrad._native import ARGREDUCE, REDUCE, Storage, fail, in_c_order, lib
from tensorgrad._tensor import Tensor, as_tensor, copy_raw, empty_raw, view, wrap_array
from tensorgrad.autograd import Case, composite, is_grad_enabled, op
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._traced import Traced
from tensorgrad.dtypes import DTYPES, F64, INT64, ITEMSIZES, code_of, float32
from tensorgrad.errors import DTypeError, ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.shaping import broadcast_to, permute_dims, reshape
from tensorgrad.shapes import (
    Shape,
    as_shape,
    broadcast_shapes,
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
_SUM, _MEAN, _MAX, _MIN = REDUCE["sum"], REDUCE["mean"], REDUCE["max"], REDUCE["min"]
_PROD, _NORM = REDUCE["prod"], REDUCE["norm"]
_ARGMAX, _ARGMIN = ARGREDUCE["argmax"], ARGREDUCE["argmin"]
CASES = (
    *tuple(Case((2, 3, 4), **axes) for axes in _AXES),
    Case((5,)),
    Case(()),
    Case((3, 1), axis=1),
)


def prod_of(shape: Shape) -> int:
    """The number of elements of an array of `shape`."""
    n = 1
    for length in shape:
        n *= length
    return n


def reduced_count(shape: Shape, axis: Any, name: str) -> int:
    """How many elements go into each result of a reduction."""
    return prod_of(tuple(shape[a] for a in normalize_axes(axis, len(shape), name)))


class Plan(NamedTuple):
    """How to reduce an array of some shape over some axes."""

    outer: int  # (outer, n, inner): the array as the kernel sees it
    n: int
    inner: int
    size: int  # of the result
    shape: Shape
    steps: tuple[tuple[int, int, int, int], ...] | None  # the same for every run of neighbouring
    # axes, from the last, where there is more than one: the result of one is the input of the next


_plans: dict[Any, Plan] = {}
_MOST_PLANS = 4096


def plan_of(shape: Shape, axis: Any, keepdims: bool, name: str) -> Plan:
    """The plan of a reduction. Kept for reuse, where the axis can be a key."""
    try:
        return _plans[shape, axis, keepdims]
    except (KeyError, TypeError):
        return _make_plan(shape, axis, keepdims, name)


def _make_plan(shape: Shape, axis: Any, keepdims: bool, name: str) -> Plan:
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
            prod_of(current[:first]),
            prod_of(current[first:last]),
            prod_of(current[last:]),
        )
        steps.append((outer, n, inner, outer * inner))
        current = current[:first] + (1,) * (last - first) + current[last:]
    made = Plan(
        *steps[0],
        reduced_shape(shape, axes, bool(keepdims)),
        tuple(steps) if len(steps) > 1 else None,
    )
    if axis.__class__ is not list:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[shape, axis, keepdims] = made
    return made


_new = Tensor.__new__
_new_storage = Storage.__new__
_alloc = lib.tg_alloc
_tg_reduce = lib.tg_reduce


def reduce_raw(kernel: int, name: str, x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    """A C reduction of a float tensor over axes, off the tape."""
    if x._strides is not None:
        x = copy_raw(x)
    code = x._code
    if axis is None and not keepdims:
        outer = inner = size = 1
        n = x._size
        shape: Shape = ()
    else:
        outer, n, inner, size, shape, steps = plan_of(x._shape, axis, keepdims, name)
        if steps is not None:
            outer, n, inner, size = steps[-1]
            for step in steps[:-1]:
                part = empty_raw(x._shape, step[3], code)
                status = _tg_reduce(kernel, code, *step[:3], x._ptr, part._ptr)
                if status:
                    fail(status, name, part._storage)
                x = part
    y = _new(Tensor)
    y._storage = storage = _new_storage(Storage)  # these three lines are `allocate`
    y._ptr = storage.ptr = ptr = _alloc(size * ITEMSIZES[code])
    storage.written = 0
    y._shape = shape
    y._strides = None
    y._size = size
    y._code = code
    y._node = None
    status = _tg_reduce(kernel, code, outer, n, inner, x._ptr, ptr)
    if status:
        fail(status, name, storage)
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
        return wrap_array(in_c_order(function(x._array(), axis=axes, keepdims=keepdims)))
    except ValueError as error:
        raise ShapeError(f"{name}: {error}") from None


def _converted(name: str, x: Tensor, dtype: Any) -> Tensor:
    """x in the dtype that a reduction was asked for, off the tape."""
    code = code_of(dtype, name)
    if code > F64 and x._node is not None:
        raise DTypeError(
            f"{name}: expected a float dtype for a tensor that requires grad, got {DTYPES[code]}; "
            "detach it first"
        )
    return x if x._code == code else x.detach().astype(DTYPES[code])


@op(
    gradient=lambda gy, y, x, axis=None, keepdims=False, dtype=None: expand(gy, x.shape, axis),
    reference=lambda x, axis=None, keepdims=False, dtype=None: np.sum(
        x, axis=axis, keepdims=keepdims, dtype=dtype
    ),
    cases=(*CASES, Case((0, 3), axis=0), Case((3, 4), axis=1, dtype=np.float64)),
    kernel_only=True,
    tags=("reduction",),
)
def sum(x: Tensor, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """The sum over axes (None: all), pairwise, so that its error grows with log n. x: (...), any
    dtype; integers sum in 64 bits. dtype: x is converted to it first.

    >>> import tensorgrad
    >>> tensorgrad.sum(tensorgrad.ones((2, 3)), axis=1)
    tensor([3., 3.])
    """
    if dtype is not None:
        x = _converted("sum", x, dtype)
    if x._code > F64:
        return _by_numpy(np.sum, x, axis, keepdims, "sum")
    return reduce_raw(_SUM, "sum", x, axis, keepdims)


def _mean_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False
) -> Tensor:
    n = reduced_count(x.shape, axis, "mean")
    return expand(gy * (1.0 / n if n else float("nan")), x.shape, axis)


def _sum_to_reference(x: np.ndarray, shape: Shape) -> np.ndarray:
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1
    )
    return x.sum(axis=axes, keepdims=True).reshape(shape)


@lru_cache(4096)
def _repeated(target: Shape, shape: Shape) -> tuple[int, ...]:
    """The axes of `shape` along which broadcasting repeats an array of the shape `target`."""
    lead = len(shape) - len(target)
    if lead < 0 or broadcast_shapes(target, shape, "sum_to") != shape:
        raise ShapeError(f"sum_to: expected a shape that broadcasts to {shape}, got {target}")
    return tuple(range(lead)) + tuple(
        i for i, n in enumerate(target, lead) if n == 1 and shape[i] != 1
    )


@composite(
    reference=_sum_to_reference,
    cases=(
        Case((3, 4), shape=(4,)),
        Case((3, 4), shape=(3, 1)),
        Case((2, 3, 4), shape=()),
        Case((3, 4), shape=(3, 4)),
    ),
)
def sum_to(x: Tensor, shape: Any) -> Tensor:
    """The sum over what broadcasting repeated: the opposite of broadcast_to. Raises ShapeError if
    `shape` does not broadcast to x's.

    >>> import tensorgrad
    >>> tensorgrad.sum_to(tensorgrad.ones((3, 2)), (2,))
    tensor([3., 3.])
    """
    x = as_tensor(x, "sum_to")
    target = as_shape(shape, "sum_to")
    if x._shape == target:
        return x
    axes = _repeated(target, x._shape)
    if x._code <= F64 and not isinstance(x, Traced) and (not mode.enabled or x._node is None):
        y = reduce_raw(_SUM, "sum_to", x, axes, False)
        y._shape = target
        return y
    return reshape(x.sum(axes), target)


@op(
    gradient=_mean_gradient,
    reference=np.mean,
    cases=CASES,
    kernel_only=True,
    tags=("reduction",),
)
def mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over axes (None: all); NaN over nothing. x: (...); integers become float32.

    >>> import tensorgrad
    >>> tensorgrad.mean(tensorgrad.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    if x._code > F64:
        x = x.astype(float32)
    return reduce_raw(_MEAN, "mean", x, axis, keepdims)


def _extreme_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False
) -> Tensor:
    # equal extremes share the gradient evenly
    winners = (x == expand(y.detach(), x.shape, axis)).astype(gy.dtype)
    share = gy / reshape(winners.sum(axis), gy.shape)
    return expand(share, x.shape, axis) * winners


def _check_extreme(name: str, x: Tensor, axis: Any) -> None:
    """Raises ShapeError where a tensor without elements has no largest or smallest one."""
    if 0 in (x._shape[a] for a in normalize_axes(axis, len(x._shape), name)):
        raise ShapeError(
            f"{name}: expected at least one element along the reduced axes, got shape {x._shape}"
        )


@op(
    gradient=_extreme_gradient,
    saves=("x", "y"),
    reference=np.max,
    cases=CASES,
    method=("max", "amax"),
    kernel_only=True,
    tags=("reduction",),
)
def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes (None: all), NaN if there is one; equal ones share the
    gradient. x: (...), any real dtype. Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.max(tensorgrad.tensor([[1.0, 5.0], [3.0, 2.0]]), axis=0)
    tensor([3., 5.])
    """
    if not x._size:
        _check_extreme("max", x, axis)
    if x._code > F64:
        return _by_numpy(np.max, x, axis, keepdims, "max")
    return reduce_raw(_MAX, "max", x, axis, keepdims)


@op(
    gradient=_extreme_gradient,
    saves=("x", "y"),
    reference=np.min,
    cases=CASES,
    method=("min", "amin"),
    kernel_only=True,
    tags=("reduction",),
)
def min(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes (None: all), NaN if there is one; equal ones share the
    gradient. x: (...), any real dtype. Raises ShapeError over nothing.

    >>> import tensorgrad
    >>> tensorgrad.min(tensorgrad.tensor([[1.0, 5.0], [3.0, 2.0]]), axis=0)
    tensor([1., 2.])
    """
    if not x._size:
        _check_extreme("min", x, axis)
    if x._code > F64:
        return _by_numpy(np.min, x, axis, keepdims, "min")
    return reduce_raw(_MIN, "min", x, axis, keepdims)


def _prod_gradient(
    gy: Tensor, y: Tensor, x: Tensor, axis: Any = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    # the product of the others, also where some are zero
    if is_grad_enabled():
        return expand(gy, x.shape, axis) * _products_of_others(x, axis)
    zero = x == 0.0
    others = where(zero, 1.0, x)
    zeros = expand(zero.astype(x.dtype).sum(axis), x.shape, axis)
    product = expand(prod(others, axis), x.shape, axis)
    return expand(gy, x.shape, axis) * where(
        zero, where(zeros == 1.0, product, 0.0), where(zeros == 0.0, product / others, 0.0)
    )


def _products_of_others(x: Tensor, axis: Any) -> Tensor:
    """Of each element, the product of those before it and of those after it: without a division, so
    that it can be differentiated where elements are zero."""
    from tensorgrad.ops.cumulative import exclusive_prod

    axes = normalize_axes(axis, len(x.shape), "prod")
    order = (*(i for i in range(len(x.shape)) if i not in axes), *axes)
    moved = permute_dims(x, order) if x.shape else x
    rows = reshape(
        moved, (*moved.shape[: len(order) - len(axes)], reduced_count(x.shape, axes, "prod"))
    )
    others = reshape(exclusive_prod(rows, -1, False) * exclusive_prod(rows, -1, True), moved.shape)
    return permute_dims(others, [order.index(i) for i in range(len(order))]) if x.shape else others


@op(
    gradient=_prod_gradient,
    saves=("x",),
    reference=lambda x, axis=None, keepdims=False, dtype=None: np.prod(
        x, axis=axis, keepdims=keepdims, dtype=dtype
    ),
    cases=(*CASES, Case((0, 3), axis=0), Case((3, 4), axis=1, dtype=np.float64)),
    kernel_only=True,
    tags=("reduction",),
)
def prod(x: Tensor, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """The product over axes (None: all). x: (...), any dtype. Gradients of all orders are right
    where elements are zero. dtype: x is converted to it first.

    >>> import tensorgrad
    >>> tensorgrad.prod(tensorgrad.tensor([2.0, 3.0]))
    tensor(6.)
    """
    if dtype is not None:
        x = _converted("prod", x, dtype)
    if x._code > F64:
        return _by_numpy(np.prod, x, axis, keepdims, "prod")
    return reduce_raw(_PROD, "prod", x, axis, keepdims)


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
    kernel_only=True,
    method=False,
    tags=("reduction",),
)
def euclidean_norm(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The Euclidean norm over axes (None: all). The gradient at 0 is 0. x: (...), float. The kernel
    under `norm`.

    >>> import tensorgrad
    >>> tensorgrad.ops.euclidean_norm(tensorgrad.tensor([3.0, 4.0]))
    tensor(5.)
    """
    if x._code > F64:
        x = x.astype(float32)
    return reduce_raw(_NORM, "norm", x, axis, keepdims)


# ---- positions and truth -------------------------------------------------------------------------


@lru_cache(4096)
def _arg_plan(shape: Shape, axis: int | None, keepdims: bool, name: str) -> tuple[Any, ...]:
    """(outer, n, inner, size of the result), and its shape."""
    if axis is None:
        n, outer, inner = prod_of(shape), 1, 1
        result = (1,) * len(shape) if keepdims else ()
    else:
        i = normalize_axis(axis, len(shape), name)
        outer, n, inner = prod_of(shape[:i]), shape[i], prod_of(shape[i + 1 :])
        result = reduced_shape(shape, (i,), keepdims)
    if n == 0:
        raise ShapeError(
            f"{name}: expected at least one element along the reduced axis, got shape {shape}"
        )
    return outer, n, inner, outer * inner, result


_tg_argreduce = lib.tg_argreduce


def _arg(kernel: int, name: str, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    outer, n, inner, size, shape = _arg_plan(x._shape, axis, keepdims, name)
    if x._code > F64:
        array = x._array().reshape((outer, n, inner))
        found = in_c_order(getattr(np, name)(array, axis=1)).astype(np.int64, copy=False)
        return wrap_array(found.reshape(shape))
    if x._strides is not None:
        x = copy_raw(x)
    y = empty_raw(shape, size, INT64)
    status = _tg_argreduce(kernel, x._code, outer, n, inner, x._ptr, y._ptr)
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
    return _arg(_ARGMAX, "argmax", x, axis, keepdims)


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
    return _arg(_ARGMIN, "argmin", x, axis, keepdims)


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


amax, amin = max, min

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "euclidean_norm",
    "max",
    "mean",
    "min",
    "prod",
    "sum",
    "sum_to",
]
