"""Elementwise calls on arrays of one size, with the reductions at their ends, become one call that does all
of them tile by tile (csrc/families/tiles.c): what they hand to each other never leaves the first cache.

A group grows from its first call: a later one joins if nothing that has to come between it and the group
is in the way. What stands between and has nothing to do with the group goes before it, the rest after."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import NamedTuple

from tensorgrad._native import BINARY, UNARY, ffi, lib
from tensorgrad.compiler._effects import (
    BY_NAME,
    ITEM,
    MAX_DIMS,
    Access,
    Data,
    Pointer,
    TileStep,
    TileSum,
    TileValue,
)
from tensorgrad.compiler._passes._memory import has_effects, overlap, sharing_keys, uses_state
from tensorgrad.compiler._recorder import Record
from tensorgrad.shapes import spread

MOST_STEPS = 96
MOST_OPERANDS = 200  # so that a group's values are not more than tg_tiles takes
MOST_SUMS = 8
PATIENCE = 64  # calls that do not join, after which a group is complete
_FILL = UNARY["fill"]
_NAMES = {lib.TG_TILE_UNARY: {i: name for name, i in UNARY.items()}}
_NAMES[lib.TG_TILE_BINARY] = {i: name for name, i in BINARY.items()}


# ---- calls as steps ------------------------------------------------------------------------------


class Operand(NamedTuple):
    """Element i is the one at `i / repeat % period` from `place` on."""

    place: Pointer
    itemsize: int
    repeat: int
    period: int


class Step(NamedTuple):
    """An elementwise call. p: the bits of its numbers."""

    kind: int
    op: int
    dtype: int
    n: int
    inputs: tuple[Operand, ...]
    y: Operand
    p: tuple[int, ...]


def _bits(value: float) -> int:
    return int(struct.unpack("q", struct.pack("d", value))[0])


def _pattern(n: int, layout: Data | None, k: int) -> tuple[int, int] | None:
    """(repeat, period) of a layout's operand, if it is of that form."""
    if layout is None:
        return 1, n
    ndim = layout.words[0]
    begin = 1 + MAX_DIMS * (1 + k)
    shape, strides = layout.words[1 : 1 + ndim], layout.words[begin : begin + ndim]
    return spread(shape, strides)


def _size(layout: Data) -> int:
    return prod(layout.words[1 : 1 + layout.words[0]])


def _operands(
    places: Sequence[Pointer], items: Sequence[int], n: int, layout: Data | None
) -> tuple[Operand, ...] | None:
    found = []
    for k, (place, item) in enumerate(zip(places, items)):
        pattern = _pattern(n, layout, k)
        if pattern is None:
            return None
        found.append(Operand(place, item, *pattern))
    return tuple(found)


def step_of(record: Record) -> Step | None:
    """The call as a step of a group, None if it cannot be one."""
    name, a = record.name, record.arguments
    inputs: tuple[Operand, ...] | None
    p: tuple[int, ...] = ()
    if name == "tg_unary":
        op, dtype, n, x, y, p0, p1 = a
        kind, p = lib.TG_TILE_UNARY, (_bits(p0), _bits(p1))
        inputs = () if op == _FILL else _operands([x], [ITEM[dtype]], n, None)
    elif name == "tg_unary_grad":
        op, dtype, n, gy, s, y, p0, p1 = a
        kind, p = lib.TG_TILE_UNARY_GRAD, (_bits(p0), _bits(p1))
        inputs = _operands([gy, s], [ITEM[dtype]] * 2, n, None)
    elif name == "tg_binary":
        op, dtype, n, left, right, y, layout = a
        kind = lib.TG_TILE_BINARY
        inputs = _operands([left, right], [ITEM[dtype]] * 2, n, layout)
    elif name == "tg_where":
        dtype, n, condition, left, right, y, layout = a
        kind, op = lib.TG_TILE_WHERE, 0
        inputs = _operands([condition, left, right], [1, ITEM[dtype], ITEM[dtype]], n, layout)
    elif name == "tg_map":
        op, dtype, n, *places, y, layout, p0, p1, p2, p3 = a
        kind, p = lib.TG_TILE_MAP, tuple(map(_bits, (p0, p1, p2, p3)))
        given = places[: lib.tg_custom_inputs(lib.TG_MAP, op)]
        inputs = _operands(given, [ITEM[dtype]] * len(given), n, layout)
    elif name == "tg_copy":
        item, x, y, layout = a
        kind, op, n = lib.TG_TILE_COPY, 0, _size(layout)
        if item not in ITEM[:2] or n < 1 or _pattern(n, layout, 1) != (1, n):
            return None
        dtype = ITEM.index(item)  # what is copied may be anything of that width
        inputs = _operands([x], [item], n, layout)
    else:
        return None
    if inputs is None or n < 1:
        return None
    return Step(kind, op, dtype, n, inputs, Operand(y, ITEM[dtype], 1, n), p)


