"""What each function of the C library reads and writes: the one place that knows it.

A function here has the name and the parameters of the C function, in order, and returns the accesses of
a call. Sizes are those that csrc/include/tensorgrad.h gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tensorgrad._native import UNARY, ffi, lib


class Pointer(NamedTuple):
    """A place in a buffer, `offset` bytes from its beginning."""

    buffer: Any
    offset: int


class Data(NamedTuple):
    """What a call is given by address and only reads: a table or a struct, in words of 8 bytes."""

    words: tuple[Any, ...]  # integers, Pointers, None for NULL


class Access(NamedTuple):
    """A run of bytes that a call reads ("r"), writes as a whole ("w"), or both or in part ("rw")."""

    buffer: Any
    begin: int
    end: int
    mode: str


ITEM = (4, 8, 8)  # bytes of an element, by tg_dtype
MAX_DIMS = lib.TG_MAX_DIMS
_FILL = UNARY["fill"]


def _at(pointer: Pointer | None, nbytes: int, mode: str) -> list[Access]:
    if pointer is None or nbytes <= 0:
        return []
    return [Access(pointer.buffer, pointer.offset, pointer.offset + nbytes, mode)]


def _r(pointer: Pointer | None, nbytes: int) -> list[Access]:
    return _at(pointer, nbytes, "r")


def _w(pointer: Pointer | None, nbytes: int) -> list[Access]:
    return _at(pointer, nbytes, "w")


def _rw(pointer: Pointer | None, nbytes: int) -> list[Access]:
    return _at(pointer, nbytes, "rw")


def _strided(
    pointer: Pointer | None, item: int, layout: Data, operand: int, mode: str
) -> list[Access]:
    """What a layout's operand covers."""
    ndim = layout.words[0]
    shape = layout.words[1 : 1 + ndim]
    begin = 1 + MAX_DIMS * (1 + operand)
    steps = [(n - 1) * s for n, s in zip(shape, layout.words[begin : begin + ndim])]
    if pointer is None or 0 in shape:
        return []
    first = sum(step for step in steps if step < 0) * item
    last = (sum(step for step in steps if step > 0) + 1) * item
    return [Access(pointer.buffer, pointer.offset + first, pointer.offset + last, mode)]


def _size(layout: Data) -> int:
    size = 1
    for n in layout.words[1 : 1 + layout.words[0]]:
        size *= n
    return size


def _operands(
    pointers: Sequence[Pointer | None], items: Sequence[int], n: int, layout: Data | None
) -> list[Access]:
    """The inputs of an elementwise function."""
    found = []
    for k, (p, item) in enumerate(zip(pointers, items)):
        found += _r(p, n * item) if layout is None else _strided(p, item, layout, k, "r")
    return found


def is_full(layout: Data, operand: int) -> bool:
    """Whether an operand's elements fill what the layout says it covers."""
    ndim = layout.words[0]
    begin = 1 + MAX_DIMS * (1 + operand)
    covered = 1
    for n, step in sorted(
        zip(layout.words[1 : 1 + ndim], layout.words[begin : begin + ndim]), key=lambda p: abs(p[1])
    ):
        if n != 1 and abs(step) != covered:
            return False
        covered *= n
    return True


# ---- elementwise ---------------------------------------------------------------------------------


def tg_unary(op, dtype, n, x, y, p0, p1):  # type: ignore[no-untyped-def]
    nbytes = n * ITEM[dtype]
    return ([] if op == _FILL else _r(x, nbytes)) + _w(y, nbytes)


def tg_unary_grad(op, dtype, n, gy, s, gx, p0, p1):  # type: ignore[no-untyped-def]
    nbytes = n * ITEM[dtype]
    return _r(gy, nbytes) + _r(s, nbytes) + _w(gx, nbytes)


def tg_binary(op, dtype, n, a, b, y, layout):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return _operands((a, b), (item, item), n, layout) + _w(y, n * item)


def tg_where(dtype, n, condition, a, b, y, layout):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return _operands((condition, a, b), (1, item, item), n, layout) + _w(y, n * item)


def tg_map(op, dtype, n, a, b, c, d, y, layout, p0, p1, p2, p3):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    pointers = (a, b, c, d)[: lib.tg_custom_inputs(lib.TG_MAP, op)]
    return _operands(pointers, [item] * len(pointers), n, layout) + _w(y, n * item)


