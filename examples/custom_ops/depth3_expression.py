"""Depth 3: an elementwise op from an expression in C's syntax.

One string for the forward; the gradient is another, or is derived from the first, and is derived again
for second derivatives. It is compiled once, for vectors of the machine's width, and kept on disk; the
library's own loop runs it, threads included, so it is as fast as a built-in.

    python examples/custom_ops/depth3_expression.py
"""

from __future__ import annotations

import tensorgrad
from tensorgrad import ops
from tensorgrad.testing import check_op

swish = ops.elementwise("swish", "x / (1 + exp(-x))")
# y is the result: the gradient need not compute the exponential again
logistic = ops.elementwise("logistic", "1 / (1 + exp(-x))", grad="gy * y * (1 - y)")
# several inputs broadcast; parameters are numbers, given by keyword
huber = ops.elementwise(
    "huber",
    "abs(a - b) < delta ? 0.5 * (a - b) * (a - b) : delta * (abs(a - b) - 0.5 * delta)",
    inputs=("a", "b"),
    params={"delta": 1.0},
    fallback="numpy",  # where there is no C compiler
)


def main() -> None:
    for function in (swish, logistic, huber):
        check_op(function)
    x = tensorgrad.linspace(-4.0, 4.0, 9, dtype="float64").requires_grad_()
    y = swish(x)
    assert abs(y - tensorgrad.silu(x)).max().item() < 1e-15
    first = tensorgrad.autograd.grad(y.sum(), x, create_graph=True)
    second = tensorgrad.autograd.grad(first.sum(), x)
    print("swish", y, "first derivative", first, "second", second, sep="\n")
    errors = tensorgrad.tensor([[-3.0], [0.0], [0.5]], requires_grad=True)
    loss = huber(errors, tensorgrad.zeros(2), delta=0.75)
    loss.sum().backward()
    print("huber", loss, errors.grad, sep="\n")
    assert errors.grad is not None
    assert errors.grad.tolist() == [[-1.5], [0.0], [1.0]]


if __name__ == "__main__":
    main()
