"""The libraries that tensorgrad is compared with: NumPy always, PyTorch and JAX where they are
installed."""

from __future__ import annotations

import importlib
import os
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
    if threads == 1:
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )


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


def versions() -> dict[str, str]:
    """The versions of what takes part."""
    found = {}
    for name in ("tensorgrad", "numpy", "torch", "jax"):
        module = optional(name)
        if module is not None:
            found[name] = str(module.__version__)
    return found
