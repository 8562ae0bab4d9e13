"""Memory that NumPy can write to: arrays handed out by `numpy()`, arrays taken in without a copy.

NumPy tells nobody of its writes. So a fingerprint of such memory is compared: when an operation saves a
tensor in it for backward, when a backward starts, and when the array is gone. A change in between is
stamped on the storage like any other write in place, and the backward that needed the old values says
so. Memory that no graph has saved is not looked at."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from weakref import ref

import numpy as np

from tensorgrad._captures import current_capture
from tensorgrad._native import (
    BorrowedStorage,
    Storage,
    as_ndarray,
    clock,
    exposing_array,
    ffi,
    finalized,
    lib,
)
from tensorgrad.autograd._tape import Node, before_backward, watchers
from tensorgrad.shapes import Shape

WRITER = "NumPy (an array that shares its memory)"
_MOST_NODES = 64  # before those that are gone are dropped


@finalized
class Exposure:
    """One way by which NumPy can write to a storage.

    array: that memory; ptr: its beginning, None where the array has gaps. print: its fingerprint when
    it was last looked at, None before. written: the storage's stamp then. nodes: those that saved it,
    as far as is known; saved_before: whether there may be others, recorded before."""

    __slots__ = (
        *("__weakref__", "array", "key", "nodes", "print", "ptr", "saved_before", "storage"),
        "written",
    )

    def __init__(
        self, array: np.ndarray[Any, Any], ptr: Any, storage: Any, saved_before: bool
    ) -> None:
        """ptr: to the array's first element."""
        self.array = array
        self.ptr = ptr if _fills_memory(array) else None
        self.storage = ref(storage)
        self.print: int | None = None
        self.written = storage.written
        self.nodes: list[ref[Node]] = []
        self.saved_before = saved_before
        self.key = id(storage)
        if look_at_saved not in watchers:
            watchers.append(look_at_saved)
        if look_at_needed not in before_backward:
            before_backward.append(look_at_needed)
        exposures.setdefault(self.key, []).append(ref(self))
        if saved_before:
            needed[id(self)] = ref(self)
            self.look(clock())

    def is_needed(self) -> bool:
        """Whether a graph may still need what the memory held."""
        self.nodes = [r for r in self.nodes if (node := r()) is not None and node.rule is not None]
        return self.saved_before or bool(self.nodes)

    def look(self, now: int) -> None:
        """Stamps the storage as written at `now` if it was, by NumPy, since the last look."""
        storage = self.storage()
        if storage is None:
            return
        array = self.array
        if self.ptr is None:
            array = np.ascontiguousarray(array)
            found = lib.tg_fingerprint(array.nbytes, ffi.from_buffer(array))
        else:
            found = lib.tg_fingerprint(array.nbytes, self.ptr)
        if self.print not in (None, found) and storage.written == self.written:
            storage.written = now
            storage.writer = WRITER
        self.print = found
        self.written = storage.written

    def saved_by(self, node: Node) -> None:
        """Takes note of a node that has just saved the memory: what was written until now was so
        before it."""
        self.look(node.seq)
        if len(self.nodes) >= _MOST_NODES:
            self.is_needed()
        self.nodes.append(ref(node))
        needed[id(self)] = ref(self)

    def close(self) -> None:
        if not hasattr(self, "key"):  # interrupted while it was made
            return
        needed.pop(id(self), None)
        others = [r() for r in exposures.get(self.key, ())]
        left = [ref(other) for other in others if other is not None and other is not self]
        if left:
            exposures[self.key] = left
            return
        exposures.pop(self.key, None)
        if not exposures:
            with suppress(ValueError):
                watchers.remove(look_at_saved)
            with suppress(ValueError):
                before_backward.remove(look_at_needed)


def _fills_memory(array: Any) -> bool:
    """Whether the array's elements lie without gaps from the first on, in the order of some of its axes:
    as those of a transposed matrix do."""
    step = array.itemsize
    for stride, n in sorted(zip(array.strides, array.shape)):
        if n != 1 and stride != step:
            return array.size == 0
        step *= n
    return True


exposures: dict[int, list[ref[Exposure]]] = {}  # those that exist, by the id of their storage
needed: dict[int, ref[Exposure]] = {}  # those that a graph may need, by id


def look_at_needed() -> None:
    """Looks at the exposed memory that a graph needs."""
    now = clock()
    for key, reference in list(needed.items()):
        exposure = reference()
        if exposure is not None and exposure.is_needed():
            exposure.look(now)
        else:
            needed.pop(key, None)


def look_at_saved(output: Any) -> None:
    """Looks at the exposed memory that the node of `output` saved."""
    node = output._node
    storages: set[int] = set()
    _collect(node.saved, storages)
    for key in storages & exposures.keys():
        for reference in list(exposures.get(key, ())):
            exposure = reference()
            if exposure is not None:
                exposure.saved_by(node)


def _collect(saved: Any, storages: set[int]) -> None:
    if isinstance(saved, (tuple, list)):
        for part in saved:
            _collect(part, storages)
    else:
        storages.add(id(getattr(saved, "_storage", saved)))


class UserStorage(BorrowedStorage):
    """Memory of a NumPy array that its owner may write to."""

    __slots__ = ("exposure",)

    def __init__(self, owner: np.ndarray[Any, Any]) -> None:
        super().__init__(owner)
        self.exposure = Exposure(owner, self.ptr, self, False)


@finalized
class Handed:
    """Keeps the memory of an array that was handed out, and looks at it a last time when the array
    and all its views are gone."""

    __slots__ = ("exposure", "storage")

    def __init__(
        self,
        storage: Storage | BorrowedStorage,
        array: np.ndarray[Any, Any],
        ptr: Any,
        saved_before: bool,
    ) -> None:
        self.storage = storage
        self.exposure = Exposure(array, ptr, storage, saved_before)

    def close(self) -> None:
        exposure = getattr(self, "exposure", None)  # there is none if it was interrupted
        if exposure is not None and exposure.is_needed():
            exposure.look(clock())


def hand_out(
    storage: Storage | BorrowedStorage,
    ptr: Any,
    shape: Shape,
    strides: Shape | None,
    code: int,
    saved_before: bool,
) -> np.ndarray[Any, Any]:
    """A NumPy array of a tensor's memory, writes to which are noticed. saved_before: whether a node
    may have saved the memory already."""
    array = as_ndarray(storage, ptr, shape, strides, code)
    capture = current_capture()
    if capture is not None:
        return capture.handed_out(array)
    keeper = Handed(storage, array, ptr, saved_before)
    return exposing_array(keeper, array)


__all__ = ["Exposure", "UserStorage", "hand_out"]
