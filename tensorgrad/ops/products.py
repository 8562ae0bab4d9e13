"""Products of vectors, matrices and tensors, all on the matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.autograd import Case, composite
from tensorgrad.errors import ShapeError
from tensorgrad.ops.matrix import matmul
from tensorgrad.ops.shaping import moveaxis, permute_dims, reshape
from tensorgrad.shapes import normalize_axis


def conjugated(x: Tensor) -> Tensor:
    """The complex conjugate; a real x as it is."""
    return wrap_array(np.conj(x._array())) if x.dtype.kind == "c" else x


def summed_over(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The sum in x's own dtype, which that of small integers has not."""
    y = x.sum(axes)
    return y if y.dtype == x.dtype else y.astype(x.dtype)


def _count(lengths: Sequence[int]) -> int:
    n = 1
    for length in lengths:
        n *= length
    return n


def _pair(x1: Any, x2: Any, where: str) -> tuple[Tensor, Tensor]:
    return as_tensor(x1, where), as_tensor(x2, where)


def _contracted(x1: Tensor, x2: Tensor, axes: Any) -> tuple[list[int], list[int]]:
    """The axes of each that tensordot sums over."""
    if isinstance(axes, (int, np.integer)):
        n = int(axes)
        if not 0 <= n <= min(x1.ndim, x2.ndim):
            raise ShapeError(
                f"tensordot: expected axes from 0 to {min(x1.ndim, x2.ndim)} for shapes {x1.shape} "
                f"and {x2.shape}, got {n}"
            )
        return list(range(x1.ndim - n, x1.ndim)), list(range(n))
    first, second = ([a] if isinstance(a, (int, np.integer)) else list(a) for a in axes)
    if len(first) != len(second):
        raise ShapeError(f"tensordot: expected as many axes of x1 as of x2, got {axes}")
    by_x1 = [normalize_axis(a, x1.ndim, "tensordot") for a in first]
    by_x2 = [normalize_axis(a, x2.ndim, "tensordot") for a in second]
    if len(set(by_x1)) != len(by_x1) or len(set(by_x2)) != len(by_x2):
        raise ShapeError(f"tensordot: expected each axis once, got {axes}")
    return by_x1, by_x2


@composite(
    reference=np.tensordot,
    cases=(
        Case((2, 3, 4), (3, 4, 5)),
        Case((2, 3), (4, 5), axes=0),
        Case((), (2,), axes=0),
        Case((2, 3, 4), (4, 2, 5), axes=((0, 2), (1, 0))),
        Case((2, 3), (3, 4), axes=1),
        Case((2, 3, 4), (5, 3), axes=([-2], [-1])),
        Case((0, 3), (3, 2), axes=1),
        Case((2, 0), (0, 2), axes=1),
    ),
    method=False,
)
def tensordot(x1: Tensor, x2: Tensor, /, axes: Any = 2) -> Tensor:
    """The sum of products over pairs of axes. axes: how many, the last of x1 with the first of x2;
    or two sequences that name them. Returns the other axes of x1, then those of x2. Raises
    ShapeError if paired axes differ in length.

    >>> import tensorgrad
    >>> tensorgrad.tensordot(tensorgrad.ones((2, 3)), tensorgrad.ones((2, 3)))
    tensor(6.)
    >>> tensorgrad.tensordot(tensorgrad.ones((2, 3)), tensorgrad.ones((2, 4)), axes=((0,), (0,))).shape
    (3, 4)
    """
    x1, x2 = _pair(x1, x2, "tensordot")
    by_x1, by_x2 = _contracted(x1, x2, axes)
    shape1, shape2 = x1.shape, x2.shape
    if [shape1[a] for a in by_x1] != [shape2[a] for a in by_x2]:
        raise ShapeError(
            f"tensordot: expected axes {by_x1} of {shape1} to have the lengths of axes {by_x2} of "
            f"{shape2}"
        )
    rest1 = [a for a in range(x1.ndim) if a not in by_x1]
    rest2 = [a for a in range(x2.ndim) if a not in by_x2]
    k = _count([shape1[a] for a in by_x1])
    rows = [shape1[a] for a in rest1]
    columns = [shape2[a] for a in rest2]
    left = reshape(permute_dims(x1, (*rest1, *by_x1)), (_count(rows), k))
    right = reshape(permute_dims(x2, (*by_x2, *rest2)), (k, _count(columns)))
    return reshape(matmul(left, right), (*rows, *columns))


