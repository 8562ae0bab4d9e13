"""Matrix multiplication and the linear layer, on the C library's gemm."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NoReturn

import numpy as np

from tensorgrad._native import ACTIVATION, NULL, fail, in_c_order, lib, make_layout
from tensorgrad._tensor import Tensor, copy_raw, empty_raw, view, wrap_array
from tensorgrad.autograd import Case, op
from tensorgrad.autograd._modes import mode
from tensorgrad.dtypes import DTYPES, F64, promote
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.ops import pointwise
from tensorgrad.ops.shaping import expand_dims, matrix_transpose, reshape
from tensorgrad.shapes import broadcast_shapes, broadcast_strides, checked_size, contiguous_strides

_TRANS_A, _TRANS_B = lib.TG_TRANS_A, lib.TG_TRANS_B
_tg_gemm, _tg_gemm_batched = lib.tg_gemm, lib.tg_gemm_batched


def _steps(t: Tensor, flag: int) -> tuple[bool, int, int]:
    """How gemm reads the last two axes of t: whether of a copy (neither axis has step 1), the
    transposition flag, the step between stored rows."""
    strides = t._strides
    rows, columns = t._shape[-2:]
    if strides is None:
        return False, 0, columns or 1
    by_row, by_column = strides[-2:]
    if by_column == 1 and by_row >= columns:
        return False, 0, by_row
    if by_row == 1 and by_column >= rows:
        return False, flag, by_column
    return True, 0, columns or 1


def _stored(t: Tensor, flag: int) -> tuple[Tensor, int, int]:
    """t or its copy, with the flag and the step of `_steps`."""
    copied, flag, step = _steps(t, flag)
    return copy_raw(t) if copied else t, flag, step


def _gemm(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, off the tape. a: (m, k), b: (k, n), of one float dtype."""
    m, k = a._shape
    n = b._shape[1]
    flags = 0
    lda, ldb = k or 1, n or 1
    if a._strides is not None:
        a, flags, lda = _stored(a, _TRANS_A)
    if b._strides is not None:
        b, trans, ldb = _stored(b, _TRANS_B)
        flags |= trans
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
        NULL,
        0,
    )
    if status:
        fail(status, "matmul", y._storage)
    return y


_Plan = tuple[bool, bool, tuple[int, ...], int, Any, tuple[int, ...]]
_plans: dict[Any, _Plan] = {}
_MAX_PLANS = 1024


def _make_plan(a: Tensor, b: Tensor) -> _Plan:
    """What a batched call does for operands of these shapes and strides: which of them it copies,
    the shape and size of the result, the layout of the batch, and gemm's numbers."""
    batch = broadcast_shapes(a._shape[:-2], b._shape[:-2], "matmul")
    (m, k), n = a._shape[-2:], b._shape[-1]
    copied_a, trans_a, lda = _steps(a, _TRANS_A)
    copied_b, trans_b, ldb = _steps(b, _TRANS_B)
    shape = (*batch, m, n)
    size = checked_size(shape, 8, "matmul")
    leading = [
        broadcast_strides(
            t._shape[:-2],
            (contiguous_strides(t._shape) if copied else t.strides)[:-2],
            batch,
        )
        for t, copied in ((a, copied_a), (b, copied_b))
    ]
    layout = make_layout(batch, [*leading, contiguous_strides(shape)[:-2]])
    return copied_a, copied_b, shape, size, layout, (trans_a | trans_b, m, n, k, lda, ldb)


