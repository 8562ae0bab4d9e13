"""The one importer of the compiled module: memory, pointers, layouts, and the way from a status to
an exception."""

from __future__ import annotations

import os
from itertools import count
from typing import Any, Final, NoReturn

import numpy as np

from tensorgrad._C import ffi, lib
from tensorgrad._captures import captures, current_capture
from tensorgrad.dtypes import CODES, DTYPES, ITEMSIZES
from tensorgrad.errors import (
    ArgumentError,
    IndexOutOfRangeError,
    OutOfMemoryError,
    ShapeError,
    TensorgradError,
)
from tensorgrad.shapes import (
    Shape,
    broadcast_shapes,
    broadcast_strides,
    checked_size,
    collapse,
    contiguous_strides,
)

NULL: Final = ffi.NULL

# One rising number orders everything that the tape must compare: a node takes one when it records,
# a storage when it is written.
clock = count(1).__next__


# ---- memory --------------------------------------------------------------------------------------


class Storage:
    """A block of the C library's memory, given back when the last Tensor or node lets go of it."""

    __slots__ = ("__weakref__", "ptr", "views", "writer", "written")

    ptr: Any  # void *
    written: int  # the clock at the last write in place, 0 if there was none
    writer: str  # the op that made it; set with the first
    views: list[
        Any
    ]  # weak references to the views that a write has to be told of; set with the first


def finalized(cls: type) -> type:
    """Gives a class a `__del__` that calls `self.close()`. Where an interrupt is raised in it, `close`
    is called again and the interrupt is raised after it: in a `__del__` written in Python it would be
    lost, and the rest of the finalizer with it."""
    if lib.tg_set_finalizer(id(cls), 0):
        raise ImportError(f"tensorgrad: {cls.__name__} could not be given its finalizer")
    return cls


# tg_free(self.ptr), without a line of Python: it is the finalizer that runs most often
if lib.tg_set_finalizer(id(Storage), id(lib.tg_free)):
    raise ImportError("tensorgrad: Storage could not be given its finalizer")


# what getrefcount(t._storage) says of memory that t alone has: t's reference and the call's
SOLE_HOLDER = 2


class BorrowedStorage:
    """Memory of a NumPy array, which is kept alive."""

    __slots__ = ("__weakref__", "owner", "ptr", "views", "writer", "written")

    writer: str
    views: list[Any]

    def __init__(self, owner: np.ndarray[Any, Any]) -> None:
        self.owner = owner
        array = getattr(
            owner, "value", owner
        )  # it stands for an array while a function is recorded
        self.ptr = ffi.cast("void *", array.__array_interface__["data"][0])
        self.written = 0
        if captures and (capture := current_capture()) is not None:
            capture.borrowed(self)


_new_storage = Storage.__new__
_alloc = lib.tg_alloc


def allocate(nbytes: int) -> Storage:
    """An uninitialised block. Where the system has no memory its pointer is NULL, which the first
    kernel that is given it refuses (`fail`): the hot path has no test of its own, and writes these
    lines out."""
    storage = _new_storage(Storage)
    storage.ptr = _alloc(nbytes)
    storage.written = 0
    return storage


_CHAR_POINTER, _VOID_POINTER = ffi.typeof("char *"), ffi.typeof("void *")


def offset_pointer(ptr: Any, nbytes: int) -> Any:
    """`ptr` moved by a number of bytes: again a void *, which goes for a pointer to anything."""
    return ffi.cast(_VOID_POINTER, ffi.cast(_CHAR_POINTER, ptr) + nbytes)


def address_of(ptr: Any) -> int:
    """Where `ptr` points to."""
    return int(ffi.cast("uintptr_t", ptr))


class _Exposed:
    """What NumPy needs to see our memory and to keep it alive."""

    __slots__ = ("__array_interface__", "storage")

    def __init__(self, storage: Any, interface: dict[str, Any]) -> None:
        self.storage = storage
        self.__array_interface__ = interface


def as_ndarray(
    storage: Any, ptr: Any, shape: Shape, strides: Shape | None, code: int
) -> np.ndarray[Any, Any]:
    """A zero-copy NumPy view of a tensor's memory, which keeps that memory alive."""
    dtype = DTYPES[code]
    if not ptr:
        raise OutOfMemoryError(f"no memory for a buffer of shape {shape} and {dtype}")
    steps = None if strides is None else tuple(s * dtype.itemsize for s in strides)
    interface = {
        "version": 3,
        "typestr": dtype.str,
        "shape": shape,
        "strides": steps,
        "data": (address_of(ptr), False),
    }
    array = np.asarray(_Exposed(storage, interface))
    capture = current_capture()
    return array if capture is None else capture.watched(array)


