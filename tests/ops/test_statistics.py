"""What the declarations of the statistical, cumulative and sorting ops cannot say: zeros, ties, NaNs, empty axes."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import linalg
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.testing import gradcheck, gradgradcheck

ZEROS = np.array([[2.0, 0.0, 3.0, 1.5], [0.0, 4.0, 0.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
NAN, INF = float("nan"), float("inf")


def leaf(values):
    return tg.tensor(np.asarray(values, np.float64), requires_grad=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.prod(1),
        lambda x: x.prod(),
        lambda x: tg.cumprod(x, 1),
        lambda x: tg.cumulative_prod(x, axis=0, include_initial=True),
    ],
)
def test_products_with_zeros(function):
    gradcheck(function, [leaf(ZEROS)])
    gradgradcheck(function, [leaf(ZEROS)])


def test_logcumsumexp_of_infinities_and_large_numbers():
    x = leaf([-INF, -INF, 1000.0, 1001.0, -1000.0])
    y = tg.logcumsumexp(x, 0)
    expected = [-INF, -INF, 1000.0, 1001.3132616875183, 1001.3132616875183]
    np.testing.assert_allclose(y.detach().numpy(), expected)
    y[2:].sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    np.testing.assert_allclose(x.grad.numpy()[:2], 0.0)
    np.testing.assert_allclose(x.grad.numpy().sum(), 3.0)


def test_cumulative_extremes_choose_the_last_of_equals():
    found = tg.cummax(tg.tensor([1.0, 3.0, 3.0, NAN, 5.0]), 0)
    assert found.indices.tolist() == [0, 1, 2, 3, 3]
    assert tg.cummin(tg.tensor([3, 3, 1, 2]), -1).indices.tolist() == [0, 1, 2, 2]


def test_cumulative_without_axis():
    assert tg.cumulative_sum(tg.tensor([1, 2])).dtype == np.int64
    assert tg.cumsum(tg.ones((2, 2))).tolist() == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(ShapeError, match="cumulative_sum: expected an axis"):
        tg.cumulative_sum(tg.ones((2, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16", "uint8"])
@pytest.mark.parametrize("n", [1, 3, 100, 3000])
def test_sorts_are_stable_and_nan_is_last(dtype, n):
    x = np.random.default_rng(n).integers(0, 9, (2, n)).astype(dtype)
    if x.dtype.kind == "f":
        x[x == 3] = NAN
        x[x == 4] = -0.0
    order = tg.argsort(tg.tensor(x))
    np.testing.assert_array_equal(order.numpy(), np.argsort(x, axis=-1, kind="stable"))
    np.testing.assert_array_equal(tg.sort(tg.tensor(x)).numpy(), np.sort(x))
    down = tg.argsort(tg.tensor(x), descending=True).numpy()
    backwards = n - 1 - np.flip(np.argsort(np.flip(x, -1), axis=-1, kind="stable"), -1)
    np.testing.assert_array_equal(down, backwards)
    values, indices = tg.topk(tg.tensor(x), (n + 1) // 2)
    np.testing.assert_array_equal(indices.numpy(), down[:, : (n + 1) // 2])
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, indices.numpy(), -1))


def test_selections_of_nothing_and_too_much():
    assert tg.topk(tg.ones(3), 0).values.shape == (0,)
    assert tg.sort(tg.ones((2, 0))).shape == (2, 0)
    for call in (lambda: tg.topk(tg.ones(3), 4), lambda: tg.kthvalue(tg.ones(3), 0)):
        with pytest.raises(ArgumentError, match="expected k in"):
            call()
    with pytest.raises(ShapeError, match="at least 1 axis"):
        tg.sort(tg.tensor(1.0))


def test_gradient_of_selections_goes_to_what_was_chosen():
    for function in (
        lambda x: tg.sort(x, axis=0),
        lambda x: tg.topk(x, 2, axis=1).values ** 2,
        lambda x: tg.kthvalue(x, 2, axis=0).values ** 2,
        lambda x: tg.cummax(x, 0).values ** 2,
        lambda x: tg.cummin(x, 1).values ** 2,
    ):
        x = leaf(np.random.default_rng(3).permutation(12).reshape(3, 4) / 4)
        gradcheck(function, [x])
        gradgradcheck(function, [x])


def test_quantiles_of_nan_infinity_and_nothing():
    x = tg.tensor([[1.0, NAN, 2.0], [INF, INF, 0.0]])
    np.testing.assert_array_equal(tg.median(x, axis=1).numpy(), [NAN, INF])
    np.testing.assert_array_equal(tg.nanmedian(x, axis=1).numpy(), [1.5, INF])
    assert np.isnan(tg.nanquantile(tg.tensor([NAN, NAN]), 0.5).item())
    with pytest.raises(ShapeError, match="at least one element"):
        tg.median(tg.ones((0, 2)), axis=0)
    with pytest.raises(ArgumentError, match=r"probabilities in \[0, 1\]"):
        tg.quantile(tg.ones(2), 1.5)


def test_nan_reductions_have_no_gradient_at_nan():
    for function in (
        tg.nansum,
        tg.nanmean,
        tg.nanvar,
        tg.nanstd,
        tg.nanprod,
        tg.nanmax,
        tg.nanmedian,
    ):
        x = leaf([1.0, NAN, 2.0, 4.0])
        function(x).backward()
        assert x.grad.numpy()[1] == 0, function.__name__
        assert np.isfinite(x.grad.numpy()).all(), function.__name__


def test_norms_at_zero():
    for order in (1, 2, 3, 0.5, INF, -INF):
        x = leaf(np.zeros(3))
        y = tg.norm(x, ord=order)
        y.backward()
        assert y.item() == 0, order
        assert np.isfinite(x.grad.numpy()).all(), order
    assert tg.norm(tg.tensor([0.0, 2.0, 3.0]), ord=0).item() == 2
    assert tg.norm(tg.tensor([0.0, 2.0]), ord=-1).item() == 0


def test_norms_at_the_ends_of_the_range():
    huge = leaf([1e200, 1e200])
    for norm in (tg.norm, linalg.vector_norm):
        np.testing.assert_allclose(norm(huge, ord=3).item(), 1e200 * 2 ** (1 / 3), rtol=1e-12)
        assert norm(leaf([INF, -INF]), ord=-1).item() == INF
        assert norm(leaf([INF, 2.0]), ord=-1).item() == 2
        x = leaf([0.0, 4.0])
        norm(x, ord=0.5).backward()
        assert x.grad.tolist() == [0.0, 1.0]


def test_standard_deviation_of_equals():
    x = leaf([2.0, 2.0, 2.0])
    x.std(correction=1).backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_dtype_of_sums():
    assert tg.sum(tg.tensor([1.7, 2.7]), dtype="int64").tolist() == 3
    assert tg.prod(tg.tensor([2, 3], dtype="int8"), dtype="float64").dtype == np.float64
    assert tg.sum(tg.tensor([200, 100], dtype="uint8")).dtype == np.uint64
    with pytest.raises(DTypeError, match="detach it first"):
        tg.sum(leaf([1.0]), dtype="int64")


def test_sets_and_counts():
    x = tg.tensor([NAN, 1.0, NAN])
    assert tg.unique_values(x).shape == (3,)
    assert tg.unique(x).shape == (2,)
    assert [t.shape for t in tg.unique_all(tg.ones((2, 3)))] == [(1,), (1,), (2, 3), (1,)]
    with pytest.raises(ArgumentError, match="bincount: expected integers >= 0"):
        tg.bincount(tg.tensor([-1, 2]))
