"""softmax, log_softmax and cross-entropy (forward, and forward + backward)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measure import Row, compare
from peers import load_torch

import tensorgrad
from tensorgrad import ops

SHAPES = ((32, 10), (128, 10), (512, 1000), (4096, 512))


def _numpy_softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def _numpy_cross_entropy(x: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    rows = np.arange(len(x))
    p = _numpy_softmax(x)
    loss = -np.log(p[rows, labels]).mean()
    p[rows, labels] -= 1
    p /= len(x)
    return float(loss), p


def rows(threads: int) -> Iterator[Row]:
    torch = load_torch(threads)
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        data = rng.standard_normal(shape).astype(np.float32)
        labels = rng.integers(0, shape[1], shape[0])
        x, y = tensorgrad.tensor(data), tensorgrad.tensor(labels)
        leaf = tensorgrad.tensor(data, requires_grad=True)

        def both(leaf: tensorgrad.Tensor = leaf, y: tensorgrad.Tensor = y) -> None:
            ops.cross_entropy(leaf, y).backward()
            leaf.grad = None

        softmax = {
            "tensorgrad": lambda x=x: ops.softmax(x),
            "numpy": lambda data=data: _numpy_softmax(data),
        }
        log_softmax = {
            "tensorgrad": lambda x=x: ops.log_softmax(x),
            "numpy": lambda data=data: np.log(_numpy_softmax(data)),
        }
        loss = {
            "tensorgrad": both,
            "numpy": lambda data=data, labels=labels: _numpy_cross_entropy(data, labels),
        }
        if torch:
            px, py = torch.tensor(data), torch.tensor(labels)
            pleaf = torch.tensor(data, requires_grad=True)

            def torch_both(pleaf=pleaf, py=py) -> None:  # type: ignore[no-untyped-def]
                torch.nn.functional.cross_entropy(pleaf, py).backward()
                pleaf.grad = None

            softmax["torch"] = lambda px=px: torch.softmax(px, 1)
            log_softmax["torch"] = lambda px=px: torch.log_softmax(px, 1)
            loss["torch"] = torch_both
        size = f"{shape[0]} x {shape[1]}"
        yield compare(f"softmax {size}", softmax, threads=threads)
        yield compare(f"log_softmax {size}", log_softmax, threads=threads)
        yield compare(f"cross-entropy {size}, forward + backward", loss, threads=threads)
