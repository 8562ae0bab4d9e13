"""Writes in place: recorded where they can be, refused where a gradient would be wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad.errors import DTypeError, IndexOutOfRangeError, InplaceError, ShapeError


def leaf(*values: float) -> Tensor:
    return tg.tensor(list(values), dtype="float64", requires_grad=True)


def values(t: Tensor | None) -> list[float]:
    assert t is not None
    return t.detach().numpy().tolist()  # type: ignore[no-any-return]


WRITES: dict[str, Callable[[Tensor], object]] = {
    "add_": lambda t: t.add_(1.0),
    "sub_": lambda t: t.sub_(1.0),
    "mul_": lambda t: t.mul_(2.0),
    "div_": lambda t: t.div_(2.0),
    "copy_": lambda t: t.copy_(tg.zeros(2)),
    "fill_": lambda t: t.fill_(3.0),
    "setitem": lambda t: t.__setitem__(0, 3.0),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("through", ["itself", "detached", "a view"])
def test_a_write_to_a_saved_tensor_is_noticed(write: str, through: str) -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = (y * y).sum()
    if through == "itself":
        WRITES[write](y)
    elif through == "detached":
        WRITES[write](y.detach())
    else:
        with tg.no_grad():
            WRITES[write](y[:])
    with pytest.raises(InplaceError, match=f"backward of mul.*modified in place by {write}"):
        z.backward()


@pytest.mark.parametrize("write", WRITES)
def test_a_write_to_a_saved_result_is_noticed(write: str) -> None:
    y = leaf(1.0, 2.0).exp()
    z = y.sum()
    with tg.no_grad():
        WRITES[write](y)
    with pytest.raises(InplaceError, match=f"backward of exp.*modified in place by {write}"):
        z.backward()


def test_a_write_to_what_nobody_saved_is_allowed() -> None:
    x = leaf(1.0, 2.0)
    y = x + 1.0
    z = (y + 2.0).sum()
    with tg.no_grad():
        y.fill_(0.0)
    z.backward()
    assert values(x.grad) == [1.0, 1.0]


@pytest.mark.parametrize("write", WRITES)
def test_a_leaf_is_not_written_while_recording(write: str) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(InplaceError, match=f"{write}: a leaf that requires grad"):
        WRITES[write](x)
    assert values(x) == [1.0, 2.0]
    with tg.no_grad():
        WRITES[write](x)
    assert x.is_leaf
    assert x.requires_grad


def test_in_place_operators_keep_the_object_and_the_memory() -> None:
    y = leaf(1.0, 2.0) * 1.0
    memory = y.detach().numpy()
    before = y
    y += 1.0
    y *= 3.0
    y -= leaf(1.0, 1.0)
    y /= 5.0
    assert y is before
    assert memory.tolist() == [1.0, 1.6]


def test_each_in_place_operator_is_differentiated() -> None:
    a, b = leaf(2.0, 3.0), leaf(4.0, 5.0)
    y = a * 1.0
    y *= b  # ab
    y -= b  # ab - b
    y /= a  # b - b/a
    y += a
    y.sum().backward()
    np.testing.assert_allclose(values(a.grad), [1 + 4 / 4, 1 + 5 / 9])
    np.testing.assert_allclose(values(b.grad), [1 - 1 / 2, 1 - 1 / 3])


@pytest.mark.parametrize(
    ("name", "by_a", "by_b"),
    [("add_", 1.0, 1.0), ("sub_", 1.0, -1.0), ("mul_", 4.0, 2.0), ("div_", 1 / 4, -2 / 16)],
)
def test_the_gradient_reads_the_values_before_the_write(
    name: str, by_a: float, by_b: float
) -> None:
    a, b = leaf(2.0), leaf(4.0)
    y = a * 1.0
    getattr(y, name)(b)
    y.backward()
    assert (values(a.grad), values(b.grad)) == ([by_a], [by_b])


def test_in_place_with_itself() -> None:
    x = leaf(3.0, 4.0)
    y = x * 1.0
    y *= y
    y += y
    y.sum().backward()
    assert values(x.grad) == [12.0, 16.0]


def test_copying_a_constant_cuts_the_tape() -> None:
    x = leaf(3.0, 4.0)
    y = x * 2.0
    y.copy_(tg.ones(2))
    assert not y.requires_grad
    y = x * 2.0
    y.copy_(x * x)
    y.sum().backward()
    assert values(x.grad) == [6.0, 8.0]


def test_a_constant_becomes_part_of_the_tape() -> None:
    x = leaf(1.0, 2.0)
    total = tg.zeros(2, dtype="float64")
    total += x
    total += x * x
    total.sum().backward()
    assert values(x.grad) == [3.0, 5.0]


def test_fill_cuts_the_tape() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    y.fill_(1.0)
    assert not y.requires_grad


def test_a_result_of_another_shape_or_dtype_is_refused() -> None:
    x = tg.ones(3)
    with pytest.raises(ShapeError, match=r"add_: expected a result of shape \(3,\) in place"):
        x += tg.ones((2, 3))
    counts = tg.arange(3)
    with pytest.raises(DTypeError, match="add_: expected a result of int64 in place, got float32"):
        counts += tg.ones(3)
    assert values(x) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize(
    ("to", "source"), [(slice(1, 200), slice(0, 199)), (slice(0, 199), slice(1, 200))]
)
@pytest.mark.parametrize("borrowed", [False, True])
def test_overlapping_memory(name: str, to: slice, source: slice, borrowed: bool) -> None:
    array = np.linspace(1.0, 2.0, 200)
    expected = array.copy()
    operation = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[name]
    expected[to] = operation(array[to], array[source])
    base = tg.from_numpy(array) if borrowed else tg.tensor(array)
    target, other = base[to], base[source]
    if borrowed:
        target, other = tg.from_numpy(array[to]), tg.from_numpy(array[source])
    getattr(target, f"{name}_")(other)
    np.testing.assert_allclose(base.numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("borrowed", [False, True])
def test_overlapping_assignment(borrowed: bool) -> None:
    array = np.arange(100.0)
    base = tg.from_numpy(array) if borrowed else tg.tensor(array)
    expected = array.copy()
    expected[1:] = array[:-1].copy()
    base[1:] = array[:-1] if borrowed else base[:-1]
    np.testing.assert_array_equal(base.numpy(), expected)
    base[:] = base[::-1]
    np.testing.assert_array_equal(base.numpy(), expected[::-1])
    base[1:].copy_(base[:-1])
    np.testing.assert_array_equal(base.numpy()[1:], expected[::-1][:-1])


# ---- assignment to parts -------------------------------------------------------------------------


def test_several_assignments() -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2.0
    y[0] = 5.0
    y[1] = x[2] * 3.0
    assert values(y) == [5.0, 9.0, 6.0]
    y.sum().backward()
    assert values(x.grad) == [0.0, 0.0, 5.0]


@pytest.mark.parametrize(
    "key",
    [
        1,
        slice(0, 2),
        (slice(None), 1),
        (slice(None, None, -1), slice(1, None, 2)),
        np.array([0, 2]),
        np.array([True, False, True]),
        (np.array([0, 2]), np.array([1, 3])),
        Ellipsis,
    ],
    ids=repr,
)
def test_assignment_is_numpys_and_its_gradients_are_right(key: object) -> None:
    array = np.arange(12.0).reshape(3, 4)
    part = np.asarray(array[key])  # type: ignore[index]
    value = tg.tensor(np.full(part.shape, 2.0), requires_grad=True)
    x = tg.tensor(array, requires_grad=True)
    y = x * 1.0
    y[key] = value * value
    expected = array.copy()
    expected[key] = 4.0  # type: ignore[index]
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    (y * tg.tensor(array + 1.0)).sum().backward()
    by_x = array + 1.0
    by_x[key] = 0.0  # type: ignore[index]
    assert x.grad is not None
    assert value.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), by_x)
    np.testing.assert_array_equal(value.grad.numpy(), (array + 1.0)[key] * 4.0)  # type: ignore[index]


def test_an_assigned_value_is_broadcast_and_its_gradient_summed() -> None:
    v = leaf(1.0, 2.0)
    y = tg.zeros((3, 2), dtype="float64")
    y[:] = v
    y.sum().backward()
    assert values(v.grad) == [3.0, 3.0]


def test_assignment_to_a_detached_tensor_is_allowed_beside_it() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    y.detach()  # no view on the tape, so it does not stand in the way
    y += 1.0
    y.sum().backward()
    assert values(x.grad) == [2.0, 2.0]


def test_a_view_that_is_gone_does_not_stand_in_the_way() -> None:
    x = leaf(1.0, 2.0)
    total = tg.zeros((2, 1), dtype="float64").reshape(2)
    y = x * 2.0
    y[0].item()
    y.reshape(2, 1)
    y += 1.0
    total += y
    total.sum().backward()
    assert values(x.grad) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        (5, 1.0, IndexOutOfRangeError),
        ((0, 0), 1.0, IndexOutOfRangeError),
        (slice(0, 2), [1.0, 2.0, 3.0], ShapeError),
        (np.array([7]), 1.0, IndexOutOfRangeError),
        (np.array([0, 1]), [1.0, 2.0, 3.0], ShapeError),
        ("name", 1.0, DTypeError),
        (0, "text", DTypeError),
        (np.array([0.5]), 1.0, DTypeError),
    ],
    ids=repr,
)
def test_wrong_assignments_change_nothing(key: object, value: object, error: type) -> None:
    x = tg.tensor([1.0, 2.0, 3.0])
    with pytest.raises(error):
        x[key] = value
    assert values(x) == [1.0, 2.0, 3.0]
