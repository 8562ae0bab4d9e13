"""What a call is, in words and numbers: the name of its kernel, the shapes that it works on, the
floating-point operations that it takes.

Beside `_effects`, which says what it reads and writes. An operation on an element counts as one, be it an
addition or an exponential; a multiply-add counts as two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from tensorgrad._native import BINARY, UNARY, ffi, lib
from tensorgrad.compiler._effects import ITEM, GemmEnd, TileSum, ends_of, layers_of
from tensorgrad.compiler._recorder import Record


class Cost(NamedTuple):
    """kernel: its name, with that of its op. shapes: of what it works on. flops: 0 for what only moves
    data, and for what is not known."""

    kernel: str
    shapes: str
    flops: int = 0


def cost(record: Record) -> Cost:
    """What a call is."""
    if record.callback is not None:
        return Cost(f"in Python: {record.callback.name}", "")
    name = record.name.removeprefix("tg_")
    describe = COSTS.get(record.name)
    if describe is None:
        return Cost(name, "")
    return describe(SimpleNamespace(**dict(zip(record.function.parameters, record.arguments))))


def moved_bytes(record: Record) -> int:
    """The bytes that a call reads and writes; those that it reads and writes count twice."""
    return sum((a.end - a.begin) * len(a.mode) for a in record.accesses)


def itemsize(record: Record) -> int:
    """The bytes of an element that a call computes with: 4 or 8."""
    if "dtype" not in record.function.parameters:
        return 4
    return ITEM[record.argument("dtype")]


# ---- names ---------------------------------------------------------------------------------------


def _op(family: int, op: int) -> str:
    name = lib.tg_op_name(family, op)
    if name != ffi.NULL:
        return ffi.string(name).decode()
    custom = {lib.TG_UNARY: UNARY, lib.TG_BINARY: BINARY}.get(family, {})
    return next((name for name, number in custom.items() if number == op), f"custom op {op}")


def _by(*sizes: int) -> str:
    return "x".join(map(str, sizes))


def _activated(activation: int, bias: Any) -> str:
    """What a product does with its result."""
    text = " + bias" if bias is not None else ""
    return text + (f" + {_op(lib.TG_ACTIVATION, activation)}" if activation else "")


def _laid_out(layout: Any) -> int:
    """How many elements a layout walks over."""
    size = 1
    for n in layout.words[1 : 1 + layout.words[0]]:
        size *= n
    return size


# ---- families ------------------------------------------------------------------------------------


def _broadcast(c: Any) -> str:
    """The shape that an elementwise call's operands are broadcast to."""
    if c.layout is None:
        return str(c.n)
    return _by(*c.layout.words[1 : 1 + c.layout.words[0]])


def _elementwise(c: Any, kernel: str) -> Cost:
    return Cost(kernel, _broadcast(c), c.n)


def _tiles(c: Any) -> Cost:
    flops = (c.steps_count - c.once) * c.n + c.once
    sums = c.sums.words if c.sums else ()
    for i in range(0, len(sums), len(TileSum._fields)):
        total = TileSum(*sums[i : i + len(TileSum._fields)])
        flops += total.outer * total.n * total.inner
    return Cost("tiles", str(c.n), flops)


def _along(c: Any, kernel: str, per_element: int = 1) -> Cost:
    """What goes along an axis."""
    return Cost(kernel, _by(c.outer, c.n, c.inner), per_element * c.outer * c.n * c.inner)


def _rows(c: Any, kernel: str, per_element: int) -> Cost:
    """What works on rows."""
    return Cost(kernel, _by(c.rows, c.cols), per_element * c.rows * c.cols)


def _product(c: Any, kernel: str, matrices: int = 1) -> Cost:
    letters = "".join("T" if c.flags & flag else "N" for flag in (lib.TG_TRANS_A, lib.TG_TRANS_B))
    adds = " + C" if c.flags & lib.TG_ACCUMULATE else ""
    shapes = _by(c.m, c.n, c.k) if matrices == 1 else f"{matrices} of {_by(c.m, c.n, c.k)}"
    return Cost(f"{kernel} {letters}{adds}", shapes, 2 * matrices * c.m * c.n * c.k)


