"""Chains of elementwise calls as one call: the bits of the calls one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad
from tensorgrad import get_num_threads, set_num_threads, where
from tensorgrad.compiler import compile

CALLS = 4  # two recordings, two replays

UNARY = {
    "relu": lambda x: x.relu(),
    "tanh": lambda x: x.tanh(),
    "exp": lambda x: (-x * x).exp(),
    "abs": lambda x: x.abs(),
    "sqrt": lambda x: (x * x + 0.5).sqrt(),
    "scaled": lambda x: x * 0.5 + 0.25,
    "sum": lambda x: x * (x.sum() * 0.001 + 1),
    "mean of columns": lambda x: x - x.mean(axis=0),
    "largest of rows": lambda x: x - x.max(axis=-1, keepdims=True),
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (b * b + 1),
    "maximum": lambda a, b: a.maximum(b),
    "where": lambda a, b: where(a > b, a, b * 2),
}
IN_PLACE = {
    "iadd": lambda a, b: a.add_(b),
    "imul": lambda a, b: a.mul_(b),
}
SHAPES = [(1,), (7,), (3, 5), (40, 33), (700, 100), (2, 3, 40), (130, 1030)]


@st.composite
def chains(draw):
    """Steps (name, operands): numbers of values, of which the first four are given."""
    steps = []
    for i in range(draw(st.integers(2, 12))):
        kind = draw(st.sampled_from(["unary", "binary", "binary", "in place"]))
        table = {"unary": UNARY, "binary": BINARY, "in place": IN_PLACE}[kind]
        operands = draw(st.tuples(st.integers(0, 3 + i), st.integers(0, 3 + i)))
        steps.append((draw(st.sampled_from(sorted(table))), operands))
    return steps


def inputs(shape, dtype, seed):
    """A whole array, a row, a column and a single number."""
    rng = np.random.default_rng(seed)
    column = (*shape[:-1], 1)
    return [
        tensorgrad.tensor(rng.standard_normal(s).astype(dtype))
        for s in (shape, shape[-1:], column, (1,))
    ]


def run_chain(steps, given):
    """The last values, two of them and their sums. In place only on what has the full shape, and was
    made on the way or is the first input."""
    values = list(given)
    shape = given[0].shape
    for name, (i, j) in steps:
        a, b = values[i], values[j]
        if name in UNARY:
            values.append(UNARY[name](a))
        elif name in BINARY:
            values.append(BINARY[name](a, b))
        elif (i == 0 or i > 3) and a.shape == shape:
            values.append(IN_PLACE[name](a, b))
        else:
            values.append(a + b)
    return values[-1], values[-2] * 1, values[-1].sum(), values[-1].sum(axis=-1)


def bits(results):
    return [r.detach().numpy().tobytes() for r in results]


def ways(function):
    """The function, as it is, as a program, and with its chains as one call each."""
    return [function, compile(function, passes=()), compile(function, passes=("chains",))]


@given(
    chains(),
    st.sampled_from(SHAPES),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1, 2, 4]),
)
@settings(max_examples=60, deadline=None)
def test_random_chains(steps, shape, dtype, threads):
    before = get_num_threads()
    set_num_threads(threads)
    try:
        eager, plain, fused = ways(lambda *given: run_chain(steps, given))
        for call in range(CALLS):
            given_to = [inputs(shape, dtype, call) for _ in range(3)]
            found = [(bits(f(*g)), bits(g)) for f, g in zip((eager, plain, fused), given_to)]
            assert found[1] == found[0]
            assert found[2] == found[0]
    finally:
        set_num_threads(before)


@given(
    st.lists(st.sampled_from(sorted(UNARY)), min_size=2, max_size=8),
    st.sampled_from(SHAPES),
    st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=30, deadline=None)
def test_gradients(names, shape, dtype):
    def step(x, row):
        x.grad = row.grad = None
        y = x * row
        for name in names:
            y = UNARY[name](y) + row
        loss = y.mean()
        loss.backward()
        return loss

    results = []
    for passes in (None, (), ("chains",)):
        run = step if passes is None else compile(step, passes=passes, keep_grads=True)
        results.append([])
        for call in range(CALLS):
            x, row = inputs(shape, dtype, call)[:2]
            x.requires_grad_(), row.requires_grad_()
            results[-1] += bits([run(x, row), x.grad, row.grad])
    assert results[1] == results[0]
    assert results[2] == results[0]


def records(function, *args):
    """The calls of a function's program."""
    run = compile(function, passes=("chains",), keep_grads=True)
    for _ in range(3):
        run(*args)
    (replay,) = run._replays.values()
    return replay.program.records


def test_a_chain_forward_and_back_is_one_call():
    def step(x):
        x.grad = None
        loss = ((x * 2 + 1).relu() - 0.5).square().sum()
        loss.backward()
        return loss

    x = tensorgrad.randn(100_000, requires_grad=True)
    (only,) = records(step, x)
    assert only.name == "tg_tiles"
    assert {"relu", "relu'", "sum"} <= set(only.note.split())
    stored = [a for a in only.accesses if a.mode != "r"]
    assert {a.buffer.kind for a in stored} == {"result"}


def test_what_another_call_needs_is_stored():
    found = records(lambda x: ((x * 2).exp() + 1).cumsum(axis=0) * 3 + 1, tensorgrad.randn(50))
    assert [r.name for r in found] == ["tg_tiles", "tg_scan", "tg_tiles"]


def test_a_call_in_between_that_needs_the_group_stays_behind_it():
    def function(x):
        y = x * 2
        z = y.cumsum(axis=0)
        return (y + 1) * 3, z + 1

    names = [r.name for r in records(function, tensorgrad.randn(50))]
    assert names == ["tg_tiles", "tg_scan", "tg_binary"]


def test_broadcasting_of_what_the_group_makes_is_no_part_of_it():
    found = records(lambda x: (x * 2 + 1) * (x * 2 + 1)[:1], tensorgrad.randn(50, 4))
    assert [r.name for r in found] == ["tg_tiles", "tg_binary"]


def test_unrelated_calls_are_no_group():
    found = records(lambda a, b: (a * 2, b * 3), tensorgrad.randn(50), tensorgrad.randn(50))
    assert [r.name for r in found] == ["tg_binary", "tg_binary"]


@pytest.mark.parametrize("overlapping", [False, True])
def test_views_of_one_tensor(overlapping):
    def function(x):
        a, b = (x[:40], x[20:60]) if overlapping else (x[:30], x[30:])
        a.add_(1)
        a.mul_(b)
        b.mul_(a)
        return a * b + 1

    run = compile(function, passes=("chains",))
    for seed in range(CALLS):
        x = np.random.default_rng(seed).standard_normal(60)
        one, two = tensorgrad.tensor(x), tensorgrad.tensor(x)
        assert bits([run(one), one]) == bits([function(two), two])


def test_the_same_tensor_given_twice():
    def function(a, b):
        a.mul_(2)
        c = b + 1
        a.add_(c)
        return b * c

    run = compile(function, passes=("chains",))
    for seed in range(CALLS):
        x = np.random.default_rng(seed).standard_normal(60)
        one, two = tensorgrad.tensor(x), tensorgrad.tensor(x)
        assert bits([run(one, one[:]), one]) == bits([function(two, two[:]), two])


def test_results_past_the_caches():
    x = tensorgrad.randn(9_000_001)
    function = lambda x: ((x * 2 + 1).relu(), (x * 2 + 1).relu() * x)  # noqa: E731
    run = compile(function, passes=("chains",))
    for _ in range(3):
        assert bits(run(x)) == bits(function(x))
