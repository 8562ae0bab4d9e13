"""softmax, log_softmax, and softmax cross-entropy with class indices, each one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorgrad._native import NULL, SOFTMAX, allocate, fail, lib
from tensorgrad._tensor import Tensor, copy_raw, empty_raw, wrap_array
from tensorgrad.autograd import Case, is_grad_enabled, op
from tensorgrad.dtypes import BOOL, F64, INT64, ITEMSIZES, float32
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from tensorgrad.ops.elementwise import exp
from tensorgrad.ops.shaping import expand_dims, swapaxes
from tensorgrad.shapes import normalize_axis

CASES = (
    Case((3, 5)),
    Case((2, 3, 4), axis=1),
    Case((4,)),
    Case((3, 1), axis=0),
    Case((0, 3)),
    Case((2, 3), axis=0),
)


def _rows(x: Tensor, axis: int, name: str) -> tuple[Tensor, int]:
    """x with the axis last and contiguous, and the axis normalized. Off the tape."""
    if not x._shape:
        raise ShapeError(f"{name}: expected at least 1 axis, got a tensor without axes")
    i = normalize_axis(axis, len(x._shape), name)
    if i != len(x._shape) - 1:
        x = swapaxes(x, i, -1)
    return (x if x._strides is None else copy_raw(x)), i


def _back(y: Tensor, axis: int) -> Tensor:
    return y if axis == len(y._shape) - 1 else copy_raw(swapaxes(y, axis, -1))


def _forward(name: str, x: Tensor, axis: int) -> Tensor:
    if x._code > F64:
        x = x.astype(float32)
    x, i = _rows(x.detach() if x._node is not None else x, axis, name)
    y = empty_raw(x._shape, x._size, x._code)
    columns = x._shape[-1]
    status = lib.tg_softmax(
        SOFTMAX[name], x._code, x._size // columns if columns else 0, columns, x._ptr, y._ptr
    )
    if status:
        fail(status, name, y._storage)
    return _back(y, i)


def _backward(name: str, gy: Tensor, y: Tensor, axis: int) -> Tensor:
    gy, i = _rows(gy.detach() if gy._node is not None else gy, axis, name)
    y, _ = _rows(y.detach() if y._node is not None else y, axis, name)
    gx = empty_raw(y._shape, y._size, y._code)
    columns = y._shape[-1]
    status = lib.tg_softmax_grad(
        SOFTMAX[name],
        y._code,
        y._size // columns if columns else 0,
        columns,
        gy._ptr,
        y._ptr,
        gx._ptr,
    )
    if status:
        fail(status, name, gx._storage)
    return _back(gx, i)


def _softmax_reference(x: np.ndarray, axis: int = -1) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


@op(
    gradient=lambda gy, y, x, axis=-1: softmax_gradient(gy, y, axis),
    saves=("y",),
    reference=_softmax_reference,
    cases=CASES,
)
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, without overflow. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.softmax(tensorgrad.tensor([1e4, 1e4]))
    tensor([0.5, 0.5])
    """
    return _forward("softmax", x, axis)


@op(
    gradient=(
        lambda g, gx, gy, y, axis=-1: softmax_gradient(g, y, axis),
        lambda g, gx, gy, y, axis=-1: (
            g * (gy - (gy * y).sum(axis, keepdims=True)) - gy * (g * y).sum(axis, keepdims=True)
        ),
    ),
    saves=("gy", "y"),
    reference=lambda gy, y, axis=-1: y * (gy - (gy * y).sum(axis=axis, keepdims=True)),
    cases=(Case((3, 5), (3, 5)), Case((2, 3, 4), (2, 3, 4), axis=1)),
    method=False,
)
def softmax_gradient(gy: Tensor, y: Tensor, axis: int = -1) -> Tensor:
    """The gradient of softmax from its output: y * (gy - sum(gy * y)). gy, y: (...). Returns (...).

    >>> import tensorgrad
    >>> tensorgrad.ops.softmax_gradient(tensorgrad.ones(2), tensorgrad.tensor([0.5, 0.5]))
    tensor([0., 0.])
    """
    return _backward("softmax", gy, y, axis)


