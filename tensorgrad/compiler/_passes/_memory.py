"""What passes ask of records: which memory two of them share, and how one is made to use other memory."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from tensorgrad.compiler._effects import Access, Data, Pointer
from tensorgrad.compiler._recorder import Buffer, Callback, Record

# Calls that do more than their accesses say.
_HAVE_EFFECTS = frozenset(("tg_call_back", "tg_call_foreign"))
FIXED = frozenset(("array", "constant", "outside", "state"))  # kinds whose address is known


def reads(record: Record) -> list[Access]:
    """The accesses that need what was there."""
    return [access for access in record.accesses if access.mode != "w"]


def writes(record: Record) -> list[Access]:
    """The accesses that leave something there."""
    return [access for access in record.accesses if access.mode != "r"]


def overlap(a: Access, b: Access) -> bool:
    """Whether two accesses may meet in a byte."""
    if a.buffer is b.buffer:
        return a.begin < b.end and b.begin < a.end
    one, two = a.buffer, b.buffer
    if one.kind in FIXED and two.kind in FIXED:
        return bool(
            one.address + a.begin < two.address + b.end
            and two.address + b.begin < one.address + a.end
        )
    # an input lies elsewhere in each run, but in the same storages as other inputs and parameters
    return one.owner is not None and one.owner is two.owner


def sharing_keys(buffer: Buffer) -> list[object]:
    """Equal for one key if two buffers may lie in the same memory."""
    keys: list[object] = [id(buffer)]
    if buffer.owner is not None:
        keys.append(("owner", id(buffer.owner)))
    if buffer.kind in FIXED:
        keys.append("fixed")
    return keys


def meet(some: Iterable[Access], others: Sequence[Access]) -> bool:
    """Whether accesses of the two may meet."""
    return any(overlap(a, b) for a in some for b in others)


def uses_state(record: Record) -> bool:
    """Whether a record uses numbers that Python sets, such as a learning rate."""
    return any(access.buffer.kind == "state" for access in record.accesses)


def has_effects(record: Record) -> bool:
    """Whether a record does more than its accesses say."""
    return record.name in _HAVE_EFFECTS


def commute(a: Record, b: Record) -> bool:
    """Whether two records that follow one another may change places."""
    for one, other in ((a, b), (b, a)):  # a step in Python may change what the library keeps
        if has_effects(one) and (has_effects(other) or uses_state(other)):
            return False
    return not (meet(writes(a), b.accesses) or meet(reads(a), writes(b)))


def is_pure(record: Record) -> bool:
    """Whether a record does nothing but write memory of the program's own, and cannot fail."""
    return (
        not has_effects(record)
        and not {"index", "labels"} & set(record.function.parameters)
        and all(access.buffer.kind == "local" for access in writes(record))
    )


def writers(records: Iterable[Record]) -> dict[int, list[int]]:
    """By the id of a buffer, the numbers of the records that write to it."""
    found: dict[int, list[int]] = {}
    for i, record in enumerate(records):
        for buffer in {id(access.buffer): None for access in writes(record)}:
            found.setdefault(buffer, []).append(i)
    return found


def readers(records: Iterable[Record]) -> dict[int, list[int]]:
    """By the id of a buffer, the numbers of the records that read it."""
    found: dict[int, list[int]] = {}
    for i, record in enumerate(records):
        for buffer in {id(access.buffer): None for access in reads(record)}:
            found.setdefault(buffer, []).append(i)
    return found


def is_written(source: Access, records: Sequence[Record], begin: int, end: int) -> bool:
    """Whether one of records[begin:end] writes to what an access reads."""
    return any(meet(writes(record), [source]) for record in records[begin:end])


Places = dict[int, Pointer]  # by the id of a buffer, where its beginning lies instead


def elsewhere(record: Record, places: Places) -> Record:
    """The record with other memory in the place of some buffers."""

    def place(pointer: Pointer) -> Pointer:
        found = places.get(id(pointer.buffer))
        return pointer if found is None else Pointer(found.buffer, found.offset + pointer.offset)

    return moved(record, places, place)


def moved(record: Record, buffers: Container[int], place: Callable[[Pointer], Pointer]) -> Record:
    """The record with pointers as `place` has them. buffers: the ids of those that it moves; a record
    without is returned as it is."""
    if not any(id(access.buffer) in buffers for access in record.accesses):
        return record

    def of(value: Any) -> Any:
        if isinstance(value, Pointer):
            return place(value)
        if isinstance(value, Access):
            at = place(Pointer(value.buffer, value.begin))
            return Access(at.buffer, at.offset, at.offset + value.end - value.begin, value.mode)
        if isinstance(value, Data):
            return Data(tuple(map(of, value.words)))
        return value

    callback = record.callback
    if callback is not None:
        pointers = [place(pointer) for pointer in callback.pointers]
        callback = Callback(callback.name, pointers, callback.run, callback.key)
    arguments, accesses = map(of, record.arguments), list(map(of, record.accesses))
    return Record(record.function, list(arguments), record.site, accesses, callback, record.note)


__all__ = [
    "Places", "commute", "elsewhere", "is_pure", "is_written", "meet", "moved", "overlap", "readers", "reads",
    "sharing_keys", "uses_state", "writers", "writes",
]  # fmt: skip
