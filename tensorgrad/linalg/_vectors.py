"""Products of vectors, and diagonals."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.errors import ShapeError
from tensorgrad.ops import products
from tensorgrad.ops.gathering import take
from tensorgrad.ops.shaping import moveaxis, reshape
from tensorgrad.shapes import normalize_axis


@composite(
    reference=np.outer,
    cases=(Case((3,), (4,)), Case((0,), (3,))),
    method=False,
    name="linalg.outer",
)
def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Every product of an element of x1 and one of x2. x1: (m), x2: (n). Returns (m, n). Raises
    ShapeError for what is no vector (tensorgrad.outer flattens it).

    >>> import tensorgrad
    >>> tensorgrad.linalg.outer(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    x1, x2 = as_tensor(x1, "outer"), as_tensor(x2, "outer")
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(f"outer: expected two vectors, got shapes {x1.shape} and {x2.shape}")
    return products.outer(x1, x2)


def _cross_reference(x1: Any, x2: Any, axis: int = -1) -> Any:
    a, b = np.moveaxis(x1, axis, 0), np.moveaxis(x2, axis, 0)
    c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    return np.moveaxis(np.stack(c), 0, axis)


@composite(
    reference=_cross_reference,
    cases=(
        Case((3,), (3,)),
        Case((2, 3), (3,)),
        Case((2, 1, 3), (4, 3)),
        Case((3, 2), (3, 2), axis=-2),
        Case((0, 3), (0, 3)),
    ),
    method=False,
    tags=("lapack",),
    name="linalg.cross",
)
def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of three numbers along an axis; the other axes broadcast. axis: from
    the end, where x1 and x2 have not as many axes. Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.linalg.cross(tensorgrad.tensor([1.0, 0.0, 0.0]), tensorgrad.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x1, x2 = as_tensor(x1, "cross"), as_tensor(x2, "cross")
    ndim = max(x1.ndim, x2.ndim)
    i, j = normalize_axis(axis, x1.ndim, "cross"), normalize_axis(axis, x2.ndim, "cross")
    if x1.shape[i] != 3 or x2.shape[j] != 3 or i - x1.ndim != j - x2.ndim:
        raise ShapeError(
            f"cross: expected 3 along axis {axis} of both, got shapes {x1.shape} and {x2.shape}"
        )
    a, b = moveaxis(x1, i, -1), moveaxis(x2, j, -1)
    one, two = np.array([1, 2, 0]), np.array([2, 0, 1])

    def at(x: Tensor, index: Any) -> Tensor:
        return take(x, as_tensor(index, "cross"), x.ndim - 1)

    y = at(a, one) * at(b, two) - at(a, two) * at(b, one)
    return moveaxis(y, -1, i - x1.ndim + ndim)


def _diagonal_reference(x: Any, offset: int = 0) -> Any:
    return np.diagonal(x, offset, -2, -1)


_DIAGONALS = (
    Case((3, 4)),
    Case((2, 4, 3), offset=1),
    Case((2, 4, 3), offset=-2),
    Case((2, 2), offset=2),
    Case((2, 2), offset=-5),
)


@composite(reference=_diagonal_reference, cases=_DIAGONALS, method=False, name="linalg.diagonal")
def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices, a view of a contiguous x. x: (..., m, n). offset: how far above the
    main diagonal; below it if negative. Returns (..., k).

    >>> import tensorgrad
    >>> tensorgrad.linalg.diagonal(tensorgrad.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    x = as_tensor(x, "diagonal")
    if x.ndim < 2:
        raise ShapeError(f"diagonal: expected matrices, at least 2 axes, got shape {x.shape}")
    m, n = x.shape[-2:]
    k = max(min(m, n - offset) if offset >= 0 else min(m + offset, n), 0)
    start = (offset if offset >= 0 else -offset * n) if k else 0
    rows = reshape(x, (*x.shape[:-2], m * n))
    return rows[(Ellipsis, slice(start, start + k * (n + 1), n + 1))]


def _trace_reference(x: Any, offset: int = 0, dtype: Any = None) -> Any:
    return np.trace(x, offset, -2, -1, dtype)


@composite(
    reference=_trace_reference,
    cases=(*_DIAGONALS, Case((3, 3), dtype=np.float64)),
    method=False,
    name="linalg.trace",
)
def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sums of the diagonals of matrices. x: (..., m, n). offset: as in `diagonal`; dtype: that of
    the sum. Returns (...).

    >>> import tensorgrad
    >>> tensorgrad.linalg.trace(tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    y = diagonal(x, offset=offset)
    return (y if dtype is None else y.astype(dtype)).sum(-1)


__all__ = ["cross", "diagonal", "outer", "trace"]
