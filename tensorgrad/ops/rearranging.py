"""The same elements in another order, or several times over."""

from __future__ import annotations

from operator import index as to_int
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.autograd import Case, composite
from tensorgrad.errors import DTypeError, ShapeError
from tensorgrad.ops.gathering import take
from tensorgrad.ops.joining import concat
from tensorgrad.ops.shaping import broadcast_to, reshape, swapaxes
from tensorgrad.shapes import Shape, normalize_axes, normalize_axis


def _integers(value: Any, where: str) -> list[int]:
    """An integer, or several, as a list."""
    try:
        if isinstance(value, (tuple, list)):
            return [to_int(n) for n in value]
        return [to_int(value)]
    except TypeError:
        raise DTypeError(f"{where}: expected integers, got {value!r}") from None


@composite(
    reference=np.flip,
    cases=(
        Case((3, 4)),
        Case((3, 4), axis=-1),
        Case((2, 3, 2), axis=(0, 2)),
        Case(()),
        Case((0, 2), axis=0),
    ),
)
def flip(x: Tensor, /, axis: Any = None) -> Tensor:
    """The elements in reverse order along axes (None: all): a view.

    >>> import tensorgrad
    >>> tensorgrad.flip(tensorgrad.arange(3))
    tensor([2, 1, 0])
    """
    x = as_tensor(x, "flip")
    axes = normalize_axes(axis, len(x.shape), "flip")
    back = slice(None, None, -1)
    return x[tuple(back if i in axes else slice(None) for i in range(len(x.shape)))]


@composite(
    reference=np.roll,
    cases=(
        Case((5,), shift=2),
        Case((3, 4), shift=-1, axis=1),
        Case((3, 4), shift=5),
        Case((3, 4), shift=(1, 2), axis=(0, 1)),
        Case((3, 4), shift=(1, 3), axis=1),
        Case((3, 4), shift=1, axis=(0, 1)),
        Case((0, 4), shift=1, axis=0),
        Case((), shift=3),
    ),
)
def roll(x: Tensor, /, shift: Any, axis: Any = None) -> Tensor:
    """The elements moved on by `shift` places along an axis, those past the end coming in at the
    beginning; without an axis, in the flattened x. shift, axis: integers, or several that broadcast.
    Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.roll(tensorgrad.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    x = as_tensor(x, "roll")
    shape = x.shape
    if axis is None:
        total = sum(_integers(shift, "roll"))
        return reshape(roll(reshape(x, (x.size,)), total, 0), shape)
    shifts, axes = _integers(shift, "roll"), _integers(axis, "roll")
    if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
        raise ShapeError(f"roll: expected a shift for each axis, got {shift} and {axis}")
    by_axis: dict[int, int] = {}
    for i in range(max(len(shifts), len(axes))):
        place = normalize_axis(axes[i % len(axes)], len(shape), "roll")
        by_axis[place] = by_axis.get(place, 0) + shifts[i % len(shifts)]
    y = x
    for place, by in by_axis.items():
        if shape[place] and (start := -by % shape[place]):
            lead: Any = (slice(None),) * place
            ends: Any = (*lead, slice(start, None)), (*lead, slice(0, start))
            y = concat([y[end] for end in ends], place)
    return x.copy() if y is x else y


@composite(
    reference=np.rot90,
    cases=(
        Case((2, 3)),
        Case((2, 3), k=2),
        Case((2, 3), k=-1),
        Case((2, 3), k=4),
        Case((2, 3, 4), k=3, axes=(2, 1)),
    ),
)
def rot90(x: Tensor, k: int = 1, axes: Any = (0, 1)) -> Tensor:
    """x turned k times by 90 degrees in the plane of two axes, from the first to the second: a view.
    Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.rot90(tensorgrad.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    x = as_tensor(x, "rot90")
    if len(axes) != 2:
        raise ShapeError(f"rot90: expected two axes, got {axes}")
    first, second = (normalize_axis(a, len(x.shape), "rot90") for a in axes)
    if first == second:
        raise ShapeError(f"rot90: expected two different axes, got {axes}")
    k %= 4
    if k == 2:
        return flip(x, (first, second))
    if k == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second) if k else flip(x, ())


