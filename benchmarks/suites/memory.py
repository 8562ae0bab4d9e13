"""Memory of the training loop of 512 x [784, 1024, 1024, 10]: the peak resident memory of a process
of its own for each library (MiB, above what importing it takes), and calls to the system for memory
in a steady loop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from measure import Row, Setting

import tensorgrad
from suites import mlp

STEPS = 20
_PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
import peers
peers.limit_threads({threads})
import numpy as np
from suites import mlp
rng = np.random.default_rng(1)
x = rng.standard_normal((512, 784)).astype(np.float32)
labels = rng.integers(0, 10, 512)
library = peers.load_torch({threads}) if {who!r} == "torch" else None
make = mlp.torch_step if library else mlp.tensorgrad_step
def peak():  # of this process alone: getrusage also counts what its parent had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
small = (x[:1, :4].copy(), labels[:1] % 3, (4, 16, 3))
first = make(library, *small) if library else make(*small)
first()
before = peak()
step = make(library, x, labels, (784, 1024, 1024, 10)) if library else make(x, labels, (784, 1024, 1024, 10))
for _ in range({steps}):
    step()
print(before, peak())
"""


def _peak(who: str, threads: int) -> tuple[float, float]:
    """MiB before the loop, and at its peak."""
    folder = mlp.__file__.rsplit("suites", 1)[0]
    program = _PROGRAM.format(folder=folder, threads=threads, who=who, steps=STEPS)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    before, after = map(float, done.stdout.split())
    return before, after


def rows(setting: Setting) -> Iterator[Row]:
    if setting.only and setting.only not in "memory":
        return
    if not Path("/proc/self/status").exists():
        setting.skip("peak memory: this system has no /proc")
        return
    whole, loop = (
        Row("peak resident memory, whole process, MiB", "memory"),
        Row("peak resident memory, above the start of the loop, MiB", "memory"),
    )
    for who in ("tensorgrad", *(["torch"] if setting.torch else [])):
        before, after = _peak(who, setting.threads)
        whole.medians[who], loop.medians[who] = after, after - before
    yield whole
    yield loop
    for batch, layers in mlp.SIZES:
        step = mlp.tensorgrad_step(*mlp.inputs(batch, layers, "float32"), layers)
        for _ in range(5):
            step()
        before = tensorgrad.memory_stats()
        for _ in range(STEPS):
            step()
        after = tensorgrad.memory_stats()
        calls = sum(after[k] - before[k] for k in ("system_allocs", "system_frees"))
        yield Row(
            f"calls to the system for memory in {STEPS} steps, {batch} x {list(layers)}",
            "memory",
            {"tensorgrad": float(calls)},
        )
