"""Softmax cross-entropy with class indices, one kernel that makes the gradient too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._native import NULL, allocate, fail, lib, offset_pointer
from tensorgrad._tensor import Tensor, copy_raw, empty_raw, over, wrap_array
from tensorgrad.autograd import Case, is_grad_enabled, op
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._traced import Traced
from tensorgrad.dtypes import BOOL, F64, INT64, ITEMSIZES
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from tensorgrad.ops.shaping import expand_dims
from tensorgrad.ops.softmaxes import softmax, softmax_reference

_tg_cross_entropy = lib.tg_cross_entropy
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
    return labels.contiguous()


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
    while isinstance(labels, Traced):
        labels = labels.value  # type: ignore[attr-defined]
    _check_classes(labels._array(), classes, ignore_index, where)


@one_step
def _check_classes(array: np.ndarray, classes: int, ignore_index: int, where: str) -> None:
    array = array.reshape(-1)
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
    w = None if weight is None else weight._array()
    found = _target_arrays(labels._array(), w, x.shape, ignore_index, smoothing, x.dtype)
    return wrap_array(found[0]), wrap_array(found[1])


@one_step
def _target_arrays(
    array: np.ndarray,
    weight: np.ndarray | None,
    shape: Any,
    ignore_index: int,
    smoothing: float,
    dtype: Any,
) -> tuple[np.ndarray, np.ndarray]:
    classes = shape[1]
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    counts = array != ignore_index
    t = np.zeros(shape)
    t[counts] = smoothing / classes * w
    t[counts, array[counts]] += (1 - smoothing) * w[array[counts]]
    return t.astype(dtype), np.asarray(w[array[counts]].sum(), dtype=dtype)


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
    # `extra` is a block of memory: what is saved behind the losses, or for the other reductions the
    # gradient for gy = 1, which holds while nobody to whom it was given has written to it
    made = reduction != "none"
    if is_grad_enabled() or (made and extra.written):
        # written in ops, to be differentiated again
        t, total = _targets(x, labels, weight, ignore_index, label_smoothing)
        if reduction == "mean":
            gy = gy / total
        gy = expand_dims(gy, -1) if reduction == "none" else gy
        return gy * (softmax(x) * t.sum(-1, keepdims=True) - t), None, None
    rows, classes = x._shape
    if made:
        gx = over(extra, x._shape, rows * classes, x._code)
        # most often gy is the constant from which `backward` starts
        return gx if gy is gy._ones() else gx * gy, None, None
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
        offset_pointer(extra.ptr, rows * ITEMSIZES[x._code]),
        gy._ptr,
        gx._ptr,
    )
    if status:
        fail(status, "cross_entropy", gx._storage)
    return gx, None, None


def _reference(x, labels, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):  # type: ignore[no-untyped-def]
    log_p = np.log(softmax_reference(x))
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
    kernel_only=True,
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
    shape = x._shape
    code = x._code
    if (
        reduction not in REDUCTIONS
        or not 0.0 <= label_smoothing <= 1.0
        or len(shape) != 2
        or labels._shape != shape[:1]
        or code > F64
        or (weight is not None and weight._shape != shape[1:])
    ):
        _refuse(x, labels, weight, label_smoothing, reduction)
    rows, classes = shape
    recorded = x._node is not None and mode.enabled
    if x._strides is not None:
        x = copy_raw(x)
    if labels._code != INT64 or labels._strides is not None:
        labels = class_indices(labels, "cross_entropy")
    if weight is not None:
        weight = class_weights(weight, x)
    saved = gx = NULL
    extra: Any
    if reduction == "none":
        # the losses, and behind them in the same block what the gradient reads
        extra = allocate((2 * rows + 1) * ITEMSIZES[code])
        loss = over(extra, (rows,), rows, code)
        saved = offset_pointer(extra.ptr, rows * ITEMSIZES[code])
    else:
        loss = empty_raw((), 1, code)
        extra = loss._storage
        if recorded:
            extra = allocate(x._size * ITEMSIZES[code])
            gx = extra.ptr
    status = _tg_cross_entropy(
        code,
        rows,
        classes,
        x._ptr,
        labels._ptr,
        NULL if weight is None else weight._ptr,
        ignore_index,
        label_smoothing,
        REDUCTIONS[reduction],
        loss._ptr,
        saved,
        gx,
    )
    if status:
        check_classes(labels, classes, ignore_index, "cross_entropy")
        fail(status, "cross_entropy", loss._storage, extra)
    return loss, extra  # type: ignore[return-value]


def _refuse(
    x: Tensor, labels: Tensor, weight: Tensor | None, label_smoothing: float, reduction: str
) -> NoReturn:
    """Raises the error for what cross_entropy cannot take."""
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
    raise ShapeError(
        f"cross_entropy: expected a weight of shape {x._shape[1:]}, got "
        f"{() if weight is None else weight._shape}"
    )


__all__ = ["cross_entropy"]