@composite(
    reference=lambda x, repetitions: np.tile(x, repetitions),
    cases=(
        Case((3,), repetitions=2),
        Case((2, 3), repetitions=(2, 1)),
        Case((2, 3), repetitions=(2, 1, 3)),
        Case((2, 1, 3), repetitions=(2,)),
        Case((2, 3), repetitions=0),
        Case((), repetitions=(2, 2)),
        Case((2,), repetitions=()),
    ),
)
def tile(x: Tensor, repetitions: Any) -> Tensor:
    """Copies of x beside each other, `repetitions` times along each axis, from the last. A new
    tensor. Raises ShapeError for negative numbers.

    >>> import tensorgrad
    >>> tensorgrad.tile(tensorgrad.tensor([1, 2]), 2)
    tensor([1, 2, 1, 2])
    """
    x = as_tensor(x, "tile")
    times = _integers(repetitions, "tile")
    if any(n < 0 for n in times):
        raise ShapeError(f"tile: expected repetitions >= 0, got {repetitions}")
    ndim = max(len(times), len(x.shape))
    times = [1] * (ndim - len(times)) + times
    shape = (1,) * (ndim - len(x.shape)) + tuple(x.shape)
    return _repeated(x, shape, times, before=True)


def _repeated(x: Tensor, shape: Shape, times: list[int], before: bool) -> Tensor:
    """x, seen as `shape`, each axis of it repeated: as a whole (before) or element by element."""
    if all(n == 1 for n in times):
        return reshape(x.copy(), shape)
    parted: list[int] = []
    wide: list[int] = []
    for n, t in zip(shape, times):
        parted += [1, n] if before else [n, 1]
        wide += [t, n] if before else [n, t]
    y = broadcast_to(reshape(x, tuple(parted)), tuple(wide))
    return reshape(y, tuple(n * t for n, t in zip(shape, times)), copy=True)


@composite(
    reference=np.repeat,
    cases=(
        Case((3,), repeats=2),
        Case((2, 3), repeats=2, axis=1),
        Case((2, 3), repeats=2),
        Case((2, 3), repeats=np.array([1, 0, 2]), axis=-1),
        Case((2, 2), repeats=[2, 0, 1, 1]),
        Case((2, 2), repeats=0, axis=0),
        Case((), repeats=3),
    ),
)
def repeat(x: Tensor, repeats: Any, axis: int | None = None) -> Tensor:
    """Each element (without an axis, of the flattened x; else each part along it) so many times in a
    row. repeats: an integer, or one for each, which may be a tensor. A new tensor. Raises
    ShapeError, DTypeError.

    >>> import tensorgrad
    >>> tensorgrad.repeat(tensorgrad.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    x = as_tensor(x, "repeat")
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    axis = normalize_axis(axis, len(x.shape), "repeat")
    n = x.shape[axis]
    counts = np.asarray(repeats._array() if isinstance(repeats, Tensor) else repeats)
    if counts.size and counts.dtype.kind not in "iu":
        raise DTypeError(f"repeat: expected integers, got {counts.dtype}")
    if (counts < 0).any():
        raise ShapeError(f"repeat: expected repeats >= 0, got {repeats}")
    if counts.size == 1:
        times = [1] * len(x.shape)
        times[axis] = int(counts.reshape(-1)[0])
        return _repeated(x, tuple(x.shape), times, before=False)
    if counts.shape != (n,):
        raise ShapeError(f"repeat: expected one number or {n} of them, got shape {counts.shape}")
    places = np.repeat(np.arange(n), counts.astype(np.int64))
    return take(x, wrap_array(places), axis)


__all__ = ["flip", "repeat", "roll", "rot90", "tile"]
