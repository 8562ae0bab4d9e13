"""Where gradients collect: added up, owned by their leaf alone, and of the right leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, op
from tensorgrad.autograd import registry
from tensorgrad.errors import GradientError, ShapeError


def leaf(*values: float) -> Tensor:
    return tg.tensor(list(values), dtype="float64", requires_grad=True)


def values(t: Tensor | None) -> list[float]:
    assert t is not None
    return t.detach().numpy().tolist()  # type: ignore[no-any-return]


def test_an_input_used_many_times() -> None:
    x = leaf(2.0, 3.0)
    total = x * 0.0
    for k in range(1, 101):
        total = total + x * float(k)
    total.sum().backward()
    assert values(x.grad) == [5050.0, 5050.0]


def test_diamonds_are_gone_through_once() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = y + y
    y.backward()
    assert values(x.grad) == [2.0**60]


SHARED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a + b": lambda a, b: a + b,
    "views": lambda a, b: a.reshape(2) + b[0:2],
    "a + a.copy() + b": lambda a, b: a + a.copy() + b,
    "sum": lambda a, b: a.sum() + b.sum() + a[0],
}


@pytest.mark.parametrize("function", SHARED)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_leaves_share_no_memory(function: str, create_graph: bool) -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gy = tg.ones(SHARED[function](a, b).shape, dtype="float64")
    SHARED[function](a, b).backward(gy, create_graph=create_graph)
    once = [values(a.grad), values(b.grad)]
    SHARED[function](a, b).backward(gy)
    assert [values(a.grad), values(b.grad)] == (2 * np.array(once)).tolist()
    assert a.grad is not None
    assert b.grad is not None
    assert not np.shares_memory(a.grad.detach().numpy(), b.grad.detach().numpy())
    assert values(gy) == np.ones(gy.shape).tolist()


def test_the_gradient_that_was_given_stays_the_callers() -> None:
    x = leaf(1.0, 2.0)
    gy = tg.tensor([10.0, 20.0], dtype="float64")
    x.backward(gy)
    (x + 0.0).backward(gy)
    x.reshape(1, 2).backward(gy.reshape(1, 2))
    assert values(x.grad) == [30.0, 60.0]
    assert values(gy) == [10.0, 20.0]


def test_a_gradient_that_the_user_holds_does_not_change() -> None:
    x = leaf(1.0, 2.0)
    array = np.array([1.0, 1.0])
    (x * 2.0).backward(array)
    held = x.grad
    x.grad = None
    (x * 3.0).backward(array)
    assert values(held) == [2.0, 2.0]
    assert values(x.grad) == [3.0, 3.0]
    assert array.tolist() == [1.0, 1.0]


def test_the_memory_of_an_ops_constant_is_not_taken_for_a_gradient() -> None:
    constant = np.ones(2)

    @op(gradient=lambda gy, y, x: tg.from_numpy(constant), reference=None, method=False)
    def constant_gradient_example(x: Tensor) -> Tensor:
        """An op whose gradient is an array of the user's."""
        return x * 1.0

    try:
        x = leaf(1.0, 2.0)
        for _ in range(3):
            constant_gradient_example(x).sum().backward()
        assert values(x.grad) == [3.0, 3.0]
        assert constant.tolist() == [1.0, 1.0]
    finally:
        del registry["constant_gradient_example"]


def test_gradients_of_gradients_collect_too() -> None:
    x = leaf(3.0)
    (x * x * x).backward(create_graph=True)
    assert x.grad is not None
    first = x.grad
    x.grad = None
    first.backward()
    assert values(first) == [27.0]
    assert values(x.grad) == [18.0]


def test_each_dtype_gets_its_own_gradient() -> None:
    single = tg.ones(2, requires_grad=True)
    double = leaf(2.0, 2.0)
    (single * double).sum().backward()
    assert single.grad is not None
    assert double.grad is not None
    assert single.grad.dtype == np.float32
    assert double.grad.dtype == np.float64
    assert values(single.grad) == [2.0, 2.0]


def test_integers_end_the_tape() -> None:
    x = leaf(1.5, 2.5)
    whole = x.astype("int64")
    assert not whole.requires_grad
    assert whole.numpy().tolist() == [1, 2]
    assert not (x > 2.0).requires_grad
    assert not x.argmax().requires_grad


