"""Arithmetic of shapes, axes and strides: pure Python, no data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from operator import index as to_int
from typing import Any

from tensorgrad.errors import DTypeError, IndexOutOfRangeError, ShapeError

MAX_DIMS = 64
MAX_ELEMENTS = 2**63 - 1

Shape = tuple[int, ...]


def checked_size(shape: Shape, itemsize: int, where: str) -> int:
    """The number of elements of `shape`, if its bytes can be counted in 63 bits. Raises
    ShapeError."""
    if len(shape) > MAX_DIMS:
        raise ShapeError(f"{where}: expected at most {MAX_DIMS} dimensions, got {len(shape)}")
    size = prod(shape)
    if size * itemsize > MAX_ELEMENTS:
        raise ShapeError(
            f"{where}: shape {shape} has {size} elements of {itemsize} bytes, more than can be "
            "addressed"
        )
    return size


def as_shape(shape: Any, where: str) -> Shape:
    """A shape from an integer or a sequence of integers, none negative."""
    if shape.__class__ is tuple:
        for n in shape:
            if n.__class__ is not int or n < 0:
                break
        else:
            return shape
    try:
        result = (
            (to_int(shape),) if not isinstance(shape, Sequence) else tuple(to_int(n) for n in shape)
        )
    except TypeError:
        raise DTypeError(
            f"{where}: expected an integer or a sequence of integers, got {shape!r}"
        ) from None
    if any(n < 0 for n in result):
        raise ShapeError(f"{where}: expected sizes >= 0, got {result}")
    return result


def contiguous_strides(shape: Shape) -> Shape:
    """Steps, in elements, of a C-contiguous array."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)


def is_contiguous(shape: Shape, strides: Shape) -> bool:
    """Whether `strides` walk `shape` in C order without gaps (axes of length 1 do not matter; empty
    arrays are)."""
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides)):
        if n == 0:
            return True
        if n != 1:
            if stride != step:
                return 0 in shape
            step *= n
    return True


def repeats_elements(shape: Shape, strides: Shape) -> bool:
    """Whether an array with these strides may have two elements at one place: all its axes taken by
    rising step, one does not reach past those before it."""
    reach = 0
    for step, n in sorted((abs(step), n) for step, n in zip(strides, shape) if n > 1):
        if step <= reach:
            return True
        reach += step * (n - 1)
    return False


def broadcast_shapes(a: Shape, b: Shape, where: str) -> Shape:
    """The shape that `a` and `b` broadcast to, by NumPy's rule. Raises ShapeError naming
    `where`."""
    if a == b:
        return a
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    result = list(longer)
    offset = len(longer) - len(shorter)
    for i, n in enumerate(shorter, offset):
        if result[i] == 1:
            result[i] = n
        elif n != 1 and n != result[i]:
            raise ShapeError(
                f"{where}: expected shapes that broadcast (equal or 1, axis by axis from the "
                f"last), got {a} and {b}"
            )
    return tuple(result)


def broadcast_strides(shape: Shape, strides: Shape, target: Shape) -> Shape:
    """Strides that walk an array of `shape` as if it had the shape `target` (0 where it
    repeats)."""
    offset = len(target) - len(shape)
    return (0,) * offset + tuple(
        0 if n == 1 and target[i] != 1 else s
        for i, (n, s) in enumerate(zip(shape, strides), offset)
    )


def spread(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int] | None:
    """(repeat, period) if element i of `shape`, in C order, is element i // repeat % period of the
    memory that these strides walk; None if the strides are of another form. (1, 1) for one element."""
    axes = [(n, step) for n, step in zip(shape, strides) if n != 1]
    repeat = 1
    while axes and axes[-1][1] == 0:
        repeat *= axes.pop()[0]
    while axes and axes[0][1] == 0:
        axes.pop(0)
    period = 1
    for n, step in reversed(axes):
        if step != period:
            return None
        period *= n
    return (repeat, period) if period > 1 else (1, 1)


def collapse(shape: Shape, operands: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
    """Drops axes of length 1 and merges neighbours that every operand walks in one stride."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in operands]
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        if sizes and all(step[-1] == strides[axis] * n for step, strides in zip(steps, operands)):
            sizes[-1] *= n
            for step, strides in zip(steps, operands):
                step[-1] = strides[axis]
        else:
            sizes.append(n)
            for step, strides in zip(steps, operands):
                step.append(strides[axis])
    return tuple(sizes), [tuple(step) for step in steps]


def normalize_axis(axis: Any, ndim: int, where: str) -> int:
    """An axis in [0, ndim). Raises IndexOutOfRangeError."""
    try:
        i = to_int(axis)
    except TypeError:
        raise DTypeError(f"{where}: expected an integer axis, got {axis!r}") from None
    if not -ndim <= i < ndim:
        raise IndexOutOfRangeError(f"{where}: expected an axis in [{-ndim}, {ndim}), got {i}")
    return i + ndim if i < 0 else i


def normalize_axes(axis: Any, ndim: int, where: str) -> Shape:
    """Sorted distinct axes; None means all of them."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    result = sorted(normalize_axis(a, ndim, where) for a in axes)
    if len(set(result)) != len(result):
        raise ShapeError(f"{where}: expected distinct axes, got {axis}")
    return tuple(result)


@lru_cache(4096)
def infer_reshape(shape: Shape, size: int, target: Any, where: str) -> Shape:
    """`target` with a -1 replaced by what makes the sizes agree. Raises ShapeError."""
    try:
        result = (
            [to_int(target)]
            if not isinstance(target, (tuple, list))
            else [to_int(n) for n in target]
        )
    except TypeError:
        raise DTypeError(f"{where}: expected integers, got {target!r}") from None
    unknown = [i for i, n in enumerate(result) if n == -1]
    known = prod(n for n in result if n != -1)
    if len(unknown) > 1 or any(n < -1 for n in result):
        raise ShapeError(f"{where}: expected sizes >= 0 and at most one -1, got {tuple(result)}")
    if unknown and known:
        result[unknown[0]] = size // known
        known *= result[unknown[0]]
    if known != size or (unknown and -1 in result):
        raise ShapeError(
            f"{where}: cannot see {shape} ({size} elements) as "
            f"{tuple(target) if isinstance(target, (tuple, list)) else (target,)}"
        )
    return tuple(result)


def view_strides(shape: Shape, strides: Shape, target: Shape) -> Shape | None:
    """Strides that show the same memory as `target`, or None if that needs a copy. The sizes must
    agree."""
    if 0 in shape:
        return contiguous_strides(target)
    sizes, (steps,) = collapse(shape, [strides])
    result: list[int] = []
    block, left, step = -1, 1, 0
    for n in target:
        if n == 1:
            result.append(0)
            continue
        if left == 1:
            block += 1
            left, step = sizes[block], steps[block] * sizes[block]
        if left % n:
            return None
        left //= n
        step //= n
        result.append(step)
    return tuple(result)


def reduced_shape(shape: Shape, axes: Shape, keepdims: bool) -> Shape:
    """The shape after reducing over `axes` (normalized)."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)
