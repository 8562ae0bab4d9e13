"""Batching rules: how an op computes all elements of a batch at once.

A rule gets a Call: the inputs' values, of those in the batch with the batch as axis 0. It returns the
result with the batch as axis 0. An op without a rule is computed element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorgrad._tensor import as_tensor
from tensorgrad.func._call import Call, invoke, loop, ndim_of
from tensorgrad.ops.arithmetic import add, mul
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.creation import arange
from tensorgrad.ops.gathering import take, take_gradient
from tensorgrad.ops.joining import concat
from tensorgrad.ops.matrix import FUSIBLE, matmul
from tensorgrad.ops.shaping import (
    astype,
    broadcast_to,
    expand_dims,
    matrix_transpose,
    moveaxis,
    permute_dims,
    reshape,
)
from tensorgrad.shapes import infer_reshape, normalize_axes, normalize_axis

# ---- elementwise ---------------------------------------------------------------------------------


def elementwise(c: Call) -> Any:
    """Elements broadcast from the last axis, so those with fewer axes get axes after the batch's."""
    given = [
        as_tensor(v, c.function.__name__) if isinstance(v, (list, tuple)) else v for v in c.values
    ]
    most = max(ndim_of(v) - b for v, b in zip(given, c.batched))
    values = [
        reshape(v, (v.shape[0], *(1,) * (most - n), *v.shape[1:]))
        if b and (n := ndim_of(v) - 1) < most
        else v
        for v, b in zip(given, c.batched)
    ]
    return c.run(*values)


def same(c: Call) -> Any:
    """An elementwise kernel that does not broadcast."""
    return c.run(*(c.all(i).contiguous() for i in range(len(c.values))))


# ---- along axes ----------------------------------------------------------------------------------


def reduction(c: Call) -> Any:
    """axis: None, an integer or several; keepdims."""
    x, ndim = c.values[0], c.ndim(0)
    axes = normalize_axes(c.params.get("axis"), ndim, c.function.__name__)
    if not ndim:
        return reshape(c.run(reshape(x, (c.size, 1)), axis=1, keepdims=False), (c.size,))
    return c.run(x, axis=tuple(a + 1 for a in axes))


def position(c: Call) -> Any:
    """axis: None for all, or an integer; keepdims."""
    x, ndim, axis = c.values[0], c.ndim(0), c.params.get("axis")
    if axis is None or not ndim:
        count = 1
        for n in c.shape(0):
            count *= n
        y = c.run(reshape(x, (c.size, count)), axis=1, keepdims=False)
        return reshape(y, (c.size, *(1,) * ndim)) if c.params.get("keepdims") else y
    return c.run(x, axis=normalize_axis(axis, ndim, c.function.__name__) + 1)


def along(c: Call) -> Any:
    """axis: an integer, of all inputs alike."""
    if not c.ndim(0):
        return None
    axis = normalize_axis(c.params["axis"], c.ndim(0), c.function.__name__) + 1
    return c.run(*(c.all(i) for i in range(len(c.values))), axis=axis)


def trailing(c: Call) -> Any:
    """An op that sees the last axes only."""
    several = range(len(c.values))
    if len({c.ndim(i) for i in several}) > 1:
        return None
    return c.run(*(c.all(i) for i in several))


def matrices(c: Call) -> Any:
    """An op that sees the last two axes only, and refuses inputs that have fewer."""
    return None if min(map(c.ndim, range(len(c.values)))) < 2 else trailing(c)


def join(c: Call) -> Any:
    """concat"""
    axis = normalize_axis(c.params["axis"], c.ndim(0), "concat") + 1
    return concat([c.all(i) for i in range(len(c.values))], axis)


# ---- shapes --------------------------------------------------------------------------------------


def reshaped(c: Call) -> Any:
    shape = c.params["shape"]
    element = c.shape(0)
    count = 1
    for n in element:
        count *= n
    target = infer_reshape(
        element, count, tuple(shape) if isinstance(shape, list) else shape, "reshape"
    )
    return reshape(c.values[0], (c.size, *target), copy=c.params["copy"])


def permuted(c: Call) -> Any:
    ndim = c.ndim(0)
    axes = [normalize_axis(a, ndim, "permute_dims") + 1 for a in c.params["axes"]]
    if len(axes) != ndim:
        return None  # which raises the op's error
    return permute_dims(c.values[0], (0, *axes))


def transposed(c: Call) -> Any:
    return matrix_transpose(c.values[0]) if c.ndim(0) > 1 else None


def repeated(c: Call) -> Any:
    shape = c.params["shape"]
    target = (shape,) if isinstance(shape, int) else tuple(shape)
    x, missing = c.values[0], len(target) - c.ndim(0)
    if missing < 0:
        return None
    return broadcast_to(reshape(x, (c.size, *(1,) * missing, *c.shape(0))), (c.size, *target))


# ---- indices -------------------------------------------------------------------------------------


def _key(key: Any) -> tuple[Any, ...]:
    return (slice(None), *(key if isinstance(key, tuple) else (key,)))


