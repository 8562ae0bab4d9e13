"""The arguments that transforms share: norms, lengths, axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.dtypes import (
    float32,
)
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.shapes import normalize_axis

OPPOSITE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def checked_norm(norm: str | None, where: str) -> str:
    if norm is None:
        return "backward"
    if norm not in OPPOSITE:
        raise ArgumentError(f"{where}: expected a norm of {', '.join(OPPOSITE)}, got {norm!r}")
    return norm


def floats(x: Any, where: str, *, real: bool = False) -> Tensor:
    """x as a Tensor, integers as float32. Raises DTypeError for complex numbers where only `real` ones
    are taken."""
    x = as_tensor(x, where)
    if real and x.dtype.kind == "c":
        raise DTypeError(f"{where}: expected real numbers, got {x.dtype}; see fft")
    return x if x.dtype.kind in "fc" else x.astype(float32)


def checked_length(n: Any, where: str) -> int:
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ArgumentError(f"{where}: expected a length of at least 1, got {n!r}")
    return int(n)


def region(
    x: Tensor, s: Sequence[int] | None, axes: Any, where: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The lengths to which x is cut or padded, and the axes that are transformed."""
    if axes is None:
        count = x.ndim if s is None else len(s)
        if count > x.ndim:
            raise ShapeError(f"{where}: expected at most {x.ndim} lengths, got {count}")
        chosen = tuple(range(x.ndim - count, x.ndim))
    else:
        given = (axes,) if isinstance(axes, (int, np.integer)) else tuple(axes)
        chosen = tuple(normalize_axis(a, x.ndim, where) for a in given)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ShapeError(f"{where}: expected at least one axis, and each once, got {axes}")
    if s is None:
        return tuple(x.shape[a] for a in chosen), chosen
    if len(s) != len(chosen):
        raise ShapeError(f"{where}: expected as many lengths as axes, got {tuple(s)} and {chosen}")
    lengths = tuple(x.shape[a] if n == -1 else checked_length(n, where) for n, a in zip(s, chosen))
    return lengths, chosen


def lengths_of(n: int | None) -> tuple[int, ...] | None:
    return None if n is None else (n,)