@composite(
    reference=np.dot,
    cases=(
        Case((4,), (4,)),
        Case((2, 3), (3, 4)),
        Case((2, 3, 4), (4,)),
        Case((2, 3, 4), (5, 4, 2)),
        Case((), (3,)),
    ),
)
def dot(x1: Tensor, x2: Tensor, /) -> Tensor:
    """NumPy's dot: the sum of products over the last axis of x1 and the last but one of x2 (its only
    one, if it is a vector); a product where either has no axes. For stacks of matrices see matmul.

    >>> import tensorgrad
    >>> tensorgrad.dot(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x1, x2 = _pair(x1, x2, "dot")
    if not x1.ndim or not x2.ndim:
        return x1 * x2
    if x1.shape[-1] != x2.shape[max(x2.ndim - 2, 0)]:
        raise ShapeError(f"dot: shapes {x1.shape} and {x2.shape} do not fit")
    return tensordot(x1, x2, ((-1,), (max(x2.ndim - 2, 0),)))


@composite(
    reference=np.inner,
    cases=(Case((4,), (4,)), Case((2, 4), (3, 4)), Case((2, 3, 4), (4,)), Case((), (2, 3))),
)
def inner(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The sum of products over the last axes. x1: (..., n), x2: (..., n). Returns the other axes of
    x1, then those of x2.

    >>> import tensorgrad
    >>> tensorgrad.inner(tensorgrad.ones((2, 3)), tensorgrad.ones((4, 3))).shape
    (2, 4)
    """
    x1, x2 = _pair(x1, x2, "inner")
    if not x1.ndim or not x2.ndim:
        return x1 * x2
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"inner: expected last axes of one length, got {x1.shape} and {x2.shape}")
    return tensordot(x1, x2, ((-1,), (-1,)))


