"""A chain of linear layers in one call against the layers one by one."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest

import tensorgrad as tg
import tensorgrad.optim
from tensorgrad import nn
from tensorgrad.errors import DTypeError, InplaceError, ShapeError
from tensorgrad.ops.linear_chain import LinearChain

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid)


def _model(
    sizes: tuple[int, ...], last: bool, bias: bool = True, dtype: str = "float64"
) -> nn.Sequential:
    modules: list[nn.Module] = []
    for i, (m, n) in enumerate(itertools.pairwise(sizes)):
        modules += [nn.Linear(m, n, bias=bias, dtype=dtype), ACTIVATIONS[i % 3]()]
    return nn.Sequential(*(modules if last else modules[:-1]))


def _one_by_one(model: nn.Sequential, x: tg.Tensor) -> tg.Tensor:
    for module in model:
        x = module(x)
    return x


def _gradients(y: tg.Tensor, model: nn.Sequential, x: tg.Tensor) -> list[np.ndarray]:
    weights = tg.tensor(np.linspace(-1.0, 2.0, y.size).reshape(y.shape), dtype=y.dtype)
    found = tg.autograd.grad((y * weights).sum(), [x, *model.parameters()])
    return [g.numpy() for g in found]


@pytest.mark.parametrize("sizes", [(3, 4), (3, 5, 2), (4, 16, 3, 7, 2), (3, 0, 2), (0, 3, 2)])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 6])
def test_equals_the_layers_one_by_one(
    sizes: tuple[int, ...], last: bool, bias: bool, rows: int
) -> None:
    tg.manual_seed(0)
    model = _model(sizes, last, bias)
    x = tg.random.normal(0.0, 1.0, (rows, sizes[0]), dtype="float64").requires_grad_()
    y, expected = model(x), _one_by_one(model, x)
    assert isinstance(model._steps[0], LinearChain)
    assert len(model._steps) == 1
    np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    for got, want in zip(_gradients(y, model, x), _gradients(expected, model, x)):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("last", [False, True])
def test_second_derivatives(last: bool) -> None:
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Sigmoid())
    model = (model if last else model[:3]).double()
    x = tg.random.normal(0.0, 1.0, (2, 3), dtype="float64").requires_grad_()
    second = []
    for y in (model(x), _one_by_one(model, x)):
        (gx,) = tg.autograd.grad((y * y).sum(), [x], create_graph=True)
        second.append(_gradients(gx * gx, model, x) if last else None)
        if not last:
            found = tg.autograd.grad((gx * gx).sum(), [x, *model.parameters()], allow_unused=True)
            second[-1] = [g.numpy() for g in found if g is not None]
    for got, want in zip(*second):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)


def test_only_what_is_asked_for() -> None:
    model = _model((3, 5, 4, 2), last=False, dtype="float32")
    model[0].weight.requires_grad_(False)
    model[0].bias.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    y = model(tg.ones((2, 3)))
    expected = _one_by_one(model, tg.ones((2, 3)))
    y.sum().backward()
    got = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    expected.sum().backward()
    for name, p in model.named_parameters():
        assert (got[name] is None) == (p.grad is None) == (not p.requires_grad), name
        if p.grad is not None:
            np.testing.assert_allclose(got[name].numpy(), p.grad.numpy(), rtol=1e-6)


def test_nothing_is_recorded_where_nothing_is_asked_for() -> None:
    model = _model((3, 5, 2), last=True, dtype="float32")
    with tg.no_grad():
        assert model(tg.ones((2, 3))).is_leaf
    model.requires_grad_(False)
    assert model(tg.ones((2, 3))).is_leaf


def test_other_inputs_go_through_the_layers_one_by_one() -> None:
    model = _model((3, 5, 2), last=True, dtype="float32")
    x = tg.tensor(np.random.default_rng(0).standard_normal((4, 2, 3)).astype("float32"))
    np.testing.assert_array_equal(model(x).detach().numpy(), _one_by_one(model, x).detach().numpy())
    strided = x.permute_dims((1, 0, 2))[0]
    np.testing.assert_allclose(
        model(strided).detach().numpy(), _one_by_one(model, strided).detach().numpy(), rtol=1e-6
    )
    np.testing.assert_allclose(
        model(x[0, 0]).detach().numpy(), model(x[0]).detach().numpy()[0], rtol=1e-5
    )
    with pytest.raises(ShapeError, match="linear: expected x of shape"):
        model(tg.ones((2, 4)))
    with pytest.raises(DTypeError, match="one float dtype"):
        model(tg.ones((2, 3), dtype="float64"))


def test_follows_its_parameters() -> None:
    model = _model((3, 5, 2), last=False, dtype="float32")
    x = tg.ones((2, 3))
    model(x)
    model[0].weight = nn.Parameter(tg.zeros((5, 3)))
    model[2].bias = None
    np.testing.assert_array_equal(model(x).detach().numpy(), _one_by_one(model, x).detach().numpy())
    model.double()
    with pytest.raises(DTypeError):
        model(x)
    assert model(x.astype("float64")).dtype == np.float64
    model[0] = nn.Linear(3, 5, dtype="float64")
    x = x.astype("float64")
    np.testing.assert_array_equal(model(x).detach().numpy(), _one_by_one(model, x).detach().numpy())


def test_copies_and_pickles_do_not_share_memory() -> None:
    model = _model((3, 5, 2), last=False, dtype="float32")
    x = tg.ones((2, 3))
    before = model(x).tolist()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other(x).tolist() == before
        with tg.no_grad():
            other[0].weight.mul_(2.0)
        assert other(x).tolist() != before
        assert model(x).tolist() == before


def test_a_parameter_written_in_between_is_noticed() -> None:
    model = _model((3, 5, 2), last=False, dtype="float32")
    x = tg.ones((2, 3))
    y = model(x).sum()
    with tg.no_grad():
        model[2].weight.mul_(2.0)
    with pytest.raises(InplaceError, match="linear_chain.*mul_"):
        y.backward()
    y = model(x).sum()
    x.add_(1.0)
    with pytest.raises(InplaceError, match="add_"):
        y.backward()


def test_a_conversion_in_between_is_noticed() -> None:
    model = _model((3, 5, 2), last=False, dtype="float32")
    y = model(tg.ones((2, 3))).sum()
    model.double()
    with pytest.raises(InplaceError):
        y.backward()


def test_modules_that_are_not_exactly_linear_are_left_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return super().forward(x) * 2.0

    model = nn.Sequential(
        nn.ReLU(), Doubled(3, 3), nn.Linear(3, 2), nn.GELU(), nn.Linear(2, 2), nn.Tanh(), nn.Tanh()
    )
    x = tg.ones((2, 3))
    np.testing.assert_allclose(
        model(x).detach().numpy(), _one_by_one(model, x).detach().numpy(), rtol=1e-6
    )
    kinds = [type(step).__name__ for step in model._steps]
    assert kinds == ["ReLU", "Doubled", "LinearChain", "GELU", "LinearChain", "Tanh"]


def test_one_thread_equals_two() -> None:
    tg.manual_seed(0)
    model = _model((64, 200, 100, 10), last=False, dtype="float32")
    x = tg.random.normal(0.0, 1.0, (300, 64)).requires_grad_()
    before = tg.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 4):
            tg.set_num_threads(threads)
            y = model(x)
            results.append([y.detach().numpy(), *_gradients(y, model, x)])
    finally:
        tg.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def _trained(model: nn.Sequential, optimizer: tg.optim.SGD, scale: float) -> None:
    optimizer.zero_grad()
    (model(tg.ones((2, 3))) * scale).sum().backward()


def test_a_gradient_that_someone_holds_is_not_written_again() -> None:
    model = _model((3, 5, 2), last=False, dtype="float32")
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    weight = model[0].weight
    _trained(model, optimizer, 1.0)
    held = weight.grad
    before = held.tolist()
    _trained(model, optimizer, 2.0)
    assert held.tolist() == before
    assert weight.grad is not held
    for hold in (lambda g: g[0], lambda g: g.detach(), lambda g: g.numpy(), lambda g: g.numpy()[0]):
        _trained(model, optimizer, 1.0)
        view = hold(weight.grad)
        before = view.tolist()
        _trained(model, optimizer, 2.0)
        assert view.tolist() == before


def test_a_gradient_that_nobody_holds_is_used_again() -> None:
    model = _model((3, 5, 2), last=False, dtype="float32")
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    _trained(model, optimizer, 1.0)
    address, before = id(model[0].weight.grad), model[0].weight.grad.tolist()
    _trained(model, optimizer, 1.0)
    assert id(model[0].weight.grad) == address
    assert model[0].weight.grad.tolist() == before
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.double()
    model(tg.ones((2, 3), dtype="float64")).sum().backward()
    assert model[0].weight.grad.dtype == np.float64


def test_a_weight_used_twice_gets_both_gradients() -> None:
    linear = nn.Linear(3, 3)
    model = nn.Sequential(linear, nn.Tanh(), linear)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        _trained(model, optimizer, 1.0)
    got = linear.weight.grad.tolist()
    optimizer.zero_grad()
    _one_by_one(model, tg.ones((2, 3))).sum().backward()
    np.testing.assert_allclose(got, linear.weight.grad.numpy(), rtol=1e-6)


def test_threads_that_share_parameters_do_not_share_gradients() -> None:
    model = _model((8, 16, 4), last=False, dtype="float64")
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    inputs = [tg.tensor(np.full((4, 8), float(i)), dtype="float64") for i in range(4)]

    def gradients(x: tg.Tensor) -> list[list[float]]:
        return [g.tolist() for g in tg.autograd.grad(model(x).sum(), list(model.parameters()))]

    expected = [gradients(x) for x in inputs]
    wrong = []

    def work(i: int) -> None:
        for _ in range(100):
            if gradients(inputs[i]) != expected[i]:
                wrong.append(i)

    (model(inputs[1])).sum().backward()
    optimizer.zero_grad()  # leaves spare gradients for whoever comes first
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