class TileValue(NamedTuple):
    """A tg_tile_value."""

    data: Pointer | None
    itemsize: int
    repeat: int
    period: int
    slot: int


class TileStep(NamedTuple):
    """A tg_tile_step; p: numbers, or their bits."""

    kind: int
    op: int
    inputs: tuple[int, ...]
    y: int
    p: tuple[float | int, ...]


class TileSum(NamedTuple):
    """A tg_tile_sum."""

    op: int
    value: int
    outer: int
    n: int
    inner: int
    y: Pointer


def tg_tiles(  # type: ignore[no-untyped-def]
    dtype, n, values_count, values, steps_count, steps, once, sums_count, sums
):
    found = []
    for i in range(0, len(values.words), 5):
        value = TileValue(*values.words[i : i + 5])
        nbytes = min(value.period, n) * value.itemsize
        found += _w(value.data, nbytes) if value.slot >= 0 else _r(value.data, nbytes)
    for i in range(0, len(sums.words) if sums else 0, 6):
        total = TileSum(*sums.words[i : i + 6])
        found += _w(total.y, total.outer * total.inner * ITEM[dtype])
    return found


# ---- moving data ---------------------------------------------------------------------------------


def tg_copy(itemsize, src, dst, layout):  # type: ignore[no-untyped-def]
    return _strided(src, itemsize, layout, 0, "r") + _strided(
        dst, itemsize, layout, 1, "w" if is_full(layout, 1) else "rw"
    )


def tg_take(itemsize, outer, length, inner, count, index, src, dst):  # type: ignore[no-untyped-def]
    return (
        _r(index, count * 8)
        + _r(src, outer * length * inner * itemsize)
        + _w(dst, outer * count * inner * itemsize)
    )


def tg_take_grad(dtype, outer, length, inner, count, index, gy, gx):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(index, count * 8)
        + _r(gy, outer * count * inner * item)
        + _rw(gx, outer * length * inner * item)
    )


def tg_gather(itemsize, outer, length, inner, count, index, src, dst):  # type: ignore[no-untyped-def]
    return (
        _r(index, outer * count * inner * 8)
        + _r(src, outer * length * inner * itemsize)
        + _w(dst, outer * count * inner * itemsize)
    )


def tg_scatter_add(dtype, outer, length, inner, count, index, gy, gx):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(index, outer * count * inner * 8)
        + _r(gy, outer * count * inner * item)
        + _rw(gx, outer * length * inner * item)
    )


# ---- reductions, cumulative ops, sorting -----------------------------------------------------------


def tg_reduce(op, dtype, outer, n, inner, x, y):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return _r(x, outer * n * inner * item) + _w(y, outer * inner * item)


def tg_argreduce(op, dtype, outer, n, inner, x, y):  # type: ignore[no-untyped-def]
    return _r(x, outer * n * inner * ITEM[dtype]) + _w(y, outer * inner * 8)


def tg_variance(dtype, outer, n, inner, x, correction, mean, var):  # type: ignore[no-untyped-def]
    nbytes = outer * inner * ITEM[dtype]
    return _r(x, nbytes * n) + _w(mean, nbytes) + _w(var, nbytes)


def tg_scan(op, dtype, reverse, outer, n, inner, x, y):  # type: ignore[no-untyped-def]
    nbytes = outer * n * inner * ITEM[dtype]
    return _r(x, nbytes) + _w(y, nbytes)


def tg_argscan(op, dtype, outer, n, inner, x, y):  # type: ignore[no-untyped-def]
    return _r(x, outer * n * inner * ITEM[dtype]) + _w(y, outer * n * inner * 8)


def tg_recurrence(dtype, reverse, outer, n, inner, a, b, y):  # type: ignore[no-untyped-def]
    nbytes = outer * n * inner * ITEM[dtype]
    return _r(a, nbytes) + _r(b, nbytes) + _w(y, nbytes)


def tg_sort(dtype, descending, rows, n, x, values, positions):  # type: ignore[no-untyped-def]
    nbytes = rows * n * ITEM[dtype]
    return _r(x, nbytes) + _w(values, nbytes) + _w(positions, rows * n * 8)


def tg_topk(dtype, largest, rows, n, k, x, values, positions):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return _r(x, rows * n * item) + _w(values, rows * k * item) + _w(positions, rows * k * 8)


