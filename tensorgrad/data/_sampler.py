"""Samplers: in which order an epoch visits the samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, cast

import numpy as np

from tensorgrad.data._random import permutation, to_generator, uniform
from tensorgrad.data._tensors import Array, to_array, to_count, to_index
from tensorgrad.errors import ArgumentError
from tensorgrad.random import Generator


class Sampler:
    """Sample numbers for one epoch.

    Subclasses define `__iter__` and, if it is known beforehand, `__len__`.
    A sampler that knows a whole epoch at once may define `order` instead of `__iter__`; batches are
    then cut out of it.
    """

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def order(self) -> Array:
        """The numbers of the next epoch, (n,) int64."""
        raise NotImplementedError(f"{type(self).__name__} defines neither __iter__ nor order")


class SequentialSampler(Sampler):
    """0, 1, 2, ... to the end of the data source."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self) -> Array:
        """0 to n - 1."""
        return np.arange(len(self.data_source), dtype=np.int64)


class RandomSampler(Sampler):
    """Every sample once, in a new random order each epoch; or samples drawn with replacement.

    num_samples: how many to draw, by default as many as there are. generator: a seed, a Generator,
    or None for the global one (`manual_seed`). The same seed gives the same sequence of epochs.

    Raises:
        ArgumentError: `num_samples` is below 1, or more than there are without `replacement`.

    Example:
        >>> from tensorgrad.data import RandomSampler
        >>> first = RandomSampler(range(100), generator=7)
        >>> again = RandomSampler(range(100), generator=7)
        >>> list(first) == list(again), sorted(first) == list(range(100))
        (True, True)
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: int | Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = (
            None if num_samples is None else to_count(num_samples, "RandomSampler", "num_samples")
        )
        self.generator = to_generator(generator)
        if not replacement and num_samples is not None and num_samples > len(data_source):
            raise ArgumentError(
                f"RandomSampler: {num_samples} samples of {len(data_source)} need replacement=True"
            )

    def __len__(self) -> int:
        size = len(self.data_source)
        return size if self.num_samples is None or size == 0 else self.num_samples

    def order(self) -> Array:
        """A new order, (num_samples,) int64."""
        size = len(self.data_source)
        if self.replacement:
            return np.minimum(
                (uniform(len(self), self.generator) * size).astype(np.int64), size - 1
            )
        return permutation(size, self.generator)[: len(self)]


class SubsetRandomSampler(Sampler):
    """The given sample numbers, in a random order that is another one each epoch."""

    def __init__(self, indices: Sequence[int], generator: int | Generator | None = None) -> None:
        self.indices = np.asarray(indices, dtype=np.int64)
        self.generator = to_generator(generator)

    def __len__(self) -> int:
        return len(self.indices)

    def order(self) -> Array:
        """The numbers in a new order, (n,) int64."""
        order: Array = self.indices[permutation(len(self.indices), self.generator)]
        return order


class WeightedRandomSampler(Sampler):
    """Draws with replacement; sample i comes with a chance proportional to `weights[i]`.

    Raises:
        ArgumentError: weights that are negative, not finite or all 0.

    Example:
        >>> from tensorgrad.data import WeightedRandomSampler
        >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], num_samples=3, generator=0))
        [1, 1, 1]
    """

    def __init__(
        self, weights: Any, num_samples: int, generator: int | Generator | None = None
    ) -> None:
        self.weights = to_array(weights, "WeightedRandomSampler").astype(np.float64)
        self.num_samples = to_count(num_samples, "WeightedRandomSampler", "num_samples")
        self.generator = to_generator(generator)
        total = self.weights.sum()
        if self.weights.ndim != 1 or not (
            np.isfinite(total) and total > 0 and (self.weights >= 0).all()
        ):
            raise ArgumentError(
                "WeightedRandomSampler: expected weights (n,) that are finite, >= 0 and not all 0"
            )

    def __len__(self) -> int:
        return self.num_samples

    def order(self) -> Array:
        """New draws, (num_samples,) int64."""
        ends = np.cumsum(self.weights)
        # side="right" steps over weights of 0; a product may round up to the total.
        drawn = np.searchsorted(
            ends, uniform(self.num_samples, self.generator) * ends[-1], side="right"
        )
        order: Array = np.minimum(drawn, np.flatnonzero(self.weights)[-1]).astype(np.int64)
        return order


class BatchSampler(Sampler):
    """The numbers of another sampler in lists of `batch_size`; `drop_last` leaves out a short one.

    Example:
        >>> from tensorgrad.data import BatchSampler
        >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = to_count(batch_size, "BatchSampler", "batch_size")
        self.drop_last = bool(drop_last)

    def __iter__(self) -> Iterator[Any]:
        numbers = iter(self.sampler)
        while batch := list(islice(numbers, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        total = len(self.sampler)  # type: ignore[arg-type]
        return total // self.batch_size if self.drop_last else -(-total // self.batch_size)

    def cuts(self, size: int) -> Iterator[slice | Array | list[int]]:
        """The same batches, for a dataset of `size` samples, in the cheapest form.

        Slices where the numbers are a run, pieces of an order, which are in range, or else lists.

        Raises IndexOutOfRangeError for an order that goes past `size`.
        """
        whole = type(self) is BatchSampler and isinstance(self.sampler, Sampler)
        if whole and type(self.sampler) is SequentialSampler and len(self.sampler) <= size:
            yield from self._pieces(len(self.sampler))
        elif whole and type(self.sampler).__iter__ is Sampler.__iter__:
            order = to_index(cast(Sampler, self.sampler).order(), size, type(self.sampler).__name__)
            for piece in self._pieces(len(order)):
                yield order[piece]
        else:
            yield from iter(self)

    def _pieces(self, total: int) -> Iterator[slice]:
        stop = total - total % self.batch_size if self.drop_last else total
        for start in range(0, stop, self.batch_size):
            yield slice(start, min(start + self.batch_size, stop))
