"""What one operation costs beyond its arithmetic: 16 elements, recorded on the tape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measure import Row, Setting

import tensorgrad

CHAIN = 1000


def rows(setting: Setting) -> Iterator[Row]:
    torch = setting.torch
    data = np.linspace(-1, 1, 16, dtype=np.float32)
    x = tensorgrad.tensor(data, requires_grad=True)
    b = tensorgrad.tensor(data)
    ones = tensorgrad.ones(16)

    def chain() -> None:
        y = x
        for _ in range(CHAIN):
            y = y + b
        y.backward(ones)
        x.grad = None

    relu = {"tensorgrad": lambda: tensorgrad.relu(x), "numpy": lambda: np.maximum(data, 0)}
    add = {"tensorgrad": lambda: x + b, "numpy": lambda: data + data}
    scale = {"tensorgrad": lambda: x * 2.0, "numpy": lambda: data * 2.0}
    total = {"tensorgrad": lambda: x.sum(), "numpy": lambda: data.sum()}
    chains = {"tensorgrad": chain}
    if torch:
        tx = torch.tensor(data, requires_grad=True)
        tb = torch.tensor(data)
        tones = torch.ones(16)

        def torch_chain() -> None:
            y = tx
            for _ in range(CHAIN):
                y = y + tb
            y.backward(tones)
            tx.grad = None

        relu["torch"] = lambda: torch.relu(tx)
        add["torch"] = lambda: tx + tb
        scale["torch"] = lambda: tx * 2.0
        total["torch"] = lambda: tx.sum()
        chains["torch"] = torch_chain
    yield from setting.row("relu(x), recorded (NumPy: not recorded)", "overhead", relu)
    yield from setting.row("a + b, recorded (NumPy: not recorded)", "overhead", add)
    yield from setting.row("x * 2.0, recorded (NumPy: not recorded)", "overhead", scale)
    yield from setting.row("x.sum(), recorded (NumPy: not recorded)", "overhead", total)
    name = f"chain of {CHAIN} adds, forward + backward, per add"
    yield from setting.row(name, "overhead", chains, per=CHAIN)
