"""Products written into memory that exists already."""

from __future__ import annotations

from tensorgrad._native import NULL, Storage, clock, fail, lib
from tensorgrad._tensor import Tensor, overlap
from tensorgrad.autograd._modes import mode
from tensorgrad.dtypes import F64
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tensorgrad.ops import matrix
from tensorgrad.shapes import broadcast_shapes

_tg_gemm, _TRANS_A, _TRANS_B = lib.tg_gemm, lib.TG_TRANS_A, lib.TG_TRANS_B
_stored = matrix._stored


def matmul(a: Tensor, b: Tensor, /, *, out: Tensor | None = None) -> Tensor:
    """The matrix product, as NumPy's: 1-D operands are vectors, axes before the last two broadcast.

    a: (..., m, k) or (k), b: (..., k, n) or (k). Returns (..., m, n), without m or n where the
    operand was a vector. float32 and float64 on the C library; integers by NumPy.

    out: (..., m, n), contiguous, of the dtype of a and b and apart from their memory; it receives
    the product and is returned. That saves the allocation and is not recorded: a, b must have at
    least two axes, and no gradient may be wanted. Raises ShapeError, DTypeError, ArgumentError,
    GradientError.

    >>> import tensorgrad
    >>> a, b, y = tensorgrad.ones((2, 3)), tensorgrad.ones((3, 2)), tensorgrad.zeros((2, 2))
    >>> tensorgrad.matmul(a, b, out=y)
    tensor([[3., 3.],
            [3., 3.]])
    """
    if out is None:
        return matrix.matmul(a, b)
    code = out._code
    if a._code != code or b._code != code or code > F64:
        raise DTypeError(
            f"matmul: expected a, b and out of one float dtype, got {a.dtype}, {b.dtype} and "
            f"{out.dtype}"
        )
    if out._strides is not None:
        raise ArgumentError("matmul: expected a contiguous out")
    if not (a._node is b._node is out._node is None) and mode.enabled:
        raise GradientError("matmul: out is not recorded; call it under no_grad()")
    storage, storage_a, storage_b = out._storage, a._storage, b._storage
    # blocks of our own are apart unless they are the same one
    if type(storage) is type(storage_a) is type(storage_b) is Storage:
        apart = storage is not storage_a and storage is not storage_b
    else:
        apart = not (overlap(out, a) or overlap(out, b))
    if not apart:
        raise ArgumentError("matmul: expected an out apart from the memory of a and b")
    try:  # unpacking asks for two axes each at no cost
        m, k = a._shape
        rows, n = b._shape
        out_rows, out_columns = out._shape
    except ValueError:
        return _batched(a, b, out)
    if rows != k or out_rows != m or out_columns != n:
        raise ShapeError(
            f"matmul: {a._shape} @ {b._shape} does not give an out of shape {out._shape}"
        )
    flags = 0
    lda, ldb = k or 1, n or 1
    if a._strides is not None:
        by_row, lda = a._strides
        flags = _TRANS_A
        if by_row != 1 or lda < m:
            a, flags, lda = _stored(a, _TRANS_A)
    if b._strides is not None:
        by_row, ldb = b._strides
        flags |= _TRANS_B
        if by_row != 1 or ldb < k:
            b, trans, ldb = _stored(b, _TRANS_B)
            flags = flags & _TRANS_A | trans
    storage.written = clock()
    storage.writer = "matmul"
    status = _tg_gemm(code, flags, m, n, k, a._ptr, lda, b._ptr, ldb, out._ptr, n or 1, NULL, 0)
    if status:
        fail(status, "matmul", storage)
    return out


def _batched(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """The same with more than two axes."""
    shape_a, shape_b = a._shape, b._shape
    if len(shape_a) < 2 or len(shape_b) < 2 or shape_a[-1] != shape_b[-2]:
        raise ShapeError(
            f"matmul: expected matrices (..., m, k) @ (..., k, n), got {shape_a} @ {shape_b}"
        )
    batch = broadcast_shapes(shape_a[:-2], shape_b[:-2], "matmul")
    if out._shape != (*batch, shape_a[-2], shape_b[-1]):
        raise ShapeError(
            f"matmul: {shape_a} @ {shape_b} does not give an out of shape {out._shape}"
        )
    out._writable("matmul")
    return matrix._batched(a, b, out)


__all__ = ["matmul"]
