"""NaN, infinities and signed zeros through every elementwise op, reduction and comparison, as NumPy
has them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import Op, registry

nan, inf = np.nan, np.inf
SPECIAL = np.array([nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 1e-30, -1e30, 0.5])
# enough copies that every special value passes through full vectors and through the rest
MANY = np.tile(SPECIAL, 7)[:67]

# where the reference is a formula that loses them, what must come out for nan, inf, -inf
LIMITS = {"gelu": (nan, inf, -0.0), "gelu_tanh": (nan, inf, -0.0), "silu": (nan, inf, -0.0)}
# what makes of -0.0 a zero whose sign NumPy does not define, or that the reference loses
EITHER_ZERO = ("relu", "elu", "sign")
PAIRS = (
    *("add", "sub", "mul", "div", "maximum", "minimum", "pow", "remainder", "floor_divide"),
    *("copysign", "atan2", "hypot", "logaddexp"),
)
PLAIN = [o for o in registry.values() if o.family == "unary" and not o.cases[0].params]


def same(got: np.ndarray, expected: np.ndarray, signs: bool = True) -> None:
    rtol = 1e-5 if got.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=np.finfo(got.dtype).tiny)
    if signs:
        zero = expected == 0
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", [o for o in PLAIN if o.name not in LIMITS], ids=lambda o: o.name)
def test_unary(op: Op, dtype: Any) -> None:
    assert op.reference is not None
    x = MANY.astype(dtype)
    with np.errstate(all="ignore"):
        expected = np.asarray(op.reference(x.astype(np.float64))).astype(dtype)
    same(op.function(tg.tensor(x)).numpy(), expected, signs=op.name not in EITHER_ZERO)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LIMITS)
def test_activations_at_their_limits(name: str, dtype: Any) -> None:
    x = np.tile(np.array([nan, inf, -inf], dtype), 11)
    got = registry[name].function(tg.tensor(x)).numpy()[:3]
    assert np.isnan(got[0])
    assert got[1] == inf
    assert got[2] == 0.0 or np.isnan(got[2])  # -inf * 0: PyTorch gives NaN, the limit is 0
    zeros = registry[name].function(tg.tensor(np.zeros(33, dtype))).numpy()
    assert (zeros == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("layout", ["flat", "broadcast"])
def test_pairs(name: str, dtype: Any, layout: str) -> None:
    reference = registry[name].reference
    assert reference is not None
    x = SPECIAL.astype(dtype)
    a, b = x[:, None], x[None, :]
    if layout == "flat":
        a, b = (np.ascontiguousarray(m).reshape(-1) for m in np.broadcast_arrays(a, b))
    with np.errstate(all="ignore"):
        expected = reference(a, b)
    # which of two zeros is the larger is not defined
    same(
        registry[name].function(tg.tensor(a), tg.tensor(b)).numpy(),
        expected,
        signs=name not in ("maximum", "minimum"),
    )


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, -0.5, 2.5, 0.0, inf, nan])
def test_powers_of_a_number(exponent: float) -> None:
    x = MANY.astype(np.float64)
    with np.errstate(all="ignore"):
        expected = x ** np.float64(exponent)
    got = (tg.tensor(x) ** exponent).numpy()
    if exponent == 0.5:  # sqrt(-inf) is NaN, pow(-inf, 0.5) inf: as NumPy's own shortcut
        with np.errstate(all="ignore"):
            expected = np.sqrt(x)
    if exponent == -0.5:
        with np.errstate(all="ignore"):
            expected = 1 / np.sqrt(x)
    same(got, expected)


COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str) -> None:
    compare = COMPARISONS[name]
    t = tg.tensor(SPECIAL)
    expected = compare(SPECIAL[:, None], SPECIAL)
    np.testing.assert_array_equal(compare(t.reshape(-1, 1), t).numpy(), expected)
    np.testing.assert_array_equal(compare(t, 0.0).numpy(), compare(SPECIAL, 0.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "norm", "var", "logsumexp"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(name: str, dtype: Any, value: float, axis: int) -> None:
    array = np.random.default_rng(0).standard_normal((37, 41)).astype(dtype)
    array[3, 5] = array[36, 40] = array[20, 17] = value
    reference = registry[name].reference
    assert reference is not None
    with np.errstate(all="ignore"):
        expected = reference(array, axis=axis)
    got = registry[name].function(tg.tensor(array), axis=axis).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_positions(name: str, axis: int | None) -> None:
    array = np.random.default_rng(0).integers(0, 4, (37, 41)).astype(np.float32)
    for value in (None, inf, -inf, nan):
        if value is not None:
            array[3, 5] = array[36, 40] = array[3, 40] = value
        expected = getattr(np, name)(array, axis=axis)
        got = getattr(tg, name)(tg.tensor(array), axis=axis)
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 3, 64, 1000])
def test_softmax_and_losses_stay_finite(dtype: Any, columns: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.choice([-1e4, 0.0, 1e4], (8, columns)).astype(dtype)
    labels = tg.tensor(rng.integers(0, columns, 8))
    for function in (
        lambda x: x.softmax(-1),
        lambda x: x.log_softmax(-1),
        lambda x: x.logsumexp(-1),
        lambda x: tg.cross_entropy(x, labels),
        lambda x: tg.cross_entropy(x, labels, label_smoothing=0.1, reduction="none"),
    ):
        x = tg.tensor(logits, requires_grad=True)
        y = function(x)
        assert np.isfinite(y.detach().numpy()).all()
        (g,) = tg.autograd.grad(y, [x], np.ones(y.shape, dtype))
        assert np.isfinite(g.numpy()).all()
        assert g.shape == logits.shape


def test_softmax_of_infinities() -> None:
    rows = np.array([[-inf, 0.0, 0.0], [nan, 0.0, 1.0], [-inf, -inf, 3.0]])
    got = tg.tensor(rows).softmax(-1).numpy()
    np.testing.assert_allclose(got[0], [0.0, 0.5, 0.5])
    assert np.isnan(got[1]).all()
    np.testing.assert_allclose(got[2], [0.0, 0.0, 1.0])
    log = tg.tensor(rows).log_softmax(-1).numpy()
    np.testing.assert_allclose(log[0], [-inf, -np.log(2), -np.log(2)])
    np.testing.assert_allclose(
        tg.tensor([[-inf, -inf], [inf, 0.0]]).logsumexp(1).numpy(), [-inf, inf]
    )


def test_gradients_at_kinks_are_as_documented() -> None:
    zero = np.array([0.0, -0.0])
    for name, expected in {"relu": 0.0, "abs": 0.0, "leaky_relu": 0.01, "norm": 0.0}.items():
        x = tg.tensor(zero, requires_grad=True)
        registry[name].function(x).sum().backward()
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), expected)
    a, b = (tg.tensor(zero, requires_grad=True) for _ in range(2))
    tg.maximum(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5]
    x = tg.tensor([2.0, 2.0, 1.0], requires_grad=True)
    x.max().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_the_gradient_of_a_product_with_zeros(zeros: int) -> None:
    array = np.array([2.0, 3.0, 5.0])
    array[:zeros] = 0.0
    x = tg.tensor(array, requires_grad=True)
    x.prod().backward()
    assert x.grad is not None
    expected = [np.prod(np.delete(array, i)) for i in range(3)]
    assert x.grad.tolist() == expected
