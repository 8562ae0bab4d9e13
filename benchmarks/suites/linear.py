"""A linear layer with its ReLU in one call: forward with bias, and the whole backward (gradients of
input, weight and bias, through the ReLU)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from measure import Row, Setting

import tensorgrad
from suites.mlp import SIZES

LAYERS = tuple(
    dict.fromkeys((b, k, n) for b, layers in SIZES for k, n in itertools.pairwise(layers))
)


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    torch = setting.torch
    peak = setting.limits and setting.limits.flops(setting.dtype)
    for batch, features, out in setting.sizes(LAYERS):

        def draw(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(setting.dtype)

        x, w, b, gy = draw(batch, features), draw(out, features), draw(out), draw(batch, out)
        y, gz = np.empty_like(gy), np.empty_like(gy)
        gx, gw, gb = np.empty_like(x), np.empty_like(w), np.empty_like(b)
        mask = np.empty(y.shape, bool)

        def numpy_forward() -> None:
            np.matmul(x, w.T, out=y)
            np.add(y, b, out=y)
            np.maximum(y, 0, out=y)

        def numpy_backward() -> None:
            np.greater(y, 0, out=mask)
            np.multiply(gy, mask, out=gz)
            np.matmul(gz, w, out=gx)
            np.matmul(gz.T, x, out=gw)
            np.sum(gz, axis=0, out=gb)

        tx, tw, tb, tgy = map(tensorgrad.tensor, (x, w, b, gy))
        linear = tensorgrad.ops.linear_activated
        leaves = [t.detach().requires_grad_() for t in (tx, tw, tb)]
        result = linear(*leaves, activation="relu")
        forward = {
            "tensorgrad": lambda: linear(tx, tw, tb, activation="relu"),
            "numpy": numpy_forward,
        }
        backward = {
            "tensorgrad": lambda: tensorgrad.autograd.grad(result, leaves, tgy, retain_graph=True),
            "numpy": numpy_backward,
        }
        if torch:
            px, pw, pb, pgy = map(torch.tensor, (x, w, b, gy))
            functional = torch.nn.functional
            torch_leaves = [t.clone().requires_grad_() for t in (px, pw, pb)]
            torch_result = functional.relu(functional.linear(*torch_leaves))
            forward["torch"] = lambda: functional.relu(functional.linear(px, pw, pb))
            backward["torch"] = lambda: torch.autograd.grad(
                torch_result, torch_leaves, pgy, retain_graph=True
            )
        flops = 2.0 * batch * features * out
        name = f"{batch} x ({features} -> {out})"
        for what, contenders, products in (("forward", forward, 1), ("backward", backward, 2)):
            yield from setting.row(
                f"{name} {what}",
                "linear",
                contenders,
                limit=peak and peak(flops * products),
                flops=flops * products,
                blas=True,
            )
