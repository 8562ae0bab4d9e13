"""Depth 5: a function of somebody else's C library, which knows nothing of tensorgrad.

Its address and its C declaration are enough: `ops.from_pointer` hands it the memory of tensors, no
copies. Here the library is a few lines that are compiled first, to stand for one that is installed.

    python examples/custom_ops/depth5_foreign_library.py
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import cffi
import numpy as np

import tensorgrad
from tensorgrad import Tensor, op, ops
from tensorgrad.autograd import Case
from tensorgrad.ops._compiler import find_compiler
from tensorgrad.testing import check_op

SOURCE = """
/* Exponential smoothing of a series: y[0] = x[0], y[i] = a x[i] + (1 - a) y[i - 1]; backwards: its transpose. */
void smooth(const double *x, double *y, long n, double a) {
    for (long i = 0; i < n; i++) y[i] = i ? a * x[i] + (1 - a) * y[i - 1] : x[0];
}
void smooth_transposed(const double *g, double *r, long n, double a) {
    double carried = 0;
    for (long i = n - 1; i >= 0; i--) {
        carried = g[i] + (1 - a) * carried;
        r[i] = i ? a * carried : carried;
    }
}
"""


def build(folder: Path) -> Path:
    """Somebody's library, compiled."""
    source, library = folder / "smoothing.c", folder / "libsmoothing.so"
    source.write_text(SOURCE)
    subprocess.run(
        [*find_compiler(), "-O2", "-shared", "-fPIC", str(source), "-o", str(library)], check=True
    )
    return library


ffi = cffi.FFI()
ffi.cdef(
    "void smooth(const double *x, double *y, long n, double a);"
    "void smooth_transposed(const double *g, double *r, long n, double a);"
)
with tempfile.TemporaryDirectory() as scratch:
    library = ffi.dlopen(str(build(Path(scratch))))  # stays loaded as long as this name lives
forward = ops.from_pointer(
    ffi.addressof(library, "smooth"),
    "void smooth(const double *x, double *y, long n, double a)",
)
backward = ops.from_pointer(
    ffi.addressof(library, "smooth_transposed"),
    "void smooth_transposed(const double *g, double *r, long n, double a)",
)


def _reference(x: Any, a: float = 0.5) -> Any:
    y = np.array(x, np.float64)
    for i in range(1, len(y)):
        y[i] = a * y[i] + (1 - a) * y[i - 1]
    return y.astype(x.dtype)


def _by_x(gy: Tensor, y: Any, x: Any, a: float, transposed: bool) -> Tensor:
    return smoothed(gy, a, not transposed)


@op(
    # a linear function: its gradient is its transpose, whose gradient is the function again
    gradient=_by_x,
    reference=_reference,
    cases=(Case((6,), a=0.25), Case((1,))),
    method=False,
)
def smoothed(x: Tensor, a: float = 0.5, transposed: bool = False) -> Tensor:
    """Exponential smoothing. x: (n), float; computed in float64. Returns (n)."""
    wide = x.astype("float64")
    y = tensorgrad.empty(x.shape, dtype="float64")
    (backward if transposed else forward)(wide, y, x.size, a)
    return y.astype(x.dtype)


def main() -> None:
    check_op(smoothed)
    x = tensorgrad.tensor([0.0, 1.0, 0.0, 0.0], dtype="float64", requires_grad=True)
    y = smoothed(x)
    y[3].backward()
    print(y, x.grad, sep="\n")
    assert y.tolist() == [0.0, 0.5, 0.25, 0.125]
    assert x.grad is not None
    assert x.grad.tolist() == [0.125, 0.125, 0.25, 0.5]


if __name__ == "__main__":
    main()
