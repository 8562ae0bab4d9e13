"""Functions of one tensor, element by element. First derivatives are C kernels
(csrc/kernels/unary_table.h); `second` is the derivative of the first by what it reads (x or y), in
ops."""

from __future__ import annotations

import math

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import Case
from tensorgrad.ops._elementwise import unary

SHAPES = ((), (5,), (3, 4), (2, 3, 4), (0, 3), (1, 1))


def cases(**params: object) -> tuple[Case, ...]:
    return tuple(Case(shape, **params) for shape in SHAPES)  # type: ignore[arg-type]


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


def _normal_density(x: Tensor) -> Tensor:
    return exp(square(x) * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))


# ---- activations ---------------------------------------------------------------------------------


@unary(
    saves="y",
    reference=lambda x: np.maximum(x, x.dtype.type(0)),
    integers="numpy",
    cases=cases(avoid=[0.0]),
)
def relu(x: Tensor, /) -> Tensor:
    """max(x, 0), element by element. x: (...), any real dtype. Returns (...), the same dtype. The
    derivative at 0 is 0.

    >>> import tensorgrad
    >>> tensorgrad.relu(tensorgrad.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    ...


@unary(
    saves="x",
    reference=lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    cases=cases(avoid=[0.0]) + cases(avoid=[0.0], negative_slope=0.2),
)
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.leaky_relu(tensorgrad.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5,  2. ])
    """
    ...


