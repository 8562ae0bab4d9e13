"""The 2-D Laplacian as an op, and an inverse problem: where does the heat come from?

A plate is heated by sources that nobody sees, for a while; then its temperature is measured, with
noise. The simulation is 40 steps of the heat equation, each one call of the stencil in laplacian.c;
gradient descent through all of them finds the sources. The stencil is linear, so its gradient is its
adjoint, a stencil too, and the adjoint's gradient is the stencil.

    python examples/custom_ops/laplacian.py [picture.png]

draws the sources and what was found, where matplotlib is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad import Tensor, op, ops
from tensorgrad.autograd import Case
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.testing import check_op

kernels = ops.load(Path(__file__).with_suffix(".c"))
CODES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}  # enum tg_dtype
# what lies beyond the border, and NumPy's name for it
BOUNDARIES = {"zero": "constant", "edge": "edge", "periodic": "wrap", "mirror": "reflect"}


def _reference(x: Any, spacing: float = 1.0, boundary: str = "zero", adjoint: bool = False) -> Any:
    if adjoint:  # column by column, from the stencil itself
        grid = x.shape[-2:]
        columns = np.eye(x[..., :, :].size // max(1, np.prod(x.shape[:-2], dtype=int)))
        matrix = _reference(columns.reshape(-1, *grid), spacing, boundary).reshape(len(columns), -1)
        return (x.reshape(-1, len(columns)) @ matrix.T).reshape(x.shape).astype(x.dtype)
    padding = [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)]
    p = np.pad(x, padding, BOUNDARIES[boundary])  # type: ignore[call-overload]
    sides = p[..., :-2, 1:-1] + p[..., 2:, 1:-1] + p[..., 1:-1, :-2] + p[..., 1:-1, 2:]
    return ((sides - 4 * x) / spacing**2).astype(x.dtype)


def _by_x(gy: Tensor, y: Any, x: Any, spacing: float, boundary: str, adjoint: bool) -> Tensor:
    return laplacian(gy, spacing, boundary, not adjoint)


@op(
    gradient=_by_x,
    reference=_reference,
    cases=(
        Case((5, 6)),
        Case((2, 4, 21), spacing=0.5, boundary="edge"),
        Case((1, 7), boundary="periodic"),
        Case((4, 23), boundary="mirror"),
        Case((2, 2, 3), boundary="mirror"),
        Case((1, 1)),
    ),
    method=False,
    kernel_only=True,
    batching="matrices",
)
def laplacian(
    x: Tensor, spacing: float = 1.0, boundary: str = "zero", adjoint: bool = False
) -> Tensor:
    """(the sum of the four neighbours - 4 x) / spacing^2 on the last two axes.

    x: (..., rows, cols), float. boundary: what lies beyond the border: "zero", the border's own
    value ("edge": no flux), the other side ("periodic"), or what lies before the border ("mirror").
    adjoint: the transposed operator instead. Returns x's shape. Raises ShapeError, DTypeError,
    ArgumentError.
    """
    if x.dtype not in CODES:
        raise DTypeError(f"laplacian: expected a float x, got {x.dtype}")
    if boundary not in BOUNDARIES:
        raise ArgumentError(
            f"laplacian: expected a boundary of {', '.join(BOUNDARIES)}, got {boundary!r}"
        )
    if x.ndim < 2 or (boundary == "mirror" and 1 in x.shape[-2:]):
        raise ShapeError(f"laplacian: expected x (..., rows, cols), got {x.shape}")
    rows, cols = x.shape[-2:]
    y = tensorgrad.empty_like(x)
    batch = x.size // (rows * cols) if x.size else 0
    code, mode = CODES[x.dtype], list(BOUNDARIES).index(boundary)
    kernels.laplacian_forward(code, batch, rows, cols, spacing**-2, mode, adjoint, x, y)
    return y


def heated(source: Tensor, steps: int = 40, dt: float = 0.2) -> Tensor:
    """The temperature after `steps` of u' = laplacian(u) + source, from cold; cold borders."""
    u = source * dt
    for _ in range(steps - 1):
        u = u + (laplacian(u) + source) * dt
    return u


def main() -> None:
    check_op(laplacian)
    size = 48
    i, j = np.mgrid[:size, :size]
    true = np.zeros((size, size), np.float32)
    for row, col, strength in ((14, 15, 1.0), (32, 36, 0.7), (34, 12, 0.4)):
        true += (strength * np.exp(-((i - row) ** 2 + (j - col) ** 2) / 8)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.005, true.shape).astype(np.float32)
    measured = heated(tensorgrad.tensor(true)) + tensorgrad.tensor(noise)

    source = tensorgrad.zeros((size, size), requires_grad=True)
    optimizer = tensorgrad.optim.Adam([source], lr=0.02)
    for step in range(201):
        optimizer.zero_grad()
        misfit = ((heated(source) - measured) ** 2).mean()
        loss = misfit + 1e-2 * (laplacian(source) ** 2).mean()  # of all that fit, a smooth one
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            error = np.linalg.norm(source.detach().numpy() - true) / np.linalg.norm(true)
            print(f"step {step:3}: loss {loss.item():.6f}, error of the source {error:.1%}")
    assert error < 0.2
    if len(sys.argv) > 1:
        _draw(sys.argv[1], true, measured.numpy(), source.detach().numpy())


def _draw(path: str, true: Any, measured: Any, found: Any) -> None:
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(9, 3), layout="constrained")
    panels = (("sources", true), ("measured temperature", measured), ("sources found", found))
    for axis, (title, field) in zip(axes, panels):
        axis.imshow(field, cmap="inferno", vmin=0, vmax=true.max() if "source" in title else None)
        axis.set(title=title, xticks=[], yticks=[])
    figure.savefig(path, dpi=120)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
