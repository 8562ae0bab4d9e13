"""Drawings of graphs."""

from __future__ import annotations

import inspect
import re

import pytest

import tensorgrad
from tensorgrad import nn, viz
from tensorgrad.autograd import detect_anomaly
from tensorgrad.errors import GradientError


def labels(text):
    return [m.replace("\\n", "|") for m in re.findall(r'label="((?:[^"\\]|\\.)*)"', text)]


def test_ops_shapes_and_edges():
    x = tensorgrad.ones((2, 3), requires_grad=True)
    w = tensorgrad.ones((3, 4), requires_grad=True)
    y = (x @ w).tanh()
    loss = (y * y).mean()
    text = viz.dot(loss, {"x": x, "w": w})
    assert labels(text) == [
        *("mean|()", "mul|(2, 4)", "tanh|(2, 4)", "matmul|(2, 4)", "w|(3, 4)", "x|(2, 3)")
    ]
    edges = re.findall(r"(n\d+) -> (n\d+);", text)
    assert edges.count(("n2", "n1")) == 2
    assert len(edges) == 6
    assert text.startswith("digraph {")
    assert text.endswith("}")
    loss.backward()
    assert x.grad is not None
    assert not x.grad.requires_grad


def test_lines_and_modules():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    x = tensorgrad.ones((1, 2))
    for context in (viz.trace(), detect_anomaly()):
        with context:
            line = inspect.currentframe().f_lineno + 1
            y = model(x).sum()
        found = labels(viz.dot(y, dict(model.named_parameters())))
        assert f"sum|()|{__file__}:{line}" in found
        assert f"relu|(1, 3)|model.1 (ReLU)|{__file__}:{line}" in found
        assert "0.weight|(3, 2)" in found
    assert __file__ not in viz.dot(model(x).sum())


def test_nothing_changes():
    model = nn.Linear(2, 2)
    called = []
    model.register_full_backward_hook(lambda *_: called.append(0))
    x = tensorgrad.ones((1, 2), requires_grad=True)
    x.register_hook(called.append)
    y = model(x).exp().sum()
    viz.dot(y)
    assert not called
    assert x.grad is None
    assert model.weight.grad is None


def test_graphs_that_cannot_be_gone_through():
    x = tensorgrad.ones(2, requires_grad=True)
    h = x.exp()
    y = (h * h).sum()
    with tensorgrad.no_grad():
        h += 1
    assert [label.split("|")[0] for label in labels(viz.dot(y))] == ["sum", "mul", "exp", "leaf"]
    y = x.exp().sum()
    y.backward()
    assert labels(viz.dot(y)) == ["freed|()"]
    assert labels(viz.dot(x)) == ["leaf|(2,)"]
    with pytest.raises(GradientError, match="dot"):
        viz.dot(tensorgrad.ones(2))
