"""One step of an optimizer over all parameters of the six multilayer perceptrons of `mlp`, with
gradients that exist. PyTorch's figure is the better of its foreach and fused forms; NumPy's is
written by hand, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measure import Row, Setting

import tensorgrad
from suites.mlp import SIZES, parameters
from tensorgrad import optim

# name, class, options, arrays read, arrays written (of the parameters' size)
OPTIMIZERS: tuple[tuple[str, str, dict[str, Any], int, int], ...] = (
    ("SGD", "SGD", {"lr": 0.01}, 2, 1),
    ("momentum", "SGD", {"lr": 0.01, "momentum": 0.9}, 3, 2),
    ("Nesterov", "SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}, 3, 2),
    ("Adam", "Adam", {"lr": 0.001}, 4, 3),
    ("AdamW", "AdamW", {"lr": 0.001}, 4, 3),
)


def _by_hand(
    name: str, arrays: list[np.ndarray], gradients: list[np.ndarray]
) -> Callable[[], None]:
    state = [
        (np.zeros_like(w), np.zeros_like(w), np.empty_like(w), np.empty_like(w)) for w in arrays
    ]
    steps = [0]

    def sgd() -> None:
        for w, g, (v, _, t, _) in zip(arrays, gradients, state):
            if name == "SGD":
                np.multiply(g, 0.01, out=t)
            else:
                np.multiply(v, 0.9, out=v)
                np.add(v, g, out=v)
                if name == "Nesterov":
                    np.multiply(v, 0.9, out=t)
                    np.add(t, g, out=t)
                    np.multiply(t, 0.01, out=t)
                else:
                    np.multiply(v, 0.01, out=t)
            np.subtract(w, t, out=w)

    def adam() -> None:
        steps[0] += 1
        first, second = 1 - 0.9 ** steps[0], 1 - 0.999 ** steps[0]
        for w, g, (m, v, t, u) in zip(arrays, gradients, state):
            if name == "AdamW":
                np.multiply(w, 1 - 0.001 * 0.01, out=w)
            np.multiply(m, 0.9, out=m)
            np.multiply(g, 0.1, out=t)
            np.add(m, t, out=m)
            np.multiply(v, 0.999, out=v)
            np.multiply(g, g, out=t)
            np.multiply(t, 0.001, out=t)
            np.add(v, t, out=v)
            np.divide(v, second, out=t)
            np.sqrt(t, out=t)
            np.add(t, 1e-8, out=t)
            np.divide(m, t, out=u)
            np.multiply(u, 0.001 / first, out=u)
            np.subtract(w, u, out=w)

    return adam if name.startswith("Adam") else sgd


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    torch = setting.torch
    for _, layers in setting.sizes(SIZES):
        arrays = [p.astype(setting.dtype) for pair in parameters(layers) for p in pair]
        gradients = [rng.standard_normal(p.shape).astype(setting.dtype) for p in arrays]
        nbytes = float(sum(p.nbytes for p in arrays))
        for name, kind, options, reads, writes in OPTIMIZERS:
            tensors = [tensorgrad.tensor(p, requires_grad=True) for p in arrays]
            for t, g in zip(tensors, gradients):
                t.grad = tensorgrad.tensor(g)
            contenders: dict[str, Any] = {
                "tensorgrad": getattr(optim, kind)(tensors, **options).step,
                "numpy": _by_hand(name, [p.copy() for p in arrays], gradients),
            }
            if torch:
                for form in ("foreach", "fused"):
                    leaves = [torch.tensor(p, requires_grad=True) for p in arrays]
                    for p, g in zip(leaves, gradients):
                        p.grad = torch.tensor(g)
                    optimizer = getattr(torch.optim, kind)(leaves, **options, **{form: True})
                    contenders[f"torch {form}"] = optimizer.step
            # c += a reads two arrays and writes one: as many of those as there are arrays in all
            stream = setting.limits and setting.limits.stream(nbytes, 2, 1, in_place=True)
            share = (reads + writes) / 3
            for row in setting.row(
                f"{name}, {list(layers)}",
                "optimizers",
                contenders,
                limit=stream and (lambda: stream() * share),
                judged=nbytes > 1e6,
                nbytes=nbytes * (reads + writes),
            ):
                forms = [who for who in row.medians if who.startswith("torch ")]
                for figures in (row.medians, row.minima):
                    if forms:
                        figures["torch"] = min(figures[form] for form in forms)
                yield row
