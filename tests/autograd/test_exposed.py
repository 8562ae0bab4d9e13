"""NumPy arrays that alias a tensor: a write that would make a gradient wrong is an error."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad._exposed import _fills_memory, exposures, needed
from tensorgrad.autograd._tape import before_backward, watchers
from tensorgrad.errors import InplaceError


def leaf(*values: float) -> Tensor:
    return tg.tensor(list(values), dtype="float64", requires_grad=True)


def test_an_array_taken_in_and_written_after_it_was_saved() -> None:
    w, array = leaf(1.0, 2.0), np.array([3.0, 4.0])
    loss = (w * tg.from_numpy(array)).sum()
    array[0] = 5.0
    with pytest.raises(InplaceError, match="backward of mul.*NumPy"):
        loss.backward()


def test_an_array_used_as_an_operand_and_written_after_it_was_saved() -> None:
    w, array = leaf(1.0, 2.0), np.array([3.0, 4.0])
    loss = (w * array).sum()
    array += 1.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()


def test_an_array_handed_out_before_or_after_the_tensor_was_saved() -> None:
    x, w = tg.tensor([3.0, 4.0]), tg.tensor([1.0, 2.0], requires_grad=True)
    before = x.numpy()
    loss = (w * x).sum()
    before[1] = 7.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()
    loss = (w * x).sum()
    after = x.numpy()
    after[1] = 8.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()


def test_a_write_by_an_array_that_is_gone() -> None:
    x, w = tg.tensor([3.0, 4.0]), tg.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * x).sum()
    x.numpy()[:] = 1.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()


def test_a_write_through_a_view_of_an_array_handed_out() -> None:
    x, w = tg.tensor([3.0, 4.0]), tg.tensor([1.0, 2.0], requires_grad=True)
    part = x.numpy()[1:]
    gc.collect()
    loss = (w * x).sum()
    part[0] = 1.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()


def test_a_parameter_written_through_its_array() -> None:
    w = leaf(1.0, 2.0)
    array = w.detach().numpy()
    loss = (w * w).sum()
    array[0] = 9.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()


def test_an_array_of_steps() -> None:
    memory = np.arange(12.0).reshape(3, 4)
    w = tg.ones((3, 2), dtype="float64", requires_grad=True)
    loss = (w * tg.from_numpy(memory[:, ::2])).sum()
    memory[:, 1] = -1.0  # beside it
    loss.backward(retain_graph=True)
    memory[0, 2] = -1.0
    with pytest.raises(InplaceError, match="NumPy"):
        loss.backward()


LAYOUTS = {
    "rows": lambda a: a,
    "transposed": lambda a: a.transpose((2, 1, 0)),
    "two axes swapped": lambda a: a.swapaxes(0, 1),
    "one row": lambda a: a[:, 1:2].T,
    "backwards": lambda a: a[::-1],
    "every other": lambda a: a[:, :, ::2],
    "a column": lambda a: a[:, :, 1],
}


@pytest.mark.parametrize("handed_out", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_element_of_every_layout_is_looked_at(layout: str, handed_out: bool) -> None:
    shape = (3, 4, 5)
    for at in np.ndindex(LAYOUTS[layout](np.zeros(shape)).shape):
        if handed_out:
            tensor = tg.tensor(np.random.default_rng(0).random(shape))
            x = LAYOUTS[layout](tensor)
            array = x.numpy()
        else:
            array = LAYOUTS[layout](np.random.default_rng(0).random(shape))
            x = tg.from_numpy(array)
        w = tg.ones(x.shape, dtype="float64").requires_grad_()
        loss = (w * x).sum()
        array[at] += 1.0
        with pytest.raises(InplaceError, match="NumPy"):
            loss.backward()


def test_where_an_array_fills_its_memory() -> None:
    a = np.zeros((3, 4, 5))
    for filled in (a, a.T, a.swapaxes(0, 2), a[1:], a[1:2, 2:3], a[:0, :, ::2], np.float64(1)):
        assert _fills_memory(np.asarray(filled))
    for gaps in (a[::-1], a[:, 1:], a[:, :, ::2], a.T[1:], np.broadcast_to(a[0], a.shape)):
        assert not _fills_memory(gaps)


def test_writes_before_the_operation_are_welcome() -> None:
    """A buffer that is filled again for each batch."""
    buffer = np.zeros(2)
    x, w = tg.from_numpy(buffer), leaf(1.0, 2.0)
    out = x.numpy()
    for step in range(3):
        buffer[:] = step
        out[1] += 1.0
        (w * x).sum().backward()
    assert w.grad is not None
    assert w.grad.numpy().tolist() == [3.0, 6.0]


def test_writes_by_operations_are_not_taken_for_writes_by_numpy() -> None:
    w = leaf(1.0, 2.0)
    array = w.detach().numpy()
    for _ in range(3):
        (w * w).sum().backward()
        with tg.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    assert array[0] < 1.0


def test_what_is_not_saved_may_be_written() -> None:
    x, w = tg.tensor([3.0, 4.0]), tg.tensor([1.0, 2.0], requires_grad=True)
    array = x.numpy()
    loss = (w + x).sum()
    array[:] = 0.0
    loss.backward()
    assert w.grad is not None


def test_nothing_is_watched_when_the_arrays_are_gone() -> None:
    gc.collect()
    known = len(exposures)
    x = tg.from_numpy(np.ones(3))
    y = tg.ones(3)
    array = y.numpy()[1:]
    assert len(exposures) == known + 2
    assert not needed  # nothing was saved
    assert watchers
    del x, y, array
    assert len(exposures) == known
    if not known:
        assert not watchers
        assert not before_backward


def test_only_what_a_graph_needs_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    original = tg._exposed.Exposure.look

    def look(self: object, now: int) -> None:
        looks.append(self)
        original(self, now)  # type: ignore[arg-type]

    monkeypatch.setattr(tg._exposed.Exposure, "look", look)
    data = tg.from_numpy(np.ones(4))
    outputs = [(tg.ones(4) * i).numpy() for i in range(5)]
    w = tg.ones(4, dtype="float64", requires_grad=True)
    for _ in range(3):
        (w * w).sum().backward()
    assert not looks
    (w * data).sum().backward()
    assert len(looks) == 2  # when it was saved, and when the backward began
    (w * w).sum().backward()
    assert len(looks) == 2  # that graph is gone
    assert len(outputs) == 5
