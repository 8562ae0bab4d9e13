"""DataLoader: mini-batches of a dataset, epoch after epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.data._random import to_generator
from tensorgrad.data._sampler import BatchSampler, RandomSampler, SequentialSampler
from tensorgrad.data._tensors import stack, to_array, to_count, to_index, to_tensor
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.random import Generator


def default_collate(samples: Sequence[Any]) -> Any:
    """Samples of one kind as one batch: each field with a new first axis.

    Tensors, arrays and numbers become a Tensor (Python's floats float32, its integers int64);
    tuples, lists and mappings are collated field by field; anything else, text for instance,
    becomes a list.

    Raises:
        ShapeError: fields whose shapes differ from sample to sample.
        DTypeError: fields whose kinds differ.

    Example:
        >>> from tensorgrad.data import default_collate
        >>> default_collate([(1, "one"), (2, "two")])
        (tensor([1, 2]), ['one', 'two'])
    """
    if not samples:
        raise ArgumentError("default_collate: expected at least one sample")
    first = samples[0]
    if isinstance(first, (Tensor, np.ndarray, np.generic)):
        return _stacked([to_array(sample, "default_collate") for sample in samples])
    if isinstance(first, (bool, int, float)):
        numbers = np.asarray(samples)
        return to_tensor(
            numbers.astype(np.float32) if numbers.dtype == np.float64 else numbers,
            "default_collate",
        )
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if len({len(sample) for sample in samples}) > 1:
            raise ShapeError(
                "default_collate: expected samples with the same number of fields; give a "
                "collate_fn"
            )
        fields = [default_collate(field) for field in zip(*samples, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else type(first)(fields)
    return list(samples)


def _stacked(arrays: list[np.ndarray[Any, Any]]) -> Tensor:
    first = arrays[0]
    for array in arrays:
        if array.shape != first.shape:
            raise ShapeError(
                f"default_collate: expected samples of one shape, got {first.shape} and "
                f"{array.shape}; "
                f"give a collate_fn"
            )
        if array.dtype != first.dtype:
            raise DTypeError(
                f"default_collate: expected samples of one dtype, got {first.dtype} and "
                f"{array.dtype}"
            )
    return stack(arrays)


class DataLoader:
    """Mini-batches of a dataset; each iteration over it is one epoch. Arguments as in PyTorch.

    dataset: anything with `len()` and indexing. batch_size: samples in a batch; the last batch is
    smaller unless `drop_last`. shuffle: visit the samples in a random order, another one each
    epoch. generator: for that order, a seed or a Generator (the same seed gives the same epochs),
    or None for the global one (`tensorgrad.manual_seed`). sampler: gives the order instead of
    `shuffle`. batch_sampler: gives lists of sample numbers, instead of batch_size, shuffle, sampler
    and drop_last. collate_fn: makes a batch of a list of samples; `default_collate` stacks them.

    Where the dataset can (TensorDataset, a Subset of one, Digits, MNIST) and no collate_fn is
    given, a batch costs one call per array, whatever its size; without shuffling the batches share
    the dataset's memory, so writing to one writes to the dataset.

    Raises:
        ArgumentError: a batch size below 1, or arguments that exclude each other.

    Example:
        >>> import tensorgrad
        >>> from tensorgrad.data import DataLoader, TensorDataset
        >>> dataset = TensorDataset(tensorgrad.arange(5))
        >>> [batch.tolist() for (batch,) in DataLoader(dataset, batch_size=2)]
        [[0, 1], [2, 3], [4]]
        >>> loader = DataLoader(dataset, batch_size=2, shuffle=True, drop_last=True, generator=0)
        >>> len(loader), sum(len(batch) for (batch,) in loader)
        (2, 4)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        generator: int | Generator | None = None,
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise DTypeError(
                "DataLoader: expected a dataset with len() and indexing, got "
                f"{type(dataset).__name__}"
            )
        if sampler is not None and shuffle:
            raise ArgumentError(
                "DataLoader: shuffle and sampler exclude each other; the sampler decides the order"
            )
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ArgumentError(
                "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last"
            )
        self.dataset = dataset
        self.generator = to_generator(generator)
        if sampler is None:
            sampler = (
                RandomSampler(dataset, generator=self.generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        self.sampler = sampler
        self.batch_size = to_count(batch_size, "DataLoader", "batch_size")
        self.drop_last = bool(drop_last)
        self.batch_sampler = (
            BatchSampler(sampler, batch_size, drop_last) if batch_sampler is None else batch_sampler
        )
        self.collate_fn = default_collate if collate_fn is None else collate_fn

    def __len__(self) -> int:
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        size = len(self.dataset)
        fetch_batch = (
            getattr(self.dataset, "batch", None) if self.collate_fn is default_collate else None
        )
        batches = self.batch_sampler
        for cut in batches.cuts(size) if isinstance(batches, BatchSampler) else batches:
            if fetch_batch is not None:
                index = (
                    cut
                    if isinstance(cut, slice | np.ndarray)
                    else to_index(cut, size, "DataLoader")
                )
                batch = fetch_batch(index)
                if batch is not None:
                    yield batch
                    continue
            numbers = range(*cut.indices(size)) if isinstance(cut, slice) else list(map(int, cut))
            yield self.collate_fn([self.dataset[number] for number in numbers])
