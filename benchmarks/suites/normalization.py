"""layer_norm and rms_norm over the last axis, with weight (and bias): forward alone, and forward +
backward by the tape (gradients of x, weight and bias)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from measure import Row, Setting

import tensorgrad
from tensorgrad.nn import functional

SHAPES = ((32, 10), (128, 10), (512, 1000), (4096, 512), (64, 50257))
EPS = 1e-5


class _ByHand:
    """In buffers that exist."""

    def __init__(self, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> None:
        self.x, self.w, self.b = x, w, b
        self.y, self.z, self.t, self.gx = (np.empty_like(x) for _ in range(4))
        self.mean, self.scale, self.dot = (np.empty((len(x), 1), x.dtype) for _ in range(3))
        self.gw, self.gb = np.empty_like(w), np.empty_like(b)
        self.gy = np.ones_like(x)

    def _normalize(self, centred: np.ndarray) -> None:
        np.multiply(centred, centred, out=self.t)
        np.mean(self.t, axis=1, keepdims=True, out=self.scale)
        np.add(self.scale, EPS, out=self.scale)
        np.sqrt(self.scale, out=self.scale)
        np.divide(centred, self.scale, out=self.z)
        np.multiply(self.z, self.w, out=self.y)

    def layer_norm(self) -> None:
        np.mean(self.x, axis=1, keepdims=True, out=self.mean)
        self._normalize(np.subtract(self.x, self.mean, out=self.z))
        np.add(self.y, self.b, out=self.y)

    def rms_norm(self) -> None:
        self._normalize(self.x)

    def _gradient(self, centre: bool) -> None:
        np.multiply(self.gy, self.z, out=self.t)
        np.sum(self.t, axis=0, out=self.gw)
        np.multiply(self.gy, self.w, out=self.gx)
        np.multiply(self.gx, self.z, out=self.t)
        np.mean(self.t, axis=1, keepdims=True, out=self.dot)
        np.multiply(self.z, self.dot, out=self.t)
        if centre:
            np.mean(self.gx, axis=1, keepdims=True, out=self.mean)
            np.subtract(self.gx, self.mean, out=self.gx)
            np.sum(self.gy, axis=0, out=self.gb)
        np.subtract(self.gx, self.t, out=self.gx)
        np.divide(self.gx, self.scale, out=self.gx)

    def layer_norm_gradient(self) -> None:
        self.layer_norm()
        self._gradient(True)

    def rms_norm_gradient(self) -> None:
        self.rms_norm()
        self._gradient(False)


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    torch = setting.torch
    for shape in setting.sizes(SHAPES):
        data = rng.standard_normal(shape).astype(setting.dtype)
        w, b = (rng.standard_normal(shape[1]).astype(setting.dtype) for _ in range(2))
        by_hand = _ByHand(data, w, b)
        ones = tensorgrad.ones(shape, dtype=setting.dtype)
        copy = setting.limits and setting.limits.stream(float(data.nbytes), 1, 1)
        for name in ("layer_norm", "rms_norm"):
            arrays = (data, w, b) if name == "layer_norm" else (data, w)
            tensors = [tensorgrad.tensor(a) for a in arrays]
            leaves = [tensorgrad.tensor(a, requires_grad=True) for a in arrays]
            ours = getattr(functional, name)

            def both(ours: Any = ours, leaves: Any = leaves) -> None:
                ours(leaves[0], shape[1:], *leaves[1:], eps=EPS).backward(ones)
                for leaf in leaves:
                    leaf.grad = None

            forward = {
                "tensorgrad": lambda f=ours, t=tensors: f(t[0], shape[1:], *t[1:], eps=EPS),
                "numpy": getattr(by_hand, name),
            }
            backward = {"tensorgrad": both, "numpy": getattr(by_hand, f"{name}_gradient")}
            if torch:
                theirs = getattr(torch.nn.functional, name)
                pones = torch.ones(shape, dtype=torch.tensor(data).dtype)
                ptensors = [torch.tensor(a) for a in arrays]
                pleaves = [torch.tensor(a, requires_grad=True) for a in arrays]

                def torch_both(
                    theirs: Any = theirs, leaves: Any = pleaves, gy: Any = pones
                ) -> None:
                    theirs(leaves[0], shape[1:], *leaves[1:], eps=EPS).backward(gy)
                    for leaf in leaves:
                        leaf.grad = None

                forward["torch"] = lambda f=theirs, t=ptensors: f(t[0], shape[1:], *t[1:], eps=EPS)
                backward["torch"] = torch_both
            size = f"{name}, {shape[0]} x {shape[1]}"
            yield from setting.row(size, "normalization", forward, limit=copy)
            yield from setting.row(f"{size}, forward + backward", "normalization", backward)
