"""Every pass of the optimizer of programs: what it does to records made by hand, and that training by a
program, with each pass alone and with all, gives the same bits as without and as without compile."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tensorgrad
from tensorgrad import nn, optim
from tensorgrad._native import ACTIVATION, BINARY, REDUCE, UNARY, lib
from tensorgrad.compiler._compiled import compile as compiled
from tensorgrad.compiler._effects import BY_NAME, Data, Pointer
from tensorgrad.compiler._passes import PASSES
from tensorgrad.compiler._passes._dead import once, unread, without_copies
from tensorgrad.compiler._passes._lower import lower
from tensorgrad.compiler._program import Program, copies
from tensorgrad.compiler._recorder import Buffer, Record

F32 = 0
RNG = np.random.default_rng(0)

# ---- training ----------------------------------------------------------------------------------------

SIZES = [
    (1, (4, 16, 3)), (32, (64, 32, 10)), (7, (5, 1, 2)), (32, (784, 128, 10)), (64, (200, 256, 128, 10)),
    (130, (300, 520, 10)),
]  # fmt: skip
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05),
    "decay": lambda p: optim.SGD(p, lr=0.05, weight_decay=0.01),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
}
CHOICES: list[Any] = [(), *[(name,) for name in PASSES], tuple(PASSES)]


def trained(
    passes: Any,
    batch: int,
    sizes: Any,
    activation: str,
    optimizer: str,
    keep_grads: bool,
    steps: int = 5,
) -> list[bytes]:
    """The bytes of the losses, parameters and gradients of some steps; passes None: without compile."""
    tensorgrad.manual_seed(0)
    layers: list[Any] = []
    for n_in, out in pairwise(sizes):
        layers += [nn.Linear(n_in, out), ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers[:-1])
    parameters = list(model.parameters())
    update = OPTIMIZERS[optimizer](parameters)
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        update.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        update.step()
        return loss

    run = step if passes is None else compiled(step, keep_grads=keep_grads, passes=passes)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(steps):
        x = tensorgrad.tensor(rng.standard_normal((batch, sizes[0])).astype(np.float32))
        y = tensorgrad.tensor(rng.integers(0, sizes[-1], batch))
        found.append(run(x, y).detach().numpy().tobytes())
        if keep_grads:
            found += [p.grad.numpy().tobytes() for p in parameters]
    return found + [p.detach().numpy().tobytes() for p in parameters]


@pytest.mark.parametrize("keep_grads", [False, True])
@pytest.mark.parametrize(("batch", "sizes"), SIZES)
def test_sizes(batch: int, sizes: Any, keep_grads: bool) -> None:
    expected = trained(None, batch, sizes, "relu", "sgd", keep_grads)
    for passes in CHOICES:
        assert trained(passes, batch, sizes, "relu", "sgd", keep_grads) == expected, passes


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_optimizers_and_activations(activation: str, optimizer: str) -> None:
    for keep_grads in (False, True):
        expected = trained(None, 16, (20, 40, 24, 10), activation, optimizer, keep_grads)
        for passes in CHOICES:
            found = trained(passes, 16, (20, 40, 24, 10), activation, optimizer, keep_grads)
            assert found == expected, (passes, keep_grads)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads(threads: int) -> None:
    before = tensorgrad.get_num_threads()
    expected = trained(None, 64, (200, 256, 128, 10), "tanh", "sgd", False)
    tensorgrad.set_num_threads(threads)
    try:
        for passes in CHOICES:
            assert trained(passes, 64, (200, 256, 128, 10), "tanh", "sgd", False) == expected, (
                passes
            )
    finally:
        tensorgrad.set_num_threads(before)


# ---- records by hand ---------------------------------------------------------------------------------


def given(array: Any) -> Pointer:
    """Memory that existed before."""
    address = array.__array_interface__["data"][0]
    return Pointer(Buffer("outside", address, array.nbytes, array), 0)


def local(n: int) -> Pointer:
    """Memory of the program's own for n float32."""
    return Pointer(Buffer("local", 0, 4 * n), 0)


def call(name: str, *arguments: Any) -> Record:
    return Record(BY_NAME[name], arguments)


def unary(op: str, n: int, x: Any, y: Any, p0: float = 0.0) -> Record:
    return call("tg_unary", UNARY[op], F32, n, x, y, p0, 0.0)


def binary(op: str, n: int, a: Any, b: Any, y: Any) -> Record:
    return call("tg_binary", BINARY[op], F32, n, a, b, y, None)


def names(records: list[Record]) -> list[str]:
    return [record.name.removeprefix("tg_") for record in records]


def run(records: list[Record]) -> None:
    Program(records, []).run()


