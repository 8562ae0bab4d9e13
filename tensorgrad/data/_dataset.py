"""Datasets: numbered samples, and ways to pick and join them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.data._random import permutation
from tensorgrad.data._tensors import Index, rows, to_index, to_position, to_tensor
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.random import Generator


class Dataset:
    """Samples numbered from 0.

    Subclasses define `__len__` and `__getitem__(index)`, which raises IndexError past the end.
    A dataset that can produce many samples at once may define `batch` too, and DataLoader then runs
    no loop over samples.

    Example:
        >>> from tensorgrad.data import Dataset
        >>> class Squares(Dataset):
        ...     def __len__(self):
        ...         return 4
        ...     def __getitem__(self, index):
        ...         if index >= 4:
        ...             raise IndexError(index)
        ...         return index, index * index
        >>> list(Squares())
        [(0, 0), (1, 1), (2, 4), (3, 9)]
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])

    def batch(self, index: Index) -> tuple[Tensor, ...] | None:
        """The samples at `index`, collated: one Tensor (n, ...) per field.

        index: a slice with start and stop, or sample numbers (n,), int64, in range.
        None, which is the default, where there is no faster way than one sample after the other.
        """
        return None


class TensorDataset(Dataset):
    """Rows of tensors that share their first size: sample i is `(a[i], b[i], ...)`.

    tensors: each (N, ...), Tensors or NumPy arrays, any dtype. They are not copied, and gradients
    do not flow through.

    Raises:
        ArgumentError: no tensor given.
        ShapeError: a tensor without axes, or first sizes that differ.

    Example:
        >>> import tensorgrad
        >>> from tensorgrad.data import TensorDataset
        >>> inputs = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> dataset = TensorDataset(inputs, tensorgrad.tensor([0, 1]))
        >>> dataset[1]
        (tensor([3., 4.]), tensor(1))
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ArgumentError("TensorDataset: expected at least one tensor")
        self.tensors = tuple(to_tensor(tensor, "TensorDataset") for tensor in tensors)
        shapes = [tensor.shape for tensor in self.tensors]
        if any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
            raise ShapeError(
                f"TensorDataset: expected tensors with the same first size, got {_join(shapes)}"
            )

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: int) -> Any:
        position = to_position(index, len(self), type(self).__name__)
        return tuple(tensor[position] for tensor in self.tensors)

    def batch(self, index: Index) -> tuple[Tensor, ...] | None:
        """One Tensor (n, ...) per tensor: a slice shares memory, numbers are gathered."""
        if type(self).__getitem__ is not TensorDataset.__getitem__:
            return None  # a subclass changes its samples
        return self._rows(index)

    def _rows(self, index: Index) -> tuple[Tensor, ...]:
        return tuple([rows(tensor, index) for tensor in self.tensors])


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order; a number may occur more than once.

    Raises:
        DTypeError: the indices are not integers.
        IndexOutOfRangeError: one of them lies outside the dataset.

    Example:
        >>> from tensorgrad.data import Subset
        >>> list(Subset("abcd", [3, 0]))
        ['d', 'a']
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        if not hasattr(indices, "__array__"):
            indices = list(indices)
        self.dataset = dataset
        self.indices = to_index(indices, len(dataset), "Subset")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[to_position(index, len(self), "Subset")])]

    def batch(self, index: Index) -> tuple[Tensor, ...] | None:
        """As the dataset's own."""
        batch = getattr(self.dataset, "batch", None)
        if batch is None or type(self).__getitem__ is not Subset.__getitem__:
            return None
        result: tuple[Tensor, ...] | None = batch(self.indices[index])
        return result


class ConcatDataset(Dataset):
    """Datasets one after the other; `a + b` makes one too.

    Example:
        >>> from tensorgrad.data import ConcatDataset
        >>> list(ConcatDataset(["ab", "c"]))
        ['a', 'b', 'c']
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: expected at least one dataset")
        self._ends = list(accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Any:
        position = to_position(index, len(self), "ConcatDataset")
        which = bisect_right(self._ends, position)
        return self.datasets[which][position - (self._ends[which - 1] if which else 0)]


def random_split(
    dataset: Any, lengths: Sequence[int] | Sequence[float], generator: int | Generator | None = None
) -> list[Subset]:
    """Split a dataset at random into subsets without overlap.

    lengths: sizes that add up to `len(dataset)`, or fractions that add up to 1 (what rounding down
    leaves over goes to the subsets one by one, from the first). generator: a seed or a Generator;
    without it, the global one (`manual_seed`).

    Raises:
        ArgumentError: negative lengths, or lengths that do not add up.

    Example:
        >>> from tensorgrad.data import random_split
        >>> train, test = random_split(range(10), [0.8, 0.2], generator=0)
        >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
        (8, 2, True)
    """
    total = len(dataset)
    sizes = _split_sizes(total, lengths)
    order = permutation(total, generator)
    return [Subset(dataset, part) for part in np.split(order, list(accumulate(sizes))[:-1])]


def _split_sizes(total: int, lengths: Sequence[int] | Sequence[float]) -> list[int]:
    if not lengths or not all(length >= 0 for length in lengths):  # `not >=` refuses NaN too
        raise ArgumentError(
            f"random_split: expected lengths that are not negative, got {list(lengths)}"
        )
    if math.isclose(sum(lengths), 1.0) and any(isinstance(length, float) for length in lengths):
        sizes = [math.floor(total * length) for length in lengths]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
        return sizes
    if any(int(length) != length for length in lengths) or sum(lengths) != total:
        raise ArgumentError(
            f"random_split: expected sizes that add up to {total} or fractions that add up to "
            f"1, got {list(lengths)}"
        )
    return [int(length) for length in lengths]


def _join(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(str(shape) for shape in shapes)
