"""The optimizer of programs: each pass takes records and returns records that do the same, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tensorgrad.compiler._passes._chains import chains
from tensorgrad.compiler._recorder import Record

PASSES: dict[str, Callable[[list[Record]], list[Record]]] = {"chains": chains}


def run_passes(records: list[Record], names: Sequence[str]) -> list[Record]:
    """The records after the passes of these names, in the order of PASSES."""
    for name, run in PASSES.items():
        if name in names:
            records = run(records)
    return records