def _batched(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a @ b for at least one operand of more than two axes, with broadcasting of the leading
    ones; into `out`, contiguous and of the right shape, or a new Tensor."""
    key = (a._shape, a._strides, b._shape, b._strides)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        plan = _plans[key] = _make_plan(a, b)
    copied_a, copied_b, shape, size, layout, (flags, m, n, k, lda, ldb) = plan
    if copied_a:
        a = copy_raw(a)
    if copied_b:
        b = copy_raw(b)
    y = empty_raw(shape, size, a._code) if out is None else out
    status = _tg_gemm_batched(
        a._code, flags, m, n, k, a._ptr, lda, b._ptr, ldb, y._ptr, n or 1, layout
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
        return wrap_array(in_c_order(np.matmul(a._array(), b._array())))
    if len(shape_a) == 2 and len(shape_b) == 2:
        return _gemm(a, b)
    if len(shape_b) == 1:
        y = matmul(a, reshape(b, (-1, 1)))
        y._shape = y._shape[:-1]
        return y
    if len(shape_a) == 1:
        y = matmul(reshape(a, (1, -1)), b)
        y._shape = (*y._shape[:-2], y._shape[-1])
        return y
    if len(shape_b) == 2:
        rows = a if a._strides is None else copy_raw(a)
        size = 1
        for n in shape_a[:-1]:
            size *= n
        y = _gemm(view(rows, (size, shape_a[-1]), None, 0), b)
        y._shape = (*shape_a[:-1], shape_b[1])
        return y
    return _batched(a, b)


# ---- linear --------------------------------------------------------------------------------------

_tg_linear, _tg_linear_grad = lib.tg_linear, lib.tg_linear_grad


def _refuse_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> NoReturn:
    """Raises the error for operands that do not fit."""
    shape = x._shape
    if len(weight._shape) != 2 or shape[-1:] != weight._shape[1:]:
        raise ShapeError(
            f"linear: expected x of shape (..., in) and weight of shape (out, in), got {shape} "
            f"and {weight._shape}"
        )
    if bias is not None and bias._shape != weight._shape[:1]:
        raise ShapeError(f"linear: expected a bias of shape {weight._shape[:1]}, got {bias._shape}")
    raise DTypeError(
        f"linear: expected x, weight and bias of one float dtype, got {x.dtype}, {weight.dtype}"
        + ("" if bias is None else f", {bias.dtype}")
    )


def _linear_raw(x: Tensor, weight: Tensor, bias: Tensor | None, activation: int) -> Tensor:
    """One C call; x of any number of axes."""
    code = x._code
    shape = x._shape
    if (
        len(weight._shape) != 2
        or shape[-1:] != weight._shape[1:]
        or weight._code != code
        or code > F64
        or (bias is not None and (bias._shape != weight._shape[:1] or bias._code != code))
    ):
        _refuse_linear(x, weight, bias)
    if x._strides is not None:
        x = copy_raw(x)
    if weight._strides is not None:
        weight = copy_raw(weight)
    if bias is not None and bias._strides is not None:
        bias = copy_raw(bias)
    out, features = weight._shape
    rows = shape[0] if len(shape) == 2 else prod(shape[:-1])
    y = empty_raw((rows, out) if len(shape) == 2 else (*shape[:-1], out), rows * out, code)
    status = _tg_linear(
        code,
        activation,
        rows,
        features,
        out,
        x._ptr,
        weight._ptr,
        NULL if bias is None else bias._ptr,
        y._ptr,
    )
    if status:
        fail(status, "linear", y._storage)
    return y


def _linear_grad_raw(
    gy: Tensor, y: Any, x: Tensor, weight: Tensor, activation: int, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients that are needed, in one C call; y is read for an activation only."""
    code = gy._code
    rows = gy._shape[0] if len(gy._shape) == 2 else prod(gy._shape[:-1])
    gy = gy if gy._strides is None else copy_raw(gy)
    x = x if x._strides is None else copy_raw(x)
    weight = weight if weight._strides is None else copy_raw(weight)
    out, features = shape = weight._shape
    gx = empty_raw(x._shape, x._size, code) if needs[0] else None
    gw = empty_raw(shape, out * features, code) if needs[1] else None
    gb = empty_raw((out,), out, code) if needs[-1] and len(needs) > 2 else None
    status = _tg_linear_grad(
        code,
        activation,
        rows,
        features,
        out,
        gy._ptr,
        y._ptr if activation else NULL,
        x._ptr,
        weight._ptr,
        NULL if gx is None else gx._ptr,
        NULL if gw is None else gw._ptr,
        NULL if gb is None else gb._ptr,
    )
    if status:
        fail(status, "linear", *(g._storage for g in (gx, gw, gb) if g is not None))
    return gx, gw, gb


def _linear_gradient(
    gy: Tensor, y: Any, x: Tensor, weight: Tensor, bias: Any = None, *, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if not mode.enabled:
        return _linear_grad_raw(gy, y, x, weight, 0, needs)
    rows = gy if len(gy._shape) == 2 else _as_matrix(gy)
    return (
        matmul(gy, weight) if needs[0] else None,
        matmul(matrix_transpose(rows), x if len(x._shape) == 2 else _as_matrix(x))
        if needs[1]
        else None,
        rows.sum(0) if len(needs) > 2 and needs[2] else None,
    )


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
    kernel_only=True,
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
FUSIBLE = {
    name: (ACTIVATION[name], getattr(pointwise, name)) for name in ("relu", "tanh", "sigmoid")
}


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
    kernel, function = FUSIBLE[activation]
    if not mode.enabled:
        return _linear_grad_raw(gy, y, x, weight, kernel, needs)
    g = function.derivative(gy, y, 0.0, 0.0)
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
    kernel_only=True,
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
    if activation not in FUSIBLE:
        raise ArgumentError(
            f"linear_activated: expected one of {', '.join(FUSIBLE)}, got {activation!r}"
        )
    return _linear_raw(x, weight, bias, FUSIBLE[activation][0])


Tensor.__rmatmul__ = lambda self, other: matmul(other, self)

__all__ = [
    "linear",
    "linear_activated",
    "matmul",
]
