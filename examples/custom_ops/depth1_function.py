"""Depth 1: a function of Tensors. There is nothing to declare: what is made of ops is differentiable.

python examples/custom_ops/depth1_function.py
"""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad.testing import gradcheck, gradgradcheck


def rotary(x: Tensor, base: float = 100.0) -> Tensor:
    """Rotary position embedding (Su et al. 2021): pairs of features turn by angles that grow with the
    position. x: (..., n, d), d even. Returns the same shape."""
    half = x.shape[-1] // 2
    position = tensorgrad.arange(x.shape[-2], dtype=x.dtype)
    frequency = base ** (tensorgrad.arange(half, dtype=x.dtype) * (-1.0 / half))
    angle = position.reshape(-1, 1) * frequency
    a, b = x[..., :half], x[..., half:]
    cos, sin = tensorgrad.cos(angle), tensorgrad.sin(angle)
    return tensorgrad.concat([a * cos - b * sin, a * sin + b * cos], -1)


def main() -> None:
    tensorgrad.manual_seed(0)
    x = tensorgrad.randn(5, 4, dtype="float64", requires_grad=True)
    y = rotary(x)
    (y * y).sum().backward()
    print(x.grad)
    # a rotation keeps lengths, so the gradient of the squared length is 2 x
    assert x.grad is not None
    assert abs(x.grad - 2 * x).max().item() < 1e-12
    gradcheck(rotary, [x])  # against central differences
    gradgradcheck(rotary, [x])


if __name__ == "__main__":
    main()
