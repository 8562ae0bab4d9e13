"""Losses as functions: PyTorch's names, defaults and meanings, except that shapes that differ are
an error and never broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, op
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.ops import losses
from tensorgrad.ops.arithmetic import maximum
from tensorgrad.ops.comparisons import clip, where
from tensorgrad.ops.creation import arange
from tensorgrad.ops.gathering import take
from tensorgrad.ops.pointwise import abs, exp, log, softplus, square
from tensorgrad.ops.shaping import moveaxis
from tensorgrad.ops.softmaxes import log_softmax


def check_reduction(reduction: str, name: str, batchmean: bool = False) -> None:
    """Raises ArgumentError for a reduction that the loss `name` does not have."""
    if reduction not in ("mean", "sum", "none") and not (batchmean and reduction == "batchmean"):
        known = "none, mean, sum or batchmean" if batchmean else "none, mean or sum"
        raise ArgumentError(f"{name}: expected a reduction of {known}, got {reduction!r}")


def _reduced(elements: Any, reduction: str, name: str) -> Tensor:
    check_reduction(reduction, name)
    if reduction == "mean":
        return elements.mean()
    return elements.sum() if reduction == "sum" else elements


def _pair(input: Any, target: Any, name: str) -> tuple[Tensor, Tensor]:
    """Both as Tensors of one shape, the target in the input's dtype. Raises ShapeError,
    DTypeError."""
    input = as_tensor(input, name)
    target = as_tensor(target, name)
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: expected input and target of one shape, got {input.shape} and {target.shape}"
        )
    if input.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a float input, got {input.dtype}")
    return input, target


def _weighted(elements: Tensor, weight: Tensor | None, name: str) -> Tensor:
    if weight is None:
        return elements
    result = elements * weight
    if result.shape != elements.shape:
        raise ShapeError(
            f"{name}: expected a weight that broadcasts to the loss's shape {elements.shape}, got {weight.shape}"
        )
    return result


# ---- regression ----------------------------------------------------------------------------------


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target)^2.

    input: (...), float; target: (...). Returns a tensor without axes, or (...) for "none". Raises
    ShapeError, DTypeError, ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.mse_loss(tensorgrad.zeros(2), tensorgrad.full(2, 3.0)).item()
    9.0
    """
    input, target = _pair(input, target, "mse_loss")
    return _reduced(square(input - target), reduction, "mse_loss")


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input - target|; the derivative where they are equal is 0.

    input: (...), float; target: (...). Returns a tensor without axes, or (...) for "none". Raises
    ShapeError, DTypeError, ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.l1_loss(tensorgrad.zeros(2), tensorgrad.full(2, 3.0)).item()
    3.0
    """
    input, target = _pair(input, target, "l1_loss")
    return _reduced(abs(input - target), reduction, "l1_loss")


def _huber(input: Tensor, target: Tensor, delta: float) -> Tensor:
    # with m = min(d, delta), m * (d - m / 2) is d^2 / 2 below delta and delta * (d - delta / 2)
    # above, and no branch overflows where the other one counts
    d = abs(input - target)
    m = clip(d, max=delta)
    return m * (d - m * 0.5)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2 (Girshick 2015); beta 0
    is l1_loss.

    input: (...), float; target: (...). Returns a tensor without axes, or (...) for "none". Raises
    ShapeError, DTypeError, and ArgumentError, also for a negative beta.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.smooth_l1_loss(tensorgrad.zeros(2), tensorgrad.tensor([0.5, 3.0]), "none").tolist()
    [0.125, 2.5]
    """
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: expected beta >= 0, got {beta}")
    input, target = _pair(input, target, "smooth_l1_loss")
    elements = abs(input - target) if beta == 0 else _huber(input, target, beta) * (1.0 / beta)
    return _reduced(elements, reduction, "smooth_l1_loss")


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """d^2 / 2 where d = |input - target| < delta, else delta * (d - delta / 2) (Huber 1964).

    input: (...), float; target: (...). Returns a tensor without axes, or (...) for "none". Raises
    ShapeError, DTypeError, and ArgumentError, also unless delta > 0.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.huber_loss(tensorgrad.zeros(2), tensorgrad.tensor([0.5, 3.0]), "none", 2.0).tolist()
    [0.125, 4.0]
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: expected delta > 0, got {delta}")
    input, target = _pair(input, target, "huber_loss")
    return _reduced(_huber(input, target, delta), reduction, "huber_loss")


# ---- yes or no -----------------------------------------------------------------------------------

_LEAST_LOG = -100.0  # PyTorch's bound, so that a wrong certainty costs much but not infinity


def _log(x: Tensor) -> Tensor:
    return maximum(log(x), _LEAST_LOG)


def _bernoulli_reference(p: Any, target: Any) -> Any:
    with np.errstate(divide="ignore"):
        return -target * np.maximum(np.log(p), -100) - (1 - target) * np.maximum(
            np.log(1 - p), -100
        )


@op(
    gradient=(
        # 1e-12 is PyTorch's bound: at 0 and 1 the gradient is large and finite
        lambda gy, y, p, target: gy * (p - target) / maximum(p * (1.0 - p), 1e-12),
        lambda gy, y, p, target: gy * (_log(1.0 - p) - _log(p)),
    ),
    saves=("p", "target"),
    reference=_bernoulli_reference,
    cases=(
        Case((3, 4), (3, 4), low=0.1, high=0.9),
        Case((), (), low=0.1, high=0.9),
        Case((0, 3), (0, 3)),
    ),
    method=False,
)
def bernoulli_log_loss(p: Tensor, target: Tensor, /) -> Tensor:
    """-target * log(p) - (1 - target) * log(1 - p), each logarithm at least -100.

    p, target: (...), float. Returns (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.binary_cross_entropy(tensorgrad.tensor([0.0]), tensorgrad.tensor([1.0])).item()
    100.0
    """
    return -(target * _log(p)) - (1.0 - target) * _log(1.0 - p)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-target * log(input) - (1 - target) * log(1 - input), each logarithm at least -100, as in
    PyTorch.

    input: (...), probabilities; target: (...), usually 0 or 1; weight: broadcasts to (...). Returns
    a tensor without axes, or (...) for "none". Raises ShapeError, DTypeError, and ArgumentError,
    also for an input outside [0, 1].

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.binary_cross_entropy(tensorgrad.tensor([0.5]), tensorgrad.tensor([1.0])).item()
    0.6931471824645996
    """
    input, target = _pair(input, target, "binary_cross_entropy")
    if input.size:
        data = input.detach()
        low, high = data.min().item(), data.max().item()
        if low < 0.0 or high > 1.0:
            raise ArgumentError(
                f"binary_cross_entropy: expected probabilities in [0, 1], got {low} to {high}; for logits there "
                f"is binary_cross_entropy_with_logits"
            )
    elements = bernoulli_log_loss(input, _as(target, input))
    return _reduced(
        _weighted(elements, weight, "binary_cross_entropy"), reduction, "binary_cross_entropy"
    )


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """pos_weight * target * softplus(-input) + (1 - target) * softplus(input): the cross-entropy of
    sigmoid(input), without cancellation and finite for any finite input.

    input: (...), float; target: (...), usually 0 or 1; weight, pos_weight: broadcast to (...).
    Returns a tensor without axes, or (...) for "none". Raises ShapeError, DTypeError,
    ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> logits, target = tensorgrad.tensor([1e4, -1e4]), tensorgrad.tensor([1.0, 1.0])
    >>> functional.binary_cross_entropy_with_logits(logits, target, reduction="none").tolist()
    [0.0, 10000.0]
    """
    name = "binary_cross_entropy_with_logits"
    input, target = _pair(input, target, name)
    target = _as(target, input)
    positive = _weighted(target * softplus(-input), pos_weight, name)
    elements = positive + (1.0 - target) * softplus(input)
    return _reduced(_weighted(elements, weight, name), reduction, name)


def _as(target: Tensor, input: Tensor) -> Tensor:
    return target if target.dtype == input.dtype else target.astype(input.dtype)


# ---- distributions and classes -------------------------------------------------------------------


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """target * (log(target) - input): the Kullback-Leibler divergence of log-probabilities `input`
    from `target`, term by term; a target of 0 gives 0.

    input: (...), log-probabilities; target: (...), probabilities, or their logarithms with
    log_target. reduction: "batchmean" divides the sum by the length of the first axis, which makes
    it the mean divergence; "mean" divides by the number of elements. Raises ShapeError, DTypeError,
    ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> p = tensorgrad.tensor([[0.5, 0.5]])
    >>> functional.kl_div(p.log(), p, reduction="batchmean").item()
    0.0
    """
    check_reduction(reduction, "kl_div", batchmean=True)
    input, target = _pair(input, target, "kl_div")
    if log_target:
        elements = exp(target) * (target - input)
    else:
        target = _as(target, input)
        elements = target * log(where(target == 0.0, 1.0, target)) - target * input
    if reduction == "batchmean":
        total = _reduced(elements, "sum", "kl_div")
        return total / float(input.shape[0]) if input.shape else total
    return _reduced(elements, reduction, "kl_div")


def _rows(input: Tensor, name: str) -> Tensor:
    """(C), (N, C) or (N, C, d1, ...) as (rows, C), the classes last."""
    if input.ndim == 0:
        raise ShapeError(
            f"{name}: expected an input of shape (C), (N, C) or (N, C, d1, ...), got ()"
        )
    if input.ndim == 1:
        return input.reshape((1, -1))
    if input.ndim > 2:
        input = moveaxis(input, 1, -1)
    return (
        input.reshape((-1, input.shape[-1]))
        if input.size
        else input.reshape((int(np.prod(input.shape[:-1])), input.shape[-1]))
    )


def _check_labels(input: Tensor, target: Tensor, name: str) -> None:
    expected = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    if target.shape != expected:
        raise ShapeError(
            f"{name}: expected class indices of shape {expected} for an input of shape {input.shape}, got "
            f"{target.shape}"
        )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-weight[target] * input[target]: the negative log-likelihood of the target classes.

    input: (C), (N, C) or (N, C, d1, ...), log-probabilities; target: (), (N) or (N, d1, ...),
    integers in [0, C), or ignore_index for what does not count; weight: (C). "mean" divides by the
    sum of the targets' weights. Returns a tensor without axes, or the target's shape for "none".
    Raises ShapeError, DTypeError, IndexOutOfRangeError, ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.nll_loss(tensorgrad.tensor([[-1.0, -3.0]]), tensorgrad.tensor([1])).item()
    3.0
    """
    check_reduction(reduction, "nll_loss")
    input, target = as_tensor(input, "nll_loss"), as_tensor(target, "nll_loss")
    if input.dtype.kind != "f":
        raise DTypeError(f"nll_loss: expected a float input, got {input.dtype}")
    _check_labels(input, target, "nll_loss")
    rows = _rows(input, "nll_loss")
    classes = rows.shape[1]
    labels = losses.class_indices(target, "nll_loss")
    losses.check_classes(labels, classes, ignore_index, "nll_loss")
    labels = labels.reshape((labels.size,))
    counts = labels != ignore_index
    safe = where(counts, labels, 0)
    if weight is None:
        w = counts.astype(input.dtype)
    else:
        weight = as_tensor(weight, "nll_loss")
        if weight.shape != (classes,):
            raise ShapeError(
                f"nll_loss: expected a weight of shape {(classes,)}, got {weight.shape}"
            )
        w = where(counts, take(_as(weight.detach(), input), safe), 0.0)
    picked = take(rows.reshape((rows.size,)), arange(labels.size) * classes + safe)
    elements = where(counts, -(picked * w), 0.0)
    if reduction == "none":
        return elements.reshape(target.shape)
    total = elements.sum()
    return total / w.sum() if reduction == "mean" else total


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of softmax(input) with classes; finite for any finite logits.

    input: (C), (N, C) or (N, C, d1, ...), logits; target: class indices, integers in [0, C) or
    ignore_index, of shape (), (N) or (N, d1, ...); or class probabilities of the input's shape,
    float. weight: (C). label_smoothing: the part of the target spread evenly over the classes
    (Szegedy et al. 2016). "mean" divides by the sum of the targets' weights for indices, by their
    number for probabilities. Returns a tensor without axes, or the shape of indices for "none".
    Raises ShapeError, DTypeError, IndexOutOfRangeError, ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.cross_entropy(tensorgrad.zeros((1, 2)), tensorgrad.tensor([0])).item()
    0.6931471824645996
    """
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        input, target = as_tensor(input, "cross_entropy"), as_tensor(target, "cross_entropy")
    shape = target._shape
    if len(input._shape) == 2 and len(shape) == 1:
        return losses.cross_entropy(input, target, weight, ignore_index, label_smoothing, reduction)
    if shape == input.shape and shape:
        return _cross_entropy_of_probabilities(
            input, target, weight, ignore_index, reduction, label_smoothing
        )
    _check_labels(input, target, "cross_entropy")
    labels = target.reshape((target.size,))
    loss = losses.cross_entropy(
        _rows(input, "cross_entropy"), labels, weight, ignore_index, label_smoothing, reduction
    )
    return loss.reshape(shape) if reduction == "none" else loss


def _cross_entropy_of_probabilities(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    check_reduction(reduction, "cross_entropy")
    if target.dtype.kind != "f" or input.dtype.kind != "f":
        raise DTypeError(
            f"cross_entropy: expected float logits and class probabilities, got {input.dtype} and {target.dtype}"
        )
    if ignore_index >= 0:
        raise ArgumentError(
            "cross_entropy: ignore_index is for class indices; leave it out with probabilities"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: expected label_smoothing in [0, 1], got {label_smoothing}"
        )
    x, t = _rows(input, "cross_entropy"), _rows(_as(target, input), "cross_entropy")
    classes = x.shape[1]
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        weight = as_tensor(weight, "cross_entropy")
        if weight.shape != (classes,):
            raise ShapeError(
                f"cross_entropy: expected a weight of shape {(classes,)}, got {weight.shape}"
            )
        t = t * _as(weight, input)
    elements = -(t * log_softmax(x)).sum(1)
    if reduction == "none":
        return elements.reshape(input.shape[:1] + input.shape[2:] if input.ndim > 1 else ())
    return _reduced(elements, reduction, "cross_entropy")


__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "kl_div",
    "l1_loss", "mse_loss", "nll_loss", "smooth_l1_loss",
]  # fmt: skip
