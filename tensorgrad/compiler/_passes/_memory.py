"""What passes ask of records: which memory two of them share, and how one is made to use other memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tensorgrad.compiler._effects import Access, Data, Pointer
from tensorgrad.compiler._recorder import Buffer, Callback, Record

# Calls that do more than their accesses say.
_HAVE_EFFECTS = frozenset(("tg_call_back", "tg_call_foreign"))
_FIXED = frozenset(("array", "constant", "outside", "state"))  # kinds whose address is known


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
    if one.kind in _FIXED and two.kind in _FIXED:
        return bool(
            one.address + a.begin < two.address + b.end
            and two.address + b.begin < one.address + a.end
        )
    # an input lies elsewhere in each run, but in the same storages as other inputs and parameters
    return one.owner is not None and one.owner is two.owner


def meet(some: Iterable[Access], others: Sequence[Access]) -> bool:
    """Whether accesses of the two may meet."""
    return any(overlap(a, b) for a in some for b in others)


def commute(a: Record, b: Record) -> bool:
    """Whether two records that follow one another may change places."""
    if a.callback is not None and b.callback is not None:
        return False
    return not (meet(writes(a), b.accesses) or meet(reads(a), writes(b)))


def is_pure(record: Record) -> bool:
    """Whether a record does nothing but write memory of the program's own, and cannot fail."""
    return (
        record.name not in _HAVE_EFFECTS
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


def _moved(value: Any, places: Places) -> Any:
    if isinstance(value, Pointer):
        place = places.get(id(value.buffer))
        return value if place is None else Pointer(place.buffer, place.offset + value.offset)
    if isinstance(value, Access):
        place = places.get(id(value.buffer))
        if place is None:
            return value
        return Access(
            place.buffer, place.offset + value.begin, place.offset + value.end, value.mode
        )
    if isinstance(value, Data):
        return Data(tuple(_moved(word, places) for word in value.words))
    return value


def moved(record: Record, places: Places) -> Record:
    """The record with other memory in the place of some; itself if it uses none of that."""
    if not any(id(access.buffer) in places for access in record.accesses):
        return record
    callback = record.callback
    if callback is not None:
        pointers = [_moved(pointer, places) for pointer in callback.pointers]
        callback = Callback(callback.name, pointers, callback.run, callback.key)
    return Record(
        record.function,
        [_moved(argument, places) for argument in record.arguments],
        record.site,
        [_moved(access, places) for access in record.accesses],
        callback,
        record.note,
    )


def replaced(record: Record, note: str, **arguments: Any) -> Record:
    """The record with other arguments for some parameters."""
    given = dict(zip(record.function.parameters, record.arguments)) | arguments
    return Record(record.function, list(given.values()), record.site, note=note)


def new_local(nbytes: int) -> Buffer:
    """Memory of the program's own."""
    return Buffer("local", 0, nbytes)


Pass = Callable[[list[Record]], list[Record]]

__all__ = [
    "Pass", "Places", "commute", "is_pure", "is_written", "meet", "moved", "new_local", "overlap", "readers", "reads",
    "replaced", "writers", "writes",
]  # fmt: skip
