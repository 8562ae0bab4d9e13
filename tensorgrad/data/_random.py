"""Where data meets the random numbers of tensorgrad."""

from __future__ import annotations

import operator
from typing import Any

from tensorgrad.data._tensors import Array
from tensorgrad.errors import DTypeError
from tensorgrad.random import Generator, rand, randperm


def to_generator(generator: Any) -> Generator | None:
    """A Generator of a seed; or what was given if it is one, or None (the global one).

    Raises DTypeError for anything else, ArgumentError for a seed out of range.
    """
    if generator is None or isinstance(generator, Generator):
        return generator
    try:
        return Generator(operator.index(generator))
    except TypeError:
        got = type(generator).__name__
        raise DTypeError(
            f"expected generator to be a seed, a Generator or None, got {got}"
        ) from None


def permutation(size: int, generator: int | Generator | None) -> Array:
    """0 to size - 1 in a random order, (size,) int64."""
    return randperm(size, generator=to_generator(generator)).numpy()


def uniform(size: int, generator: Generator | None) -> Array:
    """Numbers in [0, 1), (size,) float64."""
    return rand(size, dtype="float64", generator=generator).numpy()
