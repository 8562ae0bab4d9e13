"""Hooks on tensors."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tensorgrad
from tensorgrad import autograd
from tensorgrad.autograd._tape import hooks
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError


def leaf(*values):
    return tensorgrad.tensor(list(values), requires_grad=True)


def test_hook_on_a_computed_tensor_sees_the_whole_gradient_and_may_replace_it():
    x = leaf(1.0, 2.0)
    y = x * 3
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()) or g * 10)
    (y + y * 2).sum().backward()
    assert seen == [[3.0, 3.0]]
    assert x.grad.tolist() == [90.0, 90.0]
    handle.remove()
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert len(seen) == 1


def test_hook_on_a_leaf_sees_the_gradient_of_each_backward_once():
    x = leaf(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3 + x).sum().backward()
    (x * 4).sum().backward()
    assert seen == [6.0, 4.0]
    assert x.grad.item() == 10.0


def test_hooks_run_in_order_each_on_what_the_one_before_gave():
    x = leaf(1.0)
    x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 10)
    x.sum().backward()
    assert x.grad.item() == 20.0


def test_the_handle_is_a_context_manager():
    x = leaf(1.0)
    with x.register_hook(lambda g: g * 2):
        x.sum().backward()
    x.sum().backward()
    assert x.grad.item() == 3.0


def test_hook_on_the_root():
    x = leaf(1.0)
    y = x.sum()
    y.register_hook(lambda g: g * 5)
    y.backward()
    assert x.grad.item() == 5.0


def test_autograd_grad_returns_what_hooks_made_and_keeps_grad():
    x = leaf(1.0, 1.0)
    y = x * 2
    y.register_hook(lambda g: g * 7)
    x.register_hook(lambda g: g + 1)
    gx, gy = autograd.grad((y * y).sum(), (x, y))
    assert gy.tolist() == [28.0, 28.0]
    assert gx.tolist() == [57.0, 57.0]
    assert x.grad is None


def test_autograd_grad_does_not_tell_leaves_that_it_does_not_ask_for():
    x, w = leaf(1.0), leaf(2.0)
    seen = []
    w.register_hook(seen.append)
    autograd.grad((x * w).sum(), x)
    assert seen == []


def test_hooks_are_differentiated():
    x = leaf(3.0)
    y = x * 1
    y.register_hook(lambda g: g * x)
    first = autograd.grad(y.square().sum(), x, create_graph=True)  # 2 y x
    assert first.item() == 18.0
    # 2 y by x, and 2 x by y, which goes through the hook again
    assert autograd.grad(first.sum(), x).item() == 6.0 + 6.0 * 3.0


def test_post_accumulate_hook():
    w = leaf(1.0, 2.0)
    seen = []
    handle = w.register_post_accumulate_grad_hook(lambda t: seen.append((t is w, t.grad.tolist())))
    (w * 2).sum().backward()
    (w * 2).sum().backward()
    handle.remove()
    (w * 2).sum().backward()
    assert seen == [(True, [2.0, 2.0]), (True, [4.0, 4.0])]
    with pytest.raises(GradientError, match="leaf"):
        (w * 2).register_post_accumulate_grad_hook(print)


def test_post_accumulate_hook_may_step_and_drop_the_gradient():
    w = leaf(1.0)

    def step(t):
        with tensorgrad.no_grad():
            t -= t.grad
        t.grad = None

    w.register_post_accumulate_grad_hook(step)
    (w * 3 + w).sum().backward()
    assert w.item() == -3.0
    assert w.grad is None


def test_retain_grad():
    x = leaf(1.0, 2.0)
    y = x * 3
    assert not y.retains_grad
    assert y.grad is None
    y.retain_grad()
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    assert y.retains_grad
    z = y.square().sum()
    autograd.grad(z, x, retain_graph=True)
    assert y.grad is None
    z.backward(retain_graph=True)
    assert y.grad.tolist() == [12.0, 24.0]
    z.backward()
    assert y.grad.tolist() == [24.0, 48.0]
    assert not x.retains_grad
    x.retain_grad()
    assert not x.retains_grad
    assert x.grad is not None


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda y: y.mul_(3.0), [18.0, 36.0]),
        (lambda y: y.__setitem__(0, 5.0), [10.0, 12.0]),
        (lambda y: y[1:].mul_(2.0), [6.0, 24.0]),
    ],
)
def test_retain_grad_is_of_what_a_write_in_place_makes_of_the_tensor(write, expected):
    x = leaf(1.0, 2.0)
    y = x * 3
    y.retain_grad()
    write(y)
    assert y.retains_grad
    y.square().sum().backward()
    assert y.grad.tolist() == expected


def test_retain_grad_of_a_view_whose_base_is_written():
    x = leaf(1.0, 2.0)
    y = x * 3
    v = y[1:]
    v.retain_grad()
    y *= 2.0
    v.square().sum().backward()
    assert v.grad.tolist() == [24.0]


def test_nothing_is_retained_of_a_constant():
    y = leaf(1.0, 2.0) * 3
    y.retain_grad()
    y.fill_(1.0)
    assert not y.retains_grad
    assert y.grad is None


def test_a_hooked_leaf_is_a_leaf():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: None)
    assert x.is_leaf
    assert x.requires_grad
    with pytest.raises(tensorgrad.errors.InplaceError):
        x += 1
    x.grad = tensorgrad.ones(2)
    x.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    model = tensorgrad.nn.Sequential(tensorgrad.nn.Linear(2, 2), tensorgrad.nn.ReLU())
    seen = []
    model[0].weight.register_hook(lambda g: seen.append(g.shape))
    model(tensorgrad.ones((3, 2))).sum().backward()
    assert seen == [(2, 2)]
    assert model[0].weight.grad.shape == (2, 2)
    x.requires_grad_(False)
    assert not x.requires_grad


def test_entries_go_with_their_nodes():
    gc.collect()
    before = len(hooks)
    x = leaf(1.0)
    y = x * 2
    handle = y.register_hook(print)
    x.register_hook(print)
    assert len(hooks) == before + 2
    del y, x
    gc.collect()
    assert len(hooks) == before
    handle.remove()


def test_errors():
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError, match="does not require grad"):
        tensorgrad.ones(2).register_hook(print)
    with pytest.raises(GradientError, match="retain_grad"):
        tensorgrad.ones(2).retain_grad()
    with pytest.raises(ArgumentError, match="function"):
        x.register_hook(3)
    for wrong, error in ((lambda g: 3, DTypeError), (lambda g: g.sum(), ShapeError)):
        with x.register_hook(wrong), pytest.raises(error, match="hook"):
            x.sum().backward()


@pytest.mark.torch
def test_as_torch():
    torch = pytest.importorskip("torch")
    results = []
    for make in (
        lambda a: tensorgrad.tensor(a, requires_grad=True),
        lambda a: torch.tensor(a, requires_grad=True),
    ):
        seen = []
        x = make(np.array([1.0, 2.0]))
        y = x * x
        y.retain_grad()
        y.register_hook(lambda g, seen=seen: seen.append(g.tolist()) or g * 2)
        x.register_hook(lambda g, seen=seen: seen.append(g.tolist()) or g + 1)
        (y * y).sum().backward()
        results.append((seen, x.grad.tolist(), y.grad.tolist()))
    assert results[0] == results[1]
