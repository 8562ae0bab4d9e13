"""Benchmarks of tensorgrad beside NumPy, and beside PyTorch and JAX where they are installed.

    python benchmarks/run.py [SUITE ...] [--threads N] [--dtype float64] [--quick] [--only TEXT]
                             [--json FILE] [--plot FILE]

Every figure is a median of interleaved turns in one process, in microseconds; a ratio above 1 means
that tensorgrad is faster. "limit" is the part that tensorgrad reaches of what the machine can do at
best, measured in the same turns: multiply-adds in registers for products, a plain loop that reads
and writes as much for the others. The control rows are the same code measured as if it were two
contenders: their distance from 1 is the noise of the run."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import peers

SUITES = (
    "overhead",
    "mlp",
    "compile",
    "matmul",
    "linear",
    "activations",
    "arithmetic",
    "reductions",
    "losses",
    "normalization",
    "optimizers",
    "memory",
    "threads",
)
JAX = ("mlp", "compile")  # in which it takes part


def parse() -> argparse.Namespace:
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
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="default: float32"
    )
    parser.add_argument("--quick", action="store_true", help="few sizes, few repeats")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows whose name has TEXT")
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
    return options


def main() -> None:
    options = parse()
    peers.limit_threads(options.threads)

    import limits
    import numpy as np
    import report
    from measure import Setting

    import tensorgrad

    isa = tensorgrad._native.config()["isa"].split()[0]
    setting = Setting(
        threads=options.threads,
        dtype=options.dtype,
        quick=options.quick,
        only=options.only,
        torch=peers.load_torch(options.threads),
        jax=peers.load_jax(options.threads),
        limits=limits.build(isa, options.threads),
    )
    if setting.jax is not None and options.dtype == "float64":
        setting.jax.config.update("jax_enable_x64", True)
    context = {
        "machine": report.machine(),
        "threads": options.threads,
        "dtype": options.dtype,
        "versions": peers.versions(),
        "limits": report.limits(setting),
    }
    caption = report.caption(context)
    print(f"{caption}; " + ", ".join(f"{k} {v}" for k, v in peers.versions().items()))
    print("limits: " + ", ".join(f"{k} {v}" for k, v in context["limits"].items()))
    tensorgrad.show_config()
    results = {}
    a = np.ones((128, 128), options.dtype)
    began = time.perf_counter()
    for suite in options.suite or SUITES:
        with peers.confined(options.threads) if suite in JAX else nullcontext():
            rows = list(importlib.import_module(f"suites.{suite}").rows(setting))
        if not rows:
            continue
        rows.append(setting.control(lambda: a @ a))
        results[suite] = rows
        print("\n" + report.table(f"{suite}, {caption}", rows), flush=True)
    every_row = [row for rows in results.values() for row in rows]
    print("\n" + report.summary(f"summary, {caption}", every_row))
    for what in setting.skipped:
        print(f"not measured: {what}")
    for what in setting.crowded:
        print(f"more than {options.threads} CPUs: {what}")
    print(f"{len(every_row)} rows in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if options.json:
        report.save_json(options.json, results, context)
    if options.plot:
        import plot

        plot.save(options.plot, results, caption, setting)


if __name__ == "__main__":
    main()
