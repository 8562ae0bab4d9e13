"""Comparisons, logic on bits, and choice between tensors."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tensorgrad._captures import captures
from tensorgrad._native import NULL, broadcast_layout, fail, in_c_order, lib
from tensorgrad._tensor import Tensor, as_tensor, borrowed, empty_raw, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.autograd._traced import Traced, traced
from tensorgrad.dtypes import BOOL, COMPLEX64, DTYPES, F64, promote
from tensorgrad.errors import DTypeError, ShapeError
from tensorgrad.ops._elementwise import operands
from tensorgrad.shapes import broadcast_shapes

PAIRS = (
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((0, 3), (3,)),
    ((), ()),
)


def pair_cases(**params: Any) -> tuple[Case, ...]:
    """Cases of two inputs whose shapes broadcast."""
    return tuple(Case(a, b, **params) for a, b in PAIRS)


def _comparison(name: str, ufunc: np.ufunc, symbol: str, method: tuple[str, ...]) -> Any:
    def compare(a: Tensor | float, b: Tensor | float, /) -> Tensor:
        if isinstance(a, Traced) or isinstance(b, Traced):
            return traced((a, b)).apply(compare, (a, b), {})
        try:
            a, b = operands(a, b, name)
        except DTypeError:
            if name in ("equal", "not_equal") and not hasattr(b, "__array__"):
                return NotImplemented
            raise
        shape = a._shape
        if shape != b._shape:
            shape = broadcast_shapes(shape, b._shape, name)
        if captures:  # a step of a program makes its result
            return wrap_array(in_c_order(ufunc(a._array(), b._array())))
        y = empty_raw(shape, prod(shape), BOOL)
        ufunc(borrowed(a), borrowed(b), out=borrowed(y))
        return y

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = f"""a {symbol} b, element by element. a, b: shapes that broadcast. Returns
    that shape, bool. No gradient.

    >>> import tensorgrad
    >>> tensorgrad.{name}(tensorgrad.tensor([1.0, 2.0]), 2.0)
    tensor({np.array2string(ufunc(np.array([1.0, 2.0]), 2.0), separator=", ")})
    """
    compare.__module__ = __name__
    return composite(reference=ufunc, cases=pair_cases(), method=method, differentiable=False)(
        compare
    )


equal = _comparison("equal", np.equal, "==", ("__eq__",))
not_equal = _comparison("not_equal", np.not_equal, "!=", ("__ne__",))
less = _comparison("less", np.less, "<", ("__lt__",))
less_equal = _comparison("less_equal", np.less_equal, "<=", ("__le__",))
greater = _comparison("greater", np.greater, ">", ("__gt__",))
greater_equal = _comparison("greater_equal", np.greater_equal, ">=", ("__ge__",))


@op(
    gradient=(
        None,
        lambda gy, y, condition, a, b: where(condition, gy, 0.0),
        lambda gy, y, condition, a, b: where(condition, 0.0, gy),
    ),
    saves=("condition",),
    reference=np.where,
    cases=(
        Case(np.array([[True, False], [False, True]]), (2, 2), (2, 2)),
        Case(np.array([True, False, True]), (2, 3), ()),
        Case(np.array([[True], [False]]), (3,), (2, 1)),
    ),
    method=False,
)
def where(condition: Tensor, a: Tensor | float, b: Tensor | float, /) -> Tensor:
    """a where the condition holds, else b. condition: bool; a, b: any dtype; shapes that broadcast.
    Returns that shape.

    >>> import tensorgrad
    >>> tensorgrad.where(tensorgrad.tensor([True, False]), 1.0, 2.0)
    tensor([1., 2.])
    """
    if condition._code != BOOL:
        raise DTypeError(f"where: expected a condition of bool, got {condition.dtype}")
    code = promote(a._code, b._code)
    # a number became a tensor without axes: the other side decides the dtype
    if a._shape == () and b._shape != () and b._code <= F64:
        code = b._code
    elif b._shape == () and a._shape != () and a._code <= F64:
        code = a._code
    a = a if a._code == code else a.astype(DTYPES[code])
    b = b if b._code == code else b.astype(DTYPES[code])
    if code > F64:
        return wrap_array(np.where(condition._array(), a._array(), b._array()))
    shape, layout = broadcast_layout(
        "where",
        (condition._shape, condition._strides),
        (a._shape, a._strides),
        (b._shape, b._strides),
    )
    size = 1
    for n in shape:
        size *= n
    y = empty_raw(shape, size, code)
    if (
        condition._shape == a._shape == b._shape == shape
        and condition._strides is a._strides is b._strides is None
    ):
        layout = NULL
    status = lib.tg_where(code, size, condition._ptr, a._ptr, b._ptr, y._ptr, layout)
    if status:
        fail(status, "where", y._storage)
    return y


@composite(
    reference=lambda x, min=None, max=None: np.clip(x, min, max),
    cases=(
        Case((3, 4), avoid=[-1.0, 1.0], min=-1.0, max=1.0),
        Case((5,), avoid=[0.5], max=0.5),
        Case((2, 0), min=0.0),
        Case((3, 4), avoid=[-0.5], min=1.0, max=-0.5),
        Case(np.array([1, -7, 5], np.int8), min=-2, max=3),
    ),
    method=("clip", "clamp"),
)
def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]; None means no limit. Where min > max the result is max; a NaN among x or
    the limits gives NaN. Outside, and not on the edges, the gradient is 0 in x, and goes to the
    limit. x: (...), any real dtype; limits: numbers or tensors that broadcast. Returns the broadcast
    shape, in x's dtype unless that of a limit is larger.

    >>> import tensorgrad
    >>> tensorgrad.clip(tensorgrad.tensor([-2.0, 0.5, 2.0]), -1.0, 1.0)
    tensor([-1. ,  0.5,  1. ])
    """
    y = as_tensor(x, "clip")
    if y.dtype.kind == "c":
        raise DTypeError(f"clip: expected real numbers, got {y.dtype}")
    for limit, beyond in ((min, less), (max, greater)):
        if limit is not None:
            y, bound = operands(y, limit, "clip")
            out = beyond(y, bound)
            if not isinstance(limit, (int, float)) or limit != limit:
                out = out | (bound != bound)
            y = where(out, bound, y)
    return y


