from __future__ import annotations

import pickle

import numpy as np
import pytest

import tensorgrad
from tensorgrad.data import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from tensorgrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError


def pairs(size: int = 6) -> TensorDataset:
    inputs = np.arange(2 * size, dtype=np.float32).reshape(size, 2)
    return TensorDataset(tensorgrad.from_numpy(inputs), tensorgrad.arange(size))


def test_tensor_dataset_gives_rows_without_copying():
    inputs = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    dataset = TensorDataset(inputs, np.array([7, 8]))
    assert len(dataset) == 2
    row, label = dataset[-1]
    assert row.tolist() == [3.0, 4.0]
    assert label.item() == 8
    inputs.numpy()[1, 0] = 5.0
    assert dataset[1][0].tolist() == [5.0, 4.0]
    assert [label.item() for _, label in dataset] == [7, 8]


def test_tensor_dataset_of_a_tensor_that_requires_grad_is_off_the_tape():
    weight = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    dataset = TensorDataset(weight)
    assert not dataset[0][0].requires_grad
    assert not dataset.batch(slice(0, 2))[0].requires_grad
    assert weight.requires_grad


@pytest.mark.parametrize("arrays", [(np.zeros(3), np.zeros(2)), (np.zeros(()),)])
def test_tensor_dataset_refuses_first_sizes_that_differ(arrays):
    with pytest.raises(ShapeError, match="first size"):
        TensorDataset(*arrays)


def test_tensor_dataset_refuses_nothing():
    with pytest.raises(ArgumentError, match="at least one"):
        TensorDataset()


@pytest.mark.parametrize("index", [6, -7])
def test_an_index_out_of_range_is_named(index):
    for dataset in (pairs(), Subset(pairs(), range(6)), ConcatDataset([pairs(6)])):
        with pytest.raises(IndexOutOfRangeError, match=f"index {index} is out of range for 6"):
            dataset[index]


def test_an_index_that_is_no_integer_is_named():
    with pytest.raises(DTypeError, match="integer index"):
        pairs()[1.0]


@pytest.mark.parametrize("index", [slice(1, 4), slice(4, 9), slice(3, 3), np.array([5, 0, 0])])
def test_a_batch_is_its_samples_stacked(index):
    dataset = pairs()
    inputs, labels = dataset.batch(index)
    expected = np.arange(6)[index]
    assert labels.tolist() == expected.tolist()
    assert inputs.tolist() == np.arange(12.0).reshape(6, 2)[expected].tolist()


def test_a_batch_of_strided_tensors_is_its_samples_stacked():
    array = np.arange(24, dtype=np.float64).reshape(4, 6)
    for view in (array.T, array[:, ::2], array[::2], array[::-1]):
        dataset = TensorDataset(view)
        assert dataset.batch(slice(1, 3))[0].tolist() == view[1:3].tolist()
        assert dataset.batch(np.array([1, 0]))[0].tolist() == view[[1, 0]].tolist()


def test_a_slice_shares_memory_and_numbers_do_not():
    dataset = pairs()
    inputs = dataset.tensors[0].numpy()
    assert np.shares_memory(dataset.batch(slice(2, 4))[0].numpy(), inputs)
    assert not np.shares_memory(dataset.batch(np.array([2, 3]))[0].numpy(), inputs)


def test_a_subclass_that_changes_its_samples_has_no_short_cut():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * tensor for tensor in super().__getitem__(index))

    dataset = Doubled(tensorgrad.arange(3))
    assert dataset.batch(slice(0, 2)) is None
    assert Subset(dataset, [0]).batch(slice(0, 1)) is None


def test_subset_of_a_subset():
    outer = Subset(Subset(pairs(), [4, 3, 2, -1]), (index for index in (3, 0)))
    assert [label.item() for _, label in outer] == [5, 4]
    assert outer.batch(slice(0, 2))[1].tolist() == [5, 4]
    assert outer.batch(np.array([1, 1]))[1].tolist() == [4, 4]
    assert len(Subset(pairs(), [])) == 0


def test_subset_refuses_wrong_indices():
    with pytest.raises(IndexOutOfRangeError, match="Subset: index 6"):
        Subset(pairs(), [0, 6])
    with pytest.raises(DTypeError, match="integers"):
        Subset(pairs(), [0.0])
    with pytest.raises(DTypeError, match="integers"):
        Subset(pairs(), np.zeros((2, 2), dtype=int))


def test_subset_of_a_plain_list_has_no_short_cut():
    assert Subset([1, 2, 3], [0]).batch(slice(0, 1)) is None


def test_concatenation_keeps_the_order():
    both = pairs(2) + Subset(pairs(), [5]) + TensorDataset(np.zeros((0, 2)), np.zeros(0))
    assert isinstance(both, ConcatDataset)
    assert [label.item() for _, label in both] == [0, 1, 5]
    assert both[-1][1].item() == 5
    with pytest.raises(ArgumentError, match="at least one"):
        ConcatDataset([])


def test_random_split_is_a_partition_that_the_seed_decides():
    parts = random_split(range(10), [7, 0, 3], generator=3)
    assert [len(part) for part in parts] == [7, 0, 3]
    assert sorted(number for part in parts for number in part) == list(range(10))
    again = random_split(range(10), [7, 0, 3], generator=tensorgrad.Generator(3))
    assert [list(part) for part in again] == [list(part) for part in parts]
    assert [list(part) for part in random_split(range(10), [7, 0, 3], generator=4)] != [
        list(part) for part in parts
    ]


def test_random_split_by_the_global_generator():
    tensorgrad.manual_seed(1)
    first = [list(part) for part in random_split(range(9), [4, 5])]
    tensorgrad.manual_seed(1)
    assert [list(part) for part in random_split(range(9), [4, 5])] == first


@pytest.mark.parametrize(
    ("fractions", "sizes"),
    [([0.8, 0.2], [8, 2]), ([0.5, 0.25, 0.25], [6, 2, 2]), ([1.0], [10]), ([0.1] * 10, [1] * 10)],
)
def test_random_split_by_fractions(fractions, sizes):
    assert [len(part) for part in random_split(range(10), fractions)] == sizes


@pytest.mark.parametrize("lengths", [[4, 5], [11], [-1, 11], [0.5, 0.4], [float("nan"), 1.0], []])
def test_random_split_refuses_lengths_that_do_not_add_up(lengths):
    with pytest.raises(ArgumentError, match="random_split"):
        random_split(range(10), lengths)


def test_a_dataset_without_methods_says_which():
    with pytest.raises(NotImplementedError, match="Dataset does not define __len__"):
        len(Dataset())
    with pytest.raises(NotImplementedError, match="Dataset does not define __getitem__"):
        Dataset()[0]


def test_datasets_can_be_pickled():
    subset = pickle.loads(pickle.dumps(Subset(pairs(), [3, 1])))
    assert subset.batch(slice(0, 2))[1].tolist() == [3, 1]