# ---- softmax, losses, normalisation ----------------------------------------------------------------


def tg_softmax(op, dtype, rows, cols, x, y):  # type: ignore[no-untyped-def]
    nbytes = rows * cols * ITEM[dtype]
    return _r(x, nbytes) + _w(y, nbytes)


def tg_softmax_grad(op, dtype, rows, cols, gy, y, gx):  # type: ignore[no-untyped-def]
    nbytes = rows * cols * ITEM[dtype]
    return _r(gy, nbytes) + _r(y, nbytes) + _w(gx, nbytes)


def tg_logsumexp(dtype, rows, cols, x, y):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return _r(x, rows * cols * item) + _w(y, rows * item)


def tg_logsumexp_grad(dtype, rows, cols, gy, x, y, gx):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    nbytes = rows * cols * item
    return _r(gy, rows * item) + _r(x, nbytes) + _r(y, rows * item) + _w(gx, nbytes)


def tg_cross_entropy(  # type: ignore[no-untyped-def]
    dtype, rows, cols, x, labels, weight, ignore_index, label_smoothing, reduction, loss, saved, gx
):
    item = ITEM[dtype]
    return (
        _r(x, rows * cols * item)
        + _r(labels, rows * 8)
        + _r(weight, cols * item)
        + _w(loss, (rows if reduction == lib.TG_NONE else 1) * item)
        + _w(saved, (rows + 1) * item)
        + _w(gx, rows * cols * item)
    )


def tg_cross_entropy_grad(  # type: ignore[no-untyped-def]
    dtype, rows, cols, x, labels, weight, ignore_index, label_smoothing, reduction, saved, gy, gx
):
    item = ITEM[dtype]
    return (
        _r(x, rows * cols * item)
        + _r(labels, rows * 8)
        + _r(weight, cols * item)
        + _r(saved, (rows + 1) * item)
        + _r(gy, (rows if reduction == lib.TG_NONE else 1) * item)
        + _w(gx, rows * cols * item)
    )


def tg_layer_norm(dtype, rows, cols, x, weight, bias, eps, y, saved):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(x, rows * cols * item)
        + _r(weight, cols * item)
        + _r(bias, cols * item)
        + _w(y, rows * cols * item)
        + _w(saved, 2 * rows * item)
    )


def tg_layer_norm_grad(dtype, rows, cols, gy, x, weight, saved, gx, gw, gb):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(gy, rows * cols * item)
        + _r(x, rows * cols * item)
        + _r(weight, cols * item)
        + _r(saved, 2 * rows * item)
        + _w(gx, rows * cols * item)
        + _w(gw, cols * item)
        + _w(gb, cols * item)
    )


def tg_rms_norm(dtype, rows, cols, x, weight, eps, y, saved):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(x, rows * cols * item)
        + _r(weight, cols * item)
        + _w(y, rows * cols * item)
        + _w(saved, rows * item)
    )


def tg_rms_norm_grad(dtype, rows, cols, gy, x, weight, saved, gx, gw):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(gy, rows * cols * item)
        + _r(x, rows * cols * item)
        + _r(weight, cols * item)
        + _r(saved, rows * item)
        + _w(gx, rows * cols * item)
        + _w(gw, cols * item)
    )


# ---- matrix multiplication -------------------------------------------------------------------------


def _matrix(pointer: Pointer | None, rows: int, cols: int, step: int, item: int) -> tuple[Any, int]:
    return pointer, ((rows - 1) * step + cols) * item if rows > 0 and cols > 0 else 0


def _product(
    dtype: int,
    flags: int,
    m: int,
    n: int,
    k: int,
    a: Any,
    lda: int,
    b: Any,
    ldb: int,
    c: Any,
    ldc: int,
) -> tuple[tuple[Any, int, str], ...]:
    item = ITEM[dtype]
    a_shape = (k, m) if flags & lib.TG_TRANS_A else (m, k)
    b_shape = (n, k) if flags & lib.TG_TRANS_B else (k, n)
    mode = "w" if not flags & lib.TG_ACCUMULATE and ldc == n else "rw"
    return (
        (*_matrix(a, *a_shape, lda, item), "r"),
        (*_matrix(b, *b_shape, ldb, item), "r"),
        (*_matrix(c, m, n, ldc, item), mode),
    )


