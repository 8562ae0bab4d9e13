"""The thread pool: what a second thread costs and brings, what it takes while idle, and what
happens with more threads than CPUs. The figures of these rows are named in each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
from measure import Row, Setting

import tensorgrad

_PROGRAM = """
import sys, time
import numpy as np, tensorgrad
tensorgrad.set_num_threads(int(sys.argv[1]))
a = tensorgrad.tensor(np.ones((512, 512), np.float32))
until = time.perf_counter() + 1.5
calls = 0
while time.perf_counter() < until:
    a @ a
    calls += 1
print(1.5e6 / calls)
"""


def _with_threads(threads: int, function: Callable[[], object]) -> Callable[[], float]:
    def measured() -> float:
        tensorgrad.set_num_threads(threads)
        function()
        start = time.perf_counter()
        for _ in range(20):
            function()
        return (time.perf_counter() - start) / 20 * 1e6

    return measured


def rows(setting: Setting) -> Iterator[Row]:
    if setting.only and setting.only not in "threads":
        return
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    before = tensorgrad.get_num_threads()
    rng = np.random.default_rng(0)
    try:
        # the least that is worth two threads: the difference to one thread is mostly the fork and join
        vector = tensorgrad.tensor(rng.random(10_000, np.float32))
        matrix = tensorgrad.tensor(rng.random((512, 512), np.float32))
        for name, function in (
            ("exp of 10,000", lambda: vector.exp()),
            ("512^3 product", lambda: matrix @ matrix),
        ):
            samples: dict[int, list[float]] = {1: [], 2: [], 2 * cpus: []}
            for _ in range(15):
                for threads, values in samples.items():
                    values.append(_with_threads(threads, function)())
            for threads, values in samples.items():
                what = (
                    f"{name}, {threads} threads on {cpus} CPUs"
                    if threads > 1
                    else f"{name}, 1 thread"
                )
                yield Row(f"{what}, µs", "threads", {"tensorgrad": median(values)})
        tensorgrad.set_num_threads(min(2, cpus))
        t = tensorgrad.tensor(rng.random(1_000_000, np.float32))
        used = []
        for _ in range(10):
            t.exp()
            start = time.process_time()
            time.sleep(0.1)
            used.append((time.process_time() - start) / 0.1 * 100)
        yield Row(
            "CPU used in 100 ms of idling after a call, %", "threads", {"tensorgrad": median(used)}
        )
    finally:
        tensorgrad.set_num_threads(before)
    for threads, processes in ((1, 1), (cpus, 1), (cpus, 2), (2 * cpus, 2)):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(threads)], stdout=subprocess.PIPE, text=True
            )
            for _ in range(processes)
        ]
        figures = [float(process.communicate()[0]) for process in started]
        yield Row(
            f"512^3 product, {processes} process{'es' * (processes > 1)} of {threads} threads, µs each",
            "threads",
            {"tensorgrad": max(figures)},
        )
