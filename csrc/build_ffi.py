"""Builds the compiled module `tensorgrad._C`: the cdef is sliced from the header, the sources are listed here.

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
    """The part of the header between its `cdef:` marks."""
    text = HEADER.read_text(encoding="utf-8")
    return text.split("/* cdef: begin */")[1].split("/* cdef: end */")[0]


def sources() -> list[str]:
    # relative to the project's root, as setuptools demands
    return [
        path.relative_to(ROOT).as_posix()
        for folder in SOURCE_FOLDERS
        for path in sorted((ROOT / "csrc" / folder).glob("*.c"))
    ]


def compile_args() -> list[str]:
    """-O3 and IEEE semantics; errno and traps are not observable here, so their upkeep is switched off."""
    flags = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-pthread"]
    return flags + os.environ.get("TENSORGRAD_CFLAGS", "").split()


ffibuilder = FFI()
ffibuilder.cdef(cdef())
ffibuilder.set_source(
    "tensorgrad._C",
    '#include "tensorgrad.h"',
    sources=sources(),
    include_dirs=["csrc/include"],
    depends=[p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "csrc").rglob("*.h"))],
    extra_compile_args=compile_args(),
    extra_link_args=["-pthread"] + os.environ.get("TENSORGRAD_LDFLAGS", "").split(),
    libraries=[] if platform.system() == "Windows" else ["m"],
)

if __name__ == "__main__":
    print(cdef())
