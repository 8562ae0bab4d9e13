"""Making tensors: values, dtypes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import ArgumentError, DTypeError, OutOfMemoryError, ShapeError


@pytest.mark.parametrize("data", [0.1, [0.1, 0.2], [[0.1], [0.2]], (0.1,)])
def test_numbers_are_rounded_once(data: object) -> None:
    np.testing.assert_array_equal(tg.tensor(data, dtype="float64").numpy(), np.array(data))
    np.testing.assert_array_equal(tg.tensor(data).numpy(), np.array(data, dtype=np.float32))


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.0, "float32"),
        (1, "int64"),
        (True, "bool"),
        ([1, 2.5], "float32"),
        ([], "float32"),
        (np.float64(1.0), "float64"),
        (np.float32(1.0), "float32"),
        ([np.float64(1.0)], "float64"),
        (np.zeros(2, np.int8), "int8"),
        (np.zeros(2, ">f8"), "float64"),
        (np.zeros(2, ">i4"), "int32"),
        (range(3), "int64"),
    ],
    ids=repr,
)
def test_dtype_of_data(data: object, dtype: str) -> None:
    assert tg.tensor(data).dtype == dtype


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6.0)[::-1],
        np.arange(6, dtype=">f4"),
        np.broadcast_to(np.ones(1), (3, 2)),
        np.frombuffer(b"\0" * 25, np.uint8)[1:].view(np.float64),  # unaligned and read-only
        np.array(3.0),
        np.zeros((0, 3)),
        np.zeros(4, dtype=[("a", "f4"), ("b", "i1")])["a"],  # steps of 5 bytes
    ],
    ids=["transposed", "reversed", "big-endian", "expanded", "unaligned", "0-d", "empty", "packed"],
)
def test_arrays_of_every_layout(array: np.ndarray) -> None:
    expected = array.astype(array.dtype.newbyteorder("="))
    for made in (tg.tensor(array), tg.asarray(array)):
        np.testing.assert_array_equal(made.numpy(), expected)
        assert made.dtype == expected.dtype
    np.testing.assert_array_equal((tg.asarray(array) + 1.0).numpy(), expected + 1)


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "text dtype": (lambda: tg.tensor([1.0], dtype="U3"), DTypeError, "U3"),
    "text": (lambda: tg.tensor("abc"), DTypeError, "expected a dtype among"),
    "None": (lambda: tg.tensor(None), DTypeError, "expected a dtype among"),
    "half": (lambda: tg.zeros(2, dtype="float16"), DTypeError, "float16"),
    "no dtype": (lambda: tg.zeros(2, dtype="nonsense"), DTypeError, "nonsense"),
    "ragged": (lambda: tg.tensor([[1.0], [1.0, 2.0]]), ShapeError, "nested sequences"),
    "negative size": (lambda: tg.zeros((2, -1)), ShapeError, "sizes >= 0"),
    "size of a float": (lambda: tg.zeros(2.5), DTypeError, "expected an integer"),
    "65 axes": (lambda: tg.zeros((1,) * 65), ShapeError, "at most 64 dimensions"),
    "too many elements": (lambda: tg.zeros((2**31,) * 3), ShapeError, "more than can be addressed"),
    "too many bytes": (
        lambda: tg.zeros(2**61, "float64"),
        ShapeError,
        "more than can be addressed",
    ),
    "no memory": (lambda: tg.zeros(2**50), OutOfMemoryError, "full"),
    "no memory, empty": (lambda: tg.empty(2**50), OutOfMemoryError, "float32"),
    "no memory, op": (
        lambda: tg.broadcast_to(tg.ones(1), (2**50,)) + 1.0,
        OutOfMemoryError,
        "add",
    ),
    "no memory, product": (
        lambda: tg.ones((2**25, 1)) @ tg.ones((1, 2**25)),
        OutOfMemoryError,
        "matmul",
    ),
    "no memory, random": (lambda: tg.rand(2**50), OutOfMemoryError, "rand"),
    "step 0": (lambda: tg.arange(0, 3, 0), ArgumentError, "step other than 0"),
    "endless": (lambda: tg.arange(float("inf")), ArgumentError, "cannot count"),
    "broadcast overflow": (
        lambda: tg.broadcast_to(tg.ones((2**20, 1)), (2**20, 2**45)),
        ShapeError,
        "more than can be addressed",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what: str) -> None:
    call, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        call()


def test_memory_error_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        tg.zeros(2**50)
    assert tg.ones(3).sum().item() == 3.0  # and nothing is broken by it


def test_from_numpy_lifetimes() -> None:
    array = np.arange(1000.0)
    t = tg.from_numpy(array)
    del array
    assert t.sum().item() == 499500.0
    view = t.numpy()
    del t
    assert view.sum() == 499500.0
    made = (tg.ones(1000) * 2.0).numpy()  # the tensor is gone, its memory is not
    others = [tg.zeros(1000) for _ in range(50)]
    assert (made == 2.0).all()
    assert len(others) == 50


def test_shared_memory_is_seen_from_both_sides() -> None:
    array = np.zeros((2, 3), np.float32)
    t = tg.from_numpy(array.T)
    t[0, 1] = 5.0
    array[0, 2] = 7.0
    assert array[1, 0] == 5.0
    assert t[2, 0].item() == 7.0


def test_ranges() -> None:
    for arguments in [(5,), (2, 9), (9, 2, -3), (0, 1, 0.25), (3, 0), (0.5, 3.0)]:
        np.testing.assert_allclose(tg.arange(*arguments).numpy(), np.arange(*arguments))
    np.testing.assert_allclose(tg.linspace(0, 1, 7).numpy(), np.linspace(0, 1, 7), rtol=1e-6)
    np.testing.assert_array_equal(tg.eye(2, 3).numpy(), np.eye(2, 3))
