"""Optimizer: groups, state, changes between steps; the schedules of learning rates."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn, optim
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, StateDictError
from tensorgrad.optim import lr_scheduler


def pair():
    return nn.Parameter([1.0, 2.0]), nn.Parameter([[3.0]])


def set_gradients(*parameters):
    for p in parameters:
        p.grad = tg.ones(p.shape, dtype=p.dtype)


def test_bad_parameters_are_named():
    p, q = pair()
    with pytest.raises(DTypeError, match="list"):
        optim.SGD(p)
    with pytest.raises(DTypeError, match="float"):
        optim.SGD([p, 1.0])
    with pytest.raises(GradientError, match="parameter 1"):
        optim.SGD([p, q * 2])
    with pytest.raises(ArgumentError, match="once"):
        optim.SGD([p, q, p])
    with pytest.raises(ArgumentError, match="once"):
        optim.SGD([{"params": [p]}, {"params": p}])
    with pytest.raises(DTypeError, match="params"):
        optim.SGD([{"lr": 1.0}])
    optimizer = optim.SGD([p])
    with pytest.raises(ArgumentError, match="momentum"):
        optimizer.add_param_group({"params": [q], "momentum": -1})
    assert len(optimizer.param_groups) == 1
    for option in ("lr", "momentum", "weight_decay"):
        for bad in (-0.1, math.nan, "fast"):
            with pytest.raises(ArgumentError, match=option):
                optim.SGD([p], **{option: bad})
    with pytest.raises(ArgumentError, match="nesterov"):
        optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True)


def test_named_parameters_are_taken():
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.named_parameters(), lr=1.0)
    assert optimizer.param_groups[0]["params"][0] is model.weight


def test_zero_grad():
    p, q = pair()
    optimizer = optim.SGD([p, q])
    set_gradients(p)
    kept = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == kept.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is q.grad is None


def test_closure_runs_with_grad():
    p = nn.Parameter([2.0])
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.item() == 1.0


def test_dtypes_and_groups_mixed():
    p, q, r = nn.Parameter([1.0]), nn.Parameter(np.array([1.0])), nn.Parameter([1.0])
    optimizer = optim.SGD([{"params": [p, q]}], lr=0.5, momentum=0.5)
    set_gradients(p, q)
    optimizer.step()
    optimizer.add_param_group({"params": r, "lr": 0.25})
    set_gradients(r)
    optimizer.step()
    assert (p.item(), q.item(), r.item()) == (-0.25, -0.25, 0.75)


def test_options_change_between_steps():
    p, q = pair()
    optimizer = optim.SGD([p, q], lr=1.0)
    set_gradients(p, q)
    optimizer.step()
    assert optimizer.state == {}
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()  # the first value of a buffer is the gradient
    assert p.tolist() == [-1.0, 0.0]
    optimizer.step()
    assert p.tolist() == [-2.5, -1.5]
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert p.tolist() == [-2.5, -1.5]
    optimizer.param_groups[0].update(lr=1.0, momentum=0.0)
    optimizer.step()
    assert q.tolist() == [[3.0 - 1.0 - 1.0 - 1.5 - 1.0]]


def test_only_started_buffers_are_state():
    p, q = pair()
    optimizer = optim.SGD([p, q], lr=1.0, momentum=0.9)
    set_gradients(q)
    optimizer.step()
    assert list(optimizer.state_dict()["state"]) == [1]
    q.requires_grad_(False)
    before = q.tolist()
    set_gradients(p)
    optimizer.step()
    assert q.tolist() == before
    assert list(optimizer.state_dict()["state"]) == [0, 1]


def test_a_strided_gradient():
    p = nn.Parameter(tg.zeros((2, 3)))
    p.grad = tg.tensor(np.arange(6.0, dtype=np.float32).reshape(3, 2)).T
    optim.SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(p.detach().numpy(), -np.arange(6.0).reshape(3, 2).T)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_by_itself(twin):
    p = nn.Parameter([1.0])
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    set_gradients(p)
    optimizer.step()
    other = twin(optimizer)
    q = other.param_groups[0]["params"][0]
    for parameter, o in ((p, optimizer), (q, other)):
        set_gradients(parameter)
        o.step()
    assert p.item() == q.item() == -1.5


def test_a_wrong_state_changes_nothing():
    p, q = pair()
    optimizer = optim.SGD([p, q], lr=0.5, momentum=0.9)
    state = optim.SGD([p], lr=0.1).state_dict()
    with pytest.raises(StateDictError, match=r"\[2\] parameters, got \[1\]"):
        optimizer.load_state_dict(state)
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = 0.1
    state["state"] = {0: {"momentum_buffer": np.zeros(3)}}
    with pytest.raises(StateDictError, match="momentum_buffer"):
        optimizer.load_state_dict(state)
    with pytest.raises(StateDictError, match="7"):
        optimizer.load_state_dict({**state, "state": {7: {}}})
    with pytest.raises(StateDictError, match="param_groups"):
        optimizer.load_state_dict({})
    state["state"] = {}
    state["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ArgumentError, match="lr"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_the_state_of_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    torch_sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    ours = nn.Parameter([1.0, 2.0])
    sgd = optim.SGD([ours], lr=0.7)
    theirs.grad = torch.tensor([1.0, -1.0])
    torch_sgd.step()
    sgd.load_state_dict(torch_sgd.state_dict())
    with tg.no_grad():
        ours.copy_(theirs.detach().numpy())
    theirs.grad = torch.tensor([0.5, 0.5])
    ours.grad = tg.tensor([0.5, 0.5])
    torch_sgd.step()
    sgd.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)
    torch_sgd.load_state_dict(  # and back
        {
            "param_groups": sgd.state_dict()["param_groups"],
            "state": {
                i: {k: torch.tensor(v.numpy()) for k, v in values.items()}
                for i, values in sgd.state_dict()["state"].items()
            },
        }
    )


def test_memory_does_not_grow():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, labels = tg.ones((3, 4)), tg.tensor([0, 1, 0])

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()

    for _ in range(5):
        step()
    before = tg.memory_stats()["bytes_in_use"]
    for _ in range(50):
        step()
    assert tg.memory_stats()["bytes_in_use"] == before


# ---- schedules


def rates(scheduler, epochs):
    values = [scheduler.get_last_lr()[0]]
    for _ in range(epochs):
        scheduler.step()
        values.append(scheduler.get_last_lr()[0])
    return values


def test_schedules_by_formula():
    def fresh():
        return optim.SGD([nn.Parameter([1.0])], lr=0.8)

    assert rates(lr_scheduler.StepLR(fresh(), 2, 0.5), 4) == [0.8, 0.8, 0.4, 0.4, 0.2]
    expected = [0.2 + 0.3 * (1 + math.cos(math.pi * t / 4)) for t in range(7)]
    assert rates(lr_scheduler.CosineAnnealingLR(fresh(), 4, 0.2), 6) == pytest.approx(expected)
    assert rates(lr_scheduler.LambdaLR(fresh(), lambda t: 1 / (1 + t)), 3) == pytest.approx(
        [0.8, 0.4, 0.8 / 3, 0.2]
    )


def test_schedules_as_pytorch():
    torch = pytest.importorskip("torch")
    for name, args in (("StepLR", (3, 0.3)), ("CosineAnnealingLR", (5, 0.01))):
        ours = getattr(lr_scheduler, name)(optim.SGD([nn.Parameter([1.0])], lr=0.8), *args)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.8)
        theirs = getattr(torch.optim.lr_scheduler, name)(optimizer, *args)
        for got in rates(ours, 12):
            assert got == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
            optimizer.step()
            theirs.step()


def test_a_schedule_continues_from_its_state():
    p = nn.Parameter([1.0])
    first = lr_scheduler.StepLR(optim.SGD([p], lr=1.0), 1, 0.5)
    rates(first, 3)
    second = lr_scheduler.StepLR(optim.SGD([p], lr=9.0), 1, 0.5)
    second.load_state_dict(first.state_dict())
    second.step()
    assert second.get_last_lr() == [0.0625]


def test_bad_schedules_are_named():
    optimizer = optim.SGD([nn.Parameter([1.0])])
    with pytest.raises(ArgumentError, match="step_size"):
        lr_scheduler.StepLR(optimizer, 0)
    with pytest.raises(ArgumentError, match="T_max"):
        lr_scheduler.CosineAnnealingLR(optimizer, 0)
    with pytest.raises(ArgumentError, match="1 functions"):
        lr_scheduler.LambdaLR(optimizer, [abs, abs])
    with pytest.raises(DTypeError, match="Optimizer"):
        lr_scheduler.StepLR([optimizer], 1)
