"""Where elementwise functions have corners: limits of clip, powers of zero, quotients by zero, ties
and NaN; their gradients there, and the arguments of astype and reshape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import ArgumentError, DTypeError

nan, inf = np.nan, np.inf


def gradients(function: Any, *arrays: Any) -> list[list[float]]:
    """The gradient of each input, of the sum of the function."""
    inputs = [tg.tensor(np.asarray(a, np.float64), requires_grad=True) for a in arrays]
    found = tg.autograd.grad(function(*inputs).sum(), inputs, allow_unused=True)
    return [g.tolist() for g in found if g is not None]


# ---- numbers whose squares over- or underflow ---------------------------------------------------


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200])
def test_the_gradient_of_a_quotient_does_not_square_the_divisor(size: float) -> None:
    a = [0.0, size, -size]
    assert gradients(tg.div, a, [size] * 3)[1] == [0.0, -1 / size, 1 / size]


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200])
def test_the_second_gradient_of_hypot_at_sizes_whose_squares_are_none(size: float) -> None:
    a, b = (tg.tensor([x * size], dtype="float64", requires_grad=True) for x in (3.0, 4.0))
    (first,) = tg.autograd.grad(tg.hypot(a, b).sum(), [a], create_graph=True)
    second = tg.autograd.grad(first.sum(), [a, b])
    # b^2 / r^3 and -a b / r^3
    np.testing.assert_allclose([s.item() * size for s in second], [16 / 125, -12 / 125], rtol=1e-12)


def test_the_second_gradient_of_log1mexp_where_exp_is_infinite() -> None:
    x = tg.tensor([2.0, 800.0, inf], dtype="float64", requires_grad=True)
    (first,) = tg.autograd.grad(tg.log1mexp(x).sum(), [x], create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), [x])
    np.testing.assert_allclose(second.numpy(), [-np.exp(2) / np.expm1(2) ** 2, 0, 0], rtol=1e-14)


def test_the_gradient_of_logit_at_its_ends() -> None:
    assert gradients(tg.logit, [0.0, 0.5, 1.0]) == [[inf, 4.0, inf]]


# ---- clip ----------------------------------------------------------------------------------------

LIMITS: list[tuple[Any, Any]] = [
    (-1.0, 1.0),
    (None, 0.5),
    (0, None),
    (None, None),
    (2.0, -2.0),
    (nan, 1.0),
    (-1.0, nan),
    (-inf, inf),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("low", "high"), LIMITS)
@pytest.mark.parametrize("as_arrays", [False, True])
def test_clip(low: Any, high: Any, dtype: Any, as_arrays: bool) -> None:
    x = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, nan, inf, -inf], dtype)
    expected = x if low is high is None else np.clip(x, low, high)
    limits = [low, high]
    if as_arrays:
        limits = [v if v is None else tg.tensor(np.full((2, 1), v, dtype)) for v in limits]
        if not low is high is None:
            expected = np.broadcast_to(expected, (2, 10))
    got = tg.clip(tg.tensor(x), *limits)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(
        tg.clip(tg.tensor(x), max=limits[1], min=limits[0]).numpy(), expected
    )


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint64"])
def test_clip_keeps_the_dtype_of_integers(dtype: str) -> None:
    x = np.array([0, 1, 5, 100], dtype)
    for low, high in ((1, 50), (None, 3), (2, None), (7, 3)):
        got = tg.clip(tg.tensor(x), low, high)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got.numpy(), np.clip(x, low, high))
    limit = tg.tensor(np.array([1, 2, 3, 4], dtype))
    got = tg.tensor(x).clip(max=limit)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got.numpy(), np.minimum(x, limit.numpy()))
    assert tg.clip(tg.tensor(x), 0.5, 2.5).tolist() == [0.5, 1.0, 2.5, 2.5]
    with pytest.raises(DTypeError, match="does not fit"):
        tg.clip(tg.tensor(x), 0, 2**70)


def test_the_gradient_of_clip() -> None:
    x = [-2.0, -1.0, 0.0, 1.0, 2.0]
    (gx,) = gradients(lambda x: tg.clip(x, -1.0, 1.0), x)
    assert gx == [0, 1, 1, 1, 0]
    gx, low, high = gradients(tg.clip, x, [-1.0] * 5, [1.0] * 5)
    assert gx == [0, 1, 1, 1, 0]
    assert low == [1, 0, 0, 0, 0]
    assert high == [0, 0, 0, 0, 1]


# ---- powers, quotients, remainders ---------------------------------------------------------------


def test_powers() -> None:
    a = tg.tensor([0.0, -0.0, 0.0, -2.0, -2.0, -2.0, 1.0, nan, inf, -inf, -1.0])
    b = tg.tensor([0.0, 0.0, -1.0, 3.0, 2.0, 0.5, nan, 0.0, 0.0, 3.0, inf])
    expected = [1.0, 1.0, inf, -8.0, 4.0, nan, 1.0, 1.0, 1.0, -inf, 1.0]
    np.testing.assert_array_equal((a**b).numpy(), expected)


def test_gradients_of_powers() -> None:
    by_base, by_exponent = gradients(tg.pow, [0.0, 0.0, 0.0, 0.0, -2.0], [0.0, 1.0, 2.0, 0.5, 3.0])
    np.testing.assert_array_equal(by_base, [0.0, 1.0, 0.0, inf, 12.0])
    np.testing.assert_array_equal(by_exponent, [0.0, 0.0, 0.0, 0.0, nan])
    (of_number,) = gradients(lambda x: x**3, [0.0, -2.0])
    assert of_number == [0.0, 12.0]
    (constant,) = gradients(lambda x: x**0, [0.0, nan, inf])
    assert constant == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quotient_and_remainder(dtype: Any) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 0.3, 5.5, -5.5, 7.0, 1e10, -1e10, inf, -inf, nan]
    a, b = (m.astype(dtype) for m in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        expected = np.floor_divide(a, b), np.remainder(a, b)
    got = divmod(tg.tensor(a), tg.tensor(b))
    for y, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(y.numpy(), want, rtol=1e-6 if dtype == np.float32 else 1e-15)
        np.testing.assert_array_equal(np.signbit(y.numpy()[want == 0]), np.signbit(want[want == 0]))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64"])
def test_quotient_and_remainder_of_integers(dtype: str) -> None:
    a, b = np.array([7, 8, 9, 0], dtype), np.array([2, 3, 9, 5], dtype)
    quotient, remainder = divmod(tg.tensor(a), tg.tensor(b))
    assert quotient.dtype == remainder.dtype == a.dtype
    assert quotient.tolist() == (a // b).tolist()
    assert remainder.tolist() == (a % b).tolist()
    assert (tg.tensor([-7, 7]) // 2).tolist() == [-4, 3]
    assert (tg.tensor([-7, 7]) % -4).tolist() == [-3, -1]


def test_gradients_of_remainders() -> None:
    by_a, by_b = gradients(tg.remainder, [5.5, -5.5, 4.0, 0.0], [2.0, 2.0, 2.0, 3.0])
    assert by_a == [1, 1, 1, 1]
    assert by_b == [-2, 3, -2, 0]


def test_the_sign_of_a_zero_given_as_a_number() -> None:
    x = tg.ones(2)
    for _ in range(2):  # the second time from among the numbers in use
        assert (x / 0.0).tolist() == [inf, inf]
        assert (x / -0.0).tolist() == [-inf, -inf]
        assert tg.copysign(x, -0.0).tolist() == [-1.0, -1.0]


# ---- ties and NaN --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_gradients_beside_nan(name: str) -> None:
    by_a, by_b = gradients(getattr(tg, name), [nan, 1.0, 2.0, 3.0], [1.0, nan, 2.0, 4.0])
    assert by_a == [1.0, 1.0, 0.5, 0.0 if name == "maximum" else 1.0]
    assert by_b == [1.0, 1.0, 0.5, 1.0 if name == "maximum" else 0.0]


@pytest.mark.parametrize(
    ("name", "a", "b"), [("atan2", 0.0, 0.0), ("hypot", 0.0, 0.0), ("copysign", 0.0, -1.0)]
)
def test_gradients_at_the_origin(name: str, a: float, b: float) -> None:
    found = gradients(getattr(tg, name), [a], [b])
    assert all(g == [0.0] for g in found)


def test_logaddexp_of_infinities() -> None:
    function = tg.logaddexp
    assert function(tg.tensor([inf, -inf, inf]), tg.tensor([inf, -inf, -inf])).tolist() == [
        inf,
        -inf,
        inf,
    ]
    by_a, by_b = gradients(function, [-inf, 2.0], [-inf, -inf])
    assert by_a == [0.5, 1.0]
    assert by_b == [0.5, 0.0]


def test_xlogy_at_zero() -> None:
    x, y = tg.tensor([0.0, 0.0, 0.0, 1.0]), tg.tensor([0.0, inf, nan, 0.0])
    np.testing.assert_array_equal(tg.xlogy(x, y).numpy(), [0.0, 0.0, nan, -inf])
    by_x, by_y = gradients(tg.xlogy, [0.0, 2.0], [3.0, 4.0])
    np.testing.assert_allclose(by_x, np.log([3.0, 4.0]))
    assert by_y == [0.0, 0.5]


# ---- astype and reshape --------------------------------------------------------------------------


def test_astype_copies_unless_told() -> None:
    x = tg.ones((2, 3))
    assert not np.shares_memory(tg.astype(x, tg.float32).numpy(), x.numpy())
    assert np.shares_memory(tg.astype(x, tg.float32, copy=False).numpy(), x.numpy())
    assert tg.astype(x, tg.float64, copy=False, device="cpu").dtype == tg.float64
    with pytest.raises(ArgumentError, match="expected the device 'cpu'"):
        tg.astype(x, tg.float64, device="gpu")
    (gx,) = gradients(lambda x: x.astype(tg.float64, copy=False) * 3.0, [1.0])
    assert gx == [3.0]


def test_reshape_copies_as_told() -> None:
    x = tg.arange(6.0)
    assert np.shares_memory(tg.reshape(x, (2, 3)).numpy(), x.numpy())
    assert np.shares_memory(tg.reshape(x, (2, 3), copy=False).numpy(), x.numpy())
    assert not np.shares_memory(tg.reshape(x, (2, 3), copy=True).numpy(), x.numpy())
    turned = x.reshape(2, 3).T
    assert turned.reshape(6).tolist() == [0, 3, 1, 4, 2, 5]
    with pytest.raises(ArgumentError, match="cannot be seen as"):
        turned.reshape(6, copy=False)
    (gx,) = gradients(lambda x: x.reshape(2, 2, copy=True) * 3.0, [1.0, 2.0, 3.0, 4.0])
    assert gx == [3.0] * 4
    batched = tg.func.vmap(lambda row: row.reshape(3, 1, copy=True))(x.reshape(2, 3))
    assert batched.shape == (2, 3, 1)


def test_matmul_in_place() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    same = x
    x @= tg.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert x is same
    assert x.tolist() == [[2.0, 1.0], [4.0, 3.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 1023), (33, 1025), (40, 2500), (1300, 515), (2, 40, 1100)])
def test_transposed_operands_wider_than_a_tile(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(5)
    a = rng.standard_normal(shape).astype(dtype)
    b = rng.standard_normal(shape[::-1]).astype(dtype).T
    gaps = rng.standard_normal((*shape[:-1], 2 * shape[-1])).astype(dtype)[..., ::2]
    mask = rng.random(shape[::-1]).T < 0.5
    ta, tb, tgaps, tmask = (tg.from_numpy(array) for array in (a, b, gaps, mask))
    assert np.array_equal((ta + tb).numpy(), a + b)
    assert np.array_equal((tb * tb).numpy(), b * b)
    assert np.array_equal((tgaps - tb).numpy(), gaps - b)
    assert np.array_equal(tg.where(tmask, tb, tgaps).numpy(), np.where(mask, b, gaps))
