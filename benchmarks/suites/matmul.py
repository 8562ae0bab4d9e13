"""Matrix products a @ b: plain, with b transposed (a linear layer's forward), with a transposed (a
weight's gradient)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measure import Row, compare
from peers import load_torch

import tensorgrad

SHAPES = (
    (1, 784, 256),
    (32, 64, 32),
    (32, 784, 128),
    (64, 784, 256),
    (128, 784, 512),
    (512, 784, 1024),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
)


def rows(threads: int) -> Iterator[Row]:
    torch = load_torch(threads)
    rng = np.random.default_rng(0)
    for m, k, n in SHAPES:
        for kind in ("NN", "NT", "TN"):
            a = rng.standard_normal((k, m) if kind[0] == "T" else (m, k)).astype(np.float32)
            b = rng.standard_normal((n, k) if kind[1] == "T" else (k, n)).astype(np.float32)
            ta, tb = tensorgrad.tensor(a), tensorgrad.tensor(b)
            na, nb = a, b
            if kind[0] == "T":
                ta, na = ta.mT, a.T
            if kind[1] == "T":
                tb, nb = tb.mT, b.T
            contenders = {
                "tensorgrad": lambda ta=ta, tb=tb: ta @ tb,
                "numpy": lambda na=na, nb=nb: na @ nb,
            }
            if torch:
                pa, pb = torch.from_numpy(na), torch.from_numpy(nb)
                contenders["torch"] = lambda pa=pa, pb=pb: pa @ pb
            yield compare(f"({m}, {k}) @ ({k}, {n}) {kind}", contenders, threads=threads, rounds=11)
