"""Diagonals, and the triangles beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, copy_into, full_raw, view, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.dtypes import ITEMSIZES
from tensorgrad.errors import ShapeError
from tensorgrad.ops.comparisons import where
from tensorgrad.shapes import Shape, checked_size, contiguous_strides, normalize_axis


def _diagonal(
    shape: Shape, strides: Shape, offset: int, axis1: int, axis2: int
) -> tuple[Shape, Shape, int]:
    """Shape, strides and beginning of a diagonal. Raises ShapeError, IndexOutOfRangeError."""
    if len(shape) < 2:
        raise ShapeError(f"diagonal: expected at least 2 axes, got shape {shape}")
    i, j = (normalize_axis(a, len(shape), "diagonal") for a in (axis1, axis2))
    if i == j:
        raise ShapeError(f"diagonal: expected two different axes, got {axis1} and {axis2}")
    down, right = max(-offset, 0), max(offset, 0)
    n = max(min(shape[i] - down, shape[j] - right), 0)
    others = [a for a in range(len(shape)) if a not in (i, j)]
    return (
        (*(shape[a] for a in others), n),
        (*(strides[a] for a in others), strides[i] + strides[j]),
        down * strides[i] + right * strides[j] if n else 0,
    )


@op(
    gradient=lambda gy, y, x, offset=0, axis1=0, axis2=1: diagonal_gradient(
        gy, x.shape, offset, axis1, axis2
    ),
    reference=np.diagonal,
    cases=(
        Case((3, 4)),
        Case((3, 4), offset=2),
        Case((4, 3), offset=-1),
        Case((3, 3), offset=5),
        Case((2, 3, 4), axis1=-1, axis2=0),
        Case((0, 3)),
    ),
    view=True,
)
def diagonal(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements whose place along axis2 is that along axis1 plus `offset`: a view, with the
    diagonal as last axis and the other axes before it. Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.diagonal(tensorgrad.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return view(x, *_diagonal(x._shape, x.strides, offset, axis1, axis2))


def _diagonal_gradient_reference(
    gy: np.ndarray, shape: Shape, offset: int = 0, axis1: int = 0, axis2: int = 1
) -> Any:
    gx = np.zeros(shape, gy.dtype)
    place = np.diagonal(np.arange(gx.size).reshape(shape), offset, axis1, axis2)
    gx.reshape(-1)[place] = gy
    return gx


@op(
    gradient=lambda g, gx, gy, shape, offset=0, axis1=0, axis2=1: diagonal(g, offset, axis1, axis2),
    reference=_diagonal_gradient_reference,
    cases=(
        Case((2,), shape=(3, 4), offset=2),
        Case((3, 2), shape=(2, 3, 4), axis1=2, axis2=0),
    ),
    method=False,
)
def diagonal_gradient(
    gy: Tensor, shape: Shape, offset: int = 0, axis1: int = 0, axis2: int = 1
) -> Tensor:
    """Zeros of `shape` with gy on a diagonal: the gradient of `diagonal`.

    >>> import tensorgrad
    >>> tensorgrad.ops.diagonal_gradient(tensorgrad.ones(2), (2, 3), 1)
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    gx = full_raw(shape, checked_size(shape, ITEMSIZES[gy._code], "diagonal"), gy._code, 0)
    place = _diagonal(shape, contiguous_strides(shape), offset, axis1, axis2)
    copy_into(view(gx, *place), gy, "diagonal")
    return gx


@composite(
    reference=np.diag,
    cases=(Case((3,)), Case((3,), k=1), Case((2,), k=-2), Case((3, 4), k=1), Case((0,))),
)
def diag(x: Tensor, k: int = 0) -> Tensor:
    """A square matrix with a vector on its k-th diagonal and zeros elsewhere; or, of a matrix, that
    diagonal, a view. x: (n) or (m, n). Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.diag(tensorgrad.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    x = as_tensor(x, "diag")
    if len(x.shape) == 2:
        return diagonal(x, k)
    if len(x.shape) != 1:
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {x.shape}")
    n = x.shape[0] + abs(k)
    return diagonal_gradient(x, (n, n), k)


def _triangle(x: Any, k: int, upper: bool, name: str) -> Tensor:
    x = as_tensor(x, name)
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: expected at least 2 axes, got shape {x.shape}")
    rows, columns = x.shape[-2:]
    lower = np.tri(rows, columns, k - 1 if upper else k, bool)
    return where(wrap_array(~lower if upper else lower), x, wrap_array(np.zeros((), x.dtype)))


_TRIANGLES = (Case((3, 4)), Case((4, 3), k=1), Case((2, 3, 3), k=-1), Case((2, 2), k=9))


@composite(reference=np.tril, cases=_TRIANGLES)
def tril(x: Tensor, /, k: int = 0) -> Tensor:
    """x with zeros above the k-th diagonal. x: (..., m, n). Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.tril(tensorgrad.ones((2, 2)))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return _triangle(x, k, False, "tril")


@composite(reference=np.triu, cases=_TRIANGLES)
def triu(x: Tensor, /, k: int = 0) -> Tensor:
    """x with zeros below the k-th diagonal. x: (..., m, n). Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.triu(tensorgrad.ones((2, 2)), k=1)
    tensor([[0., 1.],
            [0., 0.]])
    """
    return _triangle(x, k, True, "triu")


__all__ = ["diag", "diagonal", "diagonal_gradient", "tril", "triu"]
