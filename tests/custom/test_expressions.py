"""The language of expressions: parsing, differentiation, C and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorgrad.errors import ArgumentError
from tensorgrad.ops._expressions import (
    FUNCTIONS,
    Call,
    Expression,
    as_c,
    by_numpy,
    derivative,
    names_in,
    parse,
    simplified,
)

VALUES = {
    "1 + 2 * 3": 7.0,
    "(1 + 2) * 3": 9.0,
    "-2 * -3": 6.0,
    "8 / 4 / 2": 1.0,
    "1 - 2 - 3": -4.0,
    "1.5e1 + .5 + 1.f": 16.5,
    "2 > 1 ? 10 : 20": 10.0,
    "0 ? 1 : 0 ? 2 : 3": 3.0,
    "1 < 2 && 2 < 3 || 0 > 1 ? 1 : 0": 1.0,
    "!(1 < 2) ? 1 : 2": 2.0,
    "max(1, min(5, 3))": 3.0,
    "fabs(-2)": 2.0,
    "pow(2, 3)": 8.0,
    "cos(pi)": -1.0,
    "1 <= 1 ? 1 : 0": 1.0,
    "1 != 1 ? 1 : 0": 0.0,
}


@pytest.mark.parametrize("text", VALUES)
def test_values(text: str) -> None:
    function = by_numpy(parse(f"({text}) + 0 * x", "test"), ["x"])
    assert function(np.zeros(1)).item() == pytest.approx(VALUES[text])


WRONG = {
    "x / (1 +": "expected a number",
    "x y": "expected an operator or the end",
    "foo(x)": r"no function 'foo'; there are abs, .*tanh",
    "exp(x, x)": "exp takes 1 argument, got 2",
    "pow(x)": "pow takes 2 arguments, got 1",
    "x $ 2": "has no meaning here",
    "x ? 1": "expected ':'",
    "(x": r"expected '\)'",
    "": "expected an expression",
    "x = 2": "has no meaning here",
}


@pytest.mark.parametrize("text", WRONG)
def test_mistakes_are_shown_where_they_are(text: str) -> None:
    with pytest.raises(ArgumentError, match=WRONG[text]) as caught:
        parse(text, "op 'wrong', expression")
    assert str(caught.value).startswith("op 'wrong', expression: ")
    if text:
        lines = str(caught.value).splitlines()
        assert lines[1].strip() == text
        assert set(lines[2].strip()) == {"^"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1 / (1 + exp(-x))", "sigmoid"),
        ("1 / (exp(-x) + 1)", "sigmoid"),
        ("x / (1 + exp(-x))", "silu"),
        ("x * sigmoid(x)", "silu"),
        ("0.5 * x * (1 + erf(x / sqrt(2)))", "gelu"),
        ("x * 0.5 * (erf(x * 0.7071067811865476) + 1)", "gelu"),
    ],
)
def test_known_forms_get_their_kernels(text: str, name: str) -> None:
    assert parse(text, "test") == Call(name, ("x",))


def test_names_come_in_order() -> None:
    assert names_in(parse("b * a + b - c * pi", "test")) == ["b", "a", "c"]


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if not f.mask and n != "where"])
def test_derivatives(name: str) -> None:
    """Against central differences."""
    count = len(FUNCTIONS[name].derivatives)
    letters = ["a", "b"][:count]
    call = Call(name, tuple(letters))
    rng = np.random.default_rng(3)
    points = [rng.uniform(0.6, 1.4, 20) + 0.03 * i for i in range(count)]
    h = 1e-6
    for i, letter in enumerate(letters):
        got = by_numpy(derivative(call, letter), letters)(*points)
        above, below = ([p + s * h * (k == i) for k, p in enumerate(points)] for s in (1, -1))
        f = by_numpy(call, letters)
        np.testing.assert_allclose(got, (f(*above) - f(*below)) / (2 * h), rtol=1e-6, atol=1e-8)


def expressions() -> st.SearchStrategy[Expression]:
    leaves = st.one_of(st.sampled_from(["x", "z"]), st.floats(0.5, 2.0).map(lambda v: round(v, 3)))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(
                lambda f, a: Call(f, (a,)),
                st.sampled_from(["neg", "tanh", "sigmoid", "sin"]),
                inner,
            ),
            st.builds(
                lambda f, a, b: Call(f, (a, b)),
                st.sampled_from(["add", "sub", "mul"]),
                inner,
                inner,
            ),
        ),
        max_leaves=8,
    )


@settings(max_examples=150)
@given(expressions())
def test_the_chain_rule(expression: Expression) -> None:
    x, z = np.linspace(-1.0, 1.0, 7), np.linspace(0.3, 0.9, 7)
    h = 1e-5
    f = by_numpy(expression, ["x", "z"])
    expected = (f(x + h, z) - f(x - h, z)) / (2 * h)
    got = by_numpy(derivative(expression, "x"), ["x", "z"])(x, z)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * (1 + np.abs(f(x, z)).max()))


@settings(max_examples=150)
@given(expressions())
def test_simplification_changes_no_value(expression: Expression) -> None:
    x, z = np.linspace(-1.0, 1.0, 7), np.linspace(0.3, 0.9, 7)
    before = by_numpy(expression, ["x", "z"])(x, z)
    after = by_numpy(simplified(expression), ["x", "z"])(x, z)
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-12)


def test_masks_are_numbers_where_numbers_are_wanted() -> None:
    text = as_c(parse("(x > 0) * x", "test"), {"x": "x"})
    assert text == "(v_select((x > v_set(0.0)), v_set(1), v_set(0)) * x)"
    assert as_c(parse("x ? 1 : 2", "test"), {"x": "x"}).startswith("v_select((x != v_set(0))")
    assert as_c(math.inf, {}) == "v_set(INFINITY)"
