"""Systems of equations, with square and with triangular matrices.

The gradients are those of Giles 2008, "An extended collection of matrix derivative results for forward
and reverse mode algorithmic differentiation", in ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, empty_raw
from tensorgrad.autograd import Case, composite, op
from tensorgrad.dtypes import DTYPES, ITEMSIZES, promote
from tensorgrad.errors import ShapeError
from tensorgrad.linalg._support import (
    LAPACK,
    floats,
    lapack,
    lower,
    matrices,
    tensor_of,
    upper,
)
from tensorgrad.ops.matrix import matmul
from tensorgrad.ops.shaping import expand_dims, reshape
from tensorgrad.shapes import broadcast_shapes, checked_size


def _with_axes(b: Any, ndim: int) -> Any:
    """b with leading axes of length 1: NumPy 1 took fewer axes than the matrix's for vectors."""
    return b.reshape((1,) * (ndim - b.ndim) + b.shape)


def _solve_gradient(
    gy: Tensor, y: Tensor, a: Tensor, b: Tensor, *, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    gb = solve_matrices(a.mT, gy)
    return (-(gb @ y.mT) if needs[0] else None), gb


@op(
    gradient=_solve_gradient,
    saves=("a", "y"),
    reference=np.linalg.solve,
    cases=(
        Case((3, 3), (3, 2), low=-1, high=1, plus=2 * np.eye(3)),
        Case((2, 2, 2), (1, 2, 3), low=-1, high=1, plus=2 * np.eye(2)),
        Case((2, 2), (2, 2, 1), low=-1, high=1, plus=2 * np.eye(2)),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.solve_matrices",
)
def solve_matrices(a: Tensor, b: Tensor, /) -> Tensor:
    """`solve` where b is a matrix. a: (..., n, n), b: (..., n, k).

    >>> import tensorgrad
    >>> tensorgrad.linalg._systems.solve_matrices(tensorgrad.eye(2), tensorgrad.ones((2, 1))).shape
    (2, 1)
    """
    ours = a._array()
    return tensor_of(lapack(np.linalg.solve, "solve", ours, _with_axes(b._array(), ours.ndim)))


def _solve_reference(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, b[:, None])[..., 0] if b.ndim == 1 else np.linalg.solve(a, b)


@composite(
    reference=_solve_reference,
    cases=(
        Case((3, 3), (3,), low=-1, high=1, plus=2 * np.eye(3)),
        Case((2, 2, 2), (2,), low=-1, high=1, plus=2 * np.eye(2)),
        Case((2, 2, 2), (2, 3), low=-1, high=1, plus=2 * np.eye(2)),
        Case((0, 0), (0, 2)),
    ),
    method=False,
    kernel="NumPy",
    tags=LAPACK,
    name="linalg.solve",
)
def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The solution y of x1 @ y = x2. x1: (..., n, n), x2: (..., n, k) or a vector (n). Returns (..., n,
    k) or (..., n). Raises SingularMatrixError, ShapeError.

    >>> import tensorgrad
    >>> a = tensorgrad.tensor([[2.0, 0.0], [0.0, 4.0]])
    >>> tensorgrad.linalg.solve(a, tensorgrad.tensor([1.0, 1.0]))
    tensor([0.5 , 0.25])
    """
    a, b, vector = _system(x1, x2, "solve")
    y = solve_matrices(a, b)
    return reshape(y, y.shape[:-1]) if vector else y


def _system(x1: Any, x2: Any, where: str) -> tuple[Tensor, Tensor, bool]:
    """The matrix, the right side as a matrix, and whether that was a vector."""
    a = matrices(x1, where, square=True)
    b = floats(as_tensor(x2, where))
    vector = b.ndim == 1
    if vector:
        b = expand_dims(b, -1)
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise ShapeError(
            f"{where}: expected (..., n, n) and (..., n, k), got {a.shape} and {b.shape}"
        )
    return a, b, vector


_BLOCK = 64  # rows that are solved by LAPACK; what they take from the others is a matrix product


def _substitution_gradient(
    gy: Tensor,
    y: Tensor,
    a: Tensor,
    b: Tensor,
    from_below: bool,
    unit: bool,
    *,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    gb = substitution(a.mT, gy, not from_below, unit)
    if not needs[0]:
        return None, gb
    k = int(unit)
    ga = -(gb @ y.mT)
    return (upper(ga, k) if from_below else lower(ga, -k)), gb


def _triangle(a: Any, from_below: bool, unit: bool) -> Any:
    triangle = np.triu(a) if from_below else np.tril(a)
    if unit:
        i = np.arange(a.shape[-1])
        triangle[..., i, i] = 1
    return triangle


def _substitution_reference(a: Any, b: Any, from_below: bool, unit: bool) -> Any:
    return np.linalg.solve(_triangle(a, from_below, unit), b)


def _substituted(a: Any, b: Any, from_below: bool) -> Any:
    """A block. From below, LAPACK's elimination finds nothing to do, so what it does is substitution;
    a lower triangle is an upper one read backwards."""
    if from_below:
        return lapack(np.linalg.solve, "solve_triangular", a, b)
    backwards = a[..., ::-1, ::-1], b[..., ::-1, :]
    return lapack(np.linalg.solve, "solve_triangular", *backwards)[..., ::-1, :]


@op(
    gradient=_substitution_gradient,
    saves=("a", "y"),
    reference=_substitution_reference,
    cases=tuple(
        Case(a, b, low=-1, high=1, plus=2 * np.eye(a[-1]), from_below=from_below, unit=unit)
        for a, b in (((3, 3), (3, 2)), ((2, 2, 2), (1, 2, 3)))
        for from_below in (False, True)
        for unit in (False, True)
    ),
    method=False,
    tags=LAPACK,
    name="linalg.substitution",
)
def substitution(a: Tensor, b: Tensor, /, from_below: bool, unit: bool) -> Tensor:
    """`solve_triangular` from the left: forward substitution in a lower triangle, or from below in an
    upper one, by blocks. a: (..., n, n), b: (..., n, k).

    >>> import tensorgrad
    >>> a, b = tensorgrad.tensor([[1.0, 9.0], [1.0, 1.0]]), tensorgrad.ones((2, 1))
    >>> tensorgrad.linalg._systems.substitution(a, b, False, False)
    tensor([[1.],
            [0.]])
    """
    code = promote(a._code, b._code)
    a, b = (t if t._code == code else t.astype(DTYPES[code]) for t in (a, b))
    shape = (*broadcast_shapes(a._shape[:-2], b._shape[:-2], "solve_triangular"), *b._shape[-2:])
    x = empty_raw(shape, checked_size(shape, ITEMSIZES[code], "solve_triangular"), code)
    n = shape[-2]
    matrix = a._array()
    right = np.broadcast_to(b._array(), shape)
    starts = range(0, n, _BLOCK)
    for start in reversed(starts) if from_below else starts:
        rows = slice(start, min(start + _BLOCK, n))
        known = slice(rows.stop, n) if from_below else slice(0, start)
        block = right[..., rows, :]
        if known.start < known.stop:
            block = block - matmul(a[..., rows, known], x[..., known, :])._array()
        triangle = _triangle(matrix[..., rows, rows], from_below, unit)
        x._array()[..., rows, :] = _substituted(triangle, block, from_below)
    return x


def _triangular_reference(
    a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    t = _triangle(a, upper, unitriangular)
    if left:
        return _solve_reference(t, b)
    return np.linalg.solve(t.swapaxes(-1, -2), b.swapaxes(-1, -2)).swapaxes(-1, -2)


@composite(
    reference=_triangular_reference,
    cases=(
        Case((3, 3), (3, 2), low=-1, high=1, plus=2 * np.eye(3), upper=True),
        Case((3, 3), (3,), low=-1, high=1, plus=2 * np.eye(3), upper=False),
        Case((3, 3), (2, 3), low=-1, high=1, plus=2 * np.eye(3), upper=True, left=False),
        Case((2, 3, 3), (2, 3, 1), low=-1, high=1, upper=False, unitriangular=True),
    ),
    method=False,
    tags=LAPACK,
    name="linalg.solve_triangular",
)
def solve_triangular(
    a: Tensor, b: Tensor, /, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """The solution x of a @ x = b (left=False: x @ a = b) with a triangular matrix, of which only the
    triangle is read (unitriangular: nor the diagonal, taken as ones). a: (..., n, n), b: (..., n, k), (n)
    or, with left=False, (..., k, n). Raises SingularMatrixError, ShapeError. Written as PyTorch has it.

    >>> import tensorgrad
    >>> a = tensorgrad.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> tensorgrad.linalg.solve_triangular(a, tensorgrad.tensor([2.0, 3.0]), upper=False)
    tensor([1., 2.])
    """
    if not left:
        b = as_tensor(b, "solve_triangular")
        if b.ndim < 2:
            raise ShapeError(
                f"solve_triangular: expected (..., k, n) from the right, got {b.shape}"
            )
        return solve_triangular(
            matrices(a, "solve_triangular", square=True).mT,
            b.mT,
            upper=not upper,
            unitriangular=unitriangular,
        ).mT
    a, b, vector = _system(a, b, "solve_triangular")
    x = substitution(a, b, upper, unitriangular)
    return reshape(x, x.shape[:-1]) if vector else x


__all__ = ["solve", "solve_triangular"]
