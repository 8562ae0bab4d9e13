"""The package that `python -m tensorgrad.ops new` writes: an op of your own, with its tests."""

from __future__ import annotations

import keyword
from pathlib import Path

from tensorgrad.autograd import registry
from tensorgrad.errors import ArgumentError

_PYPROJECT = """[build-system]
requires = ["setuptools>=77"{build}]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
description = "The op {name} for tensorgrad"
requires-python = ">=3.10"
dependencies = ["tensorgrad-c"]

[project.optional-dependencies]
test = ["pytest"]

[tool.setuptools]
packages = ["{name}"]
"""

_README = """# {name}

An op for [tensorgrad](https://pypi.org/project/tensorgrad-c/): `y = x * sigmoid(slope * x)`, to be replaced by yours.

    pip install --no-build-isolation -e .
    python -m pytest

`{name}/__init__.py` declares the op{where}; `tests/test_{name}.py` runs every check of tensorgrad's own ops.
"""

_SETUP = """from setuptools import setup

setup(cffi_modules=["build_kernels.py:ffibuilder"])
"""

_BUILD = '''"""Names the compiled module for setup.py: the kernels, and what Python may call of them."""

import cffi
import tensorgrad

DECLARATIONS = """
int {name}_f32(int64_t n, float slope, const float *x, float *y);
int {name}_f64(int64_t n, double slope, const double *x, double *y);
int {name}_grad_f32(int64_t n, float slope, const float *gy, const float *x, float *gx);
int {name}_grad_f64(int64_t n, double slope, const double *gy, const double *x, double *gx);
"""

ffibuilder = cffi.FFI()
ffibuilder.cdef(DECLARATIONS + "int tg_module_abi(void); void tg_module_bind(const void *api);")
ffibuilder.set_source(
    "{name}._kernels",
    DECLARATIONS + "int tg_module_abi(void); void tg_module_bind(const void *api);",
    sources=["csrc/{name}.c"],
    include_dirs=[tensorgrad.get_include()],
    extra_compile_args=["-std=gnu11", "-O3", "-fno-math-errno", "-Wno-psabi"],
)
'''

_C = """/* {name}.c: y = x * sigmoid(slope * x) and its gradient. */
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>

TG_MODULE

enum {{ GRAIN = 1 << 12 }}; /* elements below which a second thread does not pay */

/* One body for both element types: TG_SUFFIX says which is meant. */
#define TG_SUFFIX f32
#include "{name}_body.h"
#undef TG_SUFFIX
#define TG_SUFFIX f64
#include "{name}_body.h"
#undef TG_SUFFIX
"""

_C_BODY = """/* {name}_body.h: the kernels of one element type. */
typedef struct {{
    real slope;
    const real *gy, *x; /* (n); gy of a gradient only */
    real *out;          /* (n) */
}} FN(call);

static void FN(forward_range)(void *context, int64_t begin, int64_t end) {{
    const FN(call) *c = context;
    const vec slope = v_set(c->slope);
    for (int64_t i = begin; i < end; i += LANES) {{
        const vec x = v_load_upto(c->x + i, end - i);
        v_store_upto(c->out + i, x * v_sigmoid(slope * x), end - i);
    }}
}}

static void FN(gradient_range)(void *context, int64_t begin, int64_t end) {{
    const FN(call) *c = context;
    const vec slope = v_set(c->slope), one = v_set(1);
    for (int64_t i = begin; i < end; i += LANES) {{
        const vec x = v_load_upto(c->x + i, end - i), s = v_sigmoid(slope * x);
        v_store_upto(c->out + i, v_load_upto(c->gy + i, end - i) * (s + slope * x * s * (one - s)), end - i);
    }}
}}

/* x, y: (n) */
TG_EXPORT int FN({name})(int64_t n, real slope, const real *x, real *y) {{
    if (n < 0) return TG_BAD_SIZE;
    FN(call) c = {{slope, NULL, x, y}};
    tg->parallel_for(n, GRAIN, FN(forward_range), &c);
    return TG_OK;
}}

/* gy, x, gx: (n) */
TG_EXPORT int FN({name}_grad)(int64_t n, real slope, const real *gy, const real *x, real *gx) {{
    if (n < 0) return TG_BAD_SIZE;
    FN(call) c = {{slope, gy, x, gx}};
    tg->parallel_for(n, GRAIN, FN(gradient_range), &c);
    return TG_OK;
}}
"""

_REFERENCE = '''
def reference(x: np.ndarray, slope: float = 1.0) -> np.ndarray:
    """The same on NumPy arrays: the tests compare with it."""
    return x / (1 + np.exp(-slope * x))

'''

