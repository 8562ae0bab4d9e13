"""dropout(gelu(x + bias)) as one op: one pass over memory forward, one backward, no stored mask.

Composed, this is three ops that read and write all of x, and a mask that is kept for the backward.
The kernel in bias_gelu_dropout.c decides what is dropped by a counter-based generator: a function of
the seed and the position, which the backward computes again.

    python examples/custom_ops/bias_gelu_dropout.py
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad import Tensor, op, ops
from tensorgrad.autograd import Case, is_grad_enabled
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.testing import check_op

kernels = ops.load(Path(__file__).with_suffix(".c"))
CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}  # enum tg_dtype


def _sizes(x: Tensor, bias: Tensor, p: float) -> tuple[int, int, int]:
    """dtype, rows, cols. Raises ShapeError, DTypeError, ArgumentError."""
    if x.dtype != bias.dtype or x.dtype not in CODES:
        raise DTypeError(
            f"bias_gelu_dropout: expected x and bias of one float dtype, got {x.dtype}, {bias.dtype}"
        )
    if x.ndim < 1 or bias.shape != x.shape[-1:]:
        raise ShapeError(
            f"bias_gelu_dropout: expected x (..., n) and bias (n), got {x.shape} and {bias.shape}"
        )
    if not 0 <= p < 1:
        raise ArgumentError(f"bias_gelu_dropout: expected p in [0, 1), got {p}")
    cols = x.shape[-1]
    return CODES[x.dtype], x.size // cols if cols else 0, cols


def _factors(x: Tensor, bias: Tensor, p: float, seed: int) -> Tensor:
    factors = tensorgrad.empty_like(x)
    kernels.dropout_factors(*_sizes(x, bias, p), p, seed, factors)
    return factors


def _gradient(
    gy: Tensor,
    y: Any,
    x: Tensor,
    bias: Tensor,
    p: float = 0.1,
    seed: int = 0,
    *,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    if is_grad_enabled():  # create_graph: in ops, which can be differentiated again
        h = x + bias
        slope = 0.5 * (1.0 + tensorgrad.erf(h * sqrt(0.5)))
        slope = slope + h * tensorgrad.exp(h * h * -0.5) * (1 / sqrt(2 * pi))
        gx = gy * slope * _factors(x, bias, p, seed)
        return gx, gx  # the engine sums the second over the rows
    gx, gbias = (tensorgrad.empty_like(t) for t in (x, bias))
    kernels.bias_gelu_dropout_backward(*_sizes(x, bias, p), p, seed, x, bias, gy, gx, gbias)
    return gx, gbias


def _mixed(h: Any) -> Any:
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def _reference(x: Any, bias: Any, p: float = 0.1, seed: int = 0) -> Any:
    cols = x.shape[-1]
    row = np.arange(x.size // cols if cols else 0, dtype=np.uint32)[:, None]
    high = np.array([0x9E3779B9 * ((seed >> 32) + 1) & 0xFFFFFFFF], np.uint32)
    key = _mixed(_mixed(np.uint32(seed & 0xFFFFFFFF) ^ row) + high)
    bits = _mixed(_mixed(key ^ np.arange(cols, dtype=np.uint32)) + key)
    kept = ((bits >> np.uint32(8)) >= int(p * 2**24)).reshape(x.shape)
    h = x + bias
    gelu = 0.5 * h * (1 + np.vectorize(erf, otypes=[np.float64])(h / sqrt(2)))
    return (gelu * kept / (1 - p)).astype(x.dtype)


@op(
    gradient=_gradient,
    saves=("x", "bias"),
    reference=_reference,
    cases=(
        Case((4, 5), (5,), p=0.25, seed=1),
        Case((2, 3, 33), (33,), p=0.5, seed=2**40 + 7),
        Case((7,), (7,), p=0.0),
        Case((0, 3), (3,)),
    ),
    method=False,
    kernel_only=True,
)
def bias_gelu_dropout(x: Tensor, bias: Tensor, p: float = 0.1, seed: int = 0) -> Tensor:
    """gelu(x + bias), each element zero with probability p and else divided by 1 - p.

    x: (..., n), bias: (n), of one float dtype. seed: in [0, 2^64); the same one drops the same
    elements, so take another for each step; under `vmap` it drops the same of every element of the
    batch, which is computed one after the other. Returns (..., n). Raises ShapeError, DTypeError,
    ArgumentError.
    """
    sizes = _sizes(x, bias, p)
    y = tensorgrad.empty_like(x)
    kernels.bias_gelu_dropout_forward(*sizes, p, seed, x, bias, y)
    return y


def main() -> None:
    check_op(bias_gelu_dropout)
    tensorgrad.manual_seed(0)
    x = tensorgrad.randn(1000, 300, requires_grad=True)
    bias = tensorgrad.randn(300, requires_grad=True)
    y = bias_gelu_dropout(x, bias, p=0.25, seed=42)
    y.sum().backward()
    kept = (y != 0).astype("float32").mean().item()
    print(f"kept {kept:.4f} of the elements, expected 0.75")
    assert abs(kept - 0.75) < 0.005
    whole = tensorgrad.gelu(x + bias).mean().item()
    print(f"mean {y.mean().item():.4f}, without dropout {whole:.4f}")
    assert abs(y.mean().item() - whole) < 0.01
    assert x.grad is not None
    assert bool(((x.grad == 0) == (y == 0)).all())  # the backward drops what the forward dropped


if __name__ == "__main__":
    main()
