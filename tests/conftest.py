"""Settings of the whole suite, and the guard that no test leaks global state."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib: tests open no window

import numpy as np
import pytest
from hypothesis import settings

import tensorgrad
from tensorgrad._native import ffi, lib
from tensorgrad.autograd import registry

tensorgrad.ops.load_all()  # so that the registry is the same in every test

# the same examples in every run, and no time limit, since a busy machine is not a wrong result
settings.register_profile("tensorgrad", derandomize=True, deadline=None, database=None)
settings.load_profile("tensorgrad")


def _environment() -> dict[str, str]:
    # pytest writes the name of the running test, PyTorch the place of its cache at its first step
    written = ("PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR")
    return {name: value for name, value in os.environ.items() if name not in written}


def _set_environment(before: dict[str, str]) -> None:
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _set_registry(before: dict[str, Any]) -> None:
    registry.clear()
    registry.update(before)


def _comparable_numpy_random() -> tuple[Any, ...]:
    state = np.random.get_state()  # noqa: NPY002 - the legacy global state is what is guarded
    return tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in state)


def _set_numpy_random(state: tuple[Any, ...]) -> None:
    np.random.set_state((state[0], np.frombuffer(state[1], np.uint32), *state[2:]))  # noqa: NPY002


# what is guarded: how to read it, and how to put it back
GLOBAL_STATE: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "grad mode": (tensorgrad.is_grad_enabled, tensorgrad.set_grad_enabled),
    "number of threads": (tensorgrad.get_num_threads, tensorgrad.set_num_threads),
    "instruction set": (lambda: ffi.string(lib.tg_isa()), lib.tg_select_isa),
    "memory limit": (lambda: tensorgrad.memory_stats()["cache_limit"], tensorgrad.set_memory_limit),
    "registry of ops": (lambda: dict(registry), _set_registry),
    "NumPy's error handling": (np.geterr, lambda before: np.seterr(**before)),
    "NumPy's print options": (np.get_printoptions, lambda before: np.set_printoptions(**before)),
    "NumPy's global random state": (_comparable_numpy_random, _set_numpy_random),
    "Python's random state": (random.getstate, random.setstate),
    "environment variables": (_environment, _set_environment),
    "working directory": (os.getcwd, os.chdir),
}


@pytest.fixture(autouse=True)
def global_state() -> Iterator[None]:
    """Fails a test that leaks global state, and undoes the leak so that no other fails with it.

    tensorgrad's random stream starts every test afresh: no result depends on the order of tests.
    """
    tensorgrad.manual_seed(0)
    before = {name: read() for name, (read, _) in GLOBAL_STATE.items()}
    yield
    leaked = [name for name, (read, _) in GLOBAL_STATE.items() if read() != before[name]]
    for name in leaked:
        GLOBAL_STATE[name][1](before[name])
    if leaked:
        pytest.fail(f"the test leaves another {', '.join(leaked)} than it found", pytrace=False)
