"""Parameters are updated as soon as their gradient is there, while it is in the cache.

An optimizer's call over all parameters is taken apart: the update of a large one moves up to the product
that makes its gradient, which then need not be kept until all others are there. Where a gradient does not
fit the cache itself and the update is that of plain SGD, both are done for some rows at a time."""

from __future__ import annotations

from itertools import pairwise

from tensorgrad._native import lib
from tensorgrad.compiler._effects import ITEM, Data, Pointer
from tensorgrad.compiler._passes._memory import commute, meet, readers, reads, writers, writes
from tensorgrad.compiler._passes._updates import UPDATES, changed, picked
from tensorgrad.compiler._recorder import Buffer, Record

SMALLEST = 1 << 16  # bytes of a gradient: what is smaller is in the cache anyhow
FEWEST_ROWS = (
    64  # of a product: fewer take longer than their share, as the other factor is packed for each
)
UNIT = 8  # rows; parts are made of whole ones

_CACHE = lib.tg_cache_bytes(2) or 1 << 20
_NOT_PLAIN = lib.TG_TRANS_B | lib.TG_ACCUMULATE


def epilogues(records: list[Record]) -> list[Record]:
    """The records with updates of large parameters behind the products that make their gradients."""
    written, read = writers(records), readers(records)
    found = list(records)
    for i, record in enumerate(records):
        for a in reversed(range(record.argument("count") if record.name in UPDATES else 0)):
            gradient = record.argument("grads").words[a]
            if gradient is None or read.get(id(gradient.buffer)) != [i]:
                continue
            makers = written.get(id(gradient.buffer), ())
            if len(makers) == 1 and _makes(
                records[makers[0]], gradient, record.argument("sizes").words[a]
            ):
                record = _moved_up(found, record, a, records[makers[0]])
    return found


def _makes(record: Record, gradient: Pointer, size: int) -> bool:
    """Whether a record is a product of which a whole large gradient is the result."""
    if record.name != "tg_gemm" or record.argument("flags") & _NOT_PLAIN:
        return False
    m, n = record.argument("m"), record.argument("n")
    return (
        gradient.buffer.kind in ("local", "result")
        and record.argument("c") == gradient
        and record.argument("ldc") == n
        and m * n == size
        and size * ITEM[record.argument("dtype")] >= SMALLEST
    )


def _moved_up(records: list[Record], call: Record, a: int, product: Record) -> Record:
    """Takes the update of parameter a out of a call and puts it as near behind the product as can be; the
    product comes after it where it can. Returns what is left of the call."""
    update = picked(call, [a], "behind its gradient")
    rest = picked(call, [b for b in range(call.argument("count")) if b != a])
    begin, end = _index(records, product), _index(records, call)
    place = end
    while place > begin + 1 and commute(update, records[place - 1]):
        place -= 1
    records[end : end + 1] = [rest] if any(rest.argument("grads").words) else []
    together = all(commute(product, record) for record in records[begin + 1 : place])
    records[place:place] = _by_rows(product, update) if together else [update]
    if together:
        del records[begin]
    return rest


def _index(records: list[Record], record: Record) -> int:
    return next(i for i, other in enumerate(records) if other is record)


# ---- some rows at a time -----------------------------------------------------------------------------


def _by_rows(product: Record, update: Record) -> list[Record]:
    """The product and the update; by turns for some rows each, if they are many and it is plain SGD's.
    (Momenta are told by a call whether they have begun, Adam's counts its steps: these stay whole.)"""
    m, n = product.argument("m"), product.argument("n")
    item = ITEM[product.argument("dtype")]
    if (
        update.name != "tg_sgd"
        or _has_momentum(update)
        or m * n * item <= _CACHE // 2
        or meet(writes(update), reads(product))
    ):
        return [product, update]
    gradient = product.argument("c")
    ends = _ends(m, max(_CACHE // 4 // (n * item), FEWEST_ROWS))
    most = max(end - begin for begin, end in pairwise([0, *ends]))
    block = Buffer("local", 0, most * n * item)
    found = []
    for begin, end in pairwise([0, *ends]):
        offset = begin * n * item
        c = Pointer(block, 0) if gradient.buffer.kind == "local" else _after(gradient, offset)
        a = _after(product.argument("a"), _row(product, begin))
        w = _after(update.argument("params").words[0], offset)
        found += [
            changed(product, "some rows", m=end - begin, a=a, c=c),
            changed(
                update,
                "behind its gradient",
                sizes=Data(((end - begin) * n,)),
                params=Data((w,)),
                grads=Data((c,)),
            ),
        ]
    return found


def _has_momentum(update: Record) -> bool:
    momenta = update.argument("momenta")
    return momenta is not None and momenta.words[0] is not None


def _ends(m: int, most: int) -> list[int]:
    """Where the parts of m rows end, about `most` in each: never a few, which another kernel multiplies."""
    parts, units = -(-m // most), -(-m // UNIT)
    return [units * (i + 1) // parts * UNIT for i in range(parts - 1)] + [m]


def _row(product: Record, i: int) -> int:
    """The bytes from the first row of the left factor to row i."""
    step = 1 if product.argument("flags") & lib.TG_TRANS_A else product.argument("lda")
    return int(i * step * ITEM[product.argument("dtype")])


def _after(pointer: Pointer, nbytes: int) -> Pointer:
    return Pointer(pointer.buffer, pointer.offset + nbytes)