@op(
    gradient=lambda gy, y, x, axis=-1: log_softmax_gradient(gy, y, axis),
    saves=("y",),
    reference=lambda x, axis=-1: np.log(_softmax_reference(x, axis)),
    cases=CASES,
)
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along an axis, without overflow. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.log_softmax(tensorgrad.tensor([1e4, 1e4]))
    tensor([-0.6931472, -0.6931472])
    """
    return _forward("log_softmax", x, axis)


@op(
    gradient=(
        lambda g, gx, gy, y, axis=-1: g - (g * exp(y)).sum(axis, keepdims=True),
        lambda g, gx, gy, y, axis=-1: -(g * exp(y)) * gy.sum(axis, keepdims=True),
    ),
    saves=("gy", "y"),
    reference=lambda gy, y, axis=-1: gy - np.exp(y) * gy.sum(axis=axis, keepdims=True),
    cases=(Case((3, 5), (3, 5)), Case((2, 3, 4), (2, 3, 4), axis=1)),
    method=False,
)
def log_softmax_gradient(gy: Tensor, y: Tensor, axis: int = -1) -> Tensor:
    """The gradient of log_softmax from its output: gy - exp(y) * sum(gy). gy, y: (...). Returns
    (...).

    >>> import tensorgrad
    >>> tensorgrad.ops.log_softmax_gradient(tensorgrad.ones(1), tensorgrad.zeros(1))
    tensor([0.])
    """
    return _backward("log_softmax", gy, y, axis)


# ---- cross-entropy -------------------------------------------------------------------------------

REDUCTIONS = {"none": lib.TG_NONE, "mean": lib.TG_MEAN, "sum": lib.TG_SUM}


def class_indices(labels: Tensor, where: str) -> Tensor:
    """Labels as contiguous int64. Raises DTypeError unless they are integers."""
    code = labels._code
    if code <= BOOL:
        raise DTypeError(
            f"{where}: expected integer class indices, got {labels.dtype} of shape "
            f"{labels._shape} (class probabilities must "
            f"have the shape of the logits)"
        )
    if code != INT64:
        labels = labels.astype("int64")
    return labels if labels._strides is None else copy_raw(labels)


def class_weights(weight: Tensor | None, x: Tensor) -> Tensor | None:
    """Weights as the kernel reads them: contiguous, of the logits' dtype."""
    if weight is None:
        return None
    weight = weight.detach()
    if weight._code != x._code:
        weight = weight.astype(x.dtype)
    return weight if weight._strides is None else copy_raw(weight)


def check_classes(labels: Tensor, classes: int, ignore_index: int, where: str) -> None:
    """Raises IndexOutOfRangeError, naming the first label that is no class."""
    array = labels._array().reshape(-1)
    wrong = np.flatnonzero(((array < 0) | (array >= classes)) & (array != ignore_index))
    if wrong.size:
        raise IndexOutOfRangeError(
            f"{where}: expected class indices in [0, {classes}) or ignore_index {ignore_index}, "
            f"got {array[wrong[0]]} at "
            f"position {wrong[0]}"
        )


def _targets(
    x: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, smoothing: float
) -> tuple[Tensor, Tensor]:
    """What cross-entropy subtracts: t of (rows, classes) such that loss = sum(t) * logsumexp(x) -
    sum(t * x), and the sum of the weights of the labels that count."""
    rows, classes = x.shape
    w = np.ones(classes) if weight is None else weight._array().astype(np.float64)
    array = labels._array()
    counts = array != ignore_index
    t = np.zeros((rows, classes))
    t[counts] = smoothing / classes * w
    t[counts, array[counts]] += (1 - smoothing) * w[array[counts]]
    return wrap_array(t.astype(x.dtype)), wrap_array(
        np.asarray(w[array[counts]].sum(), dtype=x.dtype)
    )


