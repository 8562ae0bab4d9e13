from __future__ import annotations

import numpy as np
import pytest

from tensorgrad.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from tensorgrad.errors import ArgumentError


def test_sequential():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert len(SequentialSampler("abc")) == 3


def test_random_visits_each_once_in_orders_that_differ():
    sampler = RandomSampler(range(40), generator=0)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert all(type(number) is int for number in first)


def test_random_orders_are_evenly_spread():
    sampler = RandomSampler(range(3), generator=1)
    orders = [tuple(sampler) for _ in range(6000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    # 1000 each, standard deviation 29
    assert max(abs(count - 1000) for count in counts) < 150


def test_random_with_fewer_samples_or_replacement():
    few = RandomSampler(range(10), num_samples=4, generator=0)
    assert len(few) == len(set(few)) == 4
    many = RandomSampler(range(10), replacement=True, num_samples=1000, generator=0)
    assert len(many) == 1000
    assert set(many) == set(range(10))
    assert list(RandomSampler([], replacement=True, num_samples=5)) == []
    with pytest.raises(ArgumentError, match="replacement"):
        RandomSampler(range(3), num_samples=4)
    with pytest.raises(ArgumentError, match="num_samples"):
        RandomSampler(range(3), num_samples=0)


def test_subset_random():
    sampler = SubsetRandomSampler([5, 7, 9], generator=0)
    assert len(sampler) == 3
    assert {tuple(sorted(sampler)) for _ in range(5)} == {(5, 7, 9)}


def test_weighted_follows_the_weights():
    drawn = list(WeightedRandomSampler([0, 1, 3, 0], num_samples=4000, generator=2))
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] == counts[3] == 0
    assert abs(counts[2] - 3000) < 150  # standard deviation 27


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [-1.0, 2.0], [np.inf, 1.0], [np.nan], [[1.0]]])
def test_weighted_refuses_weights_that_are_none(weights):
    with pytest.raises(ArgumentError, match="weights"):
        WeightedRandomSampler(weights, num_samples=1)


def test_batches_of_a_sampler():
    assert list(BatchSampler(SequentialSampler("abcde"), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2, drop_last=False)) == 3
    assert len(BatchSampler(range(5), 2, drop_last=True)) == 2
    with pytest.raises(ArgumentError, match="batch_size"):
        BatchSampler(range(5), 0, drop_last=False)


def test_a_sampler_without_methods_says_so():
    with pytest.raises(NotImplementedError, match="neither __iter__ nor order"):
        iter(Sampler())
