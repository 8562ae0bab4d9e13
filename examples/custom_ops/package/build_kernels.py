"""How the module of kernels, `tensorgrad_ema._kernels`, is built: what cffi compiles."""

from pathlib import Path

from cffi import FFI

import tensorgrad

declarations = (Path(__file__).parent / "tensorgrad_ema" / "kernels.h").read_text(encoding="utf-8")

ffibuilder = FFI()
ffibuilder.cdef(declarations)
ffibuilder.set_source(
    "tensorgrad_ema._kernels",
    "#include <stdint.h>\n" + declarations,
    sources=["csrc/ema.c"],
    include_dirs=[tensorgrad.get_include()],
    # A wheel runs on machines that its builder does not know, so no flags of an instruction set here:
    # the vectors have the width that every machine has.
    extra_compile_args=["-std=gnu11", "-O3", "-Wno-psabi"],
)
