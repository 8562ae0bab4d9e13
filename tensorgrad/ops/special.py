"""The error function's and the gamma function's kin (DLMF, chapters 5 and 7), and logarithms that do not
cancel or overflow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.ops._elementwise import binary, unary
from tensorgrad.ops.comparisons import clip, pair_cases, where
from tensorgrad.ops.pointwise import abs, cases, exp, expm1, log, sigmoid, sin, square


def _is_pole(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray((x <= 0) & (x == np.floor(x)))


def _polygamma(x: np.ndarray[Any, Any], n: float = 1) -> np.ndarray[Any, Any]:
    """The series of DLMF 5.15.1, its far terms by Euler and Maclaurin."""
    s, z = n + 1, x.astype(np.float64) + 40
    total = (
        sum((x.astype(np.float64) + k) ** -s for k in range(40)) + z ** (1 - s) / n + 0.5 * z**-s
    )
    total += s * z ** (-s - 1) / 12 - s * (s + 1) * (s + 2) * z ** (-s - 3) / 720
    total = np.where(_is_pole(x), np.inf, total)
    return ((-1) ** (n + 1) * math.factorial(int(n)) * total).astype(x.dtype)


def _digamma(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The asymptotic series (DLMF 5.11.2) at x + 40, and the recurrence back."""
    z = x.astype(np.float64) + 40
    far = np.log(z) - 0.5 / z - z**-2 / 12 + z**-4 / 120 - z**-6 / 252
    near = far - sum(1 / (x.astype(np.float64) + k) for k in range(40))
    pole = np.where(x == 0, np.copysign(np.inf, -x), np.nan)
    return np.where(_is_pole(x), pole, np.where(x == np.inf, x, near)).astype(x.dtype)


