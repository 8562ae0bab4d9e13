"""Steps that run side by side: only those that have nothing to do with each other, in memory that none of the
others uses, with the bits of steps that run one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest

import tensorgrad
from tensorgrad import nn, optim
from tensorgrad._native import ffi, lib
from tensorgrad.compiler._compiled import compile as compiled
from tensorgrad.compiler._passes import PASSES, _beside
from tensorgrad.compiler._passes._memory import commute
from tensorgrad.compiler._recorder import Record
from tensorgrad.errors import IndexOutOfRangeError

BEFORE = tuple(name for name in PASSES if name != "beside")


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = tensorgrad.get_num_threads()
    yield
    tensorgrad.set_num_threads(before)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if steps alone were so slow that side by side always pays."""
    monkeypatch.setattr(_beside, "_alone", lambda time, threads: 100.0 * time + 1e6)


class Branches(nn.Module):
    def __init__(self, width: int, activation: Callable[[], nn.Module] = nn.Tanh) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(width, width), activation(), nn.Linear(width, 8))
                for _ in range(4)
            ]
        )

    def forward(self, x: Any) -> Any:
        first, *others = [branch(x) for branch in self.branches]
        return sum(others, first)


def trained(
    passes: Any, make: Callable[[], nn.Module], shape: tuple[int, int]
) -> tuple[list[bytes], Any]:
    """Losses and parameters after some steps, and the compiled function."""
    tensorgrad.manual_seed(0)
    model = make()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run: Any = step if passes is None else compiled(step, passes=passes)
    rng = np.random.default_rng(0)
    y = tensorgrad.arange(shape[0]) % 8
    found = []
    for _ in range(6):
        x = tensorgrad.tensor(rng.standard_normal(shape).astype(np.float32))
        found.append(run(x, y).detach().numpy().tobytes())
    return found + [p.detach().numpy().tobytes() for p in model.parameters()], run


def programs(run: Any) -> list[Any]:
    return [replay.program for replay in run._replays.values()]


def lanes_of(program: Any) -> dict[int, dict[int, list[Record]]]:
    """By the group and the id of a lane, its records."""
    found: dict[int, dict[int, list[Record]]] = {}
    for record in program.records:
        if record.lane is not None:
            found.setdefault(record.lane.group, {}).setdefault(id(record.lane), []).append(record)
    return found


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "branches": (lambda: Branches(64), (64, 64)),
    "dropout": (lambda: Branches(48, lambda: nn.Dropout(0.5)), (40, 48)),
    "layers": (
        lambda: nn.Sequential(nn.Linear(90, 70), nn.ReLU(), nn.Linear(70, 30), nn.GELU(), nn.Linear(30, 8)),
        (33, 90),
    ),
    "norms": (lambda: nn.Sequential(nn.Linear(50, 64), nn.LayerNorm(64), nn.Tanh(), nn.Linear(64, 8)), (50, 50)),
}  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("model", MODELS)
def test_training_has_the_same_bits(model: str, threads: int, always: None) -> None:
    tensorgrad.set_num_threads(1)
    expected, _ = trained(None, *MODELS[model])
    tensorgrad.set_num_threads(threads)
    for passes in (("beside",), ("lower", "beside"), ("lower", "beside", "plan"), tuple(PASSES)):
        found, run = trained(passes, *MODELS[model])
        assert found == expected, passes
    assert any(map(lanes_of, programs(run)))


@pytest.mark.parametrize("model", MODELS)
def test_lanes_have_nothing_to_do_with_each_other(model: str, always: None) -> None:
    _, run = trained(tuple(PASSES), *MODELS[model])
    for program in programs(run):
        for lanes in lanes_of(program).values():
            assert 1 < len(lanes) <= lib.TG_MOST_LANES
            for one, other in combinations(lanes.values(), 2):
                assert all(commute(a, b) for a in one for b in other)


def runs(program: Any, lane: list[Record], modes: str) -> list[tuple[int, int]]:
    """The runs of the arena that a lane reads or writes."""
    offsets = program.plan.offsets
    found = []
    for record in lane:
        for access in record.accesses:
            at = offsets.get(id(access.buffer))
            if at is not None and access.mode in modes.split():
                found.append((at + access.begin, at + access.end))
    return found


def assert_apart(program: Any) -> None:
    """Asserts that no lane writes where another one reads or writes."""
    for lanes in lanes_of(program).values():
        for one, other in permutations(lanes.values(), 2):
            for begin, end in runs(program, one, "w rw"):
                assert all(end <= b or e <= begin for b, e in runs(program, other, "r w rw"))


