"""Transforms of any length and axes as NumPy's, their dtypes, and where the tape ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg
from tensorgrad import fft
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tensorgrad.testing import gradcheck, gradgradcheck

ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
MANY = ["fftn", "ifftn", "rfftn", "irfftn"]
NORMS = st.sampled_from(["backward", "ortho", "forward"])


def samples(shape: tuple[int, ...], name: str, dtype: str = "float64") -> np.ndarray:
    """Complex numbers for the transforms that take them."""
    rng = np.random.default_rng(shape)
    x = rng.standard_normal(shape)
    if name in ("rfft", "rfftn", "ihfft"):
        return x.astype(dtype)
    return (x + 1j * rng.standard_normal(shape)).astype(np.result_type(dtype, np.complex64))


@pytest.mark.parametrize("name", ONE)
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_one_axis_as_numpy(name: str, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(2, 6), min_size=1, max_size=3)))
    params = {
        "n": data.draw(st.none() | st.integers(1, 9)),
        "axis": data.draw(st.integers(-len(shape), len(shape) - 1)),
        "norm": data.draw(NORMS),
    }
    x = samples(shape, name)
    got = getattr(fft, name)(x, **params)
    np.testing.assert_allclose(got.numpy(), getattr(np.fft, name)(x, **params), atol=1e-12)


@pytest.mark.parametrize("name", MANY)
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_many_axes_as_numpy(name: str, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=3)))
    order = data.draw(st.permutations(range(len(shape))))
    axes = tuple(order[: data.draw(st.integers(1, len(shape)))])
    s = data.draw(st.none() | st.tuples(*(st.integers(1, 6) for _ in axes)))
    norm = data.draw(NORMS)
    x = samples(shape, name)
    got = getattr(fft, name)(x, s=s, axes=axes, norm=norm)
    expected = getattr(np.fft, name)(x, s, axes, norm)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["irfft", "hfft"])
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_gradients_by_real_inputs(name: str, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(2, 4), min_size=1, max_size=2)))
    n, axis = data.draw(st.none() | st.integers(1, 7)), data.draw(st.integers(-len(shape), -1))
    norm = data.draw(NORMS)
    x = tg.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
    function = lambda x: getattr(fft, name)(x, n=n, axis=axis, norm=norm)  # noqa: E731
    gradcheck(function, [x])
    gradgradcheck(function, [x])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ONE + MANY)
def test_precision_is_kept(name: str, dtype: str) -> None:
    x = samples((4, 4), name, dtype)
    y = getattr(fft, name)(tg.tensor(x))
    real = name.startswith(("irfft", "hfft"))
    assert y.dtype == (dtype if real else np.result_type(dtype, np.complex64))
    assert y.is_contiguous()


def test_lengths_left_alone() -> None:
    x = samples((3, 4), "fftn")
    np.testing.assert_allclose(
        fft.fftn(x, s=(-1, 2), axes=(0, 1)).numpy(), np.fft.fftn(x, (3, 2), (0, 1)), atol=1e-12
    )
    np.testing.assert_allclose(fft.fftn(x, s=(2,)).numpy(), np.fft.fft(x, 2), atol=1e-12)


def test_the_tape_ends_at_a_spectrum() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for name in ("fft", "ifft", "rfft", "ihfft", "fftn", "ifftn", "rfftn"):
        y = getattr(fft, name)(x)
        assert not y.requires_grad
        with pytest.raises(GradientError):
            y.backward(y)
    assert fft.irfft(x).requires_grad
    assert fft.fftshift(x).requires_grad
    assert fft.irfft(fft.rfft(x), n=3).requires_grad is False


def test_round_trips_and_shifts_of_complex_numbers() -> None:
    x = samples((3, 5), "fft")
    t = tg.tensor(x)
    np.testing.assert_allclose(fft.ifft(fft.fft(t)).numpy(), x, atol=1e-14)
    np.testing.assert_array_equal(fft.fftshift(t).numpy(), np.fft.fftshift(x))
    np.testing.assert_array_equal(fft.ifftshift(fft.fftshift(t, axes=1), axes=1).numpy(), x)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name: str, n: int) -> None:
    got = getattr(fft, name)(n, d=0.5, dtype="float64")
    np.testing.assert_array_equal(got.numpy(), getattr(np.fft, name)(n, 0.5))
    assert getattr(fft, name)(n).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fft.rfft(np.ones(3, complex)), DTypeError, "rfft.*real"),
        (lambda: fft.fft(np.ones(3), n=0), ArgumentError, "fft.*length"),
        (lambda: fft.fft(np.ones(3), norm="both"), ArgumentError, "fft.*norm"),
        (lambda: fft.fft(np.ones(3), axis=1), Exception, "fft"),
        (lambda: fft.fft(np.ones((2, 0))), ShapeError, "fft.*at least one element"),
        (lambda: fft.irfft(np.ones(1)), ShapeError, "irfft.*at least one element"),
        (lambda: fft.fftn(np.ones((2, 2)), axes=(0, 0)), ShapeError, "fftn.*once"),
        (lambda: fft.fftn(np.ones((2, 2)), s=(1, 1, 1)), ShapeError, "fftn"),
        (lambda: fft.fftn(np.ones(()))  , ShapeError, "fftn"),
        (lambda: fft.fftfreq(3, dtype="int64"), DTypeError, "fftfreq"),
    ],
)  # fmt: skip
def test_errors_are_named(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
