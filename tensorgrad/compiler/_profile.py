"""Times the steps of a program, and what the machine can do at best."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from tensorgrad._native import address_of, allocate, ffi, get_num_threads, lib, make_layout
from tensorgrad.compiler._costs import Cost, cost, itemsize, moved_bytes
from tensorgrad.compiler._recorder import Record
from tensorgrad.data._files import atomic_write

_SIDE = 512  # of the product that shows the peak
_OUT_OF_CACHE = 1 << 25  # bytes


class Limits(NamedTuple):
    """What the library's own kernels reach at best: floating-point operations a second in a product of
    512 x 512 matrices; and by the most bytes that it is for, bytes a second of a copy, in the first cache,
    in the second and out of both."""

    flops: float
    copies: tuple[tuple[float, float], ...]

    def seconds(self, record: Record) -> float:
        """The least that a call takes."""
        touched = sum(a.end - a.begin for a in record.accesses)
        speed = next(speed for most, speed in self.copies if touched <= most)
        return max(cost(record).flops / self.flops, moved_bytes(record) / speed)


_limits: dict[Any, Limits] = {}


def limits(item: int) -> Limits:
    """The limits for elements of 4 or 8 bytes and the present number of threads: measured when they are
    first asked for, in some hundredths of a second."""
    key = item, get_num_threads(), ffi.string(lib.tg_isa())
    if key not in _limits:
        sizes = [lib.tg_cache_bytes(1) or 1 << 15, lib.tg_cache_bytes(2) or 1 << 20]
        copies = [(float(size), _copy(size // 4)) for size in sizes]
        _limits[key] = Limits(_product(item), (*copies, (float("inf"), _copy(_OUT_OF_CACHE))))
    return _limits[key]


def _best(run: Callable[[], Any], calls: int, turns: int = 7) -> float:
    """Seconds of a call in the best of some turns."""
    best = float("inf")
    for _ in range(turns):
        began = perf_counter()
        for _ in range(calls):
            run()
        best = min(best, (perf_counter() - began) / calls)
    return best


def _zeros(nbytes: int) -> Any:
    storage = allocate(nbytes)
    ffi.buffer(storage.ptr, nbytes)[:] = bytes(nbytes)
    return storage


def _product(item: int) -> float:
    n = _SIDE
    a, b, c = (_zeros(n * n * item) for _ in range(3))
    dtype = 0 if item == 4 else 1
    seconds = _best(
        lambda: lib.tg_gemm(dtype, 0, n, n, n, a.ptr, n, b.ptr, n, c.ptr, n, ffi.NULL, 0), 1
    )
    return 2 * n**3 / seconds


def _copy(nbytes: int) -> float:
    a, b = _zeros(nbytes), _zeros(nbytes)
    layout = make_layout((nbytes // 8,), [(1,), (1,)])
    seconds = _best(lambda: lib.tg_copy(8, a.ptr, b.ptr, layout), max(1, (1 << 22) // nbytes))
    return 2 * nbytes / seconds


# ---- a program ---------------------------------------------------------------------------------------


class Profile(NamedTuple):
    """seconds: of each step. whole: of a run in one call. fractions: of the machine's limit that each
    step reaches, None for steps in Python."""

    seconds: list[float]
    whole: float
    fractions: list[float | None]


def profile(replay: Any, tensors: Sequence[Any], repeats: int) -> Profile:
    """Medians over some runs of a program with these arguments. What the runs wrote to memory that is not
    the program's own is put back."""
    program = replay.program
    made = [allocate(nbytes) for nbytes in replay.made_bytes]
    for i, pointer in enumerate([*(t._ptr for t in tensors), *(s.ptr for s in made)]):
        program.addresses[i] = pointer
    saved = [(p, n, bytes(ffi.buffer(p, n))) for p, n in _written(program)]
    try:
        program.run()  # the first finds cold caches
        runs, wholes = [], []
        for _ in range(repeats):
            runs.append(program.time_steps())
            began = perf_counter()
            program.run()
            wholes.append(perf_counter() - began)
    finally:
        for pointer, nbytes, content in saved:
            ffi.memmove(pointer, content, nbytes)
    seconds = [median(step) for step in zip(*runs)]
    return Profile(seconds, median(wholes), list(map(_fraction, program.records, seconds)))


def _written(program: Any) -> list[tuple[Any, int]]:
    """Where runs write to memory that outlives them, arguments included, and how many bytes."""
    places: dict[int, int] = {}
    for record in program.records:
        for access in record.accesses:
            buffer = access.buffer
            if access.mode == "r" or buffer.kind in ("local", "result"):
                continue
            base = buffer.address
            if buffer.kind == "input":
                slot = next(i for i, given in enumerate(program.slots) if given is buffer)
                base = address_of(program.addresses[slot])
            begin = base + access.begin
            places[begin] = max(places.get(begin, 0), access.end - access.begin)
    return [(ffi.cast("void *", address), nbytes) for address, nbytes in places.items()]


def _fraction(record: Record, seconds: float) -> float | None:
    if record.callback is not None:
        return None
    return limits(itemsize(record)).seconds(record) / max(seconds, 1e-9)


def write_trace(path: str | os.PathLike[str], records: Sequence[Record], times: Profile) -> None:
    """Writes the steps, one after another, as Chrome's trace format: chrome://tracing and Perfetto show
    it."""
    events = []
    now = 0.0
    for number, (record, seconds) in enumerate(zip(records, times.seconds)):
        events.append(_event(number, record, cost(record), now, seconds))
        now += seconds
    text = json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, indent=1)
    with atomic_write(path) as file:
        file.write(text.encode())


def _event(number: int, record: Record, what: Cost, begin: float, seconds: float) -> dict[str, Any]:
    return {
        "name": what.kernel,
        "cat": "Python" if record.callback is not None else "kernel",
        "ph": "X",  # a complete event: it has a beginning and a duration, in microseconds
        "ts": begin * 1e6,
        "dur": seconds * 1e6,
        "pid": 1,
        "tid": 1,
        "args": {
            "step": number,
            "shapes": what.shapes,
            "bytes": moved_bytes(record),
            "flops": what.flops,
            "fused": record.note,
            "line": record.site,
        },
    }


__all__ = ["Limits", "Profile", "limits", "profile", "write_trace"]
