"""Random numbers: Philox4x32-10 counters (Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011).

A draw is a function of the seed and of how much was drawn before, and of nothing else: not of the
number of threads."""

from __future__ import annotations

import os
from typing import Any

from tensorgrad._captures import captures, current_capture
from tensorgrad._native import RANDOM, fail, ffi, lib
from tensorgrad._tensor import Tensor, empty_raw
from tensorgrad.autograd._modes import random_streams
from tensorgrad.dtypes import F32, F64, INT64, ITEMSIZES, code_of
from tensorgrad.errors import ArgumentError, DTypeError
from tensorgrad.shapes import as_shape, checked_size


class Generator:
    """A stream of random numbers. seed: an integer in [0, 2**64).

    >>> import tensorgrad
    >>> g = tensorgrad.Generator(7)
    >>> first = tensorgrad.rand(2, generator=g)
    >>> bool((first == tensorgrad.rand(2, generator=tensorgrad.Generator(7))).all())
    True
    """

    def __init__(self, seed: int = 0) -> None:
        self._state = ffi.new("tg_generator *")
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of `seed` from its beginning."""
        if not isinstance(seed, int) or not 0 <= seed < 2**64:
            raise ArgumentError(f"manual_seed: expected an integer in [0, 2**64), got {seed!r}")
        self.set_state((seed, 0))
        return self

    def seed(self) -> int:
        """Starts a stream of a seed that nobody knows, and returns it."""
        if captures and (capture := current_capture()) is not None:
            capture.refuse_reading("a seed that nobody knows")
        seed = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(seed)
        return seed

    @property
    def initial_seed(self) -> int:
        """The seed of the stream."""
        return int(self._state.key)

    def get_state(self) -> tuple[int, int]:
        """Where the stream is: (seed, position)."""
        if captures and (capture := current_capture()) is not None:
            return capture.reading(self._read_state)
        return self._read_state()

    def _read_state(self) -> tuple[int, int]:
        return int(self._state.key), int(self._state.counter)

    def set_state(self, state: tuple[int, int]) -> None:
        """Goes to where `get_state` said."""
        if captures and (capture := current_capture()) is not None:
            capture.writing(self._write_state, state)
        else:
            self._write_state(state)

    def _write_state(self, state: tuple[int, int]) -> None:
        self._state.key, self._state.counter = state

    def __reduce__(self) -> Any:
        return _generator_at, (self.get_state(),)

    def __repr__(self) -> str:
        return f"Generator(seed={self._state.key}, position={self._state.counter})"


def _generator_at(state: tuple[int, int]) -> Generator:
    generator = Generator()
    generator.set_state(state)
    return generator


default_generator = Generator(0)
random_streams.append(default_generator)


def manual_seed(seed: int) -> Generator:
    """Starts the default stream of `seed`; returns its generator.

    >>> import tensorgrad
    >>> tensorgrad.manual_seed(0)
    Generator(seed=0, position=0)
    """
    return default_generator.manual_seed(seed)


def _draw(
    name: str, shape: Any, dtype: Any, a: float, b: float, generator: Generator | None, where: str
) -> Tensor:
    result = as_shape(shape, where)
    code = F32 if dtype is None else code_of(dtype, where)
    if code > F64:
        raise DTypeError(f"{where}: expected float32 or float64, got {dtype}")
    size = checked_size(result, ITEMSIZES[code], where)
    t = empty_raw(result, size, code)
    state = (generator or default_generator)._state
    if captures and (capture := current_capture()) is not None:
        capture.keep(state)
    status = lib.tg_random(RANDOM[name], code, size, a, b, state, t._ptr)
    if status:
        fail(status, where, t._storage)
    return t


def uniform(
    low: float, high: float, shape: Any, dtype: Any = None, *, generator: Generator | None = None
) -> Tensor:
    """Numbers evenly distributed over [low, high). dtype: float32 by default. Raises ArgumentError
    unless low <= high.

    >>> import tensorgrad
    >>> tensorgrad.uniform(-1.0, 1.0, (2, 3)).shape
    (2, 3)
    """
    if not low <= high:
        raise ArgumentError(f"uniform: expected low <= high, got {low} and {high}")
    return _draw("uniform", shape, dtype, low, high, generator, "uniform")


def normal(
    mean: float, std: float, shape: Any, dtype: Any = None, *, generator: Generator | None = None
) -> Tensor:
    """Normally distributed numbers. dtype: float32 by default. Raises ArgumentError if std is
    negative.

    >>> import tensorgrad
    >>> tensorgrad.normal(0.0, 1.0, (2, 3)).shape
    (2, 3)
    """
    if not std >= 0:
        raise ArgumentError(f"normal: expected std >= 0, got {std}")
    return _draw("normal", shape, dtype, mean, std, generator, "normal")


def bernoulli(
    p: float, shape: Any, dtype: Any = None, *, generator: Generator | None = None
) -> Tensor:
    """1 with probability p, else 0. dtype: float32 by default. Raises ArgumentError unless p is in
    [0, 1].

    >>> import tensorgrad
    >>> tensorgrad.bernoulli(1.0, 3)
    tensor([1., 1., 1.])
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"bernoulli: expected a probability in [0, 1], got {p}")
    return _draw("bernoulli", shape, dtype, p, 0.0, generator, "bernoulli")


def rand(
    *shape: Any, dtype: Any = None, generator: Generator | None = None, requires_grad: bool = False
) -> Tensor:
    """Numbers evenly distributed over [0, 1): `rand(2, 3)` or `rand((2, 3))`.

    >>> import tensorgrad
    >>> tensorgrad.rand(2, 3).shape
    (2, 3)
    """
    t = _draw("uniform", _sizes(shape), dtype, 0.0, 1.0, generator, "rand")
    return t.requires_grad_() if requires_grad else t


def randn(
    *shape: Any, dtype: Any = None, generator: Generator | None = None, requires_grad: bool = False
) -> Tensor:
    """Numbers of the standard normal distribution: `randn(2, 3)` or `randn((2, 3))`.

    >>> import tensorgrad
    >>> tensorgrad.randn(2, 3).shape
    (2, 3)
    """
    t = _draw("normal", _sizes(shape), dtype, 0.0, 1.0, generator, "randn")
    return t.requires_grad_() if requires_grad else t


def randperm(n: int, *, generator: Generator | None = None) -> Tensor:
    """The integers 0 to n - 1 in random order, each order equally likely. Returns (n), int64.

    >>> import tensorgrad
    >>> sorted(tensorgrad.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    shape = as_shape(n, "randperm")
    t = empty_raw(shape, checked_size(shape, 8, "randperm"), INT64)
    state = (generator or default_generator)._state
    if captures and (capture := current_capture()) is not None:
        capture.keep(state)
    status = lib.tg_permutation(t._size, state, t._ptr)
    if status:
        fail(status, "randperm", t._storage)
    return t


def _sizes(shape: tuple[Any, ...]) -> Any:
    return shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape


__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "manual_seed",
    "normal",
    "rand",
    "randn",
    "randperm",
    "uniform",
]
