"""Timing side by side: contenders take turns in one process, so that a slow minute of the machine
slows them all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

TURN = 0.004  # seconds that one turn of a contender should last
ROUNDS = 9
# Seconds between turns where a thread pool of NumPy's BLAS takes part: its worker polls for about
# 0.12 s after a call and would take a CPU from whoever comes next.
REST = 0.15
SHORT_REST = 0.005  # for the pools of the others

Function = Callable[[], object]


@dataclass
class Row:
    """One line of a table: what was done and the microseconds each contender took."""

    name: str
    family: str = ""
    medians: dict[str, float] = field(default_factory=dict)
    minima: dict[str, float] = field(default_factory=dict)
    limit: float | None = None  # microseconds that the machine needs at best
    judged: bool = False  # whether the family's target for the limit is meant for this row
    flops: float = 0.0
    nbytes: float = 0.0  # that must be read and written at least
    cpus: dict[str, float] = field(default_factory=dict)  # how many each kept busy

    def ratio(self, peer: str) -> float | None:
        """How many times as long the peer took (above 1: tensorgrad is faster)."""
        if peer not in self.medians or not self.medians.get("tensorgrad"):
            return None
        return self.medians[peer] / self.medians["tensorgrad"]

    def to_best(self) -> float | None:
        """The ratio to the fastest peer."""
        others = [who for who in self.medians if who not in ("tensorgrad", "eager")]
        ratios = [ratio for who in others if (ratio := self.ratio(who)) is not None]
        return min(ratios, default=None)

    def of_limit(self) -> float | None:
        """The part of the machine's limit that tensorgrad reaches."""
        if self.limit is None or not self.medians.get("tensorgrad"):
            return None
        return self.limit / self.medians["tensorgrad"]


@dataclass
class Setting:
    """How a run measures, and with whom."""

    threads: int = 1
    dtype: str = "float32"
    quick: bool = False
    only: str = ""
    torch: Any = None
    jax: Any = None
    limits: Any = None  # limits.Limits, or None without a compiler
    skipped: list[str] = field(default_factory=list)
    crowded: list[str] = field(default_factory=list)  # who used more CPUs than threads were given

    def sizes(self, sizes: tuple[Any, ...]) -> tuple[Any, ...]:
        """All of them, or the first, a middle and, of many, no large one for a quick run."""
        return sizes[:: max(1, len(sizes) // 2)][:2] if self.quick else sizes

    def row(
        self,
        name: str,
        family: str,
        contenders: dict[str, Function],
        *,
        limit: Callable[[], float] | None = None,
        judged: bool = False,
        flops: float = 0.0,
        nbytes: float = 0.0,
        blas: bool = False,
        turn: float = TURN,
        rounds: int = ROUNDS,
        per: int = 1,
    ) -> Iterator[Row]:
        """Times the contenders in turns; yields the row, or nothing if `only` does not name it.

        limit: returns the seconds of the machine's limit, measured anew. blas: whether NumPy's BLAS
        may use its threads. per: how many units of work one call does (figures are per unit)."""
        if self.only and self.only not in f"{family}: {name}":
            return
        rest = 0.0 if self.threads == 1 else REST if blas else SHORT_REST
        if self.quick:
            rounds, turn = 3, turn / 2
        row = Row(name, family, judged=judged, flops=flops, nbytes=nbytes)
        calls: dict[str, int] = {}
        for who, function in contenders.items():
            function()
            once = min(_seconds(function, 1)[0] for _ in range(2))
            calls[who] = max(1, min(100_000, int(turn / max(once, 1e-8))))
        samples: dict[str, list[float]] = {who: [] for who in contenders}
        cpus: dict[str, list[float]] = {who: [] for who in contenders}
        limits = []
        for _ in range(rounds):
            for who, function in contenders.items():
                if rest:
                    time.sleep(rest)
                    function()  # wakes this library's own threads
                seconds, busy = _seconds(function, calls[who])
                samples[who].append(seconds * 1e6 / per)
                cpus[who].append(busy)
            if limit is not None:
                if rest:
                    time.sleep(rest)
                limits.append(limit() * 1e6)
        row.medians = {who: median(values) for who, values in samples.items()}
        row.minima = {who: min(values) for who, values in samples.items()}
        row.cpus = {who: median(values) for who, values in cpus.items()}
        row.limit = median(limits) if limits else None
        for who, used in row.cpus.items():
            if used > self.threads + 0.2:
                self.crowded.append(f"{who} had {used:.1f} in {family}: {name}")
        print(f"  {family}: {name}", file=sys.stderr, flush=True)
        yield row

    def control(self, function: Function, name: str = "control (NumPy against itself)") -> Row:
        """The same code as if it were two contenders: how far its ratio is from 1 is the noise of
        this run."""
        everything = Setting(threads=self.threads, quick=self.quick)
        return next(
            everything.row(name, "control", {"tensorgrad": function, "numpy": function}, blas=True)
        )

    def skip(self, what: str) -> None:
        """Notes what could not be measured."""
        self.skipped.append(what)


def _seconds(function: Function, calls: int) -> tuple[float, float]:
    """What a call takes, and how many CPUs were busy meanwhile."""
    busy, start = time.process_time(), time.perf_counter()
    for _ in range(calls):
        function()
    took = time.perf_counter() - start
    return took / calls, (time.process_time() - busy) / took


__all__ = ["Function", "Row", "Setting"]