def _gemm(c: Any) -> Cost:
    plain = _product(c, "gemm")
    ends = ends_of(getattr(c, "ends", None))
    passes = (c.bias is not None) + (c.activation != 0) + sum(_END_FLOPS[end.kind] for end in ends)
    return plain._replace(
        kernel=plain.kernel + _activated(c.activation, c.bias) + "".join(map(_end, ends)),
        flops=plain.flops + passes * c.m * c.n,
    )


_END_FLOPS = {lib.TG_TILE_UNARY: 1, lib.TG_TILE_UNARY_GRAD: 2, lib.TG_TILE_BINARY: 1}


def _end(end: GemmEnd) -> str:
    family = lib.TG_BINARY if end.kind == lib.TG_TILE_BINARY else lib.TG_UNARY
    return f" + {_op(family, end.op)}" + "'" * (end.kind == lib.TG_TILE_UNARY_GRAD)


def _linear(c: Any) -> Cost:
    passes = (c.bias is not None) + (c.activation != 0)
    size = c.rows * c.out
    return Cost(
        "linear" + _activated(c.activation, c.bias),
        _by(c.rows, c.out, c.n_in),
        2 * size * c.n_in + passes * size,
    )


def _linear_grad(c: Any) -> Cost:
    size = c.rows * c.out
    products = (c.gx is not None) + (c.gw is not None)
    return Cost(
        "linear_grad" + _activated(c.activation, None),
        _by(c.rows, c.out, c.n_in),
        products * 2 * size * c.n_in + ((c.gb is not None) + (c.activation != 0)) * size,
    )


def _chain_shapes(rows: int, layers: Any) -> str:
    widths = [layers[0].n_in, *(layer.out for layer in layers)]
    return f"{rows} x [{', '.join(map(str, widths))}]"


def _linear_chain(c: Any) -> Cost:
    layers = layers_of(c.layers)
    flops = sum(
        c.rows * (2 * a.out * a.n_in + a.out * ((a.bias is not None) + (a.activation != 0)))
        for a in layers
    )
    return Cost("linear_chain", _chain_shapes(c.rows, layers), flops)


def _linear_chain_grad(c: Any) -> Cost:
    layers = layers_of(c.layers)
    given = c.gradients.words
    flops = 0
    for i, layer in enumerate(layers):
        size = c.rows * layer.out
        products = (given[2 * i] is not None) + (i > 0 or c.gx is not None)
        passes = (given[2 * i + 1] is not None) + (layer.activation != 0)
        flops += products * 2 * size * layer.n_in + passes * size
    return Cost("linear_chain_grad", _chain_shapes(c.rows, layers), flops)


def _updated(sizes: Any, table: Any) -> list[int]:
    """The sizes of the arrays that a call over many works on."""
    return [n for n, place in zip(sizes.words, table.words) if place is not None]


def _arrays(kernel: str, sizes: Iterable[int], per_element: int) -> Cost:
    sizes = list(sizes)
    return Cost(kernel, " + ".join(map(str, sizes)), per_element * sum(sizes))


def _update(c: Any, kernel: str, per_element: int) -> Cost:
    scales = c.factors is not None
    return _arrays(
        f"{kernel}{' of scaled gradients' * scales}",
        _updated(c.sizes, c.grads),
        per_element + scales,
    )


def _sgd(c: Any) -> Cost:
    return _update(c, "sgd", 2 if c.momenta is None else 4)


def _copied(c: Any) -> Cost:
    return Cost("copy", f"{_by(*c.layout.words[1 : 1 + c.layout.words[0]])} of {c.itemsize} bytes")


def _indexed(c: Any, kernel: str, adds: bool) -> Cost:
    size = c.outer * c.count * c.inner
    return Cost(kernel, f"{_by(c.outer, c.count, c.inner)} of {c.length}", size if adds else 0)


