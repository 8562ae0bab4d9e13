"""softmax, log_softmax and softmax cross-entropy over rows: forward alone, and forward + backward by
the tape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from measure import Row, Setting

import tensorgrad
from tensorgrad.nn import functional

SHAPES = ((32, 10), (128, 10), (512, 1000), (4096, 512), (64, 50257))


class _ByHand:
    """What a good NumPy user writes, in buffers that exist."""

    def __init__(self, x: np.ndarray, labels: np.ndarray) -> None:
        self.x, self.labels = x, labels
        self.y, self.t, self.gx = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        self.column = np.empty((len(x), 1), x.dtype)
        self.rows = np.arange(len(x))
        self.gy = np.ones_like(x)

    def softmax(self) -> np.ndarray:
        np.max(self.x, axis=1, keepdims=True, out=self.column)
        np.subtract(self.x, self.column, out=self.y)
        np.exp(self.y, out=self.y)
        np.sum(self.y, axis=1, keepdims=True, out=self.column)
        return np.divide(self.y, self.column, out=self.y)

    def softmax_gradient(self) -> None:
        self.softmax()
        np.multiply(self.gy, self.y, out=self.t)
        np.sum(self.t, axis=1, keepdims=True, out=self.column)
        np.subtract(self.gy, self.column, out=self.gx)
        np.multiply(self.gx, self.y, out=self.gx)

    def log_softmax(self) -> None:
        np.max(self.x, axis=1, keepdims=True, out=self.column)
        np.subtract(self.x, self.column, out=self.y)
        np.exp(self.y, out=self.t)
        np.sum(self.t, axis=1, keepdims=True, out=self.column)
        np.log(self.column, out=self.column)
        np.subtract(self.y, self.column, out=self.y)

    def log_softmax_gradient(self) -> None:
        self.log_softmax()
        np.exp(self.y, out=self.t)
        np.sum(self.gy, axis=1, keepdims=True, out=self.column)
        np.multiply(self.t, self.column, out=self.t)
        np.subtract(self.gy, self.t, out=self.gx)

    def cross_entropy(self) -> float:
        self.log_softmax()
        return -float(self.y[self.rows, self.labels].mean())

    def cross_entropy_gradient(self) -> None:
        p = self.softmax()
        -np.log(p[self.rows, self.labels]).mean()
        p[self.rows, self.labels] -= 1
        np.multiply(p, 1 / len(p), out=p)


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    torch = setting.torch
    for shape in setting.sizes(SHAPES):
        data = rng.standard_normal(shape).astype(setting.dtype)
        labels = rng.integers(0, shape[1], shape[0])
        x, y = tensorgrad.tensor(data), tensorgrad.tensor(labels)
        leaf = tensorgrad.tensor(data, requires_grad=True)
        ones = tensorgrad.ones(shape, dtype=setting.dtype)
        by_hand = _ByHand(data, labels)
        size, nbytes = f"{shape[0]} x {shape[1]}", float(data.nbytes)
        limits = setting.limits
        copy = limits and limits.stream(nbytes, 1, 1)
        read = limits and limits.stream(nbytes, 1, 0)
        functions: tuple[tuple[str, Any, Any], ...] = (
            ("softmax", lambda t: tensorgrad.softmax(t, 1), lambda t: torch.softmax(t, 1)),
            (
                "log_softmax",
                lambda t: tensorgrad.log_softmax(t, 1),
                lambda t: torch.log_softmax(t, 1),
            ),
            (
                "cross_entropy",
                lambda t: functional.cross_entropy(t, y),
                lambda t: torch.nn.functional.cross_entropy(t, py),
            ),
        )
        if torch:
            px, py = torch.tensor(data), torch.tensor(labels)
            pleaf, pones = torch.tensor(data, requires_grad=True), torch.ones(shape, dtype=px.dtype)
        for name, ours, theirs in functions:
            is_loss = name == "cross_entropy"

            def both(ours: Any = ours, is_loss: bool = is_loss) -> None:
                ours(leaf).backward(None if is_loss else ones)
                leaf.grad = None

            def torch_both(theirs: Any = theirs, is_loss: bool = is_loss) -> None:
                theirs(pleaf).backward(None if is_loss else pones)
                pleaf.grad = None

            forward = {
                "tensorgrad": lambda ours=ours: ours(x),
                "numpy": getattr(by_hand, name),
            }
            backward = {"tensorgrad": both, "numpy": getattr(by_hand, f"{name}_gradient")}
            if torch:
                forward["torch"] = lambda theirs=theirs: theirs(px)
                backward["torch"] = torch_both
            family = "losses" if is_loss else "softmax"
            yield from setting.row(
                f"{name}, {size}", family, forward, limit=read if is_loss else copy, nbytes=nbytes
            )
            yield from setting.row(f"{name}, {size}, forward + backward", family, backward)
