"""What ops in Python do with NumPy inside a compiled function."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad import compile
from tensorgrad._captures import one_step
from tensorgrad._native import in_c_order
from tensorgrad._tensor import wrap_array
from tensorgrad.errors import ArgumentError, CaptureError


def replayed(f, calls=4):
    """Compares a function of one array with its replays."""
    compiled = compile(lambda x: wrap_array(f(x._array())))
    for i in range(calls):
        x = tensorgrad.tensor(np.random.default_rng(i).integers(0, 9, (3, 4)))
        expected = in_c_order(f(x.numpy().copy()))
        np.testing.assert_array_equal(compiled(x).numpy(), expected)
    assert compiled._number == 2


def written(x, write):
    y = x.copy()
    write(y)
    return y


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * 2 - x.T.sum(),
        lambda x: np.where(x > 2, x, -x),
        lambda x: in_c_order(x[::-1, ::2]),
        lambda x: np.concatenate([x, x + 1]),
        lambda x: np.stack(np.divmod(x, 3)),
        lambda x: np.linalg.svd(x.astype(float))[1],
        lambda x: np.asarray(np.sum(x)) if isinstance(x, np.ndarray) else np.sum(x),
        lambda x: x[np.array([0, 2])],
        lambda x: np.arange(9)[None][:, 0] + x,
        lambda x: written(x, lambda y: y.__setitem__((0, slice(None)), x[1])),
        lambda x: written(x, lambda y: y.fill(3)),
        lambda x: written(x, lambda y: y.sort(axis=0)),
        lambda x: written(x, lambda y: np.copyto(y, x * 2)),
        lambda x: written(x, lambda y: np.add.at(y, (x % 3, x % 4), 1)),
        lambda x: written(x, lambda y: np.add(x, y, out=y)),
        lambda x: written(x, lambda y: np.put_along_axis(y, x % 3, 7, 0)),
        lambda x: written(x, lambda y: np.fill_diagonal(y, 5)),
        lambda x: written(x, lambda y: np.put(y, [1, 2], x[0, :2])),
    ],
)
def test_steps(f):
    replayed(f)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, plain: np.asarray(x),
        lambda x, plain: np.array(x),
        lambda x, plain: np.ascontiguousarray(x),
        lambda x, plain: np.array([x, x]),
        lambda x, plain: plain.__iadd__(x),
        lambda x, plain: plain.__setitem__(..., x),
        lambda x, plain: plain[x],
        lambda x, plain: np.add(x, x, out=plain),
        lambda x, plain: np.copyto(plain, x),
        lambda x, plain: np.add.at(plain, (slice(None),), x),
        lambda x, plain: np.frombuffer(x),
        lambda x, plain: memoryview(x),
        lambda x, plain: list(x),
        lambda x, plain: x.tolist(),
        lambda x, plain: x.item(0),
        lambda x, plain: x[x > 2],
        lambda x, plain: np.nonzero(x),
        lambda x, plain: np.unique(x),
        lambda x, plain: np.allclose(x, x) and x,
        lambda x, plain: np.array_equal(x, x) and x,
        lambda x, plain: str(x),
    ],
)
def test_values_are_not_taken_unseen(f):
    plain = np.zeros((3, 4), np.int64)
    compiled = compile(lambda x: f(x._array(), plain))
    with pytest.raises((CaptureError, TypeError, IndexError)):
        compiled(tensorgrad.ones((3, 4), dtype="int64"))


def test_a_function_that_is_one_step():
    @one_step
    def halves(x, least):
        if x.min() < least:
            raise ArgumentError(f"expected at least {least}")
        return x[: len(x) // 2].copy(), x[len(x) // 2 :].copy()

    @one_step
    def checked(x):
        if x.max() > 100:
            raise ArgumentError("too large")

    def f(x):
        checked(x._array())
        one, two = halves(x._array(), 0)
        return wrap_array(one - two)

    compiled = compile(f)
    for i in range(5):
        x = tensorgrad.arange(6) * i
        np.testing.assert_array_equal(compiled(x).numpy(), f(x).numpy())
    for bad, message in (
        (tensorgrad.arange(6) - 1, "at least 0"),
        (tensorgrad.arange(6) * 50, "large"),
    ):
        with pytest.raises(ArgumentError, match=message):
            compiled(bad)
    assert compiled._number == 2
