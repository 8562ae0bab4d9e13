"""Matrix multiplication and the linear layer, on the C library's gemm."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tensorgrad._native import ACTIVATION, NULL, fail, lib, make_layout
from tensorgrad._tensor import Tensor, copy_raw, empty_raw, view, wrap_array
from tensorgrad.autograd import Case, is_grad_enabled, op
from tensorgrad.dtypes import DTYPES, F64, ITEMSIZES, promote
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.ops import elementwise
from tensorgrad.ops.reductions import reduce_raw
from tensorgrad.ops.shaping import expand_dims, matrix_transpose, reshape
from tensorgrad.shapes import broadcast_shapes, broadcast_strides, checked_size, contiguous_strides

_TRANS_A, _TRANS_B = lib.TG_TRANS_A, lib.TG_TRANS_B
_tg_gemm = lib.tg_gemm


def _stored(t: Tensor, flag: int) -> tuple[Tensor, int, int]:
    """How gemm reads the last two axes of t: t (or a copy, if neither axis has step 1), the
    transposition flag, the step between stored rows."""
    strides = t._strides
    rows, columns = t._shape[-2:]
    if strides is None:
        return t, 0, columns or 1
    by_row, by_column = strides[-2:]
    if by_column == 1 and by_row >= columns:
        return t, 0, by_row
    if by_row == 1 and by_column >= rows:
        return t, flag, by_column
    return copy_raw(t), 0, columns or 1


def gemm(
    a: Tensor, b: Tensor, flags: int = 0, bias: Tensor | None = None, activation: int = 0
) -> Tensor:
    """activation(a @ b + bias), off the tape. a: (m, k), or (k, m) with the flag _TRANS_A; b: (k,
    n), or (n, k) with _TRANS_B; bias: (n) contiguous; all of one float dtype."""
    m, k = a._shape if not flags & _TRANS_A else a._shape[::-1]
    n = b._shape[0 if flags & _TRANS_B else 1]
    if a._strides is None:
        lda = a._shape[1] or 1
    else:
        a, trans, lda = _stored(a, _TRANS_A)
        flags ^= trans
    if b._strides is None:
        ldb = b._shape[1] or 1
    else:
        b, trans, ldb = _stored(b, _TRANS_B)
        flags ^= trans
    y = empty_raw((m, n), m * n, a._code)
    status = _tg_gemm(
        a._code,
        flags,
        m,
        n,
        k,
        a._ptr,
        lda,
        b._ptr,
        ldb,
        y._ptr,
        n or 1,
        NULL if bias is None else bias._ptr,
        activation,
    )
    if status:
        fail(status, "matmul", y._storage)
    return y


def _batched(a: Tensor, b: Tensor) -> Tensor:
    """a @ b for at least one operand of more than two axes, with broadcasting of the leading
    ones."""
    batch = broadcast_shapes(a._shape[:-2], b._shape[:-2], "matmul")
    m, k = a._shape[-2:]
    n = b._shape[-1]
    a, trans_a, lda = _stored(a, _TRANS_A)
    b, trans_b, ldb = _stored(b, _TRANS_B)
    shape = (*batch, m, n)
    y = empty_raw(shape, checked_size(shape, ITEMSIZES[a._code], "matmul"), a._code)
    layout = make_layout(
        batch,
        [broadcast_strides(t._shape[:-2], t.strides[:-2], batch) for t in (a, b)]
        + [contiguous_strides(shape)[:-2]],
    )
    status = lib.tg_gemm_batched(
        a._code, trans_a | trans_b, m, n, k, a._ptr, lda, b._ptr, ldb, y._ptr, n or 1, layout
    )
    if status:
        fail(status, "matmul", y._storage)
    return y


def _floats(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a._code == b._code and a._code <= F64:
        return a, b
    code = promote(a._code, b._code)
    return (
        a if a._code == code else a.astype(DTYPES[code]),
        b if b._code == code else b.astype(DTYPES[code]),
    )


def _as_matrix(t: Tensor) -> Tensor:
    """All axes before the last as one. (-1 could not be inferred where the last is empty.)"""
    return reshape(t, (prod(t._shape[:-1]), t._shape[-1]))


def _by_a(gy: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if b.ndim == 1:
        gy = expand_dims(gy, -1)
        b = expand_dims(b, -1)
    if a.ndim == 1:
        gy = expand_dims(gy, -2)
    return matmul(gy, matrix_transpose(b))


def _by_b(gy: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    vector = b.ndim == 1
    if vector:
        gy = expand_dims(gy, -1)
    if a.ndim == 1:
        a = expand_dims(a, 0)
        gy = expand_dims(gy, -2)
    if b.ndim <= 2 < a.ndim:  # one product over all leading axes instead of a sum of many
        a = _as_matrix(a)
        gy = _as_matrix(gy)
    gb = matmul(matrix_transpose(a), gy)
    return reshape(gb, gb.shape[:-1]) if vector else gb


@op(
    gradient=(_by_a, _by_b),
    saves=("a", "b"),
    reference=np.matmul,
    cases=(
        Case((3, 4), (4, 5)),
        Case((4,), (4,)),
        Case((4,), (4, 5)),
        Case((3, 4), (4,)),
        Case((2, 3, 4), (4, 5)),
        Case((2, 3, 4), (2, 4, 5)),
        Case((2, 1, 3, 4), (5, 4, 2)),
        Case((3, 4), (2, 4, 5)),
        Case((2, 3, 4), (4,)),
        Case((0, 4), (4, 5)),
        Case((3, 0), (0, 5)),
        Case((2, 3, 0), (0, 5)),
        Case((2, 3, 4), (4, 0)),
    ),
    method=("matmul", "__matmul__"),
)
def matmul(a: Tensor, b: Tensor, /) -> Tensor:
    """The matrix product, as NumPy's: 1-D operands are vectors, axes before the last two broadcast.

    a: (..., m, k) or (k), b: (..., k, n) or (k). Returns (..., m, n), without m or n where the
    operand was a vector. float32 and float64 on the C library; integers by NumPy. Raises
    ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.matmul(tensorgrad.ones((2, 3)), tensorgrad.ones((3, 2)))
    tensor([[3., 3.],
            [3., 3.]])
    """
    shape_a, shape_b = a._shape, b._shape
    if not shape_a or not shape_b:
        raise ShapeError(f"matmul: expected at least 1 axis each, got {shape_a} @ {shape_b}")
    if shape_a[-1] != shape_b[-2 if len(shape_b) > 1 else 0]:
        raise ShapeError(f"matmul: expected a.shape[-1] == b.shape[-2], got {shape_a} @ {shape_b}")
    a, b = _floats(a, b)
    if a._code > F64:
        return wrap_array(np.asarray(np.matmul(a._array(), b._array())))
    if len(shape_a) == 2 and len(shape_b) == 2:
        return gemm(a, b)
    if len(shape_b) == 1:
        y = matmul(a, reshape(b, (-1, 1)))
        return view(y, y._shape[:-1], None, 0)
    if len(shape_a) == 1:
        y = matmul(reshape(a, (1, -1)), b)
        return view(y, (*y._shape[:-2], y._shape[-1]), None, 0)
    if len(shape_b) == 2:
        rows = a if a._strides is None else copy_raw(a)
        size = 1
        for n in shape_a[:-1]:
            size *= n
        y = gemm(view(rows, (size, shape_a[-1]), None, 0), b)
        return view(y, (*shape_a[:-1], shape_b[1]), None, 0)
    return _batched(a, b)


# ---- linear --------------------------------------------------------------------------------------


def _linear_raw(x: Tensor, weight: Tensor, bias: Tensor | None, activation: int) -> Tensor:
    shape = x._shape
    if len(weight._shape) != 2 or not shape or shape[-1] != weight._shape[1]:
        raise ShapeError(
            f"linear: expected x of shape (..., in) and weight of shape (out, in), got {shape} "
            f"and {weight._shape}"
        )
    out = weight._shape[0]
    if bias is not None:
        if bias._shape != (out,):
            raise ShapeError(f"linear: expected a bias of shape {(out,)}, got {bias._shape}")
        if bias._strides is not None:
            bias = copy_raw(bias)
    for t in (weight, bias):
        if (t is not None and t._code != x._code) or x._code > F64:
            raise DTypeError(
                f"linear: expected x, weight and bias of one float dtype, got {x.dtype}, "
                f"{weight.dtype}" + ("" if bias is None else f", {bias.dtype}")
            )
    if len(shape) == 2:
        return gemm(x, weight, _TRANS_B, bias, activation)
    rows = x if x._strides is None else copy_raw(x)
    size = 1
    for n in shape[:-1]:
        size *= n
    y = gemm(view(rows, (size, shape[-1]), None, 0), weight, _TRANS_B, bias, activation)
    return view(y, (*shape[:-1], out), None, 0)


def _linear_gradient(
    gy: Tensor, y: Any, x: Tensor, weight: Tensor, bias: Any = None, *, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    gx = gw = gb = None
    gy_rows = gy if len(gy._shape) == 2 else _as_matrix(gy)
    recorded = is_grad_enabled()
    if needs[0]:
        gx = matmul(gy, weight) if recorded or gy_rows is not gy else gemm(gy, weight)
    if needs[1]:
        rows = x if len(x._shape) == 2 else _as_matrix(x)
        gw = matmul(matrix_transpose(gy_rows), rows) if recorded else gemm(gy_rows, rows, _TRANS_A)
    if len(needs) > 2 and needs[2]:
        gb = gy_rows.sum(0) if recorded else reduce_raw("sum", gy_rows, 0, False)
    return gx, gw, gb


@op(
    gradient=_linear_gradient,
    saves=("x", "weight"),
    reference=lambda x, w, b=None: x @ w.T + (0 if b is None else b),
    cases=(
        Case((3, 4), (5, 4), (5,)),
        Case((2, 3, 4), (5, 4), (5,)),
        Case((4,), (5, 4), (5,)),
        Case((0, 4), (5, 4), (5,)),
        Case((3, 4), (5, 4)),
        Case((2, 3, 0), (5, 0), (5,)),
        Case((2, 0, 3), (0, 3), (0,)),
    ),
    method=False,
)
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, /) -> Tensor:
    """x @ weight.T + bias. x: (..., in), weight: (out, in), bias: (out) or None, of one float
    dtype. Returns (..., out). Raises ShapeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.ops.linear(tensorgrad.ones((1, 3)), tensorgrad.ones((2, 3)), tensorgrad.ones(2))
    tensor([[4., 4.]])
    """
    return _linear_raw(x, weight, bias, 0)


# the activations whose derivative reads y alone, so that the value before them need not be kept
_FUSIBLE = {name: getattr(elementwise, name) for name in ("relu", "tanh", "sigmoid")}


def _activated_gradient(
    gy: Tensor,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Any = None,
    *,
    activation: str,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    g = _FUSIBLE[activation].derivative(gy, y, 0.0, 0.0)
    return _linear_gradient(g, y, x, weight, bias, needs=needs)


def _activated_reference(x: Any, w: Any, b: Any = None, *, activation: str) -> Any:
    z = x @ w.T + (0 if b is None else b)
    return {
        "relu": lambda: np.maximum(z, 0),
        "tanh": lambda: np.tanh(z),
        "sigmoid": lambda: 1 / (1 + np.exp(-z)),
    }[activation]()


@op(
    gradient=_activated_gradient,
    saves=("x", "weight", "y"),
    reference=_activated_reference,
    cases=(
        Case((3, 4), (5, 4), (5,), activation="relu"),
        Case((3, 4), (5, 4), activation="tanh"),
        Case((2, 3, 4), (5, 4), (5,), activation="sigmoid"),
    ),
    method=False,
)
def linear_activated(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str
) -> Tensor:
    """activation(x @ weight.T + bias) in one kernel. activation: "relu", "tanh" or "sigmoid"; the
    rest as in `linear`.

    >>> import tensorgrad
    >>> w = -tensorgrad.ones((2, 3))
    >>> tensorgrad.ops.linear_activated(tensorgrad.ones((1, 3)), w, activation="relu")
    tensor([[0., 0.]])
    """
    if activation not in _FUSIBLE:
        raise ArgumentError(
            f"linear_activated: expected one of {', '.join(_FUSIBLE)}, got {activation!r}"
        )
    return _linear_raw(x, weight, bias, ACTIVATION[activation])


Tensor.__rmatmul__ = lambda self, other: matmul(other, self)

__all__ = [
    "linear",
    "linear_activated",
    "matmul",
]