@unary(
    saves="x",
    second=lambda x, alpha: exp(-relu(-x)) * (x <= 0).astype(x.dtype) * alpha,
    reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    cases=cases(avoid=[0.0]) + cases(avoid=[0.0], alpha=0.5),
)
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2015). x: (...), float. Returns
    (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.elu(tensorgrad.tensor([0.0, 2.0]))
    tensor([0., 2.])
    """
    ...


@unary(saves="y", second=lambda y: y * -2.0, reference=np.tanh, cases=cases())
def tanh(x: Tensor, /) -> Tensor:
    """The hyperbolic tangent. x: (...), float. Returns (...), the same dtype, in [-1, 1].

    >>> import tensorgrad
    >>> tensorgrad.tanh(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="y",
    second=lambda y: 1.0 - y * 2.0,
    complex=True,
    reference=lambda x: 1 / (1 + np.exp(-x)),
    cases=cases(),
)
def sigmoid(x: Tensor, /) -> Tensor:
    """The logistic function 1 / (1 + exp(-x)), without overflow. x: (...), float. Returns (...),
    the same dtype, in [0, 1].

    >>> import tensorgrad
    >>> tensorgrad.sigmoid(tensorgrad.tensor([0.0, -1e4]))
    tensor([0.5, 0. ])
    """
    ...


@unary(
    saves="x",
    second=lambda x: _normal_density(x) * (2.0 - square(x)),
    reference=lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2).astype(x.dtype))),
    cases=cases(),
)
def gelu(x: Tensor, /) -> Tensor:
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016), exact, by erf. x:
    (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.gelu(tensorgrad.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """
    ...


def _gelu_tanh_second(x: Tensor) -> Tensor:
    # y = x/2 (1 + t), t = tanh(u), u = c (x + k x^3): y'' = t' u' + x/2 (t'' u'^2 + t' u'')
    c, k = math.sqrt(2.0 / math.pi), 0.044715
    t = tanh((x + square(x) * x * k) * c)
    slope = (square(x) * (3.0 * k) + 1.0) * c
    first = 1.0 - square(t)
    return first * slope + x * 0.5 * (t * first * -2.0 * square(slope) + first * x * (6.0 * k * c))


@unary(
    saves="x",
    second=_gelu_tanh_second,
    reference=lambda x: (
        0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi).astype(x.dtype) * (x + 0.044715 * x**3)))
    ),
    cases=cases(),
)
def gelu_tanh(x: Tensor, /) -> Tensor:
    """The tanh approximation of gelu (Hendrycks and Gimpel 2016). x: (...), float. Returns (...),
    the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.gelu_tanh(tensorgrad.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """
    ...


def _silu_second(x: Tensor) -> Tensor:
    # y = x s, s' = s (1 - s): y'' = s' (2 + x (1 - 2 s))
    s = sigmoid(x)
    return s * (1.0 - s) * (x * (1.0 - s * 2.0) + 2.0)


@unary(saves="x", second=_silu_second, reference=lambda x: x / (1 + np.exp(-x)), cases=cases())
def silu(x: Tensor, /) -> Tensor:
    """x * sigmoid(x), also called swish (Elfwing et al. 2017). x: (...), float. Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.silu(tensorgrad.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """
    ...


def _softplus_second(x: Tensor) -> Tensor:
    s = sigmoid(x)
    return s * (1.0 - s)


@unary(
    saves="x",
    second=_softplus_second,
    reference=lambda x: np.logaddexp(x, np.zeros_like(x)),
    cases=cases(),
)
def softplus(x: Tensor, /) -> Tensor:
    """log(1 + exp(x)), without overflow. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.softplus(tensorgrad.tensor([1e4]))
    tensor([10000.])
    """
    ...


# ---- exponentials and logarithms -----------------------------------------------------------------


@unary(saves="y", second=lambda y: y._filled(1.0), reference=np.exp, cases=cases())
def exp(x: Tensor, /) -> Tensor:
    """e to the power x. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.exp(tensorgrad.tensor([0.0]))
    tensor([1.])
    """
    ...


@unary(saves="y", second=lambda y: y._filled(1.0), reference=np.expm1, cases=cases())
def expm1(x: Tensor, /) -> Tensor:
    """exp(x) - 1, accurate near 0. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.expm1(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: -reciprocal(square(x)),
    reference=np.log,
    cases=cases(low=0.3, high=3.0),
)
def log(x: Tensor, /) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.log(tensorgrad.tensor([1.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: -reciprocal(square(x + 1.0)),
    reference=np.log1p,
    cases=cases(low=-0.6, high=2.0),
)
def log1p(x: Tensor, /) -> Tensor:
    """log(1 + x), accurate near 0. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.log1p(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: reciprocal(square(x)) * (-1.0 / math.log(2.0)),
    reference=np.log2,
    cases=cases(low=0.3, high=3.0),
)
def log2(x: Tensor, /) -> Tensor:
    """The logarithm to base 2. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.log2(tensorgrad.tensor([8.0]))
    tensor([3.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: reciprocal(square(x)) * (-1.0 / math.log(10.0)),
    reference=np.log10,
    cases=cases(low=0.3, high=3.0),
)
def log10(x: Tensor, /) -> Tensor:
    """The logarithm to base 10. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.log10(tensorgrad.tensor([1000.0]))
    tensor([3.])
    """
    ...


# ---- powers --------------------------------------------------------------------------------------


@unary(
    saves="y",
    second=lambda y: reciprocal(square(y)) * -0.5,
    reference=np.sqrt,
    cases=cases(low=0.3, high=3.0),
)
def sqrt(x: Tensor, /) -> Tensor:
    """The square root; NaN below 0. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.sqrt(tensorgrad.tensor([9.0]))
    tensor([3.])
    """
    ...


@unary(
    saves="y",
    second=lambda y: square(y) * -1.5,
    complex=True,
    reference=lambda x: 1 / np.sqrt(x),
    cases=cases(low=0.3, high=3.0),
)
def rsqrt(x: Tensor, /) -> Tensor:
    """1 / sqrt(x). x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.rsqrt(tensorgrad.tensor([4.0]))
    tensor([0.5])
    """
    ...


@unary(
    saves="y",
    second=lambda y: y * -2.0,
    complex=True,
    reference=lambda x: 1 / x,
    cases=cases(avoid=[0.0], margin=0.4),
)
def reciprocal(x: Tensor, /) -> Tensor:
    """1 / x. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.reciprocal(tensorgrad.tensor([4.0]))
    tensor([0.25])
    """
    ...


@unary(
    saves="x", second=lambda x: x._filled(2.0), reference=np.square, integers="numpy", cases=cases()
)
def square(x: Tensor, /) -> Tensor:
    """x * x. x: (...), any real dtype. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.square(tensorgrad.tensor([3.0]))
    tensor([9.])
    """
    ...


@unary(
    saves="x",
    complex=True,
    second=lambda x, exponent: power(x, exponent - 2.0) * (exponent * (exponent - 1.0)),
    reference=lambda x, exponent: np.power(x, exponent),
    cases=cases(low=0.3, high=2.0, exponent=2.5)
    + cases(avoid=[0.0], exponent=3.0)
    + cases(exponent=2.0),
    method=False,
)
def power(x: Tensor, exponent: float) -> Tensor:
    """x to the power of a number; `pow` takes tensors too. x: (...), float. Returns (...), the same
    dtype.

    >>> import tensorgrad
    >>> tensorgrad.power(tensorgrad.tensor([2.0]), 3.0)
    tensor([8.])
    """
    ...


# ---- signs and rounding --------------------------------------------------------------------------


@unary(
    saves="x",
    reference=np.abs,
    integers="numpy",
    cases=cases(avoid=[0.0]),
    method=("abs", "__abs__"),
)
def abs(x: Tensor, /) -> Tensor:
    """The absolute value. x: (...), any dtype. Returns (...), the same dtype, of complex numbers
    the real one. The derivative at 0 is 0.

    >>> import tensorgrad
    >>> tensorgrad.abs(tensorgrad.tensor([-3.0]))
    tensor([3.])
    """
    ...


@unary(
    saves="x",
    reference=np.negative,
    integers="numpy",
    cases=cases(),
    method=("negative", "neg", "__neg__"),
)
def neg(x: Tensor, /) -> Tensor:
    """-x. x: (...), any signed dtype. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.neg(tensorgrad.tensor([3.0]))
    tensor([-3.])
    """
    ...


@unary(saves=None, reference=np.sign, integers="numpy", cases=cases(avoid=[0.0]))
def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1 by the sign of x; NaN stays. x: (...), any real dtype. Returns (...), the same
    dtype. No gradient.

    >>> import tensorgrad
    >>> tensorgrad.sign(tensorgrad.tensor([-3.0, 0.0]))
    tensor([-1.,  0.])
    """
    ...


@unary(saves=None, reference=np.floor, integers="numpy", cases=cases(avoid=[-1.0, 0.0, 1.0]))
def floor(x: Tensor, /) -> Tensor:
    """The largest integer <= x. x: (...), any real dtype. Returns (...), the same dtype. No
    gradient.

    >>> import tensorgrad
    >>> tensorgrad.floor(tensorgrad.tensor([-1.5]))
    tensor([-2.])
    """
    ...


@unary(saves=None, reference=np.ceil, integers="numpy", cases=cases(avoid=[-1.0, 0.0, 1.0]))
def ceil(x: Tensor, /) -> Tensor:
    """The smallest integer >= x. x: (...), any real dtype. Returns (...), the same dtype. No
    gradient.

    >>> import tensorgrad
    >>> tensorgrad.ceil(tensorgrad.tensor([1.5]))
    tensor([2.])
    """
    ...


@unary(
    saves=None,
    reference=np.round,
    integers="numpy",
    complex=True,
    cases=cases(avoid=[-1.5, -0.5, 0.5, 1.5]),
)
def round(x: Tensor, /) -> Tensor:
    """The nearest integer, halves to even. x: (...), any real dtype. Returns (...), the same dtype.
    No gradient.

    >>> import tensorgrad
    >>> tensorgrad.round(tensorgrad.tensor([0.5, 1.5]))
    tensor([0., 2.])
    """
    ...


@unary(saves=None, reference=np.trunc, integers="numpy", cases=cases(avoid=[-1.0, 0.0, 1.0]))
def trunc(x: Tensor, /) -> Tensor:
    """x without its fraction. x: (...), any real dtype. Returns (...), the same dtype. No gradient.

    >>> import tensorgrad
    >>> tensorgrad.trunc(tensorgrad.tensor([-1.5]))
    tensor([-1.])
    """
    ...


# ---- trigonometry and the error function ---------------------------------------------------------


@unary(saves="x", second=lambda x: -sin(x), reference=np.sin, cases=cases())
def sin(x: Tensor, /) -> Tensor:
    """The sine of x radians. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.sin(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(saves="x", second=lambda x: -cos(x), reference=np.cos, cases=cases())
def cos(x: Tensor, /) -> Tensor:
    """The cosine of x radians. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.cos(tensorgrad.tensor([0.0]))
    tensor([1.])
    """
    ...


@unary(saves="y", second=lambda y: y * 2.0, reference=np.tan, cases=cases(low=-1.2, high=1.2))
def tan(x: Tensor, /) -> Tensor:
    """The tangent of x radians. x: (...), float. Returns (...), the same dtype.

    >>> import tensorgrad
    >>> tensorgrad.tan(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


@unary(
    saves="x",
    second=lambda x: exp(-square(x)) * x * (-4.0 / math.sqrt(math.pi)),
    reference=_erf,
    cases=cases(),
)
def erf(x: Tensor, /) -> Tensor:
    """The error function. x: (...), float. Returns (...), the same dtype, in [-1, 1].

    >>> import tensorgrad
    >>> tensorgrad.erf(tensorgrad.tensor([0.0]))
    tensor([0.])
    """
    ...


negative = neg  # the Array API's name

__all__ = [
    "abs",
    "ceil",
    "cos",
    "elu",
    "erf",
    "exp",
    "expm1",
    "floor",
    "gelu",
    "gelu_tanh",
    "leaky_relu",
    "log",
    "log1p",
    "log2",
    "log10",
    "neg",
    "negative",
    "power",
    "reciprocal",
    "relu",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]
