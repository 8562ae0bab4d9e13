"""The quick way through a call: by what it is taken and missed, failures, threads that meet at the gate."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

import tensorgrad
from tensorgrad._native import ffi, lib
from tensorgrad.compiler import _compiled, _quick
from tensorgrad.errors import IndexOutOfRangeError, OutOfMemoryError


def ready(function: Any, *args: Any) -> Any:
    """The function compiled and called until its quick way is open."""
    compiled = tensorgrad.compile(function)
    for _ in range(4):
        compiled(*args)
    assert compiled._quick is not None
    return compiled


@pytest.mark.parametrize("inputs", [0, 1, 4, 5, 7])
@pytest.mark.parametrize("results", [0, 1, 2, 3])
def test_any_number_of_inputs_and_results(inputs: int, results: int) -> None:
    total = tensorgrad.zeros(3)

    def function(*tensors: Any) -> Any:
        total.add_(1.0)
        found = total * 1.0
        for i, t in enumerate(tensors):
            found = found + t * (i + 1.0)
        values = tuple(found * (k + 2.0) for k in range(results))
        return values[0] if results == 1 else values

    expected = function(*(tensorgrad.ones(3) for _ in range(inputs)))
    total.zero_()
    args = [tensorgrad.zeros(3) for _ in range(inputs)]
    compiled = ready(function, *args)
    total.zero_()
    args = [tensorgrad.ones(3) for _ in range(inputs)]
    found = compiled._quick(tuple(args))
    assert found is not _quick.MISSED
    if results == 1:
        found, expected = (found,), (expected,)
    assert len(found) == results
    for a, b in zip(found, expected):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    assert total.tolist() == [1.0] * 3


def test_results_stay_as_they_are() -> None:
    compiled = ready(lambda x: x * 2.0, tensorgrad.zeros(5))
    kept = [compiled(tensorgrad.full((5,), float(i))) for i in range(20)]
    assert [t.tolist() for t in kept] == [[2.0 * i] * 5 for i in range(20)]


@pytest.mark.parametrize("results", [1, 2])
def test_a_failure_is_told_as_by_other_calls(results: int) -> None:
    table = tensorgrad.ones((4, 2))

    def function(i: Any) -> Any:
        row = table[i]
        return row if results == 1 else (row, row + 1.0)

    good, bad = tensorgrad.tensor([1, 3]), tensorgrad.tensor([1, 4])
    compiled = ready(function, good)
    in_use = tensorgrad.memory_stats()["bytes_in_use"]
    for _ in range(3):
        with pytest.raises(IndexOutOfRangeError, match="test_quick.py"):
            compiled._quick((bad,))
    assert tensorgrad.memory_stats()["bytes_in_use"] == in_use
    assert compiled._gate[0] == lib.TG_OPEN
    assert compiled._quick((good,)) is not _quick.MISSED


def test_no_memory_for_the_result() -> None:
    compiled = ready(lambda x: x + 1.0, tensorgrad.zeros(8))
    x = tensorgrad.ones(8)
    c = compiled._last.program.c
    before, c.result_bytes = c.result_bytes, 1 << 60
    with pytest.raises(OutOfMemoryError, match="compiled function"):
        compiled(x)
    c.result_bytes = before
    assert compiled(x).tolist() == [2.0] * 8


def test_a_closed_gate_is_missed_and_opened_again() -> None:
    count = tensorgrad.zeros(())

    def function(x: Any) -> Any:
        count.add_(1.0)
        return x + count

    x = tensorgrad.zeros(2)
    compiled = ready(function, x)
    count.zero_()
    for state in (lib.TG_RUNS, lib.TG_CLOSED):
        compiled._gate[0] = state
        assert compiled._quick((x,)) is _quick.MISSED
    # it is left closed where an interrupt came at the wrong time: the next call goes the other way
    assert compiled(x).tolist() == [1.0, 1.0]
    assert compiled._gate[0] == lib.TG_OPEN
    assert compiled._quick((x,)).tolist() == [2.0, 2.0]


def test_closing_waits_for_the_run_under_way() -> None:
    gate = ffi.new("int32_t *", lib.TG_RUNS)
    closer = threading.Thread(target=lib.tg_gate_close, args=(gate,))
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    assert gate[0] == lib.TG_RUNS
    gate[0] = lib.TG_OPEN
    closer.join(10)
    assert not closer.is_alive()
    assert gate[0] == lib.TG_CLOSED


@pytest.mark.parametrize("results", [1, 2])
def test_calls_of_several_threads_are_made_one_after_another(results: int) -> None:
    """Each adds 1 to what it reads, so that a lost update shows; calls of another shape record anew."""
    total = tensorgrad.zeros(200_000)

    def function(x: Any) -> Any:
        total.add_(x.sum())
        return total * 1.0 if results == 1 else (total * 1.0, total * 2.0)

    compiled = ready(function, tensorgrad.ones(1))
    total.zero_()
    errors: list[Exception] = []

    def work(seed: int) -> None:
        try:
            for i in range(150):
                n = 4 if (seed + i) % 50 == 49 else 1
                found = compiled(tensorgrad.full((n,), 1.0 / n))
                values = (found if results == 1 else found[0]).numpy()
                assert (values == values[0]).all()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    np.testing.assert_array_equal(total.numpy(), np.full(200_000, 450.0, np.float32))


@pytest.mark.parametrize("held", [lib.TG_RUNS, lib.TG_CLOSED])
def test_an_interrupt_before_the_gate_is_closed(held: int, monkeypatch: Any) -> None:
    """A run that another thread makes goes on; what was left closed is opened."""
    compiled = ready(lambda x: x + 1.0, tensorgrad.ones(2))

    class Interrupted:
        def tg_gate_close(self, gate: Any) -> None:
            raise KeyboardInterrupt

    compiled._gate[0] = held
    with monkeypatch.context() as patched:
        patched.setattr(_compiled, "lib", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            compiled(tensorgrad.ones(2))
    assert compiled._gate[0] == (held if held == lib.TG_RUNS else lib.TG_OPEN)
    assert not compiled._lock.locked()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_finds_nothing_held() -> None:
    """It is made while another thread is in a call, which is not there in the child."""
    compiled = ready(lambda x: x * 2.0, tensorgrad.ones(2))
    inside, done = threading.Event(), threading.Event()

    def call() -> None:
        compiled._alone(lambda: (inside.set(), done.wait(60)))

    caller = threading.Thread(target=call)
    caller.start()
    assert inside.wait(60)
    child = os.fork()
    if not child:
        signal.alarm(30)  # it ends the child should that wait
        answers = [compiled(tensorgrad.ones(n)).tolist() for n in (2, 2, 3, 3, 3)]
        os._exit(0 if answers == [[2.0] * n for n in (2, 2, 3, 3, 3)] else 1)
    done.set()
    caller.join()
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert compiled(tensorgrad.ones(2)).tolist() == [2.0, 2.0]
