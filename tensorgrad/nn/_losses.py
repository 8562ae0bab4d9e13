"""Losses as modules: names, defaults and meanings as in PyTorch 2. The functions are in
nn.functional."""

from __future__ import annotations

from tensorgrad._tensor import Tensor
from tensorgrad.errors import ArgumentError
from tensorgrad.nn import _loss_functions as functions
from tensorgrad.nn._module import Module


class _Loss(Module):
    """A loss with a reduction: "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        functions.check_reduction(
            reduction, type(self).__name__, batchmean=isinstance(self, KLDivLoss)
        )
        self.reduction = reduction

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """The cross-entropy of softmax(input) with class indices or class probabilities.

    weight: (C), the weight of each class. ignore_index: the label of what does not count.
    label_smoothing: the part of the target spread evenly over the classes. Shapes and errors as in
    functional.cross_entropy.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.CrossEntropyLoss()(tensorgrad.zeros((1, 2)), tensorgrad.tensor([0])).item()
    0.6931471824645996
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ArgumentError(
                f"CrossEntropyLoss: expected label_smoothing in [0, 1], got {label_smoothing}"
            )
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits `input` for `target`."""
        return functions.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """The negative log-likelihood of classes, from log-probabilities. weight: (C). Shapes and
    errors as in functional.nll_loss.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.NLLLoss()(tensorgrad.tensor([[-1.0, -3.0]]), tensorgrad.tensor([1])).item()
    3.0
    """

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of log-probabilities `input` for `target`."""
        return functions.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class MSELoss(_Loss):
    """(input - target)^2. input, target: (...).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.MSELoss()(tensorgrad.zeros(2), tensorgrad.full(2, 3.0)).item()
    9.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of `input` for `target`."""
        return functions.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """|input - target|. input, target: (...).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.L1Loss()(tensorgrad.zeros(2), tensorgrad.full(2, 3.0)).item()
    3.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of `input` for `target`."""
        return functions.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2. input, target: (...).

    Raises ArgumentError for a negative beta.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.SmoothL1Loss()(tensorgrad.zeros(2), tensorgrad.full(2, 3.0)).item()
    2.5
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        if not beta >= 0:
            raise ArgumentError(f"SmoothL1Loss: expected beta >= 0, got {beta}")
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of `input` for `target`."""
        return functions.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """d^2 / 2 where d = |input - target| < delta, else delta * (d - delta / 2). input, target:
    (...).

    Raises ArgumentError unless delta > 0.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.HuberLoss(delta=2.0)(tensorgrad.zeros(2), tensorgrad.full(2, 3.0)).item()
    4.0
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not delta > 0:
            raise ArgumentError(f"HuberLoss: expected delta > 0, got {delta}")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of `input` for `target`."""
        return functions.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_Loss):
    """The binary cross-entropy of probabilities; logarithms are at least -100, as in PyTorch.

    weight: broadcasts to the input's shape. input, target: (...).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.BCELoss()(tensorgrad.tensor([0.5]), tensorgrad.tensor([1.0])).item()
    0.6931471824645996
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of probabilities `input` for `target`."""
        return functions.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """The binary cross-entropy of sigmoid(input), finite for any finite logits.

    weight, pos_weight (of the positive answers): broadcast to the input's shape. input, target:
    (...).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.BCEWithLogitsLoss()(tensorgrad.tensor([0.0, 1e4]), tensorgrad.tensor([1.0, 0.0])).item()
    5000.3466796875
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    weight: Tensor | None
    pos_weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits `input` for `target`."""
        return functions.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence of log-probabilities `input` from `target`.

    reduction: also "batchmean", the mean divergence. log_target: whether targets are logarithms
    too. input, target: (...).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> p = tensorgrad.tensor([[0.5, 0.5]])
    >>> nn.KLDivLoss(reduction="batchmean")(p.log(), p).item()
    0.0
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of log-probabilities `input` for `target`."""
        return functions.kl_div(input, target, self.reduction, self.log_target)


__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "NLLLoss",
    "SmoothL1Loss",
]  # fmt: skip
