"""Inverse trigonometric and hyperbolic functions, and those of two sides (DLMF, chapter 4)."""

from __future__ import annotations

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.ops._elementwise import binary, unary
from tensorgrad.ops.comparisons import pair_cases, where
from tensorgrad.ops.pointwise import cases, reciprocal, square


@unary(
    saves="x",
    second=lambda x: x * (1.0 - square(x)) ** -1.5,
    reference=np.arcsin,
    cases=cases(low=-0.8, high=0.8),
)
def asin(x: Tensor, /) -> Tensor:
    """The inverse sine, in [-pi/2, pi/2]; NaN outside [-1, 1]. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.asin(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: -x * (1.0 - square(x)) ** -1.5,
    reference=np.arccos,
    cases=cases(low=-0.8, high=0.8),
)
def acos(x: Tensor, /) -> Tensor:
    """The inverse cosine, in [0, pi]; NaN outside [-1, 1]. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.acos(tensorgrad.tensor([1.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: x * -2.0 * square(reciprocal(square(x) + 1.0)),
    reference=np.arctan,
    cases=cases(),
)
def atan(x: Tensor, /) -> Tensor:
    """The inverse tangent, in [-pi/2, pi/2]. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.atan(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: sinh(x),
    reference=np.sinh,
    cases=cases(),
)
def sinh(x: Tensor, /) -> Tensor:
    """The hyperbolic sine. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.sinh(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: cosh(x),
    reference=np.cosh,
    cases=cases(),
)
def cosh(x: Tensor, /) -> Tensor:
    """The hyperbolic cosine. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.cosh(tensorgrad.tensor([0.0]))
    tensor([1.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: -x * (square(x) + 1.0) ** -1.5,
    reference=np.arcsinh,
    cases=cases(),
)
def asinh(x: Tensor, /) -> Tensor:
    """The inverse hyperbolic sine. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.asinh(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: -x * (square(x) - 1.0) ** -1.5,
    reference=np.arccosh,
    cases=cases(low=1.3, high=3.0),
)
def acosh(x: Tensor, /) -> Tensor:
    """The inverse hyperbolic cosine; NaN below 1. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.acosh(tensorgrad.tensor([1.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: x * 2.0 * square(reciprocal(1.0 - square(x))),
    reference=np.arctanh,
    cases=cases(low=-0.7, high=0.7),
)
def atanh(x: Tensor, /) -> Tensor:
    """The inverse hyperbolic tangent; NaN outside [-1, 1]. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.atanh(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


def _over_norm(gy: Tensor, side: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """gy side / (a^2 + b^2); 0 at the origin, as in PyTorch."""
    norm = square(a) + square(b)
    origin = norm == 0.0
    return where(origin, 0.0, gy * side / where(origin, 1.0, norm))


@binary(
    gradient=(
        lambda gy, y, a, b: _over_norm(gy, b, a, b),
        lambda gy, y, a, b: -_over_norm(gy, a, a, b),
    ),
    saves=("a b", "a b"),
    integers="float",
    reference=np.arctan2,
    cases=pair_cases(low=0.3, high=2.0) + pair_cases(low=-2.0, high=-0.3),
)
def atan2(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """The angle of the point (b, a) from the first axis, in [-pi, pi]. a, b: shapes that broadcast.
    Returns that shape. The gradient at the origin is 0.

    >>> import tensorgrad
    >>> tensorgrad.atan2(tensorgrad.tensor([0.0]), 1.0)
    tensor([0.])
    """
    ...


def _over(gy: Tensor, side: Tensor, y: Tensor) -> Tensor:
    """gy side / y; 0 where y is 0, as in PyTorch."""
    return where(y == 0.0, 0.0, gy * side / where(y == 0.0, 1.0, y))


@binary(
    gradient=(
        lambda gy, y, a, b: _over(gy, a, hypot(a, b)),
        lambda gy, y, a, b: _over(gy, b, hypot(a, b)),
    ),
    saves=("a b", "a b"),
    integers="float",
    reference=np.hypot,
    cases=pair_cases(low=0.3, high=2.0),
)
def hypot(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """sqrt(a^2 + b^2), without overflow. a, b: shapes that broadcast. Returns that shape. The
    gradient at the origin is 0.

    >>> import tensorgrad
    >>> tensorgrad.hypot(tensorgrad.tensor([3.0]), 4.0)
    tensor([5.])
    """
    ...


__all__ = ["acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cosh", "hypot", "sinh"]
