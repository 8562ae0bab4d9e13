"""The gradients of mul and div in one pass: the bits of their steps one by one, for operands that
broadcast, repeat or lie otherwise; and what falls back to the steps."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad.ops import _binary_gradient, _elementwise

RNG = np.random.default_rng(3)
# shapes of a and b
SHAPES = (
    ((3,), (3,)),
    ((40, 50), (40, 50)),
    ((40, 50), (50,)),
    ((1, 50), (40, 50)),
    ((40, 50), (40, 1)),
    ((40, 1), (1, 50)),
    ((40, 50), ()),
    ((), ()),
    ((1,), (5,)),
    ((4, 30, 20), (30, 20)),
    ((4, 30, 20), (4, 1, 1)),
    ((4, 30, 20), (1, 30, 1)),  # repeats on both sides
    ((4, 30, 20), (4, 1, 20)),  # repeats in the middle: by steps
    ((1, 40, 50), (40, 50)),
    ((700, 800), (700, 800)),
    ((3000, 40), (40,)),
    ((40, 3000), (40, 1)),
    ((600, 1000), ()),
)
OPS = {"mul": operator.mul, "div": operator.truediv}


def draw(shape: tuple[int, ...], dtype: str) -> Tensor:
    return tg.tensor(RNG.uniform(0.5, 2.0, shape).astype(dtype))


def laid_out(shape: tuple[int, ...], dtype: str, how: str) -> Tensor:
    """A tensor of `shape` that lies as `how` says."""
    if how == "transposed":
        return draw(shape[::-1], dtype).T
    if how == "expanded":
        return draw((), dtype).broadcast_to(shape)
    if how == "reversed" and shape:
        return draw(shape, dtype)[::-1]
    if how == "column":
        return draw((*shape, 2), dtype)[..., 0]
    return draw(shape, dtype)


def gradients(
    op: Any, a: Tensor, b: Tensor, gy: Tensor, needs: tuple[bool, bool] = (True, True)
) -> list[bytes]:
    a, b = a.detach(), b.detach()
    for t, needed in zip((a, b), needs):
        t.requires_grad_(needed)
    found = tg.autograd.grad(op(a, b), [t for t in (a, b) if t.requires_grad], gy)
    for g, t in zip(found, [t for t in (a, b) if t.requires_grad]):
        assert g.shape == t.shape
    return [g.numpy().tobytes() for g in found]


@pytest.fixture
def by_steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*args: Any) -> list[bytes]:
        with monkeypatch.context() as patch:
            patch.setattr(_elementwise, "both_gradients", lambda *_: None)
            return gradients(*args)

    return run


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPS)
def test_bits_of_the_steps(name: str, dtype: str, by_steps: Any) -> None:
    for (shape_a, shape_b), needs in itertools.product(
        SHAPES, ((True, True), (True, False), (False, True))
    ):
        a, b = draw(shape_a, dtype), draw(shape_b, dtype)
        gy = draw(np.broadcast_shapes(shape_a, shape_b), dtype)
        args = OPS[name], a, b, gy, needs
        assert gradients(*args) == by_steps(*args), (shape_a, shape_b, needs)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", [(30, 40), (4,), (700, 800)])
def test_bits_of_the_steps_however_operands_lie(
    name: str, shape: tuple[int, ...], by_steps: Any
) -> None:
    ways = ("plain", "transposed", "expanded", "reversed", "column")
    for how in itertools.permutations(ways, 3):
        a, b, gy = (laid_out(shape, "float32", h) for h in how)
        assert gradients(OPS[name], a, b, gy) == by_steps(OPS[name], a, b, gy), how


@pytest.mark.parametrize("name", OPS)
def test_same_bits_for_any_number_of_threads(name: str) -> None:
    before = tg.get_num_threads()
    try:
        for shape_a, shape_b in SHAPES[-4:]:
            a, b = draw(shape_a, "float32"), draw(shape_b, "float32")
            gy = draw(np.broadcast_shapes(shape_a, shape_b), "float32")
            found = []
            for threads in (1, 2, 4):
                tg.set_num_threads(threads)
                found.append(gradients(OPS[name], a, b, gy))
            assert found[0] == found[1] == found[2]
    finally:
        tg.set_num_threads(before)


@pytest.mark.parametrize("name", OPS)
def test_values(name: str) -> None:
    for shape_a, shape_b in SHAPES:
        a, b = draw(shape_a, "float64"), draw(shape_b, "float64")
        gy = draw(np.broadcast_shapes(shape_a, shape_b), "float64")
        found = gradients(OPS[name], a, b, gy)
        na, nb, ng = a.numpy(), b.numpy(), gy.numpy()
        by_a, by_b = (ng * nb, ng * na) if name == "mul" else (ng / nb, -ng * na / nb**2)
        for got, want, shape in zip(found, (by_a, by_b), (shape_a, shape_b)):
            lead = want.ndim - len(shape)
            axes = tuple(i for i in range(want.ndim) if i < lead or shape[i - lead] == 1)
            expected = want.sum(axis=axes).reshape(shape)
            np.testing.assert_allclose(
                np.frombuffer(got).reshape(shape), expected, rtol=1e-12, atol=0
            )


def test_one_pass_is_taken_where_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = _binary_gradient.both_gradients

    def told(*args: Any) -> Any:
        found = whole(*args)
        calls.append(found is not None)
        return found

    monkeypatch.setattr(_elementwise, "both_gradients", told)
    small, row, large = (
        draw((40, 50), "float32"),
        draw((50,), "float32"),
        draw((800, 700), "float32"),
    )
    for op, a, b, expected in (
        (operator.truediv, small, small, [True]),
        (operator.truediv, small, row, [True]),
        (operator.mul, small, small, []),
        (operator.mul, small, draw((40, 1), "float32"), [True]),
        (operator.mul, large, large, [True]),
        (operator.mul, small, draw((40, 50), "float32"), []),
        (operator.mul, draw((4, 3, 5), "float32"), draw((4, 1, 5), "float32"), [False]),
        (operator.truediv, draw((0, 5), "float32"), draw((5,), "float32"), [False]),
    ):
        calls.clear()
        gy = tg.ones(np.broadcast_shapes(a.shape, b.shape))
        gradients(op, a, b, gy)
        assert calls == expected, (op, a.shape, b.shape)


@pytest.mark.parametrize("name", OPS)
def test_special_values(name: str, by_steps: Any) -> None:
    values = np.array(
        [0.0, -0.0, 1e-45, 1e38, -1e38, np.inf, -np.inf, np.nan, 1.0, -3.0], "float32"
    )
    a, b, gy = (tg.tensor(v.copy()) for v in map(np.ravel, np.meshgrid(values, values, values)))
    found, expected = gradients(OPS[name], a, b, gy), by_steps(OPS[name], a, b, gy)
    for got, want in zip(found, expected):
        np.testing.assert_array_equal(np.frombuffer(got, "float32"), np.frombuffer(want, "float32"))


def test_large_and_small_divisors_neither_overflow_nor_vanish() -> None:
    for b in (1e30, 1e-30):
        a, divisor = tg.tensor([b]), tg.tensor([b])
        (found,) = tg.autograd.grad(
            a / divisor.requires_grad_(), [divisor], tg.tensor([1.0], dtype="float32")
        )
        np.testing.assert_allclose(found.numpy(), [-1 / b], rtol=1e-6)


def test_a_saved_operand_changed_in_place_is_refused() -> None:
    a, b = tg.ones((4, 5)).requires_grad_(), tg.ones((5,)).requires_grad_()
    for op in OPS.values():
        y = op(a, b)
        with tg.no_grad():
            b.add_(1.0)
        with pytest.raises(tg.InplaceError):
            y.backward(tg.ones((4, 5)))