COSTS: dict[str, Callable[[Any], Cost]] = {
    "tg_unary": lambda c: Cost(f"unary {_op(lib.TG_UNARY, c.op)}", str(c.n), c.n),
    "tg_unary_grad": lambda c: Cost(f"unary_grad {_op(lib.TG_UNARY, c.op)}", str(c.n), 2 * c.n),
    "tg_binary": lambda c: _elementwise(c, f"binary {_op(lib.TG_BINARY, c.op)}"),
    "tg_where": lambda c: _elementwise(c, "where"),
    "tg_map": lambda c: _elementwise(c, f"map {c.op}"),
    "tg_tiles": _tiles,
    "tg_copy": _copied,
    "tg_take": lambda c: _indexed(c, "take", adds=False),
    "tg_take_grad": lambda c: _indexed(c, "take_grad", adds=True),
    "tg_gather": lambda c: _indexed(c, "gather", adds=False),
    "tg_scatter_add": lambda c: _indexed(c, "scatter_add", adds=True),
    "tg_reduce": lambda c: _along(c, f"reduce {_op(lib.TG_REDUCE, c.op)}"),
    "tg_argreduce": lambda c: _along(c, _op(lib.TG_ARGREDUCE, c.op)),
    "tg_variance": lambda c: _along(c, "variance", 4),
    "tg_scan": lambda c: _along(c, f"scan {_op(lib.TG_SCAN, c.op)}"),
    "tg_argscan": lambda c: _along(c, f"argscan {_op(lib.TG_SCAN, c.op)}"),
    "tg_recurrence": lambda c: _along(c, "recurrence", 2),
    "tg_sort": lambda c: Cost("sort", _by(c.rows, c.n)),
    "tg_topk": lambda c: Cost("topk", f"{c.k} of {_by(c.rows, c.n)}"),
    "tg_softmax": lambda c: _rows(c, _op(lib.TG_SOFTMAX, c.op), 5),
    "tg_softmax_grad": lambda c: _rows(c, f"{_op(lib.TG_SOFTMAX, c.op)}_grad", 4),
    "tg_logsumexp": lambda c: _rows(c, "logsumexp", 4),
    "tg_logsumexp_grad": lambda c: _rows(c, "logsumexp_grad", 3),
    "tg_cross_entropy": lambda c: _rows(c, "cross_entropy", 4 if c.gx is None else 6),
    "tg_cross_entropy_grad": lambda c: _rows(c, "cross_entropy_grad", 3),
    "tg_layer_norm": lambda c: _rows(c, "layer_norm", 8),
    "tg_layer_norm_grad": lambda c: _rows(c, "layer_norm_grad", 12),
    "tg_rms_norm": lambda c: _rows(c, "rms_norm", 4),
    "tg_rms_norm_grad": lambda c: _rows(c, "rms_norm_grad", 9),
    "tg_gemm": _gemm,
    "tg_gemm_ended": _gemm,
    "tg_gemm_batched": lambda c: _product(c, "gemm_batched", _laid_out(c.batch)),
    "tg_linear": _linear,
    "tg_linear_grad": _linear_grad,
    "tg_linear_chain": _linear_chain,
    "tg_linear_chain_grad": _linear_chain_grad,
    "tg_sgd": _sgd,
    "tg_adam": lambda c: _update(c, "adam", 12),
    "tg_multi_sumsq": lambda c: _arrays("multi_sumsq", _updated(c.sizes, c.arrays), 2),
    "tg_multi_scale": lambda c: _arrays("multi_scale", _updated(c.sizes, c.arrays), 1),
    "tg_random": lambda c: Cost(f"random {_op(lib.TG_RANDOM, c.op)}", str(c.n)),
    "tg_permutation": lambda c: Cost("permutation", str(c.n)),
    "tg_call_back": lambda c: Cost("in Python", ""),
    "tg_call_foreign": lambda c: Cost("custom kernel", ""),
}

__all__ = ["COSTS", "Cost", "cost", "itemsize", "moved_bytes"]