@composite(reference=np.vdot, cases=(Case((4,), (4,)), Case((2, 3), (3, 2)), Case((), ())))
def vdot(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The inner product of two flattened tensors; the first is conjugated if it is complex.

    >>> import tensorgrad
    >>> tensorgrad.vdot(tensorgrad.ones((2, 3)), tensorgrad.ones((2, 3)))
    tensor(6.)
    """
    x1, x2 = _pair(x1, x2, "vdot")
    if x1.size != x2.size:
        raise ShapeError(f"vdot: expected as many elements, got shapes {x1.shape} and {x2.shape}")
    return matmul(reshape(conjugated(x1), (x1.size,)), reshape(x2, (x2.size,)))


def _vecdot_reference(x1: Any, x2: Any, axis: int = -1) -> Any:
    return np.sum(np.moveaxis(x1, axis, -1) * np.moveaxis(x2, axis, -1), axis=-1)


@composite(
    reference=_vecdot_reference,
    cases=(
        Case((4,), (4,)),
        Case((2, 3, 4), (3, 4)),
        Case((2, 1, 4), (3, 4)),
        Case((2, 3, 4), (3, 4), axis=-2),
        Case((3, 0), (3, 0)),
    ),
)
def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The inner products of vectors along an axis; the first is conjugated if it is complex. x1, x2:
    (..., n, ...), the other axes broadcast. axis: counted in each of them; from the end, where
    they have not as many axes. Raises ShapeError if the lengths along it differ.

    >>> import tensorgrad
    >>> tensorgrad.vecdot(tensorgrad.ones((2, 3)), tensorgrad.tensor([1.0, 2.0, 3.0]))
    tensor([6., 6.])
    """
    x1, x2 = _pair(x1, x2, "vecdot")
    i, j = normalize_axis(axis, x1.ndim, "vecdot"), normalize_axis(axis, x2.ndim, "vecdot")
    if x1.shape[i] != x2.shape[j]:
        raise ShapeError(
            f"vecdot: expected axes {axis} of one length, got shapes {x1.shape} and {x2.shape}"
        )
    a, b = moveaxis(conjugated(x1), i, -1), moveaxis(x2, j, -1)
    if a.ndim == 1 or b.ndim == 1:
        return matmul(a, b) if b.ndim == 1 else matmul(b, a)
    y = a * b
    return summed_over(y, (y.ndim - 1,))


@composite(
    reference=np.outer,
    cases=(Case((3,), (4,)), Case((2, 3), (2,)), Case((), (2,)), Case((0,), (3,))),
)
def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Every product of an element of x1 and one of x2, both flattened. Returns (x1.size, x2.size).

    >>> import tensorgrad
    >>> tensorgrad.outer(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    x1, x2 = _pair(x1, x2, "outer")
    return reshape(x1, (x1.size, 1)) * reshape(x2, (1, x2.size))


@composite(
    reference=np.kron,
    cases=(Case((2, 3), (3, 2)), Case((2,), (3, 2)), Case((2, 1, 3), (2, 2)), Case((), (2,))),
    method=False,
)
def kron(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The Kronecker product: x1 with each element replaced by its product with x2. The one with fewer
    axes gets leading ones. Returns the products of the lengths.

    >>> import tensorgrad
    >>> tensorgrad.kron(tensorgrad.tensor([1.0, 10.0]), tensorgrad.tensor([1.0, 2.0]))
    tensor([ 1.,  2., 10., 20.])
    """
    x1, x2 = _pair(x1, x2, "kron")
    ndim = max(x1.ndim, x2.ndim)
    a = (1,) * (ndim - x1.ndim) + x1.shape
    b = (1,) * (ndim - x2.ndim) + x2.shape
    spread = reshape(x1, tuple(n for length in a for n in (length, 1)))
    repeated = reshape(x2, tuple(n for length in b for n in (1, length)))
    return reshape(spread * repeated, tuple(m * n for m, n in zip(a, b)))


@composite(
    reference=np.matmul,
    cases=(Case((2, 3, 4), (2, 4, 5)), Case((2, 0, 4), (2, 4, 5))),
    method="bmm",
)
def bmm(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The matrix products of a batch, without broadcasting. x1: (b, m, k), x2: (b, k, n). Returns (b,
    m, n). Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.bmm(tensorgrad.ones((5, 2, 3)), tensorgrad.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    x1, x2 = _pair(x1, x2, "bmm")
    if x1.ndim != 3 or x2.ndim != 3 or x1.shape[0] != x2.shape[0]:
        raise ShapeError(f"bmm: expected (b, m, k) and (b, k, n), got {x1.shape} and {x2.shape}")
    return matmul(x1, x2)


@composite(
    reference=lambda c, a, b, beta=1, alpha=1: beta * c + alpha * (a @ b),
    cases=(
        Case((3, 5), (3, 4), (4, 5)),
        Case((5,), (3, 4), (4, 5), beta=0.5, alpha=2.0),
        Case((3, 5), (3, 4), (4, 5), beta=-1.0),
    ),
)
def addmm(x: Tensor, x1: Tensor, x2: Tensor, /, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * x + alpha * (x1 @ x2). x: broadcasts to (m, n), x1: (m, k), x2: (k, n). With beta 0, x is
    not read. Returns (m, n). Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.addmm(tensorgrad.ones(2), tensorgrad.ones((1, 3)), tensorgrad.ones((3, 2)))
    tensor([[4., 4.]])
    """
    x1, x2 = _pair(x1, x2, "addmm")
    if x1.ndim != 2 or x2.ndim != 2:
        raise ShapeError(f"addmm: expected matrices, got shapes {x1.shape} and {x2.shape}")
    y = matmul(x1, x2)
    if alpha != 1:
        y = y * alpha
    if beta == 0:
        return y
    x = as_tensor(x, "addmm")
    result = (x if beta == 1 else x * beta) + y
    if result.shape != y.shape:
        raise ShapeError(f"addmm: expected x to broadcast to {y.shape}, got {x.shape}")
    return result


__all__ = [
    "addmm",
    "bmm",
    "dot",
    "inner",
    "kron",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
]