def numbers(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


# ---- lower -------------------------------------------------------------------------------------------


def layer(activation: str, n_in: int, out: int, w: Any, bias: Any) -> list[Any]:
    return [ACTIVATION[activation], n_in, out, w, bias]


def test_lower_writes_out_a_layer_and_its_gradients() -> None:
    arrays = [
        numbers(*shape) for shape in ((6, 5), (4, 5), (4,), (6, 4), (6, 4), (6, 5), (4, 5), (4,))
    ]
    x, w, bias, y, gy, gx, gw, gb = map(given, arrays)
    records = [
        call("tg_linear", F32, ACTIVATION["tanh"], 6, 5, 4, x, w, bias, y),
        call("tg_linear_grad", F32, ACTIVATION["tanh"], 6, 5, 4, gy, y, x, w, gx, gw, gb),
    ]
    run(records)
    expected = [array.copy() for array in arrays]
    for array in arrays[5:]:
        array[...] = 0
    lowered = lower(records)
    assert names(lowered) == ["gemm", "unary_grad", "reduce", "gemm", "gemm"]
    run(lowered)
    for array, wanted in zip(arrays, expected):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize(
    "wants", [(1, 1, 1, 1, 1), (0, 1, 1, 1, 1), (0, 0, 0, 1, 1), (0, 0, 0, 0, 1), (1, 0, 0, 0, 0)]
)
def test_lower_writes_out_a_chain_and_what_is_wanted_of_its_gradients(wants: Any) -> None:
    x, w0, b0, w1, b1, gy = (numbers(*s) for s in ((6, 5), (20, 5), (20,), (3, 20), (3,), (6, 3)))
    y, gx, g0, gb0, g1, gb1 = (np.zeros_like(a) for a in (gy, x, w0, b0, w1, b1))
    outputs = [gx, g0, gb0, g1, gb1]
    pointers = [given(a) if wanted else None for a, wanted in zip(outputs, wants)]
    hidden, out = local(6 * 20 + 16), given(y)
    layers = Data(
        (
            *layer("relu", 5, 20, given(w0), given(b0)),
            *layer("sigmoid", 20, 3, given(w1), given(b1)),
        )
    )
    records = [
        call("tg_linear_chain", F32, 6, 2, layers, given(x), hidden, out),
        call(
            "tg_linear_chain_grad", F32, 6, 2, layers, given(x), hidden, out, given(gy), pointers[0],
            Data(tuple(pointers[1:])),
        ),
    ]  # fmt: skip
    run(records)
    expected = [a.copy() for a in (y, *outputs)]
    for a in (y, *outputs):
        a[...] = 0
    lowered = lower(records)
    assert not any("linear" in name for name in names(lowered))
    run(lowered)
    for array, wanted in zip((y, *outputs), expected):
        np.testing.assert_array_equal(array, wanted)


# ---- dead --------------------------------------------------------------------------------------------


def test_what_nobody_reads_is_not_computed() -> None:
    x, y = given(numbers(8)), given(numbers(8))
    unused, half, used = local(8), local(8), local(8)
    records = [
        unary("exp", 8, x, unused),
        unary("neg", 8, unused, unused),  # in place, of what nobody reads
        unary("exp", 8, x, used),
        unary("neg", 4, x, Pointer(half.buffer, 0)),
        unary("abs", 8, x, half),  # over all of it: what was there is not needed
        binary("add", 8, used, half, y),
    ]
    assert unread(records) == [records[2], records[4], records[5]]


def test_a_part_that_is_written_over_leaves_the_rest_needed() -> None:
    x, y, a = given(numbers(8)), given(numbers(8)), local(8)
    records = [
        unary("exp", 8, x, a),
        unary("neg", 4, x, Pointer(a.buffer, 16)),
        unary("abs", 8, a, y),
    ]
    assert unread(records) == records


def test_work_done_twice_is_done_once() -> None:
    x, y, z = numbers(8), numbers(8), numbers(8)
    px, a, b, c, d = given(x), local(8), local(8), local(8), local(8)
    records = [
        unary("exp", 8, px, a),
        unary("exp", 8, px, b),
        unary("neg", 8, a, c),
        unary("neg", 8, b, d),
        binary("add", 8, c, d, given(y)),
        unary("exp", 8, px, px),
        unary("exp", 8, px, given(z)),
    ]
    found = once(records)
    assert names(found) == ["unary", "unary", "binary", "unary", "unary"]
    before = x.copy()
    run(records)
    expected = x.copy(), y.copy(), z.copy()
    x[...] = before
    run(found)
    for array, wanted in zip((x, y, z), expected):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("between", ["input", "result"])
def test_work_is_done_again_where_memory_changed(between: str) -> None:
    px, y, a, b = given(numbers(8)), given(numbers(8)), local(8), local(8)
    change = px if between == "input" else a
    records = [unary("exp", 8, px, a), unary("neg", 8, change, change)]
    records += [unary("exp", 8, px, b), binary("add", 8, a, b, y)]
    assert once(records) == records


def test_a_result_that_changes_before_it_is_read_is_computed_again() -> None:
    px, y = given(numbers(8)), given(numbers(8))
    b, c = local(8), local(8)
    first = Pointer(Buffer("local", 0, 32), 0)
    records = [
        unary("exp", 8, px, first),
        unary("exp", 8, px, b),
        unary("neg", 8, first, first),
        unary("neg", 8, b, c),
        binary("add", 8, first, c, y),
    ]
    assert once(records) == records


def test_random_numbers_and_what_can_fail_stay() -> None:
    generator = Pointer(Buffer("state", 0, 16), 0)
    index, x = given(np.zeros(2, np.int64)), given(numbers(2, 4))
    records = [
        call("tg_random", 0, F32, 8, 0.0, 1.0, generator, local(8)),
        call("tg_random", 0, F32, 8, 0.0, 1.0, generator, local(8)),
        call("tg_take", 4, 1, 2, 4, 2, index, x, local(8)),
    ]
    assert PASSES["dead"](records) == records


def test_a_copy_of_a_copy_is_read_from_the_first() -> None:
    x, y = numbers(8), numbers(8)
    a, b = local(8), local(8)
    records = [
        copies(given(x), a, 32, ""),
        copies(a, b, 32, ""),
        unary("exp", 8, b, given(y)),
    ]
    found = without_copies(records)
    assert names(found) == ["unary"]
    run(found)
    run([unary("exp", 8, given(x), given(z := numbers(8)))])
    np.testing.assert_array_equal(y, z)


def test_a_copy_of_what_changes_stays() -> None:
    x, a, y = given(numbers(8)), local(8), given(numbers(8))
    records = [copies(x, a, 32, ""), unary("neg", 8, x, x), unary("exp", 8, a, y)]
    assert without_copies(records) == records


_ = (REDUCE, lib)
