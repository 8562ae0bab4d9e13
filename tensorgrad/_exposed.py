"""Memory that NumPy can write to: arrays handed out by `numpy()`, arrays taken in without a copy.

NumPy tells nobody of its writes. So a fingerprint of such memory is taken: when it is handed out, when
an operation saves a tensor in it for backward, when a backward starts, and when the array is gone. A
change in between is stamped on the storage like any other write in place, and the backward that needed
the old values says so."""

from __future__ import annotations

from typing import Any
from weakref import ref

import numpy as np

from tensorgrad._native import BorrowedStorage, Storage, as_ndarray, clock, exposing_array, ffi, lib
from tensorgrad.autograd._tape import before_backward, watchers
from tensorgrad.shapes import Shape

WRITER = "NumPy (an array that shares its memory)"


class Exposure:
    """One way by which NumPy can write to a storage.

    array: that memory; ptr: its beginning if it is contiguous, else None. print: its fingerprint when
    it was last looked at, None before. written: the storage's stamp then."""

    __slots__ = ("__weakref__", "array", "print", "ptr", "storage", "written")

    def __init__(self, array: np.ndarray[Any, Any], ptr: Any, storage: Any) -> None:
        self.array = array
        self.ptr = ptr
        self.storage = ref(storage)
        self.print: int | None = None
        self.written = storage.written
        if not exposures:
            watchers.append(look_at_saved)
            before_backward.append(look_at_all)
        exposures[id(self)] = ref(self)

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

    def __del__(self) -> None:
        del exposures[id(self)]
        if not exposures:
            watchers.remove(look_at_saved)
            before_backward.remove(look_at_all)


exposures: dict[int, ref[Exposure]] = {}  # those that exist, by id


def look_at_all() -> None:
    """Looks at all exposed memory."""
    now = clock()
    for reference in list(exposures.values()):
        exposure = reference()
        if exposure is not None:
            exposure.look(now)


def look_at_saved(output: Any) -> None:
    """Looks at the exposed memory that the node of `output` saved: what was written until now was so
    before it."""
    node = output._node
    storages: set[int] = set()
    _collect(node.saved, storages)
    for reference in list(exposures.values()):
        exposure = reference()
        if exposure is not None and id(exposure.storage()) in storages:
            exposure.look(node.seq)


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
        self.exposure = Exposure(owner, self.ptr if owner.flags.c_contiguous else None, self)


class Handed:
    """Keeps the memory of an array that was handed out, and looks at it a last time when the array
    and all its views are gone."""

    __slots__ = ("exposure", "storage")

    def __init__(
        self, storage: Storage | BorrowedStorage, array: np.ndarray[Any, Any], ptr: Any
    ) -> None:
        self.storage = storage
        self.exposure = Exposure(array, ptr, storage)
        self.exposure.look(clock())

    def __del__(self) -> None:
        self.exposure.look(clock())


def hand_out(
    storage: Storage | BorrowedStorage, ptr: Any, shape: Shape, strides: Shape | None, code: int
) -> np.ndarray[Any, Any]:
    """A NumPy array of a tensor's memory, writes to which are noticed."""
    array = as_ndarray(storage, ptr, shape, strides, code)
    return exposing_array(Handed(storage, array, ptr if strides is None else None), array)


__all__ = ["Exposure", "UserStorage", "hand_out"]
