"""compile(fallback=True): what cannot be recorded, and what follows, runs eagerly."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tensorgrad
from tensorgrad import nn, optim
from tensorgrad.errors import CaptureError


def network():
    tensorgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), nn.CrossEntropyLoss()


def data(n):
    rng = np.random.default_rng(n)
    x = tensorgrad.tensor(rng.standard_normal((5, 4)).astype(np.float32))
    return x, tensorgrad.tensor(rng.integers(0, 3, 5))


def compare(build, calls=6):
    """The function eager and compiled, call by call. Returns the compiled one."""
    (eager, seen), (function, compiled_seen) = build(), build()
    compiled = tensorgrad.compile(function, fallback=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(calls):
            assert eager(*data(i)) == compiled(*data(i))
    assert seen == compiled_seen
    return compiled


def test_a_read_at_the_end_leaves_the_step_compiled():
    def build():
        model, optimizer, criterion = network()
        log = []

        def step(x, y, scale=2):
            optimizer.zero_grad()
            loss = criterion(model(x) * scale, y)
            loss.backward()
            optimizer.step()
            if loss.item() < 10:
                log.append(loss.item())
            return loss.item()

        return step, log

    compiled = compare(build)
    first, rest = compiled._parts
    assert isinstance(first, tensorgrad.compiler.Compiled)
    assert [r.confirmed for r in first._replays.values()] == [True]
    assert rest is not None


def test_what_needs_the_graph_runs_eagerly_as_a_whole():
    def build():
        model, optimizer, criterion = network()

        def step(x, y):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            if loss.item() > 0:
                loss.backward()
            optimizer.step()
            return loss.item()

        return step, None

    assert compare(build)._parts[1] is None


def test_values_in_the_first_statement():
    def build():
        def first(x, y):
            total = x.sum().item()
            return (x * total).sum().item()

        return first, None

    assert compare(build)._parts[1] is None


def test_shapes_that_depend_on_values():
    def build():
        def positive(x, y):
            doubled = x * 2 + 1
            chosen = doubled[doubled > 0]
            return chosen.sum().item(), chosen.size

        return positive, None

    compiled = compare(build)
    assert compiled._parts[1] is not None


def test_it_is_said_once_and_where():
    @tensorgrad.compile(fallback=True)
    def step(x):
        y = x.exp()
        return y.sum().item()

    with pytest.warns(UserWarning, match=r"item\(\).*test_fallback.py.*what follows runs eagerly"):
        step(tensorgrad.ones(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(tensorgrad.ones(3))


def test_without_it_the_error_says_what_to_do():
    @tensorgrad.compile
    def step(x):
        return x.sum().item()

    with pytest.raises(
        CaptureError, match=r"item\(\) reads values.*test_fallback.py.*fallback=True"
    ):
        step(tensorgrad.ones(3))


def test_lines_of_errors_are_those_of_the_source():
    @tensorgrad.compile(fallback=True)
    def step(x):
        y = x.exp()
        value = y.sum().item()
        raise ValueError(value)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            with pytest.raises(ValueError, match="3") as caught:
                step(tensorgrad.zeros(3))
            line = caught.traceback[-1].lineno
            assert (
                "raise ValueError"
                in caught.traceback[-1].frame.code.path.read_text().splitlines()[line]
            )
