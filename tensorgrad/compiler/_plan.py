"""Where a program's own buffers lie: one arena, in which a buffer takes the place of those that are not
needed any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorgrad._native import lib

_ALIGNMENT = lib.TG_ALIGNMENT


class Plan:
    """offsets: by the id of a buffer, where it begins. nbytes: of the arena. bound: what is needed at
    the fullest moment at least. separate: what the buffers would take without sharing."""

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.nbytes = 0
        self.bound = 0
        self.separate = 0


def lifetimes(records: Sequence[Any], buffers: Sequence[Any]) -> dict[int, tuple[int, int]]:
    """By the id of a buffer of the program's own: the first and the last step that use it."""
    found: dict[int, tuple[int, int]] = {}
    own = {id(b) for b in buffers if b.kind in ("local", "result")}
    for i, record in enumerate(records):
        for access in record.accesses:
            key = id(access.buffer)
            if key in own:
                found[key] = (found[key][0] if key in found else i, i)
    return found


def _padded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // _ALIGNMENT) * _ALIGNMENT


def plan_memory(records: Sequence[Any], buffers: Sequence[Any], share: bool = True) -> Plan:
    """Largest first, each at the lowest place that is free during its life."""
    plan = Plan()
    lives = lifetimes(records, buffers)
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, first, last)
    waiting = [b for b in buffers if id(b) in lives]
    for buffer in sorted(waiting, key=lambda b: (-b.nbytes, b.number)):
        first, last = lives[id(buffer)]
        nbytes = _padded(buffer.nbytes)
        offset = 0
        for begin, end, other_first, other_last in placed:  # by rising offset
            if share and (other_last < first or last < other_first):
                continue
            if begin - offset >= nbytes:
                break
            offset = max(offset, end)
        plan.offsets[id(buffer)] = offset
        placed.append((offset, offset + nbytes, first, last))
        placed.sort()
        plan.nbytes = max(plan.nbytes, offset + nbytes)
        plan.separate += nbytes
    loads = [0] * (len(records) + 1)
    for buffer in waiting:
        first, last = lives[id(buffer)]
        loads[first] += _padded(buffer.nbytes)
        loads[last + 1] -= _padded(buffer.nbytes)
    now = 0
    for change in loads:
        now += change
        plan.bound = max(plan.bound, now)
    return plan


__all__ = ["Plan", "lifetimes", "plan_memory"]
