"""Elementwise calls on the result of a product become its end: they are done for some rows at a time, on the
thread that has just made these, while they are in its cache (csrc/families/gemm.c).

So a residual is added, dropout's mask and an activation put on, and an activation's gradient multiplied with
the gradient that a product sends down. What stands between the product and such a call, and has nothing to
do with them, goes before the product, the rest after. A large result whose calls end in a sum is left to `chains`,
which reads it once for all of them: measured, that is faster where it does not stay in the cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tensorgrad._native import ACTIVATION, UNARY, lib
from tensorgrad.compiler._effects import BY_NAME, ITEM, Data, GemmEnd, Pointer
from tensorgrad.compiler._passes._chains import Operand, Step, step_of, sum_of
from tensorgrad.compiler._passes._memory import commute, meet, overlap, writes
from tensorgrad.compiler._recorder import Record

MOST_ENDS = 8  # that tg_gemm_ended takes
PATIENCE = 64  # calls behind a product that are looked at
_CACHE = lib.tg_cache_bytes(2) or 1 << 20
_KINDS = (lib.TG_TILE_UNARY, lib.TG_TILE_UNARY_GRAD, lib.TG_TILE_BINARY)
_ACTIVATIONS = {UNARY[name]: i for name, i in ACTIVATION.items() if name in UNARY}


class _Product:
    """A product, and the calls that become its end. records: it and what follows. ends, before, skipped: the
    numbers of its ends, of what has to come before it, and of what comes after."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        record = records[0]
        self.dtype, m, n = (record.argument(name) for name in ("dtype", "m", "n"))
        self.n = m * n
        self.ends: dict[int, Step] = {}
        self.before: set[int] = set()
        self.skipped: list[int] = []
        self.made = {record.argument("c")}
        self._factors = [access for access in record.accesses if access.mode == "r"]
        for i in range(1, len(records)):
            if not self._takes(i):
                self.skipped.append(i)

    def _takes(self, i: int) -> bool:
        """Makes a call one of the ends if it can be."""
        end = self._as_end(i)
        if end is None or not self.made & {x.place for x in end.inputs}:
            return False
        needed = self._needed(i)
        found = {k: step for k in needed if (step := self._helper(k, end, needed))} | {i: end}
        before = [k for k in needed if k not in found]
        if (
            len(self.ends) + len(found) > MOST_ENDS
            or not all(self._agrees(i, k) for k in found)
            or not all(map(self._can_go_before, before))
        ):
            return False
        self.ends |= found
        self.before.update(before)
        self.made |= {step.y.place for step in found.values()}
        self.skipped = [k for k in self.skipped if k not in needed]
        return True

    def _as_end(self, i: int) -> Step | None:
        """A call as an end, if it is elementwise on arrays that are laid out like the result."""
        step = step_of(self.records[i])
        if step is None or step.kind not in _KINDS or (step.dtype, step.n) != (self.dtype, self.n):
            return None
        given = step.inputs
        if not given or any(x.repeat != 1 or x.period not in (1, self.n) for x in given):
            return None
        return step

    def _agrees(self, i: int, other: int = 0) -> bool:
        """Whether what a call shares with the product, its ends and one more are whole arrays, element by
        element, and it leaves the factors alone."""
        record = self.records[i]
        if meet(writes(record), self._factors):
            return False
        whole = self.n * ITEM[self.dtype]
        return all(
            a[:3] == b[:3] and a.end - a.begin == whole
            for k in (0, *self.ends, i, other)
            for a in self.records[k].accesses
            for b in record.accesses
            if not a.mode == b.mode == "r" and overlap(a, b)
        )

    def _needed(self, i: int) -> list[int]:
        """What was skipped and has to come before a call, itself or through others."""
        found = [i]
        for k in reversed(self.skipped):
            if not all(commute(self.records[k], self.records[j]) for j in found):
                found.append(k)
        return found[:0:-1]

    def _helper(self, i: int, end: Step, needed: Sequence[int]) -> Step | None:
        """A call that makes what an end reads beside the result, such as a scaled mask, if it can be an end
        as well."""
        step = self._as_end(i)
        if step is None or step.y not in end.inputs or not self._agrees(i):
            return None
        free = all(commute(self.records[i], self.records[k]) for k in needed if k > i)
        return step if free else None

    def _can_go_before(self, i: int) -> bool:
        return all(commute(self.records[i], self.records[k]) for k in (0, *self.ends))

    def sums_much(self) -> bool:
        """Whether what an end makes is large, and summed in a way that `chains` can do with it."""
        if self.n * ITEM[self.dtype] <= _CACHE // 2:
            return False
        made = {end.y for end in self.ends.values()}
        return any(call.x in made for i in self.skipped if (call := sum_of(self.records[i])))