def leading(key: Any) -> int:
    """How many axes an index of arrays puts before the batch's: where slices lie between arrays,
    NumPy puts the axes of the arrays first."""
    parts = key if isinstance(key, tuple) else (key,)
    places = [i for i, k in enumerate(parts) if isinstance(k, (np.ndarray, int, np.integer))]
    if not places or places[-1] - places[0] + 1 == len(places):
        return 0
    arrays = [
        k.nonzero()[0] if isinstance(k, np.ndarray) and k.dtype == bool else np.asarray(k)
        for k in (parts[i] for i in places)
    ]
    return int(np.broadcast(*arrays).ndim) if len(arrays) > 1 else arrays[0].ndim


def windowed(c: Call) -> Any:
    return c.run(c.values[0], key=_key(c.params["key"]))


def windowed_gradient(c: Call) -> Any:
    shape = (c.size, *c.params["shape"])
    return c.run(c.values[0], shape=shape, key=_key(c.params["key"]))


def gathered(c: Call) -> Any:
    key = c.params["key"]
    y = c.run(c.values[0], key=_key(key))
    lead = leading(key)
    return moveaxis(y, lead, 0) if lead else y


def scattered(c: Call) -> Any:
    key = c.params["key"]
    gy, lead = c.values[0], leading(key)
    gy = moveaxis(gy, 0, lead) if lead else gy
    return c.run(gy, shape=(c.size, *c.params["shape"]), key=_key(key))


def _rows(index: Any, n: int, size: int, ndim: int) -> Any:
    """Positions along an axis of length n, of each element of a batch, as positions along the axis
    that batch and axis make together."""
    index = astype(index, "int64")
    index = where(index < 0, index + n, index)
    return index + reshape(arange(size), (size, *(1,) * ndim)) * n


def _check_rows(index: Any, n: int) -> bool:
    while hasattr(index, "value"):
        index = index.value
    array = index.detach()._array()
    return array.dtype.kind in "iu" and bool(((array >= -n) & (array < n)).all())


def taken(c: Call) -> Any:
    (x, index), ndim = c.values, c.ndim(0)
    if not ndim:
        return None
    axis = c.params["axis"]
    if axis is None:
        if not c.batched[0]:
            return c.run(x, index)
        x, ndim, axis = reshape(x, (c.size, -1)), 1, 0
    axis = normalize_axis(axis, ndim, "take")
    if not c.batched[1]:
        return take(x, index, axis + 1)
    if not c.batched[0]:
        return moveaxis(take(x, index, axis), axis, 0)
    n, places = x.shape[axis + 1], c.ndim(1)
    if not _check_rows(index, n):
        return None  # which names the position
    x = moveaxis(x, axis + 1, 1)
    rest = x.shape[2:]
    y = take(reshape(x, (c.size * n, *rest)), _rows(index, n, c.size, places), 0)
    # (size, *places, *rest) with the axes before `axis` first
    order = (
        0,
        *range(1 + places, 1 + places + axis),
        *range(1, 1 + places),
        *range(1 + places + axis, y.ndim),
    )
    return permute_dims(y, order)


def taken_gradient(c: Call) -> Any:
    shape, ndim = tuple(c.params["shape"]), len(c.params["shape"])
    axis = c.params["axis"]
    if axis is None:
        return None
    axis = normalize_axis(axis, ndim, "take")
    if not c.batched[1]:
        return take_gradient(c.values[0], c.values[1], (c.size, *shape), axis + 1)
    gy, index, places, n = c.all(0), c.values[1], c.ndim(1), shape[axis]
    if not _check_rows(index, n):
        return None
    rest = shape[:axis] + shape[axis + 1 :]
    order = (
        0,
        *range(1 + axis, 1 + axis + places),
        *range(1, 1 + axis),
        *range(1 + axis + places, gy.ndim),
    )
    rows = _rows(index, n, c.size, places)
    gx = take_gradient(permute_dims(gy, order), rows, (c.size * n, *rest), 0)
    return moveaxis(reshape(gx, (c.size, n, *rest)), 1, axis + 1)


def along_gradient(c: Call) -> Any:
    shape = tuple(c.params["shape"])
    axis = normalize_axis(c.params["axis"], len(shape), "take_along_axis") + 1
    if c.ndim(0) != c.ndim(1):
        return None
    return c.run(c.all(0), c.all(1), shape=(c.size, *shape), axis=axis)


def one_axis(c: Call) -> Any:
    return c.run(c.values[0], axis=normalize_axis(c.params["axis"], c.ndim(0), "unfold") + 1)


def one_axis_gradient(c: Call) -> Any:
    shape = tuple(c.params["shape"])
    axis = normalize_axis(c.params["axis"], len(shape), "unfold") + 1
    return c.run(c.values[0], shape=(c.size, *shape), axis=axis)


def two_axes(c: Call) -> Any:
    first, second = (
        normalize_axis(c.params[name], c.ndim(0), "diagonal") + 1 for name in ("axis1", "axis2")
    )
    return c.run(c.values[0], axis1=first, axis2=second)


