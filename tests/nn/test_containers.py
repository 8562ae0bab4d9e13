"""Containers, and what a Module does with its attributes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn, optim
from tensorgrad.errors import (
    ArgumentError,
    DTypeError,
    IndexOutOfRangeError,
    InplaceError,
    StateDictError,
)


class Tied(nn.Module):
    """Two layers with one weight, and a buffer of each kind."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("mean", tg.zeros(3))
        self.register_buffer("cache", tg.ones(2), persistent=False)

    def forward(self, x):
        return self.second(self.first(x - self.mean))


def test_a_shared_parameter_counts_once_and_is_saved_under_both_names():
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == ["first.weight", "second.bias"]
    assert [name for name, _ in model.named_parameters(remove_duplicate=False)] == [
        "first.weight",
        "second.weight",
        "second.bias",
    ]
    assert set(model.state_dict()) == {"first.weight", "second.weight", "second.bias", "mean"}
    assert [name for name, _ in model.named_buffers()] == ["mean", "cache"]


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_keeps_what_is_shared_shared(twin):
    other = twin(Tied())
    assert other.first.weight is other.second.weight
    assert isinstance(other.first.weight, nn.Parameter)
    assert [name for name, _ in other.named_buffers()] == ["mean", "cache"]
    assert "cache" not in other.state_dict()


def test_operations_on_a_parameter_give_plain_tensors():
    p = nn.Parameter([1.0, 2.0])
    for result in (p * 2, p.reshape(2, 1), p[0], p.detach(), p.sum()):
        assert type(result) is tg.Tensor
    assert repr(p).startswith("Parameter containing:\ntensor(")
    source = tg.zeros(2)
    nn.Parameter(source).detach()[0] = 5.0
    assert source.tolist() == [5.0, 0.0]
    with pytest.raises(DTypeError):
        nn.Parameter([1, 2])
    assert not nn.Parameter([1, 2], requires_grad=False).requires_grad


def test_a_parameter_is_not_lost_by_accident():
    layer = nn.Linear(2, 2)
    with pytest.raises(DTypeError, match=r"Linear\.weight"):
        layer.weight = tg.zeros((2, 2))
    with pytest.raises(ArgumentError, match="forward"):
        layer.forward = lambda x: x
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    model = Tied()
    with pytest.raises(DTypeError, match=r"Tied\.mean"):
        model.mean = 3
    del model.mean
    assert "mean" not in model.state_dict()


def test_names_that_are_taken_or_have_dots_are_refused():
    module = nn.Identity()
    for name in ("training", "forward", "a.b", ""):
        with pytest.raises(ArgumentError):
            module.register_buffer(name, tg.zeros(1))
        with pytest.raises(ArgumentError):
            module.add_module(name, nn.ReLU())
    with pytest.raises(DTypeError):
        module.register_parameter("p", tg.zeros(1))
    with pytest.raises(DTypeError):
        module.add_module("m", 3)


def test_calling_is_forward_also_where_classes_are_mixed():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2.0

    class Counted(nn.Module):
        calls = 0

        def __call__(self, *args):
            type(self).calls += 1
            return self.forward(*args)

    class CountedDoubled(Counted, Doubled):
        pass

    x = tg.ones((1, 2))
    layer = Doubled(2, 2)
    plain = tg.ops.linear(x, layer.weight, layer.bias)
    assert layer(x).tolist() == (plain * 2.0).tolist()
    assert CountedDoubled(2, 2)(x).shape == (1, 2)
    assert Counted.calls + CountedDoubled.calls == 1
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(x)


def test_a_subclass_is_not_fused():
    class Shifted(nn.ReLU):
        def forward(self, x):
            return super().forward(x) + 1.0

    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2.0

    x = tg.rand(2, 3)
    linear = nn.Linear(3, 3)
    assert (nn.Sequential(linear, Shifted())(x) >= 1.0).all()
    doubled = Doubled(3, 3)
    expected = (tg.ops.linear(x, doubled.weight, doubled.bias) * 2.0).relu()
    np.testing.assert_array_equal(
        nn.Sequential(doubled, nn.ReLU())(x).detach().numpy(), expected.detach().numpy()
    )


def test_sequential_is_a_list():
    model = nn.Sequential({"a": nn.Linear(2, 3), "b": nn.ReLU()})
    assert list(model.state_dict()) == ["a.weight", "a.bias"]
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    x = tg.rand(4, 2)
    assert (model(x) >= 0).all()
    model[1] = nn.Tanh()
    np.testing.assert_allclose(
        model(x).detach().numpy(), np.tanh(model[0](x).detach().numpy()), rtol=1e-5
    )
    assert model.append(nn.Linear(3, 1)) is model
    assert model(x).shape == (4, 1)
    tail = model[1:]
    assert [name for name, _ in tail.named_children()] == ["1", "2"]
    tail.append(nn.ReLU())
    assert len(tail) == 3
    assert isinstance(tail[-1], nn.ReLU)
    del model[0]
    assert [type(m).__name__ for m in model] == ["Tanh", "Linear"]
    assert list(model.state_dict()) == ["1.weight", "1.bias"]
    model.insert(0, nn.Identity())
    assert isinstance(model[0], nn.Identity)
    assert nn.Sequential()(x) is x
    with pytest.raises(IndexOutOfRangeError):
        model[3]
    with pytest.raises(DTypeError):
        model["0"]
    with pytest.raises(DTypeError):
        nn.Sequential(nn.ReLU, nn.Tanh())


