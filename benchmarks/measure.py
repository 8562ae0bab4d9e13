"""Timing side by side: contenders take turns in one process, so that a slow minute of the machine
slows them all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

TURN = 0.004  # seconds that one turn of a contender should last
ROUNDS = 15
REST = (
    0.15  # seconds between turns where thread pools of several libraries would disturb each other
)


@dataclass
class Row:
    """One line of a table: what was done and the microseconds each contender took."""

    name: str
    medians: dict[str, float] = field(default_factory=dict)
    minima: dict[str, float] = field(default_factory=dict)
    unit: str = "us"

    def ratio(self, peer: str) -> float | None:
        """How many times as long the peer took (above 1: tensorgrad is faster)."""
        if peer not in self.medians or "tensorgrad" not in self.medians:
            return None
        return self.medians[peer] / self.medians["tensorgrad"]


def _seconds(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def compare(
    name: str,
    contenders: dict[str, Callable[[], object]],
    *,
    threads: int,
    per: int = 1,
    rounds: int = ROUNDS,
    turn: float = TURN,
) -> Row:
    """Times the contenders in turns. per: how many units of work one call does (the figures are per
    unit)."""
    calls: dict[str, int] = {}
    for who, function in contenders.items():
        function()
        once = min(_seconds(function, 1) for _ in range(3))
        calls[who] = max(1, min(100_000, int(turn / max(once, 1e-8))))
    samples: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, function in contenders.items():
            if threads > 1:
                time.sleep(REST)
                function()  # wakes this library's own threads
            samples[who].append(_seconds(function, calls[who]) * 1e6 / per)
    return Row(
        name,
        {who: median(values) for who, values in samples.items()},
        {who: min(values) for who, values in samples.items()},
    )


def control(function: Callable[[], object], threads: int) -> Row:
    """The same code as if it were two contenders: how far its ratio is from 1 is the noise of this
    run."""
    return compare(
        "control (NumPy against itself)",
        {"tensorgrad": function, "numpy": function},
        threads=threads,
    )
