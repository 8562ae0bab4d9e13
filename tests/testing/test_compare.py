"""assert_close and sample_inputs."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import Case
from tensorgrad.testing import CheckError, assert_close, sample_inputs


def test_close_values_pass() -> None:
    assert_close(tg.tensor([1.0, np.nan, np.inf]), [1.0 + 1e-7, np.nan, np.inf])
    assert_close(tg.arange(3), np.arange(3))
    assert_close(tg.ones(3, requires_grad=True), np.ones(3))
    assert_close(tg.zeros((0, 2)), np.zeros((0, 2)))


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ([1.0, 2.0], [1.0, 2.5], r"1 of 2 elements differ, most at index \(1,\)"),
        ([1.0], [[1.0]], r"expected shape \(1, 1\), got \(1,\)"),
        ([np.nan], [1.0], "expected 1.0, got nan"),
        ([1.0], [np.nan], "expected nan, got 1.0"),
        ([-np.inf], [np.inf], "expected inf, got -inf"),
        ([1e30], [np.inf], "expected inf"),
        ([1, 2], [1, 3], "expected 3, got 2"),
        ([True], [False], "expected False, got True"),
    ],
)
def test_differences_are_named(actual: object, expected: object, message: str) -> None:
    with pytest.raises(CheckError, match=f"the answer: .*{message}"):
        assert_close(tg.tensor(actual), np.asarray(expected), what="the answer")


def test_float32_is_looser_than_float64() -> None:
    assert_close(np.float32(1.000001), np.float64(1.0))
    with pytest.raises(CheckError):
        assert_close(np.float64(1.000001), np.float64(1.0))
    assert_close(np.float64(1.000001), np.float64(1.0), rtol=1e-5)


def test_samples_keep_away_and_repeat() -> None:
    case = Case((1000,), (), np.array([1, 2]), None, low=-1.0, high=1.0, avoid=[0.0], margin=0.2)
    numbers, scalar, index, nothing = sample_inputs(case)
    assert numbers is not None
    assert scalar is not None
    assert index is not None
    assert nothing is None
    assert np.abs(numbers).min() >= 0.2 - 1e-7
    assert numbers.min() < -0.5 < 0.5 < numbers.max()
    assert scalar.shape == ()
    assert index.dtype == np.int64
    single = sample_inputs(case, np.float32)[0]
    assert single is not None
    assert single.dtype == np.float32
    assert np.array_equal(single, numbers)  # both precisions see the same numbers
    again = sample_inputs(case)[0]
    assert np.array_equal(again, numbers)
    other = sample_inputs(case, seed=1)[0]
    assert not np.array_equal(other, numbers)
