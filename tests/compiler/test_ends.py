"""Elementwise calls as the ends of products: which calls become one, and that the bits are those of the calls
one by one."""

from __future__ import annotations

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
from tensorgrad.compiler._costs import cost
from tensorgrad.compiler._effects import BY_NAME, MAX_DIMS, Data, Pointer, ends_of
from tensorgrad.compiler._passes import PASSES, _ends
from tensorgrad.compiler._passes._ends import MOST_ENDS, ends
from tensorgrad.compiler._program import Program
from tensorgrad.compiler._recorder import Buffer, Record

F32 = 0
M, N, K = 6, 10, 7
SIZE = M * N
RNG = np.random.default_rng(0)


def numbers(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def given(array: Any) -> Pointer:
    """Memory that existed before."""
    address = array.__array_interface__["data"][0]
    return Pointer(Buffer("outside", address, array.nbytes, array), 0)


def local(n: int = SIZE) -> Pointer:
    """Memory of the program's own for n float32."""
    return Pointer(Buffer("local", 0, 4 * n), 0)


def call(name: str, *arguments: Any) -> Record:
    return Record(BY_NAME[name], arguments)


def unary(op: str, x: Any, y: Any, n: int = SIZE) -> Record:
    return call("tg_unary", UNARY[op], F32, n, x, y, 0.5, 0.0)


def unary_grad(op: str, gy: Any, s: Any, gx: Any) -> Record:
    return call("tg_unary_grad", UNARY[op], F32, SIZE, gy, s, gx, 0.5, 0.0)


def binary(op: str, a: Any, b: Any, y: Any, layout: Any = None) -> Record:
    return call("tg_binary", BINARY[op], F32, SIZE, a, b, y, layout)


def product(c: Any, a: Any = None, b: Any = None, activation: str = "none") -> Record:
    a, b = a or given(numbers(M, K)), b or given(numbers(K, N))
    return call("tg_gemm", F32, 0, M, N, K, a, K, b, N, c, N, None, ACTIVATION[activation])


def broadcast(*strides: int) -> Data:
    """The layout of a matrix as the second operand, of which the first steps so."""
    words = [0] * (1 + 5 * MAX_DIMS)
    words[:3] = 2, M, N
    words[1 + MAX_DIMS : 3 + MAX_DIMS] = strides
    words[1 + 2 * MAX_DIMS : 3 + 2 * MAX_DIMS] = N, 1
    return Data(tuple(words))


def names(records: list[Record]) -> list[str]:
    return [record.name.removeprefix("tg_") for record in records]


def run(records: list[Record], arrays: list[Any]) -> list[bytes]:
    """What the records leave in arrays; these are as before afterwards."""
    before = [array.copy() for array in arrays]
    Program(records, []).run()
    found = [array.tobytes() for array in arrays]
    for array, old in zip(arrays, before):
        array[...] = old
    return found


def check(records: list[Record], arrays: list[Any], expected: list[str]) -> list[Record]:
    """What the pass makes of records, which leave the same in arrays."""
    found = ends(records)
    assert names(found) == expected
    assert run(found, arrays) == run(records, arrays)
    return found


# ---- what becomes an end -------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_a_residual_is_added_by_the_product(first: bool) -> None:
    c, r, y = local(), numbers(M, N), numbers(M, N)
    operands = (given(r), c) if first else (c, given(r))
    records = [product(c, activation="tanh"), binary("sub", *operands, given(y))]
    [found] = check(records, [r, y], ["gemm_ended"])
    assert cost(found).kernel == "gemm NN + tanh + sub"
    assert found.argument("c") == c  # y is memory that others may look at


def test_what_is_made_on_the_way_lies_where_the_last_is_written() -> None:
    c, a, b, r, out = local(), local(), local(), numbers(M, N), numbers(M, N)
    records = [
        product(c),
        unary("exp", c, a),
        binary("mul", a, given(r), b),
        unary("neg", b, d := local()),
        call("tg_reduce", 0, F32, 1, M, N, d, given(out)),
    ]
    [found, _] = check(records, [out], ["gemm_ended", "reduce"])
    assert found.argument("c") == d
    assert {end.y for end in ends_of(found.argument("ends"))} == {d}
    assert Program([found], []).plan.nbytes == 4 * 64  # of d alone


def test_what_is_needed_later_stays() -> None:
    c, a, y, z = local(), local(), numbers(M, N), numbers(M, N)
    records = [
        product(c),
        unary("gelu", c, a),
        unary("neg", a, given(y)),
        unary("abs", c, given(z)),
    ]
    [found] = check(records, [y, z], ["gemm_ended"])
    assert found.argument("c") == c


def test_an_activation_is_the_product_s_own() -> None:
    c, y, z = local(), local(), numbers(N)
    records = [product(c), unary("silu", c, y), call("tg_reduce", 0, F32, 1, M, N, y, given(z))]
    [found, _] = check(records, [z], ["gemm", "reduce"])
    assert (found.argument("activation"), found.argument("c")) == (ACTIVATION["silu"], y)


def test_a_mask_is_scaled_behind_the_product() -> None:
    generator = Pointer(Buffer("state", 0, 16, state := np.zeros(2, np.uint64)), 0)
    generator.buffer.address = state.__array_interface__["data"][0]
    scale, y, kept = np.float32([1.25]), numbers(M, N), numbers(M, N)
    c, mask, scaled = local(), local(), given(kept)
    records = [
        product(c),
        call("tg_random", 2, F32, SIZE, 0.8, 0.0, generator, mask),
        binary("mul", given(scale), mask, scaled, broadcast(0, 0)),
        binary("mul", c, scaled, given(y)),
    ]
    check(records, [y, kept, state], ["random", "gemm_ended"])


def test_the_gradient_of_an_activation_is_the_end_of_the_product_that_feeds_it() -> None:
    for op in ("relu", "tanh", "gelu"):
        c, s, gx = local(), numbers(M, N), numbers(M, N)
        [found] = check([product(c), unary_grad(op, c, given(s), given(gx))], [gx], ["gemm_ended"])
        assert cost(found).kernel == f"gemm NN + {op}'"


# ---- what does not -------------------------------------------------------------------------------------


def test_other_sizes_and_layouts_stay() -> None:
    c, y, r = local(), numbers(M, N), numbers(N)
    for other in (
        unary("exp", c, given(y), SIZE - 1),
        binary("add", given(r), c, given(y), broadcast(0, 1)),
        unary("exp", given(y), given(y)),
        call("tg_reduce", 0, F32, 1, M, N, c, given(r)),
    ):
        check([product(c), other], [y, r], ["gemm", other.name.removeprefix("tg_")])


def test_rows_that_lie_apart_have_no_ends() -> None:
    c, y = local(M * (N + 1)), numbers(M, N)
    a, b = given(numbers(M, K)), given(numbers(K, N))
    apart = call("tg_gemm", F32, 0, M, N, K, a, K, b, N, c, N + 1, None, 0)
    check([apart, unary("exp", c, given(y))], [], ["gemm", "unary"])


def test_factors_are_not_written() -> None:
    square = numbers(M, M)
    x, c, y = given(square), local(M * M), numbers(M, M)
    records = [
        call("tg_gemm", F32, 0, M, M, M, x, M, given(numbers(M, M)), M, c, M, None, 0),
        call("tg_binary", BINARY["add"], F32, M * M, c, x, given(y), None),
        call("tg_unary", UNARY["exp"], F32, M * M, c, x, 0.0, 0.0),
    ]
    check(records, [square, y], ["gemm_ended", "unary"])


def test_a_part_that_overlaps_is_not_taken() -> None:
    memory = numbers(SIZE + 1)
    c, whole = local(), given(memory)
    records = [
        product(c),
        binary("add", c, Pointer(whole.buffer, 4), Pointer(whole.buffer, 4)),
        binary("mul", c, whole, d := local()),
        unary("exp", d, given(y := numbers(M, N))),
    ]
    check(records, [memory, y], ["gemm_ended", "binary", "unary"])


def test_a_number_that_an_end_would_overwrite_is_read_before() -> None:
    c, scaled, memory = local(), local(), numbers(M, N)
    r = given(memory)
    records = [
        product(c),
        binary("mul", r, given(numbers(M, N)), scaled, broadcast(0, 0)),
        binary("add", c, scaled, r),
    ]
    check(records, [memory], ["gemm", "binary", "binary"])


def test_no_more_ends_than_a_call_takes() -> None:
    c, y = local(), numbers(M, N)
    records = [product(c)]
    for _ in range(MOST_ENDS + 3):
        records.append(unary("tanh", c, c))
    records.append(unary("tanh", c, given(y)))
    found = check(records, [y], ["gemm_ended", *["unary"] * 4])
    assert found[0].argument("activation") == ACTIVATION["tanh"]
    assert found[0].argument("ends_count") == MOST_ENDS - 1


def test_what_is_large_and_summed_is_left_to_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = 400, 200
    size = rows * columns
    a, b, y = given(numbers(rows, K)), given(numbers(K, columns)), given(numbers(rows, columns))
    c, gz, gb, kept = local(size), local(size), numbers(columns), numbers(rows, columns)
    records = [
        call("tg_gemm", F32, 0, rows, columns, K, a, K, b, columns, c, columns, None, 0),
        call("tg_unary_grad", UNARY["relu"], F32, size, c, y, gz, 0.0, 0.0),
        call("tg_reduce", REDUCE["sum"], F32, 1, rows, columns, gz, given(gb)),
        call("tg_unary", UNARY["exp"], F32, size, gz, given(kept), 0.0, 0.0),
    ]
    check(records, [gb, kept], ["gemm_ended", "reduce"])
    monkeypatch.setattr(_ends, "_CACHE", size)
    check(records, [gb, kept], names(records))
    assert names(PASSES["chains"](ends(records))) == ["gemm", "tiles"]


# ---- what stands between -------------------------------------------------------------------------------


def test_what_an_end_needs_goes_before_the_product() -> None:
    c, r, x, y, z = local(), local(), numbers(M, N), numbers(M, N), numbers(M, N)
    records = [
        product(c),
        unary("abs", given(z), given(z)),  # has nothing to do with it
        call("tg_scan", 0, F32, 0, 1, M, N, given(x), r),
        binary("add", c, r, given(y)),
    ]
    check(records, [y, z], ["scan", "gemm_ended", "unary"])


def test_an_end_that_needs_what_needs_the_product_stays() -> None:
    c, r, y = local(), local(), numbers(M, N)
    records = [
        product(c),
        call("tg_scan", 0, F32, 0, 1, M, N, c, r),
        binary("add", c, r, given(y)),
    ]
    check(records, [y], ["gemm", "scan", "binary"])


def test_an_end_does_not_pass_what_reads_the_memory_that_it_writes() -> None:
    c, y, z = local(), numbers(M, N), numbers(M, N)
    out = given(y)
    records = [
        product(c),
        call("tg_scan", 0, F32, 0, 1, M, N, out, given(z)),
        unary("exp", c, out),
    ]
    check(records, [y, z], ["scan", "gemm_ended"])


# ---- random programs -----------------------------------------------------------------------------------

POOL = 5  # square arrays, so that a factor may be a result; the first two are the program's own
SIDE = 9


@st.composite
def programs(draw: Any) -> list[tuple[Any, ...]]:
    number = st.integers(0, POOL - 1)
    found = []
    for _ in range(draw(st.integers(2, 14))):
        kind = draw(
            st.sampled_from(["product", "unary", "unary_grad", "binary", "binary", "one", "scan"])
        )
        op = {
            "product": st.sampled_from([0, lib.TG_TRANS_B, lib.TG_ACCUMULATE]),
            "unary": st.sampled_from(["relu", "tanh", "gelu", "neg"]),
            "unary_grad": st.sampled_from(["relu", "tanh", "gelu"]),
        }.get(kind, st.sampled_from(["add", "sub", "mul"]))
        found.append((kind, draw(op), draw(number), draw(number), draw(number)))
    return found


@settings(max_examples=200)
@given_(programs())
def test_random_programs(program: list[tuple[Any, ...]]) -> None:
    n = SIDE * SIDE
    arrays = [
        np.random.default_rng(i).standard_normal((SIDE, SIDE)).astype(np.float32)
        for i in range(POOL)
    ]
    pool = [local(n), local(n), *map(given, arrays[2:])]
    factor = given(np.float32([0.5]))
    one = [0] * (1 + 5 * MAX_DIMS)
    one[:2], one[1 + 2 * MAX_DIMS] = (1, n), 1
    records = [
        call("tg_unary", UNARY["tanh"], F32, n, given(a), p, 0.0, 0.0)
        for a, p in zip(arrays, pool[:2])
    ]
    for kind, op, i, j, k in program:
        x, y, z = pool[i], pool[j], pool[k]
        if kind == "product" and k not in (i, j):
            records.append(
                call("tg_gemm", F32, op, SIDE, SIDE, SIDE, x, SIDE, y, SIDE, z, SIDE, None, 0)
            )
        elif kind == "unary":
            records.append(call("tg_unary", UNARY[op], F32, n, x, z, 0.0, 0.0))
        elif kind == "unary_grad":
            records.append(call("tg_unary_grad", UNARY[op], F32, n, x, y, z, 0.0, 0.0))
        elif kind == "binary":
            records.append(call("tg_binary", BINARY[op], F32, n, x, y, z, None))
        elif kind == "one":
            records.append(call("tg_binary", BINARY[op], F32, n, factor, x, z, Data(tuple(one))))
        elif kind == "scan" and i != k:
            records.append(call("tg_scan", 0, F32, 0, 1, SIDE, SIDE, x, z))
    records += [
        call("tg_unary", UNARY["neg"], F32, n, p, given(a), 0.0, 0.0)
        for a, p in zip(arrays, pool[:2])
    ]
    expected = run(records, arrays)
    assert run(ends(records), arrays) == expected
    assert run(PASSES["chains"](ends(records)), arrays) == expected


# ---- training ------------------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.2)
        self.activation = activation

    def forward(self, x: Any) -> Any:
        return x + self.drop(self.down(getattr(self.up(x), self.activation)()))


def trained(passes: Any, rows: int, width: int, activation: str, keep_grads: bool) -> list[bytes]:
    tensorgrad.manual_seed(0)
    model = nn.Sequential(*(Residual(width, activation) for _ in range(2)), nn.Linear(width, 10))
    criterion, update = nn.CrossEntropyLoss(), optim.SGD(list(model.parameters()), lr=0.05)

    def step(x: Any, y: Any) -> Any:
        update.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        update.step()
        return loss

    replayed = step if passes is None else compiled(step, passes=passes, keep_grads=keep_grads)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(5):
        x = tensorgrad.tensor(rng.standard_normal((rows, width)).astype(np.float32))
        y = tensorgrad.tensor(rng.integers(0, 10, rows))
        found.append(replayed(x, y).detach().numpy().tobytes())
    return found + [p.detach().numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu"])
@pytest.mark.parametrize(("rows", "width"), [(1, 12), (7, 5), (96, 130), (300, 64)])
def test_training(rows: int, width: int, activation: str, threads: int) -> None:
    before = tensorgrad.get_num_threads()
    tensorgrad.set_num_threads(threads)
    try:
        expected = trained(None, rows, width, activation, keep_grads=False)
        for passes in (("ends",), ("lower", "ends"), tuple(PASSES)):
            for keep_grads in (False, True):
                assert trained(passes, rows, width, activation, keep_grads) == expected, passes
    finally:
        tensorgrad.set_num_threads(before)
