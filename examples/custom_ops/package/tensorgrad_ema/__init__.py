"""An op of a package: an exponential moving average in C, forward and backward."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad import Tensor, op, ops
from tensorgrad.autograd import Case
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad_ema._kernels import ffi, lib

# refuses, with both versions named, a module that was built for another ABI than tensorgrad's
kernels = ops.bind(ffi, lib, Path(__file__).with_name("kernels.h").read_text(encoding="utf-8"))
CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}  # enum tg_dtype


def _reference(x: Any, a: float, backward: bool = False) -> Any:
    y, state = np.zeros_like(x), np.zeros_like(x[..., :1, :])[..., 0, :]
    steps = range(x.shape[-2])
    for t in reversed(steps) if backward else steps:
        state = a * x[..., t, :] + (1 - a) * state
        y[..., t, :] = state
    return y


@op(
    # linear, so the gradient is its transpose: the average from the end, whose gradient is this one
    gradient=lambda gy, y, x, a, backward: ema(gy, a, not backward),
    reference=_reference,
    cases=(Case((5, 3), a=0.25), Case((2, 4, 70), a=0.5), Case((2, 3, 2), a=0.5, backward=True)),
    method=False,
    kernel_only=True,
)
def ema(x: Tensor, a: float, backward: bool = False) -> Tensor:
    """y[t] = a x[t] + (1 - a) y[t - 1] from y[-1] = 0, along the second to last axis.

    x: (..., steps, features), float. a: in (0, 1]. backward: from the last step to the first.
    Returns x's shape. Raises ShapeError, DTypeError, ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad_ema import ema
    >>> ema(tensorgrad.tensor([[1.0], [0.0], [0.0]]), 0.5).reshape(-1)
    tensor([0.5  , 0.25 , 0.125])
    """
    if x.dtype not in CODES:
        raise DTypeError(f"ema: expected a float x, got {x.dtype}")
    if x.ndim < 2:
        raise ShapeError(f"ema: expected x (..., steps, features), got {x.shape}")
    if not 0 < a <= 1:
        raise ArgumentError(f"ema: expected a in (0, 1], got {a}")
    y = tensorgrad.empty_like(x)
    kernel = kernels.ema_backward if backward else kernels.ema_forward
    kernel(CODES[x.dtype], prod(x.shape[:-2]), *x.shape[-2:], a, x, y)
    return y


__all__ = ["ema"]
