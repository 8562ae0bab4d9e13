"""The machine's limits, measured beside what is compared with them: multiply-adds per second, and
the time of a pass over memory that reads and writes as much as an operation must.

A small C file is compiled for it into a temporary folder, with the C compiler that is there. Without
one there are no limits, and the columns stay empty."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad

SOURCE = Path(__file__).with_name("limits.c")
_ISAS = {"baseline": 0, "avx2": 1, "avx512": 2, "neon": 0}
_READ, _COPY, _ADD, _UPDATE = 2, 3, 4, 5
_PAST_CACHES = 16 << 20  # bytes of all arrays from which stores past the caches are tried too


class Limits:
    """Functions that return the seconds a limit takes; each is measured anew when it is called."""

    def __init__(self, library: Any, isa: str, threads: int) -> None:
        self._library = library
        self._isa = _ISAS[isa]
        self.threads = threads
        self._arrays: dict[tuple[int, int], np.ndarray] = {}

    def flops(self, dtype: str) -> Callable[[float], Callable[[], float]]:
        """For a number of floating-point operations: seconds they take at the FMA peak."""
        f64 = int(dtype == "float64")
        rounds = 400_000  # long beside the time that a thread takes to wake
        done = 2 * self._library.limit_fmas_per_round(self._isa, f64) * rounds * self.threads

        def limit(flops: float) -> Callable[[], float]:
            return lambda: self._run(f64, 0, 1, rounds, 0) * flops / done

        return limit

    def stream(
        self, nbytes: float, reads: int, writes: int, in_place: bool = False
    ) -> Callable[[], float]:
        """Seconds of a pass that reads `reads` arrays of `nbytes` and writes one, or none: the best
        loop we know, in cache where they fit it. in_place: what is written is one of the two
        read."""
        kind = _READ if writes == 0 else _COPY if reads == 1 else _UPDATE if in_place else _ADD
        size = max(512 * self.threads, int(nbytes) // (512 * self.threads) * 512 * self.threads)
        # threads do not pay for little; a pass over little is repeated, so that starting costs nothing
        threads = self.threads if size > 1 << 19 else 1
        # and one over much is made once and unprepared, as the contenders' are: each finds its array
        # where the others have pushed it
        repeats = max(1, (1 << 24) // size)
        streamed = size * (reads + writes) > _PAST_CACHES and kind in (_COPY, _ADD)
        past = (False, True) if streamed else (False,)
        scale = nbytes / size / repeats
        return lambda: min(self._run(kind, int(p), repeats, 0, size, threads) for p in past) * scale

    def _run(
        self, kind: int, past: int, repeats: int, rounds: int, nbytes: int, threads: int = 0
    ) -> float:
        # each way has arrays of its own: the second would find them near, where the first had them
        a, b, c = (self._pointer(i + 3 * past, nbytes) if kind >= _READ else None for i in range(3))
        seconds = self._library.limit_run(
            kind, self._isa, past, threads or self.threads, repeats, rounds, nbytes, a, b, c
        )
        if seconds < 0:
            raise RuntimeError("limits: a thread could not be started")
        return float(seconds)

    def _pointer(self, i: int, nbytes: int) -> Any:
        if (i, nbytes) not in self._arrays:
            if len(self._arrays) > 30:
                self._arrays.clear()
            # by our allocator: on huge pages from where it uses them
            self._arrays[i, nbytes] = tensorgrad.ones(
                nbytes // 4 + 4096
            )._array()  # not watched, as what numpy() hands out is
        address = self._arrays[i, nbytes].__array_interface__["data"][0]
        # not at the same place of a page: loads would wait for stores that only look like theirs
        return self._library.cast(-(-address // 64) * 64 + i * 1088)


class _Library:
    """The compiled file, called without checks of its own."""

    def __init__(self, path: str) -> None:
        from cffi import FFI

        self._ffi = FFI()
        self._ffi.cdef(
            "double limit_run(int, int, int, int, int64_t, int64_t, int64_t, void *, void *, void *);"
            "int64_t limit_fmas_per_round(int, int);"
        )
        self._functions = self._ffi.dlopen(path)
        self.limit_fmas_per_round = self._functions.limit_fmas_per_round

    def cast(self, address: int) -> Any:
        return self._ffi.cast("void *", address)

    def limit_run(self, *arguments: Any) -> float:
        return float(
            self._functions.limit_run(
                *[self._ffi.NULL if argument is None else argument for argument in arguments]
            )
        )


def build(isa: str, threads: int) -> Limits | None:
    """The limits for kernels of `isa` on `threads` threads; None, and a line that says so, where
    there is no C compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        print("no C compiler: the machine's limits are not measured")
        return None
    folder = tempfile.mkdtemp(prefix="limits-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = str(Path(folder, "limits.so"))
    command = [
        compiler,
        "-O3",
        "-std=gnu11",
        "-fPIC",
        "-shared",
        "-pthread",
        str(SOURCE),
        "-o",
        path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"the machine's limits are not measured: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return Limits(_Library(path), isa, threads)
