"""Reductions over everything, rows (the last axis), columns (the first) and a middle axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from measure import Row, Setting

import tensorgrad

# (shape, axis) for each size: everything, rows, columns, a middle axis
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SHAPES = {
    100: ((10, 10), (4, 5, 5)),
    1_000: ((25, 40), (10, 10, 10)),
    10_000: ((100, 100), (20, 25, 20)),
    100_000: ((250, 400), (50, 40, 50)),
    1_000_000: ((1000, 1000), (100, 100, 100)),
    10_000_000: ((2500, 4000), (200, 250, 200)),
}


OPS: dict[str, tuple[Any, Any]] = {
    "sum": (np.sum, "sum"),
    "mean": (np.mean, "mean"),
    "max": (np.max, "amax"),
    "argmax": (np.argmax, "argmax"),
    "var": (np.var, "var"),
    "norm": (np.linalg.norm, "norm"),
}


def _torch_call(torch: Any, name: str, x: Any, axis: int | None) -> Any:
    if name == "var":
        return lambda: torch.var(x, dim=axis, correction=0)
    if name == "norm":
        return lambda: torch.linalg.vector_norm(x, dim=axis)
    function = getattr(torch, name)
    return (lambda: function(x)) if axis is None else (lambda: function(x, dim=axis))


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for size in setting.sizes(SIZES):
        matrix, cube = (rng.standard_normal(s).astype(setting.dtype) for s in SHAPES[size])
        nbytes = float(matrix.nbytes)
        read = setting.limits and setting.limits.stream(nbytes, 1, 0)
        for where, x, axis in (
            ("all", matrix, None),
            ("rows", matrix, 1),
            ("columns", matrix, 0),
            ("middle axis", cube, 1),
        ):
            t = tensorgrad.tensor(x)
            px = setting.torch and setting.torch.tensor(x)
            for name, (of_numpy, of_torch) in OPS.items():
                function = getattr(tensorgrad, name)
                flat = x.reshape(-1) if name == "norm" and axis is None else x
                contenders = {
                    "tensorgrad": lambda f=function, t=t, axis=axis: f(t, axis=axis),
                    "numpy": lambda f=of_numpy, x=flat, axis=axis: f(x, axis=axis),
                }
                if setting.torch:
                    contenders["torch"] = _torch_call(setting.torch, of_torch, px, axis)
                yield from setting.row(
                    f"{name} of {where}, {size:,}",
                    "reductions",
                    contenders,
                    limit=read,
                    judged=size >= 10_000_000,
                    nbytes=nbytes,
                )