# ---- a product with its end ----------------------------------------------------------------------------


def _in_place(c: Pointer, ends: list[Step], free: set[int]) -> tuple[Pointer, list[Step]]:
    """The same with what nobody needs afterwards written where the end that reads it last writes. free: the
    ids of the buffers that nobody else uses."""
    for i in reversed(range(len(ends))):
        y, size = ends[i].y.place, ends[i].n * ITEM[ends[i].dtype]
        made = [c, *(end.y.place for end in ends[:i])]
        used = [x.place for end in ends[:i] for x in (*end.inputs, end.y)]
        later = {x.place for end in ends[i + 1 :] for x in (*end.inputs, end.y)}
        for x in ends[i].inputs:
            others = [*used, *(z.place for z in ends[i].inputs if z != x)]
            if (
                id(x.place.buffer) in free
                and x.place.buffer.kind == "local"
                and x.place.buffer.nbytes == size
                and x.place in made
                and x.place not in later
                and y.buffer.kind in ("local", "result")
                and all(place.buffer is not y.buffer for place in (c, *others))
            ):
                c, ends = _moved(c, ends, x.place, y)
                break
    return c, ends


def _moved(
    c: Pointer, ends: Sequence[Step], source: Pointer, target: Pointer
) -> tuple[Pointer, list[Step]]:
    def of(operand: Operand) -> Operand:
        return operand._replace(place=target) if operand.place == source else operand

    found = [end._replace(inputs=tuple(map(of, end.inputs)), y=of(end.y)) for end in ends]
    return target if c == source else c, found


def _words(end: Step) -> GemmEnd:
    steps = [int(x.period > 1 or end.n == 1) for x in end.inputs] + [0]
    a, b = [*(x.place for x in end.inputs), None][:2]
    p0, p1 = [*end.p, 0, 0][:2]
    assert a is not None
    return GemmEnd(end.kind, end.op, a, steps[0], b, steps[1], end.y.place, p0, p1)


def _ended(product: _Product, free: set[int]) -> Record:
    """The product with its ends as one call; an activation that comes first is its own."""
    record = product.records[0]
    ends = [product.ends[i] for i in sorted(product.ends)]
    count = f"ended by {len(ends)} call" + "s" * (len(ends) > 1)
    note = f"{record.note}, {count}" if record.note else count
    c, ends = _in_place(record.argument("c"), ends, free)
    given = dict(zip(record.function.parameters, record.arguments)) | {"c": c}
    first = ends[0]
    if (
        given["activation"] == ACTIVATION["none"]
        and first.kind == lib.TG_TILE_UNARY
        and first.op in _ACTIVATIONS
        and first.inputs[0].place == c == first.y.place
    ):
        given["activation"] = _ACTIVATIONS[first.op]
        ends = ends[1:]
    arguments = list(given.values())
    if not ends:
        return Record(record.function, arguments, record.site, note=note)
    data = Data(tuple(word for end in ends for word in _words(end)))
    ended = BY_NAME["tg_gemm_ended"]
    return Record(ended, [*arguments, len(ends), data], record.site, note=note)


# ---- the pass ------------------------------------------------------------------------------------------


def ends(records: list[Record]) -> list[Record]:
    """The pass: elementwise calls on the results of products become their ends."""
    records = list(records)
    uses: Counter[int] = Counter()
    for record in records:
        uses.update({id(access.buffer) for access in record.accesses})
    i = 0
    while i < len(records):
        following = slice(i, i + 1 + PATIENCE)
        found = _with_ends(records[following], uses) if _is_plain(records[i]) else None
        if found is None:
            i += 1
        else:  # what came before the product may be one as well
            records[following] = found
    return records


def _is_plain(record: Record) -> bool:
    """Whether a record is a product whose rows follow upon one another."""
    return record.name == "tg_gemm" and record.argument("ldc") == record.argument("n") > 0


def _with_ends(records: list[Record], uses: Counter[int]) -> list[Record] | None:
    """A product and what follows it, with its end; None if it has none."""
    product = _Product(records)
    if not product.ends or product.sums_much():
        return None
    inside: Counter[int] = Counter()
    for i in (0, *product.ends):
        inside.update({id(access.buffer) for access in records[i].accesses})
    made = _ended(product, {key for key, count in inside.items() if count == uses[key]})
    uses.subtract(inside)
    uses.update({id(access.buffer) for access in made.accesses})
    before = [records[i] for i in sorted(product.before)]
    return [*before, made, *(records[i] for i in product.skipped)]


__all__ = ["ends"]
