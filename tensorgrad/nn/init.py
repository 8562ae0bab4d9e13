"""First values of parameters. Each function writes into the Tensor that it is given and returns it;
nothing is recorded. `generator` gives the random numbers; by default tensorgrad's own."""

from __future__ import annotations

import math

import numpy as np

from tensorgrad import random
from tensorgrad._tensor import Tensor
from tensorgrad.autograd import no_grad
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.ops.creation import eye
from tensorgrad.ops.pointwise import erf
from tensorgrad.random import Generator


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which to scale a layer before `nonlinearity`, so that signals keep their
    variance.

    nonlinearity: linear, sigmoid, tanh, relu, leaky_relu (param: its slope, 0.01 by default) or
    selu. Raises ArgumentError for another.

    >>> from tensorgrad.nn import init
    >>> init.calculate_gain("relu") ** 2
    2.0000000000000004
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope**2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity not in gains:
        raise ArgumentError(
            f"calculate_gain: expected one of {', '.join(gains)} or leaky_relu, got {nonlinearity!r}"
        )
    return gains[nonlinearity]


def _fans(tensor: Tensor, where: str) -> tuple[int, int]:
    """The numbers of inputs and outputs of the layer whose weight this is: (out, in, kernel
    ...)."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"{where}: expected at least 2 axes (out, in, ...), got shape {tensor.shape}"
        )
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _filled(tensor: Tensor, values: Tensor | float) -> Tensor:
    with no_grad():
        if isinstance(values, Tensor):
            tensor.copy_(values)
        else:
            tensor.fill_(values)
    return tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Numbers evenly distributed over [a, b). tensor: (...), float. Raises ArgumentError unless a
    <= b.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> bool((init.uniform_(tensorgrad.empty(9), 2.0, 3.0) >= 2.0).all())
    True
    """
    return _filled(tensor, random.uniform(a, b, tensor.shape, tensor.dtype, generator=generator))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normally distributed numbers. tensor: (...), float. Raises ArgumentError for a negative std.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> init.normal_(tensorgrad.empty(2), mean=3.0, std=0.0)
    tensor([3., 3.])
    """
    return _filled(
        tensor, random.normal(mean, std, tensor.shape, tensor.dtype, generator=generator)
    )


def _inverse_erf(y: np.ndarray) -> np.ndarray:
    """x with erf(x) = y: Winitzki's approximation (2008), within 0.2 %, and three Newton steps."""
    a = 0.147
    log_term = np.log1p(-y * y)
    b = 2.0 / (math.pi * a) + log_term / 2.0
    x = np.sign(y) * np.sqrt(np.sqrt(b * b - log_term / a) - b)
    for _ in range(3):
        x = x - (erf(x).numpy() - y) * (math.sqrt(math.pi) / 2.0) * np.exp(x * x)
    return x


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normally distributed numbers, of which only those in [a, b] are drawn, by the inverse
    distribution function. tensor: (...), float. Raises ArgumentError unless a < b and std > 0.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> x = init.trunc_normal_(tensorgrad.empty(1000), a=-0.5, b=0.5)
    >>> bool(x.abs().max() <= 0.5)
    True
    """
    if not (a < b and std > 0):
        raise ArgumentError(
            f"trunc_normal_: expected a < b and std > 0, got a={a}, b={b}, std={std}"
        )
    low, high = (math.erf((edge - mean) / (std * math.sqrt(2.0))) for edge in (a, b))
    y = random.uniform(low, high, tensor.shape, "float64", generator=generator).numpy()
    x = _inverse_erf(np.clip(y, -1.0 + 1e-15, 1.0 - 1e-15)) * (std * math.sqrt(2.0)) + mean
    return _filled(tensor, Tensor(np.clip(x, a, b)))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element `val`. tensor: (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> init.constant_(tensorgrad.empty(2), 0.5)
    tensor([0.5, 0.5])
    """
    return _filled(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0. tensor: (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> init.zeros_(tensorgrad.empty(2))
    tensor([0., 0.])
    """
    return _filled(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1. tensor: (...).

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> init.ones_(tensorgrad.empty(2))
    tensor([1., 1.])
    """
    return _filled(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix. tensor: (m, n). Raises ShapeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> init.eye_(tensorgrad.empty((1, 2)))
    tensor([[1., 0.]])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: expected 2 axes, got shape {tensor.shape}")
    return _filled(tensor, eye(tensor.shape[0], tensor.shape[1], tensor.dtype))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in +-gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    tensor: (out, in, ...), float. Raises ShapeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> bool(init.xavier_uniform_(tensorgrad.empty((2, 4))).abs().max() <= 1.0)
    True
    """
    bound = gain * math.sqrt(6.0 / max(sum(_fans(tensor, "xavier_uniform_")), 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    tensor: (out, in, ...), float. Raises ShapeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> init.xavier_normal_(tensorgrad.empty((2, 4)), gain=0.0).abs().max().item()
    0.0
    """
    std = gain * math.sqrt(2.0 / max(sum(_fans(tensor, "xavier_normal_")), 1))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, where: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _fans(tensor, where)))
    if mode not in fans:
        raise ArgumentError(f"{where}: expected a mode of fan_in or fan_out, got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fans[mode], 1))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform in +-gain * sqrt(3 / fan) (He et al. 2015), with the gain of `nonlinearity`.

    tensor: (out, in, ...), float. a: the slope of leaky_relu. mode: the fan, "fan_in" keeps the
    variance of signals, "fan_out" that of gradients. Raises ShapeError, ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> bool(init.kaiming_uniform_(tensorgrad.empty((2, 6))).abs().max() <= 1.0)
    True
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan) (He et al. 2015); parameters as in
    kaiming_uniform_.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> init.kaiming_normal_(tensorgrad.empty((2, 4)), nonlinearity="relu").shape
    (2, 4)
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_")
    return normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A random (semi-)orthogonal matrix times gain (Saxe et al. 2014): rows, or columns if there
    are fewer, are orthonormal; axes after the first count as one. tensor: (m, ...), float. Raises
    ShapeError.

    >>> import tensorgrad
    >>> from tensorgrad.nn import init
    >>> q = init.orthogonal_(tensorgrad.empty((2, 3)))
    >>> bool(((q @ q.mT - tensorgrad.eye(2)).abs() < 1e-6).all())
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: expected at least 2 axes, got shape {tensor.shape}")
    if not tensor.size:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.size // rows
    tall = random.normal(
        0.0, 1.0, (max(rows, columns), min(rows, columns)), "float64", generator=generator
    )
    q, r = np.linalg.qr(tall.numpy())
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform (Mezzadri 2007)
    if rows < columns:
        q = q.T
    return _filled(tensor, Tensor(np.ascontiguousarray(q * gain).reshape(tensor.shape)))


__all__ = [
    "calculate_gain", "constant_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_",
    "orthogonal_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip
