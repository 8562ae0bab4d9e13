"""Inverses, determinants and powers of square matrices.

The gradients are those of Giles 2008, "An extended collection of matrix derivative results for forward
and reverse mode algorithmic differentiation", in ops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite, op
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.linalg._support import (
    LAPACK,
    identity_like,
    lapack,
    matrices,
    spectral,
    tensor_of,
)
from tensorgrad.ops.matrix import matmul
from tensorgrad.ops.shaping import broadcast_to, expand_dims

_SQUARE = (
    Case((3, 3), low=-1, high=1, plus=2 * np.eye(3)),
    Case((2, 2, 2), low=-1, high=1, plus=2 * np.eye(2)),
    Case((1, 1), low=1),
    Case((0, 0)),
    Case((0, 2, 2)),
)


@op(
    gradient=lambda gy, y, x: -(y.mT @ gy @ y.mT),
    saves=("y",),
    reference=np.linalg.inv,
    cases=_SQUARE,
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.inv",
)
def inv(x: Tensor, /) -> Tensor:
    """The inverse of square matrices. x: (..., n, n). Returns the same shape. Raises
    SingularMatrixError, ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.linalg.inv(tensorgrad.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    x = matrices(x, "inv", square=True)
    return tensor_of(lapack(np.linalg.inv, "inv", x._array()))


# ---- determinants --------------------------------------------------------------------------------


def _det_reference(x: Any) -> Any:
    return np.asarray(np.linalg.det(x))


@op(
    gradient=lambda gy, y, x: expand_dims(expand_dims(gy, -1), -1) * cofactors(x),
    saves=("x",),
    reference=_det_reference,
    cases=_SQUARE,
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.det",
)
def det(x: Tensor, /) -> Tensor:
    """The determinant of square matrices. x: (..., n, n). Returns (...). The gradient is right for
    singular matrices too; the gradient of the gradient raises SingularMatrixError for them (but for n
    = 1).

    >>> import tensorgrad
    >>> tensorgrad.linalg.det(tensorgrad.tensor([[2.0, 1.0], [0.0, 4.0]]))
    tensor(8.)
    """
    x = matrices(x, "det", square=True)
    return tensor_of(lapack(np.linalg.det, "det", x._array()))


def _cofactors_gradient(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    # of det(x) * inv(x).T: det * (sum(g * inv.T) * inv.T - inv.T @ g.T @ inv.T)
    if x.shape[-1] < 2:
        return g * 0.0
    it = inv(x).mT
    factor = expand_dims(expand_dims(det(x), -1), -1)
    return factor * ((g * it).sum((-2, -1), keepdims=True) * it - it @ g.mT @ it)


def _cofactors_reference(x: Any) -> Any:
    return np.linalg.det(x)[..., None, None] * np.linalg.inv(x).swapaxes(-1, -2)


@op(
    gradient=_cofactors_gradient,
    saves=("x",),
    reference=_cofactors_reference,
    cases=_SQUARE,
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.cofactors",
)
def cofactors(x: Tensor, /) -> Tensor:
    """The matrices of cofactors, det(x) * inv(x).T, for singular matrices too: the gradient of det.
    x: (..., n, n). From the singular value decomposition: with x = U S V', the cofactors of U and V
    are U and V but for their signs, and those of S the products of the other singular values.

    >>> import tensorgrad
    >>> tensorgrad.linalg._inverses.cofactors(tensorgrad.tensor([[1.0, 0.0], [0.0, 0.0]])).abs()
    tensor([[0., 0.],
            [0., 1.]])
    """
    x = matrices(x, "cofactors", square=True)
    array = x._array()
    if not array.size:
        return tensor_of(array)
    u, s, vt = spectral(np.linalg.svd, "det", array)
    n = s.shape[-1]
    others = np.broadcast_to(s[..., None, :], (*s.shape, n)).copy()
    others[..., np.arange(n), np.arange(n)] = 1
    sign = np.linalg.det(u) * np.linalg.det(vt)
    product = sign[..., None].round() * others.prod(-1)
    return tensor_of(((u * product[..., None, :]) @ vt).astype(x.dtype, copy=False))


class SlogdetResult(NamedTuple):
    """The sign of determinants, and the logarithms of their absolute values."""

    sign: Tensor
    logabsdet: Tensor


def _packed_slogdet(x: Any) -> Any:
    return np.stack(np.linalg.slogdet(x), axis=-1)


@op(
    gradient=lambda gy, y, x: expand_dims(expand_dims(gy[..., 1], -1), -1) * inv(x).mT,
    saves=("x",),
    reference=_packed_slogdet,
    cases=_SQUARE[:2],
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.slogdet_packed",
)
def slogdet_packed(x: Tensor, /) -> Tensor:
    """slogdet's sign and logarithm in one tensor. x: (..., n, n), real. Returns (..., 2).

    >>> import tensorgrad
    >>> tensorgrad.linalg._inverses.slogdet_packed(tensorgrad.eye(2))
    tensor([1., 0.])
    """
    return tensor_of(lapack(_packed_slogdet, "slogdet", x._array()))


@composite(
    reference=lambda x: tuple(np.linalg.slogdet(x)),
    cases=_SQUARE[:4],
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.slogdet",
)
def slogdet(x: Tensor, /) -> SlogdetResult:
    """The sign of the determinant, off the tape, and the logarithm of its absolute value, where det
    would overflow. x: (..., n, n). Returns (sign, logabsdet) of shape (...): 0 and -inf for a singular
    matrix, whose gradient raises SingularMatrixError.

    >>> import tensorgrad
    >>> tensorgrad.linalg.slogdet(-tensorgrad.eye(3)).sign
    tensor(-1.)
    """
    x = matrices(x, "slogdet", square=True)
    if x.dtype.kind == "c":
        return SlogdetResult(*map(tensor_of, lapack(np.linalg.slogdet, "slogdet", x._array())))
    packed = slogdet_packed(x)
    return SlogdetResult(packed.detach()[..., 0], packed[..., 1])


# ---- powers ----


@composite(
    reference=np.linalg.matrix_power,
    cases=(
        Case((3, 3), n=1),
        Case((3, 3), n=5),
        Case((2, 2, 2), low=-1, high=1, plus=2 * np.eye(2), n=-3),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.matrix_power",
)
def matrix_power(x: Tensor, /, n: int) -> Tensor:
    """The n-th power of square matrices, by repeated squaring; of the inverse for n < 0. x: (..., m,
    m). For n = 0 the identity, off the tape. Raises SingularMatrixError for n < 0.

    >>> import tensorgrad
    >>> tensorgrad.linalg.matrix_power(tensorgrad.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    x = as_tensor(x, "matrix_power")
    if (x.dtype.kind != "i" and x.dtype.kind != "u") or n < 0:
        x = matrices(x, "matrix_power", square=True)
    elif x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got shape {x.shape}")
    if not isinstance(n, (int, np.integer)):
        raise ArgumentError(f"matrix_power: expected an integer exponent, got {n!r}")
    if n == 0:
        return broadcast_to(identity_like(x), x.shape).copy()
    if n < 0:
        x, n = inv(x), -n
    result: Tensor | None = None
    while True:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        if not n:
            assert result is not None
            return result
        x = matmul(x, x)


__all__ = ["det", "inv", "matrix_power", "slogdet"]
