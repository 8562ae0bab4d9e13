"""Every reduction of the registry: over all elements, over rows, over columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measure import Row, compare
from peers import load_torch

import tensorgrad
from tensorgrad.autograd import registry

SHAPES = ((32, 32), (1000, 1000))
TORCH = {"max": "amax", "min": "amin", "norm": "norm"}
NAMES = ("argmax", "argmin")


def rows(threads: int) -> Iterator[Row]:
    torch = load_torch(threads)
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        data = rng.standard_normal(shape).astype(np.float32)
        x = tensorgrad.tensor(data)
        px = torch.tensor(data) if torch else None
        for op in registry.values():
            if "reduction" not in op.tags and op.name not in NAMES:
                continue
            for axis in (None, 0, 1):
                contenders = {
                    "tensorgrad": lambda f=op.function, x=x, axis=axis: f(x, axis),
                    "numpy": lambda f=op.reference, data=data, axis=axis: f(data, axis),
                }
                if torch and not (axis is None and op.name in ("prod", "logsumexp", "max", "min")):
                    function = getattr(torch, TORCH.get(op.name, op.name))
                    if axis is None:
                        contenders["torch"] = lambda f=function, px=px: f(px)
                    else:
                        contenders["torch"] = lambda f=function, px=px, axis=axis: f(px, dim=axis)
                where = "all" if axis is None else f"axis {axis}"
                yield compare(
                    f"{op.name} {shape[0]} x {shape[1]}, {where}",
                    contenders,
                    threads=threads,
                    rounds=7,
                )
