"""Compares two JSON files of run.py: what became slower or faster, beyond the noise.

    python benchmarks/compare.py OLD.json NEW.json [--all]

The figure compared is tensorgrad's time relative to NumPy's of the same run (or PyTorch's, or the
machine's limit, where there is no NumPy figure): a slow minute of the machine slows both. The noise
is what the control rows of the two runs measured, the same code against itself; a change counts from
three times that on, and from 5 % at least. Exit status 1 where something became slower."""

from __future__ import annotations

import argparse
import json
import sys
from math import log
from pathlib import Path
from typing import Any

LEAST = 0.05


def load(path: str) -> dict[str, dict[str, Any]]:
    """The rows by suite and name. Exits with a message for what is no such file."""
    try:
        suites = json.loads(Path(path).read_text(encoding="utf-8"))["suites"]
        return {f"{suite}: {row['name']}": row for suite, rows in suites.items() for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"compare: {path} is not a result of run.py --json ({error})")


def relative(row: dict[str, Any]) -> tuple[str, float] | None:
    """Against whom, and how many times as long tensorgrad took."""
    figures = {**row["median_us"], "limit": row.get("limit_us")}
    for who in ("numpy", "torch", "limit"):
        if figures.get(who) and figures.get("tensorgrad"):
            return who, figures["tensorgrad"] / figures[who]
    return None


def noise(*runs: dict[str, dict[str, Any]]) -> float:
    """The largest distance of a control's ratio from 1, as a natural logarithm."""
    found = [relative(row) for run in runs for name, row in run.items() if ": control" in name]
    return max((abs(log(ratio[1])) for ratio in found if ratio), default=0.0)


def changes(
    old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]], threshold: float
) -> list[tuple[str, float, str]]:
    """(name, new time / old time, "slower" | "faster" | "") of every row in both, worst first."""
    found = []
    for name in old:
        before = relative(old[name])
        after = relative(new[name]) if name in new else None
        if before is None or after is None or before[0] != after[0] or ": control" in name:
            continue
        change = after[1] / before[1]
        verdict = (
            "slower" if log(change) > threshold else "faster" if -log(change) > threshold else ""
        )
        found.append((name, change, verdict))
    return sorted(found, key=lambda item: -item[1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", metavar="OLD.json")
    parser.add_argument("new", metavar="NEW.json")
    parser.add_argument("--all", action="store_true", help="also what did not change")
    options = parser.parse_args(arguments)
    old, new = load(options.old), load(options.new)
    measured = noise(old, new)
    threshold = max(3 * measured, log(1 + LEAST))
    found = changes(old, new, threshold)
    print(
        f"noise {measured:.1%}; a change counts from {threshold:.1%} on; {len(found)} rows compared"
    )
    for name, change, verdict in found:
        if verdict or options.all:
            print(f"{verdict or 'the same':9} {change:6.2f} x  {name}")
    for which, rows, others in (("gone", old, new), ("new", new, old)):
        for name in rows:
            if name not in others:
                print(f"{which:9}           {name}")
    return int(any(verdict == "slower" for _, _, verdict in found))


if __name__ == "__main__":
    sys.exit(main())
