"""The gradients of mul and div by both operands in one pass (csrc/families/binary_grad.c), while nothing
records them: neither a tape for a second derivative, nor a program that is being compiled, which fuses
their steps itself. The bits are those of the steps."""

from __future__ import annotations

from typing import Any, NamedTuple

from tensorgrad._native import NULL, fail, ffi, lib
from tensorgrad._tensor import Tensor, empty_raw
from tensorgrad.autograd._recorded import un_broadcast
from tensorgrad.shapes import Shape, broadcast_shapes, broadcast_strides, contiguous_strides, spread


class _Plan(NamedTuple):
    call: Any  # the tg_gradient_plan
    copied: tuple[bool, bool, bool]  # which of gy, a, b must be made contiguous first
    sums_a: bool
    sums_b: bool


_PLAN = ffi.typeof("tg_gradient_plan *")
LARGE = 1 << 19  # elements; measured: from here on it pays to read gy once instead of twice
_plans: dict[Any, _Plan | None] = {}
_MAX_PLANS = 1024


def _spread(shape: Shape, strides: Shape | None, full: Shape) -> tuple[int, int] | None:
    return spread(
        full,
        broadcast_strides(shape, contiguous_strides(shape) if strides is None else strides, full),
    )


def _sum_unit(n: int, shape: Shape, full: Shape, found: tuple[int, int]) -> int:
    """The tg_tiles_unit of the sum over what repeats an operand of `shape`, whose memory fills `full` so;
    0 if nothing does, or that is no sum of a chain."""
    repeat, period = found
    if period == n or found != _spread(shape, None, full):  # its own memory may repeat elements
        return 0
    if repeat == 1:
        return int(lib.tg_tiles_unit(1, n // period, period))
    return int(lib.tg_tiles_unit(period, repeat, 1)) if repeat * period == n else 0


def _make_plan(operands: tuple[tuple[Shape, Shape | None], ...]) -> _Plan | None:
    """For gy, a and b, given as (shape, strides or None if contiguous); None if there is none."""
    full = operands[0][0]
    if broadcast_shapes(operands[1][0], operands[2][0], "gradient") != full:
        return None
    n = 1
    for size in full:
        n *= size
    spreads, copied, units = [], [], []
    for shape, strides in operands:
        found = _spread(shape, strides, full)
        copied.append(found is None)
        found = found or _spread(shape, None, full)
        if found is None:
            return None
        spreads.append(found)
        units.append(_sum_unit(n, shape, full, found))
    call = ffi.new(_PLAN)
    call.n = n
    for target, (repeat, period) in zip((call.gy, call.a, call.b), spreads):
        target.repeat, target.period = repeat, period
    call.sums_a = units[1] > 0
    call.sums_b = units[2] > 0 and units[1] in (0, units[2])
    return _Plan(call, (copied[0], copied[1], copied[2]), bool(call.sums_a), bool(call.sums_b))


def both_gradients(
    name: str,
    kernel: int,
    gy: Tensor,
    a: Any,
    b: Any,
    shapes: Any,
    wanted: tuple[bool, bool],
    single: bool,
) -> list[Tensor | None] | None:
    """[ga, gb] of y = a op b, None for one that is not wanted; None if they cannot be had so, or it
    does not pay, each being a single step. a, b: as saved, None where not needed; shapes: theirs, None
    if they are gy's."""
    full = gy._shape
    a_shape, b_shape = shapes or (full, full)
    key = (
        (full, gy._strides),
        (a_shape, None if a is None else a._strides),
        (b_shape, None if b is None else b._strides),
    )
    try:
        plan = _plans[key]
    except KeyError:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        plan = _plans[key] = _make_plan(key) if gy._size else None
    if plan is None:
        return None
    call, copied, sums_a, sums_b = plan
    by_a, by_b = wanted
    if single:
        summed = (by_a and sums_a) or (by_b and sums_b)
        if not summed and (gy._size < LARGE or True in copied or not (by_a and by_b)):
            return None
    if True in copied:
        gy, a, b = (t.contiguous() if copy else t for t, copy in zip((gy, a, b), copied))
    ga = gb = None
    size, code = call.n, gy._code
    if by_a:
        ga = empty_raw(a_shape, call.a.period, code) if sums_a else empty_raw(full, size, code)
    if by_b:
        gb = empty_raw(b_shape, call.b.period, code) if sums_b else empty_raw(full, size, code)
    status = lib.tg_binary_grad(
        kernel,
        code,
        call,
        gy._ptr,
        NULL if a is None else a._ptr,
        NULL if b is None else b._ptr,
        NULL if ga is None else ga._ptr,
        NULL if gb is None else gb._ptr,
    )
    if status:
        fail(status, name, *(t._storage for t in (ga, gb) if t is not None))
    return [
        ga if ga is None or sums_a else un_broadcast(ga, a_shape),
        gb if gb is None or sums_b else un_broadcast(gb, b_shape),
    ]


__all__ = ["both_gradients"]
