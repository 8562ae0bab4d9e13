"""Writes through views: to the tensor they are views of, and to every other view of it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad.autograd import Op, registry
from tensorgrad.errors import InplaceError
from tensorgrad.testing import gradcheck, gradgradcheck, sample_inputs
from tensorgrad.testing._samples import is_varied


def leaf(*values: float) -> Tensor:
    return tg.tensor(list(values), dtype="float64", requires_grad=True)


def values(t: Tensor | None) -> Any:
    assert t is not None
    return t.detach().numpy().tolist()


# these show one element in several places
REPEATING = {"broadcast_to", "broadcast_tensors", "meshgrid", "unfold", "sliding_window_view"}


@pytest.mark.parametrize(
    "op",
    [op for op in registry.values() if op.differentiable and op.name not in REPEATING],
    ids=lambda op: op.name,
)
def test_every_result_can_be_written_when_there_is_a_view_of_it(op: Op) -> None:
    for case in op.cases:
        inputs = [
            tg.tensor(a, requires_grad=True) * 1.0 if varied else a
            for a, varied in zip(sample_inputs(case), is_varied(case), strict=True)
        ]
        results = op.function(*inputs, **case.params)
        for y in results if isinstance(results, (tuple, list)) else [results]:
            if y.requires_grad:
                part = y[...]
                y *= 2.0
                assert values(part) == values(y)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x @ w[0],
        lambda x, w: x @ w.mT,
        lambda x, w: x.mT.reshape(-1),
        lambda x, w: tg.tile(x[:, :1, :1], (1, 2, 3)),
    ],
)
def test_writes_beside_a_view_of_a_result(function: Callable[[Any, Any], Tensor]) -> None:
    def written(x: Tensor, w: Tensor) -> Tensor:
        y = function(x, w)
        part = y[1:]
        y *= 2.0
        part += x[0, 0, 0]
        return (y * y).sum() + part.sum()

    rng = np.random.default_rng(0)
    inputs = [tg.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 2, 3), (4, 3))]
    gradcheck(written, inputs)


def test_a_write_through_a_view_reaches_its_base() -> None:
    x, w = leaf(1.0, 2.0, 3.0), leaf(10.0, 20.0)
    y = x * 2.0
    part = y[1:]
    part *= w
    assert values(y) == [2.0, 40.0, 120.0]
    (y * tg.tensor([1.0, 2.0, 3.0], dtype="float64")).sum().backward()
    assert values(x.grad) == [2.0, 40.0, 120.0]
    assert values(w.grad) == [8.0, 18.0]


def test_a_write_to_a_base_reaches_its_views() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    part = y[0:1]
    y += x * x
    assert values(part) == [3.0]
    part.sum().backward()
    assert values(x.grad) == [4.0, 0.0]


def test_a_write_through_one_view_reaches_the_others() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = (x * 1.0).reshape(2, 2)
    row, column = y[0], y[:, 1]
    row *= row
    (column * tg.tensor([3.0, 5.0], dtype="float64")).sum().backward()
    assert values(x.grad) == [0.0, 12.0, 0.0, 5.0]


def test_a_view_of_a_view_is_one_of_the_base() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = x * 1.0
    inner = y[1:][1:].reshape(2, 1).T
    inner *= 7.0
    y.sum().backward()
    assert values(x.grad) == [1.0, 1.0, 7.0, 7.0]


def test_a_constant_becomes_recorded_by_a_write_through_a_view() -> None:
    base = tg.zeros(4, dtype="float64")
    part, w = base[1:3], leaf(1.0, 2.0)
    part += w
    base[3] = w[0]
    assert values(base) == [0.0, 1.0, 2.0, 1.0]
    (base * base).sum().backward()
    assert values(w.grad) == [4.0, 4.0]


def test_constants_written_through_a_view_cut_the_tape_there() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3.0
    y[0:1].zero_()
    y.sum().backward()
    assert values(x.grad) == [0.0, 3.0]


def test_all_of_a_tensor_made_constant_frees_its_views() -> None:
    y = leaf(1.0, 2.0) * 3.0
    part = y[0:1]
    y.fill_(0.0)
    assert not y.requires_grad
    assert not part.requires_grad


def test_a_contiguous_tensor_and_itself_are_views() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    same = y.contiguous()
    y += x
    same.sum().backward()
    assert values(x.grad) == [3.0, 3.0]


def test_setitem_through_a_view_with_arrays() -> None:
    x, w = leaf(1.0, 2.0, 3.0, 4.0), leaf(5.0)
    y = x * 1.0
    y[1:][np.array([True, False, True])] = w * 2.0
    assert values(y) == [1.0, 10.0, 3.0, 10.0]
    (y * y).sum().backward()
    assert values(x.grad) == [2.0, 0.0, 6.0, 0.0]
    assert values(w.grad) == [80.0]


def test_a_base_with_steps_of_its_own() -> None:
    memory = np.arange(12.0).reshape(3, 4)

    def function(w: Tensor) -> Tensor:
        base = tg.from_numpy(memory.copy().T[::-1])  # neither contiguous nor positive
        row = base[1]
        base[:, 0] = w
        row *= w[1]
        return (base * base).sum() + row.sum()

    assert gradcheck(function, leaf(1.0, 2.0, 3.0, 4.0))


def test_a_repeated_view_gets_the_sum() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    repeated = tg.broadcast_to(y, (3, 2))
    y *= y
    repeated.sum().backward()
    assert values(x.grad) == [6.0, 12.0]


def test_second_derivatives_go_through_the_writes() -> None:
    def function(x: Tensor, w: Tensor) -> Tensor:
        y = x * x
        part = y[1:]
        part *= w
        return (y * y * y).sum()

    assert gradgradcheck(function, [leaf(1.0, 2.0, 3.0), leaf(0.5, 1.5)])


# ---- what is refused -----------------------------------------------------------------------------


def test_views_of_a_leaf_are_not_written_while_recording() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(InplaceError, match="a leaf that requires grad, or a view of one"):
        x[0:1].add_(1.0)
    with pytest.raises(InplaceError, match="a leaf that requires grad"):
        x.T[0] = 3.0
    with tg.no_grad():
        x[0:1] += 1.0
    assert values(x) == [2.0, 2.0]


def test_a_view_taken_off_the_tape_is_not_written_with_recorded_values() -> None:
    y = leaf(1.0, 2.0) * 2.0
    with tg.no_grad():
        part = y[0:1]
    with pytest.raises(InplaceError, match="taken while nothing was recorded"):
        part += leaf(1.0)
    part += 1.0  # constants, known to the base as a write
    assert values(y) == [3.0, 4.0]


def test_a_tensor_whose_elements_share_places_is_not_written() -> None:
    x = tg.broadcast_to(tg.ones((1, 2)), (3, 2))
    with pytest.raises(InplaceError, match="share one place"):
        x += 1.0
    with pytest.raises(InplaceError, match="share one place"):
        x.fill_(2.0)
    with pytest.raises(InplaceError, match="share one place"):
        x[:2] = 3.0
    assert values(x) == [[1.0, 1.0]] * 3


def test_what_was_saved_through_a_view_is_guarded() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = (y * y).sum()
    y[0:1].mul_(2.0)
    with pytest.raises(InplaceError, match="modified in place by mul_"):
        z.backward()


# ---- any program of views and writes -------------------------------------------------------------

VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda t: t[1:],
    "columns": lambda t: t[:, ::2],
    "backwards": lambda t: t[::-1],
    "transposed": lambda t: t.T,
    "flat": lambda t: t.reshape(-1, 1),
    "one": lambda t: t[0:1],
}
WRITES: dict[str, Callable[[Tensor, Tensor], object]] = {
    "mul_": lambda t, w: t.mul_(w),
    "add_": lambda t, w: t.add_(w * w),
    "copy_": lambda t, w: t.copy_(w),
    "fill_": lambda t, w: t.fill_(0.5),
    "setitem": lambda t, w: t.__setitem__((0, 0), w * 3.0),
    "gather": lambda t, w: t.__setitem__((np.array([0, 0]), np.array([0, -1])), w),
}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(VIEWS)), st.integers(0, 5)),
        st.tuples(st.sampled_from(sorted(WRITES)), st.integers(0, 5)),
    ),
    min_size=1,
    max_size=6,
)


def run(steps: list[tuple[str, int]], x: Tensor, w: Tensor) -> list[Tensor]:
    tensors = [x * 1.0]
    for name, which in steps:
        t = tensors[which % len(tensors)]
        if name in VIEWS:
            v = VIEWS[name](t)
            if 0 not in v.shape:
                tensors.append(v)
        else:
            WRITES[name](t, w)
    return tensors


@settings(max_examples=150)
@given(STEPS)
def test_programs(steps: list[tuple[str, int]]) -> None:
    x = tg.tensor(np.linspace(0.5, 1.5, 12).reshape(3, 4), requires_grad=True)
    w = tg.tensor(1.25, dtype="float64", requires_grad=True)
    assert gradcheck(lambda x, w: [x * w, *run(steps, x, w)], [x, w])


@pytest.mark.torch
@settings(max_examples=60)
@given(STEPS)
def test_programs_as_in_torch(steps: list[tuple[str, int]]) -> None:
    torch = pytest.importorskip("torch")
    if any(name == "backwards" for name, _ in steps):
        return  # torch has no negative steps
    array = np.linspace(0.5, 1.5, 12).reshape(3, 4)
    x, w = tg.tensor(array, requires_grad=True), tg.tensor(1.25, dtype="float64").requires_grad_()
    tx = torch.tensor(array, requires_grad=True)
    tw = torch.tensor(1.25, dtype=torch.float64, requires_grad=True)
    ours, theirs = run(steps, x, w), run(steps, tx, tw)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(values(a), b.detach().numpy())
    if any(t.requires_grad for t in ours):
        sum(t.sum() * (i + 1) for i, t in enumerate(ours)).backward()  # type: ignore[union-attr]
        sum(t.sum() * (i + 1) for i, t in enumerate(theirs)).backward()
        for a, b in ((x, tx), (w, tw)):
            expected = np.zeros(a.shape) if b.grad is None else b.grad.numpy()
            np.testing.assert_allclose(0.0 if a.grad is None else values(a.grad), expected)


def test_a_graph_with_views_is_freed_by_counting() -> None:
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = x * 1.0
        part = y[0:1]
        part *= 2.0
        gone = weakref.ref(y)
        (y * y).sum().backward()
        del y, part
        assert gone() is None
    finally:
        gc.enable()
