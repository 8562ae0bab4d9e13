"""Every pass of the optimizer of programs: what it does to records made by hand, and that training by a
program, with each pass alone and with all, gives the same bits as without and as without compile."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given as given_
from hypothesis import settings
from hypothesis import strategies as st

import tensorgrad
from tensorgrad import nn, optim
from tensorgrad._native import ACTIVATION, BINARY, REDUCE, UNARY, lib
from tensorgrad.compiler._compiled import compile as compiled
from tensorgrad.compiler._effects import BY_NAME, MAX_DIMS, Data, Pointer
from tensorgrad.compiler._passes import PASSES, _epilogues
from tensorgrad.compiler._passes._dead import once, unread, without_copies
from tensorgrad.compiler._passes._epilogues import epilogues
from tensorgrad.compiler._passes._lower import lower
from tensorgrad.compiler._plan import lifetimes, plan_memory
from tensorgrad.compiler._program import Program, number_buffers
from tensorgrad.compiler._recorder import Buffer, Callback, Record

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


def copies(source, target, nbytes, site):
    """A record that copies bytes."""
    words = [0] * (1 + 5 * MAX_DIMS)
    words[0], words[1] = 1, nbytes
    words[1 + MAX_DIMS] = words[1 + 2 * MAX_DIMS] = 1
    return Record(BY_NAME["tg_copy"], (1, source, target, Data(tuple(words))), site)


def trained(
    passes: Any, batch: int, sizes: Any, activation: str, optimizer: str, keep_grads: bool
) -> list[bytes]:
    """What `bits` says of a multilayer perceptron."""

    def make() -> Any:
        layers: list[Any] = []
        for n_in, out in pairwise(sizes):
            layers += [nn.Linear(n_in, out), ACTIVATIONS[activation]()]
        return nn.Sequential(*layers[:-1])

    return bits(make, (batch, sizes[0]), sizes[-1], optimizer, keep_grads, passes)


def bits(
    make: Any, shape: Any, classes: int, optimizer: str, keep_grads: bool, passes: Any
) -> list[bytes]:
    """The bytes of the losses, parameters and gradients of some steps; passes None: without compile."""
    tensorgrad.manual_seed(0)
    model = make()
    parameters = list(model.parameters())
    step = training_step(model, OPTIMIZERS[optimizer](parameters))
    run = step if passes is None else compiled(step, keep_grads=keep_grads, passes=passes)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(5):
        x = tensorgrad.tensor(rng.standard_normal(shape).astype(np.float32))
        y = tensorgrad.tensor(rng.integers(0, classes, shape[0]))
        found.append(run(x, y).detach().numpy().tobytes())
        if keep_grads:
            found += [p.grad.numpy().tobytes() for p in parameters]
    return found + [p.detach().numpy().tobytes() for p in parameters]


def training_step(model: Any, update: Any) -> Any:
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        update.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        update.step()
        return loss

    return step


class Attention(nn.Module):
    """A block of a small transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        h = self.norm(x)
        scores = self.query(h) @ self.key(h).transpose((0, 2, 1)) * 0.2
        return self.out(x + self.drop(scores.softmax(-1) @ self.value(h)).tanh()).mean(1)


def mlp() -> Any:
    return nn.Sequential(
        nn.Linear(64, 200), nn.GELU(), nn.Linear(200, 96), nn.LayerNorm(96), nn.Tanh(), nn.Linear(96, 10)
    )  # fmt: skip


