"""Shape arithmetic against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tensorgrad import shapes
from tensorgrad.errors import DTypeError, IndexOutOfRangeError, ShapeError

Shape = tuple[int, ...]
SIDES = st.lists(st.integers(0, 4), max_size=5).map(tuple)


def in_elements(array: np.ndarray) -> Shape:
    return tuple(step // array.itemsize for step in array.strides)


@given(SIDES, SIDES)
def test_broadcast_shapes(a: Shape, b: Shape) -> None:
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError, match="add: expected shapes that broadcast"):
            shapes.broadcast_shapes(a, b, "add")
    else:
        assert shapes.broadcast_shapes(a, b, "add") == expected


@given(SIDES)
def test_contiguous_strides(shape: Shape) -> None:
    strides = shapes.contiguous_strides(shape)
    assert shapes.is_contiguous(shape, strides)
    if 0 not in shape:
        assert strides == in_elements(np.empty(shape))


@given(st.data())
def test_is_contiguous(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=4))
    array = np.arange(int(np.prod(shape))).reshape(shape)
    view = array[data.draw(hnp.basic_indices(shape))]
    if isinstance(view, np.ndarray):
        view = view.transpose(data.draw(st.permutations(range(view.ndim))))
        assert shapes.is_contiguous(view.shape, in_elements(view)) == view.flags.c_contiguous


@given(st.data())
def test_view_strides_are_numpys(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=4))
    array = np.arange(int(np.prod(shape))).reshape(shape)
    view = array.transpose(data.draw(st.permutations(range(array.ndim))))
    step = data.draw(st.sampled_from([1, 2, -1]))
    view = view[..., ::step]
    sizes = [n for n in range(1, view.size + 1) if view.size % n == 0]
    first = data.draw(st.sampled_from(sizes))
    second = data.draw(st.sampled_from([n for n in sizes if (view.size // first) % n == 0]))
    target = (first, second, view.size // first // second)
    strides = shapes.view_strides(view.shape, in_elements(view), target)
    expected = view.reshape(target)
    if strides is None:
        assert not np.shares_memory(expected, array)
    else:
        shown = np.lib.stride_tricks.as_strided(
            view, target, tuple(s * array.itemsize for s in strides)
        )
        np.testing.assert_array_equal(shown, expected)


@given(st.data())
def test_collapse_walks_the_same_elements(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=3))
    array = np.arange(int(np.prod(shape))).reshape(shape)
    view = array.transpose(data.draw(st.permutations(range(array.ndim))))
    other = np.broadcast_to(np.arange(view.shape[-1]), view.shape)
    sizes, steps = shapes.collapse(view.shape, [in_elements(view), in_elements(other)])
    assert 1 not in sizes
    for original, step in zip((view, other), steps, strict=True):
        walked = np.lib.stride_tricks.as_strided(
            original, sizes, tuple(s * original.itemsize for s in step)
        )
        np.testing.assert_array_equal(walked.reshape(-1), original.reshape(-1))


@given(SIDES, st.lists(st.integers(-1, 6), max_size=4).map(tuple))
def test_infer_reshape(shape: Shape, target: Shape) -> None:
    array = np.empty(shape)
    assume(not (array.size == 0 and -1 in target))  # NumPy's answer depends on its version
    try:
        expected = array.reshape(target).shape
    except ValueError:
        with pytest.raises(ShapeError):
            shapes.infer_reshape(shape, array.size, target, "reshape")
    else:
        assert shapes.infer_reshape(shape, array.size, target, "reshape") == expected


@pytest.mark.parametrize("target", [(-1,), (0, -1, 2), (-1, 3), (3, 0)])
def test_infer_reshape_of_nothing(target: Shape) -> None:
    if 0 in target and -1 in target:
        with pytest.raises(ShapeError, match="cannot see"):
            shapes.infer_reshape((0, 3), 0, target, "reshape")
    else:
        expected = np.empty((0, 3)).reshape(target).shape
        assert shapes.infer_reshape((0, 3), 0, target, "reshape") == expected


@pytest.mark.parametrize("axis", [2, -3, 10**30])
def test_axes_out_of_range(axis: int) -> None:
    with pytest.raises(
        IndexOutOfRangeError, match=rf"sum: expected an axis in \[-2, 2\), got {axis}"
    ):
        shapes.normalize_axis(axis, 2, "sum")


@pytest.mark.parametrize("axis", [1.0, "0", None])
def test_axes_of_a_wrong_type(axis: object) -> None:
    with pytest.raises(DTypeError, match="sum: expected an integer axis"):
        shapes.normalize_axis(axis, 2, "sum")


def test_axes() -> None:
    assert shapes.normalize_axes(None, 3, "sum") == (0, 1, 2)
    assert shapes.normalize_axes((-1, 0), 3, "sum") == (0, 2)
    assert shapes.normalize_axes([1], 3, "sum") == (1,)
    assert shapes.normalize_axes((), 3, "sum") == ()
    assert shapes.normalize_axis(np.int64(-1), 3, "sum") == 2
    with pytest.raises(ShapeError, match="expected distinct axes"):
        shapes.normalize_axes((0, -3), 3, "sum")


def test_sizes() -> None:
    assert shapes.checked_size((2**31, 2**31 - 1), 2, "zeros") == 2**31 * (2**31 - 1)
    assert shapes.checked_size((2**62, 2**62, 0), 8, "zeros") == 0
    with pytest.raises(ShapeError, match="zeros: .*more than can be addressed"):
        shapes.checked_size((2**31, 2**31, 2), 1, "zeros")
    with pytest.raises(ShapeError, match="zeros: expected at most 64 dimensions, got 65"):
        shapes.checked_size((1,) * 65, 1, "zeros")


def test_as_shape() -> None:
    assert shapes.as_shape(3, "zeros") == (3,)
    assert shapes.as_shape([np.int32(2), 0], "zeros") == (2, 0)
    with pytest.raises(ShapeError, match="expected sizes >= 0"):
        shapes.as_shape((2, -1), "zeros")
    for wrong in (2.0, (2.0,), "23", None):
        with pytest.raises(DTypeError, match="expected an integer or a sequence"):
            shapes.as_shape(wrong, "zeros")
