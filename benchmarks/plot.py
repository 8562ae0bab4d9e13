"""The picture of a run: ratios of each family, and a roofline."""

from __future__ import annotations

from statistics import median
from typing import Any

from measure import Row, Setting
from targets import TARGETS, mean, summaries

COLORS = {"numpy": "#4d77cf", "torch": "#d9622b", "jax": "#5aa469"}


def save(path: str, results: dict[str, list[Row]], caption: str, setting: Setting) -> None:
    """Left: for each family the geometric mean of the ratios to each peer, with their range. Right,
    where there are products and limits: what they reach below the machine's roofs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for found in results.values() for row in found if row.family != "control"]
    rows = [row for row in rows if row.family not in ("memory", "threads", "capture", "replay")]
    points = [row for row in rows if row.nbytes]
    with_roofline = setting.limits is not None and bool(points)
    families = len({row.family for row in rows})
    figure, axes = plt.subplots(
        1,
        1 + with_roofline,
        figsize=(7.5 + 6 * with_roofline, 1.6 + 0.45 * families),
        layout="constrained",
        squeeze=False,
    )
    _ratios(axes[0][0], rows)
    if with_roofline:
        _roofline(axes[0][1], points, setting)
    figure.suptitle(caption, fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _ratios(axes: Any, rows: list[Row]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    found = summaries(rows)
    peers = [p for p in COLORS if any(s[p] is not None for s in found)]
    height = 0.8 / max(len(peers), 1)
    for i, peer in enumerate(peers):
        for y, summary in enumerate(found):
            ratios = [
                r for row in rows if row.family == summary["family"] and (r := row.ratio(peer))
            ]
            middle = mean(ratios)
            if middle is None:
                continue
            at = y + (i - (len(peers) - 1) / 2) * height
            axes.barh(at, middle - 1, height * 0.85, left=1, color=COLORS[peer])
            axes.plot([min(ratios), max(ratios)], [at, at], color="#333333", linewidth=0.8)
            axes.annotate(
                f"{middle:.2g}×" if middle < 100 else f"{middle:.0f}×",
                (max(*ratios, 1.0), at),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
            target = getattr(TARGETS.get(summary["family"]), peer, None)
            if target is not None:
                axes.plot(
                    [target] * 2, [at - height / 2, at + height / 2], color="black", linewidth=1.5
                )
    axes.set_yticks(range(len(found)), [s["family"] for s in found], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.1, y=0.02)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel(
        "time of the peer / time of tensorgrad: geometric mean (bar), range (line), target (mark)",
        fontsize=8,
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    import matplotlib.pyplot as plt

    handles = [plt.Rectangle((0, 0), 1, 1, color=COLORS[p]) for p in peers]
    axes.legend(handles, peers, loc="lower right", fontsize=8, frameon=False)


def _roofline(axes: Any, rows: list[Row], setting: Setting) -> None:
    import numpy as np

    # the roof over the run, not over the moment at which it is drawn: clocks change
    peaks = [row.flops / row.limit / 1e3 for row in rows if row.family == "gemm" and row.limit]
    peak = median(peaks) if peaks else 1 / setting.limits.flops(setting.dtype)(1e9)()  # GFLOP/s
    stream = setting.limits.stream(4e7, 1, 1)
    bandwidth = 8e7 / min(stream() for _ in range(5)) / 1e9  # GB/s
    x = np.logspace(-1.5, 3, 100)
    axes.plot(x, np.minimum(peak, bandwidth * x), color="black", linewidth=1)
    axes.annotate(f"{peak:.0f} GFLOP/s", (x[-1], peak), ha="right", va="bottom", fontsize=7)
    axes.annotate(
        f"{bandwidth:.0f} GB/s past the caches", (x[0], bandwidth * x[0]), fontsize=7, va="top"
    )
    groups = {
        "gemm": "#4d77cf",
        "batched gemm": "#8fb3ef",
        "elementwise": "#d9622b",
        "elementwise, out of cache": "#8c3510",
        "reductions": "#5aa469",
    }
    for family, color in groups.items():
        own = [row for row in rows if row.family == family and "backward" not in row.name]
        if not own:
            continue
        # one operation per element where none are counted: what is compared then is the bandwidth
        work = [row.flops or row.nbytes / 8 for row in own]
        axes.scatter(
            [w / row.nbytes for w, row in zip(work, own)],
            [w / row.medians["tensorgrad"] / 1e3 for w, row in zip(work, own)],
            s=12,
            color=color,
            label=family,
            alpha=0.7,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations per byte that must be moved", fontsize=8)
    axes.set_ylabel("GFLOP/s", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
