"""The allocator and the life of memory, with Python's cyclic collector switched off."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad.errors import ArgumentError, TensorgradError


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def in_use() -> int:
    return tg.memory_stats()["bytes_in_use"]


MEGABYTE = 2**20


def test_memory_is_given_back_at_once() -> None:
    before = in_use()
    t = tg.zeros(MEGABYTE // 4)
    assert in_use() >= before + MEGABYTE
    del t
    assert in_use() == before


def test_a_freed_block_is_used_again() -> None:
    del_me = tg.zeros(MEGABYTE)
    del del_me
    allocations = tg.memory_stats()["system_allocs"]
    for _ in range(100):
        tg.zeros(MEGABYTE)
    assert tg.memory_stats()["system_allocs"] == allocations


def test_the_cache_is_bounded_and_can_be_emptied() -> None:
    limit = tg.memory_stats()["cache_limit"]
    try:
        tg.set_memory_limit(MEGABYTE)
        blocks = [tg.zeros(MEGABYTE // 4) for _ in range(8)]
        del blocks
        assert tg.memory_stats()["bytes_cached"] <= MEGABYTE
        tg.set_memory_limit(0)
        assert tg.memory_stats()["bytes_cached"] == 0
    finally:
        tg.set_memory_limit(limit)
    tg.zeros(MEGABYTE)
    tg.release_memory()
    assert tg.memory_stats()["bytes_cached"] == 0


def test_a_wrong_limit_is_refused() -> None:
    for wrong in (-1, 1.5, "1 GB", None):
        with pytest.raises(ArgumentError, match="expected a number of bytes >= 0"):
            tg.set_memory_limit(wrong)  # type: ignore[arg-type]


GRAPHS: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda x: ((x + 1.0) * x - x / 3.0).sum(),
    "activations": lambda x: x.relu().tanh().sigmoid().exp().sum(),
    "matrices": lambda x: (x @ x.mT).softmax(-1).sum(),
    "views": lambda x: x[1:].reshape(-1).permute_dims((0,)).sum(),
    "gather": lambda x: x[[0, 0, 1]].sum() + x[x.detach() > 0].sum(),
    "in place": lambda x: (x * 1.0).add_(x).mul_(2.0).sum(),
    "several uses": lambda x: (x * x + x.max(0) + x.std()).mean(),
    "joined": lambda x: tg.concat([x, tg.stack([x, x]).sum(0)]).sum(),
    "loss": lambda x: tg.cross_entropy(x, tg.tensor([0, 1, 2, 0])),
}


def assigned(x: Tensor) -> Tensor:
    y = x * 1.0
    y[0] = x[1] * 2.0
    y[y.detach() > 5.0] = 0.0
    return y.sum()


GRAPHS["assignment"] = assigned


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("end", ["backward", "no backward", "second derivative", "retained"])
def test_reference_counting_frees_every_graph(graph: str, end: str) -> None:
    x = tg.tensor(np.random.default_rng(0).standard_normal((4, 4)), requires_grad=True)

    def once() -> None:
        y = GRAPHS[graph](x)
        seen.append(weakref.ref(y._node))  # type: ignore[arg-type]
        if end == "backward":
            y.backward()
        elif end == "retained":
            y.backward(retain_graph=True)
        elif end == "second derivative":
            g = tg.autograd.grad(y, x, create_graph=True)
            if g.requires_grad:
                tg.autograd.grad(g.sum(), x, allow_unused=True)
        x.grad = None

    seen: list[weakref.ref[object]] = []
    once()  # fills what is kept on purpose: layouts, numbers
    before = in_use()
    for _ in range(5):
        once()
    assert in_use() == before
    assert all(node() is None for node in seen)
    assert gc.collect() == 0


def test_errors_leave_nothing_behind() -> None:
    x = tg.ones((3, 4), requires_grad=True)

    def once() -> None:
        for wrong in (lambda: x @ x, lambda: x + tg.ones(5), lambda: x[7], lambda: x.backward()):
            with pytest.raises(TensorgradError):
                wrong()

    once()
    before = in_use()
    for _ in range(10):
        once()
    gc.collect()  # tracebacks refer to frames
    assert in_use() == before


def test_unsaved_inputs_are_not_kept() -> None:
    x = tg.ones(MEGABYTE // 4, requires_grad=True)
    before = in_use()
    y = x + 1.0
    z = y + 1.0  # needs y's shape only
    del y
    assert in_use() - before < 2 * MEGABYTE
    z.sum().backward()


def test_backward_frees_as_it_goes() -> None:
    tg.release_memory()
    x = tg.ones(MEGABYTE // 4, requires_grad=True)
    y = x
    for _ in range(20):
        y = y.exp() * 0.1
    y = y.sum()
    graph = in_use()
    y.backward()
    after = in_use()
    assert graph > 20 * MEGABYTE
    assert after < 4 * MEGABYTE + MEGABYTE  # x, its gradient, and no more than small change


def test_a_view_keeps_its_memory_and_no_more() -> None:
    before = in_use()
    t = tg.zeros(MEGABYTE // 4)
    part = t[:10]
    array = t.numpy()[5:]
    del t
    assert in_use() >= before + MEGABYTE
    del part
    assert in_use() >= before + MEGABYTE
    del array
    assert in_use() == before


def test_an_array_is_let_go_of() -> None:
    array = np.zeros(10)
    gone = weakref.ref(array)
    t = tg.from_numpy(array)
    del array
    assert gone() is not None
    del t
    assert gone() is None


@pytest.mark.parametrize("kind", ["exp", "add", "window", "setitem"])
def test_long_chains_are_freed_without_recursion(kind: str) -> None:
    x = tg.ones(2, requires_grad=True)
    step: dict[str, Callable[[Tensor], Tensor]] = {
        "exp": lambda y: y.tanh(),
        "add": lambda y: y + x,
        "window": lambda y: y[:],
        "setitem": lambda y: (y.__setitem__(0, 1.0), y)[1],
    }
    y = x * 1.0
    for _ in range(100_000):
        y = step[kind](y)
    del y
    y = x * 1.0
    for _ in range(100_000):
        y = step[kind](y)
    y.sum().backward()
    assert x.grad is not None


def test_memory_of_training_is_flat() -> None:
    rng = np.random.default_rng(0)
    weights = [tg.tensor(rng.standard_normal(s), requires_grad=True) for s in [(8, 4), (3, 8)]]
    data, labels = tg.tensor(rng.standard_normal((16, 4))), tg.tensor(rng.integers(0, 3, 16))

    def step() -> None:
        hidden = tg.ops.linear(data, weights[0]).relu()
        tg.cross_entropy(tg.ops.linear(hidden, weights[1]), labels).backward()
        with tg.no_grad():
            for w in weights:
                w -= w.grad * 0.01
                w.grad = None

    for _ in range(10):
        step()
    before = tg.memory_stats()
    objects = len(gc.get_objects())
    for _ in range(10_000):
        step()
    after = tg.memory_stats()
    assert after["bytes_in_use"] == before["bytes_in_use"]
    assert after["system_allocs"] == before["system_allocs"]
    assert abs(len(gc.get_objects()) - objects) < 50
