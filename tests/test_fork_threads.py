"""Forks, Python threads, kernel threads and instruction sets."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad._native import ffi, lib
from tensorgrad.autograd import Case, registry
from tensorgrad.errors import ArgumentError
from tensorgrad.testing import assert_close, sample_inputs

# Python 3.12 and later warn of every fork of a process that has threads
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

SECONDS = 60  # what a hang is, on however busy a machine


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = tg.get_num_threads()
    tg.set_num_threads(2)
    yield
    tg.set_num_threads(before)


def train() -> float:
    """Work that is split among threads, through every large family."""
    x = tg.tensor(np.linspace(-1.0, 1.0, 512 * 512).reshape(512, 512), requires_grad=True)
    loss = ((x @ x).tanh().softmax(-1) * x).sum()
    loss.backward()
    assert x.grad is not None
    return loss.item() + x.grad.sum().item()


def in_child(function: Callable[[], object]) -> None:
    """Runs the function in a forked child; fails if it raises, or has not ended in time."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os.write(writer, b"x")
            os._exit(status)
    os.close(writer)
    ended, _, _ = select.select([reader], [], [], SECONDS)
    os.close(reader)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert ended, "the child hangs"
    assert os.waitstatus_to_exitcode(status) == 0


def expect(value: float) -> Callable[[], None]:
    def check() -> None:
        assert train() == value

    return check


@pytest.mark.usefixtures("two_threads")
def test_a_forked_child_computes() -> None:
    expected = train()
    in_child(expect(expected))
    assert train() == expected  # and so does the parent, afterwards


@pytest.mark.usefixtures("two_threads")
def test_a_fork_of_a_fork_computes() -> None:
    expected = train()

    def nested() -> None:
        assert train() == expected
        in_child(expect(expected))

    in_child(nested)


@pytest.mark.usefixtures("two_threads")
def test_a_child_may_change_the_number_of_threads() -> None:
    expected = train()

    def change() -> None:
        for n in (1, 3, 2):
            tg.set_num_threads(n)
            assert train() == expected

    in_child(change)


@pytest.mark.usefixtures("two_threads")
def test_a_fork_while_another_thread_computes() -> None:
    expected = train()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            train()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(3):
            in_child(expect(expected))
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("two_threads")
def test_python_threads_compute_at_once() -> None:
    arrays = [np.random.default_rng(i).standard_normal((200, 200)) for i in range(4)]
    wrong: list[int] = []

    def work(i: int) -> None:
        t = tg.tensor(arrays[i], requires_grad=True)
        expected = None
        for _ in range(20):
            t.grad = None
            (t @ t).exp().sum().backward()
            assert t.grad is not None
            expected = t.grad.numpy().tobytes() if expected is None else expected
            product = (t @ t).detach().numpy()
            if t.grad.numpy().tobytes() != expected or not np.allclose(
                product, arrays[i] @ arrays[i]
            ):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(arrays))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_number_of_threads_is_checked() -> None:
    before = tg.get_num_threads()
    for wrong in (0, -1, 257, 2**40, -(2**40), 1.5, "2", None):
        with pytest.raises(ArgumentError, match="expected an integer from 1 to 256"):
            tg.set_num_threads(wrong)  # type: ignore[arg-type]
    assert tg.get_num_threads() == before


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TENSORGRAD_NUM_THREADS", "many", "expected an integer from 1 to 256, got 'many'"),
        ("TENSORGRAD_NUM_THREADS", "0", "expected an integer from 1 to 256, got"),
        ("TENSORGRAD_NUM_THREADS", "1.5", "expected an integer from 1 to 256, got"),
        ("TENSORGRAD_NUM_THREADS", "1000", "expected an integer from 1 to 256, got"),
        ("TENSORGRAD_ISA", "mmx", "baseline on this machine, got 'mmx'"),
    ],
)
def test_wrong_settings_are_named(variable: str, value: str, message: str) -> None:
    result = run("import tensorgrad", **{variable: value})
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"tensorgrad.errors.ArgumentError: {variable}")
    assert message in last


def test_settings_of_the_environment() -> None:
    code = "import tensorgrad as t; print(t.get_num_threads()); t.show_config()"
    result = run(code, TENSORGRAD_NUM_THREADS="3", TENSORGRAD_ISA="baseline")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("3\n")
    assert "baseline (available" in result.stdout
    assert run(code, TENSORGRAD_NUM_THREADS="", TENSORGRAD_ISA="").returncode == 0


# ---- instruction sets ----------------------------------------------------------------------------


def isas() -> list[str]:
    names = []
    while (name := lib.tg_isa_available(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


@pytest.fixture(params=[name for name in isas() if name != "baseline"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = ffi.string(lib.tg_isa())
    yield request.param
    lib.tg_select_isa(before)


def results(name: str, case: Case, dtype: str) -> list[np.ndarray]:
    """The results of an op, one or several, and its gradients, on the table in use."""
    op = registry[name]
    inputs = [
        None
        if array is None
        else tg.tensor(array).requires_grad_(op.differentiable and array.dtype.kind == "f")
        for array in sample_inputs(case, dtype)
    ]
    result = op.function(*inputs, **case.params)
    ys = list(result) if isinstance(result, tuple) else [result]
    found = [y.detach().numpy() for y in ys]
    leaves = [x for x in inputs if x is not None and x.requires_grad]
    if ys := [y for y in ys if y.requires_grad]:
        upstream = [np.ones(y.shape, y.dtype) for y in ys]
        gradients = tg.autograd.grad(ys, leaves, upstream, allow_unused=True)
        found += [g.detach().numpy() for g in gradients if g is not None]
    return found


LONG = {"unary": [(1003,)], "binary": [(17, 59), (59,)]}


@pytest.mark.parametrize("name", [n for n, op in registry.items() if op.cases and op.kernel == "C"])
def test_tables_agree(name: str, isa: str) -> None:
    op = registry[name]
    cases = list(op.cases)
    if op.family in LONG:
        first = op.cases[0]
        bounds = {"low": first.low, "high": first.high, "avoid": first.avoid}
        cases.append(Case(*LONG[op.family], **bounds, margin=first.margin, **first.params))
    for case in cases:
        for dtype, rtol in (("float32", 1e-5), ("float64", 1e-12)):
            lib.tg_select_isa(b"baseline")
            expected = results(name, case, dtype)
            lib.tg_select_isa(isa.encode())
            for i, (got, want) in enumerate(zip(results(name, case, dtype), expected, strict=True)):
                what = f"{name}, {case!r}, {dtype}, {isa}, array {i}"
                assert_close(got, want, rtol=rtol, atol=rtol, what=what)


def test_large_products_agree(isa: str) -> None:
    for dtype, rtol in (("float32", 1e-4), ("float64", 1e-11)):
        case = Case((301, 257), (257, 515))
        lib.tg_select_isa(b"baseline")
        expected = results("matmul", case, dtype)
        lib.tg_select_isa(isa.encode())
        for got, want in zip(results("matmul", case, dtype), expected, strict=True):
            assert_close(got, want, rtol=rtol, atol=20 * rtol)