def two_axes_gradient(c: Call) -> Any:
    shape = tuple(c.params["shape"])
    first, second = (
        normalize_axis(c.params[name], len(shape), "diagonal") + 1 for name in ("axis1", "axis2")
    )
    return c.run(c.values[0], shape=(c.size, *shape), axis1=first, axis2=second)


def padded(c: Call) -> Any:
    return c.run(c.values[0], widths=((0, 0), *c.params["widths"]))


# ---- matrices ------------------------------------------------------------------------------------


def product(c: Call) -> Any:
    values = []
    ranks = [max(c.ndim(i), 2) for i in (0, 1)]
    vector = [c.ndim(i) == 1 for i in (0, 1)]
    if not (c.ndim(0) and c.ndim(1)):
        return None
    for i, axis in ((0, -2), (1, -1)):
        v = expand_dims(c.values[i], axis) if vector[i] else c.values[i]
        missing = max(ranks) - ranks[i]
        if c.batched[i] and missing:
            v = reshape(v, (v.shape[0], *(1,) * missing, *v.shape[1:]))
        values.append(v)
    y = matmul(*values)
    if vector[1]:
        y = reshape(y, y.shape[:-1])
    if vector[0]:
        y = reshape(y, (*y.shape[: -1 if vector[1] else -2], *(() if vector[1] else y.shape[-1:])))
    return y


def affine(c: Call) -> Any:
    """linear, and linear_activated"""
    if c.batched[0] and not any(c.batched[1:]):
        return c.run(*c.values)
    x, weight, bias = (c.element(i) for i in range(3))
    y = matmul(x, matrix_transpose(weight))
    y = y if bias is None else add(y, bias)
    activation = c.params.get("activation")
    return c.held(y if activation is None else FUSIBLE[activation][1](y))


def normalized(c: Call) -> Any:
    """layer_norm, and rms_norm"""
    if c.batched[0] and not any(c.batched[1:]):
        return c.run(*c.values)
    x, *others = (c.element(i) for i in range(len(c.values)))
    y = invoke(c.function, (x, *(None for _ in others)), c.params)
    for parameter, combine in zip(others, (mul, add)):
        y = y if parameter is None else combine(y, parameter)
    return c.held(y)


def cross_entropies(c: Call) -> Any:
    if c.batched[2] or c.ndim(0) != 2 or c.ndim(1) != 1:
        return None
    x, labels, weight = c.all(0), c.all(1), c.values[2]
    rows, classes = c.shape(0)
    reduction = c.params["reduction"]
    losses = reshape(
        c.run(
            reshape(x, (c.size * rows, classes)),
            reshape(labels, (c.size * rows,)),
            weight,
            reduction="none" if reduction in ("mean", "sum") else reduction,
        ),
        (c.size, rows),
    )
    if reduction == "none":
        return losses
    total = losses.sum(1)
    if reduction == "sum":
        return total
    counts = labels != c.params["ignore_index"]
    shares = astype(counts, losses.dtype)
    if weight is not None:
        safe = where(counts, labels, 0)
        shares = shares * astype(take(weight.detach(), safe, 0), losses.dtype)
    return total / shares.sum(1)


RULES: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(
        (
            *("where", "copy", "contiguous", "astype", "bernoulli_log_loss", "equal", "not_equal"),
            *("less", "less_equal", "greater", "greater_equal", "bitwise_and", "bitwise_or"),
            *("bitwise_xor", "bitwise_invert"),
        ),
        elementwise,
    ),
    **dict.fromkeys(
        ("sum", "mean", "max", "min", "prod", "norm", "var", "logsumexp", "all", "any"), reduction
    ),
    **dict.fromkeys(("argmax", "argmin"), position),
    **dict.fromkeys(("softmax", "softmax_gradient", "log_softmax", "log_softmax_gradient"), along),
    "elementwise": elementwise,
    "reduction": reduction,
    "along": along,
    "trailing": trailing,
    "matrices": matrices,
    "same": same,
    "concat": join,
    "reshape": reshaped,
    "permute_dims": permuted,
    "matrix_transpose": transposed,
    "broadcast_to": repeated,
    "basic_index": windowed,
    "basic_index_gradient": windowed_gradient,
    "array_index": gathered,
    "array_index_gradient": scattered,
    "diagonal": two_axes,
    "diagonal_gradient": two_axes_gradient,
    "unfold": one_axis,
    "unfold_gradient": one_axis_gradient,
    "pad_constant": padded,
    "take_along_axis": along,
    "take_along_axis_gradient": along_gradient,
    "take": taken,
    "take_gradient": taken_gradient,
    "one_hot": trailing,
    "matmul": product,
    "linear": affine,
    "linear_activated": affine,
    "layer_norm": normalized,
    "rms_norm": normalized,
    "cross_entropy": cross_entropies,
}


def compute(call: Call) -> Any:
    """The results of a call, with the batch as axis 0."""
    declared = getattr(call.function, "op", None)
    wanted = getattr(declared or call.function, "batching", None)
    rule = wanted if callable(wanted) else RULES.get(wanted or (declared.name if declared else ""))
    if rule is None:
        rule = elementwise if declared and declared.family in ("unary", "binary") else loop
    result = rule(call)
    return loop(call) if result is None else result
