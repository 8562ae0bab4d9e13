"""Factorisations with triangular matrices, by LAPACK: Cholesky and QR."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import Case, composite, op
from tensorgrad.errors import ArgumentError
from tensorgrad.linalg._support import (
    LAPACK,
    adjoint,
    identity_like,
    lapack,
    lower,
    matrices,
    symmetric,
    symmetrised,
    tensor_of,
)
from tensorgrad.linalg._systems import solve_triangular
from tensorgrad.ops.joining import concat
from tensorgrad.ops.matrix import matmul

# ---- Cholesky ------------------------------------------------------------------------------------


def _cholesky_gradient(gy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    # inv(L).T @ phi(L.T @ gL) @ inv(L), phi taking the lower triangle and half the diagonal (Murray
    # 2016, "Differentiation of the Cholesky decomposition", eq. 10)
    inside = lower(y.mT @ gy)
    inside = inside - inside * identity_like(inside) * 0.5
    left = solve_triangular(y.mT, inside, upper=True)
    return symmetrised(solve_triangular(y, left, upper=False, left=False))


_DEFINITE = (
    Case((3, 3), low=-1, high=1, plus=4 * np.eye(3)),
    Case((2, 2, 2), low=-1, high=1, plus=3 * np.eye(2)),
    Case((1, 1), low=1),
    Case((0, 0)),
)


@op(
    gradient=_cholesky_gradient,
    saves=("y",),
    reference=lambda x: np.linalg.cholesky(symmetric(x)),
    cases=_DEFINITE,
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.cholesky_lower",
)
def cholesky_lower(x: Tensor, /) -> Tensor:
    """`cholesky` with upper=False.

    >>> import tensorgrad
    >>> tensorgrad.linalg._factors.cholesky_lower(tensorgrad.eye(1) * 4)
    tensor([[2.]])
    """
    return tensor_of(lapack(np.linalg.cholesky, "cholesky", symmetric(x._array())))


def _cholesky_reference(x: Any, upper: bool = False) -> Any:
    y = np.linalg.cholesky(symmetric(x))
    return y.swapaxes(-1, -2) if upper else y


@composite(
    reference=_cholesky_reference,
    cases=(*_DEFINITE, Case((3, 3), low=-1, high=1, plus=4 * np.eye(3), upper=True)),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.cholesky",
)
def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The lower triangular L with x = L @ L.T of symmetric positive definite matrices, or its
    transpose (upper=True). x: (..., n, n); of one that is not symmetric (x + x.T) / 2 is taken, so that the
    gradient is symmetric. Returns the same shape. Raises LinearAlgebraError for a matrix that is not
    positive definite.

    >>> import tensorgrad
    >>> tensorgrad.linalg.cholesky(tensorgrad.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    y = cholesky_lower(matrices(x, "cholesky", square=True))
    return adjoint(y) if upper else y


# ---- QR ------------------------------------------------------------------------------------------


class QRResult(NamedTuple):
    """The factors of x = Q @ R."""

    Q: Tensor
    R: Tensor


def _qr_gradient(gy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    # (gQ + Q @ copyltu(R @ gR.T - gQ.T @ Q)) @ inv(R).T, copyltu repeating the lower triangle above the
    # diagonal (Walter and Lehmann 2010, "Algorithmic differentiation of linear algebra functions";
    # written so in Liao et al. 2019, "Differentiable programming tensor networks", eq. 6)
    m = x.shape[-2]
    q, r = y[..., :m, :], y[..., m:, :]
    gq, gr = gy[..., :m, :], gy[..., m:, :]
    middle = r @ gr.mT - gq.mT @ q
    middle = lower(middle) + lower(middle, -1).mT
    return solve_triangular(r, (gq + q @ middle).mT, upper=True).mT


def _packed_qr(x: Any) -> Any:
    return np.concatenate(np.linalg.qr(x), axis=-2)


@op(
    gradient=_qr_gradient,
    saves=("y",),
    reference=_packed_qr,
    cases=(Case((3, 3)), Case((4, 2)), Case((2, 3, 2)), Case((2, 0))),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.qr_packed",
)
def qr_packed(x: Tensor, /) -> Tensor:
    """qr's Q above its R in one tensor. x: (..., m, n), m >= n. Returns (..., m + n, n).

    >>> import tensorgrad
    >>> tensorgrad.linalg._factors.qr_packed(tensorgrad.ones((3, 2))).shape
    (5, 2)
    """
    return tensor_of(lapack(_packed_qr, "qr", x._array()))


def _complete_qr(x: Any) -> Any:
    return np.concatenate(np.linalg.qr(x, mode="complete"), axis=-1)


@op(
    gradient=None,
    reference=_complete_qr,
    cases=(Case((4, 2)), Case((2, 3, 2))),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.qr_complete",
)
def qr_complete(x: Tensor, /) -> Tensor:
    """qr's complete Q beside its R in one tensor. x: (..., m, n). Returns (..., m, m + n).

    >>> import tensorgrad
    >>> tensorgrad.linalg._factors.qr_complete(tensorgrad.ones((3, 2))).shape
    (3, 5)
    """
    return tensor_of(lapack(_complete_qr, "qr", x._array()))


@composite(
    reference=lambda x, mode="reduced": tuple(np.linalg.qr(x, mode)),
    cases=(
        Case((3, 3)),
        Case((4, 2)),
        Case((2, 2, 3)),
        Case((2, 3), mode="complete"),
        Case((3, 3), mode="complete"),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.qr",
)
def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """x = Q @ R with orthonormal columns of Q and R upper triangular. x: (..., m, n). mode: "reduced":
    Q (..., m, k) and R (..., k, n), k = min(m, n); "complete": (..., m, m) and (..., m, n).

    The gradient needs the first k columns of x independent: it raises SingularMatrixError otherwise.
    Complete results of m > n are off the tape: the columns of Q beyond n are not unique.

    >>> import tensorgrad
    >>> tensorgrad.linalg.qr(tensorgrad.eye(3)[:, :2]).Q.shape
    (3, 2)
    """
    x = matrices(x, "qr")
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"qr: expected the mode 'reduced' or 'complete', got {mode!r}")
    m, n = x.shape[-2:]
    if mode == "complete" and m > n:
        packed = qr_complete(x)
        return QRResult(packed[..., :m], packed[..., m:])
    square = x if m >= n else x[..., :m]
    packed = qr_packed(square)
    q, r = packed[..., :m, :], packed[..., m:, :]
    if m < n:  # [X Y] = Q [U V] with X = Q U
        r = concat([r, matmul(adjoint(q), x[..., m:])], -1)
    return QRResult(q, r)


__all__ = ["cholesky", "qr"]
