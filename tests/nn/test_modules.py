"""Modules: parameters, state, training mode, the layers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.errors import StateDictError
from tensorgrad.nn import functional


def network():
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3))


def test_parameters_have_pytorchs_names_and_shapes():
    shapes = {name: p.shape for name, p in network().named_parameters()}
    assert shapes == {"0.weight": (5, 4), "0.bias": (5,), "3.weight": (3, 5), "3.bias": (3,)}


def test_forward_is_the_formula():
    model = network().eval()
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    p = {name: t.detach().numpy() for name, t in model.named_parameters()}
    hidden = np.maximum(x @ p["0.weight"].T + p["0.bias"], 0)
    expected = hidden @ p["3.weight"].T + p["3.bias"]
    np.testing.assert_allclose(model(tg.tensor(x)).detach().numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_a_fused_pair_gives_the_gradients_of_the_two(activation):
    tg.manual_seed(1)
    linear = nn.Linear(6, 4)
    x = tg.rand(3, 6, requires_grad=True)
    results = []
    for forward in (nn.Sequential(linear, activation()), lambda x: activation()(linear(x))):
        y = forward(x)
        gradients = tg.autograd.grad((y * y).sum(), [x, linear.weight, linear.bias])
        results.append([y, *gradients])
    for fused, plain in zip(*results, strict=True):
        np.testing.assert_allclose(
            fused.detach().numpy(), plain.detach().numpy(), rtol=1e-5, atol=1e-6
        )


def test_state_dict_round_trip():
    model, other = network(), network()
    other.load_state_dict(model.state_dict())
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_a_wrong_state_dict_names_the_keys_and_loads_nothing():
    model = network()
    before = model.state_dict()["0.bias"].numpy().copy()
    state = {k: v.numpy() + 1 for k, v in model.state_dict().items()}
    state["extra"] = state.pop("3.bias")
    state["0.weight"] = np.zeros((2, 2), np.float32)
    with pytest.raises(StateDictError, match="extra") as info:
        model.load_state_dict(state)
    assert "3.bias" in str(info.value)
    assert "0.weight" in str(info.value)
    np.testing.assert_array_equal(model.state_dict()["0.bias"].numpy(), before)


def test_train_and_eval_reach_every_module():
    model = network()
    model.eval()
    assert not any(m.training for m in model.modules())
    x = tg.ones((2, 4))
    np.testing.assert_array_equal(model(x).detach().numpy(), model(x).detach().numpy())
    model.train()
    assert all(m.training for m in model.modules())


def test_dropout_keeps_the_mean():
    tg.manual_seed(0)
    y = functional.dropout(tg.ones(100_000), 0.25, training=True).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert abs(y.mean() - 1) < 0.01
    with pytest.raises(ValueError, match="dropout"):
        functional.dropout(tg.ones(2), 1.5, training=True)


def test_copies_and_pickles_are_independent():
    model = network().eval()
    x = tg.ones((1, 4))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(x).detach().numpy(), model(x).detach().numpy())
        with tg.no_grad():
            other[0].weight.zero_()
    assert np.abs(model[0].weight.detach().numpy()).sum() > 0


def test_repr_is_a_tree():
    text = repr(network())
    assert "Sequential(" in text
    assert "(0): Linear" in text


def test_zero_grad_and_requires_grad():
    model = network().eval()
    model(tg.ones((1, 4))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.requires_grad_(False)
    assert not model(tg.ones((1, 4))).requires_grad


@pytest.mark.parametrize(
    ("module", "reference"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (
            nn.GELU("tanh"),
            lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        ),
        (nn.Softmax(1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        (nn.LogSoftmax(1), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
        (nn.Identity(), lambda x: x),
        (nn.Flatten(), lambda x: x),
    ],
    ids=lambda v: type(v).__name__,
)
def test_activations(module, reference):
    x = np.linspace(-3, 3, 12).reshape(3, 4)
    np.testing.assert_allclose(module(tg.tensor(x)).numpy(), reference(x), rtol=1e-6, atol=1e-12)


def test_first_values():
    tg.manual_seed(0)
    w = tg.empty((200, 300))
    nn.init.kaiming_uniform_(w, a=0, nonlinearity="relu")
    bound = np.sqrt(6 / 300)
    assert np.abs(w.numpy()).max() <= bound
    assert w.numpy().std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    nn.init.xavier_normal_(w)
    assert w.numpy().std() == pytest.approx(np.sqrt(2 / 500), rel=0.02)
    nn.init.orthogonal_(w)
    np.testing.assert_allclose(w.numpy() @ w.numpy().T, np.eye(200), atol=1e-4)