def _gradient(
    gy: Tensor,
    y: Any,
    x: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    *,
    extra: Any,
    needs: Sequence[bool],
) -> tuple[Tensor | None, None, None]:
    if not needs[0]:
        return None, None, None
    if is_grad_enabled():  # written in ops, to be differentiated again
        t, total = _targets(x, labels, weight, ignore_index, label_smoothing)
        if reduction == "mean":
            gy = gy / total
        gy = expand_dims(gy, -1) if reduction == "none" else gy
        return gy * (softmax(x) * t.sum(-1, keepdims=True) - t), None, None
    rows, classes = x._shape
    x = x if x._strides is None else copy_raw(x)
    labels = class_indices(labels, "cross_entropy")
    weight = class_weights(weight, x)
    gx = empty_raw((rows, classes), rows * classes, x._code)
    gy = gy if gy._strides is None else copy_raw(gy)
    status = lib.tg_cross_entropy_grad(
        x._code,
        rows,
        classes,
        x._ptr,
        labels._ptr,
        NULL if weight is None else weight._ptr,
        ignore_index,
        label_smoothing,
        REDUCTIONS[reduction],
        extra.ptr,
        gy._ptr,
        gx._ptr,
    )
    if status:
        fail(status, "cross_entropy", gx._storage)
    return gx, None, None


def _reference(x, labels, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):  # type: ignore[no-untyped-def]
    log_p = np.log(_softmax_reference(x))
    w = np.ones(x.shape[1], x.dtype) if weight is None else weight
    losses = np.array(
        [
            0.0
            if k == ignore_index
            else -(1 - label_smoothing) * w[k] * p[k] - label_smoothing / len(p) * (w * p).sum()
            for p, k in zip(log_p, labels, strict=True)
        ]
    )
    total = sum(w[k] for k in labels if k != ignore_index)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / total}[reduction]


_LABELS = np.array([2, 0, -100, 1])


@op(
    gradient=_gradient,
    saves=("x", "labels", "weight"),
    reference=_reference,
    cases=(
        Case((3, 5), np.array([0, 4, 2])),
        Case((4, 3), _LABELS, reduction="sum"),
        Case((4, 3), _LABELS, reduction="none", label_smoothing=0.1),
        Case((4, 3), _LABELS, np.array([0.5, 1.0, 2.0]), label_smoothing=0.2),
        Case((4, 3), np.array([2, 0, 1, 1]), None, ignore_index=1),
    ),
    method=False,
)
def cross_entropy(
    x: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    /,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Softmax cross-entropy of logits with class indices, in one pass; finite for any finite
    logits.

    x: (rows, classes), float. labels: (rows), integers in [0, classes), or ignore_index for rows
    that do not count. weight: (classes) or None, the weight of each class. reduction: "mean"
    (divides by the sum of the labels' weights), "sum", "none". Returns a tensor without axes, or
    (rows) for "none". No gradient flows to the weight. Raises ShapeError, DTypeError,
    IndexOutOfRangeError, ArgumentError.

    >>> import tensorgrad
    >>> tensorgrad.ops.cross_entropy(tensorgrad.zeros((1, 2)), tensorgrad.tensor([0]))
    tensor(0.6931472)
    """
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            f"cross_entropy: expected a reduction of none, mean or sum, got {reduction!r}"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: expected label_smoothing in [0, 1], got {label_smoothing}"
        )
    if len(x._shape) != 2 or labels._shape != x._shape[:1]:
        raise ShapeError(
            f"cross_entropy: expected x (rows, classes) and labels (rows), got {x._shape} and "
            f"{labels._shape}"
        )
    if x._code > F64:
        raise DTypeError(f"cross_entropy: expected float logits, got {x.dtype}")
    rows, classes = x._shape
    x = x if x._strides is None else copy_raw(x)
    labels = class_indices(labels, "cross_entropy")
    if weight is not None and weight._shape != (classes,):
        raise ShapeError(
            f"cross_entropy: expected a weight of shape {(classes,)}, got {weight._shape}"
        )
    weight = class_weights(weight, x)
    loss = empty_raw(
        (rows,) if reduction == "none" else (), rows if reduction == "none" else 1, x._code
    )
    saved = allocate((rows + 1) * ITEMSIZES[x._code])
    status = lib.tg_cross_entropy(
        x._code,
        rows,
        classes,
        x._ptr,
        labels._ptr,
        NULL if weight is None else weight._ptr,
        ignore_index,
        label_smoothing,
        REDUCTIONS[reduction],
        loss._ptr,
        saved.ptr,
    )
    if status:
        check_classes(labels, classes, ignore_index, "cross_entropy")
        fail(status, "cross_entropy", loss._storage, saved)
    return loss, saved  # type: ignore[return-value]


__all__ = [
    "cross_entropy",
    "log_softmax",
    "log_softmax_gradient",
    "softmax",
    "softmax_gradient",
]