def test_lists_and_dicts_of_modules():
    layers = nn.ModuleList([nn.Linear(2, 2)]).extend([nn.ReLU(), nn.Linear(2, 1)])
    assert len(layers) == 3
    assert len(list(layers.parameters())) == 4
    assert [type(m).__name__ for m in layers[1:]] == ["ReLU", "Linear"]
    heads = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.ReLU()})
    assert (heads.keys(), "a" in heads, len(heads)) == (["a", "b"], True, 2)
    heads["a"] = nn.Tanh()
    assert [type(m).__name__ for m in heads.values()] == ["Tanh", "ReLU"]
    assert isinstance(heads.pop("b"), nn.ReLU)
    assert list(heads) == ["a"]
    with pytest.raises(KeyError):
        heads["b"]
    with pytest.raises(ArgumentError):
        heads["keys"] = nn.ReLU()


def test_a_module_in_itself_is_walked_once():
    model = nn.Sequential(nn.Linear(2, 2))
    model.whole = model
    assert len(list(model.modules())) == 2
    assert len(model.train().state_dict()) == 2


def test_state_dict_of_arrays_and_not_strict():
    layer = nn.Linear(2, 3)
    arrays = {"weight": np.arange(6.0).reshape(3, 2), "bias": [1.0, 2.0, 3.0]}  # float64 and a list
    layer.load_state_dict(arrays)
    assert layer.weight.dtype == tg.float32
    assert layer.weight.tolist() == arrays["weight"].tolist()
    found = layer.load_state_dict({"weight": np.zeros((3, 2)), "other": 1}, strict=False)
    assert found == (["bias"], ["other"])
    with pytest.raises(StateDictError, match=r"weight \(expected \(3, 2\), got \(2,\)\)"):
        layer.load_state_dict({"weight": np.zeros(2)}, strict=False)
    with pytest.raises(DTypeError, match="weight"):
        layer.load_state_dict({"weight": np.full((3, 2), "x"), "bias": np.zeros(3)})
    assert layer.bias.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(DTypeError):
        layer.load_state_dict([1])


def test_state_dict_of_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    ours = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    ours.load_state_dict(theirs.state_dict())
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(
        ours(tg.tensor(x)).detach().numpy(),
        theirs(torch.tensor(x)).detach().numpy(),
        rtol=1e-5,
        atol=1e-6,
    )
    back = {name: torch.from_numpy(t.numpy().copy()) for name, t in ours.state_dict().items()}
    theirs.load_state_dict(back)


def test_another_dtype_keeps_the_objects():
    model = Tied()
    optimizer = optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    weight = model.first.weight
    model(tg.ones((1, 3))).sum().backward()
    optimizer.step()
    assert model.double() is model
    assert model.first.weight is weight is model.second.weight
    assert {t.dtype for t in model.state_dict().values()} == {tg.float64}
    assert weight.grad.dtype == tg.float64
    before = weight.detach().numpy().copy()
    weight.grad = tg.ones((3, 3), dtype="float64")
    buffer = optimizer.state[weight]["momentum_buffer"].numpy().copy()
    optimizer.step()  # on the new memory
    np.testing.assert_allclose(weight.detach().numpy(), before - (0.5 * buffer + 1.0))
    y = model(tg.ones((1, 3), dtype="float64")).sum()
    model.float()
    with pytest.raises(InplaceError, match=r"Module\.to"):
        y.backward()
    with pytest.raises(DTypeError):
        model.to("int64")


def test_apply_and_repr():
    model = nn.Sequential(nn.Linear(1, 2), nn.Sequential(nn.ReLU()))
    names = []
    model.apply(lambda m: names.append(type(m).__name__))
    assert names == ["Linear", "ReLU", "Sequential", "Sequential"]
    assert repr(model) == (
        "Sequential(\n  (0): Linear(in_features=1, out_features=2, bias=True)\n"
        "  (1): Sequential(\n    (0): ReLU()\n  )\n)"
    )
    assert model.get_submodule("1.0") is model[1][0]
    with pytest.raises(ArgumentError, match=r"'5' \(of '1.5'\)"):
        model.get_submodule("1.5")
    with pytest.raises(ArgumentError, match="'0.gain'"):
        model.get_parameter("0.gain")


@pytest.mark.parametrize("sizes", [(-1, 2), (2, 1.5), (2, None), (True, 2)])
def test_linear_refuses_sizes(sizes):
    with pytest.raises(ArgumentError, match="Linear"):
        nn.Linear(*sizes)


def test_linear_of_nothing_and_of_wrong_input():
    assert nn.Linear(0, 3)(tg.ones((2, 0))).shape == (2, 3)
    assert nn.Linear(3, 0)(tg.ones((2, 3))).shape == (2, 0)
    assert nn.Linear(3, 2)(tg.ones((0, 3))).shape == (0, 2)
    with pytest.raises(ValueError, match=r"linear.*\(2, 4\)"):
        nn.Sequential(nn.Linear(3, 2), nn.ReLU())(tg.ones((2, 4)))
    with pytest.raises(DTypeError, match="float64"):
        nn.Linear(3, 2)(tg.ones((2, 3), dtype="float64"))


def test_a_generator_decides_the_first_values():
    a, b = (nn.Linear(5, 5, generator=tg.Generator(3)) for _ in range(2))
    assert a.weight.tolist() == b.weight.tolist()
    assert a.weight.detach().abs().max() <= 1 / np.sqrt(5)
    assert a.bias.detach().abs().max() <= 1 / np.sqrt(5)
