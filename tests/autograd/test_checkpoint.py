"""What nodes save, packed by hooks or computed again."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tensorgrad
from tensorgrad import autograd, nn
from tensorgrad.autograd import checkpoint, saved_tensors_hooks
from tensorgrad.autograd._tape import watchers
from tensorgrad.errors import ArgumentError, CheckpointError, DTypeError, InplaceError, ShapeError


def leaf(*shape, seed=0):
    g = tensorgrad.Generator(seed)
    return tensorgrad.rand(*shape, dtype="float64", generator=g).requires_grad_()


def block(x, w):
    h = tensorgrad.tanh(x @ w).exp()
    return (h * h).softmax(-1), h / (h.sum(-1, keepdims=True) + 1)


@pytest.fixture(autouse=True)
def clean():
    yield
    assert not watchers


# ---- hooks ---------------------------------------------------------------------------------------


def gradients(context):
    x, w = leaf(3, 4), leaf(4, 5, seed=1)
    with context:
        a, b = block(x, w)
        loss = (a * b).sum() + nn.functional.layer_norm(x, 4).square().sum()
    return [g.numpy() for g in autograd.grad(loss, (x, w))]


def test_hooks_see_what_is_saved_and_give_it_back():
    packed = []

    def pack(t):
        assert not t.requires_grad
        assert not tensorgrad.is_grad_enabled()
        packed.append(t.shape)
        return t.numpy().copy()

    got = gradients(saved_tensors_hooks(pack, tensorgrad.tensor))
    for a, b in zip(got, gradients(tensorgrad.enable_grad())):
        np.testing.assert_array_equal(a, b)
    assert (3, 4) in packed
    assert (4, 5) in packed
    assert (3, 5) in packed


def test_hooks_of_identity_and_of_strided_results():
    for unpack in (lambda t: t, lambda t: tensorgrad.stack([t, t], -1)[..., 0]):
        got = gradients(saved_tensors_hooks(lambda t: t, unpack))
        for a, b in zip(got, gradients(tensorgrad.enable_grad())):
            np.testing.assert_array_equal(a, b)


def test_inner_hooks_count():
    seen = []

    def hooks(name):
        return saved_tensors_hooks(lambda t: seen.append(name) or t, lambda t: t)

    x = leaf(2)
    with hooks("outer"):
        y = x.exp()
        with hooks("inner"):
            y = y.exp()
        y.exp()
    assert seen == ["outer", "inner", "outer"]


def test_hooks_and_second_derivatives():
    x = leaf(3)
    with saved_tensors_hooks(lambda t: t.numpy().copy(), tensorgrad.tensor):
        y = (x * x * x).exp().sum()
    first = autograd.grad(y, x, create_graph=True)
    second = autograd.grad(first.sum(), x)
    v = x.numpy() if not x.requires_grad else x.detach().numpy()
    np.testing.assert_allclose(second.numpy(), (6 * v + 9 * v**4) * np.exp(v**3))


def test_hooks_and_retained_graphs():
    x = leaf(3)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 4 * x.detach().numpy())


def test_writes_are_noticed_through_hooks_that_keep_the_tensor():
    x = leaf(3)
    for keep, noticed in ((lambda t: t, True), (lambda t: t.copy(), False)):
        with saved_tensors_hooks(keep, lambda t: t):
            h = x * 2
            y = (h * h).sum()
        with tensorgrad.no_grad():
            h += 1
        if noticed:
            with pytest.raises(InplaceError, match="mul.*add_"):
                y.backward()
        else:
            y.backward()


def test_errors_of_hooks():
    x = leaf(3)
    with pytest.raises(ArgumentError, match="functions"):
        saved_tensors_hooks(1, 2)
    for unpack, error in ((lambda t: 3, DTypeError), (lambda t: t.sum(), ShapeError)):
        with saved_tensors_hooks(lambda t: t, unpack):
            y = (x * x).sum()
        with pytest.raises(error, match="unpack"):
            y.backward()


# ---- checkpoint ----------------------------------------------------------------------------------


def test_gradients_are_the_same():
    x, w = leaf(3, 4), leaf(4, 5, seed=1)
    calls = []

    def function(x, *, k):
        calls.append(0)
        return block(x * k, w)  # w from outside

    results = []
    for run in (function, lambda x, k: checkpoint(function, x, k=k)):
        a, b = run(x, k=2.0)
        results.append([g.numpy() for g in autograd.grad((a * b).sum(), (x, w))])
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)
    assert len(calls) == 3


def test_backward_and_a_second_pass():
    x = leaf(3)
    y = checkpoint(lambda x: x.exp() * x, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    v = x.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(v) * (1 + v))


def test_second_derivatives():
    x, w = leaf(3, 4), leaf(4, 4, seed=1)

    def function(x):
        return (x @ w).tanh()

    results = []
    for run in (function, lambda x: checkpoint(lambda x: checkpoint(function, x) * 1.0, x)):
        loss = run(run(x)).square().sum()
        gx = autograd.grad(loss, x, create_graph=True)
        results.append([g.numpy() for g in autograd.grad(gx.square().sum(), (x, w))])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_derivatives_by_what_is_computed_inside():
    x = leaf(3)

    def function(x):
        h = x.exp()
        return h, h * h * h

    h, y = checkpoint(function, x)
    first = autograd.grad(y.sum(), h, create_graph=True)
    second = autograd.grad(first.sum(), h)
    np.testing.assert_allclose(second.numpy(), 6 * np.exp(x.detach().numpy()))


def test_nested_checkpoints():
    x, w = leaf(2, 4), leaf(4, 4, seed=1)
    calls = []

    def step(h):
        calls.append("step")
        return (h @ w).tanh()

    def two(h):
        calls.append("two")
        return checkpoint(step, checkpoint(step, h))

    y = checkpoint(two, checkpoint(two, x)).sum()
    assert calls.count("two") == 2
    assert calls.count("step") == 4
    got = autograd.grad(y, (x, w))
    expected = autograd.grad(step(step(step(step(x)))).sum(), (x, w))
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


def test_memory_is_given_back_and_freed_after():
    x = leaf(1000)
    kept = []

    def function(x):
        h = x.exp()
        kept.append(weakref.ref(h._storage))
        return (h * h).sin()

    y = checkpoint(function, x)
    gc.collect()
    assert kept[0]() is None
    y.sum().backward()
    del y
    gc.collect()
    assert kept[1]() is None


def test_random_numbers_are_the_same_again():
    x = tensorgrad.ones(1000, requires_grad=True)
    tensorgrad.manual_seed(3)
    y = checkpoint(lambda x: nn.functional.dropout(x, 0.5) * x, x)
    after = tensorgrad.default_generator.get_state()
    y.sum().backward()
    assert tensorgrad.default_generator.get_state() == after
    np.testing.assert_array_equal(x.grad.numpy(), 2 * y.detach().numpy())


def test_modules_in_place_and_views_inside():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4), nn.LayerNorm(4)).double()
    x = leaf(3, 4)

    def function(x):
        h = model(x) * 2
        h += x
        h = h.exp()
        return h.T.reshape(3, 4) * h

    results = []
    for run in (function, lambda x: checkpoint(function, x)):
        model.zero_grad()
        gx = autograd.grad(run(x).sum(), (x, *model.parameters()))
        results.append([g.numpy() for g in gx])
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_under_no_grad_and_with_nothing_to_record():
    with tensorgrad.no_grad():
        assert not checkpoint(tensorgrad.exp, leaf(2)).requires_grad
    assert not checkpoint(tensorgrad.exp, tensorgrad.ones(2)).requires_grad
    assert checkpoint(lambda x: {"a": x.exp()}, leaf(2))["a"].requires_grad


def test_errors():
    x = leaf(3)
    with pytest.raises(ArgumentError, match="function"):
        checkpoint(3, x)
    calls = []

    def fickle(x):
        calls.append(0)
        return x.exp().sin() if len(calls) == 1 else x.sin().exp()

    with pytest.raises(CheckpointError, match="sin.*exp"):
        checkpoint(fickle, x).sum().backward()

    def shorter(x):
        calls.append(0)
        return x.exp().exp() if len(calls) == 1 else x.exp()

    calls.clear()
    with pytest.raises(CheckpointError, match="1 operations, and 2"):
        checkpoint(shorter, x).sum().backward()

    h = x * 1
    y = checkpoint(lambda h: h.exp().sin(), h)
    with tensorgrad.no_grad():
        h += 1
    with pytest.raises(InplaceError, match="checkpoint.*add_"):
        y.sum().backward()

    w = leaf(3)
    y = checkpoint(lambda x: (x * w).exp(), x)
    with tensorgrad.no_grad():
        w += 1
    with pytest.raises(InplaceError, match="mul.*add_"):
        y.sum().backward()


@pytest.mark.torch
def test_as_torch():
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint as theirs

    v = np.linspace(0.1, 1.0, 6).reshape(2, 3)
    x = tensorgrad.tensor(v, requires_grad=True)
    t = torch.tensor(v, requires_grad=True)
    checkpoint(lambda x: (x.exp() * x).tanh(), x).sum().backward()
    theirs(lambda x: (x.exp() * x).tanh(), t, use_reentrant=False).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-12)
