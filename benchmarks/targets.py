"""What each family of rows is meant to reach: geometric means of the ratios to the peers, the
lowest ratio allowed (for compiled functions that to the best of all peers), and the part of the
machine's limit on the rows that are judged by it."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Any

from measure import Row


@dataclass
class Target:
    numpy: float | None = None
    torch: float | None = None
    numpy_lowest: float | None = None
    torch_lowest: float | None = None
    limit: float | None = None
    best_lowest: float | None = None  # to the fastest peer of each row


TARGETS = {
    "gemm": Target(1.3, 1.05, 1.0, 0.9, 0.90),
    "batched gemm": Target(2.0, 1.1),
    "linear": Target(1.5, 1.2),
    "elementwise": Target(2.0, 1.1, limit=0.80),
    "elementwise, out of cache": Target(2.0, 1.1, limit=0.90),
    "transcendental": Target(3.0, 1.1),
    "reductions": Target(2.0, 1.1, limit=0.90),
    "softmax": Target(3.0, 1.2),
    "losses": Target(3.0, 1.2),
    "normalization": Target(3.0, 1.2),
    "optimizers": Target(3.0, 2.0, limit=0.90),
    "training step": Target(1.5, 2.0, 1.0, 1.15, 0.70),
    "compiled inference, batch 1": Target(best_lowest=3.0),
    "compiled inference, batch 64": Target(best_lowest=1.5),
    "compiled chain": Target(best_lowest=1.3, limit=0.80),
    "capture": Target(limit=1.0),
    "replay": Target(limit=1.0),
    "memory": Target(limit=1.0),
}
for _suffix in ("", ", Adam"):
    TARGETS[f"compiled step, smallest{_suffix}"] = Target(best_lowest=20.0)
    TARGETS[f"compiled scan, smallest{_suffix}"] = Target(best_lowest=20.0, limit=1.0)
    TARGETS[f"compiled step, small{_suffix}"] = Target(best_lowest=5.0, limit=0.25)
    TARGETS[f"compiled scan, small{_suffix}"] = Target(best_lowest=5.0, limit=0.25)
    TARGETS[f"compiled step, middle{_suffix}"] = Target(best_lowest=2.0, limit=0.60)
    TARGETS[f"compiled step, largest{_suffix}"] = Target(best_lowest=1.25, limit=0.80)


def mean(values: list[float]) -> float | None:
    """The geometric mean; None of nothing."""
    return exp(sum(map(log, values)) / len(values)) if values else None


def summaries(rows: list[Row]) -> list[dict[str, Any]]:
    """For each family: how many rows, the geometric mean and the lowest ratio to each peer, the
    lowest part of the limit among the judged rows, and whether its targets hold."""
    found = []
    for family in dict.fromkeys(row.family for row in rows):
        own = [row for row in rows if row.family == family]
        target = TARGETS.get(family, Target())
        summary: dict[str, Any] = {"family": family, "rows": len(own), "target": target}
        holds = []
        for peer in ("numpy", "torch", "jax"):
            ratios = [ratio for row in own if (ratio := row.ratio(peer)) is not None]
            summary[peer] = mean(ratios)
            summary[f"{peer}_lowest"] = min(ratios, default=None)
            for suffix in ("", "_lowest"):
                wanted = getattr(target, peer + suffix, None)
                if wanted is not None and ratios:
                    holds.append(summary[peer + suffix] >= wanted)
        ratios = [ratio for row in own if (ratio := row.to_best()) is not None]
        summary["best"], summary["best_lowest"] = mean(ratios), min(ratios, default=None)
        if target.best_lowest is not None and ratios:
            holds.append(summary["best_lowest"] >= target.best_lowest)
        parts = [part for row in own if row.judged and (part := row.of_limit()) is not None]
        summary["limit"] = mean(parts)
        summary["limit_lowest"] = min(parts, default=None)
        if target.limit is not None and parts:
            holds.append(summary["limit"] >= target.limit)
        summary["holds"] = None if family not in TARGETS or not holds else all(holds)
        found.append(summary)
    return found


__all__ = ["TARGETS", "Target", "mean", "summaries"]
