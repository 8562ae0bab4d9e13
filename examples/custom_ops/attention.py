"""Fused attention: softmax(scale q k^T) v in C, forward and backward, in memory linear in the length.

Composed of built-ins, attention makes three matrices of queries x keys for every head, and the tape
keeps them. The kernel in attention.c makes them tile by tile, with a running maximum and sum for the
softmax of each row, and the backward makes them again; what is kept is one number for each query.

    python examples/custom_ops/attention.py
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad import Tensor, op, ops
from tensorgrad.autograd import Case, is_grad_enabled
from tensorgrad.errors import DTypeError, ShapeError
from tensorgrad.testing import check_op

kernels = ops.load(Path(__file__).with_suffix(".c"))
CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}  # enum tg_dtype


def in_ops(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """The same of built-ins, for comparison."""
    return tensorgrad.softmax(_scores(q, k, causal), -1) @ v


def _scores(q: Tensor, k: Tensor, causal: bool) -> Tensor:
    scores = (q @ k.mT) * (1 / sqrt(q.shape[-1]))
    if causal:
        hidden = np.triu(np.ones((q.shape[-2], k.shape[-2]), bool), 1)
        scores = tensorgrad.where(tensorgrad.tensor(hidden), float("-inf"), scores)
    return scores


def _sizes(q: Tensor, k: Tensor, v: Tensor) -> tuple[int, ...]:
    """dtype, batch, n, m, d, dv, as the kernels take them. Raises ShapeError, DTypeError."""
    if not q.dtype == k.dtype == v.dtype or q.dtype not in CODES:
        raise DTypeError(
            f"attention: expected q, k, v of one float dtype, got {q.dtype}, {k.dtype}, {v.dtype}"
        )
    if not (
        q.ndim >= 2
        and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        and q.shape[-1:] == k.shape[-1:]
        and k.shape[-2:-1] == v.shape[-2:-1]
    ):
        raise ShapeError(
            "attention: expected q (..., n, d), k (..., m, d), v (..., m, dv), got "
            f"{q.shape}, {k.shape}, {v.shape}"
        )
    return CODES[q.dtype], prod(q.shape[:-2]), *q.shape[-2:-1], *k.shape[-2:], v.shape[-1]


def _gradient(
    gy: Tensor,
    y: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    causal: bool = False,
    *,
    extra: Tensor,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    if is_grad_enabled():  # create_graph: in ops, which can be differentiated again
        p = tensorgrad.softmax(_scores(q, k, causal), -1)
        gp = gy @ v.mT
        gs = p * (gp - (p * gp).sum(-1, keepdims=True)) * (1 / sqrt(q.shape[-1]))
        return gs @ k, gs.mT @ q, p.mT @ gy
    code, batch, n, m, d, dv = _sizes(q, k, v)
    gq, gk, gv = (tensorgrad.empty_like(t) for t in (q, k, v))
    kernels.attention_backward(
        *(code, causal, batch, n, m, d, dv, 1 / sqrt(d)), *(q, k, v, y, extra, gy, gq, gk, gv)
    )
    return gq, gk, gv


def _reference(q: Any, k: Any, v: Any, causal: bool = False) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) / sqrt(q.shape[-1])
    if causal:
        scores = np.where(np.triu(np.ones(scores.shape[-2:], bool), 1), -np.inf, scores)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)) @ v


@op(
    gradient=_gradient,
    saves=("q", "k", "v", "y"),
    reference=_reference,
    cases=(
        Case((2, 5, 3), (2, 7, 3), (2, 7, 4)),
        Case((1, 2, 6, 4), (1, 2, 6, 4), (1, 2, 6, 4), causal=True),
        Case((3, 2), (5, 2), (5, 1)),
    ),
    method=False,
    kernel_only=True,
    batching="matrices",
)
def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, the softmax over the keys (Vaswani et al. 2017).

    q: (..., n, d), k: (..., m, d), v: (..., m, dv), of one float dtype. causal: query i sees the keys
    up to i only. Returns (..., n, dv). Raises ShapeError, DTypeError.

    The second derivative makes the matrix of n x m; forward and first derivative do not.
    """
    code, batch, n, m, d, dv = _sizes(q, k, v)
    y = tensorgrad.empty((*q.shape[:-1], dv), dtype=q.dtype)
    lse = tensorgrad.empty(q.shape[:-1], dtype=q.dtype)
    kernels.attention_forward(code, causal, batch, n, m, d, dv, 1 / sqrt(d), q, k, v, y, lse)
    return y, lse  # type: ignore[return-value]  # lse reaches the gradient as `extra`


def main() -> None:
    check_op(attention)
    tensorgrad.manual_seed(0)
    q, k, v = (tensorgrad.randn(1, 4, 300, 32, requires_grad=True) for _ in range(3))
    gy = tensorgrad.randn(1, 4, 300, 32)
    for causal in (False, True):
        results = []
        for function in (attention, in_ops):
            y = function(q, k, v, causal)
            results.append([y, *tensorgrad.autograd.grad(y, [q, k, v], gy)])
        worst = max(abs(a - b).max().item() for a, b in zip(*results))
        print(f"causal={causal}: fused and composed differ by at most {worst:.1e}")
        assert worst < 1e-4


if __name__ == "__main__":
    main()
