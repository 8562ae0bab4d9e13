"""Layers, activations and losses as functions, under PyTorch's names and with its `dim`."""

from __future__ import annotations

from typing import Any

from tensorgrad import random
from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.nn._loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from tensorgrad.ops import gathering, normalization, pointwise, shaping, softmaxes
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.matrix import linear
from tensorgrad.ops.pointwise import elu, leaky_relu, relu, sigmoid, silu, tanh


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016).

    input: (...), float. approximate: "none" (by erf) or "tanh". Returns (...). Raises
    ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.gelu(tensorgrad.tensor([0.0, 100.0]), approximate="tanh")
    tensor([  0., 100.])
    """
    if approximate == "none":
        return pointwise.gelu(input)
    if approximate != "tanh":
        raise ArgumentError(
            f"gelu: expected approximate to be 'none' or 'tanh', got {approximate!r}"
        )
    return pointwise.gelu_tanh(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, without overflow; x itself where beta * x > threshold, as in
    PyTorch.

    input: (...), float. Returns (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.softplus(tensorgrad.tensor([1e4]), beta=2.0)
    tensor([10000.])
    """
    if beta == 1.0:
        y = pointwise.softplus(input)
        # beyond 20 the two differ by less than float32 can tell; the kernel does not overflow
        return y if threshold >= 20.0 else where(input > threshold, input, y)
    scaled = input * float(beta)
    return where(scaled > threshold, input, pointwise.softplus(scaled) / float(beta))


def softmax(input: Tensor, dim: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along the axis dim, without overflow. input: (...), float. Returns
    (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.softmax(tensorgrad.zeros((2, 4)), dim=0)[0].tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    return softmaxes.softmax(input, dim)


def log_softmax(input: Tensor, dim: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along the axis dim, without overflow. input: (...), float. Returns
    (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.log_softmax(tensorgrad.zeros((1, 2)), dim=0).tolist()
    [[0.0, 0.0]]
    """
    return softmaxes.log_softmax(input, dim)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)) as -softplus(-x), finite for any finite x. input: (...), float. Returns
    (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.logsigmoid(tensorgrad.tensor([-1e4, 0.0])).tolist()
    [-10000.0, -0.6931471824645996]
    """
    return -pointwise.softplus(-input)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim merged into one. input: (...). Raises ShapeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.flatten(tensorgrad.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    return shaping.flatten(input, start_dim, end_dim)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Rows of zeros with a 1 at each index. tensor: (...), integers in [0, num_classes);
    num_classes: -1 for one more than the largest. Returns (..., num_classes), int64. Raises
    IndexOutOfRangeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.one_hot(tensorgrad.tensor([1, 0])).tolist()
    [[0, 1], [1, 0]]
    """
    tensor = as_tensor(tensor, "one_hot")
    if num_classes == -1:
        if not tensor.size:
            raise ArgumentError("one_hot: expected num_classes for an index of no elements")
        num_classes = int(tensor.detach().numpy().max()) + 1
    return gathering.one_hot(tensor, num_classes).astype("int64")


def _trailing_axes(input: Tensor, normalized_shape: Any, where: str) -> int:
    """How many axes `normalized_shape` names. Raises ShapeError unless they are input's last."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{where}: expected an input that ends in the normalized shape {shape}, got {input.shape}"
        )
    return len(shape)


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, mean and variance over the axes of
    normalized_shape, input's last (Ba, Kiros, Hinton 2016).

    input: (..., *normalized_shape), float; normalized_shape: an integer or several; weight, bias:
    (*normalized_shape) or None. Returns the shape of input. Raises ShapeError, DTypeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.layer_norm(tensorgrad.tensor([[1.0, 3.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    input = as_tensor(input, "layer_norm")
    axes = _trailing_axes(input, normalized_shape, "layer_norm")
    return normalization.layer_norm(input, weight, bias, eps, axes)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, the mean over the axes of normalized_shape, input's last
    (Zhang, Sennrich 2019).

    input: (..., *normalized_shape), float; normalized_shape: an integer or several; weight:
    (*normalized_shape) or None; eps: None for the machine epsilon of input's dtype, as in PyTorch.
    Returns the shape of input. Raises ShapeError, DTypeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.rms_norm(tensorgrad.tensor([[1.0, -1.0]]), 2, eps=0.0).tolist()
    [[1.0, -1.0]]
    """
    input = as_tensor(input, "rms_norm")
    axes = _trailing_axes(input, normalized_shape, "rms_norm")
    if eps is None:
        eps = EPSILONS[input.dtype.itemsize]
    return normalization.rms_norm(input, weight, eps, axes)


# of float32 and float64, by the size of an element
EPSILONS = {4: 2.0**-23, 8: 2.0**-52}


def check_probability(p: Any, where: str) -> None:
    """Raises ArgumentError unless p is in [0, 1]."""
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{where}: expected a probability in [0, 1], got {p}")


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    *,
    generator: random.Generator | None = None,
) -> Tensor:
    """In training, each element is 0 with probability p and else x / (1 - p) (Srivastava et al.
    2014); otherwise x itself. input: (...), float. Returns (...). Raises ArgumentError unless p is
    in [0, 1].

    >>> import tensorgrad
    >>> from tensorgrad.nn import functional
    >>> functional.dropout(tensorgrad.ones(3), p=1.0).tolist()
    [0.0, 0.0, 0.0]
    """
    check_probability(p, "dropout")
    if not training or p == 0.0:
        return input
    kept = random.bernoulli(1.0 - p, input.shape, input.dtype, generator=generator)
    return input * (kept if p == 1.0 else kept * (1.0 / (1.0 - p)))


__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "dropout", "elu",
    "flatten", "gelu", "huber_loss", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear",
    "log_softmax", "logsigmoid", "mse_loss", "nll_loss", "one_hot", "relu", "rms_norm", "sigmoid",
    "silu", "smooth_l1_loss", "softmax", "softplus", "tanh",
]  # fmt: skip