def test_setting_grad() -> None:
    x = leaf(1.0, 2.0)
    x.grad = tg.ones(2, dtype="float64")
    (x * 2.0).sum().backward()
    assert values(x.grad) == [3.0, 3.0]
    for wrong in (tg.ones(3, dtype="float64"), tg.ones(2), np.ones(2)):
        with pytest.raises(ShapeError, match="grad: expected a Tensor of float64"):
            x.grad = wrong
    with pytest.raises(GradientError, match="only a leaf"):
        (x * 2.0).grad = tg.ones(2, dtype="float64")
    assert (x * 2.0).grad is None


def test_requires_grad_can_be_switched() -> None:
    x = tg.ones(2)
    y = x * 2.0
    x.requires_grad = True
    (x + y).sum().backward()
    assert values(x.grad) == [1.0, 1.0]
    x.requires_grad = False
    assert not (x * 2.0).requires_grad
    with pytest.raises(GradientError, match="detach"):
        (leaf(1.0) * 2.0).requires_grad_(False)
    with pytest.raises(tg.errors.DTypeError, match="expected float32 or float64, got int64"):
        tg.arange(3).requires_grad_()


# ---- grad ----------------------------------------------------------------------------------------


def test_several_outputs_add_up() -> None:
    x = leaf(2.0)
    y, z = x * 3.0, x * x
    assert values(tg.autograd.grad([y, z], x)) == [7.0]


def test_outputs_that_are_inputs() -> None:
    x = leaf(2.0)
    assert values(tg.autograd.grad(x, x)) == [1.0]
    y = x * 3.0
    by_y, by_x = tg.autograd.grad(y, [y, x])
    assert (values(by_y), values(by_x)) == ([1.0], [3.0])


def test_the_same_input_twice() -> None:
    x = leaf(2.0)
    first, second = tg.autograd.grad(x * x, [x, x])
    assert values(first) == values(second) == [4.0]


def test_nothing_older_than_the_inputs_is_gone_through() -> None:
    x = leaf(2.0)
    y = x * x
    z = y * y
    tg.autograd.grad(z, y)
    assert values(tg.autograd.grad(y, x)) == [4.0]  # y's own graph was not freed


def test_grad_refuses_what_makes_no_sense() -> None:
    x = leaf(2.0)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: tg.autograd.grad(x * x, tg.ones(1)), "input 0 does not require grad"),
        (lambda: tg.autograd.grad(tg.ones(1), x), "does not require grad"),
        (lambda: tg.autograd.grad([x * x], [x], [None, None]), "expected 1 grad_outputs"),
    ]
    for call, message in calls:
        with pytest.raises(GradientError, match=message):
            call()
    with pytest.raises(ShapeError, match="expected a gradient of the output's shape"):
        tg.autograd.grad(x * x, x, tg.ones(3))


def test_mixed_second_derivatives_are_symmetric() -> None:
    x, y = leaf(0.7), leaf(1.3)
    z = ((x * y).sin() * x.exp()).sum()
    by_x, by_y = tg.autograd.grad(z, [x, y], create_graph=True)
    xy = tg.autograd.grad(by_x, y, retain_graph=True)
    yx = tg.autograd.grad(by_y, x)
    np.testing.assert_allclose(values(xy), values(yx), rtol=1e-12)


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "sin", "log", "square", "softplus"])
def test_third_derivatives(name: str) -> None:
    at, step = 0.7, 1e-4

    def second(point: float) -> Tensor:
        x = leaf(point)
        first = tg.autograd.grad(getattr(x, name)(), x, create_graph=True)
        return tg.autograd.grad(first, x, create_graph=True) if first.requires_grad else first

    x = leaf(at)
    g = getattr(x, name)()
    for _ in range(3):
        g = tg.autograd.grad(g, x, create_graph=True) if g.requires_grad else tg.zeros(1)
    expected = (second(at + step) - second(at - step)).detach().item() / (2 * step)
    assert g.detach().item() == pytest.approx(expected, rel=1e-5, abs=1e-7)
