"""Norms of vectors and matrices, and the condition number."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.errors import ArgumentError, SingularMatrixError
from tensorgrad.linalg._inverses import inv
from tensorgrad.linalg._spectra import svdvals
from tensorgrad.linalg._support import LAPACK, floats, is_complex, lapack, matrices, tensor_of
from tensorgrad.ops.shaping import expand_dims, moveaxis
from tensorgrad.shapes import normalize_axes

_Norm = int | float | str | None


def _reference_of_vectors(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    axes = tuple(range(x.ndim)) if axis is None else np.atleast_1d(axis)
    axes = tuple(a % x.ndim for a in axes)
    size = np.abs(x)
    if ord == inf:
        return size.max(axes, keepdims=keepdims)
    if ord == -inf:
        return size.min(axes, keepdims=keepdims)
    if ord == 0:
        return (size != 0).sum(axes, keepdims=keepdims).astype(size.dtype)
    return (size**ord).sum(axes, keepdims=keepdims) ** (1 / ord)


@composite(
    reference=_reference_of_vectors,
    cases=(
        Case((5,)),
        Case((2, 3, 4)),
        Case((2, 3, 4), axis=1),
        Case((2, 3, 4), axis=(0, 2), keepdims=True),
        Case((2, 3), axis=-1, ord=1, avoid=[0.0]),
        Case((2, 3), axis=-1, ord=inf, avoid=[0.0]),
        Case((2, 3), axis=0, ord=-inf, avoid=[0.0]),
        Case((2, 3), axis=-1, ord=3, avoid=[0.0]),
        Case((2, 3), axis=-1, ord=0.5, avoid=[0.0], margin=0.3),
        Case((2, 3), axis=-1, ord=-2, avoid=[0.0], margin=0.3),
        Case((2, 3), ord=2.5, avoid=[0.0], keepdims=True),
        Case((0,), ord=3),
    ),
    method=False,
    name="linalg.vector_norm",
)
def vector_norm(
    x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """The norm sum(|x|^ord)^(1 / ord) over axes (None: all). The powers are of numbers scaled by the
    largest, but for the squares of ord 2, so that they do not overflow. ord: any number; inf is the
    largest |x|, -inf the smallest, 0 the number of elements that are not 0 (off the tape). x: (...).
    Returns x's shape without these axes, real. The gradient is 0 where the norm is.

    >>> import tensorgrad
    >>> tensorgrad.linalg.vector_norm(tensorgrad.tensor([3.0, -4.0]), ord=1)
    tensor(7.)
    """
    x = floats(as_tensor(x, "vector_norm"))
    if not isinstance(ord, (int, float)):
        raise ArgumentError(f"vector_norm: expected a number for ord, got {ord!r}")
    axes = normalize_axes(axis, x.ndim, "vector_norm")
    if is_complex(x):
        x = tensor_of(np.abs(x._array()))
    return x.norm(axes, keepdims, ord)


_ORDERS = ("fro", "nuc", 1, -1, 2, -2, inf, -inf)


def _reference_of_matrices(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    return np.linalg.norm(x, ord, (-2, -1), keepdims)


@composite(
    reference=_reference_of_matrices,
    cases=(
        *(Case((2, 3, 4), avoid=[0.0], ord=ord) for ord in _ORDERS),
        Case((3, 3)),
        Case((2, 3), keepdims=True, ord=2),
        Case((2, 3), keepdims=True, ord=1, avoid=[0.0]),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.matrix_norm",
)
def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: _Norm = "fro") -> Tensor:
    """The norm of matrices. x: (..., m, n). ord: "fro" (the root of the sum of squares), "nuc" (the sum
    of the singular values), 2 and -2 (the largest and smallest of them), 1 and -1 (the largest and
    smallest sum of |x| in a column), inf and -inf (in a row). Returns (...), real.

    >>> import tensorgrad
    >>> tensorgrad.linalg.matrix_norm(tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]]), ord=1)
    tensor(6.)
    """
    x = matrices(x, "matrix_norm")
    if ord is None or ord not in _ORDERS:
        raise ArgumentError(
            f"matrix_norm: expected one of {', '.join(map(repr, _ORDERS))} for ord, got {ord!r}"
        )
    if ord in ("nuc", 2, -2):
        s = svdvals(x)
        y = s.sum(-1) if ord == "nuc" else s.max(-1) if ord == 2 else s.min(-1)
    else:
        if is_complex(x):
            x = tensor_of(np.abs(x._array()))
        if ord == "fro":
            return x.norm((-2, -1), keepdims)
        sums = x.abs().sum(-2 if abs(float(ord)) == 1 else -1)
        y = sums.max(-1) if float(ord) > 0 else sums.min(-1)
    return expand_dims(expand_dims(y, -1), -1) if keepdims else y


@composite(
    reference=lambda x, ord=None, axis=None, keepdims=False: np.linalg.norm(x, ord, axis, keepdims),
    cases=(
        Case((2, 3, 4)),
        Case((2, 3), ord=2),
        Case((4,), ord=1, avoid=[0.0]),
        Case((2, 3, 4), ord=3, axis=1, avoid=[0.0]),
        Case((2, 3, 4), ord="nuc", axis=(0, 2)),
        Case((2, 3, 4), ord=1, axis=(2, 0), keepdims=True, avoid=[0.0]),
        Case((2, 3, 4), axis=(0, 1), keepdims=True),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.norm",
)
def norm(x: Tensor, /, ord: _Norm = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """NumPy's norm: of vectors along one axis, of matrices over two, by `ord` as vector_norm and
    matrix_norm have it. Without an axis: of the whole, a vector or a matrix; without `ord` the root of
    the sum of squares.

    >>> import tensorgrad
    >>> tensorgrad.linalg.norm(tensorgrad.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = floats(as_tensor(x, "norm"))
    if ord is None:
        return vector_norm(x, axis=axis, keepdims=keepdims)
    if axis is None and x.ndim not in (1, 2):
        raise ArgumentError(
            f"norm: expected an axis, or 1 or 2 axes, for ord={ord!r}, got {x.ndim}"
        )
    axes = (axis,) if isinstance(axis, (int, np.integer)) else axis
    axes = tuple(range(x.ndim)) if axes is None else tuple(axes)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ArgumentError(f"norm: expected a number for ord of a vector, got {ord!r}")
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ArgumentError(f"norm: expected one or two axes, got {axis}")
    row, column = (normalize_axes(a, x.ndim, "norm")[0] for a in axes)
    if row == column:
        raise ArgumentError(f"norm: expected two different axes, got {axis}")
    last = moveaxis(x, column, -1)
    y = matrix_norm(moveaxis(last, row - (row > column), -2), ord=ord)
    if keepdims:
        for a in sorted((row, column)):
            y = expand_dims(y, a)
    return y


@composite(
    reference=lambda x, p=None: np.linalg.cond(x, p),
    cases=(
        Case((3, 3), plus=3 * np.eye(3)),
        Case((2, 4, 2)),
        *(Case((3, 3), plus=4 * np.eye(3), p=p) for p in ("fro", "nuc", 1, -1, -2, inf, -inf)),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.cond",
)
def cond(x: Tensor, /, p: _Norm = None) -> Tensor:
    """The condition number. x: (..., m, n). p: None and 2 are the ratio of the largest to the smallest
    singular value, -2 its inverse, others norm(x, p) * norm(inv(x), p) of square matrices. Returns
    (...); inf, off the tape, where an inverse is needed and one of the matrices has none.

    >>> import tensorgrad
    >>> tensorgrad.linalg.cond(tensorgrad.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    x = matrices(x, "cond", square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    try:
        inverse = inv(x)
    except SingularMatrixError:
        return tensor_of(lapack(np.linalg.cond, "cond", x.detach()._array(), p=p))
    return matrix_norm(x, ord=p) * matrix_norm(inverse, ord=p)


__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]
