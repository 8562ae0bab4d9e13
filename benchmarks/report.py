"""Tables for people, JSON for programs, a plot for a glance."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from measure import Row

PEERS = ("numpy", "torch", "jax")


def machine() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def table(title: str, rows: list[Row]) -> str:
    """A table in Markdown: microseconds of each contender, and how many times as long each peer
    took."""
    peers = [p for p in PEERS if any(p in row.medians for row in rows)]
    header = [
        "",
        "tensorgrad µs",
        *[f"{p} µs" for p in peers],
        *[f"{p} / tensorgrad" for p in peers],
    ]
    lines = [header]
    for row in rows:
        times = [
            f"{row.medians[who]:.4g}" if who in row.medians else ""
            for who in ("tensorgrad", *peers)
        ]
        ratios = [f"{ratio:.2f}" if (ratio := row.ratio(p)) is not None else "" for p in peers]
        lines.append([row.name, *times, *ratios])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def render(line: list[str]) -> str:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:])),
        ]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([f"### {title}", "", render(lines[0]), rule, *map(render, lines[1:])])


def save_json(path: str, results: dict[str, list[Row]], context: dict[str, Any]) -> None:
    """Every figure, with the circumstances."""
    suites = {
        suite: [{"name": r.name, "median_us": r.medians, "min_us": r.minima} for r in rows]
        for suite, rows in results.items()
    }
    Path(path).write_text(
        json.dumps({"context": context, "suites": suites}, indent=1) + "\n", encoding="utf-8"
    )


def save_plot(path: str, results: dict[str, list[Row]], caption: str) -> None:
    """Bars: how many times as long each peer took, on a logarithmic scale, 1 marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    rows = [
        (suite, row)
        for suite, found in results.items()
        for row in found
        if "control" not in row.name
    ]
    peers = [p for p in PEERS if any(p in row.medians for _, row in rows)]
    colors = {"numpy": "#4d77cf", "torch": "#d9622b", "jax": "#5aa469"}
    height = 0.8 / max(len(peers), 1)
    figure, axes = plt.subplots(
        figsize=(9, 1.2 + 0.2 * len(rows) * max(len(peers), 1)), layout="constrained"
    )
    for i, peer in enumerate(peers):
        for y, (_, row) in enumerate(rows):
            ratio = row.ratio(peer)
            if ratio is None:
                continue
            axes.barh(
                y + (i - (len(peers) - 1) / 2) * height,
                ratio - 1,
                height * 0.9,
                left=1,
                color=colors[peer],
            )
            axes.annotate(
                f"{ratio:.2g}×",
                (max(ratio, 1), y + (i - (len(peers) - 1) / 2) * height),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color="#444444",
            )
    axes.set_yticks(range(len(rows)), [f"{row.name}" for _, row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    marks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    axes.xaxis.set_major_locator(FixedLocator(marks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel(
        "time of the peer / time of tensorgrad (right of the line: tensorgrad is faster)",
        fontsize=8,
    )
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.12, y=0.01)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colors[p]) for p in peers]
    axes.legend(handles, peers, loc="lower right", fontsize=8, frameon=False)
    axes.set_title(caption, fontsize=9, loc="left")
    figure.savefig(path, dpi=150)
