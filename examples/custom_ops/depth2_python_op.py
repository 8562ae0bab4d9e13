"""Depth 2: an op in Python. Its forward computes with NumPy, or anything else that the tape does not
see, and a gradient says how to go back.

The declaration is the one of the built-ins: `gradient` is one function for each input, `(gy, y,
*inputs, *params) -> gx`; `saves` names what it reads; `reference` and `cases` are what `check_op`
needs to try everything that the built-ins go through.

    python examples/custom_ops/depth2_python_op.py
"""

from __future__ import annotations

import numpy as np

import tensorgrad
from tensorgrad import Tensor, op
from tensorgrad.autograd import Case
from tensorgrad.testing import check_op


def _spread(gy: Tensor, x: Tensor) -> Tensor:
    """The gradient goes to the median; to both middle elements, half each, where there are two."""
    values = x.detach().numpy()
    n = values.shape[-1]
    order = np.argsort(values, -1, kind="stable")
    share = np.zeros_like(values)
    for middle in ((n - 1) // 2, n // 2):
        at = order[..., middle, None]
        np.put_along_axis(share, at, np.take_along_axis(share, at, -1) + 0.5, -1)
    # written in ops, so that it can be differentiated by gy again; by x it is constant
    return gy.reshape(*gy.shape, 1) * tensorgrad.tensor(share)


@op(
    gradient=lambda gy, y, x: _spread(gy, x),
    saves=("x",),
    reference=lambda x: np.median(x, -1),
    cases=(Case((3, 5)), Case((2, 3, 4)), Case((1,))),
    kernel="NumPy",
    method=False,
)
def median_example(x: Tensor) -> Tensor:
    """The median over the last axis. x: (..., n), n >= 1. Returns (...)."""
    return tensorgrad.tensor(np.median(x.detach().numpy(), -1).astype(x.dtype))


def main() -> None:
    check_op(median_example)
    x = tensorgrad.tensor([[3.0, 1.0, 2.0], [10.0, 30.0, 20.0]], requires_grad=True)
    y = median_example(x)
    (y * y).sum().backward()
    print(y, x.grad, sep="\n")
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0, 4.0], [0.0, 0.0, 40.0]]


if __name__ == "__main__":
    main()
