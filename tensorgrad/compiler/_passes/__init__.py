"""The optimizer of programs: each pass takes records and returns records that do the same, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tensorgrad.compiler._passes._beside import beside
from tensorgrad.compiler._passes._chains import chains
from tensorgrad.compiler._passes._dead import dead
from tensorgrad.compiler._passes._ends import ends
from tensorgrad.compiler._passes._epilogues import epilogues
from tensorgrad.compiler._passes._fold import fold
from tensorgrad.compiler._passes._lower import lower
from tensorgrad.compiler._passes._updates import updates
from tensorgrad.compiler._recorder import Record


def _plan(records: list[Record]) -> list[Record]:
    """Stands for what _plan.py does: without it every buffer has memory of its own."""
    return records


PASSES: dict[str, Callable[[list[Record]], list[Record]]] = {
    "lower": lower,
    "dead": dead,
    "fold": fold,
    "updates": updates,
    "epilogues": epilogues,
    "ends": ends,
    "chains": chains,
    "beside": beside,
    "plan": _plan,
}


def run_passes(records: list[Record], names: Sequence[str]) -> list[Record]:
    """The records after the passes of these names, in the order of PASSES."""
    for name, run in PASSES.items():
        if name in names:
            records = run(records)
    return records