def _erfinv(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Newton's method on erf, from 0 outwards: it converges, erf being concave there."""
    y = x.astype(np.float64) * 0.0
    for _ in range(12):
        error = np.vectorize(math.erf, otypes=[np.float64])(y) - x
        y = y - error * np.exp(y * y) * (math.sqrt(math.pi) / 2)
    y = np.where(np.abs(x) < 1, y, np.where(np.abs(x) == 1, np.copysign(np.inf, x), np.nan))
    return np.copysign(y, x).astype(x.dtype)


def _lgamma(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    safe = np.where(_is_pole(x), 1.0, x)
    value = np.vectorize(math.lgamma, otypes=[np.float64])(safe)
    return np.where(_is_pole(x), np.inf, value).astype(x.dtype)


def _erfc(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.vectorize(math.erfc, otypes=[x.dtype])(x)


@unary(
    saves="x",
    second=lambda x: exp(-square(x)) * x * (4.0 / math.sqrt(math.pi)),
    reference=_erfc,
    cases=cases(),
)
def erfc(x: Tensor, /) -> Tensor:
    """1 - erf(x), accurate where erf(x) is near 1. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.erfc(tensorgrad.tensor([0.0]))
    tensor([1.])
    """
    ...


@unary(
    saves="y",
    second=lambda y: exp(square(y)) * y * math.sqrt(math.pi),
    reference=_erfinv,
    cases=cases(low=-0.9, high=0.9),
)
def erfinv(x: Tensor, /) -> Tensor:
    """The inverse of erf; infinite at -1 and 1, NaN outside. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.erfinv(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: polygamma(x, 1),
    reference=_lgamma,
    cases=cases(low=0.5, high=4.0),
)
def lgamma(x: Tensor, /) -> Tensor:
    """log |gamma(x)|; infinite at 0, -1, -2 ... x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.lgamma(tensorgrad.tensor([1.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: polygamma(x, 2),
    reference=_digamma,
    cases=cases(low=0.5, high=4.0),
)
def digamma(x: Tensor, /) -> Tensor:
    """The derivative of lgamma; infinite at 0, NaN at -1, -2 ... x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.digamma(tensorgrad.tensor([float("inf")]))
    tensor([inf])
    """
    ...


@unary(
    saves="x",
    second=lambda x, n: polygamma(x, n + 2.0),
    reference=_polygamma,
    cases=(Case((3, 4), low=0.5, high=4.0), Case((5,), low=0.5, high=4.0, n=2)),
)
def polygamma(x: Tensor, n: float = 1) -> Tensor:
    """The n-th derivative of digamma (n = 1: trigamma), n a whole number; infinite at 0, -1, -2 ...
    x: (...), float; for n > 2 not below -1000, where it is NaN. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.polygamma(tensorgrad.tensor([1.0]))
    tensor([1.644934])
    """
    ...


@unary(
    saves="x",
    second=lambda x: (
        1.0 / (expm1(x) * expm1(-x))
    ),  # -exp(x) / expm1(x)^2, also where that is inf / inf
    reference=lambda x: np.where(x < 0.5, np.log(-np.expm1(-x)), np.log1p(-np.exp(-x))),
    cases=cases(low=0.3, high=3.0),
)
def log1mexp(x: Tensor, /) -> Tensor:
    """log(1 - exp(-x)) without cancellation (Maechler 2012); NaN below 0. x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.log1mexp(tensorgrad.tensor([1e4]))
    tensor([-0.])
    """
    ...


def _share(gy: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return gy * sigmoid(where(a == b, 0.0, a - b))


@binary(
    gradient=(lambda gy, y, a, b: _share(gy, a, b), lambda gy, y, a, b: _share(gy, b, a)),
    saves=("a b", "a b"),
    integers="float",
    reference=np.logaddexp,
    cases=pair_cases(low=0.0, high=2.0),
)
def logaddexp(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """log(exp(a) + exp(b)), without overflow. a, b: shapes that broadcast. Returns that shape.

    >>> import tensorgrad
    >>> tensorgrad.logaddexp(tensorgrad.tensor([1e4]), 0.0)
    tensor([10000.])
    """
    ...


@composite(
    reference=lambda x, eps=None: np.log(x / (1 - x)),
    cases=(Case((3, 4), low=0.1, high=0.9), Case((5,), low=0.1, high=0.9, eps=0.01)),
)
def logit(x: Tensor, /, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; x is first limited to [eps, 1 - eps] if eps is
    given. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.logit(tensorgrad.tensor([0.5]))
    tensor([0.])
    """
    x = as_tensor(x, "logit")
    if eps is not None:
        x = clip(x, eps, 1.0 - eps)
    return log(x) - log(1.0 - x)  # the gradient of a quotient would be NaN at 0 and 1


@composite(
    reference=lambda x, y: np.where(x == 0, 0, x * np.log(y)),
    cases=pair_cases(low=0.3, high=2.0),
)
def xlogy(x: Tensor | float, y: Tensor | float, /) -> Tensor:
    """x * log(y), and 0 where x is 0, unless y is NaN. x, y: float, shapes that broadcast. Returns
    that shape. The gradient where x is 0 is 0 in y; in x it is log(y), or 0 where that is no finite number.

    >>> import tensorgrad
    >>> tensorgrad.xlogy(tensorgrad.tensor([0.0]), 0.0)
    tensor([0.])
    """
    x, y = as_tensor(x, "xlogy"), as_tensor(y, "xlogy")
    safe = where((x == 0.0) & ((y <= 0.0) | (y == math.inf)), 1.0, y)
    return x * log(safe)


@composite(reference=np.sinc, cases=cases(avoid=[0.0]))
def sinc(x: Tensor, /) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0, where its derivatives come from the series. x: (...), float.
    Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.sinc(tensorgrad.tensor([0.0, 0.5]))
    tensor([1.        , 0.63661975])
    """
    u = as_tensor(x, "sinc") * math.pi
    near = abs(u) < 1e-2  # 1 - u^2/6 + u^4/120 - u^6/5040 is exact to rounding there
    s = square(where(near, u, 0.0))
    series = 1.0 - s * (1.0 / 6.0) * (1.0 - s * (1.0 / 20.0) * (1.0 - s * (1.0 / 42.0)))
    far = where(near, 1.0, u)
    return where(near, series, sin(far) / far)


@composite(
    reference=lambda x, end, weight: x + weight * (end - x),
    cases=(Case((3, 4), (3, 4), weight=0.3), Case((3, 1), (4,), weight=0.5)),
)
def lerp(x: Tensor, end: Tensor, weight: Any) -> Tensor:
    """x + weight * (end - x). x, end, weight: shapes that broadcast. Returns that shape.

    >>> import tensorgrad
    >>> tensorgrad.lerp(tensorgrad.tensor([0.0]), tensorgrad.tensor([4.0]), 0.25)
    tensor([1.])
    """
    x = as_tensor(x, "lerp")
    return x + (as_tensor(end, "lerp") - x) * weight


@composite(
    reference=lambda x, mask, value: np.where(mask, x.dtype.type(value), x),
    cases=(Case((3, 2), np.array([True, False]), value=-1.0),),
)
def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """x, with `value` where the mask is true. x: (...); mask: bool, broadcasts with x; value: a
    number or a tensor of one element. Returns the broadcast shape.

    >>> import tensorgrad
    >>> tensorgrad.masked_fill(tensorgrad.ones(2), tensorgrad.tensor([True, False]), 5.0)
    tensor([5., 1.])
    """
    return where(mask, value, as_tensor(x, "masked_fill"))


__all__ = [
    "digamma",
    "erfc",
    "erfinv",
    "lerp",
    "lgamma",
    "log1mexp",
    "logaddexp",
    "logit",
    "masked_fill",
    "polygamma",
    "sinc",
    "xlogy",
]
