"""Small kernels that have nothing to do with each other run at the same time.

Where a program's steps fall into lanes, none of which reads or writes what another one writes (branches of
a network, say), each lane runs on a thread of its own: they wait for each other once, where kernels that are
shared among threads would do so at every step. Which steps these are is decided by an estimate of how long
each takes."""

from __future__ import annotations

from collections.abc import Sequence

from tensorgrad._native import lib
from tensorgrad.compiler._costs import cost, itemsize, moved_bytes
from tensorgrad.compiler._effects import Access
from tensorgrad.compiler._passes._memory import has_effects, overlap, sharing_keys
from tensorgrad.compiler._recorder import Lane, Record

MOST_STEPS = 64  # of a group
MOST_ACCESSES = (
    16  # of a step: what works on more memory, an optimizer say, is shared among threads as it is
)
LEAST_GAIN = 0.1  # of the time that the steps take one after another
JOIN = 1000  # nanoseconds that it costs at most to share work among threads
_MOST_THREADS = 64
_CALL = 30  # nanoseconds of any step
# In a nanosecond, on a fast machine: on a slower one a group pays sooner.
_PRODUCT_FLOPS, _FLOPS, _BYTES = 150, 20, 100
_CAN_FAIL = {"index", "labels"}  # parameters whose values a kernel may refuse


def beside(records: list[Record]) -> list[Record]:
    """The records with those in lanes of a group next to each other, and that noted in them."""
    times = [_time(record) for record in records]
    found: list[Record] = []
    at = 0
    for begin, lanes in _groups(records, times):
        found += records[at:begin]
        threads = _most_threads([[times[i] for i in lane] for lane in lanes])
        for number, lane in enumerate(lanes):
            mark = Lane(begin, sum(times[i] for i in lane), threads)
            for i in lane:
                found.append(_marked(records[i], mark, f"lane {number + 1} of {len(lanes)}"))
        at = begin + sum(map(len, lanes))
    return found + records[at:]


def _marked(record: Record, lane: Lane, note: str) -> Record:
    note = f"{record.note}, {note}" if record.note else note
    return Record(
        record.function, record.arguments, record.site, record.accesses, note=note, lane=lane
    )


# ---- time --------------------------------------------------------------------------------------------


def _time(record: Record) -> int:
    """About how many nanoseconds a record takes on one thread."""
    flops = _PRODUCT_FLOPS if record.name.startswith("tg_gemm") else _FLOPS
    work = cost(record).flops * (itemsize(record) // 4) / flops
    return int(max(work, moved_bytes(record) / _BYTES)) + _CALL


def _alone(time: float, threads: int) -> float:
    """The time of a step that has all threads for itself, and uses them where that pays."""
    return min(time, time / threads + JOIN)


def _together(works: Sequence[int], threads: int) -> float:
    """The time of lanes on some threads, as run_lanes in csrc/core/program.c shares them."""
    total = sum(works)
    ends = [total * (i + 1) // threads for i in range(threads)]
    loads = [0] * threads
    at = 0
    for work in works:
        loads[next(i for i, end in enumerate(ends) if at + work // 2 < end)] += work
        at += work
    return max(loads) + JOIN


def _most_threads(lanes: Sequence[Sequence[int]]) -> int:
    """The most threads for which lanes are faster than steps that are shared. lanes: the times of the
    steps of each."""
    works = list(map(sum, lanes))
    threads = 2
    while threads < _MOST_THREADS and _together(works, threads + 1) < sum(
        _alone(time, threads + 1) for lane in lanes for time in lane
    ):
        threads += 1
    return threads


# ---- groups ------------------------------------------------------------------------------------------

Lanes = list[list[int]]  # the numbers of the records of each


def _groups(records: Sequence[Record], times: Sequence[int]) -> list[tuple[int, Lanes]]:
    """(first record, lanes) of the groups that together gain most on two threads."""
    conflicts = _conflicts(records)
    # for the records before each number: what can be gained, and the last group or record alone
    best: list[tuple[float, int, Lanes]] = [(0.0, 0, []), *[(-1.0, 0, [])] * len(records)]
    for begin in range(len(records)):
        if best[begin][0] > best[begin + 1][0]:
            best[begin + 1] = best[begin][0], begin, []
        _take_groups(best, conflicts, times, begin)
    found = []
    end = len(records)
    while end > 0:
        _, begin, lanes = best[end]
        if lanes:
            found.append((begin, lanes))
        end = begin
    found.reverse()
    return found


def _take_groups(
    best: list[tuple[float, int, Lanes]],
    conflicts: Sequence[set[int] | None],
    times: Sequence[int],
    begin: int,
) -> None:
    """Takes into `best` the groups that begin with a record."""
    before = best[begin][0]
    lanes: dict[int, list[int]] = {}  # by the last record of each
    lane_of: dict[int, int] = {}
    works: dict[int, int] = {}
    alone = 0.0
    for i in range(begin, min(begin + MOST_STEPS, len(times))):
        met = conflicts[i]
        if met is None:
            return
        lane, work = [i], times[i]
        for key in {lane_of[k] for k in met if k >= begin}:
            lane += lanes.pop(key)
            work += works.pop(key)
        lanes[i], works[i] = lane, work
        lane_of |= dict.fromkeys(lane, i)
        alone += _alone(times[i], 2)
        if not 1 < len(lanes) <= lib.TG_MOST_LANES:
            continue
        most = alone - max(*works.values(), sum(works.values()) / 2) - JOIN
        if most > LEAST_GAIN * alone and before + most > best[i + 1][0]:
            order = _in_halves(works)
            gain = alone - _together([works[k] for k in order], 2)
            if gain > LEAST_GAIN * alone and before + gain > best[i + 1][0]:
                best[i + 1] = before + gain, begin, [sorted(lanes[k]) for k in order]


def _in_halves(works: dict[int, int]) -> list[int]:
    """The keys in an order in which the two halves of the work are about equal."""
    halves: tuple[list[int], list[int]] = ([], [])
    for key in sorted(works, key=lambda k: -works[k]):
        min(halves, key=lambda half: sum(works[k] for k in half)).append(key)
    return halves[0] + halves[1]


def _may_have_company(record: Record) -> bool:
    """Whether a record may run on another thread, beside others: it is a kernel that does not fail."""
    return (
        not has_effects(record)
        and not _CAN_FAIL & set(record.function.parameters)
        and len(record.accesses) <= MOST_ACCESSES
    )


def _conflicts(records: Sequence[Record]) -> list[set[int] | None]:
    """For each record the numbers of those shortly before it that it may not run beside; None: of all."""
    found: list[set[int] | None] = []
    used: dict[object, list[tuple[int, Access]]] = {}
    for i, record in enumerate(records):
        if not _may_have_company(record):
            found.append(None)
            continue
        met = set()
        for access in record.accesses:
            for key in sharing_keys(access.buffer):
                uses = used.setdefault(key, [])
                for k, other in reversed(uses):
                    if k <= i - MOST_STEPS:
                        break
                    if not other.mode == access.mode == "r" and overlap(other, access):
                        met.add(k)
                uses.append((i, access))
        found.append(met - {i})
    return found


__all__ = ["beside"]
