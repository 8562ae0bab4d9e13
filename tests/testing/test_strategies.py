"""The strategies give what they say, and find a planted fault."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import tensorgrad as tg
from tensorgrad.testing import strategies


@given(strategies.tensors(strategies.dtypes(), strategies.shapes(max_dims=3)))
def test_tensors_of_every_dtype(t: tg.Tensor) -> None:
    assert t.ndim <= 3
    assert t.shape == t.numpy().shape
    assert not t.requires_grad


@given(strategies.tensors("float32", (2, 3), low=0.5, high=2.0, requires_grad=True))
def test_limits(t: tg.Tensor) -> None:
    assert t.dtype == tg.float32
    assert t.shape == (2, 3)
    assert t.requires_grad
    assert ((t.detach().numpy() >= 0.5) & (t.detach().numpy() <= 2.0)).all()


@given(strategies.broadcastable_shapes(3))
def test_broadcastable_shapes(found: tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]) -> None:
    inputs, result = found
    assert np.broadcast_shapes(*inputs) == result


@given(st.data())
def test_axes_are_what_reductions_take(data: st.DataObject) -> None:
    t = data.draw(strategies.tensors(shape=strategies.shapes(min_side=1, max_side=3)))
    axis = data.draw(strategies.axes(t.ndim))
    expected = t.numpy().sum(axis=axis)
    np.testing.assert_allclose(t.sum(axis).numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", ["", "transposed", "strided", "negative step"])
def test_every_layout_comes_up(layout: str) -> None:
    contiguous = find(
        strategies.tensors(shape=(3, 4), layout=layout), lambda t: True
    ).is_contiguous()
    assert contiguous == (layout == "")


def test_special_values_come_up_when_asked_for() -> None:
    find(strategies.values("float32", special=True), np.isnan)
    find(strategies.values("float64", special=True), np.isinf)
    with pytest.raises(NoSuchExample):
        find(strategies.values("float64"), lambda v: not np.isfinite(v))


def test_a_fault_in_a_strided_path_is_found() -> None:
    def faulty(t: tg.Tensor) -> bool:
        return t.is_contiguous() or t.size < 2

    found = find(strategies.tensors(), lambda t: not faulty(t))
    assert not found.is_contiguous()


@pytest.mark.parametrize("kind", ["floating", "integral", "bool", "complex", "numeric"])
def test_dtypes_of_a_kind(kind: str) -> None:
    letters = {"floating": "f", "integral": "iu", "bool": "b", "complex": "c", "numeric": "iufc"}

    @given(strategies.dtypes(kind))
    def check(dtype: np.dtype) -> None:
        assert dtype.kind in letters[kind]

    check()