def is_array(value: Any) -> bool:
    """Whether it is a NumPy array, or stands for one while a function is recorded."""
    return isinstance(value, np.ndarray) or getattr(value, "watched", False)


def in_c_order(array: Any) -> Any:
    """What NumPy computed, an array or a scalar, as an array in C order: itself if it is so already."""
    if isinstance(array, np.generic):
        return np.asarray(array)
    return array if array.flags.c_contiguous else array.copy()


def exposing_array(keeper: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Another array of the same memory, that keeps `keeper` alive as long as it or a view of it is."""
    return np.asarray(_Exposed(keeper, array.__array_interface__))


# ---- errors --------------------------------------------------------------------------------------


def fail(status: int, where: str, *storages: Storage | BorrowedStorage) -> NoReturn:
    """Raises the named error for a status of the C library. `storages` are the buffers just
    allocated for the call."""
    for storage in storages:
        if not storage.ptr:
            raise OutOfMemoryError(f"{where}: the system has no memory for the result")
    if status == lib.TG_NO_MEMORY:
        raise OutOfMemoryError(f"{where}: no memory for working buffers")
    if status == lib.TG_BAD_SIZE:
        raise ShapeError(f"{where}: a size is negative, or too large to be counted")
    if status == lib.TG_BAD_INDEX:
        raise IndexOutOfRangeError(f"{where}: an index is out of range")
    raise TensorgradError(f"{where}: the C library refused the call (status {status})")


# ---- names and layouts ---------------------------------------------------------------------------


def kernel_ids(family: int) -> dict[str, int]:
    """The ops of a C family, by name."""
    ids: dict[str, int] = {}
    while (name := lib.tg_op_name(family, len(ids))) != NULL:
        ids[ffi.string(name).decode()] = len(ids)
    return ids


UNARY = kernel_ids(lib.TG_UNARY)
BINARY = kernel_ids(lib.TG_BINARY)
REDUCE = kernel_ids(lib.TG_REDUCE)
ARGREDUCE = kernel_ids(lib.TG_ARGREDUCE)
SOFTMAX = kernel_ids(lib.TG_SOFTMAX)
RANDOM = kernel_ids(lib.TG_RANDOM)
ACTIVATION = kernel_ids(lib.TG_ACTIVATION)
SCAN = kernel_ids(lib.TG_SCAN)

_LAYOUT = ffi.typeof("tg_layout *")


def make_layout(shape: Shape, operands: list[Shape]) -> Any:
    """A tg_layout: `shape` walked by each operand with its strides, as few axes as possible."""
    sizes, steps = collapse(shape, operands)
    layout = ffi.new(_LAYOUT)
    layout.ndim = len(sizes)
    layout.shape[0 : len(sizes)] = sizes
    for i, step in enumerate(steps):
        layout.strides[i][0 : len(step)] = step
    return layout


_layouts: dict[Any, Any] = {}
_MAX_LAYOUTS = 4096


def scalar_layout(size: int) -> Any:
    """The layout of a contiguous array of `size` elements beside a single one. Kept for reuse."""
    found = _layouts.get(size)
    if found is None:
        if len(_layouts) >= _MAX_LAYOUTS:
            _layouts.clear()
        found = _layouts[size] = make_layout((size,), [(1,), (0,)])
    return found


def broadcast_layout(where: str, *operands: tuple[Shape, Shape | None]) -> tuple[Shape, Any]:
    """The broadcast shape of operands given as (shape, strides or None if contiguous), and the
    layout that walks them. Kept for reuse."""
    found = _layouts.get(operands)
    if found is None:
        shape: Shape = ()
        for operand_shape, _ in operands:
            shape = broadcast_shapes(shape, operand_shape, where)
        checked_size(shape, 8, where)
        found = (
            shape,
            make_layout(
                shape,
                [
                    broadcast_strides(
                        s, contiguous_strides(s) if strides is None else strides, shape
                    )
                    for s, strides in operands
                ],
            ),
        )
        if len(_layouts) >= _MAX_LAYOUTS:
            _layouts.clear()
        _layouts[operands] = found
    return found


# ---- configuration -------------------------------------------------------------------------------


def get_num_threads() -> int:
    """The number of threads that kernels may use.

    >>> import tensorgrad
    >>> tensorgrad.get_num_threads() >= 1
    True
    """
    return int(lib.tg_get_num_threads())


def set_num_threads(n: int) -> None:
    """Sets the number of threads that kernels may use, 1 to 256. Results are the same bits for any
    number.

    >>> import tensorgrad
    >>> before = tensorgrad.get_num_threads()
    >>> tensorgrad.set_num_threads(1)
    >>> tensorgrad.set_num_threads(before)
    """
    if not isinstance(n, int) or lib.tg_set_num_threads(max(min(n, 2**31 - 1), -1)) != lib.TG_OK:
        raise ArgumentError(f"set_num_threads: expected an integer from 1 to 256, got {n!r}")


def _available_isas() -> list[str]:
    names: list[str] = []
    while (name := lib.tg_isa_available(len(names))) != NULL:
        names.append(ffi.string(name).decode())
    return names


def _configure() -> None:
    """Applies TENSORGRAD_ISA and TENSORGRAD_NUM_THREADS."""
    isa = os.environ.get("TENSORGRAD_ISA")
    if isa and lib.tg_select_isa(isa.encode()) != lib.TG_OK:
        raise ArgumentError(
            f"TENSORGRAD_ISA: expected one of {', '.join(_available_isas())} on this machine, got "
            f"{isa!r}"
        )
    threads = os.environ.get("TENSORGRAD_NUM_THREADS")
    if threads:
        try:
            set_num_threads(int(threads))
        except ValueError:
            raise ArgumentError(
                f"TENSORGRAD_NUM_THREADS: expected an integer from 1 to 256, got {threads!r}"
            ) from None


_configure()


def memory_stats() -> dict[str, int]:
    """What the allocator holds, in bytes: `bytes_in_use`, `bytes_cached`, `cache_limit`,
    `peak_in_use`; and its calls to the system so far, `system_allocs` and `system_frees`.

    >>> import tensorgrad
    >>> tensorgrad.memory_stats()["bytes_cached"] <= tensorgrad.memory_stats()["cache_limit"]
    True
    """
    stats = ffi.new("tg_memory *")
    lib.tg_memory_stats(stats)
    return {field: getattr(stats, field) for field, _ in ffi.typeof("tg_memory").fields}


def release_memory() -> None:
    """Gives every cached block back to the system.

    >>> import tensorgrad
    >>> tensorgrad.release_memory()
    >>> tensorgrad.memory_stats()["bytes_cached"]
    0
    """
    lib.tg_memory_release()


def set_memory_limit(nbytes: int) -> None:
    """Bounds what the allocator keeps for reuse (not what tensors use), in bytes.

    >>> import tensorgrad
    >>> limit = tensorgrad.memory_stats()["cache_limit"]
    >>> tensorgrad.set_memory_limit(limit)
    """
    if (
        not isinstance(nbytes, int)
        or nbytes < 0
        or lib.tg_memory_set_limit(min(nbytes, 2**63 - 1)) != lib.TG_OK
    ):
        raise ArgumentError(f"set_memory_limit: expected a number of bytes >= 0, got {nbytes!r}")


def config() -> dict[str, str]:
    """What `show_config` prints."""
    caches = [
        f"L{level} {size // 1024} KiB" for level in (1, 2, 3) if (size := lib.tg_cache_bytes(level))
    ]
    return {
        "isa": f"{ffi.string(lib.tg_isa()).decode()} (available: {', '.join(_available_isas())})",
        "threads": f"{get_num_threads()} (default: {lib.tg_default_num_threads()})",
        "cpu cache": ", ".join(caches) or "unknown",
        "memory cache": f"at most {memory_stats()['cache_limit'] / 2**20:.0f} MiB",
        "compiler": ffi.string(lib.tg_compiler()).decode(),
        "build flags": ffi.string(lib.tg_build_flags()).decode(),
        "abi": str(lib.tg_abi_version()),
    }


__all__ = [
    "ACTIVATION",
    "ARGREDUCE",
    "BINARY",
    "CODES",
    "DTYPES",
    "ITEMSIZES",
    "NULL",
    "RANDOM",
    "REDUCE",
    "SCAN",
    "SOFTMAX",
    "UNARY",
    "BorrowedStorage",
    "Storage",
    "address_of",
    "allocate",
    "as_ndarray",
    "broadcast_layout",
    "clock",
    "config",
    "exposing_array",
    "fail",
    "ffi",
    "finalized",
    "get_num_threads",
    "in_c_order",
    "is_array",
    "kernel_ids",
    "lib",
    "make_layout",
    "memory_stats",
    "offset_pointer",
    "release_memory",
    "scalar_layout",
    "set_memory_limit",
    "set_num_threads",
]