class Sum(NamedTuple):
    """A reduction that can be at the end of a group. unit: how many elements it takes at a time."""

    op: int
    dtype: int
    n: int
    shape: tuple[int, int, int]
    x: Operand
    y: Operand
    unit: int


def sum_of(record: Record) -> Sum | None:
    """The call as a sum of a group, None if it cannot be one."""
    if record.name != "tg_reduce":
        return None
    op, dtype, outer, n, inner, x, y = record.arguments
    unit = lib.tg_tiles_unit(outer, n, inner)
    if not unit:
        return None
    item, size = ITEM[dtype], outer * n * inner
    shape = (outer, n, inner)
    return Sum(
        op, dtype, size, shape, Operand(x, item, 1, size), Operand(y, item, 1, outer * inner), unit
    )


# ---- what may be moved where -----------------------------------------------------------------------


class _Touched:
    """The memory that some calls use, by what it can be shared through."""

    def __init__(self) -> None:
        self._runs: dict[object, list[Access]] = {}
        self._effects = self._state = False

    def add(self, record: Record) -> None:
        """Adds what a call uses."""
        self._effects |= has_effects(record)
        self._state |= uses_state(record)
        self.add_accesses(record.accesses)

    def add_accesses(self, accesses: Iterable[Access]) -> None:
        """Adds runs of memory."""
        for access in accesses:
            for key in sharing_keys(access.buffer):
                self._runs.setdefault(key, []).append(access)

    def conflicts(self, accesses: Iterable[Access]) -> Iterator[tuple[Access, Access]]:
        """Pairs of accesses that may meet, (one of here, one of the given), of which one writes."""
        for access in accesses:
            for key in sharing_keys(access.buffer):
                for other in self._runs.get(key, ()):
                    if not other.mode == access.mode == "r" and overlap(other, access):
                        yield other, access

    def stops(self, record: Record) -> bool:
        """Whether a call has to stay behind those of here."""
        if has_effects(record) and (self._effects or self._state):
            return True
        if self._effects and uses_state(record):
            return True
        return any(True for _ in self.conflicts(record.accesses))


class _Group:
    """Calls that become one."""

    def __init__(self, first: Step | Sum) -> None:
        self.dtype, self.n = first.dtype, first.n
        self.members: list[tuple[int, Record, Step | Sum]] = []
        self.operands = 0
        self.steps = 0
        self.summed: set[Pointer] = set()
        self.unit = 0
        self.touched = _Touched()

    def takes(self, record: Record, call: Step | Sum) -> bool:
        """Whether the call can be one of the group."""
        if (call.dtype, call.n) != (self.dtype, self.n):
            return False
        if not self._agrees(record, call):
            return False
        if isinstance(call, Sum):
            return len(self.summed) < MOST_SUMS and self.unit in (0, call.unit)
        # a sum is done after all steps
        return (
            self.steps < MOST_STEPS
            and self.operands + len(call.inputs) < MOST_OPERANDS
            and call.y.place not in self.summed
        )

    def _agrees(self, record: Record, call: Step | Sum) -> bool:
        """What both use and one writes are whole arrays at the same place, read element by element."""
        whole = self.n * ITEM[self.dtype]
        own = _Touched()
        own.add_accesses(a for a in record.accesses if a.mode == "r")
        for here, given in (
            *self.touched.conflicts(record.accesses),
            *own.conflicts(a for a in record.accesses if a.mode != "r"),
        ):
            if (here.begin, here.end) != (
                given.begin,
                given.end,
            ) or given.end - given.begin != whole:
                return False
            if isinstance(call, Sum) and given.mode != "r":
                return False
            if Pointer(here.buffer, here.begin) in self._results:
                return False
        return True

    @property
    def _results(self) -> set[Pointer]:
        return {call.y.place for _, _, call in self.members if isinstance(call, Sum)}

    def add(self, i: int, record: Record, call: Step | Sum) -> None:
        self.members.append((i, record, call))
        self.touched.add(record)
        if isinstance(call, Sum):
            self.summed.add(call.x.place)
            self.unit = call.unit
        else:
            self.operands += len(call.inputs)
            self.steps += 1

    def connected(self) -> set[int]:
        """The members that share whole arrays with the first, or with others that do."""
        by_place: dict[Pointer, list[int]] = {}
        places = []
        for k, (_, _, call) in enumerate(self.members):
            inputs = (call.x,) if isinstance(call, Sum) else (*call.inputs, call.y)
            places.append([o.place for o in inputs if o.period == self.n])
            for place in places[-1]:
                by_place.setdefault(place, []).append(k)
        found, waiting = {0}, [0]
        while waiting:
            for place in places[waiting.pop()]:
                for k in by_place.pop(place, ()):
                    if k not in found:
                        found.add(k)
                        waiting.append(k)
        return found


