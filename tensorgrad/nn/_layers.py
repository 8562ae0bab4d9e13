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


__all__ = ["Dropout", "Flatten", "Identity", "Linear"]
