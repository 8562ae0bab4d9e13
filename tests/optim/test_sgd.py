"""SGD against the formula in NumPy, for every flag, and against PyTorch where it is installed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn, optim

OPTIONS = [
    dict(lr=0.1, momentum=m, dampening=d, weight_decay=w, nesterov=n, maximize=x)
    for m, d, w, n, x in itertools.product(
        (0.0, 0.9), (0.0, 0.3), (0.0, 0.01), (False, True), (False, True)
    )
    if not (n and (m == 0.0 or d != 0.0))
]


def gradients(step):
    rng = np.random.default_rng(step)
    return [rng.standard_normal(shape) for shape in ((3, 4), (5,), (700,))]


def by_hand(values, options, steps=5):
    values = [v.copy() for v in values]
    buffers = [None] * len(values)
    for step in range(steps):
        for i, g in enumerate(gradients(step)):
            g = -g if options["maximize"] else g
            g = g + options["weight_decay"] * values[i]
            if options["momentum"]:
                buffers[i] = (
                    g
                    if buffers[i] is None
                    else options["momentum"] * buffers[i] + (1 - options["dampening"]) * g
                )
                g = g + options["momentum"] * buffers[i] if options["nesterov"] else buffers[i]
            values[i] = values[i] - options["lr"] * g
    return values


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_the_formula(options):
    start = gradients(100)
    parameters = [nn.Parameter(tg.tensor(v)) for v in start]
    optimizer = optim.SGD(parameters, **options)
    for step in range(5):
        optimizer.zero_grad()
        for p, g in zip(parameters, gradients(step), strict=True):
            p.grad = tg.tensor(g)
        optimizer.step()
    for p, expected in zip(parameters, by_hand(start, options), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_pytorch(options):
    torch = pytest.importorskip("torch")
    parameters = [torch.nn.Parameter(torch.tensor(v)) for v in gradients(100)]
    optimizer = torch.optim.SGD(parameters, **options)
    for step in range(5):
        for p, g in zip(parameters, gradients(step), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
    for p, expected in zip(parameters, by_hand(gradients(100), options), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-10)


def test_a_parameter_without_a_gradient_stays():
    a, b = nn.Parameter(tg.ones(2)), nn.Parameter(tg.ones(2))
    optimizer = optim.SGD([a, b], lr=1.0)
    a.grad = tg.ones(2)
    optimizer.step()
    assert (a.tolist(), b.tolist()) == ([0.0, 0.0], [1.0, 1.0])


def test_groups_have_their_own_rates():
    a, b = nn.Parameter(tg.ones(1)), nn.Parameter(tg.ones(1))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    for p in (a, b):
        p.grad = tg.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (pytest.approx(0.9), 0.5)
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert a.item() == pytest.approx(-0.1)


def test_state_dict_continues_where_it_was():
    def run(parameter, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (parameter * parameter).sum().backward()
            optimizer.step()

    a = nn.Parameter(tg.tensor([1.0, 2.0]))
    first = optim.SGD([a], lr=0.1, momentum=0.9)
    run(a, first, 3)
    b = nn.Parameter(tg.tensor(a.detach()))
    second = optim.SGD([b], lr=0.5, momentum=0.9)
    second.load_state_dict(first.state_dict())
    run(a, first, 3)
    run(b, second, 3)
    np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_bad_arguments_are_named():
    p = nn.Parameter(tg.ones(1))
    with pytest.raises(ValueError, match="lr"):
        optim.SGD([p], lr=-1)
    with pytest.raises(ValueError, match="nesterov"):
        optim.SGD([p], lr=0.1, nesterov=True)
    with pytest.raises(ValueError, match="empty|at least one"):
        optim.SGD([], lr=0.1)


def test_a_step_is_noticed_by_a_backward_that_needs_the_old_values():
    w = nn.Parameter(tg.ones((2, 2)))
    y = ((tg.ones((1, 2), requires_grad=True) @ w) * 1.0).sum()
    w.grad = tg.ones((2, 2))
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="SGD.step"):
        y.backward()


def test_clip_grad_norm():
    p, q = nn.Parameter(tg.ones(2)), nn.Parameter(tg.ones(2))
    p.grad, q.grad = tg.tensor([3.0, 0.0]), tg.tensor([0.0, 4.0])
    total = nn.utils.clip_grad_norm_([p, q], 1.0)
    assert float(total) == pytest.approx(5.0)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.0], rtol=1e-5)
    np.testing.assert_allclose(q.grad.numpy(), [0.0, 0.8], rtol=1e-5)
