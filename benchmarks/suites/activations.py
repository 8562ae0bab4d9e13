"""Every differentiable unary op of the registry: forward, and forward + backward, beside its NumPy
reference and PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from measure import Row, compare
from peers import load_torch

import tensorgrad
from tensorgrad.autograd import registry

SIZES = (1_000, 100_000)
TORCH_NAMES = {"gelu_tanh": None, "power": None, "leaky_relu": None, "elu": None}


def _torch_function(torch: Any, name: str) -> Any:
    if torch is None or name in TORCH_NAMES:
        return None
    return getattr(torch, name, None) or getattr(torch.nn.functional, name, None)


def rows(threads: int) -> Iterator[Row]:
    torch = load_torch(threads)
    rng = np.random.default_rng(0)
    for size in SIZES:
        data = rng.uniform(0.1, 2.0, size).astype(np.float32)
        for op in registry.values():
            if op.family != "unary" or not op.differentiable or op.name in ("power",):
                continue
            x = tensorgrad.tensor(data)
            leaf = tensorgrad.tensor(data, requires_grad=True)
            gy = tensorgrad.ones(size)
            contenders = {
                "tensorgrad": lambda f=op.function, x=x: f(x),
                "numpy": lambda f=op.reference, data=data: f(data),
            }

            def both(f: Any = op.function, leaf: Any = leaf, gy: Any = gy) -> None:
                f(leaf).backward(gy)
                leaf.grad = None

            backward = {"tensorgrad": both}
            function = _torch_function(torch, op.name)
            if function:
                px = torch.tensor(data)
                pleaf = torch.tensor(data, requires_grad=True)
                pgy = torch.ones(size)
                contenders["torch"] = lambda f=function, px=px: f(px)

                def torch_both(f: Any = function, pleaf: Any = pleaf, pgy: Any = pgy) -> None:
                    f(pleaf).backward(pgy)
                    pleaf.grad = None

                backward["torch"] = torch_both
            yield compare(f"{op.name}, {size:,}", contenders, threads=threads, rounds=7)
            yield compare(
                f"{op.name}, {size:,}, forward + backward", backward, threads=threads, rounds=7
            )