@pytest.mark.parametrize("model", MODELS)
def test_lanes_share_no_memory_of_the_arena(model: str, always: None) -> None:
    _, run = trained(tuple(PASSES), *MODELS[model])
    for program in programs(run):
        assert_apart(program)


def test_a_result_takes_no_place_that_another_lane_reads(always: None) -> None:
    w, v = tensorgrad.randn((64, 64)), tensorgrad.randn((64, 64))

    @compiled
    def f(x: Any) -> Any:
        h = x @ w
        return h @ v @ v, h.exp() @ w  # the last use of h

    for _ in range(3):
        f(tensorgrad.ones((64, 64)))
    (program,) = programs(f)
    assert lanes_of(program)
    assert_apart(program)


@pytest.mark.parametrize("model", MODELS)
def test_the_order_of_what_meets_is_kept(model: str, always: None) -> None:
    _, without = trained(BEFORE, *MODELS[model])
    for replay in without._replays.values():
        before = replay.program.records
        after = _beside.beside(before)
        assert len(after) == len(before)
        place = {id(record.accesses): i for i, record in enumerate(after)}
        places = [place[id(record.accesses)] for record in before]
        for i, j in combinations(range(len(before)), 2):
            assert places[i] < places[j] or commute(before[i], before[j])


def test_branches_are_lanes_and_small_layers_are_not() -> None:
    def kernels_in_lanes(model: nn.Module, width: int) -> list[str]:
        with tensorgrad.no_grad():
            run = compiled(model)
            for _ in range(3):
                run(tensorgrad.ones((64, width)))
        return [s.kernel for s in run.explain().steps if "lane" in s.note]

    # all of the four branches' but one, whose end adds the results of the others
    assert len(kernels_in_lanes(Branches(64), 64)) == 7
    assert (
        kernels_in_lanes(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), 64) == []
    )


def test_what_can_fail_and_what_is_in_python_runs_alone(always: None) -> None:
    table = tensorgrad.randn((20, 64))
    w = [tensorgrad.randn((64, 64)) for _ in range(4)]

    @compiled
    def f(x: Any, index: Any) -> Any:
        rows = table.take(index, 0)
        return (x @ w[0]).tanh(), rows @ w[1], (x @ w[2]).exp(), x.astype("float64").sum()

    x, index = tensorgrad.randn((64, 64)), tensorgrad.arange(20)
    for _ in range(4):
        f(x, index)
    for program in programs(f):
        assert lanes_of(program)
        assert any(record.callback is not None for record in program.records)
        for record in program.records:
            if record.callback is not None or "index" in record.function.parameters:
                assert record.lane is None
    with pytest.raises(IndexOutOfRangeError):
        f(x, index + 1)


def test_threads_may_change_between_runs(always: None) -> None:
    run = compiled(Branches(64))
    x = tensorgrad.randn((64, 64))
    with tensorgrad.no_grad():
        expected = run(x).numpy().tobytes()
        for threads in (1, 2, 3, 2, 1, 4, 2):
            tensorgrad.set_num_threads(threads)
            assert all(run(x).numpy().tobytes() == expected for _ in range(3))


def test_programs_of_several_threads(always: None) -> None:
    tensorgrad.set_num_threads(2)
    expected, _ = trained(None, *MODELS["branches"])
    found: list[Any] = []

    def work() -> None:
        with tensorgrad.no_grad():
            run = compiled(Branches(64))
            x = tensorgrad.ones((64, 64))
            first = run(x).numpy().tobytes()
            found.append(all(run(x).numpy().tobytes() == first for _ in range(200)))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [True] * 3
    assert trained(None, *MODELS["branches"])[0] == expected


def test_a_group_that_makes_no_sense_is_refused() -> None:
    run = compiled(Branches(64))
    with tensorgrad.no_grad():
        for _ in range(3):
            run(tensorgrad.ones((64, 64)))
    (program,) = programs(run)
    group = program.c.groups[0]
    failed, done = ffi.new("int64_t *"), ffi.new("int64_t *")

    def status() -> int:
        return int(lib.tg_program_run(program.c, 0, program.addresses, failed, done))

    assert status() == 0
    for field, value in (("lanes", 0), ("lanes", 17), ("first", -1), ("first", 100)):
        before = getattr(group, field)
        setattr(group, field, value)
        assert status() == lib.TG_BAD_ARGUMENT, (field, value)
        setattr(group, field, before)
    group.ends[group.lanes - 1] += 100
    assert status() == lib.TG_BAD_ARGUMENT


def test_steps_in_lanes_can_be_timed() -> None:
    run = compiled(Branches(64))
    x = tensorgrad.ones((64, 64))
    with tensorgrad.no_grad():
        for _ in range(3):
            run(x)
        assert all(step.seconds is not None for step in run.profile(x, repeats=3).steps)
