"""The pseudo-inverse, least squares, and the rank: what matrices of any shape and rank have."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._native import is_array
from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite, op
from tensorgrad.errors import ShapeError
from tensorgrad.linalg._spectra import svdvals
from tensorgrad.linalg._support import (
    LAPACK,
    floats,
    identity_like,
    is_complex,
    machine_epsilon,
    matrices,
    spectral,
    tensor_of,
    values_of,
)
from tensorgrad.ops.matrix import matmul
from tensorgrad.ops.shaping import expand_dims, reshape


def _pinv_gradient(g: Tensor, y: Tensor, x: Tensor, rtol: Any) -> Tensor:
    # -Y.T G Y.T + (1 - X Y) G.T (Y Y.T) + (Y.T Y) G.T (1 - Y X) (Golub and Pereyra 1973, "The
    # differentiation of pseudo-inverses and nonlinear least squares problems", eq. 4.12)
    m, n = x.shape[-2:]
    gx = -(y.mT @ g @ y.mT)
    if m > n:  # else X Y is the identity where the rank is full, as it must be for a derivative
        gx = gx + (identity_like(x) - x @ y) @ g.mT @ (y @ y.mT)
    elif m < n:
        gx = gx + (y.mT @ y) @ g.mT @ (identity_like(x.mT) - y @ x)
    return gx


def _cut(x: Tensor, rtol: Any) -> Any:
    """rtol, or its default: the rounding errors of a factorisation, as the Array API standard says."""
    if rtol is None:
        return max(x.shape[-2:]) * machine_epsilon(x)
    return values_of(rtol) if isinstance(rtol, Tensor) else rtol


def _pinv_reference(x: Any, rtol: Any = None) -> Any:
    return np.linalg.pinv(x, 1e-10 if rtol is None else rtol)


@op(
    gradient=_pinv_gradient,
    saves=("x", "y"),
    reference=_pinv_reference,
    cases=(
        Case((3, 3), low=-1, high=1, plus=2 * np.eye(3), rtol=1e-10),
        Case((4, 2), rtol=1e-10),
        Case((2, 2, 3), rtol=1e-10),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.pinv_cut",
)
def pinv_cut(x: Tensor, /, rtol: Any) -> Tensor:
    """`pinv` with a tolerance given.

    >>> import tensorgrad
    >>> tensorgrad.linalg._least_squares.pinv_cut(tensorgrad.eye(1) * 2, 1e-6)
    tensor([[0.5]])
    """
    return tensor_of(spectral(np.linalg.pinv, "pinv", x._array(), rtol))


@composite(
    reference=_pinv_reference,
    cases=(
        Case((3, 3), low=-1, high=1, plus=2 * np.eye(3)),
        Case((4, 2)),
        Case((2, 2, 3)),
        Case((4, 2), rtol=0.01),
        Case((0, 3)),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.pinv",
)
def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """The Moore-Penrose pseudo-inverse. x: (..., m, n). rtol: singular values up to rtol times the
    largest count as 0; a number or (...), by default max(m, n) times the dtype's epsilon. Returns (...,
    n, m). The gradient is that of a matrix of full rank: where the rank is smaller, the pseudo-inverse
    is not continuous. Raises LinearAlgebraError for NaN or infinity.

    >>> import tensorgrad
    >>> tensorgrad.linalg.pinv(tensorgrad.tensor([[2.0], [0.0]]))
    tensor([[0.5, 0. ]])
    """
    x = matrices(x, "pinv")
    return pinv_cut(x, _cut(x, rtol))


@op(
    gradient=None,
    reference=np.linalg.matrix_rank,
    cases=(Case((3, 4)), Case((2, 3, 3)), Case(np.ones((3, 3)))),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.matrix_rank",
)
def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """The number of singular values above rtol times the largest. x: (..., m, n). rtol: a number or
    (...), by default max(m, n) times the dtype's epsilon. Returns (...), int64.

    >>> import tensorgrad
    >>> tensorgrad.linalg.matrix_rank(tensorgrad.ones((3, 3)))
    tensor(1)
    """
    x = matrices(x, "matrix_rank")
    s = spectral(np.linalg.svd, "matrix_rank", x._array(), compute_uv=False)
    cut = _cut(x, rtol)
    cut = (cut[..., None] if is_array(cut) else cut) * s.max(-1, keepdims=True, initial=0)
    return tensor_of(np.count_nonzero(s > cut, axis=-1))


def _squares(x: Tensor) -> Tensor:
    return tensor_of(np.square(np.abs(x._array()))) if is_complex(x) else x * x


class LstsqResult(NamedTuple):
    """The solution, the sums of squared residuals (empty where the rank is not full, or m <= n), the
    rank, and the singular values."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _lstsq_reference(a: Any, b: Any, rcond: Any = None) -> Any:
    solution, residuals, rank, values = np.linalg.lstsq(a, b, rcond)
    return solution, residuals, np.asarray(rank, np.int64), values


@composite(
    reference=_lstsq_reference,
    cases=(Case((4, 2), (4, 3)), Case((5, 3), (5, 1)), Case((2, 3), (2, 2))),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.lstsq",
)
def lstsq(a: Tensor, b: Tensor, /, rcond: Any = None) -> LstsqResult:
    """The x of least norm among those that make the norm of a @ x - b least. a: (..., m, n), b: (..., m,
    k) or a vector (m). rcond: singular values of a up to rcond times the largest count as 0, by default
    max(m, n) times the dtype's epsilon. Returns (solution (..., n, k) or (..., n), residuals (..., k),
    rank, singular_values), as NumPy. Gradients flow through the solution, by the pseudo-inverse, and
    the residuals; that by `a` needs full rank. Raises ShapeError, LinearAlgebraError.

    >>> import tensorgrad
    >>> a = tensorgrad.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> solution = tensorgrad.linalg.lstsq(a, tensorgrad.tensor([1.0, 3.0, 5.0])).solution
    >>> solution.round()
    tensor([1., 2.])
    """
    a = matrices(a, "lstsq")
    b = floats(as_tensor(b, "lstsq"))
    vector = b.ndim == 1
    right = expand_dims(b, -1) if vector else b
    m, n = a.shape[-2:]
    if right.ndim < 2 or right.shape[-2] != m:
        raise ShapeError(
            f"lstsq: expected (..., m, n) and (..., m, k), got {a.shape} and {b.shape}"
        )
    cut = _cut(a, rcond)
    x = matmul(pinv_cut(a, cut), right)
    values = svdvals(a.detach())
    rank = matrix_rank(a, rtol=cut)
    if m > n and bool((values_of(rank) == n).all()):
        residuals = _squares(matmul(a, x) - right).sum(-2)
    else:
        residuals = tensor_of(np.zeros(0, values.dtype))
    return LstsqResult(reshape(x, x.shape[:-1]) if vector else x, residuals, rank, values)


__all__ = ["lstsq", "matrix_rank", "pinv"]
