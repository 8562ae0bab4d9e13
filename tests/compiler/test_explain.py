"""explain, profile, trace and dot: what they say. No timings."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest

import tensorgrad
from tensorgrad import nn, optim
from tensorgrad._native import ACTIVATION, BINARY, UNARY
from tensorgrad.autograd import registry
from tensorgrad.compiler._costs import COSTS, cost, moved_bytes
from tensorgrad.compiler._effects import BY_NAME, FUNCTIONS, Data, Pointer
from tensorgrad.compiler._recorder import Buffer, Record
from tensorgrad.errors import ArgumentError, CaptureError


def training(optimizer="SGD", **options):
    tensorgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = getattr(optim, optimizer)(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()

    @tensorgrad.compile(**options)
    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, step


def batch(rows=8):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 20)).astype(np.float32)
    return tensorgrad.tensor(x), tensorgrad.tensor(rng.integers(0, 3, rows))


# ---- costs -----------------------------------------------------------------------------------------


def test_every_function_that_is_recorded_has_a_name_and_a_cost():
    assert [f.name for f in FUNCTIONS if f.name not in COSTS] == []
    assert [name for name in COSTS if name not in BY_NAME] == []


def gemm(flags, m, n, k, bias=False, activation=0):
    a, b, c, row = (Pointer(Buffer("local", 0, 4 * s), 0) for s in (m * k, k * n, m * n, n))
    lda, ldb = (m if flags & 1 else k), (k if flags & 2 else n)
    arguments = [0, flags, m, n, k, a, lda, b, ldb, c, n, row if bias else None, activation]
    return Record(BY_NAME["tg_gemm"], arguments)


def test_a_products_name_says_what_is_transposed_and_what_is_done_with_the_result():
    record = gemm(2, 32, 128, 784, bias=True, activation=ACTIVATION["relu"])
    found = cost(record)
    assert found.kernel == "gemm NT + bias + relu"
    assert found.shapes == "32x128x784"
    assert found.flops == 2 * 32 * 128 * 784 + 2 * 32 * 128
    assert moved_bytes(record) == 4 * (32 * 784 + 784 * 128 + 32 * 128 + 128)
    assert cost(gemm(1, 5, 6, 7)).kernel == "gemm TN"
    assert cost(gemm(4, 5, 6, 7)).kernel == "gemm NN + C"


def test_bytes_that_are_read_and_written_count_twice():
    assert moved_bytes(gemm(4, 5, 6, 7)) == 4 * (5 * 7 + 7 * 6 + 2 * 5 * 6)


def test_an_optimizers_cost_is_that_of_the_parameters_with_a_gradient():
    places = Data(tuple(Pointer(Buffer("local", 0, 400), 0) for _ in range(2)))
    grads = Data((places.words[0], None))
    record = Record(
        BY_NAME["tg_sgd"], [0, 2, Data((10, 20)), places, grads, None, None, None, None], "", []
    )
    assert cost(record)[:3] == ("sgd", "10", 20)


@pytest.mark.parametrize("passes", [(), None], ids=["as recorded", "all passes"])
def test_flops_do_not_depend_on_how_layers_are_written(passes):
    _, _, step = training(passes=passes)
    for _ in range(3):
        step(*batch())
    flops = sum(s.flops for s in step.explain().steps)
    products = 2 * 8 * (2 * 20 * 16 + 3 * 16 * 3)
    assert products < flops < 1.3 * products + 2 * (20 * 16 + 16 + 16 * 3 + 3)


# ---- explain -----------------------------------------------------------------------------------------


def test_explain_names_kernels_lines_and_memory():
    _, _, step = training()
    for _ in range(3):
        step(*batch())
    found = step.explain()
    text = str(found)
    assert repr(found) == text
    assert found.recorded >= 4
    assert found.in_python == []
    assert found.bound <= found.arena <= found.separate
    assert {s.kernel for s in found.steps} >= {"cross_entropy", "sgd"}
    assert all(s.site.startswith("test_explain.py:") for s in found.steps)
    assert any("loss.backward()" in s.site for s in found.steps)
    assert found.guards["argument"] == 2
    assert found.guards["tensor"] == 4
    assert text.startswith(f"step: {len(found.steps)} steps, of {found.recorded} recorded calls")
    for word in ("kernel", "shapes", "bytes", "FLOPs", "line", "memory: ", "guarded: 2 arguments"):
        assert word in text
    assert " time " not in text
    assert len([line for line in text.splitlines() if "test_explain.py" in line]) == len(
        found.steps
    )


def test_explain_without_passes_says_so():
    _, _, step = training(passes=())
    step(*batch())
    assert "passes: none" in str(step.explain())
    assert step.explain().arena == step.explain().separate


def test_explain_is_of_the_program_that_ran_last():
    f = tensorgrad.compile(lambda x: x.exp())
    for n in (3, 3, 3, 5, 5, 5, 3):
        f(tensorgrad.ones(n))
    assert f.explain().steps[0].shapes == "3"


def test_names_of_ops():
    @tensorgrad.compile
    def f(x):
        return (x.exp() * x).sum(axis=1), x.softmax(axis=1), x.argmax(1), x.sort(axis=1)

    f(tensorgrad.ones((3, 4)))
    kernels = {s.kernel for s in f.explain().steps}
    assert {"softmax", "argmax", "sort"} <= kernels
    g = tensorgrad.compile(lambda x: (x.exp() * x).sum(axis=1), passes=())
    g(tensorgrad.ones((3, 4)))
    assert [s.kernel for s in g.explain().steps] == ["unary exp", "binary mul", "reduce sum"]
    assert [s.flops for s in g.explain().steps] == [12, 12, 12]


def test_steps_in_python_are_reported():
    f = tensorgrad.compile(lambda x: tensorgrad.fft.rfft(x.exp()))
    f(tensorgrad.ones(8))
    found = f.explain()
    assert found.in_python
    assert found.steps[found.in_python[0]].kernel.startswith("in Python: ")
    assert "in Python, which is slower: " in str(found)
    times = f.profile(tensorgrad.ones(8), repeats=2)
    assert times.steps[found.in_python[0]].fraction is None


def test_a_custom_op_has_a_name(monkeypatch):
    for table in (registry, UNARY, BINARY):  # put back afterwards
        monkeypatch.setitem(table, "explained_cube", None)
        del table["explained_cube"]
    cube = tensorgrad.ops.elementwise("explained_cube", "x * x * x")
    f = tensorgrad.compile(lambda x: cube(x), passes=())
    f(tensorgrad.ones(4))
    assert f.explain().steps[0].kernel == "unary explained_cube"


@pytest.mark.parametrize("method", ["explain", "dot"])
def test_before_the_first_call_there_is_nothing_to_see(method):
    f = tensorgrad.compile(lambda x: x.exp())
    with pytest.raises(CaptureError, match="has no program yet"):
        getattr(f, method)()


def test_of_a_split_function_the_compiled_part_is_explained():
    @tensorgrad.compile(fallback=True)
    def f(x):
        y = x.exp()
        return y * y.sum().item()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            f(tensorgrad.ones(4))
    assert f.explain().steps[0].kernel == "unary exp"
    assert f.profile(tensorgrad.ones(4), repeats=1).whole is not None


# ---- profile and trace -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_profile_leaves_no_trace_in_memory(name):
    model, _, step = training(name)
    other_model, _, other = training(name)
    x, y = batch()
    for _ in range(3):
        step(x, y)
        other(x, y)
    step.profile(x, y, repeats=3)
    for _ in range(2):
        step(x, y)
        other(x, y)
    for p, q in zip(model.parameters(), other_model.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_profile_puts_back_arguments_and_generators():
    @tensorgrad.compile
    def f(x):
        x.add_(tensorgrad.rand(3))
        return x.sum()

    x = tensorgrad.zeros(3)
    tensorgrad.manual_seed(1)
    for _ in range(3):
        f(x)
    before = x.numpy().copy()
    f.profile(x, repeats=2)
    np.testing.assert_array_equal(x.numpy(), before)
    f(x)
    tensorgrad.manual_seed(1)
    drawn = [tensorgrad.rand(3).numpy() for _ in range(4)]
    expected = np.zeros(3, np.float32)
    for a in drawn:
        expected = expected + a
    np.testing.assert_array_equal(x.numpy(), expected)


def test_profile_adds_times_to_explain():
    _, _, step = training()
    found = step.profile(*batch(), repeats=2)  # calls it until there is a program
    assert found.whole > 0
    assert all(s.seconds > 0 and s.fraction >= 0 for s in found.steps)
    text = str(step.explain())
    for word in ("time", "of limit", "µs", "%", "a run in one call: "):
        assert word in text


def test_profile_refuses_no_repeats():
    with pytest.raises(ArgumentError, match="repeats >= 1"):
        tensorgrad.compile(lambda x: x.exp()).profile(tensorgrad.ones(3), repeats=0)


def test_trace_is_a_file_in_chromes_format(tmp_path):
    _, _, step = training()
    step(*batch())
    with pytest.raises(CaptureError, match="call profile before"):
        step.trace(tmp_path / "trace.json")
    found = step.profile(*batch(), repeats=2)
    step.trace(tmp_path / "trace.json")
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]
    written = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    events = written["traceEvents"]
    assert [e["name"] for e in events] == [s.kernel for s in found.steps]
    end = 0.0
    for event in events:
        assert event["ph"] == "X"
        assert {"pid", "tid", "cat", "args"} <= event.keys()
        assert event["ts"] == pytest.approx(end)
        end = event["ts"] + event["dur"]
        assert event["args"]["line"].startswith("test_explain.py:")


# ---- drawing -----------------------------------------------------------------------------------------


def test_dot_has_every_step_and_connected_buffers():
    _, _, step = training()
    for _ in range(3):
        step(*batch())
    lines = step.dot().splitlines()
    assert lines[0] == "digraph {"
    assert lines[-1] == "}"
    declared = re.compile(r'^  ([kb]\d+) \[label="(?:[^"\\]|\\.)*"(?:, \w+=\w+)*\];$')
    arrow = re.compile(r"^  ([kb]\d+) -> ([kb]\d+);$")
    nodes = [m[1] for line in lines if (m := declared.match(line))]
    arrows = [m.groups() for line in lines if (m := arrow.match(line))]
    assert len(nodes) == len(set(nodes))
    assert len(nodes) + len(arrows) == len(lines) - 3
    assert {n for pair in arrows for n in pair} <= set(nodes)
    assert all(a[0] != b[0] for a, b in arrows)
    assert 'label="model.' in step.dot()  # parameters by their names
    assert sum(n[0] == "k" for n in nodes) == len(step.explain().steps)