# ---- a group as one call -----------------------------------------------------------------------------


class _Build:
    """The arguments of tg_tiles for a group. outside(buffer): whether calls outside the group use it."""

    def __init__(
        self, members: Sequence[tuple[int, Record, Step | Sum]], outside: set[int]
    ) -> None:
        self.values: list[Operand | None] = []  # of what a step makes, where it is stored
        self.made: set[int] = set()
        self.steps: list[tuple[Step, tuple[int, ...], int]] = []
        self.sums: list[tuple[Sum, int]] = []
        self._at: dict[Operand, int] = {}  # the value that a place holds now
        for _, _, call in members:
            if isinstance(call, Sum):
                self.sums.append((call, self._value(call.x)))
            else:
                self._step(call)
        self._store(outside)
        self._pass_copies_on()
        self._drop_dead()
        self.once = self._constants()

    def _value(self, operand: Operand) -> int:
        if operand not in self._at:
            self._at[operand] = len(self.values)
            self.values.append(operand)
        return self._at[operand]

    def _step(self, call: Step) -> None:
        inputs = tuple(map(self._value, call.inputs))
        y = self._at[call.y] = len(self.values)
        self.values.append(None)
        self.made.add(y)
        self.steps.append((call, inputs, y))

    def _store(self, outside: set[int]) -> None:
        for operand, value in self._at.items():
            buffer = operand.place.buffer
            if value in self.made and (buffer.kind != "local" or id(buffer) in outside):
                self.values[value] = operand

    def _pass_copies_on(self) -> None:
        """Copies of what a step made: who reads the copy reads that, and what is to be stored there is
        stored at once, unless what it replaces is still read."""
        same: dict[int, int] = {}
        maker = {y: i for i, (_, _, y) in enumerate(self.steps)}
        for i, (call, inputs, y) in enumerate(self.steps):
            inputs = tuple(same.get(v, v) for v in inputs)
            self.steps[i] = (call, inputs, y)
            if call.kind != lib.TG_TILE_COPY or inputs[0] not in self.made:
                continue
            source = same[y] = inputs[0]
            stored = self.values[y]
            if stored is not None and self.values[source] is None:
                between = self.steps[maker[source] + 1 : i]
                if not any(self._reads(v, stored.place) for _, read, _ in between for v in read):
                    self.values[source], self.values[y] = stored, None
        self.sums = [(call, same.get(v, v)) for call, v in self.sums]

    def _reads(self, value: int, place: Pointer) -> bool:
        operand = self.values[value]
        return value not in self.made and operand is not None and operand.place == place

    def _drop_dead(self) -> None:
        wanted = {value for _, value in self.sums}
        kept = []
        for call, inputs, y in reversed(self.steps):
            if y in wanted or self.values[y] is not None:
                wanted.update(inputs)
                kept.append((call, inputs, y))
        self.steps = kept[::-1]

    def _constants(self) -> set[int]:
        """The values that are the same for every tile and not stored; their steps come first now."""
        summed = {value for _, value in self.sums}
        found: set[int] = set()
        for _, inputs, y in self.steps:
            if (
                self.values[y] is None
                and y not in summed
                and all(self._is_one(v) or v in found for v in inputs)
            ):
                found.add(y)
        self.steps.sort(key=lambda step: step[2] not in found)
        return found

    def _is_one(self, value: int) -> bool:
        operand = self.values[value]
        return value not in self.made and operand is not None and operand.period == 1

    def _slots(self) -> dict[int, int]:
        """Where each made value is: in the place of one that is not read any more."""
        last = {v: i for i, (_, inputs, _) in enumerate(self.steps) for v in inputs}
        slots: dict[int, int] = {}
        free: list[int] = []
        count = 0
        for i, (_, inputs, y) in enumerate(self.steps):
            for v in dict.fromkeys(inputs):
                if v in slots and last[v] == i and v not in self.once:
                    free.append(slots[v])
            if not free:
                free.append(count)
                count += 1
            slots[y] = free.pop()
            if y not in last and y not in self.once:
                free.append(slots[y])
        return slots

    def arguments(self, dtype: int, n: int) -> tuple[object, ...]:
        """The arguments of tg_tiles."""
        slots = self._slots()
        used = sorted(
            {v for _, inputs, y in self.steps for v in (*inputs, y)} | {v for _, v in self.sums}
        )
        number = {v: i for i, v in enumerate(used)}
        values: list[TileValue] = []
        for v in used:
            o = self.values[v]
            if o is None:
                values.append(TileValue(None, ITEM[dtype], 1, n, slots[v]))
            else:
                values.append(TileValue(o.place, o.itemsize, o.repeat, o.period, slots.get(v, -1)))
        steps = [
            TileStep(call.kind, call.op, tuple(number[v] for v in inputs), number[y], call.p)
            for call, inputs, y in self.steps
        ]
        sums = [TileSum(s.op, number[v], *s.shape, s.y.place) for s, v in self.sums]
        return (
            dtype,
            n,
            len(values),
            Data(tuple(word for value in values for word in value)),
            len(steps),
            Data(tuple(word for step in steps for word in _words(step))),
            len(self.once),
            len(sums),
            Data(tuple(word for s in sums for word in s)) if sums else None,
        )


