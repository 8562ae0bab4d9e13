"""Work that nobody needs: done twice, copied only to be read, or never read at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tensorgrad.compiler._effects import MAX_DIMS, Access, Data, Pointer, is_full
from tensorgrad.compiler._passes._memory import (
    Places,
    elsewhere,
    is_pure,
    is_written,
    meet,
    readers,
    reads,
    writers,
    writes,
)
from tensorgrad.compiler._recorder import Record


def dead(records: list[Record]) -> list[Record]:
    """The records without those whose results are there already, and without those that nobody reads."""
    return unread(without_copies(once(records)))


# ---- never read ------------------------------------------------------------------------------------

Runs = list[tuple[int, int]]  # runs of bytes of one buffer


def unread(records: list[Record]) -> list[Record]:
    """The records without those whose writes nobody reads."""
    needed: dict[int, Runs] = {}  # by the id of a buffer, what later records read
    kept = []
    for record in reversed(records):
        if (is_pure(record) or _is_cast(record)) and not any(
            _is_needed(access, needed) for access in writes(record)
        ):
            continue
        kept.append(record)
        for access in record.accesses:
            if access.mode == "w":
                key = id(access.buffer)
                needed[key] = _without(needed.get(key, []), access.begin, access.end)
        for access in reads(record):
            needed.setdefault(id(access.buffer), []).append((access.begin, access.end))
    kept.reverse()
    return kept


def _is_cast(record: Record) -> bool:
    """Whether a step in Python only makes numbers of another dtype, which no kernel does."""
    return (
        record.callback is not None
        and record.callback.name == "numpy.copyto"
        and all(access.buffer.kind == "local" for access in writes(record))
    )


def _is_needed(access: Access, needed: dict[int, Runs]) -> bool:
    runs = needed.get(id(access.buffer), ())
    return any(begin < access.end and access.begin < end for begin, end in runs)


def _without(runs: Runs, begin: int, end: int) -> Runs:
    """The runs without what lies in begin..end."""
    left = [(b, min(e, begin)) for b, e in runs] + [(max(b, end), e) for b, e in runs]
    return [(b, e) for b, e in left if b < e]


# ---- done twice ------------------------------------------------------------------------------------


# Writes of one call to memory that others may see, as an optimizer has them, from which on all that read such
# memory is forgotten: to compare each with each would take long.
MANY = 16


class _Done:
    """What has been computed and is still there: by a key of the call, where its results are."""

    def __init__(self) -> None:
        self.results: dict[Any, list[Pointer]] = {}
        self._accesses: dict[Any, list[Access]] = {}
        self._users: dict[
            int, set[Any]
        ] = {}  # by the id of a buffer, the keys of calls that use it
        self._shared: set[Any] = set()  # keys of calls that use memory which others may see

    def add(self, key: Any, record: Record, results: list[Pointer]) -> None:
        self.results[key] = results
        self._accesses[key] = record.accesses
        for access in record.accesses:
            self._users.setdefault(id(access.buffer), set()).add(key)
            if access.buffer.kind not in ("local", "result"):
                self._shared.add(key)

    def forget(self, written: Sequence[Access]) -> None:
        """Takes note that memory has changed."""
        shared = [access for access in written if access.buffer.kind not in ("local", "result")]
        if len(shared) > MANY:
            for key in self._shared:
                self.results.pop(key, None)
            self._shared.clear()
            shared = []
        for access in written:
            if access.buffer.kind in ("local", "result"):
                self._drop(self._users.get(id(access.buffer), ()), access)
        for access in shared:
            self._drop(self._shared, access)

    def _drop(self, keys: Iterable[Any], access: Access) -> None:
        for key in [k for k in keys if meet(self._accesses[k], [access])]:
            self.results.pop(key, None)


def once(records: list[Record]) -> list[Record]:
    """The records without those that compute what one before them did, of the same inputs."""
    written, read = writers(records), readers(records)
    places: Places = {}
    done = _Done()
    kept = []
    for i, original in enumerate(records):
        record = elsewhere(original, places)
        results = _results(record, written)
        key = _key(record, results) if results else None
        before = done.results.get(key) if results else None
        if results and before:
            last = max((n for p in results for n in read.get(id(p.buffer), ())), default=i)
            whole = [Access(p.buffer, 0, p.buffer.nbytes, "r") for p in before]
            if not any(is_written(access, records, i + 1, last + 1) for access in whole):
                places |= {id(new.buffer): old for new, old in zip(results, before)}
                continue
        kept.append(record)
        done.forget(writes(record))
        if results:
            done.add(key, record, results)
    return kept


def _results(record: Record, written: dict[int, list[int]]) -> list[Pointer]:
    """Where a record's results are, each a buffer that nobody else writes; none if that is not so."""
    found = []
    for access in writes(record) if is_pure(record) else ():
        if access.mode != "w" or access.begin or len(written[id(access.buffer)]) > 1:
            return []
        found.append(Pointer(access.buffer, 0))
    return found


def _key(record: Record, results: list[Pointer]) -> Any:
    """Equal for records that compute the same."""
    numbers = {id(pointer.buffer): i for i, pointer in enumerate(results)}

    def of(value: Any) -> Any:
        if isinstance(value, Pointer):
            number = numbers.get(id(value.buffer))
            return ("result", number) if number is not None else (id(value.buffer), value.offset)
        if isinstance(value, Data):
            return tuple(map(of, value.words))
        return repr(value) if isinstance(value, float) else value  # 0.0 is not -0.0

    return record.name, tuple(map(of, record.arguments))


# ---- copies ----------------------------------------------------------------------------------------


def without_copies(records: list[Record]) -> list[Record]:
    """The records without copies whose originals can be read instead, as they do not change."""
    written, read = writers(records), readers(records)
    places: Places = {}
    kept = []
    for i, original in enumerate(records):
        record = elsewhere(original, places)
        copied = _copied(record)
        if copied is not None:
            source, target = copied
            key = id(target.buffer)
            last = max(read.get(key, ()), default=i)
            if (
                target.buffer.kind == "local"
                and target.begin == 0
                and written[key] == [i]
                and not is_written(source, records, i + 1, last + 1)
            ):
                places[key] = Pointer(source.buffer, source.begin)
                continue
        kept.append(record)
    return kept


def _copied(record: Record) -> tuple[Access, Access] | None:
    """What a record copies byte by byte, in the order in which it lies there: (source, target)."""
    if record.name != "tg_copy" or len(record.accesses) != 2:
        return None
    layout = record.argument("layout")
    ndim = layout.words[0]
    steps = [layout.words[1 + MAX_DIMS * k : 1 + MAX_DIMS * k + ndim] for k in (1, 2)]
    if steps[0] != steps[1] or min(steps[0], default=0) < 0 or not is_full(layout, 0):
        return None
    return record.accesses[0], record.accesses[1]
