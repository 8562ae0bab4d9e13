"""detect_anomaly: the operation, the module, and the lines."""

from __future__ import annotations

import inspect
import threading

import pytest

import tensorgrad
from tensorgrad import Tensor, nn
from tensorgrad.autograd import detect_anomaly, op
from tensorgrad.autograd._tape import hooks, watchers
from tensorgrad.errors import AnomalyError, InplaceError


def leaf(*values):
    return tensorgrad.tensor(list(values), requires_grad=True)


def here(offset=0):
    return f"test_anomaly.py:{inspect.currentframe().f_back.f_lineno + offset}"


@pytest.fixture(autouse=True)
def clean():
    yield
    assert not watchers
    assert 0 not in hooks


def test_the_first_in_a_forward():
    x = leaf(1.0, 0.0)
    line = here(2)
    with detect_anomaly(), pytest.raises(AnomalyError, match="log gave inf for finite") as info:
        _ = tensorgrad.log(x) * 2
    assert line in str(info.value)
    assert "_ = tensorgrad.log(x) * 2" in str(info.value)
    with detect_anomaly(), pytest.raises(AnomalyError, match="div gave NaN"):
        (x - x) / (x - x)


def test_what_was_not_finite_before_is_not_the_first():
    x = leaf(1.0, 0.0)
    mask = tensorgrad.tensor([0.0, -float("inf")])
    with detect_anomaly():
        y = (x + mask).softmax()
        z = tensorgrad.where(tensorgrad.tensor([True, False]), x, float("-inf"))
        tensorgrad.concat([x, mask])
        tensorgrad.stack([x, mask])
        z.softmax().sum().backward()
        y.sum().backward()
    bad = leaf(float("nan"))
    with detect_anomaly():
        bad * 2


def test_nothing_outside():
    x = leaf(0.0)
    with detect_anomaly():
        x.exp()
    tensorgrad.log(x).sum().backward()


def test_the_first_in_a_backward():
    x = leaf(4.0, 0.0)
    with detect_anomaly():
        line = here(1)
        y = tensorgrad.sqrt(x)
        with pytest.raises(AnomalyError, match="backward of sqrt gave, for its input 0") as info:
            (y * y).sqrt().sum().backward()
    assert "inf" in str(info.value) or "NaN" in str(info.value)
    x = leaf(4.0, 0.0)
    with detect_anomaly():
        line = here(1)
        y = tensorgrad.sqrt(x)
        with pytest.raises(AnomalyError, match="backward of sqrt") as info:
            (y * 3).sum().backward()
    assert line in str(info.value)


def test_a_graph_from_outside():
    y = tensorgrad.sqrt(leaf(0.0)).sum()
    with detect_anomaly(), pytest.raises(AnomalyError, match="sqrt.*not known"):
        y.backward()


def test_a_gradient_that_is_given():
    x = leaf(1.0)
    y = x * 2
    with detect_anomaly(), pytest.raises(AnomalyError, match="mul was given inf"):
        y.backward(tensorgrad.tensor([float("inf")]))


def test_a_wrong_gradient_of_a_users_op():
    @op(gradient=lambda gy, y, x: gy / 0.0, reference=None, method=False)
    def broken_for_anomaly(x: Tensor) -> Tensor:
        """x."""
        return x * 1

    x = leaf(1.0)
    with detect_anomaly(), pytest.raises(AnomalyError, match="broken_for_anomaly gave"):
        broken_for_anomaly(x).sum().backward()
    del tensorgrad.autograd.registry["broken_for_anomaly"]


class Log(nn.Module):
    def forward(self, x):
        return tensorgrad.log(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)])
        self.head = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), Log())

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def test_the_path_of_the_module():
    model = Net()
    with tensorgrad.no_grad():
        model.layers[2].weight.fill_(3e38)
    line = Log.forward.__code__.co_firstlineno + 1
    x = tensorgrad.full((1, 2), 100.0)
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"model\.layers\.2 \(Linear\)"):
        model(x)
    with tensorgrad.no_grad():
        for p in model.parameters():
            p.fill_(0.0)
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"in model\.head\.2 \(Log\)") as info:
        model(tensorgrad.ones((1, 2)))
    assert f"test_anomaly.py:{line}" in str(info.value)
    assert Net.__call__ is Net.forward
    assert nn.Linear.__call__ is nn.Linear.forward
    assert len(model.head._steps or model.head._make_steps()) == 2


def test_both_lines_of_a_write():
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        h = x * 1
        y = h.exp()
        saved = here(1)
        z = (y * y).sum()
        with tensorgrad.no_grad():
            written = here(1)
            y += 1
        with pytest.raises(InplaceError, match=r"backward of mul.*by add_") as info:
            z.backward()
    assert written in str(info.value)
    assert saved in str(info.value)
    y = x.exp()
    with tensorgrad.no_grad():
        y += 1
    with pytest.raises(InplaceError) as info:
        y.sum().backward()
    assert ".py" not in str(info.value)


def test_as_decorator_and_nested_and_in_one_thread_only():
    @detect_anomaly()
    def inside(x):
        with detect_anomaly():
            pass
        return tensorgrad.log(x)

    with pytest.raises(AnomalyError):
        inside(leaf(0.0))

    @detect_anomaly
    def without_brackets():
        return tensorgrad.log(leaf(0.0))

    with pytest.raises(AnomalyError):
        without_brackets()
    failed = []

    def other():
        try:
            tensorgrad.log(leaf(0.0)).sum().backward()
        except AnomalyError as error:
            failed.append(error)

    with detect_anomaly():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert not failed


def test_checkpoint_inside():
    x = leaf(1.0)
    with detect_anomaly():
        tensorgrad.autograd.checkpoint(lambda x: x.exp().sin(), x).sum().backward()
    assert x.grad is not None
