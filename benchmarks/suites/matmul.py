"""Matrix products into an output that exists: a layer's forward x @ w, plain (NN), with a
transposed w (NT) and a transposed x (TN), and its gradients dX and dW; batches of small ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measure import Row, Setting

import tensorgrad

# (M, K, N) of x (M, K) @ w (K, N)
SHAPES = (
    (1, 784, 256), (8, 256, 256), (32, 64, 32), (32, 64, 10), (32, 784, 128), (64, 784, 256),
    (128, 784, 512), (128, 512, 256), (512, 784, 1024), (512, 1024, 1024), (4096, 64, 64),
    (8192, 32, 16),
)  # fmt: skip
CUBES = (256, 512, 1024, 2048)
BATCHES = (
    (48, (64, 32, 64), "NT"),
    (48, (64, 32, 64), "NN"),
    (8, (128, 64, 128), "NN"),
    (256, (16, 16, 16), "NN"),
)


def _products() -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    for m, k, n in SHAPES:
        for kind in ("NN", "NT", "TN"):
            yield "", kind, (m, k, n)
        yield "dX ", "NN", (m, n, k)  # w stored (N, K), as a layer has it
        yield "dX ", "NT", (m, n, k)
        yield "dW ", "TN", (k, m, n)
    for n in CUBES:
        for kind in ("NN", "NT", "TN"):
            yield "", kind, (n, n, n)


def _stored(
    rng: np.random.Generator, shape: tuple[int, ...], transposed: bool, dtype: str
) -> np.ndarray:
    """Random numbers of `shape`, stored with the last two axes swapped if `transposed`."""
    if not transposed:
        return rng.standard_normal(shape).astype(dtype)
    return rng.standard_normal((*shape[:-2], shape[-1], shape[-2])).astype(dtype).swapaxes(-1, -2)


def _owned(a: np.ndarray) -> tensorgrad.Tensor:
    """The same numbers in memory of our own, stored as they are."""
    contiguous = a.flags.c_contiguous
    return tensorgrad.tensor(a) if contiguous else tensorgrad.tensor(a.swapaxes(-1, -2)).mT


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    torch = setting.torch
    itemsize = np.dtype(setting.dtype).itemsize
    peak = setting.limits and setting.limits.flops(setting.dtype)

    def product(
        name: str, family: str, a: np.ndarray, b: np.ndarray, judged: bool
    ) -> Iterator[Row]:
        m, k, n = (*a.shape[-2:], b.shape[-1])
        batch = a.shape[:-2]
        out = np.empty((*batch, m, n), setting.dtype)
        ta, tb = _owned(a), _owned(b)
        to = tensorgrad.zeros(out.shape, dtype=setting.dtype)
        contenders = {
            "tensorgrad": lambda: tensorgrad.matmul(ta, tb, out=to),
            "numpy": lambda: np.matmul(a, b, out=out),
        }
        if torch:
            pa, pb, po = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(out.copy())
            multiply = torch.bmm if batch else torch.mm
            contenders["torch"] = lambda: multiply(pa, pb, out=po)
        count = batch[0] if batch else 1
        flops = 2.0 * count * m * k * n
        yield from setting.row(
            name,
            family,
            contenders,
            limit=peak and peak(flops),
            judged=judged,
            flops=flops,
            nbytes=float(count * (m * k + k * n + m * n) * itemsize),
            blas=True,
        )

    for what, kind, (m, k, n) in setting.sizes(tuple(_products())):
        a = _stored(rng, (m, k), kind[0] == "T", setting.dtype)
        b = _stored(rng, (k, n), kind[1] == "T", setting.dtype)
        judged = min(m, k, n) >= 512
        yield from product(f"{what}({m}, {k}) @ ({k}, {n}) {kind}", "gemm", a, b, judged)
    for count, (m, k, n), kind in setting.sizes(BATCHES):
        a = _stored(rng, (count, m, k), False, setting.dtype)
        b = _stored(rng, (count, k, n), kind[1] == "T", setting.dtype)
        yield from product(f"{count} x ({m}, {k}, {n}) {kind}", "batched gemm", a, b, False)
