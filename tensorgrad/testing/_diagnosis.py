"""What a wrong gradient looks like, and so where to look for the mistake."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tensorgrad.errors import ShapeError
from tensorgrad.shapes import Shape, broadcast_shapes

Array = np.ndarray[Any, Any]


@dataclass
class Mismatch:
    """A gradient that differs from the expected one, at the positions tested."""

    expected: Array  # (positions)
    got: Array  # (positions)
    shape: Shape  # of the input
    output_shapes: list[Shape]
    doubled: Array  # (positions): what the gradient is when the upstream gradient is doubled
    others: dict[str, Array]  # what is expected of the other inputs
    uses: int  # how often the input is passed to the function


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-7)


def likely_cause(m: Mismatch) -> str:
    """A sentence for the most specific pattern that the wrong gradient has."""
    if not np.isfinite(m.expected).all():
        return "the function is not finite here: choose other inputs"
    if not np.isfinite(m.got).all():
        return "the gradient is not finite although the function is smooth here"
    if not m.got.any():
        return (
            "zero gradient: nothing flows to this input (a detach, a None in its place, or an "
            "input passed by keyword)"
        )
    if _alike(m.expected, np.zeros_like(m.expected)):
        return "the function does not depend on this input"
    for label, expected in m.others.items():
        if _alike(m.got, expected):
            return f"swapped inputs: this is the gradient of {label}"
    return _constant_factor(m) or _structure(m)


def _constant_factor(m: Mismatch) -> str:
    factor = float(np.dot(m.got, m.expected) / np.dot(m.expected, m.expected))
    # factors close to 1 leave a small residue, so it is compared with the error
    residue = np.abs(m.got - factor * m.expected).max()
    if residue > 1e-3 * np.abs(m.got - m.expected).max() or len(m.got) < 2:
        return ""
    repeats = [_repeats(m.shape, shape) for shape in m.output_shapes]
    if any(n > 1 and np.isclose(factor, 1 / n, rtol=1e-6) for n in repeats):
        return "a missing un-broadcast: the mean over the repeated axes is taken, not the sum"
    if np.isclose(factor, -1, rtol=1e-6):
        return "wrong sign"
    if np.isclose(factor, 2, rtol=1e-6):
        return "every element is twice what it should be: a factor of 2, or something added twice"
    if np.isclose(factor, 0.5, rtol=1e-6):
        return (
            "every element is half of what it should be: a missing factor of 2, or an input used "
            "twice whose gradients are not added"
        )
    return f"a constant factor: every element is {factor:.6g} times what it should be"


def _structure(m: Mismatch) -> str:
    if not _alike(m.doubled, 2 * m.got):
        return "the gradient does not scale with the upstream gradient: gy is missing from it"
    if m.uses > 1:
        return f"the input is passed {m.uses} times: a missing accumulation of its gradients"
    square = len(m.shape) == 2 and m.shape[0] == m.shape[1] and m.got.size == prod(m.shape)
    if square and _alike(m.got.reshape(m.shape).T.reshape(-1), m.expected):
        return "transposed"
    if any(_repeats(m.shape, shape) > 1 for shape in m.output_shapes):
        return "the input is broadcast: its gradient must be summed over the repeated axes"
    right = int(np.isclose(m.got, m.expected, rtol=1e-5, atol=1e-7).sum())
    if right:
        return (
            f"right at {right} of {m.got.size} elements: a wrong branch, a contribution that is "
            f"not accumulated, or a kink of the function close by"
        )
    return "the formula of the derivative, or the values that it saves"


def _repeats(shape: Shape, output: Shape) -> int:
    """How often an input of `shape` is repeated where it broadcasts to `output`; 1 where not."""
    try:
        if broadcast_shapes(shape, output, "") != output:
            return 1
    except ShapeError:
        return 1
    return prod(output) // max(prod(shape), 1)
