"""Sums and means over segments, as graph networks need them: every node adds up its edges.

`segment_sum` and `gather_rows` are each other's gradient, both in C (segment.c), so they can be
differentiated as often as one likes; `segment_mean` is made of them and needs no gradient of its own.
Sums are made in the order of the rows, whatever the number of threads.

    python examples/custom_ops/segment.py
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad import Tensor, op, ops
from tensorgrad.autograd import Case
from tensorgrad.errors import DTypeError, ShapeError
from tensorgrad.ops import composite
from tensorgrad.testing import check_op

kernels = ops.load(Path(__file__).with_suffix(".c"))
CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}  # enum tg_dtype
IDS = np.array([3, 0, 3, 1, 0, 3])  # of the checks: not sorted, and nothing belongs to 2


def _check(x: Tensor, ids: Tensor, where: str) -> int:
    """The code of x's dtype. Raises ShapeError, DTypeError."""
    if x.dtype not in CODES or ids.dtype != np.int64:
        raise DTypeError(f"{where}: expected a float x and int64 ids, got {x.dtype}, {ids.dtype}")
    if x.ndim < 1 or ids.ndim != 1:
        raise ShapeError(f"{where}: expected x (n, ...) and ids (m), got {x.shape}, {ids.shape}")
    return CODES[x.dtype]


def _segment_sum_reference(x: Any, ids: Any, count: int) -> Any:
    y = np.zeros((count, *x.shape[1:]), x.dtype)
    np.add.at(y, ids, x)
    return y


def _batched(c: Any) -> Any:
    """How `vmap` computes a batch in one call: as the rows of one tensor, where each element has its
    segments after those of the elements before it."""
    if not c.ndim(0) or c.ndim(1) != 1:
        return None  # element by element, which says what is wrong
    x, ids = c.all(0), c.all(1)
    count = c.params.get("count", x.shape[1])  # of what ids point at, in each element
    first = tensorgrad.arange(c.size).reshape(c.size, 1) * count
    ids = tensorgrad.where((ids >= 0) & (ids < count), ids + first, -1)  # -1 is refused
    params = {"count": c.size * count} if "count" in c.params else {}
    rest = x.shape[2:]
    y = c.run(x.reshape(c.size * x.shape[1], *rest), ids.reshape(ids.size), **params)
    return y.reshape(c.size, y.shape[0] // c.size if c.size else 0, *rest)


def _sum_by_x(gy: Tensor, y: Any, x: Any, ids: Tensor, count: int) -> Tensor:
    return gather_rows(gy, ids)


@op(
    gradient=(_sum_by_x, None),
    saves=("ids",),
    reference=_segment_sum_reference,
    cases=(
        Case((6, 5), IDS, count=4),
        Case((6,), np.sort(IDS), count=4),
        Case((6, 2, 37), IDS, count=5),
        Case((0, 3), np.zeros(0, np.int64), count=2),
    ),
    method=False,
    kernel_only=True,
    batching=_batched,
)
def segment_sum(x: Tensor, ids: Tensor, count: int) -> Tensor:
    """y[s] = the sum of the rows x[i] with ids[i] = s; zero for a segment without rows.

    x: (n, ...), float; ids: (n), int64 in [0, count), in any order. Returns (count, ...). Raises
    ShapeError, DTypeError, IndexOutOfRangeError.
    """
    code = _check(x, ids, "segment_sum")
    if ids.shape != x.shape[:1]:
        raise ShapeError(f"segment_sum: expected an id for each of {x.shape}, got {ids.shape}")
    y = tensorgrad.empty((count, *x.shape[1:]), dtype=x.dtype)
    kernels.segment_sum_forward(code, len(x), prod(x.shape[1:]), count, x, ids, y)
    return y


@op(
    gradient=(lambda gy, y, x, ids: segment_sum(gy, ids, x.shape[0]), None),
    saves=("ids",),
    reference=lambda x, ids: x[ids],
    cases=(Case((4, 5), IDS), Case((5,), IDS), Case((4, 2, 3), IDS)),
    method=False,
    kernel_only=True,
    batching=_batched,
)
def gather_rows(x: Tensor, ids: Tensor) -> Tensor:
    """y[i] = x[ids[i]]: to each edge what belongs to its node.

    x: (n, ...), float; ids: (m), int64 in [0, n). Returns (m, ...). Raises ShapeError, DTypeError,
    IndexOutOfRangeError.
    """
    code = _check(x, ids, "gather_rows")
    y = tensorgrad.empty((*ids.shape, *x.shape[1:]), dtype=x.dtype)
    kernels.gather_forward(code, ids.size, prod(x.shape[1:]), len(x), x, ids, y)
    return y


def _scales_reference(ids: Any, count: int, dtype: str) -> Any:
    return (1 / np.maximum(np.bincount(ids, minlength=count), 1)).astype(dtype)


@op(
    gradient=None,
    reference=_scales_reference,
    cases=(Case(IDS, count=4, dtype="float32"), Case(IDS, count=4, dtype="float64")),
    method=False,
    kernel_only=True,
)
def mean_scales(ids: Tensor, count: int, dtype: str) -> Tensor:
    """1 / the number of rows of each segment; 1 for a segment without rows.

    ids: (n), int64 in [0, count). Returns (count), of the float dtype of that name. Raises
    IndexOutOfRangeError."""
    scales = tensorgrad.empty((count,), dtype=dtype)
    kernels.mean_scales(CODES[scales.dtype], ids.size, count, ids, scales)
    return scales


@composite(
    reference=lambda x, ids, count: (
        _segment_sum_reference(x, ids, count)
        * _scales_reference(ids, count, x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    ),
    cases=(Case((6, 5), IDS, count=4), Case((6,), IDS, count=4)),
    method=False,
)
def segment_mean(x: Tensor, ids: Tensor, count: int) -> Tensor:
    """The mean of each segment's rows (scatter-mean); zero for a segment without rows.

    x: (n, ...), float; ids: (n), int64 in [0, count). Returns (count, ...)."""
    sums = segment_sum(x, ids, count)
    scales = mean_scales(ids, count, sums.dtype.name)
    return sums * scales.reshape(count, *[1] * (x.ndim - 1))


def main() -> None:
    for function in (segment_sum, gather_rows, mean_scales, segment_mean):
        check_op(function)
    # One layer of message passing on a ring of 8 nodes learns to average each node's neighbours.
    nodes = np.arange(8)
    source = tensorgrad.tensor(np.concatenate([nodes, nodes]))
    target = tensorgrad.tensor(np.concatenate([(nodes + 1) % 8, (nodes - 1) % 8]))
    tensorgrad.manual_seed(0)
    x = tensorgrad.randn(8, 3)
    wanted = tensorgrad.tensor((np.roll(x.numpy(), 1, 0) + np.roll(x.numpy(), -1, 0)) / 2)
    w = tensorgrad.randn(3, 3, requires_grad=True)
    optimizer = tensorgrad.optim.Adam([w], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((segment_mean(gather_rows(x @ w, source), target, 8) - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.1e}; the weights became\n{w.detach().numpy().round(2)}")
    assert loss.item() < 1e-3


if __name__ == "__main__":
    main()
