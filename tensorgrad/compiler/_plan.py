"""Where a program's own buffers lie: one arena, in which a buffer takes the place of those that are not
needed any more, and the result of an elementwise call that of an input which dies there."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any

from tensorgrad._native import lib
from tensorgrad.compiler._effects import MAX_DIMS, Access, Data, TileValue

_ALIGNMENT = lib.TG_ALIGNMENT
# The inputs that an elementwise function may write its result `y` or `gx` over.
_INPUTS = {
    "tg_unary": ("x",),
    "tg_unary_grad": ("gy", "s"),
    "tg_binary": ("a", "b"),
    "tg_where": ("a", "b"),
    "tg_map": ("a", "b", "c", "d"),
}
MOST_TRIES = 8  # with one order of buffers; of many buffers fewer, since a try takes the square of their number
_STEP_WORDS, _SUM_WORDS = 11, 6  # of a tg_tile_step and a tg_tile_sum

Life = tuple[int, int]  # the first and the last step that use a buffer


class Plan:
    """offsets: by the id of a buffer, where it begins. nbytes: of the arena. bound: what is needed at
    the fullest moment at least. separate: what the buffers would take without sharing."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.nbytes = 0
        self.bound = 0
        self.separate = 0


def lifetimes(records: Sequence[Any], buffers: Sequence[Any]) -> dict[int, Life]:
    """By the id of a buffer of the program's own: its life."""
    found: dict[int, Life] = {}
    own = {id(b) for b in buffers if b.kind in ("local", "result")}
    for i, record in enumerate(records):
        for access in record.accesses:
            key = id(access.buffer)
            if key in own:
                found[key] = (found[key][0] if key in found else i, i)
    return found


def spans(records: Sequence[Any]) -> list[Life]:
    """For each step the first and the last of those that may run while it does."""
    found: list[Life] = []
    for _, group in groupby(
        enumerate(records), key=lambda r: ("group", r[1].lane.group) if r[1].lane else r[0]
    ):
        numbers = [i for i, _ in group]
        found += [(numbers[0], numbers[-1])] * len(numbers)
    return found


def _padded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // _ALIGNMENT) * _ALIGNMENT


# ---- in place ----------------------------------------------------------------------------------------


def heirs(records: Sequence[Any], lives: dict[int, Life]) -> dict[int, int]:
    """By the id of a buffer that may lie where another one did, which dies as it is born: the id of that
    one."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for i, record in enumerate(records):
        for source, result in _pairs(record):
            one, two = id(source.buffer), id(result.buffer)
            if (
                one != two
                and not (one in taken or two in found)
                and lives.get(one, (-1, -1))[1] == i
                and lives.get(two, (-1, -1))[0] == i
                # no other lane reads it at the same time
                and records[lives[one][0]].lane is record.lane
                and _padded(source.buffer.nbytes) == _padded(result.buffer.nbytes)
                and (source.begin, source.end) == (result.begin, result.end)
            ):
                taken.add(one)
                found[two] = one
    return found


def _pairs(record: Any) -> list[tuple[Access, Access]]:
    """(input, result) of an elementwise call that may be one array."""
    if record.name == "tg_tiles":
        return _tile_pairs(record)
    if record.name not in _INPUTS:
        return []
    results = [access for access in record.accesses if access.mode == "w"]
    return [
        (source, result)
        for result in results
        for source in _plain_inputs(record)
        if _is_alone(source, record)
    ]


def _tile_pairs(record: Any) -> list[tuple[Access, Access]]:
    """What a chain reads for the last time no later than it stores the other."""
    n, values, steps, sums = (record.argument(name) for name in ("n", "values", "steps", "sums"))
    rows = [TileValue(*values.words[i : i + 5]) for i in range(0, len(values.words), 5)]
    last_read: dict[int, int] = {}
    stored: dict[int, int] = {}
    for number, i in enumerate(range(0, len(steps.words), _STEP_WORDS)):
        _, _, *inputs, y = steps.words[i : i + 7]
        last_read |= dict.fromkeys(inputs, number)
        stored[y] = number
    summed = sums.words[1::_SUM_WORDS] if sums else ()
    sources = {
        x: access
        for x in last_read
        if x >= 0 and x not in summed and rows[x].slot < 0
        for access in _whole(rows[x], n, "r")
        if len(_meeting(access, record)) == 1
    }
    return [
        (source, result)
        for y, step in stored.items()
        for result in _whole(rows[y], n, "w")
        for x, source in sources.items()
        if last_read[x] <= step and rows[x].itemsize == rows[y].itemsize
    ]


def _whole(value: TileValue, n: int, mode: str) -> list[Access]:
    """The access to a chain's value that is an array of n elements, one for each step; else none."""
    if value.data is None or value.repeat != 1 or value.period != n:
        return []
    begin = value.data.offset
    return [Access(value.data.buffer, begin, begin + n * value.itemsize, mode)]


def _plain_inputs(record: Any) -> list[Access]:
    """What an elementwise call reads element by element, as it writes."""
    found = []
    layout = record.argument("layout") if "layout" in record.function.parameters else None
    for name in _INPUTS[record.name]:
        argument = record.argument(name)
        if layout is not None and (
            isinstance(argument, Data) or not _is_contiguous(layout, _operand(record, name))
        ):
            continue
        pointers = argument.words if isinstance(argument, Data) else (argument,)
        found += [
            access
            for access in record.accesses
            if access.mode == "r" and (access.buffer, access.begin) in pointers
        ]
    return found


def _operand(record: Any, name: str) -> int:
    return ("condition", "a", "b").index(name) - (record.name != "tg_where")