def _words(step: TileStep) -> list[int]:
    inputs = [*step.inputs, -1, -1, -1, -1][:4]
    return [step.kind, step.op, *inputs, step.y, *[*step.p, 0, 0, 0, 0][:4]]  # type: ignore[list-item]


def _name(call: Step | Sum) -> str:
    if isinstance(call, Sum):
        return ffi.string(lib.tg_op_name(lib.TG_REDUCE, call.op)).decode()
    if call.kind in (lib.TG_TILE_WHERE, lib.TG_TILE_COPY):
        return "where" if call.kind == lib.TG_TILE_WHERE else "copy"
    if call.kind == lib.TG_TILE_UNARY_GRAD:
        return _NAMES[lib.TG_TILE_UNARY].get(call.op, "custom") + "'"
    return _NAMES.get(call.kind, {}).get(call.op, "custom")


def _fused(members: Sequence[tuple[int, Record, Step | Sum]], uses: Counter[int]) -> Record:
    inside: Counter[int] = Counter()
    for _, record, _ in members:
        inside.update({id(a.buffer) for a in record.accesses})
    build = _Build(members, {key for key, count in inside.items() if uses[key] > count})
    first = members[0]
    note = f"{len(members)} calls tile by tile: " + " ".join(_name(call) for _, _, call in members)
    made = Record(
        BY_NAME["tg_tiles"], build.arguments(first[2].dtype, first[2].n), first[1].site, note=note
    )
    uses.subtract(inside)
    uses.update({id(a.buffer) for a in made.accesses})
    return made


# ---- the pass ------------------------------------------------------------------------------------------


def _grow(
    records: Sequence[Record], calls: Sequence[Step | Sum | None], start: int
) -> tuple[_Group, set[int], int]:
    """The group that begins with a call; the numbers of the calls that have to come after it, and of the
    first that was not looked at."""
    first = calls[start]
    assert first is not None
    group = _Group(first)
    group.add(start, records[start], first)
    behind = _Touched()
    after: set[int] = set()
    since = 0
    i = start + 1
    while i < len(records) and since < PATIENCE:
        record, call = records[i], calls[i]
        stopped = behind.stops(record)
        if call is not None and not stopped and group.takes(record, call):
            group.add(i, record, call)
            since = 0
        else:
            if stopped or group.touched.stops(record):
                behind.add(record)
                after.add(i)
            since += 1
        i += 1
    return group, after, i


def chains(records: list[Record]) -> list[Record]:
    """The pass: groups of elementwise calls become one call each."""
    records = list(records)
    calls: list[Step | Sum | None] = [step_of(r) or sum_of(r) for r in records]
    uses: Counter[int] = Counter()
    for record in records:
        uses.update({id(a.buffer) for a in record.accesses})
    i = 0
    while i < len(records):
        if calls[i] is not None:
            group, after, end = _grow(records, calls, i)
            kept = group.connected()
            members = [member for k, member in enumerate(group.members) if k in kept]
            if len(members) > 1:
                inside = {number for number, _, _ in members}
                before = [k for k in range(i, end) if k not in after and k not in inside]
                behind = sorted(after)
                made = _fused(members, uses)
                records[i:end] = [
                    *(records[k] for k in before),
                    made,
                    *(records[k] for k in behind),
                ]
                calls[i:end] = [*(calls[k] for k in before), None, *(calls[k] for k in behind)]
                continue
        i += 1
    return records


__all__ = ["Operand", "Step", "chains", "step_of", "sum_of"]
