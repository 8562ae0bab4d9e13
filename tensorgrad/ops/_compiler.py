"""Compiles C for custom ops, once: shared objects are kept on disk under the hash of all that went into
them, and checked against their own hash before they are loaded."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from tensorgrad._config import get_include
from tensorgrad._native import ffi, lib
from tensorgrad.errors import CompileError

FLAGS = (
    *("-std=gnu11", "-O3", "-g0", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math"),
    *("-fno-wrapv", "-fvisibility=hidden", "-pthread", "-Wno-psabi"),
)
# what csrc/isa compiles the library's own tables with
ISA_FLAGS = {
    "baseline": ("-DTG_VECTOR_BYTES=16",),
    "avx2": ("-mavx2", "-mfma", "-DTG_VECTOR_BYTES=32"),
    "avx512": (
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
        "-DTG_VECTOR_BYTES=64",
    ),
    "neon": ("-DTG_VECTOR_BYTES=16",),
}


def find_compiler() -> list[str]:
    """The C compiler's command: $CC, Python's own, cc, gcc or clang. Raises CompileError if there is
    none."""
    candidates = [os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"]
    for candidate in candidates:
        command = shlex.split(candidate or "")
        if command and shutil.which(command[0]):
            return command
    raise CompileError(
        "no C compiler was found: install gcc or clang, or set CC to the command of one; an op made "
        'from expressions can do without: fallback="numpy"'
    )


@lru_cache
def _version(command: tuple[str, ...]) -> str:
    return subprocess.run(
        [*command, "--version"], capture_output=True, text=True, check=False
    ).stdout


@lru_cache
def _headers() -> str:
    """The hash of the installed headers."""
    digest = hashlib.sha256()
    for path in sorted(Path(get_include()).rglob("*.h")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _own(folder: Path) -> bool:
    """Whether the folder is there, ours, and nobody else can write to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = folder.stat()
    except OSError:
        return False
    ours = not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)
    return ours and os.access(folder, os.W_OK | os.X_OK)


@lru_cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tensorgrad-")  # removed when Python ends


def cache_folder() -> Path:
    """Where compiled ops are kept: $TENSORGRAD_CACHE_DIR, or tensorgrad in the user's cache folder;
    where that cannot be written, or others could write to it, a folder of this process."""
    chosen = os.environ.get("TENSORGRAD_CACHE_DIR")
    if chosen:
        folder = Path(chosen)
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = Path(base) / "tensorgrad"
    return folder if _own(folder) else Path(_temporary().name)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock on a path against other processes; the system lets go of it if we die."""
    import fcntl

    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_whole(built: Path) -> bool:
    """Whether the shared object is the one that was written: a truncated one would crash."""
    seal = built.with_suffix(".sha256")
    try:
        return seal.read_text(encoding="ascii") == hashlib.sha256(built.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return False


def compile_shared(
    name: str, source: str, *, origin: Path | None = None, flags: Sequence[str] = ()
) -> Path:
    """A shared object of C source text, from the cache or new.

    name: becomes part of the file's name. origin: the file that the text is from, for the
    compiler's messages and its own includes. flags: in addition to ours. Raises CompileError with
    the compiler's message."""
    command = find_compiler()
    isa = ffi.string(lib.tg_isa()).decode()
    everything = [*FLAGS, *ISA_FLAGS[isa], *flags]
    key = hashlib.sha256(
        "\0".join(
            [source, str(origin), *command, _version(tuple(command)), *everything, _headers()]
        ).encode()
    ).hexdigest()[:32]
    folder = cache_folder()
    built = folder / f"{name}-{key}.so"
    if _is_whole(built):
        return built
    with _locked(built.with_suffix(".lock")):
        if not _is_whole(built):  # another process may have been faster
            _compile(command, everything, source, origin, built)
    return built


def _compile(
    command: list[str], flags: list[str], source: str, origin: Path | None, built: Path
) -> None:
    with tempfile.TemporaryDirectory(dir=built.parent) as scratch:
        text = Path(scratch) / "source.c"
        line = "" if origin is None else f'#line 1 "{origin.as_posix()}"\n'
        text.write_text(line + source, encoding="utf-8")
        made = Path(scratch) / "made.so"
        own = [] if origin is None else ["-I", str(origin.parent)]
        strip = ["-Wl,-x"] if sys.platform == "darwin" else ["-Wl,-s"]
        run = subprocess.run(
            [
                *command,
                *flags,
                "-I",
                get_include(),
                *own,
                str(text),
                "-o",
                str(made),
                *strip,
                "-lm",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise CompileError(
                f"{command[0]} cannot compile {origin or built.stem}:\n{run.stderr.strip()}"
            )
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        seal = Path(scratch) / "made.sha256"
        seal.write_text(digest, encoding="ascii")
        os.replace(made, built)
        os.replace(seal, built.with_suffix(".sha256"))


_loaded: dict[str, Any] = {}  # by path: never unloaded, since kernels stay registered


def dlopen(path: Path, cdef: str) -> tuple[Any, Any]:
    """Loads a shared object through cffi: its ffi and its lib. Raises CompileError if the system
    cannot."""
    from cffi import FFI

    found = _loaded.get(str(path))
    if found is None:
        own = FFI()
        own.cdef(cdef)
        try:
            found = own, own.dlopen(str(path))
        except OSError as error:
            raise CompileError(f"{path} cannot be loaded: {error}") from None
        _loaded[str(path)] = found
    return found


__all__ = ["cache_folder", "compile_shared", "dlopen", "find_compiler"]