def _logical(name: str, ufunc: np.ufunc, symbol: str, methods: tuple[str, ...]) -> Any:
    def combine(a: Tensor, b: Tensor, /) -> Tensor:
        if isinstance(a, Traced) or isinstance(b, Traced):
            return traced((a, b)).apply(combine, (a, b), {})
        x, y = operands(a, b, name)
        if not F64 < x._code < COMPLEX64:
            raise DTypeError(f"{name}: expected booleans or integers, got {x.dtype}")
        try:
            return wrap_array(in_c_order(ufunc(x._array(), y._array())))
        except ValueError:
            raise ShapeError(
                f"{name}: expected shapes that broadcast, got {x._shape} and {y._shape}"
            ) from None

    combine.__name__ = combine.__qualname__ = name
    combine.__module__ = __name__
    both = ufunc(np.array([True, False]), np.array([True, True]))
    combine.__doc__ = f"""a {symbol} b, bit by bit. a, b: bool or integers, shapes that broadcast.
    Returns that shape.

    >>> import tensorgrad
    >>> tensorgrad.{name}(tensorgrad.tensor([True, False]), tensorgrad.tensor([True, True]))
    tensor({np.array2string(both, separator=", ")})
    """
    a, b = np.array([True, False, True]), np.array([[True], [False]])
    return composite(
        reference=ufunc,
        cases=(Case(a, b), Case(np.array([6, 3]), np.array(5))),
        method=methods,
        differentiable=False,
    )(combine)


bitwise_and = _logical("bitwise_and", np.bitwise_and, "&", ("__and__", "__rand__"))
bitwise_or = _logical("bitwise_or", np.bitwise_or, "|", ("__or__", "__ror__"))
bitwise_xor = _logical("bitwise_xor", np.bitwise_xor, "^", ("__xor__", "__rxor__"))


@composite(
    reference=np.invert,
    cases=(Case(np.array([True, False])), Case(np.array([1, -5]))),
    method=("__invert__",),
    differentiable=False,
)
def bitwise_invert(x: Tensor, /) -> Tensor:
    """Every bit of x turned over. x: bool or integers. Returns x's shape.

    >>> import tensorgrad
    >>> ~tensorgrad.tensor([True, False])
    tensor([False,  True])
    """
    if isinstance(x, Traced):
        return x.apply(bitwise_invert, (x,), {})
    x = as_tensor(x, "bitwise_invert")
    if not F64 < x._code < COMPLEX64:
        raise DTypeError(f"bitwise_invert: expected booleans or integers, got {x.dtype}")
    return wrap_array(in_c_order(np.invert(x._array())))


__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_or",
    "bitwise_xor",
    "clip",
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
    "where",
]
