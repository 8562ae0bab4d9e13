"""Adam and AdamW against the formula in NumPy, for every flag, and against PyTorch where it is
installed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn, optim
from tensorgrad.errors import ArgumentError

SHAPES = ((3, 4), (5,), (), (7, 100))
STEPS = 6
OPTIONS = [
    dict(lr=0.1, betas=b, eps=e, weight_decay=w, amsgrad=a, maximize=x)
    for b, e, w, a, x in itertools.product(
        ((0.9, 0.999), (0.0, 0.5)), (1e-8, 0.1), (0.0, 0.3), (False, True), (False, True)
    )
]
CLASSES = [optim.Adam, optim.AdamW]


def gradients(step):
    """One for each shape; of falling size, so that amsgrad makes a difference."""
    rng = np.random.default_rng(step)
    return [np.asarray(rng.standard_normal(shape)) * 0.3**step for shape in SHAPES]


def start():
    return [g * 1e3 for g in gradients(9)]


def by_hand(values, options, decoupled, steps=STEPS):
    values = [v.copy() for v in values]
    (b1, b2), lr, decay = options["betas"], options["lr"], options["weight_decay"]
    m, v, top = ([np.zeros_like(x) for x in values] for _ in range(3))
    for t in range(1, steps + 1):
        for i, g in enumerate(gradients(t)):
            g = -g if options["maximize"] else g
            if decoupled:
                values[i] = values[i] * (1 - lr * decay)
            else:
                g = g + decay * values[i]
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            top[i] = np.maximum(top[i], v[i]) if options["amsgrad"] else v[i]
            root = np.sqrt(top[i] / (1 - b2**t)) + options["eps"]
            values[i] = values[i] - lr * (m[i] / (1 - b1**t)) / root
    return values


def run(optimizer, parameters, steps):
    for step in steps:
        for p, g in zip(parameters, gradients(step), strict=True):
            p.grad = tg.tensor(g, dtype=p.dtype)
        optimizer.step()


def parameters_of(values, dtype="float64"):
    return [nn.Parameter(tg.tensor(v, dtype=dtype)) for v in values]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_the_formula(kind, options):
    expected = by_hand(start(), options, kind is optim.AdamW)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-5)):
        parameters = parameters_of(start(), dtype)
        run(kind(parameters, **options), parameters, range(1, STEPS + 1))
        for p, want in zip(parameters, expected, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_pytorch(kind, options):
    torch = pytest.importorskip("torch")
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in start()]
    optimizer = getattr(torch.optim, kind.__name__)(theirs, **options)
    for step in range(1, STEPS + 1):
        for p, g in zip(theirs, gradients(step), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
    ours = parameters_of(start())
    run(kind(ours, **options), ours, range(1, STEPS + 1))
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("kind", CLASSES)
def test_defaults_are_those_of_pytorch(kind):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.optim, kind.__name__)([torch.nn.Parameter(torch.ones(1))])
    ours = kind([nn.Parameter(tg.ones(1))])
    for option, value in ours.param_groups[0].items():
        if option != "params":
            assert value == theirs.param_groups[0][option], option


@pytest.mark.parametrize("amsgrad", [False, True])
def test_the_state_goes_to_pytorch_and_back(amsgrad):
    torch = pytest.importorskip("torch")
    options = dict(lr=0.1, weight_decay=0.2, amsgrad=amsgrad)
    ours = parameters_of(start())
    first = optim.AdamW(ours, **options)
    run(first, ours, (1, 2, 3))
    saved = first.state_dict()
    theirs = [torch.nn.Parameter(torch.tensor(p.detach().numpy())) for p in ours]
    between = torch.optim.AdamW(theirs, **options)
    expected_keys = {"step", "exp_avg", "exp_avg_sq"} | ({"max_exp_avg_sq"} if amsgrad else set())
    assert all(set(values) == expected_keys for values in saved["state"].values())
    between.load_state_dict(
        {
            "param_groups": [
                {**between.state_dict()["param_groups"][0], **saved["param_groups"][0]}
            ],
            "state": {
                i: {k: torch.tensor(v.numpy()) for k, v in values.items()}
                for i, values in saved["state"].items()
            },
        }
    )
    for p, g in zip(theirs, gradients(4), strict=True):
        p.grad = torch.tensor(g)
    between.step()
    last = parameters_of([p.detach().numpy() for p in theirs])
    second = optim.AdamW(last, lr=7.0)
    second.load_state_dict(between.state_dict())
    assert second.param_groups[0]["lr"] == 0.1
    run(second, last, (5, 6))
    run(first, ours, (4, 5, 6))
    for p, q in zip(last, ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_dict_continues_where_it_was(dtype):
    a = parameters_of(start(), dtype)
    first = optim.Adam(a, lr=0.1, amsgrad=True)
    run(first, a, (1, 2, 3))
    b = [nn.Parameter(tg.tensor(p.detach())) for p in a]
    second = optim.Adam(b, lr=0.5)
    second.load_state_dict(first.state_dict())
    run(first, a, (4, 5))
    run(second, b, (4, 5))
    for p, q in zip(a, b, strict=True):
        assert p.detach().numpy().tobytes() == q.detach().numpy().tobytes()
    assert [s["step"].item() for s in second.state.values()] == [5.0] * len(a)


def test_parameters_count_their_own_steps():
    values = start()[:2]
    a, b = parameters_of(values)
    optimizer = optim.Adam([a, b], lr=0.1)
    rng = np.random.default_rng(0)
    kept = []
    for step in range(4):
        kept.append(rng.standard_normal((3, 4)))
        a.grad = tg.tensor(kept[-1])
        b.grad = None if step < 2 else tg.tensor(rng.standard_normal(5))
        if step < 2:
            assert list(optimizer.state_dict()["state"]) == ([0] if step else [])
        optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in (a, b)] == [4.0, 2.0]
    alone = nn.Parameter(tg.tensor(values[0]))
    other = optim.Adam([alone], lr=0.1)
    for g in kept:
        alone.grad = tg.tensor(g)
        other.step()
    assert alone.tolist() == a.tolist()


def test_options_change_between_steps():
    a = nn.Parameter(tg.tensor([1.0, 2.0]))
    optimizer = optim.Adam([a], lr=0.1)
    a.grad = tg.tensor([1.0, 1.0])
    optimizer.step()
    np.testing.assert_allclose(a.detach().numpy(), [0.9, 1.9], rtol=1e-6)
    optimizer.param_groups[0].update(lr=0.0, betas=[0.5, 0.5])
    optimizer.step()
    np.testing.assert_allclose(a.detach().numpy(), [0.9, 1.9], rtol=1e-6)
    np.testing.assert_allclose(optimizer.state[a]["exp_avg"].numpy(), 0.55, rtol=1e-6)
    optimizer.param_groups[0]["betas"][0] = 0.0  # a list may be changed where it is
    optimizer.step()
    np.testing.assert_allclose(optimizer.state[a]["exp_avg"].numpy(), 1.0, rtol=1e-6)
    optimizer.param_groups[0]["amsgrad"] = True
    optimizer.step()
    assert "max_exp_avg_sq" in optimizer.state[a]
    optimizer.param_groups[0].update(amsgrad=False, lr=0.1, weight_decay=1.0)
    optimizer.step()
    assert optimizer.state[a]["step"].item() == 5.0


def test_groups_and_dtypes():
    a, b, c = nn.Parameter(tg.ones(1)), nn.Parameter(np.ones(1)), nn.Parameter(tg.ones(1))
    optimizer = optim.Adam([{"params": [a, b]}, {"params": c, "lr": 0.5}], lr=0.25, eps=0.0)
    for p in (a, b, c):
        p.grad = tg.ones(1, dtype=p.dtype)
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == pytest.approx([0.75, 0.75, 0.5])


def test_averages_of_a_constant_are_that_constant():
    """The weights of an average add up to 1 in the dtype: no drift, however many steps."""
    a = nn.Parameter(tg.zeros(20))
    a.grad = tg.full((20,), 3.0)
    optimizer = optim.Adam([a], lr=0.0)
    for _ in range(20_000):
        optimizer.step()
    np.testing.assert_allclose(optimizer.state[a]["exp_avg"].numpy(), 3.0, rtol=2e-6)
    np.testing.assert_allclose(optimizer.state[a]["exp_avg_sq"].numpy(), 9.0, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adam", "amsgrad", "clip"])
def test_the_same_bits_for_any_number_of_threads(kind, dtype):
    rng = np.random.default_rng(0)
    sizes = [70_001, 3, 1, 64, 40_000, 16_383, 5]  # pieces that begin and end inside an array
    values = [rng.standard_normal(n).astype(dtype) for n in sizes]
    slopes = [rng.standard_normal(n).astype(dtype) for n in sizes]
    found = set()
    before = tg.get_num_threads()
    for threads in (1, 2, 4):
        tg.set_num_threads(threads)
        parameters = parameters_of(values, dtype)
        for p, g in zip(parameters, slopes, strict=True):
            p.grad = tg.tensor(g)
        if kind == "clip":
            norm = nn.utils.clip_grad_norm_(parameters, 1.0)
            found.add((norm.item(), *(p.grad.numpy().tobytes() for p in parameters)))
            continue
        optimizer = {
            "sgd": lambda ps: optim.SGD(ps, lr=0.1),
            "nesterov": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
            "adam": lambda ps: optim.AdamW(ps, lr=0.1),
            "amsgrad": lambda ps: optim.Adam(ps, lr=0.1, amsgrad=True),
        }[kind](parameters)
        for _ in range(3):
            optimizer.step()
        found.add(tuple(p.detach().numpy().tobytes() for p in parameters))
    tg.set_num_threads(before)
    assert len(found) == 1


def test_bad_arguments_are_named():
    p = nn.Parameter(tg.ones(1))
    for option in ("lr", "eps", "weight_decay"):
        for bad in (-0.1, math.nan, "small"):
            with pytest.raises(ArgumentError, match=f"AdamW: .*{option}"):
                optim.AdamW([p], **{option: bad})
    for bad in ((0.9,), (0.9, 1.0), (-0.1, 0.9), 0.9, ("a", "b"), (math.nan, 0.9)):
        with pytest.raises(ArgumentError, match="betas"):
            optim.Adam([p], betas=bad)
    w = nn.Parameter(tg.ones((2, 3)).T)
    w.grad = tg.ones((3, 2))
    optimizer = optim.Adam([w])
    with pytest.raises(ArgumentError, match="contiguous"):
        optimizer.step()


def test_a_step_is_noticed_by_a_backward_that_needs_the_old_values():
    w = nn.Parameter(tg.ones((2, 2)))
    y = ((tg.ones((1, 2), requires_grad=True) @ w) * 1.0).sum()
    w.grad = tg.ones((2, 2))
    optim.AdamW([w]).step()
    with pytest.raises(RuntimeError, match=r"AdamW\.step"):
        y.backward()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm_of_gradients_is_accurate(dtype):
    rng = np.random.default_rng(0)
    slopes = [rng.standard_normal(n).astype(dtype) * 1e3 for n in (50_000, 1, 7, 100_003)]
    if dtype == "float32":
        slopes.append(np.full(33, 3e30, dtype))  # the square of which is no float32
    parameters = parameters_of([np.zeros_like(g) for g in slopes], dtype)
    for p, g in zip(parameters, slopes, strict=True):
        p.grad = tg.tensor(g)
    exact = math.sqrt(math.fsum(float(x) ** 2 for g in slopes for x in g))
    norm = nn.utils.clip_grad_norm_(parameters, 1.0).item()
    assert norm == pytest.approx(exact, rel=1e-7 if dtype == "float32" else 1e-14)
    for p, g in zip(parameters, slopes, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g / exact, rtol=1e-6, atol=1e-40)
