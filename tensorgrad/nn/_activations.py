"""Activations as modules. Each takes a float Tensor of any shape and returns one of the same
shape."""

from __future__ import annotations

from tensorgrad._tensor import Tensor
from tensorgrad.errors import ArgumentError
from tensorgrad.nn import functional
from tensorgrad.nn._module import Module
from tensorgrad.ops import pointwise


class ReLU(Module):
    """max(x, 0), element by element.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.ReLU()(tensorgrad.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return pointwise.relu(x)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope * x.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.LeakyReLU(0.5)(tensorgrad.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """X where x > 0, else negative_slope * x."""
        return pointwise.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2015).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.ELU()(tensorgrad.tensor([-1e4, 2.0]))
    tensor([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """X where x > 0, else alpha * (exp(x) - 1)."""
        return pointwise.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Tanh(Module):
    """The hyperbolic tangent.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.Tanh()(tensorgrad.tensor([0.0, 100.0]))
    tensor([0., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """tanh(x)."""
        return pointwise.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), without overflow.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.Sigmoid()(tensorgrad.tensor([0.0, -1e4]))
    tensor([0.5, 0. ])
    """

    def forward(self, x: Tensor) -> Tensor:
        """1 / (1 + exp(-x))."""
        return pointwise.sigmoid(x)


class GELU(Module):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016). approximate:
    "none" for the exact one by erf, or "tanh". Raises ArgumentError for another.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.GELU()(tensorgrad.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ArgumentError(
                f"GELU: expected approximate to be 'none' or 'tanh', got {approximate!r}"
            )
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """gelu(x)."""
        return functional.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x * sigmoid(x), also called swish (Elfwing et al. 2017).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.SiLU()(tensorgrad.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """X * sigmoid(x)."""
        return pointwise.silu(x)


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta, without overflow. threshold: where beta * x is larger, x
    itself, as in PyTorch.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.Softplus()(tensorgrad.tensor([1e4]))
    tensor([10000.])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        """log(1 + exp(beta * x)) / beta."""
        return functional.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """exp(x) / sum(exp(x)) along the axis `dim`.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.Softmax(dim=-1)(tensorgrad.tensor([1e4, 1e4]))
    tensor([0.5, 0.5])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """softmax(x)."""
        return functional.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x - log(sum(exp(x))) along the axis `dim`.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> nn.LogSoftmax(dim=-1)(tensorgrad.tensor([1e4, 1e4]))
    tensor([-0.6931472, -0.6931472])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """log_softmax(x)."""
        return functional.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


__all__ = [
    "ELU", "GELU", "LeakyReLU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip
