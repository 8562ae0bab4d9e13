"""Linear algebra: the `linalg` extension of the Python Array API standard, and what NumPy and PyTorch
have besides. Factorisations are LAPACK's, through NumPy, of stacks of matrices (..., m, n); products are
the C library's. Everything but the complex results of eig and eigvals has gradients, written in ops, so
that they can be differentiated again. Complex matrices are computed, off the tape."""

from __future__ import annotations

from tensorgrad.linalg._exponential import matrix_exp
from tensorgrad.linalg._factors import QRResult, cholesky, qr
from tensorgrad.linalg._inverses import SlogdetResult, det, inv, matrix_power, slogdet
from tensorgrad.linalg._least_squares import LstsqResult, lstsq, matrix_rank, pinv
from tensorgrad.linalg._norms import cond, matrix_norm, norm, vector_norm
from tensorgrad.linalg._spectra import (
    EighResult,
    EigResult,
    SVDResult,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    svd,
    svdvals,
)
from tensorgrad.linalg._systems import solve, solve_triangular
from tensorgrad.linalg._vectors import cross, diagonal, outer, trace
from tensorgrad.ops.into import matmul
from tensorgrad.ops.products import tensordot, vecdot
from tensorgrad.ops.shaping import matrix_transpose

__all__ = [
    "EigResult",
    "EighResult",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
