"""Benchmarks of tensorgrad beside NumPy, and beside PyTorch and JAX where they are installed.

    python benchmarks/run.py [SUITE ...] [--threads N] [--json FILE] [--plot FILE]

Every figure is a median of interleaved turns in one process, in microseconds; a ratio above 1 means
that tensorgrad is faster. The control row is the same code measured as if it were two contenders:
its distance from 1 is the noise of the run."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import peers

SUITES = ("overhead", "mlp", "matmul", "activations", "reductions", "losses")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "suite",
        nargs="*",
        metavar="SUITE",
        help=f"one or more of {', '.join(SUITES)} (default: all)",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of every library (default: 1)"
    )
    parser.add_argument("--json", metavar="FILE", help="write every figure to FILE")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the ratios to FILE (needs the `plot` extra)"
    )
    options = parser.parse_args()
    unknown = set(options.suite) - set(SUITES)
    if unknown:
        parser.error(f"no suite named {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    if options.threads < 1:
        parser.error(f"--threads: expected a number >= 1, got {options.threads}")
    for path in (options.json, options.plot):
        if path and not Path(path).resolve().parent.is_dir():
            parser.error(f"cannot write {path}: its folder does not exist")
    peers.limit_threads(options.threads)

    import numpy as np
    import report
    from measure import control

    import tensorgrad

    context = {
        "machine": report.machine(),
        "threads": options.threads,
        "versions": peers.versions(),
    }
    caption = f"{context['machine']}, {options.threads} thread{'s' * (options.threads > 1)}"
    print(f"{caption}; " + ", ".join(f"{k} {v}" for k, v in peers.versions().items()))
    tensorgrad.show_config()
    results = {}
    a = np.ones((128, 128), np.float32)
    for suite in options.suite or SUITES:
        rows = []
        for row in importlib.import_module(f"suites.{suite}").rows(options.threads):
            rows.append(row)
            print(f"  {suite}: {row.name}", file=sys.stderr)
        rows.append(control(lambda: a @ a, options.threads))
        results[suite] = rows
        print("\n" + report.table(f"{suite}, {caption}", rows), flush=True)
    if options.json:
        report.save_json(options.json, results, context)
    if options.plot:
        report.save_plot(options.plot, results, caption)


if __name__ == "__main__":
    main()
