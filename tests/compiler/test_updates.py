"""Optimizer updates that become one pass over memory: the same bits as one by one, for every optimizer, and
left alone where others would see the difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorgrad
from tensorgrad import nn, optim
from tensorgrad.compiler._compiled import compile as compiled
from tensorgrad.compiler._passes import PASSES

# ---- programs ----------------------------------------------------------------------------------------


def of_groups(make: Callable[..., Any], **others: float) -> Callable[[list[Any]], list[Any]]:
    """Makes one optimizer with weights and biases in two groups."""

    def optimizers(parameters: list[Any]) -> list[Any]:
        weights = [p for p in parameters if p.ndim > 1]
        biases = [p for p in parameters if p.ndim == 1]
        return [make([{"params": weights}, {"params": biases, **others}])]

    return optimizers


OPTIMIZERS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "sgd": lambda p: [optim.SGD(p, lr=0.1)],
    "sgd in groups": of_groups(lambda g: optim.SGD(g, lr=0.1, weight_decay=0.1), lr=0.2),
    "momentum in one group": of_groups(lambda g: optim.SGD(g, lr=0.1, momentum=0.9), momentum=0.0),
    "two of momentum": lambda p: [
        optim.SGD(p[:2], lr=0.1, momentum=0.9, nesterov=True),
        optim.SGD(p[2:], lr=0.05, momentum=0.5),
    ],
    "adamw in groups": of_groups(lambda g: optim.AdamW(g, lr=0.01), weight_decay=0.0),
    "amsgrad in one group": of_groups(lambda g: optim.Adam(g, lr=0.01), amsgrad=True),
    "sgd and adam": lambda p: [optim.SGD(p[:1], lr=0.1), optim.Adam(p[1:], lr=0.01)],
}


def trained(
    passes: Any, kind: str, clips: bool, keep_grads: bool = False
) -> tuple[list[bytes], Any]:
    """Parameters, losses, and gradients that are kept, after some steps with a schedule; and the compiled
    function."""
    tensorgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 5))
    optimizers = OPTIMIZERS[kind](list(model.parameters()))
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5) if clips else loss
        for optimizer in optimizers:
            optimizer.step()
        return loss, norm

    run = step if passes is None else compiled(step, passes=passes, keep_grads=keep_grads)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(7):
        for optimizer in optimizers:
            optimizer.param_groups[-1]["lr"] *= 0.9
        x = tensorgrad.tensor(rng.standard_normal((16, 30)).astype(np.float32))
        found += [t.detach().numpy().tobytes() for t in run(x, tensorgrad.arange(16) % 5)]
        if keep_grads:
            found += [p.grad.numpy().tobytes() for p in model.parameters()]
    found += [p.detach().numpy().tobytes() for p in model.parameters()]
    return found, run


def kernels(run: Any) -> list[str]:
    return [s.kernel for s in run.explain().steps]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("clips", [False, True], ids=["", "clipped"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_has_the_same_bits(kind: str, clips: bool, threads: int) -> None:
    before = tensorgrad.get_num_threads()
    tensorgrad.set_num_threads(threads)
    try:
        for keep_grads in (False, True):
            expected, _ = trained(None, kind, clips, keep_grads)
            for passes in (("updates",), ("lower", "updates", "epilogues"), tuple(PASSES)):
                found, _ = trained(passes, kind, clips, keep_grads)
                assert found == expected, (passes, keep_grads)
    finally:
        tensorgrad.set_num_threads(before)


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind != "sgd and adam"])
def test_a_step_has_one_update_which_scales(kind: str) -> None:
    _, run = trained(tuple(PASSES), kind, True)
    found = kernels(run)
    assert sum(name.startswith(("sgd", "adam")) for name in found) == 1
    assert found[-1].endswith("of scaled gradients")
    assert "multi_scale" not in found


def test_without_the_pass_nothing_is_merged() -> None:
    passes = tuple(name for name in PASSES if name != "updates")
    _, run = trained(passes, "adamw in groups", True)
    found = kernels(run)
    assert found.count("adam") == 2
    assert "multi_scale" in found


def test_gradients_that_are_kept_are_scaled() -> None:
    _, run = trained(tuple(PASSES), "sgd", True, keep_grads=True)
    assert "multi_scale" in kernels(run)


def test_a_gradient_that_is_returned_is_scaled() -> None:
    def weights(compile_it: bool) -> list[bytes]:
        w = tensorgrad.tensor([3.0, 4.0], requires_grad=True)
        v = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
        optimizer = optim.SGD([w, v], lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            ((w * x).exp().sum() + (v * v * x).sum()).backward()
            nn.utils.clip_grad_norm_([w, v], 0.5)
            optimizer.step()
            return w.grad * 1.0

        run: Any = compiled(step) if compile_it else step
        found = [run(tensorgrad.tensor([0.5, float(i)])).numpy().tobytes() for i in range(5)]
        if compile_it:
            scaled = [s for s in run.explain().steps if s.kernel == "multi_scale"]
            assert [s.shapes for s in scaled] == ["2"]  # that of w alone
        return [*found, w.detach().numpy().tobytes(), v.detach().numpy().tobytes()]

    assert weights(True) == weights(False)


def test_a_parameter_that_is_updated_twice_is_updated_twice() -> None:
    def after(compile_it: bool) -> list[float]:
        w = tensorgrad.tensor([3.0, 4.0], requires_grad=True)
        optimizers = [optim.SGD([w], lr=0.1), optim.SGD([w], lr=0.2, weight_decay=0.5)]

        def step(x: Any) -> Any:
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = (w * x).sum()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            return loss

        run: Any = compiled(step) if compile_it else step
        for _ in range(4):
            run(tensorgrad.ones(2))
        return list(w.tolist())

    assert after(True) == after(False)


def test_clipping_needs_no_step_in_python() -> None:
    _, run = trained(("lower", "dead"), "sgd", True)
    assert len(run.explain().in_python) == 1  # the norm that is returned, in float32
