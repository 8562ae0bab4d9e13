"""Functions of two tensors, element by element, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.dtypes import F64
from tensorgrad.ops import pointwise as ew
from tensorgrad.ops._elementwise import binary
from tensorgrad.ops.comparisons import pair_cases as cases
from tensorgrad.ops.comparisons import where


@binary(
    gradient=(lambda gy, y, a, b: gy, lambda gy, y, a, b: gy),
    reference=np.add,
    cases=cases(),
    method=("add", "__add__", "__radd__"),
)
def add(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a + b. a, b: shapes that broadcast, any dtypes. Returns the broadcast shape. Raises
    ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.add(tensorgrad.ones(2), 1.0)
    tensor([2., 2.])
    """
    ...


@binary(
    gradient=(lambda gy, y, a, b: gy, lambda gy, y, a, b: -gy),
    reference=np.subtract,
    cases=cases(),
    method=("sub", "subtract", "__sub__"),
)
def sub(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a - b. a, b: shapes that broadcast, any numeric dtypes. Returns the broadcast shape. Raises
    ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.sub(tensorgrad.ones(2), 1.0)
    tensor([0., 0.])
    """
    ...


@binary(
    gradient=(lambda gy, y, a, b: gy * b, lambda gy, y, a, b: gy * a),
    saves=("b", "a"),
    fused="single",
    reference=np.multiply,
    cases=cases(),
    method=("mul", "multiply", "__mul__", "__rmul__"),
)
def mul(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a * b. a, b: shapes that broadcast, any dtypes. Returns the broadcast shape. Raises
    ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.mul(tensorgrad.ones(2), 3.0)
    tensor([3., 3.])
    """
    ...


@binary(
    # b * b would overflow, or vanish, where b is far from doing so
    gradient=(lambda gy, y, a, b: gy / b, lambda gy, y, a, b: -((gy / b) * (a / b))),
    saves=("b", "a b"),
    fused="always",
    reference=np.true_divide,
    integers="float",
    cases=cases(low=0.5, high=2.0),
    method=("div", "divide", "__truediv__"),
)
def div(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a / b by IEEE: x/0 is inf, 0/0 NaN; integers become float32. a, b: shapes that broadcast.
    Returns the broadcast shape.

    >>> import tensorgrad
    >>> tensorgrad.div(tensorgrad.ones(2), 4.0)
    tensor([0.25, 0.25])
    """
    ...


@binary(
    gradient=None,
    reference=lambda a, b: np.where(a < b, 0.0, np.where(a == b, 0.5, 1.0)).astype(
        np.result_type(a, b)
    ),
    integers="float",
    cases=(*cases(), Case(np.array([1.0, 2.0, np.nan]), np.array([1.0, 3.0, 0.0]))),
    method=False,
)
def larger_share(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """The part of a gradient of maximum(a, b) that goes to a: 1 where a is larger, 0 where b is, 1/2 of
    a tie, and 1 beside a NaN. a, b: shapes that broadcast. Returns that shape. No gradient.

    >>> import tensorgrad
    >>> tensorgrad.ops.larger_share(tensorgrad.tensor([1.0, 3.0, 2.0]), 2.0)
    tensor([0. , 1. , 0.5])
    """
    ...


@binary(
    gradient=(
        lambda gy, y, a, b: gy * larger_share(a, b),
        lambda gy, y, a, b: gy * larger_share(b, a),
    ),
    saves=("a b", "a b"),
    reference=np.maximum,
    cases=cases(),
)
def maximum(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """The larger of a and b; NaN if either is. A tie's gradient is halved; a NaN's goes to both, as in
    PyTorch. a, b: shapes that broadcast. Returns that shape.

    >>> import tensorgrad
    >>> tensorgrad.maximum(tensorgrad.tensor([1.0, 3.0]), 2.0)
    tensor([2., 3.])
    """
    ...


@binary(
    gradient=(
        lambda gy, y, a, b: gy * larger_share(b, a),
        lambda gy, y, a, b: gy * larger_share(a, b),
    ),
    saves=("a b", "a b"),
    reference=np.minimum,
    cases=cases(),
)
def minimum(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """The smaller of a and b; NaN if either is. A tie's gradient is halved; a NaN's goes to both, as in
    PyTorch. a, b: shapes that broadcast. Returns that shape.

    >>> import tensorgrad
    >>> tensorgrad.minimum(tensorgrad.tensor([1.0, 3.0]), 2.0)
    tensor([1., 2.])
    """
    ...


def _pow_by_exponent(gy: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # d/db a^b = a^b log a; at a = 0 its limit 0 for b > 0, and 0 for b = 0 as in PyTorch
    flat = (a == 0.0) & (b >= 0.0)
    return where(flat, 0.0, gy * y * ew.log(where(flat, 1.0, a)))


def _pow_by_base(gy: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # b a^(b-1), and 0 for b = 0 whatever a is
    constant = b == 0.0
    return where(constant, 0.0, gy * b * pow(where(constant, 1.0, a), b - 1.0))


@binary(
    gradient=(_pow_by_base, _pow_by_exponent),
    saves=("a b", "a b y"),
    kernel="pow",
    reference=np.power,
    cases=cases(low=0.5, high=2.0),
    method=False,
)
def pow_tensors(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a to the power b, both tensors. a, b: shapes that broadcast. Returns that shape.

    >>> import tensorgrad
    >>> tensorgrad.pow_tensors(tensorgrad.tensor([2.0]), tensorgrad.tensor([3.0]))
    tensor([8.])
    """
    ...


@composite(
    reference=np.power,
    cases=cases(low=0.5, high=2.0),
    method=("pow", "__pow__"),
)
def pow(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a to the power b; 0^0 is 1, a negative base to a power that is no integer NaN. a, b: shapes
    that broadcast, or numbers. Returns the broadcast shape.

    >>> import tensorgrad
    >>> tensorgrad.pow(tensorgrad.tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
    """
    if isinstance(b, (int, float)) and isinstance(a, Tensor) and a._code <= F64:
        special = _POWERS.get(b)
        return special(a) if special else ew.power(a, b)
    return pow_tensors(a, b)


_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    2: ew.square,
    0.5: ew.sqrt,
    -1: ew.reciprocal,
    -0.5: ew.rsqrt,
    1: lambda a: a * 1.0,
}


@binary(
    gradient=None,
    reference=np.floor_divide,
    cases=cases(low=0.6, high=2.0),
    method=("floor_divide", "__floordiv__"),
)
def floor_divide(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """The largest integer <= a / b. a, b: shapes that broadcast. Returns that shape. No gradient.

    >>> import tensorgrad
    >>> tensorgrad.floor_divide(tensorgrad.tensor([7.0, -7.0]), 2.0)
    tensor([ 3., -4.])
    """
    ...


@binary(
    gradient=(lambda gy, y, a, b: gy, lambda gy, y, a, b: -gy * floor_divide(a, b)),
    saves=("", "a b"),
    reference=np.remainder,
    cases=tuple(Case(np.array([5.5, -5.5, 7.0]), np.array(b)) for b in (2.0, -2.0)),
    method=("remainder", "__mod__"),
)
def remainder(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a - b * floor(a / b), exact: has the sign of b, as Python's %. a, b: shapes that broadcast.
    Returns that shape. Where a / b is an integer the gradient is that of its right side.

    >>> import tensorgrad
    >>> tensorgrad.remainder(tensorgrad.tensor([7.0, -7.0]), 4.0)
    tensor([3., 1.])
    """
    ...


def _divmod(a: Tensor, b: Tensor | float) -> tuple[Tensor, Tensor]:
    return floor_divide(a, b), remainder(a, b)


def _reflected_divmod(self: Tensor, a: Tensor | float) -> tuple[Tensor, Tensor]:
    return floor_divide(a, self), remainder(a, self)


subtract, multiply, divide = sub, mul, div  # the Array API's names

Tensor.__divmod__ = _divmod
Tensor.__rdivmod__ = _reflected_divmod
Tensor.__rsub__ = lambda self, other: sub(other, self)
Tensor.__rtruediv__ = lambda self, other: div(other, self)
Tensor.__rfloordiv__ = lambda self, other: floor_divide(other, self)
Tensor.__rmod__ = lambda self, other: remainder(other, self)
Tensor.__rpow__ = lambda self, other: pow(other, self)

__all__ = [
    "add",
    "div",
    "divide",
    "floor_divide",
    "larger_share",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "pow",
    "pow_tensors",
    "remainder",
    "sub",
    "subtract",
]
