"""The libraries that tensorgrad is compared with: NumPy always, PyTorch and JAX where they are
installed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def limit_threads(threads: int) -> None:
    """Must run before NumPy is imported: its BLAS reads the environment once."""
    for variable in (
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TENSORGRAD_NUM_THREADS",
    ):
        os.environ[variable] = str(threads)


def optional(name: str) -> Any:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def load_torch(threads: int) -> Any:
    torch = optional("torch")
    if torch is not None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
    return torch


@contextmanager
def confined(threads: int) -> Iterator[None]:
    """As many CPUs as there shall be threads, where the system can do that."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if allowed:
        os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        yield
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)


def load_jax(threads: int) -> Any:
    """JAX makes a thread for each CPU that the process may use when it first computes; none of its
    options for fewer is heeded (with those for one, a training step took 35 ms of CPU time in 18 ms).
    So it begins confined; and its suites are, since a worker on another CPU than the one that waits
    for it makes small steps take 120 instead of 35 µs."""
    with confined(threads):
        jax = optional("jax")
        if jax is not None:
            jax.jit(lambda x: x @ x)(jax.numpy.ones((512, 512))).block_until_ready()
    return jax


def versions() -> dict[str, str]:
    """The versions of what takes part."""
    found = {}
    for name in ("tensorgrad", "numpy", "torch", "jax"):
        module = optional(name)
        if module is not None:
            found[name] = str(module.__version__)
    return found
