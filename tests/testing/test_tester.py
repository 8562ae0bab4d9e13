"""The tester is tested: wrong gradients and misbehaving ops must be rejected."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, testing
from tensorgrad.autograd import Case, registry


@pytest.fixture(autouse=True)
def _forget_ops():
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


def declare(gradient, forward=None, reference=None, saves=("x",)):
    def wrong_op(x: Tensor) -> Tensor:
        """x squared."""
        return (forward or (lambda x: x * x))(x)

    return tg.op(
        gradient=gradient,
        saves=saves,
        reference=reference or np.square,
        cases=(Case((3, 4)),),
        method=False,
    )(wrong_op)


def test_a_right_op_passes():
    testing.check_op(declare(lambda gy, y, x: gy * x * 2.0))


@pytest.mark.parametrize(
    "gradient",
    [
        lambda gy, y, x: gy * x * 2.002,  # off by 0.1 %
        lambda gy, y, x: gy * x,
        lambda gy, y, x: gy * 0.0,
        lambda gy, y, x: x * 2.0,  # forgets gy
        lambda gy, y, x: gy * x * -2.0,
    ],
)
def test_wrong_gradients_are_rejected(gradient):
    with pytest.raises(AssertionError, match="gradient"):
        testing.check_op(declare(gradient))


def test_a_wrong_forward_is_rejected():
    with pytest.raises(AssertionError):
        testing.check_op(declare(lambda gy, y, x: gy * x * 2.0, reference=lambda x: x**2 + 1e-3))


def test_an_op_that_modifies_its_input_is_rejected():
    def forward(x):
        y = x * x
        x.numpy()[...] = 0
        return y

    with pytest.raises(AssertionError):
        testing.check_op(declare(lambda gy, y, x: gy * x * 2.0, forward=forward))


def test_a_missing_accumulation_is_rejected():
    x = tg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    with pytest.raises(AssertionError):
        testing.gradcheck(lambda x: x * x.detach(), [x])
    assert testing.gradcheck(lambda x: x * x, [x])


def test_gradgradcheck_rejects_a_constant_gradient():
    x = tg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    wrong = declare(lambda gy, y, x: gy * (x.detach() * 2.0))
    testing.gradcheck(wrong, [x])
    with pytest.raises(AssertionError):
        testing.gradgradcheck(wrong, [x])
