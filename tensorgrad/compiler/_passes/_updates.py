"""Optimizers pass over memory once.

The calls of several groups of parameters, or of several optimizers, become one; and what clipping multiplies
gradients by becomes a factor of the update, which then reads them as they were and scales them on the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorgrad.compiler._effects import Access, Data, Pointer
from tensorgrad.compiler._passes._memory import commute, is_written, readers, writers
from tensorgrad.compiler._recorder import Record

_BOTH = ("sizes", "params", "grads", "factors")
# What a call has for each parameter.
TABLES = {
    "tg_sgd": (*_BOTH, "momenta", "started", "hyper"),
    "tg_adam": (*_BOTH, "means", "squares", "top", "done", "hyper"),
    "tg_multi_scale": ("sizes", "arrays"),
}
UPDATES = ("tg_sgd", "tg_adam")


def updates(records: list[Record]) -> list[Record]:
    """The records with as few updates as can be, which scale their gradients themselves."""
    return without_scaling(together(records))


# ---- calls over many parameters ----------------------------------------------------------------------


def picked(call: Record, numbers: Iterable[int], note: str | None = None) -> Record:
    """The call for some of its parameters alone."""
    numbers = list(numbers)
    tables = {name: call.argument(name) for name in TABLES[call.name]}
    given = {
        name: Data(tuple(table.words[a] for a in numbers))
        for name, table in tables.items()
        if table is not None
    }
    return changed(call, note, count=len(numbers), **given)


def changed(call: Record, note: str | None = None, **changes: Any) -> Record:
    """The call with other arguments."""
    arguments = dict(zip(call.function.parameters, call.arguments)) | changes
    note = call.note if note is None else note
    return Record(call.function, list(arguments.values()), call.site, note=note)


def _joined(one: Record, other: Record) -> Record:
    """One call for the parameters of two."""
    tables: dict[str, Any] = {}
    for name in TABLES[one.name]:
        words = [_words(call, name) for call in (one, other)]
        given = any(call.argument(name) is not None for call in (one, other))
        tables[name] = Data(words[0] + words[1]) if given else None
    return changed(one, "of several groups", count=len(tables["sizes"].words), **tables)


def _words(call: Record, name: str) -> tuple[Any, ...]:
    table = call.argument(name)
    return (None,) * call.argument("count") if table is None else table.words


# ---- several groups ----------------------------------------------------------------------------------


def together(records: list[Record]) -> list[Record]:
    """The records with one call in the place of several updates, where these may be brought together."""
    found: list[Record] = []
    for record in records:
        i = _last_like(found, record) if record.name in UPDATES else None
        if i is not None and commute(found[i], record):
            if all(commute(record, other) for other in found[i + 1 :]):
                found[i] = _joined(found[i], record)
                continue
            if all(commute(found[i], other) for other in found[i + 1 :]):
                record = _joined(found.pop(i), record)
        found.append(record)
    return found


def _last_like(records: list[Record], record: Record) -> int | None:
    """The number of the last call of the same function for the same dtype."""
    dtype = record.argument("dtype")
    for i in reversed(range(len(records))):
        if records[i].name == record.name and records[i].argument("dtype") == dtype:
            return i
    return None


# ---- scaled gradients --------------------------------------------------------------------------------


def without_scaling(records: list[Record]) -> list[Record]:
    """The records without the scaling of gradients that only an update reads afterwards."""
    written, read = writers(records), readers(records)
    found: list[Record | None] = list(records)
    for i, record in enumerate(records):
        if record.name != "tg_multi_scale":
            continue
        kept = []
        for a, (array, size) in enumerate(zip(_words(record, "arrays"), _words(record, "sizes"))):
            if array is None:  # it has no elements
                continue
            users = {
                n for users in (written, read) for n in users.get(id(array.buffer), ()) if n > i
            }
            last = max(users, default=i)
            update = found[last]
            if (
                len(users) == 1
                and array.buffer.kind == "local"
                and update is not None
                and _takes(update, record.argument("dtype"), array, size)
                and not is_written(_factor_of(record), records, i + 1, last)
            ):
                found[last] = _scaling(update, array, record.argument("factor"))
            else:
                kept.append(a)
        found[i] = picked(record, kept) if kept else None
    return [record for record in found if record is not None]


def _factor_of(record: Record) -> Access:
    factor: Pointer = record.argument("factor")
    return Access(factor.buffer, factor.offset, factor.offset + 8, "r")


def _takes(update: Record, dtype: int, array: Pointer, size: int) -> bool:
    """Whether an array is, as a whole, the gradient of one parameter of an update, which scales it not yet."""
    if update.name not in UPDATES or update.argument("dtype") != dtype:
        return False
    grads = _words(update, "grads")
    if [g.buffer for g in grads if g is not None].count(array.buffer) != 1 or array not in grads:
        return False
    a = grads.index(array)
    return bool(_words(update, "sizes")[a] == size and _words(update, "factors")[a] is None)


def _scaling(update: Record, array: Pointer, factor: Pointer) -> Record:
    """The update with a factor on one gradient."""
    factors = list(_words(update, "factors"))
    factors[_words(update, "grads").index(array)] = factor
    return changed(update, factors=Data(tuple(factors)))
