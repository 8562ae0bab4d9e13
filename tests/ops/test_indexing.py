"""Indices of every kind, read and written, against NumPy; gradients against central differences."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import errors
from tensorgrad.testing import gradcheck, gradgradcheck

SHAPE = (3, 4, 2)
rng = np.random.default_rng(3)


def _part(n: int) -> object:
    """A random index of one axis of length n."""
    kind = rng.integers(8)
    if kind == 0:
        return int(rng.integers(-n, n))
    if kind <= 2:
        ends = [None, *range(-n - 1, n + 2)]
        step = [None, 1, 2, -1, -2, 3][rng.integers(6)]
        return slice(ends[rng.integers(len(ends))], ends[rng.integers(len(ends))], step)
    if kind == 3:
        return rng.random(n) < 0.5
    if kind == 4:
        return [int(i) for i in rng.integers(-n, n, 3)]
    return rng.integers(-n, n, [(3,), (1,), (2, 1), (), (0,)][rng.integers(5)])


def _keys(count: int) -> list[tuple]:
    """Random indices that NumPy accepts for SHAPE."""
    x = np.zeros(SHAPE)
    keys: list[tuple] = []
    while len(keys) < count:
        parts: list[object] = [_part(n) for n in SHAPE[: rng.integers(0, 4)]]
        for extra in (None, None, np.bool_(True), False):
            if rng.random() < 0.15:
                parts.insert(rng.integers(len(parts) + 1), extra)
        if rng.random() < 0.4:
            # an ellipsis stands for the axes that the parts after it do not take
            at = rng.integers(len(parts) + 1)
            parts.insert(at, Ellipsis)
        if rng.random() < 0.1:
            parts = [rng.random(SHAPE[:2]) < 0.4, *parts[2:]]
        try:
            x[tuple(parts)]
        except (IndexError, ValueError):
            continue
        keys.append(tuple(parts))
    return keys


KEYS = _keys(400)


def _with_tensors(key: tuple) -> tuple:
    return tuple(tg.tensor(k) if isinstance(k, np.ndarray) else k for k in key)


@pytest.mark.parametrize("as_tensors", [False, True])
def test_reading_and_its_gradient(as_tensors):
    array = rng.standard_normal(SHAPE)
    for key in KEYS:
        x = tg.tensor(array, requires_grad=True)
        y = x[_with_tensors(key) if as_tensors else key]
        np.testing.assert_array_equal(y.detach().numpy(), array[key], err_msg=str(key))
        gy = rng.standard_normal(y.shape)
        expected = np.zeros(SHAPE)
        np.add.at(expected, key, gy)
        (gx,) = tg.autograd.grad(y, [x], [tg.tensor(gy)])
        np.testing.assert_allclose(gx.numpy(), expected, rtol=1e-12, err_msg=str(key))


def test_reading_other_dtypes():
    for dtype in ("bool", "int8", "uint16", "int64", "complex128"):
        array = np.arange(24).reshape(SHAPE).astype(dtype)
        for key in KEYS[:80]:
            got = tg.tensor(array)[key]
            np.testing.assert_array_equal(got.numpy(), array[key])
            assert got.dtype == array.dtype


def test_writing():
    for key in KEYS:
        array = rng.standard_normal(SHAPE)
        x = tg.tensor(array)
        value = rng.standard_normal(array[key].shape)
        array[key] = value
        x[key] = tg.tensor(value)
        np.testing.assert_array_equal(x.numpy(), array, err_msg=str(key))
        array[key] = 7.0
        x[_with_tensors(key)] = 7.0
        np.testing.assert_array_equal(x.numpy(), array, err_msg=str(key))


def test_gradients_of_writing():
    for key in KEYS[:60]:
        array = rng.standard_normal(SHAPE)
        value = rng.standard_normal(array[key].shape)

        def write(x, v, key=key):
            y = x * 1.0
            y[key] = v
            return y * y

        x, v = (tg.tensor(a, requires_grad=True) for a in (array, value))
        gradcheck(write, [x, v])
        gradgradcheck(write, [x, v])


def test_the_last_of_several_values_has_the_gradient():
    v = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = tg.zeros(4)
    x[[1, 1, 0]] = v
    assert x.tolist() == [3.0, 2.0, 0.0, 0.0]
    x.sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 1.0]
    v.grad = None
    tg.put(tg.zeros(4), [1, 1, 0], v).sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 1.0]


def test_a_value_may_have_leading_axes_of_length_one():
    for key in (0, (slice(None), 1), [0, 2], np.array([True, False, True])):
        array = np.zeros((3, 4))
        value = rng.standard_normal((1, 1, *array[key].shape))
        v = tg.tensor(value, requires_grad=True)
        x = tg.tensor(array)
        array[key] = value
        x[key] = v
        np.testing.assert_array_equal(x.detach().numpy(), array)
        (x * x).sum().backward()
        np.testing.assert_allclose(v.grad.numpy(), 2 * value)


def test_an_index_changed_afterwards_does_not_change_the_gradient():
    for key in (np.array([0, 1]), (np.array([0, 1]), slice(0, 1)), np.array([True, True, False])):
        x = tg.tensor(np.ones((3, 2)), requires_grad=True)
        y = x[key].sum()
        array = key[0] if isinstance(key, tuple) else key
        array[...] = array[::-1] if array.dtype == bool else 2
        y.backward()
        assert x.grad.numpy().sum(axis=1).tolist()[2] == 0


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (3, errors.IndexOutOfRangeError),
        ((0, 4), errors.IndexOutOfRangeError),
        ([0, 3], errors.IndexOutOfRangeError),
        (np.array([-4]), errors.IndexOutOfRangeError),
        (([0, 3], [0, 0]), errors.IndexOutOfRangeError),
        (([0, 1], [0, 1, 2]), errors.IndexOutOfRangeError),
        (np.ones(4, bool), errors.IndexOutOfRangeError),
        ((0, 0, 0), errors.IndexOutOfRangeError),
        ((Ellipsis, Ellipsis), errors.IndexOutOfRangeError),
        (1.0, errors.DTypeError),
        ("a", errors.DTypeError),
        (np.ones(3), errors.DTypeError),
        (slice(None, None, 0), errors.ArgumentError),
        (slice(1.5, None), errors.ArgumentError),
        ((0, slice(None, 1.5)), errors.ArgumentError),
    ],
)
def test_wrong_indices_are_named(key, error):
    x = tg.zeros((3, 4))
    with pytest.raises(error):
        x[key]
    with pytest.raises(error):
        x[key] = 1.0


def test_gradients_do_not_depend_on_the_number_of_threads():
    x = tg.tensor(rng.standard_normal((300, 1000)).astype(np.float32), requires_grad=True)
    index = tg.tensor(rng.integers(0, 1000, (300, 2000)))
    columns = tg.tensor(rng.integers(-300, 300, (500, 1000)))
    rows = rng.integers(0, 300, 5000)
    before = tg.get_num_threads()
    found = set()
    try:
        for threads in (1, 2, 3, 4):
            tg.set_num_threads(threads)
            bits = b""
            for function in (
                lambda: tg.take_along_axis(x, index, axis=1),
                lambda: tg.take_along_axis(x, columns, axis=0),
                lambda: x[rows],
                lambda: x[rows[:1000], :500],
            ):
                y = function()
                (gx,) = tg.autograd.grad((y * y).sum(), [x])
                bits += y.detach().numpy().tobytes() + gx.numpy().tobytes()
            found.add(bits)
    finally:
        tg.set_num_threads(before)
    assert len(found) == 1


def test_put_in_place():
    x = tg.zeros((2, 3))
    assert x.put_([0, -1], [1.0, 2.0]) is x
    assert x.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    y = w * 1.0
    y.put_(0, 5.0)
    (y * y).sum().backward()
    assert w.grad.tolist() == [0.0, 4.0]
    with pytest.raises(errors.IndexOutOfRangeError, match="put: .*got 6"):
        tg.put(x, 6, 1.0)
    with pytest.raises(errors.ShapeError, match="put"):
        tg.put(x, [0, 1], [1.0, 2.0, 3.0])
