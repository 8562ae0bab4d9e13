"""Builds the compiled module `tensorgrad._C`: slices the cdef from the header, lists the sources.

setup.py names `ffibuilder` in cffi_modules; `python csrc/build_ffi.py` prints the cdef for a look.
"""

import os
import platform
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "csrc" / "include" / "tensorgrad.h"
# csrc/tests is not part of the module
SOURCE_FOLDERS = ("core", "families", "isa")


def cdef() -> str:
    """Return the part of the header between its `cdef:` marks."""
    text = HEADER.read_text(encoding="utf-8")
    return text.split("/* cdef: begin */")[1].split("/* cdef: end */")[0]


def in_project(folder: str, pattern: str) -> list[str]:
    """Return the files below csrc/`folder`, relative to the project's root as setuptools wants."""
    return [
        path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "csrc" / folder).glob(pattern))
    ]


def compile_flags() -> list[str]:
    """-O3 and IEEE semantics; errno and traps are not observable, so their upkeep is switched off.

    Python's own flags (such as -O2 -g -fwrapv) come earlier on the command line, so these win.
    """
    flags = "-std=gnu11 -O3 -g0 -fno-math-errno -fno-trapping-math -fno-wrapv"
    # nothing unwinds through C: without the tables for it the wheel is smaller
    flags += " -fno-asynchronous-unwind-tables -fvisibility=hidden -pthread"
    return flags.split() + os.environ.get("TENSORGRAD_CFLAGS", "").split()


def link_flags() -> list[str]:
    """Symbols that nobody links against are stripped, which keeps the wheel small."""
    strip = "-Wl,-x" if platform.system() == "Darwin" else "-Wl,-s"
    return [strip, "-pthread", *os.environ.get("TENSORGRAD_LDFLAGS", "").split()]


ffibuilder = FFI()
ffibuilder.cdef(cdef())
ffibuilder.set_source(
    "tensorgrad._C",
    '#include "tensorgrad.h"',
    sources=[path for folder in SOURCE_FOLDERS for path in in_project(folder, "*.c")],
    depends=["csrc/build_ffi.py", *in_project(".", "**/*.h")],
    include_dirs=["csrc/include"],
    define_macros=[
        ("TG_BUILD_FLAGS", '"{}"'.format(" ".join(compile_flags()).replace('"', '\\"')))
    ],
    extra_compile_args=compile_flags(),
    extra_link_args=link_flags(),
    libraries=["m"],
)

if __name__ == "__main__":
    print(cdef())
