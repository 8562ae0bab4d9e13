"""Linear layers become the calls that they consist of: csrc/families/linear.c and linear_chain.c, written
out.

What follows can then be done to each part alone: a gradient that nobody wants is not computed, an
activation's gradient is made by the product that feeds it, memory is planned for what lies in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorgrad._native import ACTIVATION, REDUCE, UNARY, lib
from tensorgrad.compiler._effects import BY_NAME, ITEM, Pointer, hidden_offsets, layers_of
from tensorgrad.compiler._passes._memory import moved
from tensorgrad.compiler._recorder import Buffer, Record

_NONE = ACTIVATION["none"]
_GRADIENTS = {ACTIVATION[name]: UNARY[name] for name in ("relu", "tanh", "sigmoid")}


def lower(records: list[Record]) -> list[Record]:
    """The records with every call of a linear layer, or of several, in its parts.

    Faster as well, from the smallest network on: a step costs less than a layer's checks, and a temporary
    in the arena less than one from the allocator."""
    lowered: list[Record] = []
    for record in records:
        parts = _PARTS.get(record.name)
        lowered += [record] if parts is None or not record.accesses else parts(record)
    return apart(lowered)


def _call(record: Record, name: str, *arguments: Any) -> Record:
    return Record(
        BY_NAME[name], arguments, record.site, note=f"of {record.name.removeprefix('tg_')}"
    )


def _local(dtype: int, *shape: int) -> Pointer:
    """New memory of the program's own."""
    nbytes = ITEM[dtype]
    for n in shape:
        nbytes *= n
    return Pointer(Buffer("local", 0, nbytes), 0)


# ---- one layer -------------------------------------------------------------------------------------


def _linear(record: Record) -> list[Record]:
    return _layer(record, *record.arguments)


def _layer(  # type: ignore[no-untyped-def]
    record, dtype, activation, rows, n_in, out, x, w, bias, y
) -> list[Record]:
    return [
        _call(
            record, "tg_gemm", dtype, lib.TG_TRANS_B, rows, out, n_in, x, n_in, w, n_in, y, out, bias,
            activation,
        )
    ]  # fmt: skip


def _linear_grad(record: Record) -> list[Record]:
    return _layer_grad(record, *record.arguments)


def _layer_grad(  # type: ignore[no-untyped-def]
    record, dtype, activation, rows, n_in, out, gy, y, x, w, gx, gw, gb
) -> list[Record]:
    parts = []
    gz = gy
    if activation != _NONE:
        gz = _local(dtype, rows, out)
        op = _GRADIENTS[activation]
        parts.append(_call(record, "tg_unary_grad", op, dtype, rows * out, gy, y, gz, 0.0, 0.0))
    if gb is not None:
        parts.append(_call(record, "tg_reduce", REDUCE["sum"], dtype, 1, rows, out, gz, gb))
    if gw is not None:
        parts.append(
            _call(
                record, "tg_gemm", dtype, lib.TG_TRANS_A, out, n_in, rows, gz, out, x, n_in, gw, n_in,
                None, _NONE,
            )
        )  # fmt: skip
    if gx is not None:
        parts.append(
            _call(
                record, "tg_gemm", dtype, 0, rows, n_in, out, gz, out, w, n_in, gx, n_in, None, _NONE,
            )
        )  # fmt: skip
    return parts


# ---- chains ----------------------------------------------------------------------------------------


def _outputs(
    dtype: int, rows: int, layers: Any, hidden: Pointer | None, y: Pointer
) -> list[Pointer]:
    """Where each layer's output is."""
    if hidden is None:
        return [y]
    offsets = hidden_offsets(dtype, rows, layers)[:-1]
    return [Pointer(hidden.buffer, hidden.offset + offset) for offset in offsets] + [y]


def _chain(record: Record) -> list[Record]:
    dtype, rows, _, data, x, hidden, y = record.arguments
    layers = layers_of(data)
    parts = []
    for layer, output in zip(layers, _outputs(dtype, rows, layers, hidden, y)):
        parts += _layer(
            record,
            dtype,
            layer.activation,
            rows,
            layer.n_in,
            layer.out,
            x,
            layer.w,
            layer.bias,
            output,
        )
        x = output
    return parts


def _chain_grad(record: Record) -> list[Record]:
    dtype, rows, count, data, x, hidden, y, gy, gx, gradients = record.arguments
    layers = layers_of(data)
    inputs = [x, *_outputs(dtype, rows, layers, hidden, y)]
    wanted = [any(gradients.words[2 * i : 2 * i + 2]) for i in range(count)]
    last = 0 if gx is not None else wanted.index(True) if any(wanted) else count
    parts = []
    for i in reversed(range(last, count)):
        layer = layers[i]
        down = gx if i == 0 else _local(dtype, rows, layer.n_in) if i > last else None
        parts += _layer_grad(
            record, dtype, layer.activation, rows, layer.n_in, layer.out, gy, inputs[i + 1], inputs[i],
            layer.w, down, gradients.words[2 * i], gradients.words[2 * i + 1],
        )  # fmt: skip
        gy = down
    return parts


_PARTS: dict[str, Callable[[Record], list[Record]]] = {
    "tg_linear": _linear,
    "tg_linear_grad": _linear_grad,
    "tg_linear_chain": _chain,
    "tg_linear_chain_grad": _chain_grad,
}


# ---- memory that was one block -----------------------------------------------------------------------


def apart(records: list[Record]) -> list[Record]:
    """The records with a buffer of the program's own for each part of one that is used by itself, such
    as an output of a chain's hidden layer, so that each lives no longer than it must."""
    runs: dict[int, list[tuple[int, int]]] = {}
    for record in records:
        for access in record.accesses:
            if access.buffer.kind == "local":
                runs.setdefault(id(access.buffer), []).append((access.begin, access.end))
    parts = {
        key: [(begin, end, Buffer("local", 0, end - begin)) for begin, end in found]
        for key, used in runs.items()
        if len(found := _merged(used)) > 1
    }

    def place(pointer: Pointer) -> Pointer:
        for begin, end, buffer in parts.get(id(pointer.buffer), ()):
            if begin <= pointer.offset < end:
                return Pointer(buffer, pointer.offset - begin)
        return pointer

    return [moved(record, parts, place) for record in records] if parts else records


def _merged(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The runs with those that meet made one, in order."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(runs):
        if found and begin < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found
