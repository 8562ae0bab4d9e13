"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from measure import Row, Setting
from targets import TARGETS, Target, summaries

SUMMED = ("numpy", "torch", "jax")  # what a summary has columns for
PEERS = ("eager", "numpy", "torch", "torch.compile", "jax")


def _has_best(rows: list[Row]) -> bool:
    """Whether targets are for the best of all peers."""
    return any(TARGETS.get(row.family, Target()).best_lowest is not None for row in rows)


def machine() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def limits(setting: Setting) -> dict[str, str]:
    """The machine's limits at the start of the run, as text."""
    if setting.limits is None:
        return {}
    flops = setting.limits.flops(setting.dtype)(1e9)
    found = {"multiply-adds": f"{1 / min(flops() for _ in range(20)):.0f} GFLOP/s"}
    for name, nbytes, writes in (("read", 4e7, 0), ("copy", 4e7, 1), ("copy in cache", 16384, 1)):
        stream = setting.limits.stream(nbytes, 1, writes)
        best = min(stream() for _ in range(7))
        found[name] = f"{nbytes * (1 + writes) / best / 1e9:.0f} GB/s"
    return found


def render(header: list[str], lines: list[list[str]]) -> list[str]:
    """A table in Markdown: the first column to the left, the others to the right."""
    everything = [header, *lines]
    widths = [max(len(line[i]) for line in everything) for i in range(len(header))]

    def text(line: list[str]) -> str:
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return [text(header), rule, *map(text, lines)]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def table(title: str, rows: list[Row]) -> str:
    """Microseconds of each contender, how many times as long each peer took, and the part of the
    machine's limit."""
    peers = [p for p in PEERS if any(p in row.medians for row in rows)]
    with_limit = any(row.limit is not None for row in rows)
    with_best = _has_best(rows)
    unit = "" if rows[0].family in ("memory", "threads") else " µs"  # there the rows name their own
    header = ["", f"tensorgrad{unit}", *[f"{p}{unit}" for p in peers]]
    header += [f"{p} / tensorgrad" for p in peers]
    header += ["best / tensorgrad"] * with_best + ["limit µs", "of limit"] * with_limit
    lines = []
    for row in rows:
        line = [row.name]
        line += [_number(row.medians.get(who), ".4g") for who in ("tensorgrad", *peers)]
        line += [_number(row.ratio(p), ".2f") for p in peers]
        line += [_number(row.to_best(), ".2f")] * with_best
        if with_limit:
            line += [_number(row.limit, ".4g"), _number(row.of_limit(), ".0%")]
        lines.append(line)
    return "\n".join([f"### {title}", "", *render(header, lines)])


def summary(title: str, rows: list[Row]) -> str:
    """One line per family: geometric means, the lowest ratios, the targets, and whether they
    hold."""
    peers = [p for p in SUMMED if any(p in row.medians for row in rows)]
    peers += ["best"] * _has_best(rows)
    header = ["family", "rows"]
    for peer in peers:
        header += [f"{peer} / tensorgrad", "lowest"]
    header += ["of limit", "lowest", "target", "holds"]
    lines = []
    for found in summaries(rows):
        line = [found["family"], str(found["rows"])]
        for peer in peers:
            line += [_number(found[peer], ".2f"), _number(found[f"{peer}_lowest"], ".2f")]
        line += [_number(found["limit"], ".0%"), _number(found["limit_lowest"], ".0%")]
        target = found["target"]
        wanted = []
        for peer in ("numpy", "torch"):
            if (mean := getattr(target, peer)) is not None:
                lowest = getattr(target, f"{peer}_lowest")
                wanted.append(f"{peer} {mean:g}" + (f" (>= {lowest:g})" if lowest else ""))
        if target.best_lowest is not None:
            wanted.append(f"best >= {target.best_lowest:g}")
        wanted += [f"limit {target.limit:.0%}"] if target.limit is not None else []
        holds = {True: "yes", False: "no", None: ""}[found["holds"]]
        lines.append([*line, ", ".join(wanted), holds])
    return "\n".join([f"### {title}", "", *render(header, lines)])


def save_json(path: str, results: dict[str, list[Row]], context: dict[str, Any]) -> None:
    """Every figure, with the circumstances."""
    suites = {
        suite: [
            {
                "name": r.name,
                "family": r.family,
                "median_us": r.medians,
                "min_us": r.minima,
                "limit_us": r.limit,
                "judged": r.judged,
                "flops": r.flops,
                "bytes": r.nbytes,
                "cpus": r.cpus,
            }
            for r in rows
        ]
        for suite, rows in results.items()
    }
    text = json.dumps({"context": context, "suites": suites}, indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def load_json(path: str) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """What save_json wrote."""
    saved = json.loads(Path(path).read_text(encoding="utf-8"))
    suites = {
        suite: [
            Row(
                r["name"],
                r["family"],
                r["median_us"],
                r["min_us"],
                r["limit_us"],
                r["judged"],
                r["flops"],
                r["bytes"],
                r.get("cpus", {}),
            )
            for r in rows
        ]
        for suite, rows in saved["suites"].items()
    }
    return suites, saved["context"]


def caption(context: dict[str, Any]) -> str:
    """Machine, threads, and the dtype if it is not float32."""
    text = f"{context['machine']}, {context['threads']} thread{'s' * (context['threads'] > 1)}"
    return text if context["dtype"] == "float32" else f"{text}, {context['dtype']}"
