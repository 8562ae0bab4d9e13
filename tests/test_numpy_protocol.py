"""NumPy's functions on Tensors, DLPack, and the conversions to Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, _numpy_protocol
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, InplaceError


def leaf(*values: float) -> Tensor:
    return tg.tensor(list(values), dtype="float64", requires_grad=True)


def values(t: Tensor) -> object:
    return t.detach().numpy().tolist()


def test_ufuncs_give_recorded_tensors() -> None:
    x = leaf(1.0, 4.0)
    for y, by_x in (
        (np.exp(x), np.exp([1.0, 4.0])),
        (np.multiply(np.array([2.0, 3.0]), x), [2.0, 3.0]),
        (np.array([2.0, 3.0]) * x, [2.0, 3.0]),
        (np.float64(2.0) - x, [-1.0, -1.0]),
        (np.square(x), [2.0, 8.0]),
        (np.maximum(x, 2.0), [0.0, 1.0]),
        (np.matmul(np.eye(2), x), [1.0, 1.0]),
    ):
        assert isinstance(y, Tensor)
        (gx,) = tg.autograd.grad(y.sum(), [x])
        np.testing.assert_allclose(gx.numpy(), by_x)


def test_functions_give_recorded_tensors() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0)
    joined = np.concatenate([x, y])
    assert isinstance(joined, Tensor)
    assert values(joined) == [1.0, 2.0, 3.0]
    assert np.sum(joined).requires_grad
    assert np.where(np.array([True, False]), x, 0.0).requires_grad
    assert np.stack([x, x]).shape == (2, 2)
    assert np.reshape(x, (2, 1)).requires_grad
    assert np.transpose(x).requires_grad
    assert np.mean(x, axis=0).requires_grad


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(x, 0, np.float64),
        lambda x: np.sum(x, 0, None, None, True),
        lambda x: np.prod(x, 1, np.float64),
        lambda x: np.median(x, 0, None, False, True),
        lambda x: np.quantile(x, 0.5, 0),
        lambda x: np.clip(x, 1.0, 2.0),
        lambda x: np.clip(x, a_min=1.0, a_max=2.0),
        lambda x: np.rot90(x, 1, (1, 0)),
        lambda x: np.nanstd(x, 0, ddof=1),
        lambda x: np.ravel(x),
        lambda x: np.cross(x, x + 1.0),
        lambda x: np.linalg.norm(x, 1, 1),
        lambda x: np.linalg.svd(x)[1],
    ],
)
def test_arguments_mean_what_numpy_says(function: Any) -> None:
    array = np.array([[1.0, 2.0, 3.5], [0.5, 4.0, 0.0]])
    got, expected = function(tg.tensor(array, requires_grad=True)), function(array)
    assert got.requires_grad
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got.detach().numpy(), expected)


def test_every_function_named_has_a_counterpart() -> None:
    missing = [n for n in _numpy_protocol._FUNCTIONS if not _numpy_protocol._counterpart(n)]
    assert not missing


def test_reductions_by_ufunc() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    total = np.add.reduce(x)
    assert values(total) == [4.0, 6.0]
    assert total.requires_grad
    assert values(np.maximum.reduce(x, axis=1)) == [2.0, 4.0]


def test_what_has_no_counterpart_is_numpys_off_the_tape_and_refused_on_it() -> None:
    x = tg.tensor([1.0, 8.0])
    assert values(np.cbrt(x)) == [1.0, 2.0]
    assert isinstance(np.cbrt(x), Tensor)
    assert values(np.add.accumulate(x)) == [1.0, 9.0]
    with pytest.raises(GradientError, match=r"np.cbrt: a tensor requires grad.*detach"):
        np.cbrt(leaf(1.0))
    with pytest.raises(GradientError, match=r"np.add.accumulate"):
        np.add.accumulate(leaf(1.0))
    with tg.no_grad():
        assert values(np.cbrt(leaf(1.0))) == [1.0]


def test_arrays_are_written_with_what_is_not_recorded() -> None:
    array = np.ones(2)
    array += tg.tensor([1.0, 2.0])
    assert array.tolist() == [2.0, 3.0]
    with pytest.raises(GradientError, match="the result requires grad and an array cannot record"):
        array += leaf(1.0, 2.0)
    assert array.tolist() == [2.0, 3.0]


def test_tensors_as_out() -> None:
    t, x = tg.zeros(2, dtype="float64"), leaf(1.0, 2.0)
    assert np.multiply(x, 2.0, out=t) is t
    assert values(t) == [2.0, 4.0]
    assert t.requires_grad
    target = tg.zeros(2)
    assert np.cbrt(tg.tensor([8.0, 1.0]), out=target) is target
    assert values(target) == [2.0, 1.0]
    y = leaf(1.0, 1.0) * 1.0
    loss = (y * y).sum()
    with tg.no_grad():
        np.cbrt(tg.ones(2, dtype="float64"), out=y)
    with pytest.raises(InplaceError, match=r"np.cbrt"):
        loss.backward()


def test_arrays_of_tensors() -> None:
    t = tg.tensor([1.0, 2.0])
    assert np.asarray(t).base is not None
    copy = np.array(t, copy=True)
    copy[0] = 5.0
    assert values(t) == [1.0, 2.0]
    assert t.__array__(np.float64).dtype == np.float64
    with pytest.raises(ArgumentError, match="a change of dtype"):
        t.__array__(np.float64, copy=False)


def test_python_numbers() -> None:
    assert float(tg.tensor(1.5)) == 1.5
    assert int(tg.tensor(3)) == 3
    assert complex(tg.tensor(1 + 2j)) == 1 + 2j
    assert bool(tg.tensor([True]))
    assert 2.0 in tg.tensor([1.0, 2.0])
    assert tg.tensor(3.0) not in tg.tensor([1.0, 2.0])
    assert [10, 20][tg.tensor(1)] == 20
    with pytest.raises(DTypeError, match="integer tensor as an index"):
        [10, 20][tg.tensor(1.0)]


@pytest.mark.parametrize("function", [tg.squeeze, tg.flip, tg.asarray, tg.positive, tg.atleast_2d])
def test_read_only_arrays_are_not_written_to(function: Any) -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    result = function(array)
    result[...] = 9.0
    assert array.tolist() == [0.0, 1.0, 2.0]


# ---- DLPack --------------------------------------------------------------------------------------


def test_dlpack_shares_memory_with_numpy() -> None:
    array = np.arange(6.0).reshape(2, 3)
    t = tg.from_dlpack(array)
    array[0, 0] = 9.0
    assert t[0, 0].item() == 9.0
    back = np.from_dlpack(t)
    assert np.shares_memory(array, back)
    assert t.__dlpack_device__() == (1, 0)
    copy = tg.from_dlpack(array, copy=True)
    array[0, 0] = 1.0
    assert copy[0, 0].item() == 9.0


def test_dlpack_copies_what_is_read_only() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    t = tg.from_dlpack(array)
    t[0] = 9.0
    assert array.tolist() == [0.0, 1.0, 2.0]
    repeated = tg.from_dlpack(np.broadcast_to(np.arange(2.0), (2, 2)))
    repeated[0] = 9.0
    assert repeated.tolist() == [[9.0, 9.0], [0.0, 1.0]]
    with pytest.raises(ArgumentError, match="read-only"):
        tg.from_dlpack(array, copy=False)


def test_dlpack_keeps_the_memory_alive() -> None:
    back = np.from_dlpack(tg.tensor([1.0, 2.0, 3.0]) * 2.0)
    for _ in range(10):
        tg.zeros(3)
    assert back.tolist() == [2.0, 4.0, 6.0]


def test_dlpack_refusals() -> None:
    with pytest.raises(GradientError, match="requires grad"):
        leaf(1.0).__dlpack__()
    with pytest.raises(ArgumentError, match="no streams"):
        tg.ones(1).__dlpack__(stream=1)
    with pytest.raises(DTypeError, match="__dlpack__"):
        tg.from_dlpack([1.0])
    with pytest.raises(DTypeError, match="float16"):
        tg.from_dlpack(np.ones(2, np.float16))
    with pytest.raises(ArgumentError, match="expected the device 'cpu'"):
        tg.from_dlpack(np.ones(2), device="gpu")


@pytest.mark.torch
def test_dlpack_shares_memory_with_torch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.arange(4.0)
    ours = tg.from_dlpack(theirs)
    theirs[0] = 7.0
    assert ours[0].item() == 7.0
    back = torch.from_dlpack(ours)
    ours[1] = 8.0
    assert back.tolist() == [7.0, 8.0, 2.0, 3.0]
    assert theirs.tolist() == back.tolist()


def test_a_write_by_dlpack_is_noticed() -> None:
    w, t = leaf(1.0, 2.0), tg.tensor([3.0, 4.0], dtype="float64")
    other = np.from_dlpack(t)
    loss = (w * t).sum()
    if not other.flags.writeable:
        pytest.skip("NumPy takes such arrays as read-only")
    other[0] = 9.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()
