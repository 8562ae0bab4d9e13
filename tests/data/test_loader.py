from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tensorgrad
from tensorgrad.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError


def numbers(size: int) -> TensorDataset:
    return TensorDataset(tensorgrad.arange(size))


class OneByOne(Dataset):
    """The same samples as `numbers`, without a short cut."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[int]:
        assert isinstance(index, int)
        return (index,)


def epoch(loader: DataLoader) -> list[list[int]]:
    return [batch.tolist() for (batch,) in loader]


@pytest.mark.parametrize("kind", [numbers, OneByOne])
@given(
    size=st.integers(0, 20), batch_size=st.integers(1, 22), drop_last=st.booleans(), data=st.data()
)
def test_every_sample_comes_once(kind, size, batch_size, drop_last, data):
    shuffle = data.draw(st.booleans())
    loader = DataLoader(
        kind(size), batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, generator=0
    )
    batches = epoch(loader)
    assert len(batches) == len(loader)
    kept = size - size % batch_size if drop_last else size
    flat = [number for batch in batches for number in batch]
    assert len(flat) == kept
    assert len(set(flat)) == kept
    assert all(len(batch) == batch_size for batch in batches[:-1])
    if not shuffle:
        assert flat == list(range(kept))


def test_the_short_cut_and_the_loop_give_the_same_batches():
    fast, slow = (
        DataLoader(kind(17), batch_size=4, shuffle=True, generator=5)
        for kind in (numbers, OneByOne)
    )
    for _ in range(3):
        assert epoch(fast) == epoch(slow)


def test_epochs_differ_and_the_seed_repeats_them():
    def epochs(generator):
        loader = DataLoader(numbers(50), batch_size=7, shuffle=True, generator=generator)
        return [epoch(loader) for _ in range(3)]

    first = epochs(11)
    assert first[0] != first[1] != first[2]
    assert epochs(11) == first
    assert epochs(tensorgrad.Generator(11)) == first
    assert epochs(12) != first


def test_without_a_generator_the_global_seed_decides():
    loader = DataLoader(numbers(50), batch_size=50, shuffle=True)
    tensorgrad.manual_seed(3)
    first = epoch(loader)
    assert epoch(loader) != first
    tensorgrad.manual_seed(3)
    assert epoch(loader) == first


def test_batches_in_order_share_memory():
    dataset = TensorDataset(np.zeros((4, 3), dtype=np.float32))
    (batch,) = next(iter(DataLoader(dataset, batch_size=2)))
    assert np.shares_memory(batch.numpy(), dataset.tensors[0].numpy())


def test_a_batch_outlives_its_dataset():
    loader = DataLoader(TensorDataset(np.arange(1000.0)), batch_size=10)
    (batch,) = next(iter(loader))
    del loader
    np.ones(100_000)  # would take the place of freed memory
    assert batch.tolist() == list(range(10))


def test_no_loop_over_samples():
    class Counting(TensorDataset):
        calls = 0

        def batch(self, index):
            Counting.calls += 1
            return self._rows(index)

        def __getitem__(self, index):
            raise AssertionError("one sample was asked for")

    dataset = Counting(tensorgrad.arange(100))
    loader = DataLoader(Subset(dataset, range(90)), batch_size=10, shuffle=True)
    assert len(epoch(loader)) == 9
    assert Counting.calls == 9


def test_a_sampler_of_ones_own():
    loader = DataLoader(numbers(5), batch_size=2, sampler=[4, 4, 0, -1, 2])
    assert len(loader) == 3
    assert epoch(loader) == [[4, 4], [0, 4], [2]]
    with pytest.raises(IndexOutOfRangeError, match="index 5"):
        epoch(DataLoader(numbers(5), sampler=[5]))


def test_a_sampler_of_another_size_is_found():
    with pytest.raises(IndexOutOfRangeError, match="SequentialSampler: index 5"):
        epoch(DataLoader(numbers(5), sampler=SequentialSampler(range(7))))
    with pytest.raises(IndexOutOfRangeError, match="RandomSampler: index"):
        epoch(DataLoader(numbers(5), sampler=RandomSampler(range(7))))
    assert epoch(DataLoader(numbers(5), batch_size=9, sampler=SequentialSampler(range(3)))) == [
        [0, 1, 2]
    ]


def test_a_batch_sampler_of_ones_own():
    loader = DataLoader(numbers(5), batch_sampler=[[0, 1, 2], [4]])
    assert len(loader) == 2
    assert epoch(loader) == [[0, 1, 2], [4]]
    loader = DataLoader(OneByOne(5), batch_sampler=BatchSampler([3, 1, 0], 2, drop_last=True))
    assert epoch(loader) == [[3, 1]]


def test_a_collate_function_gets_the_samples():
    loader = DataLoader(
        numbers(5), batch_size=2, collate_fn=lambda samples: [int(x) for (x,) in samples]
    )
    assert list(loader) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, None, "8"])
def test_a_wrong_batch_size_is_named(batch_size):
    with pytest.raises(ArgumentError, match="batch_size to be a whole number above 0"):
        DataLoader(numbers(3), batch_size=batch_size)


@pytest.mark.parametrize(
    "arguments",
    [
        {"shuffle": True, "sampler": [0]},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "shuffle": True},
        {"batch_sampler": [[0]], "sampler": [0]},
        {"batch_sampler": [[0]], "drop_last": True},
    ],
)
def test_arguments_that_exclude_each_other(arguments):
    with pytest.raises(ArgumentError, match="exclude"):
        DataLoader(numbers(3), **arguments)


def test_other_wrong_arguments():
    with pytest.raises(DTypeError, match="dataset"):
        DataLoader(iter([1, 2]))
    with pytest.raises(DTypeError, match="generator"):
        DataLoader(numbers(3), generator="seed")


def test_an_empty_dataset_gives_no_batches():
    for shuffle in (False, True):
        loader = DataLoader(numbers(0), batch_size=4, shuffle=shuffle)
        assert len(loader) == 0
        assert epoch(loader) == []


def test_collating_numbers_arrays_and_tensors():
    assert default_collate([1, 2]).dtype == np.int64
    assert default_collate([1.0, 2.0]).dtype == np.float32
    assert default_collate([1, 2.5]).tolist() == [1.0, 2.5]
    assert default_collate([True, False]).dtype == np.bool_
    assert default_collate([np.float64(1), np.float64(2)]).dtype == np.float64
    stacked = default_collate([tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([3.0, 4.0])])
    assert stacked.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_collating_structures():
    Point = namedtuple("Point", "x y")
    point = default_collate([Point(1, "a"), Point(2, "b")])
    assert type(point) is Point
    assert point.x.tolist() == [1, 2]
    assert point.y == ["a", "b"]
    mapping = default_collate([{"image": [1, 2]}, {"image": [3, 4]}])
    assert [field.tolist() for field in mapping["image"]] == [[1, 3], [2, 4]]


def test_what_cannot_be_collated_is_named():
    with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\)"):
        default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(DTypeError, match="float64 and int64"):
        default_collate([np.zeros(2), np.zeros(2, dtype=np.int64)])
    with pytest.raises(ShapeError, match="number of fields"):
        default_collate([(1, 2), (1,)])
    with pytest.raises(ArgumentError, match="at least one"):
        default_collate([])