def tg_gemm(dtype, flags, m, n, k, a, lda, b, ldb, c, ldc, bias, activation):  # type: ignore[no-untyped-def]
    found = _r(bias, n * ITEM[dtype])
    for pointer, nbytes, mode in _product(dtype, flags, m, n, k, a, lda, b, ldb, c, ldc):
        found += _at(pointer, nbytes, mode)
    return found


class GemmEnd(NamedTuple):
    """A tg_gemm_end; p: the bits of its numbers."""

    kind: int
    op: int
    a: Pointer
    a_step: int
    b: Pointer | None
    b_step: int
    y: Pointer
    p0: int
    p1: int


def ends_of(data: Data | None) -> list[GemmEnd]:
    """The ends of a product."""
    words = data.words if data else ()
    return [GemmEnd(*words[i : i + 9]) for i in range(0, len(words), 9)]


def tg_gemm_ended(  # type: ignore[no-untyped-def]
    dtype, flags, m, n, k, a, lda, b, ldb, c, ldc, bias, activation, ends_count, ends
):
    found = _r(bias, n * ITEM[dtype])
    for pointer, nbytes, mode in _product(dtype, flags, m, n, k, a, lda, b, ldb, c, ldc):
        found += _at(pointer, nbytes, mode)
    made = {c}  # by the call itself
    _, span = _matrix(c, m, n, ldc, ITEM[dtype])
    for end in ends_of(ends):
        for place, step in ((end.a, end.a_step), (end.b, end.b_step)):
            if place not in made:
                found += _r(place, span if step else ITEM[dtype])
        if end.y not in made:
            found += _at(end.y, span, "w" if ldc == n else "rw")
            made.add(end.y)
    return found


def tg_gemm_batched(dtype, flags, m, n, k, a, lda, b, ldb, c, ldc, batch):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    found = []
    count = _size(batch)
    for i, (pointer, nbytes, mode) in enumerate(
        _product(dtype, flags, m, n, k, a, lda, b, ldb, c, ldc)
    ):
        for access in _strided(pointer, item, batch, i, mode):
            # a batch's matrices lie one behind the other, or the write is one in part
            end = access.end - item + nbytes
            whole = i < 2 or (mode == "w" and end - access.begin == count * m * n * item)
            found.append(access._replace(end=end, mode=mode if whole else "rw"))
    return found


def tg_linear(dtype, activation, rows, n_in, out, x, w, bias, y):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(x, rows * n_in * item)
        + _r(w, out * n_in * item)
        + _r(bias, out * item)
        + _w(y, rows * out * item)
    )


def tg_linear_grad(dtype, activation, rows, n_in, out, gy, y, x, w, gx, gw, gb):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    return (
        _r(gy, rows * out * item)
        + (_r(y, rows * out * item) if activation else [])
        + (_r(x, rows * n_in * item) if gw else [])
        + (_r(w, out * n_in * item) if gx else [])
        + _w(gx, rows * n_in * item)
        + _w(gw, out * n_in * item)
        + _w(gb, out * item)
    )


class Layer(NamedTuple):
    """A tg_layer."""

    activation: int
    n_in: int
    out: int
    w: Pointer
    bias: Pointer | None


def layers_of(data: Data) -> list[Layer]:
    """The layers of a chain."""
    words = data.words
    return [Layer(*words[i : i + 5]) for i in range(0, len(words), 5)]


