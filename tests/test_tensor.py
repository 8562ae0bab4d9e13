"""Tensor: creation, conversion, indexing, hard cases, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad as tg
from tensorgrad import errors


@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4),
    st.sampled_from(["float32", "float64", "int64", "bool"]),
)
@settings(max_examples=100, deadline=None)
def test_broadcasting_is_numpys(shapes, dtype):
    a, b = (np.arange(1, 1 + int(np.prod(s))).reshape(s).astype(dtype) for s in shapes.input_shapes)
    np.testing.assert_array_equal((tg.tensor(a) + tg.tensor(b)).numpy(), a + b)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_basic_indexing_is_numpys(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=5))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    array = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    expected = array[key]
    x = tg.tensor(array, requires_grad=True)
    y = x[key]
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    y.sum().backward()
    gradient = np.zeros(shape, np.float32)
    gradient[key] = 1
    np.testing.assert_array_equal(x.grad.numpy(), gradient)


@pytest.mark.parametrize(
    "key",
    [
        np.array([2, 0]),
        [1, 1],
        np.array([True, False, True]),
        (slice(None), [0, 2]),
        ([0, 1], [2, 3]),
        np.array([[0], [2]]),
    ],
)
def test_other_indexing_is_numpys(key):
    array = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(tg.tensor(array)[key].numpy(), array[key])


def test_dtypes_of_data():
    assert tg.tensor(1.5).dtype == np.float32
    assert tg.tensor([1, 2]).dtype == np.int64
    assert tg.tensor(np.float64(1)).dtype == np.float64
    assert tg.tensor([True]).dtype == np.bool_
    assert tg.tensor(np.zeros(2, ">f4")).dtype == np.float32
    assert (tg.ones(2) + tg.arange(2)).dtype == np.float32
    assert (tg.ones(2) * tg.ones(2, dtype="float64")).dtype == np.float64
    assert (tg.arange(2) * 0.5).dtype == np.float32


def test_memory_is_shared_and_kept_alive():
    array = np.zeros(3, np.float32)
    t = tg.from_numpy(array)
    array[0] = 7
    assert t[0].item() == 7
    del array
    view = t.numpy()
    del t
    np.testing.assert_array_equal(view, [7, 0, 0])
    own = tg.ones(1000).numpy()
    for _ in range(10):
        tg.zeros(1000)
    assert own.sum() == 1000


def test_from_numpy_refuses_what_it_cannot_share():
    locked = np.zeros(2, np.float32)
    locked.flags.writeable = False
    with pytest.raises(errors.ArgumentError, match="read-only"):
        tg.from_numpy(locked)
    with pytest.raises(errors.DTypeError, match="float16"):
        tg.from_numpy(np.zeros(2, np.float16))


def test_arrays_and_tensors_mix():
    array = np.ones(2, np.float32)
    for result in (array + tg.ones(2), tg.ones(2) + array, 1 + tg.ones(2), array * tg.full(2, 2.0)):
        assert isinstance(result, tg.Tensor)
        np.testing.assert_array_equal(result.numpy(), [2, 2])
    np.testing.assert_array_equal(np.asarray(tg.ones(2)), [1, 1])


def test_conversions():
    assert float(tg.tensor(2.5)) == 2.5
    assert int(tg.tensor([3])) == 3
    assert [10, 20][tg.tensor(1)] == 20
    assert bool(tg.tensor(1.0))
    with pytest.raises(errors.ShapeError, match="ambiguous"):
        bool(tg.ones(2))
    with pytest.raises(errors.ShapeError, match="one element"):
        tg.ones(2).item()
    assert [t.item() for t in tg.arange(3)] == [0, 1, 2]
    assert len(tg.zeros((4, 2))) == 4


def test_copies_and_pickles():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    for other in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        np.testing.assert_array_equal(other.detach().numpy(), [1, 2])
        assert other.requires_grad
    with pytest.raises(errors.GradientError, match="leaves"):
        copy.deepcopy(x * 2.0)


def test_repr():
    assert repr(tg.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(tg.zeros(2, dtype="float64")) == "tensor([0., 0.], dtype=float64)"
    assert "grad_fn=<mul>" in repr(tg.ones(1, requires_grad=True) * 2.0)
    assert "shape=(0, 3)" in repr(tg.zeros((0, 3)))


@pytest.mark.parametrize("ndim", [33, 64])
def test_many_dimensions(ndim):
    t = tg.ones((1,) * ndim)
    assert (t + t).ndim == ndim
    assert t.sum().item() == 1
    assert t.permute_dims(tuple(reversed(range(ndim)))).ndim == ndim
    with pytest.raises(errors.ShapeError, match="64 dimensions"):
        tg.ones((1,) * 65)


def test_empty_tensors():
    assert tg.zeros((0, 3)).sum().item() == 0
    assert np.isnan(tg.zeros(0).mean().item())
    assert (tg.zeros((3, 0)) @ tg.zeros((0, 2))).numpy().tolist() == [[0.0, 0.0]] * 3
    assert tg.zeros((0, 4)).softmax().shape == (0, 4)
    x = tg.zeros((0, 4), requires_grad=True)
    (x * 2.0).sum().backward()
    assert x.grad.shape == (0, 4)
    with pytest.raises(errors.ShapeError, match="at least one element"):
        tg.zeros(0).max()


def test_sizes_that_overflow():
    with pytest.raises(errors.ShapeError, match="more than can be addressed"):
        tg.zeros((2**40, 2**40))
    with pytest.raises(errors.OutOfMemoryError):
        tg.zeros(2**50)
    with pytest.raises(errors.ShapeError):
        tg.broadcast_to(tg.ones(1), (2**62, 4))


def test_softmax_and_cross_entropy_of_large_logits_are_finite():
    x = tg.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    np.testing.assert_array_equal(x.softmax().detach().numpy(), [[1, 0, 0]])
    np.testing.assert_array_equal(x.log_softmax().detach().numpy(), [[0, -2e4, -1e4]])
    loss = tg.cross_entropy(x, tg.tensor([1]))
    assert loss.item() == 2e4
    loss.backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: tg.ones((3, 4)) @ tg.ones((5, 6)),
            errors.ShapeError,
            r"matmul.*\(3, 4\) @ \(5, 6\)",
        ),
        (lambda: tg.ones(3) + tg.ones(4), errors.ShapeError, r"add.*\(3,\) and \(4,\)"),
        (
            lambda: tg.cross_entropy(tg.ones((2, 3)), tg.tensor([0, 7])),
            IndexError,
            "got 7 at position 1",
        ),
        (lambda: tg.cross_entropy(tg.ones((2, 3)), tg.ones(2)), TypeError, "integer class indices"),
        (lambda: tg.ones(3)[5], IndexError, "got 5"),
        (lambda: tg.ones(3).sum(3), IndexError, "got 3"),
        (lambda: tg.ones(3).reshape(2, 2), errors.ShapeError, "reshape"),
        (lambda: tg.relu("x"), TypeError, "relu.*str"),
        (lambda: tg.take(tg.ones(3), tg.tensor([4])), IndexError, "got 4"),
        (lambda: tg.tensor([[1, 2], [3]]), errors.ShapeError, "nested sequences"),
        (lambda: tg.tensor("abc"), TypeError, "dtype"),
        (lambda: tg.set_num_threads(0), errors.ArgumentError, "1 to 256"),
        (lambda: tg.tensor([1]).requires_grad_(), TypeError, "float32 or float64"),
        (lambda: tg.ones(2, requires_grad=True).numpy(), errors.GradientError, "detach"),
        (lambda: tg.concat([tg.ones(2), tg.ones((2, 2))]), errors.ShapeError, "concat"),
    ],
)
def test_errors_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words) as info:
        call()
    assert isinstance(info.value, errors.TensorgradError)


def test_random_streams():
    g = tg.Generator(3)
    a = tg.randn(1000, generator=g)
    b = tg.randn(1000, generator=g)
    again = tg.Generator(3)
    np.testing.assert_array_equal(a.numpy(), tg.randn(1000, generator=again).numpy())
    assert not np.array_equal(a.numpy(), b.numpy())
    u = tg.rand(100_000, generator=g).numpy()
    assert 0 <= u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01
    assert sorted(tg.randperm(100, generator=g).tolist()) == list(range(100))
    before = tg.get_num_threads()
    draws = []
    for n in (1, 2):
        tg.set_num_threads(n)
        draws.append(tg.randn(300_000, generator=tg.Generator(5)).numpy())
    tg.set_num_threads(before)
    np.testing.assert_array_equal(*draws)
