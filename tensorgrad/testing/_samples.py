"""Inputs for the checks: a Case made into arrays, arrays into tensors of every memory layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import Case
from tensorgrad.dtypes import float64
from tensorgrad.ops.creation import from_numpy, tensor

Array = np.ndarray[Any, Any]


def sample_inputs(case: Case, dtype: Any = float64, seed: int = 0) -> list[Array | None]:
    """The NumPy arrays that a Case describes, the same for the same case, dtype and seed.

    A shape becomes random numbers of `dtype` from [low, high), none within `margin` of a point in
    `avoid`; they are float32 numbers, whatever the dtype, so that both precisions see the same
    inputs. A float array is converted to `dtype`, any other kept; None stays None. The case's `plus`
    is added to the first.

    >>> from tensorgrad.autograd import Case
    >>> from tensorgrad.testing import sample_inputs
    >>> a, b = sample_inputs(Case((2, 3), (3,), low=0.5, high=2.0))
    >>> a.shape, b.shape, bool((a >= 0.5).all())
    ((2, 3), (3,), True)
    """
    rng = np.random.default_rng([seed, crc32(repr(case).encode())])
    inputs = [_sample(value, case, np.dtype(dtype), rng) for value in case.inputs]
    if case.plus is not None:
        inputs[0] = np.asarray(inputs[0] + case.plus, np.float32).astype(dtype)
    return inputs


def _sample(value: Any, case: Case, dtype: np.dtype[Any], rng: np.random.Generator) -> Array | None:
    if value is None:
        return None
    if not isinstance(value, tuple):
        array = np.asarray(value)
        return array.astype(dtype) if array.dtype.kind == "f" else array.copy()
    numbers = np.asarray(rng.uniform(case.low, case.high, value))
    for point in case.avoid:
        near = np.abs(numbers - point) < case.margin
        numbers = np.where(near, point + np.where(numbers < point, -1, 1) * case.margin, numbers)
    return np.asarray(numbers, np.float32).astype(dtype)


def is_varied(case: Case) -> list[bool]:
    """Which inputs of a Case are differentiated: those given as shapes, not as arrays."""
    return [isinstance(value, tuple) for value in case.inputs]


def _transposed(array: Array) -> Array:
    return np.ascontiguousarray(array.T).T


def _strided(array: Array) -> Array:
    """Every second element, along the last axis, of a larger array; the others are poison."""
    poison = np.nan if array.dtype.kind == "f" else 1
    base = np.full((*array.shape[:-1], 2 * array.shape[-1] + 1), poison, array.dtype)
    view = base[..., 1::2]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    """A view that walks its memory backwards along every axis."""
    backwards = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[backwards])[backwards]


# how an array of at least one axis is laid out in memory; the values are the same
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "transposed": _transposed,
    "strided": _strided,
    "negative step": _reversed,
}


def to_tensor(array: Array | None, layout: str = "", requires_grad: bool = False) -> Tensor | None:
    """A Tensor with memory of its own; with a layout of LAYOUTS, one that is not contiguous."""
    if array is None:
        return None
    result = tensor(array)
    if layout and array.ndim:
        result = from_numpy(LAYOUTS[layout](array))
    return result.requires_grad_() if requires_grad else result