def _is_contiguous(layout: Data, operand: int) -> bool:
    ndim = layout.words[0]
    begin = 1 + MAX_DIMS * (1 + operand)
    step = 1
    for n, stride in reversed(
        list(zip(layout.words[1 : 1 + ndim], layout.words[begin : begin + ndim]))
    ):
        if n != 1 and stride != step:
            return False
        step *= n
    return True


def _is_alone(source: Access, record: Any) -> bool:
    """Whether a record reads these bytes in no other order."""
    meeting = _meeting(source, record)
    if len(meeting) == 1:
        return True
    has_layout = "layout" in record.function.parameters and record.argument("layout") is not None
    return not has_layout and all(access == source for access in meeting)


def _meeting(source: Access, record: Any) -> list[Access]:
    """A record's accesses to these bytes."""
    return [
        access
        for access in record.accesses
        if access.buffer is source.buffer
        and access.begin < source.end
        and source.begin < access.end
    ]


# ---- places ------------------------------------------------------------------------------------------


class _Place:
    """A run of the arena, and the buffers that lie there one after another, from step `first` to `last`.
    lane: the one that has these steps, if one does. begin, end: the steps that may run while they do."""

    def __init__(self, buffer: Any, life: Life) -> None:
        self.buffers = [buffer]
        self.nbytes = _padded(buffer.nbytes)
        self.first, self.last = life
        self.begin, self.end = life
        self.lane: Any = None
        self.offset = 0

    def see_lanes(self, records: Sequence[Any], at_once: Sequence[Life]) -> None:
        """Takes note of what runs at the same time. A lane's steps follow one another."""
        lane = records[self.first].lane
        self.lane = lane if lane is records[self.last].lane else None
        self.begin, self.end = at_once[self.first][0], at_once[self.last][1]

    def is_apart(self, other: _Place) -> bool:
        """Whether the two are never in use at the same time."""
        if self.lane is not None and self.lane is other.lane:
            return self.last < other.first or other.last < self.first
        return self.end < other.begin or other.end < self.begin


def _places(
    records: Sequence[Any], waiting: Sequence[Any], lives: dict[int, Life], share: bool
) -> list[_Place]:
    found: dict[int, _Place] = {}
    inherits = heirs(records, lives) if share else {}
    for buffer in sorted(waiting, key=lambda b: lives[id(b)][0]):
        place = found.get(inherits.get(id(buffer), 0))
        if place is None:
            found[id(buffer)] = _Place(buffer, lives[id(buffer)])
        else:
            found[id(buffer)] = place
            place.buffers.append(buffer)
            place.last = lives[id(buffer)][1]
    places = list({id(place): place for place in found.values()}.values())
    at_once = spans(records)
    for place in places:
        place.see_lanes(records, at_once)
    return places


def _pack(places: Sequence[_Place], share: bool) -> int:
    """Gives each place, in this order, the lowest offset that is free during its life; returns the bytes
    that all take."""
    done: list[_Place] = []
    total = 0
    for place in places:
        offset = 0
        for other in done:  # by rising offset
            if share and place.is_apart(other):
                continue
            if other.offset - offset >= place.nbytes:
                break
            offset = max(offset, other.offset + other.nbytes)
        place.offset = offset
        insort(done, place, key=lambda p: p.offset)
        total = max(total, offset + place.nbytes)
    return total


def _by_size(place: _Place) -> tuple[int, int]:
    return -place.nbytes, place.first


def _by_area(place: _Place) -> tuple[int, int]:
    return -place.nbytes * (place.last - place.first + 1), place.first


def _by_birth(place: _Place) -> tuple[int, int]:
    return place.first, -place.nbytes


def plan_memory(records: Sequence[Any], buffers: Sequence[Any], share: bool = True) -> Plan:
    """The best of some orders in which the buffers may be placed. Without share each has its own place."""
    plan = Plan()
    lives = lifetimes(records, buffers)
    waiting = [b for b in buffers if id(b) in lives]
    places = _places(records, waiting, lives, share)
    plan.separate = sum(_padded(b.nbytes) for b in waiting)
    plan.bound = _fullest(places, records)
    for key in (_by_size, _by_area, _by_birth):
        order = sorted(places, key=key)
        for _ in range(max(1, min(MOST_TRIES, 1000 // max(len(places), 1)))):
            total = _pack(order, share)
            if not plan.offsets or total < plan.nbytes:
                plan.nbytes = total
                plan.offsets = {id(b): place.offset for place in places for b in place.buffers}
            if plan.nbytes <= plan.bound or not share:
                return plan
            # what came to lie at the top is placed first the next time
            order.sort(key=lambda place: place.offset + place.nbytes < total)
    return plan


def _fullest(places: Sequence[_Place], records: Sequence[Any]) -> int:
    """The most bytes that are in use at any moment; lanes of a group may all be at their fullest at once."""
    steps = len(records)
    whole = _loads([(p.begin, p.end, p.nbytes) for p in places if p.lane is None], steps)
    inside = _loads([(p.first, p.last, p.nbytes) for p in places if p.lane is not None], steps)
    most = 0
    for begin, end in set(spans(records)):
        lanes: dict[int, int] = {}
        for record, load in zip(records[begin : end + 1], inside[begin : end + 1]):
            lanes[id(record.lane)] = max(lanes.get(id(record.lane), 0), load)
        most = max(most, whole[begin] + sum(lanes.values()))
    return most


def _loads(runs: Sequence[tuple[int, int, int]], steps: int) -> list[int]:
    """How many bytes are in use at each step. runs: (first step, last step, bytes)."""
    changes = [0] * (steps + 1)
    for first, last, nbytes in runs:
        changes[first] += nbytes
        changes[last + 1] -= nbytes
    return list(accumulate(changes))[:steps]


__all__ = ["Plan", "heirs", "lifetimes", "plan_memory"]
