"""Elementwise functions of complex and boolean tensors: NumPy's results in NumPy's dtypes, or an error
that says that there are none; never a part lost in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import Op, registry
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError

Z = np.array([0.5 - 1.5j, -0.25 + 0.75j, 2.0 + 0.5j, -1.5j])
W = np.array([1.5 + 0.5j, -2.0 - 1.0j, 0.5j, 3.0 + 0.0j])
REAL = ("abs", "real", "imag")
BOOLEAN = ("isfinite", "isinf", "isnan", "logical_not", "equal", "not_equal")
ONE = (
    *(
        "abs",
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "conj",
        "cos",
        "cosh",
        "exp",
        "expm1",
    ),
    *("imag", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2", "logical_not"),
    *("negative", "positive", "real", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin"),
    *("sinh", "sqrt", "square", "tan", "tanh"),
)
TWO = (
    *("add", "sub", "mul", "div", "pow", "equal", "not_equal", "logical_and", "logical_or"),
    "logical_xor",
)
NONE = (
    *(
        "relu",
        "leaky_relu",
        "elu",
        "gelu",
        "gelu_tanh",
        "silu",
        "softplus",
        "floor",
        "ceil",
        "trunc",
    ),
    *("erf", "erfc", "erfinv", "lgamma", "digamma", "polygamma", "log1mexp", "signbit"),
)
NONE_OF_TWO = (
    *("floor_divide", "remainder", "atan2", "copysign", "hypot", "logaddexp", "nextafter"),
    *("bitwise_and", "bitwise_left_shift"),
)
UNARY = [o for o in registry.values() if o.family == "unary"]


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", ONE)
def test_of_one(name: str, dtype: Any) -> None:
    z = Z.astype(dtype)
    declared = registry["neg" if name == "negative" else name]
    assert declared.reference is not None
    got = getattr(tg, name)(tg.tensor(z))
    kind = z.real.dtype if name in REAL else np.dtype(bool) if name in BOOLEAN else z.dtype
    assert got.dtype == kind
    with np.errstate(all="ignore"):
        expected = declared.reference(z)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)
    # as it lies in memory: every second element, backwards
    strided = tg.tensor(np.repeat(z, 2))[::-2]
    np.testing.assert_array_equal(getattr(tg, name)(strided).numpy(), got.numpy()[::-1])


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", TWO)
def test_of_two(name: str, dtype: Any) -> None:
    z, w = Z.astype(dtype), W.astype(dtype)
    function, reference = getattr(tg, name), registry[name].reference
    assert reference is not None
    for a, b in ((z, w), (z[:, None], w), (z, w.real.copy()), (z.real.copy(), w)):
        got = function(tg.tensor(a), tg.tensor(b))
        with np.errstate(all="ignore"):
            expected = reference(a, b)
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", NONE)
def test_none_of_one(name: str) -> None:
    with pytest.raises(DTypeError, match=name):
        getattr(tg, name)(tg.tensor(Z))


@pytest.mark.parametrize("name", NONE_OF_TWO)
def test_none_of_two(name: str) -> None:
    with pytest.raises(DTypeError, match=name):
        getattr(tg, name)(tg.tensor(Z), tg.tensor(W))


def test_clip_has_no_complex_order() -> None:
    with pytest.raises(DTypeError, match="clip"):
        tg.clip(tg.tensor(Z), 0.0, 1.0)


@pytest.mark.parametrize("op", UNARY, ids=lambda o: o.name)
def test_no_imaginary_part_is_lost(op: Op) -> None:
    params = list(op.cases[0].params.values())
    if op.name in NONE:
        with pytest.raises(DTypeError, match=op.name):
            op.function(tg.tensor(Z), *params)
    else:
        got = op.function(tg.tensor(Z), *params)
        assert got.dtype.kind == "c" or op.name in REAL


def test_numbers() -> None:
    z = tg.tensor(Z.astype(np.complex64))
    for number in (2, 0.5, 1j, True):
        for got, expected in (
            (z * number, Z * number),
            (number - z, number - Z),
            (z**2, Z**2),
            (z / 2, Z / 2),
        ):
            assert got.dtype == tg.complex64
            np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)
    assert (tg.tensor(Z.real) + 1j).dtype == tg.complex128
    assert (tg.tensor(Z.real.astype(np.float32)) * 1j).dtype == tg.complex64
    assert (z == 2.0).tolist() == (Z == 2.0).tolist()
    np.testing.assert_allclose((z**0.5).numpy(), Z**0.5, rtol=1e-6)
    np.testing.assert_allclose((z ** (1 + 1j)).numpy(), Z ** (1 + 1j), rtol=1e-5)


@pytest.mark.parametrize("op", UNARY, ids=lambda o: o.name)
def test_booleans_are_numbers_or_refused(op: Op) -> None:
    params = list(op.cases[0].params.values())
    x = tg.tensor([True, True])
    if op.name in ("neg", "sign"):
        with pytest.raises(DTypeError, match=op.name):
            op.function(x, *params)
        return
    got = op.function(x, *params)
    assert got.dtype in (tg.float32, tg.bool, tg.int8)
    with np.errstate(all="ignore"):
        expected = op.function(tg.ones(2), *params).numpy()
    np.testing.assert_array_equal(got.numpy().astype(np.float32), expected)


@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum", "pow", "atan2", "hypot"])
def test_pairs_of_booleans(name: str) -> None:
    a, b = tg.tensor([True, False]), tg.tensor([True, True])
    got = getattr(tg, name)(a, b)
    assert got.dtype in (tg.float32, tg.bool, tg.int8)
    with pytest.raises(DTypeError, match="sub: not defined for bool and bool"):
        tg.sub(a, b)


def test_errors_of_integers_are_named() -> None:
    a = tg.tensor([2, 3])
    with pytest.raises(ArgumentError, match="pow.*negative integer powers"):
        tg.pow_tensors(a, tg.tensor([-1, -1]))
    with pytest.raises(ShapeError, match="add: .*broadcast"):
        tg.add(a, tg.tensor([1, 2, 3]))
