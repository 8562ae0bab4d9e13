"""Variance and standard deviation: one pass over the data, and the mean for the gradient with
it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._native import NULL, fail, lib
from tensorgrad._tensor import Tensor, copy_raw, empty_raw
from tensorgrad.autograd import Case, composite, is_grad_enabled, op
from tensorgrad.autograd._modes import mode
from tensorgrad.dtypes import F64, float32
from tensorgrad.ops.comparisons import where
from tensorgrad.ops.reductions import CASES, expand, mean, plan_of, reduced_count
from tensorgrad.ops.shaping import transpose
from tensorgrad.shapes import normalize_axes


def _gradient(
    gy: Tensor,
    y: Any,
    x: Tensor,
    axis: Any = None,
    correction: float = 0,
    keepdims: bool = False,
    *,
    extra: Any,
) -> Tensor:
    n = reduced_count(x._shape, axis, "var") - correction
    center = mean(x, axis, keepdims) if is_grad_enabled() else extra
    scale = gy * (2.0 / n if n > 0 else float("nan"))
    return expand(scale, x._shape, axis) * (x - expand(center, x._shape, axis))


@op(
    gradient=_gradient,
    saves=("x",),
    reference=lambda x, axis=None, correction=0, keepdims=False: np.var(
        x, axis=axis, ddof=correction, keepdims=keepdims
    ),
    cases=(*CASES[:6], Case((3, 4), axis=1, correction=1)),
    kernel_only=True,
    tags=("reduction",),
)
def var(x: Tensor, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """The variance over axes (None: all): the sum of squared deviations from the mean, divided by n
    - correction. Exact also where the mean is large beside the deviations (Chan, Golub, LeVeque
    1983). x: (...); integers become float32.

    >>> import tensorgrad
    >>> tensorgrad.var(tensorgrad.tensor([1.0, 3.0]), correction=1)
    tensor(2.)
    """
    recorded = x._node is not None and mode.enabled
    if x._code > F64:
        x = x.astype(float32)
    outer, n, inner, size, shape, steps = plan_of(x._shape, axis, keepdims, "var")
    if steps is not None:  # several runs of axes: made one by a copy with these axes last
        x = x.detach() if x._node is not None else x
        axes = normalize_axes(axis, len(x._shape), "var")
        kept = tuple(i for i in range(len(x._shape)) if i not in axes)
        x = transpose(x, kept + axes)
        outer, n, inner, size, _, _ = plan_of(
            x._shape, tuple(range(len(kept), len(x._shape))), False, "var"
        )
    if x._strides is not None:
        x = copy_raw(x)
    y = empty_raw(shape, size, x._code)
    center = empty_raw(shape, size, x._code) if recorded else None
    status = lib.tg_variance(
        x._code,
        outer,
        n,
        inner,
        x._ptr,
        correction,
        NULL if center is None else center._ptr,
        y._ptr,
    )
    if status:
        fail(status, "var", y._storage, *(() if center is None else (center._storage,)))
    return y if center is None else (y, center)  # type: ignore[return-value]


@composite(
    reference=lambda x, axis=None, correction=0, keepdims=False: np.std(
        x, axis=axis, ddof=correction, keepdims=keepdims
    ),
    cases=(*CASES[:6], Case((3, 4), axis=1, correction=1)),
    tags=("reduction",),
)
def std(x: Tensor, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes (None: all): the square root of `var`. Its gradient is 0
    where it is 0, as PyTorch has it.

    >>> import tensorgrad
    >>> tensorgrad.std(tensorgrad.tensor([1.0, 3.0]))
    tensor(1.)
    """
    v = var(x, axis, correction, keepdims)
    if v.requires_grad:
        return where(v == 0.0, 0.0, where(v == 0.0, 1.0, v).sqrt())
    return v.sqrt()


__all__ = ["std", "var"]
