"""Linear and the modules that only pass on or rearrange."""

from __future__ import annotations

import math
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.errors import ArgumentError
from tensorgrad.nn import functional, init
from tensorgrad.nn._module import Module
from tensorgrad.nn._parameter import Parameter
from tensorgrad.ops.creation import empty
from tensorgrad.ops.matrix import linear
from tensorgrad.random import Generator


class Linear(Module):
    """x @ weight.T + bias.

    x: (..., in_features). Returns (..., out_features). Parameters: weight (out_features,
    in_features), bias (out_features) or None, both at first uniform in +-1/sqrt(in_features), as in
    PyTorch. dtype: float32 by default. generator: of the first values. Raises ArgumentError for
    sizes that are no integers >= 0.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.Linear(3, 2)(tensorgrad.ones((5, 3))).shape
    (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        for n in (in_features, out_features):
            if not isinstance(n, int) or isinstance(n, bool) or n < 0:
                raise ArgumentError(
                    f"Linear: expected integers >= 0 as sizes, got {in_features!r}, {out_features!r}"
                )
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty((out_features, in_features), dtype))
        self.bias = Parameter(empty(out_features, dtype)) if bias else None
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draws the first values anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """x @ weight.T + bias."""
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def _normalized_shape(shape: Any, where: str) -> tuple[int, ...]:
    """The shape as a tuple. Raises ArgumentError unless it is an integer > 0 or several."""
    axes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not axes or not all(type(n) is int and n > 0 for n in axes):
        raise ArgumentError(f"{where}: expected integers > 0 as normalized_shape, got {shape!r}")
    return axes


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias, mean and variance over the last axes, those of
    normalized_shape (Ba, Kiros, Hinton 2016).

    x: (..., *normalized_shape). Returns the same shape. Parameters, as in PyTorch: weight
    (normalized_shape), at first 1, and bias (normalized_shape), at first 0; neither without
    elementwise_affine, no bias with bias=False. dtype: float32 by default. Raises ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.LayerNorm(2, eps=0.0)(tensorgrad.tensor([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _normalized_shape(normalized_shape, "LayerNorm")
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        shape = self.normalized_shape
        self.weight = Parameter(empty(shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(empty(shape, dtype)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """X normalised."""
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight, the mean over the last axes, those of normalized_shape
    (Zhang, Sennrich 2019).

    x: (..., *normalized_shape). Returns the same shape. Parameters, as in PyTorch: weight
    (normalized_shape), at first 1; none without elementwise_affine. eps: None for the machine
    epsilon of x's dtype. dtype: float32 by default. Raises ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.RMSNorm(2, eps=0.0)(tensorgrad.tensor([[1.0, -1.0]])).tolist()
    [[1.0, -1.0]]
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _normalized_shape(normalized_shape, "RMSNorm")
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(empty(self.normalized_shape, dtype)) if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """X normalised."""
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class Identity(Module):
    """x itself; any arguments of the constructor are ignored.

    >>> from tensorgrad import nn
    >>> nn.Identity()(3)
    3
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """X itself."""
        return x


class Flatten(Module):
    """The axes from start_dim to end_dim merged into one: by default all but the first.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.Flatten()(tensorgrad.zeros((5, 8, 8))).shape
    (5, 64)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """X with the axes merged."""
        return functional.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """In training, each element is 0 with probability p and else x / (1 - p) (Srivastava et al.
    2014); otherwise x itself. generator: of the random numbers. Raises ArgumentError unless p is in
    [0, 1].

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.Dropout(0.5).eval()(tensorgrad.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__()
        functional.check_probability(p, "Dropout")
        self.p = p
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """X with elements dropped, in training."""
        return functional.dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


__all__ = ["Dropout", "Flatten", "Identity", "LayerNorm", "Linear", "RMSNorm"]
