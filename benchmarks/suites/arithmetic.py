"""Arithmetic of two tensors: the same shape, a broadcast row, a broadcast column, a number, and a
transposed operand; forward alone, and forward + backward by the tape. Everyone's forward makes its own
result; NumPy's backward is written by hand in buffers that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measure import Row, Setting

import tensorgrad

SIZES = ((10, 10), (25, 40), (100, 100), (250, 400), (1000, 1000), (2500, 4000))
LAYOUTS = ("same", "row", "column", "number", "transposed")
OPS = {
    "add": (np.add, lambda a, b: a + b),
    "mul": (np.multiply, lambda a, b: a * b),
    "div": (np.divide, lambda a, b: a / b),
}


def _operand(rng: np.random.Generator, shape: tuple[int, int], layout: str, dtype: str) -> Any:
    if layout == "number":
        return 1.5
    sizes = {"row": (1, shape[1]), "column": (shape[0], 1), "transposed": shape[::-1]}
    b = rng.uniform(0.5, 2.0, sizes.get(layout, shape)).astype(dtype)
    return b.T if layout == "transposed" else b


def _numpy_backward(name: str, gy: Any, a: Any, b: Any, ga: Any, t: Any, gb: Any) -> None:
    """By hand, with buffers; gb None for a number."""
    if name == "add":
        np.copyto(ga, gy)
        by_b = gy
    elif name == "mul":
        np.multiply(gy, b, out=ga)
        by_b = None if gb is None else np.multiply(gy, a, out=t)
    else:
        np.divide(gy, b, out=ga)
        by_b = None
        if gb is not None:
            np.multiply(ga, a, out=t)
            np.divide(t, b, out=t)
            by_b = np.negative(t, out=t)
    if gb is None:
        return
    if gb.shape == by_b.shape:
        np.copyto(gb, by_b)
    else:
        np.sum(by_b, axis=0 if gb.shape[0] == 1 else 1, keepdims=True, out=gb)


def _leaf(b: Any) -> Any:
    """b in tensorgrad's own memory, as parameters are, in the order in which its elements lie."""
    t = tensorgrad.tensor(b) if b.flags.c_contiguous else tensorgrad.tensor(b.T).T.detach()
    return t.requires_grad_()


def _contenders(
    setting: Setting, name: str, ufunc: Any, function: Callable[[Any, Any], Any], a: Any, b: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    out, ga, t, gy = np.empty_like(a), np.empty_like(a), np.empty_like(a), np.ones_like(a)
    gb = None if isinstance(b, float) else np.empty_like(b)
    ta = tensorgrad.from_numpy(a)
    tb = b if isinstance(b, float) else tensorgrad.from_numpy(b)
    la = tensorgrad.tensor(a, requires_grad=True)
    leaves = [la] if isinstance(b, float) else [la, _leaf(b)]
    lb = b if isinstance(b, float) else leaves[1]
    tgy = tensorgrad.tensor(gy)

    def both() -> None:
        function(la, lb).backward(tgy)
        for leaf in leaves:
            leaf.grad = None

    def numpy_both() -> None:
        ufunc(a, b, out=out)
        _numpy_backward(name, gy, a, b, ga, t, gb)

    forward: dict[str, Any] = {
        "tensorgrad": lambda: function(ta, tb),
        "numpy": lambda: ufunc(a, b),
    }
    backward: dict[str, Any] = {"tensorgrad": both, "numpy": numpy_both}
    torch = setting.torch
    if torch:
        pa = torch.from_numpy(a)
        pb = b if isinstance(b, float) else torch.from_numpy(b)
        pla = pa.clone().requires_grad_()
        plb = b if isinstance(b, float) else pb.clone().requires_grad_()
        pleaves = [pla] if isinstance(b, float) else [pla, plb]
        pgy = torch.from_numpy(gy)

        def torch_both() -> None:
            function(pla, plb).backward(pgy)
            for leaf in pleaves:
                leaf.grad = None

        forward["torch"] = lambda: function(pa, pb)
        backward["torch"] = torch_both
    return forward, backward


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for shape in setting.sizes(SIZES):
        size = shape[0] * shape[1]
        a = rng.uniform(0.5, 2.0, shape).astype(setting.dtype)
        for layout in LAYOUTS:
            b = _operand(rng, shape, layout, setting.dtype)
            for name, (ufunc, function) in OPS.items():
                forward, backward = _contenders(setting, name, ufunc, function, a, b)
                reads = 2 if layout in ("same", "transposed") else 1
                limit = setting.limits and setting.limits.stream(float(a.nbytes), reads, 1)
                family = "elementwise, out of cache" if size >= 1_000_000 else "elementwise"
                title = f"{name}, {layout}, {size:,}"
                yield from setting.row(
                    title,
                    family,
                    forward,
                    limit=limit,
                    judged=size >= 10_000,
                    nbytes=float((reads + 1) * a.nbytes),
                )
                yield from setting.row(f"{title}, forward + backward", family, backward)
