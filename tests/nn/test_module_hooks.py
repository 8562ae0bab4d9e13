"""Hooks on modules."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tensorgrad
from tensorgrad import nn
from tensorgrad.errors import ArgumentError, ShapeError


def test_forward_hooks_see_and_replace():
    model = nn.Linear(2, 3)
    x = tensorgrad.ones((1, 2))
    plain = model(x)
    seen = []
    pre = model.register_forward_pre_hook(lambda m, args: seen.append(m) or (args[0] * 2,))
    with tensorgrad.no_grad():
        model.bias.fill_(0)
        plain = model(x)
    post = model.register_forward_hook(lambda m, args, y: seen.append(args[0].tolist()) or y + 1)
    np.testing.assert_allclose(model(x).detach().numpy(), plain.detach().numpy() + 1)
    assert seen == [model, model, [[2.0, 2.0]]]
    pre.remove()
    post.remove()
    np.testing.assert_allclose(2 * model(x).detach().numpy(), plain.detach().numpy(), rtol=1e-6)
    assert len(seen) == 3


def test_other_instances_and_subclasses_are_untouched():
    class Sub(nn.ReLU):
        def forward(self, input):
            return super().__call__(input) * 2

    a, b, c = nn.ReLU(), nn.ReLU(), Sub()
    calls = []
    a.register_forward_hook(lambda m, args, y: calls.append("a"))
    c.register_forward_hook(lambda m, args, y: calls.append("c"))
    x = tensorgrad.ones(1)
    a(x), b(x)
    assert c(x).item() == 2.0
    assert calls == ["a", "c"]


def test_keyword_arguments_and_order():
    class Scale(nn.Module):
        def forward(self, x, *, by=1.0):
            return x * by

    model, seen = Scale(), []
    model.register_forward_pre_hook(
        lambda m, args, kwargs: seen.append(1) or (args, {"by": kwargs["by"] + 1}), with_kwargs=True
    )
    model.register_forward_pre_hook(lambda m, args: seen.append(0), prepend=True)
    model.register_forward_hook(
        lambda m, args, kwargs, y: seen.append(kwargs["by"]), with_kwargs=True
    )
    assert model(tensorgrad.ones(1), by=2.0).item() == 3.0
    assert seen == [0, 1, 3.0]


def test_inside_a_sequential_that_fuses_its_layers():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.Tanh())
    x = tensorgrad.ones((1, 2))
    plain = model(x).item()
    shapes = []
    handles = [m.register_forward_hook(lambda m, a, y: shapes.append(y.shape)) for m in model]
    assert model(x).item() == pytest.approx(plain)
    assert shapes == [(1, 3), (1, 3), (1, 1), (1, 1)]
    for handle in handles:
        handle.remove()
    model(x)
    assert len(shapes) == 4


def test_own_call():
    class Twice(nn.Module):
        def __call__(self, x):
            return self.forward(x) * 2

        def forward(self, x):
            return x + 1

    model = Twice()
    with model.register_forward_hook(lambda m, a, y: y * 10):
        assert model(tensorgrad.ones(1)).item() == 40.0


def test_backward_hook():
    class Pair(nn.Module):
        def forward(self, a, b):
            return a * b, (a + b)

    model, seen = Pair(), []
    handle = model.register_full_backward_hook(lambda m, gx, gy: seen.append((gx, gy)))
    a = tensorgrad.tensor([2.0], requires_grad=True)
    b = tensorgrad.tensor([3.0], requires_grad=True)
    y, z = model(a, b)
    (y * 5 + z * 7).sum().backward()
    ((gx_a, gx_b), (gy_0, gy_1)) = seen[0]
    assert [t.item() for t in (gx_a, gx_b, gy_0, gy_1)] == [22.0, 17.0, 5.0, 7.0]
    assert a.grad.item() == 22.0
    assert b.grad.item() == 17.0
    y, z = model(a, b)
    y.sum().backward()  # nothing arrives at the second
    assert seen[1][1][1] is None
    assert seen[1][1][0].item() == 1.0
    y, z = model(a, b)
    (y + z).sum().backward(retain_graph=True)
    y.sum().backward()
    assert seen[2][1][1].item() == 1.0
    assert seen[3][1][1] is None
    y, z = model(a.detach(), tensorgrad.ones(1))
    assert not y.requires_grad
    handle.remove()
    with model.register_full_backward_hook(lambda m, gx, gy: (gx[0] * 2, None)):
        a.grad = b.grad = None
        sum(model(a, b)).sum().backward()
        assert a.grad.item() == 8.0
        assert b.grad is None


def test_backward_hook_of_a_layer_whose_input_needs_no_gradient():
    model, seen = nn.Linear(2, 1), []
    model.register_full_backward_hook(lambda m, gx, gy: seen.append((gx, gy[0].item())))
    model(tensorgrad.ones((1, 2))).sum().backward()
    assert seen == [((None,), 1.0)]
    assert model.weight.grad is not None


def test_backward_hooks_twice_through_a_graph_and_second_derivatives():
    model, seen = nn.Tanh(), []
    model.register_full_backward_hook(lambda m, gx, gy: seen.append(0))
    x = tensorgrad.tensor([0.5], dtype="float64", requires_grad=True)
    y = model(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert len(seen) == 2
    first = tensorgrad.autograd.grad(model(x).sum(), x, create_graph=True)
    second = tensorgrad.autograd.grad(first.sum(), x)
    t = np.tanh(0.5)
    assert second.item() == pytest.approx(-2 * t * (1 - t * t))


def test_errors_copies_and_repr():
    model = nn.ReLU()
    with pytest.raises(ArgumentError, match="ReLU.*function"):
        model.register_forward_hook(3)
    model.register_forward_hook(lambda m, a, y: y * 2)
    again = copy.deepcopy(model)
    assert again(tensorgrad.ones(1)).item() == 2.0
    assert repr(again) == "ReLU()"
    assert not list(again.parameters())
    model.register_full_backward_hook(lambda m, gx, gy: (gx[0], gx[0]))
    with pytest.raises(ShapeError, match="expected 1 gradients"):
        model(tensorgrad.ones(1, requires_grad=True)).sum().backward()


@pytest.mark.torch
def test_as_torch():
    torch = pytest.importorskip("torch")
    seen = []
    for kind, library in ((nn, tensorgrad), (torch.nn, torch)):
        model = kind.Sigmoid()
        x = library.ones(2, requires_grad=True)
        model.register_full_backward_hook(
            lambda m, gx, gy: seen.append((gx[0].tolist(), gy[0].tolist())) or (gx[0] * 2,)
        )
        (model(x) * 3).sum().backward()
        seen.append(x.grad.tolist())
    np.testing.assert_allclose(seen[0], seen[2], rtol=1e-6)
    np.testing.assert_allclose(seen[1], seen[3], rtol=1e-6)
