"""Depth 4: an op in C. depth4_c_kernel.c includes the installed header, which gives it the library's
threads, memory, matrix product and vectors; `ops.load` compiles and loads it.

This one is for float32 alone and for first derivatives alone, and says so: the examples attention.py
and segment.py have both types and second derivatives.

    python examples/custom_ops/depth4_c_kernel.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad import Tensor, op, ops
from tensorgrad.autograd import Case, is_grad_enabled
from tensorgrad.errors import GradientError, ShapeError

kernels = ops.load(Path(__file__).with_suffix(".c"))


def _gradient(gy: Tensor, y: Any, x: Tensor) -> Tensor:
    if is_grad_enabled():
        raise GradientError("unit: it has no second derivative; use x / (x * x).sum(-1) ** 0.5")
    gx = tensorgrad.empty_like(x)
    cols = x.shape[-1]
    kernels.unit_backward(x.size // cols, cols, x, gy, gx)
    return gx


@op(
    gradient=_gradient,
    saves=("x",),
    reference=lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True)),
    cases=(Case((3, 5), low=0.5),),
    second=False,
    method=False,
    kernel_only=True,  # calls no other op, so nothing need be kept from recording
)
def unit(x: Tensor) -> Tensor:
    """x / |x|, the length taken over the last axis. x: (..., n), float32. Returns the same shape.
    Raises ShapeError, DTypeError."""
    if not x.size:
        raise ShapeError(f"unit: expected at least one element, got shape {x.shape}")
    y = tensorgrad.empty_like(x)
    cols = x.shape[-1]
    kernels.unit_forward(x.size // cols, cols, x, y)  # refuses other dtypes
    return y


def main() -> None:
    x = tensorgrad.tensor([[3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    y = unit(x)
    y.sum().backward()
    print(y, x.grad, sep="\n")
    by_ops = tensorgrad.tensor([[3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    (by_ops / (by_ops * by_ops).sum(-1, keepdims=True) ** 0.5).sum().backward()
    assert abs(x.grad - by_ops.grad).max().item() < 1e-6  # type: ignore[operator]
    try:
        tensorgrad.autograd.grad(unit(x).sum(), x, create_graph=True)
    except GradientError as error:
        print("refused:", error)
    try:
        unit(x.astype("float64"))
    except tensorgrad.DTypeError as error:
        print("refused:", error)


if __name__ == "__main__":
    main()