_PYTHON = (
    '''"""The op {name}."""

from __future__ import annotations

import numpy as np
import tensorgrad as tg
from tensorgrad import Tensor, op
from tensorgrad.autograd import Case

'''
    + _REFERENCE
    + '''
def gradient(gy: Tensor, y: Tensor, x: Tensor, slope: float = 1.0) -> Tensor:
    """The gradient by x, in ops: so it can be differentiated again."""
    s = tg.sigmoid(x * slope)
    return gy * (s + x * slope * s * (1 - s))


@op(
    gradient=gradient,
    saves=("x",),
    reference=reference,
    cases=(Case((3, 4)), Case((5,), slope=0.5), Case((0, 3))),
    method=False,
)
def {name}(x: Tensor, slope: float = 1.0) -> Tensor:
    """x * sigmoid(slope * x), element by element. x: (...), float. Returns (...)."""
    return x * tg.sigmoid(x * slope)
'''
)

_PYTHON_C = (
    '''"""The op {name}, on the C kernels of csrc/{name}.c."""

from __future__ import annotations

import numpy as np
import tensorgrad as tg
from tensorgrad import Tensor, op
from tensorgrad.autograd import Case

from {name} import _kernels

KERNELS = tg.ops.bind(
    _kernels.ffi,
    _kernels.lib,
    """
    int {name}_f32(int64_t n, float slope, const float *x, float *y);
    int {name}_f64(int64_t n, double slope, const double *x, double *y);
    int {name}_grad_f32(int64_t n, float slope, const float *gy, const float *x, float *gx);
    int {name}_grad_f64(int64_t n, double slope, const double *gy, const double *x, double *gx);
    """,
    name="{name}",
)
FORWARD = {{tg.float32: KERNELS.{name}_f32, tg.float64: KERNELS.{name}_f64}}
GRADIENT = {{tg.float32: KERNELS.{name}_grad_f32, tg.float64: KERNELS.{name}_grad_f64}}

'''
    + _REFERENCE
    + '''
def slope_of_slope(g: Tensor, gx: Tensor, gy: Tensor, x: Tensor, slope: float = 1.0) -> Tensor:
    """The gradient of {name}_gradient by x, in ops."""
    s = tg.sigmoid(x * slope)
    return g * gy * slope * s * (1 - s) * (2 + slope * x * (1 - 2 * s))


@op(
    gradient=(lambda g, gx, gy, x, slope=1.0: {name}_gradient(g, x, slope), slope_of_slope),
    saves=("gy", "x"),
    reference=lambda gy, x, slope=1.0: gy * (reference(x + 1e-6, slope) - reference(x - 1e-6, slope)) / 2e-6,
    method=False,
)
def {name}_gradient(gy: Tensor, x: Tensor, slope: float = 1.0) -> Tensor:
    """gy times the derivative of {name}. gy, x: (...). Returns (...)."""
    gy, x = gy.contiguous(), x.contiguous()
    gx = tg.empty(x.shape, x.dtype)
    GRADIENT[x.dtype](x.size, slope, gy, x, gx)
    return gx


@op(
    gradient=lambda gy, y, x, slope=1.0: {name}_gradient(gy, x, slope),
    saves=("x",),
    reference=reference,
    cases=(Case((3, 4)), Case((5,), slope=0.5), Case((0, 3))),
    method=False,
)
def {name}(x: Tensor, slope: float = 1.0) -> Tensor:
    """x * sigmoid(slope * x), element by element. x: (...), float32 or float64. Returns (...)."""
    x = x.contiguous()
    y = tg.empty(x.shape, x.dtype)
    FORWARD[x.dtype](x.size, slope, x, y)
    return y
'''
)

_TEST = '''"""Every check of tensorgrad's own ops."""

import pytest
import tensorgrad as tg
from tensorgrad.testing import check_op

from {name} import {name}


def test_{name}():
    check_op({name})


def test_{name}_of_nothing_known():
    with pytest.raises((TypeError, KeyError)):
        {name}(tg.tensor(["text"]))


def test_training():
    x = tg.randn(100, requires_grad=True)
    {name}(x, slope=2.0).sum().backward()
    assert x.grad.shape == (100,)
'''


def write_package(name: str, folder: Path, with_c: bool) -> list[Path]:
    """Writes the package of an op into folder/name and returns the files. Raises ArgumentError for a
    name that cannot be an op's, or a folder that exists."""
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise ArgumentError(f"new: expected a lower-case Python name for the op, got {name!r}")
    if name in registry:
        raise ArgumentError(f"new: tensorgrad has an op {name!r} already; choose another name")
    root = folder / name
    if root.exists():
        raise ArgumentError(f"new: {root} exists already")
    texts = {
        "pyproject.toml": _PYPROJECT.format(
            name=name, build=', "cffi", "tensorgrad-c"' if with_c else ""
        ),
        "README.md": _README.format(
            name=name, where=f", `csrc/{name}_body.h` has its kernels" if with_c else ""
        ),
        f"{name}/__init__.py": (_PYTHON_C if with_c else _PYTHON).format(name=name),
        f"tests/test_{name}.py": _TEST.format(name=name),
    }
    if with_c:
        texts |= {
            "setup.py": _SETUP,
            "build_kernels.py": _BUILD.format(name=name),
            f"csrc/{name}.c": _C.format(name=name),
            f"csrc/{name}_body.h": _C_BODY.format(name=name),
            "MANIFEST.in": "graft csrc\ninclude build_kernels.py\n",
        }
    written = []
    for path, text in texts.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return written
