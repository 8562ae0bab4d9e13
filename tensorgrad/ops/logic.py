"""Tests of values, logic, signs, and shifts of bits: by NumPy, without gradients but copysign's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorgrad._native import in_c_order
from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.dtypes import BOOL, COMPLEX64, F64
from tensorgrad.errors import DTypeError
from tensorgrad.ops._elementwise import binary, by_numpy, operands
from tensorgrad.ops.comparisons import pair_cases
from tensorgrad.ops.pointwise import cases, sign


def _test(name: str, text: str, ufunc: np.ufunc) -> Any:
    def test(x: Tensor, /) -> Tensor:
        return by_numpy(name, ufunc, x._array())

    shown = ufunc(np.array([-1.0, np.inf, np.nan]))
    test.__name__ = test.__qualname__ = name
    test.__module__ = __name__
    test.__doc__ = f"""{text} x: (...). Returns (...), bool. No gradient.

    >>> import tensorgrad
    >>> tensorgrad.{name}(tensorgrad.tensor([-1.0, float("inf"), float("nan")]))
    tensor({np.array2string(shown, separator=", ")})
    """
    values = np.array([-1.0, 0.0, -0.0, np.inf, -np.inf, np.nan])
    return op(
        gradient=None,
        reference=ufunc,
        cases=(*cases(), Case(values)),
        kernel="NumPy",
        batching="elementwise",
    )(test)


isfinite = _test("isfinite", "Whether x is neither infinite nor NaN.", np.isfinite)
isinf = _test("isinf", "Whether x is infinite.", np.isinf)
isnan = _test("isnan", "Whether x is NaN.", np.isnan)
signbit = _test("signbit", "Whether x has its sign bit set, as -0.0 has.", np.signbit)


def _pairwise(
    name: str, text: str, ufunc: np.ufunc, example: tuple[Any, Any], case: tuple[Case, ...],
    accepts: Callable[[int], bool], expected: str, method: tuple[str, ...],
) -> Any:  # fmt: skip
    def combine(a: Tensor, b: Tensor, /) -> Tensor:
        x, y = operands(a, b, name)
        if not accepts(x._code):
            raise DTypeError(f"{name}: expected {expected}, got {x.dtype}")
        return by_numpy(name, ufunc, x._array(), y._array())

    shown = ufunc(np.array(example[0]), np.array(example[1]))
    combine.__name__ = combine.__qualname__ = name
    combine.__module__ = __name__
    combine.__doc__ = f"""{text} a, b: {expected}, shapes that broadcast. Returns that shape. No
    gradient. Raises DTypeError, ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.{name}(tensorgrad.tensor({example[0]}), tensorgrad.tensor({example[1]}))
    tensor({np.array2string(shown, separator=", ")})
    """
    return composite(
        reference=ufunc,
        cases=case,
        method=method,
        differentiable=False,
        batching="elementwise",
    )(combine)


_flags = ([True, False], [True, True])
_bools = (Case(np.array([True, False, True]), np.array([[True], [False]])), Case((3, 4), (4,)))
_ints = (Case(np.array([6, 3]), np.array(2)), Case(np.array([[8], [5]]), np.array([1, 3])))


def _logical(name: str, text: str, ufunc: np.ufunc) -> Any:
    return _pairwise(name, text, ufunc, _flags, _bools, lambda code: True, "any dtype", (name,))


def _shift(name: str, text: str, ufunc: np.ufunc, method: str) -> Any:
    return _pairwise(
        name,
        text,
        ufunc,
        ([1, 8], [1, 2]),
        _ints,
        lambda code: BOOL < code < COMPLEX64,
        "integers",
        (method,),
    )


logical_and = _logical("logical_and", "Whether both are true (not 0).", np.logical_and)
logical_or = _logical("logical_or", "Whether either is true (not 0).", np.logical_or)
logical_xor = _logical("logical_xor", "Whether exactly one is true (not 0).", np.logical_xor)
bitwise_left_shift = _shift("bitwise_left_shift", "a * 2^b.", np.left_shift, "__lshift__")
bitwise_right_shift = _shift(
    "bitwise_right_shift", "The largest integer <= a / 2^b.", np.right_shift, "__rshift__"
)
Tensor.__rlshift__ = lambda self, other: bitwise_left_shift(other, self)
Tensor.__rrshift__ = lambda self, other: bitwise_right_shift(other, self)
nextafter = _pairwise(
    "nextafter",
    "The next number from a in the direction of b.",
    np.nextafter,
    ([0.0, 1.0], [0.0, 1.0]),
    (Case(np.array([1.0, 0.0, 2.0]), np.array([1.0, 0.0, 2.0])),),
    lambda code: code <= F64,
    "floats",
    ("nextafter",),
)


@op(
    gradient=None,
    reference=np.logical_not,
    cases=(Case(np.array([True, False])), *cases()),
    kernel="NumPy",
    batching="elementwise",
)
def logical_not(x: Tensor, /) -> Tensor:
    """Whether x is false (0). x: (...). Returns (...), bool. No gradient.

    >>> import tensorgrad
    >>> tensorgrad.logical_not(tensorgrad.tensor([True, False]))
    tensor([False,  True])
    """
    return by_numpy("logical_not", np.logical_not, x._array())


def _turned(gy: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # 1 where the sign was kept, -1 where it was turned, 0 at a = 0 as in PyTorch
    return gy * sign(a) * copysign(1.0, b)


@binary(
    gradient=(lambda gy, y, a, b: _turned(gy, a, b), lambda gy, y, a, b: gy * 0.0),
    saves=("a b", ""),
    integers="float",
    reference=np.copysign,
    cases=pair_cases(low=0.3, high=2.0) + pair_cases(low=-2.0, high=-0.3),
)
def copysign(a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """|a| with the sign of b, that of zeros and NaNs too. a, b: shapes that broadcast. Returns that
    shape. The gradient in a at 0 and that in b are 0.

    >>> import tensorgrad
    >>> tensorgrad.copysign(tensorgrad.tensor([1.0, -2.0]), -0.0)
    tensor([-1., -2.])
    """
    ...


@composite(reference=np.positive, cases=cases(), method=("positive", "__pos__"))
def positive(x: Tensor, /) -> Tensor:
    """x itself, as a result of its own. x: (...). Returns (...), the same dtype.

    >>> import tensorgrad
    >>> +tensorgrad.tensor([1.0])
    tensor([1.])
    """
    return as_tensor(x, "positive").copy()


@op(gradient=lambda gy, y, x: gy, reference=np.real, cases=cases(), method=True, kernel="NumPy")
def real(x: Tensor, /) -> Tensor:
    """The real part of x; x itself where it is real. x: (...). Returns (...).

    >>> import tensorgrad
    >>> tensorgrad.real(tensorgrad.tensor([1.0]))
    tensor([1.])
    """
    return wrap_array(np.real(x._array()).copy())


@op(
    gradient=lambda gy, y, x: gy * 0.0,
    reference=np.imag,
    cases=cases(),
    method=True,
    kernel="NumPy",
)
def imag(x: Tensor, /) -> Tensor:
    """The imaginary part of x; 0 where it is real. x: (...). Returns (...).

    >>> import tensorgrad
    >>> tensorgrad.imag(tensorgrad.tensor([1.0]))
    tensor([0.])
    """
    return wrap_array(np.imag(x._array()).copy())


@op(gradient=lambda gy, y, x: gy, reference=np.conj, cases=cases(), method=True, kernel="NumPy")
def conj(x: Tensor, /) -> Tensor:
    """x with its imaginary part negated; x itself where it is real. x: (...). Returns (...), the
    same dtype.

    >>> import tensorgrad
    >>> tensorgrad.conj(tensorgrad.tensor([1.0]))
    tensor([1.])
    """
    return wrap_array(in_c_order(np.conj(x._array())))


__all__ = [
    "bitwise_left_shift",
    "bitwise_right_shift",
    "conj",
    "copysign",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "nextafter",
    "positive",
    "real",
    "signbit",
]
