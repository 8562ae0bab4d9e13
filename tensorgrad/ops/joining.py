"""Tensors joined into one, and one taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from operator import index as to_int
from typing import Any, NamedTuple

import numpy as np

from tensorgrad._native import broadcast_layout, fail, lib, offset_pointer
from tensorgrad._tensor import Tensor, as_tensor, empty_raw
from tensorgrad.autograd import Case, Node, composite
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import record
from tensorgrad.autograd._traced import traced
from tensorgrad.dtypes import DTYPES, ITEMSIZES, promote
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.ops.shaping import reshape
from tensorgrad.shapes import Shape, checked_size, contiguous_strides, normalize_axis

# ---- joining -------------------------------------------------------------------------------------


def _concat_rule(gy: Tensor, node: Node) -> list[Tensor | None]:
    axis, stops = node.saved
    pieces: list[Tensor | None] = []
    start = 0
    for edge, stop in zip(node.edges, stops, strict=True):
        pieces.append(None if edge is None else _part(gy, axis, start, stop))
        start = stop
    return pieces


_concat_rule.__name__ = "concat"


@composite(
    reference=lambda arrays, axis=0: np.concatenate(list(arrays), axis),
    cases=(
        Case((3, 2, 3)),
        Case((2, 3, 2), axis=-1),
        Case((2, 0, 3)),
        Case((3, 2, 2), axis=None),
        Case([(2, 3), (1, 3)]),
    ),
    method=False,
)
def concat(arrays: Sequence[Tensor], /, axis: int | None = 0) -> Tensor:
    """Tensors joined along an axis, or flattened and joined if it is None. arrays: shapes equal but
    for that axis; of different dtypes all become the one that they combine to. Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.concat([tensorgrad.zeros(1), tensorgrad.ones(2)])
    tensor([0., 1., 1.])
    """
    parts = [t if t.__class__ is Tensor else as_tensor(t, "concat") for t in arrays]
    if not parts:
        raise ShapeError("concat: expected at least one tensor")
    code = parts[0]._code
    for t in parts:
        if t._code != code:
            code = promote(code, t._code)
    for i, t in enumerate(parts):
        if t._code != code:
            parts[i] = t.astype(DTYPES[code])
    if axis is None:
        parts = [reshape(t, (t._size,)) for t in parts]
        axis = 0
    if (found := traced(parts)) is not None:
        return found.apply(_concat, tuple(parts), {"axis": axis})
    axis = normalize_axis(axis, len(parts[0]._shape), "concat")
    key = tuple([(t._shape, t._strides) for t in parts])
    plan = _plans.get((axis, key))
    if plan is None:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        plan = _plans[axis, key] = _make_plan(axis, key)
    stops, shape, size, places = plan
    itemsize = ITEMSIZES[code]
    y = empty_raw(shape, size, code)
    recorded = False
    for t, (offset, layout) in zip(parts, places):
        at = offset_pointer(y._ptr, offset * itemsize) if offset else y._ptr
        status = lib.tg_copy(itemsize, t._ptr, at, layout)
        if status:
            fail(status, "concat", y._storage)
        recorded = recorded or t._node is not None
    if recorded and mode.enabled:
        record(y, _concat_rule, tuple(t._node for t in parts), (axis, stops))
    return y


class _Plan(NamedTuple):
    """How tensors of some shapes and strides are joined."""

    stops: list[int]  # where each ends along the axis
    shape: Shape  # of the result
    size: int
    places: list[tuple[int, Any]]  # of each: where it begins, in elements, and the copy's layout


_plans: dict[Any, _Plan] = {}
_MAX_PLANS = 1024


def _make_plan(axis: int, parts: tuple[tuple[Shape, Shape | None], ...]) -> _Plan:
    first = parts[0][0]
    rest = first[:axis] + first[axis + 1 :]
    for shape, _ in parts:
        if shape[:axis] + shape[axis + 1 :] != rest or len(shape) != len(first):
            raise ShapeError(
                f"concat: expected shapes equal but for axis {axis}, got {first} and {shape}"
            )
    stops = list(accumulate(shape[axis] for shape, _ in parts))
    whole = (*first[:axis], stops[-1], *first[axis + 1 :])
    steps = contiguous_strides(whole)
    places = []
    for (shape, strides), stop in zip(parts, stops):
        layout = broadcast_layout("concat", (shape, strides), (shape, steps))[1]
        # one without elements could begin anywhere, also outside of the memory
        places.append(((stop - shape[axis]) * steps[axis] if prod(shape) else 0, layout))
    return _Plan(stops, whole, checked_size(whole, 16, "concat"), places)


def _concat(*tensors: Tensor, axis: int) -> Tensor:
    return concat(tensors, axis)


_concat.batching = "concat"  # type: ignore[attr-defined]


@composite(
    reference=lambda arrays, axis=0: np.stack(list(arrays), axis),
    cases=(Case((2, 2, 3)), Case((3, 2), axis=-1), Case([(2,), (2,), (2,)], axis=-1)),
    method=False,
)
def stack(arrays: Sequence[Tensor], /, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis. Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.stack([tensorgrad.zeros(2), tensorgrad.ones(2)], axis=1)
    tensor([[0., 1.],
            [0., 1.]])
    """
    parts = [as_tensor(t, "stack") for t in arrays]
    if not parts:
        raise ShapeError("stack: expected at least one tensor")
    shape = parts[0]._shape
    for t in parts:
        if t._shape != shape:
            raise ShapeError(f"stack: expected one shape, got {shape} and {t.shape}")
    axis = normalize_axis(axis, len(shape) + 1, "stack")
    widened = (*shape[:axis], 1, *shape[axis:])
    return concat([reshape(t, widened) for t in parts], axis)