def hidden_offsets(dtype: int, rows: int, layers: Sequence[Layer]) -> list[int]:
    """Where in `hidden` the outputs of the layers before the last begin, and where the last of them
    ends."""
    offsets = [0]
    for layer in layers[:-1]:
        nbytes = rows * layer.out * ITEM[dtype]
        offsets.append(offsets[-1] + -(-nbytes // lib.TG_ALIGNMENT) * lib.TG_ALIGNMENT)
    return offsets


def tg_linear_chain(dtype, rows, count, layers, x, hidden, y):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    chain = layers_of(layers)
    found = _r(x, rows * chain[0].n_in * item) + _w(y, rows * chain[-1].out * item)
    found += _w(hidden, hidden_offsets(dtype, rows, chain)[-1])
    for layer in chain:
        found += _r(layer.w, layer.out * layer.n_in * item) + _r(layer.bias, layer.out * item)
    return found


def tg_linear_chain_grad(dtype, rows, count, layers, x, hidden, y, gy, gx, gradients):  # type: ignore[no-untyped-def]
    item = ITEM[dtype]
    chain = layers_of(layers)
    nbytes = rows * chain[-1].out * item
    found = _r(x, rows * chain[0].n_in * item) + _r(gy, nbytes) + _r(y, nbytes)
    found += _r(hidden, hidden_offsets(dtype, rows, chain)[-1])
    found += _w(gx, rows * chain[0].n_in * item)
    for i, layer in enumerate(chain):
        found += _r(layer.w, layer.out * layer.n_in * item)
        found += _w(gradients.words[2 * i], layer.out * layer.n_in * item)
        found += _w(gradients.words[2 * i + 1], layer.out * item)
    return found


# ---- optimizers, random numbers --------------------------------------------------------------------


def _tables(dtype: int, sizes: Data, table: Data | None, grads: Data, mode: str) -> list[Access]:
    """Of a table's buffers those whose parameter has a gradient."""
    found = []
    if table is not None:
        for size, pointer, gradient in zip(sizes.words, table.words, grads.words):
            if gradient is not None:
                found += _at(pointer, size * ITEM[dtype], mode)
    return found


def _numbers(table: Data | None, grads: Data, nbytes: int, mode: str) -> list[Access]:
    """The same of a table of numbers, each once."""
    found = {}
    for pointer, gradient in zip(table.words if table else (), grads.words):
        if gradient is not None:
            found[pointer] = _at(pointer, nbytes, mode)
    return [access for accesses in found.values() for access in accesses]


def tg_sgd(dtype, count, sizes, params, grads, factors, momenta, started, hyper):  # type: ignore[no-untyped-def]
    return (
        _tables(dtype, sizes, params, grads, "rw")
        + _tables(dtype, sizes, grads, grads, "r")
        + _numbers(factors, grads, 8, "r")
        + _tables(dtype, sizes, momenta, grads, "rw")
        + (_numbers(started, grads, 1, "rw") if momenta is not None else [])
        + _numbers(hyper, grads, 6 * 8, "r")
    )


def tg_adam(dtype, count, sizes, params, grads, factors, means, squares, top, done, hyper):  # type: ignore[no-untyped-def]
    found = _tables(dtype, sizes, grads, grads, "r") + _numbers(factors, grads, 8, "r")
    for table in (params, means, squares, top):
        found += _tables(dtype, sizes, table, grads, "rw")
    return found + _numbers(done, grads, 4, "rw") + _numbers(hyper, grads, 7 * 8, "r")


def tg_multi_sumsq(dtype, count, sizes, arrays, total):  # type: ignore[no-untyped-def]
    return _tables(dtype, sizes, arrays, arrays, "r") + _w(total, 8)


def tg_multi_scale(dtype, count, sizes, arrays, factor):  # type: ignore[no-untyped-def]
    return _tables(dtype, sizes, arrays, arrays, "rw") + _r(factor, 8)


def tg_random(op, dtype, n, a, b, generator, out):  # type: ignore[no-untyped-def]
    return _rw(generator, 16) + _w(out, n * ITEM[dtype])


def tg_permutation(n, generator, out):  # type: ignore[no-untyped-def]
    return _rw(generator, 16) + _w(out, n * 8)


# ---- the table -------------------------------------------------------------------------------------


class Function:
    """A C function: its number, its parameters, and what a call of it reads and writes."""

    __slots__ = ("accesses", "kinds", "name", "number", "parameters")

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        effects: Callable[..., list[Access]] | None = globals().get(name)
        self.accesses = effects
        kinds = ffi.typeof(getattr(lib, name)).args
        self.kinds = tuple(
            "*" if k.kind == "pointer" else "f" if k.cname == "double" else "i" for k in kinds
        )
        self.parameters = (
            effects.__code__.co_varnames[: len(kinds)]
            if effects
            else tuple(f"a{i}" for i in range(len(kinds)))
        )

    def __repr__(self) -> str:
        return f"<function {self.name}>"


FUNCTIONS: list[Function] = []
while (_name := lib.tg_function_name(len(FUNCTIONS))) != ffi.NULL:
    FUNCTIONS.append(Function(len(FUNCTIONS), ffi.string(_name).decode()))
BY_NAME = {function.name: function for function in FUNCTIONS}

__all__ = ["BY_NAME", "FUNCTIONS", "Access", "Data", "Function", "Layer", "Pointer", "is_full"]