NETWORKS: dict[str, Any] = {
    "mlp": (mlp, (32, 64)),
    "attention": (lambda: Attention(48), (4, 20, 48)),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_networks(network: str) -> None:
    for keep_grads in (False, True):
        expected = bits(*NETWORKS[network], 10, "sgd", keep_grads, None)
        for passes in CHOICES:
            assert bits(*NETWORKS[network], 10, "sgd", keep_grads, passes) == expected, passes


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


# ---- fold --------------------------------------------------------------------------------------------


def test_what_depends_on_numbers_alone_is_computed_once() -> None:
    x, y = numbers(8), numbers(8)
    a, b, c, d = local(8), local(8), local(8), local(8)
    records = [
        unary("fill", 8, a, a, 3.0),
        unary("exp", 8, a, b),
        binary("add", 8, b, given(x), c),
        unary("fill", 8, d, d, 1.0),
        unary("neg", 8, d, d),  # written twice: not a constant
        binary("mul", 8, c, d, given(y)),
    ]
    run(records)
    expected = y.copy()
    found = PASSES["fold"](records)
    assert found[1:] == records[3:5] + found[-1:]
    assert names(found) == ["binary", "unary", "unary", "binary"]
    assert {access.buffer.kind for access in found[0].accesses} == {"constant", "outside", "local"}
    for _ in range(2):
        y[...] = 0
        run(found)
        np.testing.assert_array_equal(y, expected)


def test_parameters_and_results_are_no_constants() -> None:
    x, y = given(numbers(8)), given(numbers(8))
    result = Pointer(Buffer("result", 0, 32), 0)
    records = [unary("fill", 8, result, result, 1.0), unary("exp", 8, x, y)]
    assert PASSES["fold"](records) == records


# ---- plan --------------------------------------------------------------------------------------------


def plan(records: list[Record], share: bool = True) -> Any:
    return plan_memory(records, number_buffers(records), share)


def test_an_elementwise_result_takes_the_place_of_an_input_that_dies() -> None:
    x, y, (a, b, c) = given(numbers(64)), given(numbers(64)), (local(64) for _ in range(3))
    records = [unary("exp", 64, x, a), unary("neg", 64, a, b), binary("mul", 64, b, b, c)]
    records.append(unary("abs", 64, c, y))
    found = plan(records)
    assert found.nbytes == found.bound == 256
    assert len(set(found.offsets.values())) == 1
    apart = plan(records, share=False)
    assert apart.nbytes == apart.separate == 768
    assert len(set(apart.offsets.values())) == 3


def test_an_input_that_is_read_later_keeps_its_place() -> None:
    x, y, (a, b) = given(numbers(64)), given(numbers(64)), (local(64) for _ in range(2))
    records = [unary("exp", 64, x, a), unary("neg", 64, a, b), binary("mul", 64, a, b, y)]
    assert plan(records).nbytes == 512


def layout(shape: Any, *strides: Any) -> Data:
    words = [0] * (1 + 5 * lib.TG_MAX_DIMS)
    words[0] = len(shape)
    for i, row in enumerate((shape, *strides)):
        begin = 1 + i * lib.TG_MAX_DIMS
        words[begin : begin + len(row)] = row
    return Data(tuple(words))


@pytest.mark.parametrize(
    ("second", "in_place"),
    [((8, 1), True), ((1, 8), False)],
    ids=["as it lies", "turned round"],
)
def test_an_input_that_is_read_in_another_order_keeps_its_place(
    second: Any, in_place: bool
) -> None:
    x, y, (a, b) = given(numbers(64)), given(numbers(64)), (local(64) for _ in range(2))
    turned = layout((8, 8), second, (8, 1))
    records = [
        unary("exp", 64, x, a),
        call("tg_binary", BINARY["mul"], F32, 64, a, x, b, turned),
        unary("abs", 64, b, y),
    ]
    assert plan(records).nbytes == (256 if in_place else 512)
    records[1] = call("tg_binary", BINARY["mul"], F32, 64, a, a, b, layout((8, 8), (8, 1), (1, 8)))
    assert plan(records).nbytes == 512


def test_what_a_chain_stores_takes_the_place_of_what_it_has_read() -> None:
    x, y = numbers(4096), numbers(4096)
    a, b, c, d = (local(4096) for _ in range(4))
    size = 4 * 4096
    records = [
        copies(given(x), a, size, ""),
        unary("exp", 4096, a, b),
        binary("mul", 4096, b, given(x), c),
        unary("neg", 4096, a, d),  # a is read once more, after c could have been stored
        binary("add", 4096, c, d, e := local(4096)),
        copies(e, given(y), size, ""),
    ]
    run(records)
    expected = y.copy()
    y[...] = 0
    found = PASSES["chains"](records)
    assert names(found) == ["copy", "tiles", "copy"]
    assert plan(found).nbytes == size
    run(found)
    np.testing.assert_array_equal(y, expected)


def test_a_broadcast_input_keeps_its_place() -> None:
    x, y, a, b = given(numbers(64)), given(numbers(64)), local(8), local(64)
    rows = layout((8, 8), (0, 1), (8, 1))
    records = [
        unary("exp", 8, x, a),
        call("tg_binary", BINARY["mul"], F32, 64, a, x, b, rows),
        unary("abs", 64, b, y),
    ]
    assert plan(records).nbytes == 320


@settings(max_examples=60)
@given_(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30), st.integers(0, 12)), max_size=30)
)
def test_no_two_buffers_meet(buffers: Any) -> None:
    made = [(local(16 * n), first, first + length) for n, first, length in buffers]
    x = given(numbers(1))
    steps: list[list[Any]] = [[] for _ in range(43)]
    for pointer, first, last in made:
        steps[first].append(unary("fill", pointer.buffer.nbytes // 4, pointer, pointer, 0.0))
        steps[last].append(call("tg_reduce", 0, F32, 1, pointer.buffer.nbytes // 4, 1, pointer, x))
    records = [record for step in steps for record in step]
    found = plan(records)
    lives = lifetimes(records, number_buffers(records))
    for i, (one, *_) in enumerate(made):
        for other, *_ in made[:i]:
            a, b = lives[id(one.buffer)], lives[id(other.buffer)]
            if a[0] <= b[1] and b[0] <= a[1]:
                begins = found.offsets[id(one.buffer)], found.offsets[id(other.buffer)]
                ends = begins[0] + one.buffer.nbytes, begins[1] + other.buffer.nbytes
                assert ends[0] <= begins[1] or ends[1] <= begins[0]
    assert found.nbytes >= found.bound


@pytest.mark.parametrize("network", NETWORKS)
def test_the_arena_is_close_to_what_is_needed_at_once(network: str) -> None:
    make, shape = NETWORKS[network]
    model = make()
    run = compiled(training_step(model, OPTIMIZERS["momentum"](list(model.parameters()))))
    x = tensorgrad.tensor(numbers(*shape))
    y = tensorgrad.tensor(RNG.integers(0, 10, shape[0]))
    for _ in range(3):
        run(x, y)
    for replay in run._replays.values():
        found = replay.program.plan
        assert found.nbytes <= 1.1 * found.bound
        assert found.nbytes < found.separate


# ---- epilogues ---------------------------------------------------------------------------------------


def sgd(params: Any, grads: Any, sizes: Any, hyper: Any) -> Record:
    tables = [Data(tuple(words)) for words in (sizes, params, grads)]
    state = Pointer(Buffer("state", hyper.__array_interface__["data"][0], 48, hyper), 0)
    options = Data((state,) * len(sizes))
    return call("tg_sgd", F32, len(sizes), *tables, None, None, None, options)


def product(m: int, n: int, k: int, a: Any, b: Any, c: Any) -> Record:
    return call("tg_gemm", F32, lib.TG_TRANS_A, m, n, k, a, m, b, n, c, n, None, 0)


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all but the smallest parameters were large."""
    monkeypatch.setattr(_epilogues, "SMALLEST", 64)
    monkeypatch.setattr(_epilogues, "FEWEST_ROWS", 16)
    monkeypatch.setattr(_epilogues, "_CACHE", 1 << 12)


@pytest.mark.usefixtures("small_cache")
def test_an_update_follows_its_gradient_some_rows_at_a_time() -> None:
    m, n, k = 70, 40, 9
    a, b, w, v, y = numbers(k, m), numbers(k, n), numbers(m, n), numbers(4), numbers(2, n)
    gw, gv = local(m * n), local(4)
    hyper = np.array([0.1, 0, 0, 0.01, 0, 0])
    weight = given(w)
    records = [
        unary("exp", 4, given(v), gv),
        product(m, n, k, given(a), given(b), gw),
        product(2, n, 35, given(numbers(35, 2)), weight, given(y)),  # reads the old value
        unary("neg", 2 * n, given(y), given(y)),
        sgd([given(v), weight], [gv, gw], [4, m * n], hyper),
    ]
    before = w.copy(), v.copy()
    run(records)
    expected = w.copy(), v.copy(), y.copy()
    w[...], v[...], y[...] = *before, 0
    found = epilogues(records)
    assert names(found) == ["unary", "gemm", *["gemm", "sgd"] * 5, "unary", "sgd"]
    assert [r.argument("m") for r in found[2:12:2]] == [8, 16, 16, 16, 14]
    run(found)
    for array, wanted in zip((w, v, y), expected):
        np.testing.assert_array_equal(array, wanted)
    assert Program(found, []).plan.nbytes < Program(records, []).plan.nbytes


@pytest.mark.usefixtures("small_cache")
@pytest.mark.parametrize("why", ["read again", "written twice", "the parameter is a factor"])
def test_an_update_stays_where_it_must(why: str) -> None:
    m, n, k = 70, 40, 9
    w = given(numbers(m, n))
    a, b = given(numbers(k, m)), w if why == "the parameter is a factor" else given(numbers(k, n))
    gw = local(m * n)
    between: list[Record] = []
    if why == "read again":
        between = [unary("neg", 4, gw, given(numbers(4)))]
    elif why == "written twice":
        between = [unary("neg", 4, w, gw)]
    update = sgd([w], [gw], [m * n], np.zeros(6))
    records = [product(m, n, k, a, b, gw), *between, update]
    assert names(epilogues(records)) == names(records)


@pytest.mark.usefixtures("small_cache")
def test_an_update_does_not_pass_a_step_that_may_set_its_learning_rate() -> None:
    w, gw = given(numbers(70, 40)), local(70 * 40)
    records = [
        product(70, 40, 9, given(numbers(9, 70)), given(numbers(9, 40)), gw),
        Record(BY_NAME["tg_call_back"], (None, 0), "", [], Callback("lr", [], print, 0)),
        sgd([w], [gw], [70 * 40], np.zeros(6)),
    ]
    found = names(epilogues(records))
    assert found.index("call_back") < found.index("sgd")


@pytest.mark.usefixtures("small_cache")
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_with_epilogues(optimizer: str, threads: int) -> None:
    before = tensorgrad.get_num_threads()
    tensorgrad.set_num_threads(threads)
    try:
        for batch, sizes in ((1, (70, 90, 50, 10)), (9, (70, 90, 50, 10)), (40, (64, 33, 21))):
            for keep_grads in (False, True):
                arguments = batch, sizes, "relu", optimizer, keep_grads
                expected = trained(None, *arguments)
                for passes in (("lower", "epilogues"), tuple(PASSES)):
                    assert trained(passes, *arguments) == expected, (passes, *arguments)
    finally:
        tensorgrad.set_num_threads(before)


@pytest.mark.usefixtures("small_cache")
def test_an_input_that_is_a_parameter_is_read_before_it_is_updated() -> None:
    weights = []
    for passes in (None, tuple(PASSES)):
        tensorgrad.manual_seed(0)
        model = nn.Sequential(nn.Linear(40, 70), nn.ReLU(), nn.Linear(70, 10))
        step = training_step(model, optim.SGD(list(model.parameters()), lr=0.5))
        run = step if passes is None else compiled(step, passes=passes)
        x = tensorgrad.tensor(np.random.default_rng(2).standard_normal((70, 40)).astype(np.float32))
        y = tensorgrad.tensor(np.arange(70) % 10)
        for given_x in (x, x, x, model[0].weight.detach(), x, model[0].weight.detach(), x):
            run(given_x, y)
        weights.append([p.detach().numpy().tobytes() for p in model.parameters()])
    assert weights[0] == weights[1]


_ = REDUCE