# ---- taking apart --------------------------------------------------------------------------------


def _part(x: Tensor, axis: int, start: int | None, stop: int | None) -> Tensor:
    key: Any = (slice(None),) * axis + (slice(start, stop),)
    return x[key]


@composite(
    reference=lambda x, indices_or_sections, axis=0: tuple(np.split(x, indices_or_sections, axis)),
    cases=(
        Case((6, 2), indices_or_sections=3),
        Case((2, 5), indices_or_sections=(1, 3), axis=1),
        Case((4,), indices_or_sections=[2, 2, 7]),
    ),
)
def split(x: Tensor, indices_or_sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The pieces of x along an axis, as in NumPy: so many equal ones, or those that begin and end at
    the positions given. Views. Raises ShapeError if the axis cannot be cut into equal pieces.

    >>> import tensorgrad
    >>> tensorgrad.split(tensorgrad.arange(5), [2])
    (tensor([0, 1]), tensor([2, 3, 4]))
    """
    x = as_tensor(x, "split")
    axis = normalize_axis(axis, len(x.shape), "split")
    n = x.shape[axis]
    several = isinstance(indices_or_sections, (Sequence, np.ndarray, Tensor))
    if several and getattr(indices_or_sections, "shape", None) != ():
        stops = [to_int(i) for i in indices_or_sections]
        return tuple(
            _part(x, axis, start, stop) for start, stop in zip([0, *stops], [*stops, None])
        )
    try:
        count = to_int(indices_or_sections)
    except TypeError:
        raise DTypeError(
            f"split: expected an integer or a sequence of integers, got {indices_or_sections!r}"
        ) from None
    if count < 1 or n % count:
        raise ShapeError(
            f"split: expected a number of pieces that divides {n}, the length of axis {axis}, got "
            f"{count}; for pieces that may differ in length see chunk"
        )
    size = n // count
    return tuple(_part(x, axis, i * size, (i + 1) * size) for i in range(count))


def _chunk_reference(x: np.ndarray, chunks: int, axis: int = 0) -> Any:
    size = -(-x.shape[axis] // chunks)
    return tuple(np.split(x, range(size, x.shape[axis], size), axis))


@composite(
    reference=_chunk_reference,
    cases=(Case((5, 2), chunks=3), Case((2, 4), chunks=2, axis=-1), Case((3,), chunks=9)),
)
def chunk(x: Tensor, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along an axis into `chunks` pieces or, where that does not come out even, fewer: all of
    one length but for the last, which may be shorter. Views. Raises ArgumentError.

    >>> import tensorgrad
    >>> tensorgrad.chunk(tensorgrad.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    x = as_tensor(x, "chunk")
    axis = normalize_axis(axis, len(x.shape), "chunk")
    if chunks < 1:
        raise ArgumentError(f"chunk: expected at least one piece, got {chunks}")
    n = x.shape[axis]
    if not n:
        return tuple(_part(x, axis, 0, 0) for _ in range(chunks))
    size = -(-n // chunks)
    return tuple(_part(x, axis, start, start + size) for start in range(0, n, size))


@composite(
    reference=lambda x, axis=0: tuple(np.moveaxis(x, axis, 0)),
    cases=(Case((3, 2)), Case((2, 3, 2), axis=-1)),
)
def unstack(x: Tensor, /, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts of x at each position along an axis, without that axis: the opposite of stack.
    Views.

    >>> import tensorgrad
    >>> tensorgrad.unstack(tensorgrad.tensor([[1, 2], [3, 4]]), axis=1)
    (tensor([1, 3]), tensor([2, 4]))
    """
    x = as_tensor(x, "unstack")
    axis = normalize_axis(axis, len(x.shape), "unstack")
    keys: list[Any] = [(*(slice(None),) * axis, i) for i in range(x.shape[axis])]
    return tuple(x[key] for key in keys)


__all__ = ["chunk", "concat", "split", "stack", "unstack"]
