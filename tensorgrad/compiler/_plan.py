"""Where a program's own buffers lie: one arena, in which a buffer takes the place of those that are not
needed any more, and the result of an elementwise call that of an input which dies there."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Any

from tensorgrad._native import lib
from tensorgrad.compiler._effects import MAX_DIMS, Access, Data

_ALIGNMENT = lib.TG_ALIGNMENT
# The inputs that an elementwise function may write its result `y` or `gx` over.
_INPUTS = {
    "tg_unary": ("x",),
    "tg_unary_grad": ("gy", "s"),
    "tg_binary": ("a", "b"),
    "tg_where": ("a", "b"),
    "tg_map": ("a", "b", "c", "d"),
}

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


def _padded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // _ALIGNMENT) * _ALIGNMENT


# ---- in place ----------------------------------------------------------------------------------------


def heirs(records: Sequence[Any], lives: dict[int, Life]) -> dict[int, int]:
    """By the id of a buffer that may lie where another one did, which dies as it is born: the id of that
    one."""
    found: dict[int, int] = {}
    for i, record in enumerate(records):
        result = _elementwise_result(record)
        if result is None or lives.get(id(result.buffer), (-1,))[0] != i:
            continue
        for source in _plain_inputs(record):
            one, two = source.buffer, result.buffer
            if (
                one is not two
                and lives.get(id(one), (-1, -1))[1] == i
                and _padded(one.nbytes) == _padded(two.nbytes)
                and (source.begin, source.end) == (result.begin, result.end)
                and _is_alone(source, record)
            ):
                found[id(two)] = id(one)
                break
    return found


def _elementwise_result(record: Any) -> Access | None:
    """What an elementwise call writes."""
    if record.name not in _INPUTS:
        return None
    return next((access for access in record.accesses if access.mode == "w"), None)


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
    meeting = [
        access
        for access in record.accesses
        if access.buffer is source.buffer
        and access.begin < source.end
        and source.begin < access.end
    ]
    if len(meeting) == 1:
        return True
    has_layout = "layout" in record.function.parameters and record.argument("layout") is not None
    return not has_layout and all(access == source for access in meeting)


# ---- places ------------------------------------------------------------------------------------------


class _Place:
    """A run of the arena, and the buffers that lie there one after another."""

    def __init__(self, buffer: Any, life: Life) -> None:
        self.buffers = [buffer]
        self.nbytes = _padded(buffer.nbytes)
        self.first, self.last = life
        self.offset = 0


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
    return list({id(place): place for place in found.values()}.values())


def _pack(places: Sequence[_Place], share: bool) -> int:
    """Gives each place, in this order, the lowest offset that is free during its life; returns the bytes
    that all take."""
    done: list[_Place] = []
    total = 0
    for place in places:
        offset = 0
        for other in done:  # by rising offset
            if share and (other.last < place.first or place.last < other.first):
                continue
            if other.offset - offset >= place.nbytes:
                break
            offset = max(offset, other.offset + other.nbytes)
        place.offset = offset
        insort(done, place, key=lambda p: p.offset)
        total = max(total, offset + place.nbytes)
    return total


_ORDERS = (
    lambda p: (-p.nbytes, p.first),
    lambda p: (-p.nbytes * (p.last - p.first + 1), p.first),
    lambda p: (p.first, -p.nbytes),
)


def plan_memory(records: Sequence[Any], buffers: Sequence[Any], share: bool = True) -> Plan:
    """The best of some orders in which the buffers may be placed. Without share each has its own place."""
    plan = Plan()
    lives = lifetimes(records, buffers)
    waiting = [b for b in buffers if id(b) in lives]
    places = _places(records, waiting, lives, share)
    plan.separate = sum(_padded(b.nbytes) for b in waiting)
    plan.bound = _fullest(places, len(records))
    for order in _ORDERS:
        total = _pack(sorted(places, key=order), share)
        if plan.offsets and total >= plan.nbytes:
            continue
        plan.nbytes = total
        plan.offsets = {id(b): place.offset for place in places for b in place.buffers}
        if total <= plan.bound or not share:
            break
    return plan


def _fullest(places: Sequence[_Place], steps: int) -> int:
    """The most bytes that are in use at any step."""
    loads = [0] * (steps + 1)
    for place in places:
        loads[place.first] += place.nbytes
        loads[place.last + 1] -= place.nbytes
    now = most = 0
    for change in loads:
        now += change
        most = max(most, now)
    return most


__all__ = ["Plan", "heirs", "lifetimes", "plan_memory"]
