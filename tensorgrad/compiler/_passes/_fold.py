"""What does not depend on anything is computed once, when the program is built."""

from __future__ import annotations

from tensorgrad._native import address_of, allocate
from tensorgrad.compiler._effects import Access, Pointer
from tensorgrad.compiler._passes._memory import (
    Places,
    elsewhere,
    is_pure,
    reads,
    writers,
    writes,
)
from tensorgrad.compiler._program import Program
from tensorgrad.compiler._recorder import Buffer, Record
from tensorgrad.errors import OutOfMemoryError


def fold(records: list[Record]) -> list[Record]:
    """The records without those whose inputs are all numbers of the program: fills, and what is computed
    of constants alone. Their results are memory that the program keeps beside its arena."""
    written = writers(records)
    known: dict[int, Buffer] = {}  # by their ids, the buffers with constants
    constant, rest = [], []
    for record in records:
        results = [access.buffer for access in writes(record)]
        if (
            is_pure(record)
            and results
            and all(id(access.buffer) in known for access in reads(record))
            and all(_is_only(access, written) for access in writes(record))
        ):
            constant.append(record)
            known |= {id(buffer): buffer for buffer in results}
        else:
            rest.append(record)
    needed = {id(a.buffer) for record in rest for a in reads(record)} & known.keys()
    if not needed:
        return records
    places: Places = {key: Pointer(_constant(known[key].nbytes), 0) for key in needed}
    Program([elsewhere(record, places) for record in constant], []).run()
    return [elsewhere(record, places) for record in rest]


def _is_only(access: Access, written: dict[int, list[int]]) -> bool:
    """Whether a write is the only one to its buffer, and leaves nothing of it out."""
    return access.mode == "w" and len(written[id(access.buffer)]) == 1


def _constant(nbytes: int) -> Buffer:
    storage = allocate(nbytes)
    if not storage.ptr:
        raise OutOfMemoryError(f"compile: no memory for a constant of {nbytes} bytes")
    return Buffer("constant", address_of(storage.ptr), nbytes, storage)
