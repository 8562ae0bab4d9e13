"""Eigenvalues and singular values, by LAPACK. Each factorisation is one op that packs its results into
one tensor, and a function that takes it apart.

Where vectors are not unique for equal eigenvalues or singular values, they have no derivative, and the
gradient is then a huge number, infinite or NaN; what does not depend on the choice has the right one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._tensor import Tensor, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.linalg._support import (
    LAPACK,
    identity_like,
    is_complex,
    lapack,
    matrices,
    nonzero,
    spectral,
    symmetric,
    tensor_of,
)
from tensorgrad.ops.joining import concat
from tensorgrad.ops.shaping import expand_dims

# ---- eigenvalues ---------------------------------------------------------------------------------


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors, in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _differences(s: Tensor) -> Tensor:
    """s_j - s_i, with 1 on the diagonal."""
    d = expand_dims(s, -2) - expand_dims(s, -1)
    return nonzero(d + wrap_array(np.eye(s.shape[-1], dtype=s.dtype)))


def _eigh_gradient(gy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    # V @ (diag(gw) + sym(F * (V.T @ gV))) @ V.T with F = 1 / (w_j - w_i) off the diagonal (Giles 2008,
    # section 3.1); F is antisymmetric, so sym(F * M) = F * (M - M.T) / 2
    w, v = y[..., 0, :], y[..., 1:, :]
    gw, gv = gy[..., 0, :], gy[..., 1:, :]
    m = v.mT @ gv
    inside = (m - m.mT) * 0.5 / _differences(w)
    inside = inside + expand_dims(gw, -1) * identity_like(inside)
    return v @ inside @ v.mT


def _packed_eigh(x: Any) -> Any:
    w, v = np.linalg.eigh(symmetric(x))
    return np.concatenate([w[..., None, :], v], axis=-2)


_SYMMETRIC = (Case((3, 3)), Case((2, 2, 2)), Case((1, 1)))


@op(
    gradient=_eigh_gradient,
    saves=("y",),
    reference=_packed_eigh,
    cases=_SYMMETRIC,
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.eigh_packed",
)
def eigh_packed(x: Tensor, /) -> Tensor:
    """eigh's eigenvalues above its eigenvectors in one tensor. x: (..., n, n). Returns (..., n + 1, n).

    >>> import tensorgrad
    >>> tensorgrad.linalg._spectra.eigh_packed(tensorgrad.eye(2)).shape
    (3, 2)
    """
    return tensor_of(spectral(_packed_eigh, "eigh", x._array()))


@composite(
    reference=lambda x: tuple(np.linalg.eigh(symmetric(x))),
    cases=_SYMMETRIC,
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.eigh",
)
def eigh(x: Tensor, /) -> EighResult:
    """Eigenvalues, ascending, and eigenvectors of symmetric (or Hermitian) matrices: x @ v = v * w. x:
    (..., n, n); of one that is not symmetric (x + x.T) / 2 is taken, so that the gradient is symmetric.
    Returns (..., n) and (..., n, n). Eigenvectors of equal eigenvalues have no gradient (see the
    module).

    >>> import tensorgrad
    >>> tensorgrad.linalg.eigh(tensorgrad.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    x = matrices(x, "eigh", square=True)
    if is_complex(x):
        return EighResult(*map(tensor_of, spectral(np.linalg.eigh, "eigh", symmetric(x._array()))))
    packed = eigh_packed(x)
    return EighResult(packed[..., 0, :], packed[..., 1:, :])


def _eigvalsh_gradient(gy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    v = eigh(x).eigenvectors
    return (v * expand_dims(gy, -2)) @ v.mT


@op(
    gradient=_eigvalsh_gradient,
    saves=("x",),
    reference=lambda x: np.linalg.eigvalsh(symmetric(x)),
    cases=_SYMMETRIC,
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.eigvalsh",
)
def eigvalsh(x: Tensor, /) -> Tensor:
    """The eigenvalues, ascending, of symmetric (or Hermitian) matrices. x: (..., n, n). Returns (...,
    n), real. The gradient of the gradient needs distinct eigenvalues. See `eigh`.

    >>> import tensorgrad
    >>> tensorgrad.linalg.eigvalsh(tensorgrad.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.])
    """
    x = matrices(x, "eigvalsh", square=True)
    return tensor_of(spectral(np.linalg.eigvalsh, "eigvalsh", symmetric(x._array())))


class EigResult(NamedTuple):
    """Complex eigenvalues in no order, and the eigenvectors, in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _as_complex(array: Any) -> Any:
    return array.astype(np.result_type(array.dtype, np.complex64), copy=False)


def _packed_eig(x: Any) -> Any:
    w, v = np.linalg.eig(x)
    return _as_complex(np.concatenate([w[..., None, :], v], axis=-2))


_ROTATION = np.array([[2.0, 1.0], [-1.0, 3.0]])


@op(
    gradient=None,
    reference=_packed_eig,
    cases=(Case(_ROTATION),),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.eig_packed",
)
def eig_packed(x: Tensor, /) -> Tensor:
    """eig's eigenvalues above its eigenvectors in one tensor. x: (..., n, n). Returns (..., n + 1, n).

    >>> import tensorgrad
    >>> tensorgrad.linalg._spectra.eig_packed(tensorgrad.eye(2)).shape
    (3, 2)
    """
    return tensor_of(spectral(_packed_eig, "eig", x._array()))


@composite(
    reference=lambda x: tuple(map(_as_complex, np.linalg.eig(x))),
    cases=(Case(_ROTATION),),
    method=False,
    differentiable=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.eig",
)
def eig(x: Tensor, /) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices: x @ v = v * w. x: (..., n, n). Returns (..., n)
    and (..., n, n), complex, and therefore off the tape. Raises LinearAlgebraError for NaN or infinity.

    >>> import tensorgrad
    >>> tensorgrad.linalg.eig(tensorgrad.eye(2)).eigenvalues.numpy()
    array([1.+0.j, 1.+0.j], dtype=complex64)
    """
    packed = eig_packed(matrices(x, "eig", square=True))
    return EigResult(packed[..., 0, :], packed[..., 1:, :])


@op(
    gradient=None,
    reference=lambda x: _as_complex(np.linalg.eigvals(x)),
    cases=(Case(_ROTATION),),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.eigvals",
)
def eigvals(x: Tensor, /) -> Tensor:
    """The eigenvalues of square matrices. x: (..., n, n). Returns (..., n), complex, and therefore off
    the tape.

    >>> import tensorgrad
    >>> tensorgrad.linalg.eigvals(tensorgrad.eye(2)).numpy()
    array([1.+0.j, 1.+0.j], dtype=complex64)
    """
    array = matrices(x, "eigvals", square=True)._array()
    return tensor_of(_as_complex(spectral(np.linalg.eigvals, "eigvals", array)))


# ---- singular values -----------------------------------------------------------------------------


class SVDResult(NamedTuple):
    """The factors of x = (U * S) @ Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def _svd_gradient(gy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    # U @ (F * (MU - MU.T) * s + s * F * (MV - MV.T) + diag(gs)) @ V.T + (1 - U U.T) gU / s @ V.T
    # + U @ (gV / s).T (1 - V V.T), with M = U.T @ gU, V.T @ gV and F = 1 / (s_j^2 - s_i^2) off the
    # diagonal (Townsend 2016, "Differentiating the singular value decomposition", eq. 30)
    m, n = x.shape[-2:]
    k = min(m, n)
    u, s, v = y[..., :m, :], y[..., m, :], y[..., m + 1 :, :]
    gu, gs, gv = gy[..., :m, :], gy[..., m, :], gy[..., m + 1 :, :]
    row, column = expand_dims(s, -2), expand_dims(s, -1)
    by_u, by_v = u.mT @ gu, v.mT @ gv
    inside = (by_u - by_u.mT) * row + column * (by_v - by_v.mT)
    # (s_j - s_i) (s_j + s_i): the squares would lose half the digits of a small difference
    sums = nonzero(row + column)
    inside = inside / _differences(s) / sums
    inside = inside + expand_dims(gs, -1) * identity_like(inside)
    gx = u @ inside @ v.mT
    if m > k:
        gx = gx + ((gu - u @ by_u) / nonzero(row)) @ v.mT
    if n > k:
        gx = gx + u @ ((gv - v @ by_v) / nonzero(row)).mT
    return gx


def _packed_svd(x: Any) -> Any:
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([u, s[..., None, :], vt.swapaxes(-1, -2)], axis=-2)


@op(
    gradient=_svd_gradient,
    saves=("y",),
    reference=_packed_svd,
    cases=(Case((3, 3)), Case((4, 2)), Case((2, 2, 3)), Case((1, 1))),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.svd_packed",
)
def svd_packed(x: Tensor, /) -> Tensor:
    """svd's U above S above Vh.T in one tensor. x: (..., m, n). Returns (..., m + 1 + n, min(m, n)).

    >>> import tensorgrad
    >>> tensorgrad.linalg._spectra.svd_packed(tensorgrad.ones((3, 2))).shape
    (6, 2)
    """
    return tensor_of(spectral(_packed_svd, "svd", x._array()))


def _complement(u: Any) -> Any:
    return np.linalg.qr(u, mode="complete")[0][..., u.shape[-1] :]


@op(
    gradient=None,
    reference=_complement,
    cases=(Case((3, 2)), Case((2, 3, 1))),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.complement",
)
def complement(u: Tensor, /) -> Tensor:
    """Orthonormal columns that are orthogonal to those of u. u: (..., m, k). Returns (..., m, m - k), off
    the tape: they are not unique.

    >>> import tensorgrad
    >>> tensorgrad.linalg._spectra.complement(tensorgrad.ones((3, 1))).shape
    (3, 2)
    """
    return tensor_of(lapack(_complement, "svd", u._array()))


def _svd_reference(x: Any, full_matrices: bool = True) -> Any:
    return tuple(np.linalg.svd(x, full_matrices=full_matrices))


@composite(
    reference=_svd_reference,
    cases=(
        Case((3, 3)),
        Case((4, 2), full_matrices=False),
        Case((2, 2, 3), full_matrices=False),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.svd",
)
def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """x = (U * S) @ Vh with orthonormal columns of U and rows of Vh, and S >= 0 descending. x: (..., m,
    n), k = min(m, n). Returns U (..., m, m), S (..., k), Vh (..., n, n); with full_matrices=False U
    (..., m, k) and Vh (..., k, n). Raises LinearAlgebraError for NaN or infinity.

    Gradients flow through S and the first k vectors of U and Vh; the vectors beyond are arbitrary, so
    gradients that come to them are left out, as in PyTorch. Vectors of equal singular values (and for m !=
    n those of zeros) have no gradient (see the module).

    >>> import tensorgrad
    >>> tensorgrad.linalg.svd(tensorgrad.tensor([[3.0, 0.0], [0.0, 2.0]])).S
    tensor([3., 2.])
    """
    x = matrices(x, "svd")
    if is_complex(x):
        parts = spectral(np.linalg.svd, "svd", x._array(), full_matrices=full_matrices)
        return SVDResult(*map(tensor_of, parts))
    m, n = x.shape[-2:]
    packed = svd_packed(x)
    u, s, v = packed[..., :m, :], packed[..., m, :], packed[..., m + 1 :, :]
    if full_matrices and m > n:
        u = concat([u, complement(u)], -1)
    elif full_matrices and m < n:
        v = concat([v, complement(v)], -1)
    return SVDResult(u, s, v.mT)


def _svdvals_gradient(gy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    u, _, vh = svd(x, full_matrices=False)
    return (u * expand_dims(gy, -2)) @ vh


@op(
    gradient=_svdvals_gradient,
    saves=("x",),
    reference=lambda x: np.linalg.svd(x, compute_uv=False),
    cases=(Case((3, 3)), Case((4, 2)), Case((2, 2, 3))),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.svdvals",
)
def svdvals(x: Tensor, /) -> Tensor:
    """The singular values, descending. x: (..., m, n). Returns (..., min(m, n)), real. The gradient of
    the gradient needs distinct values, none of them 0.

    >>> import tensorgrad
    >>> tensorgrad.linalg.svdvals(tensorgrad.tensor([[3.0, 0.0], [0.0, 2.0]]))
    tensor([3., 2.])
    """
    x = matrices(x, "svdvals")
    return tensor_of(spectral(np.linalg.svd, "svdvals", x._array(), compute_uv=False))


__all__ = ["eig", "eigh", "eigvals", "eigvalsh", "svd", "svdvals"]
