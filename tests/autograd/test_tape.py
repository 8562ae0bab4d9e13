"""The tape: order, accumulation, memory, modes, errors."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import GradientError, InplaceError


def leaf(*values):
    return tg.tensor(list(values), requires_grad=True)


def values(t):
    return t.detach().numpy().tolist()


def test_fan_out_adds_up():
    x = leaf(2.0)
    y = x * x
    (y + y * x).sum().backward()
    assert values(x.grad) == [2 * 2.0 + 3 * 4.0]


def test_gradients_add_up_over_backwards():
    x = leaf(1.0, 2.0)
    for _ in range(3):
        (x * 2.0).sum().backward()
    assert values(x.grad) == [6.0, 6.0]


def test_leaves_do_not_share_gradient_memory():
    a, b = leaf(1.0, 1.0), leaf(1.0, 1.0)
    gy = tg.ones(2)
    (a + b).backward(gy)
    a.grad.mul_(5.0)
    assert values(b.grad) == [1.0, 1.0]
    assert values(gy) == [1.0, 1.0]


def test_a_long_chain_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    y.backward()
    assert values(x.grad) == [1.0]
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    del y  # freed without a backward


def test_reference_counting_alone_frees_the_graph():
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x.exp() * x).tanh()
        node = weakref.ref(y._node)
        del y
        assert node() is None
        z = x.relu().softmax().sum()
        node = weakref.ref(z._node)
        z.backward()
        del z
        assert node() is None
    finally:
        gc.enable()


def test_memory_of_a_training_loop_is_flat():
    w = tg.rand(16, 8, requires_grad=True)
    x = tg.rand(4, 16)

    def step():
        loss = ((x @ w).tanh() * 2.0).mean()
        loss.backward()
        with tg.no_grad():
            w.sub_(w.grad * 0.1)
        w.grad = None

    gc.disable()
    try:
        for _ in range(100):
            step()
        before = tg.memory_stats()
        for _ in range(10_000):
            step()
        after = tg.memory_stats()
    finally:
        gc.enable()
    assert after["bytes_in_use"] == before["bytes_in_use"]
    assert after["system_allocs"] == before["system_allocs"]


def test_backward_twice_needs_retain_graph():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert values(x.grad) == [12.0]
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()


def test_backward_of_what_cannot_be_differentiated():
    with pytest.raises(GradientError, match="does not require grad"):
        tg.ones(1).backward()
    with pytest.raises(GradientError, match="one element"):
        (leaf(1.0, 2.0) * 2.0).backward()
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        (leaf(1.0, 2.0) * 2.0).backward(tg.ones(3))


def test_a_saved_tensor_that_was_written_is_noticed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = (y * 2.0).sum()
    with tg.no_grad():
        y.mul_(3.0)
    with pytest.raises(InplaceError, match="exp.*mul_"):
        z.backward()


def test_writing_a_leaf_is_refused_while_recording():
    x = leaf(1.0)
    with pytest.raises(InplaceError, match="leaf"):
        x += 1.0
    with tg.no_grad():
        x += 1.0
    assert values(x) == [2.0]


def test_in_place_operators_are_recorded():
    x = leaf(2.0, 3.0)
    y = x * 1.0
    y += x
    y *= 2.0
    y.sum().backward()
    assert values(x.grad) == [4.0, 4.0]


def test_setitem_is_differentiable():
    x, v = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 2.0
    y[1] = v[0] * 3.0
    y.sum().backward()
    assert values(x.grad) == [2.0, 0.0, 2.0]
    assert values(v.grad) == [3.0]


def test_gradients_through_views():
    x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    (x.T[1:] * tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=x.dtype)).sum().backward()
    assert values(x.grad) == [[0.0, 1.0, 3.0], [0.0, 2.0, 4.0]]


def test_grad_of_several_inputs():
    a, b, unused = leaf(2.0), leaf(3.0), leaf(1.0)
    y = (a * b).sum()
    ga, gb = tg.autograd.grad(y, [a, b], retain_graph=True)
    assert (values(ga), values(gb)) == ([3.0], [2.0])
    assert a.grad is None
    assert b.grad is None
    with pytest.raises(GradientError, match="input 1 was not used"):
        tg.autograd.grad(y, [a, unused], retain_graph=True)
    assert tg.autograd.grad(y, [a, unused], allow_unused=True)[1] is None


def test_grad_by_an_intermediate():
    x = leaf(2.0)
    y = x * x
    z = (y * y).sum()
    assert values(tg.autograd.grad(z, y)) == [8.0]


def test_third_derivative():
    x = leaf(2.0)
    y = (x**4).sum()
    for expected in (32.0, 48.0, 48.0):
        (g,) = (tg.autograd.grad(y, x, create_graph=True),)
        assert g.item() == pytest.approx(expected)
        y = g.sum()


def test_modes():
    x = leaf(1.0)
    with tg.no_grad():
        assert not (x * 2.0).requires_grad
        with tg.enable_grad():
            assert (x * 2.0).requires_grad
    assert tg.is_grad_enabled()

    @tg.no_grad()
    def off():
        return x * 2.0

    assert not off().requires_grad
    with tg.set_grad_enabled(False):
        seen = []
        thread = threading.Thread(target=lambda: seen.append(tg.is_grad_enabled()))
        thread.start()
        thread.join()
        assert seen == [True]  # each thread has a mode of its own
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_the_mode_survives_an_error():
    with pytest.raises(ValueError, match="broadcast"), tg.no_grad():
        tg.ones(2) + tg.ones(3)
    x = tg.ones((2, 3), requires_grad=True)
    with pytest.raises(ValueError, match="matmul"):
        x @ x
    assert tg.is_grad_enabled()
