"""Where data meets Tensor: the only module of this package that touches one's insides."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError

Array = np.ndarray[Any, Any]
# A run of samples (start and stop given, step 1), or their numbers: (n,), int64.
Index = slice | Array


def to_array(value: object, where: str) -> Array:
    """A NumPy array of a Tensor or of anything NumPy takes, without a copy where possible."""
    array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.hasobject:
        raise DTypeError(f"{where}: expected an array of numbers, got {type(value).__name__}")
    return array


def to_tensor(value: object, where: str) -> Tensor:
    """A Tensor off the tape, of the memory of `value` if that is a Tensor or laid out like one."""
    return as_tensor(value, where).detach()


def stack(arrays: list[Array]) -> Tensor:
    """One Tensor of arrays of the same shape and dtype, along a new first axis."""
    return wrap_array(np.stack(arrays))


def rows(tensor: Tensor, index: Index) -> Tensor:
    """Samples of `tensor`, (N, ...): a slice shares memory, numbers are gathered in one call."""
    array = tensor.numpy()
    return wrap_array(array[index] if isinstance(index, slice) else array.take(index, axis=0))


def to_index(numbers: object, size: int, where: str) -> Array:
    """Sample numbers (n,), as int64, all in [0, size); negative ones count from the end.

    Raises DTypeError if they are not integers, IndexOutOfRangeError if one is not below `size`.
    """
    index = to_array(numbers, where)
    if index.size == 0:
        index = index.astype(np.int64)
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise DTypeError(
            f"{where}: expected a sequence of integers, got {index.dtype} of shape {index.shape}"
        )
    index = index.astype(np.int64, copy=False)
    wrong = (index < -size) | (index >= size)
    if wrong.any():
        raise IndexOutOfRangeError(
            f"{where}: index {index[wrong][0]} is out of range for {size} samples"
        )
    return np.where(index < 0, index + size, index)


def to_position(index: object, size: int, where: str) -> int:
    """One sample number in [0, size); a negative one counts from the end.

    Raises as `to_index` does.
    """
    try:
        position = operator.index(index)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(
            f"{where}: expected an integer index, got {type(index).__name__}"
        ) from None
    if not -size <= position < size:
        raise IndexOutOfRangeError(f"{where}: index {position} is out of range for {size} samples")
    return position + size if position < 0 else position


def to_count(value: object, where: str, name: str) -> int:
    """A whole number above 0. Raises ArgumentError, naming the argument, for anything else."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise ArgumentError(f"{where}: expected {name} to be a whole number above 0, got {value!r}")
