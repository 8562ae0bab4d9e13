"""Work over many tensors in one C call: what optimizers and gradient clipping do at every step.

These write tensors in place and are not recorded. They are no ops: nothing here has a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tensorgrad._native import NULL, clock, fail, ffi, lib
from tensorgrad._tensor import Tensor, copy_into, copy_raw
from tensorgrad.dtypes import F64
from tensorgrad.errors import DTypeError

_POINTERS = ffi.typeof("void *[]")
_SIZES = ffi.typeof("int64_t[]")


def by_dtype(tensors: Sequence[Tensor], where: str) -> list[list[Tensor]]:
    """The tensors in groups of one dtype. Raises DTypeError unless all are float32 or float64."""
    groups: dict[int, list[Tensor]] = {}
    for t in tensors:
        if t._code > F64:
            raise DTypeError(f"{where}: expected float32 or float64, got {t.dtype}")
        groups.setdefault(t._code, []).append(t)
    return list(groups.values())


def total_norm_squared(tensors: Sequence[Tensor], where: str = "total_norm_squared") -> float:
    """The sum of the squares of all elements, accumulated in double. tensors: any shapes, float.
    Raises DTypeError.

    >>> import tensorgrad
    >>> from tensorgrad.ops.multi import total_norm_squared
    >>> total_norm_squared([tensorgrad.ones(3), tensorgrad.full((2, 2), 2.0)])
    19.0
    """
    total = ffi.new("double *")
    sums = []
    for group in by_dtype(tensors, where):
        group = [t if t._strides is None else copy_raw(t) for t in group]
        pointers = ffi.new(_POINTERS, [t._ptr for t in group])
        sizes = ffi.new(_SIZES, [t._size for t in group])
        status = lib.tg_multi_sumsq(group[0]._code, len(group), sizes, pointers, total)
        if status:
            fail(status, where)
        sums.append(total[0])
    return math.fsum(sums) if all(map(math.isfinite, sums)) else sum(sums)


def scale_all(tensors: Sequence[Tensor], factor: float, where: str = "scale_all") -> None:
    """Multiplies every element by `factor`, in place. tensors: any shapes, float. Raises
    DTypeError.

    >>> import tensorgrad
    >>> from tensorgrad.ops.multi import scale_all
    >>> t = tensorgrad.ones(2)
    >>> scale_all([t], 3.0)
    >>> t
    tensor([3., 3.])
    """
    number = ffi.new("double *", factor)
    for group in by_dtype(tensors, where):
        dense = [t if t._strides is None else copy_raw(t) for t in group]
        pointers = ffi.new(_POINTERS, [t._ptr for t in dense])
        sizes = ffi.new(_SIZES, [t._size for t in dense])
        status = lib.tg_multi_scale(group[0]._code, len(group), sizes, pointers, number)
        if status:
            fail(status, where)
        now = clock()
        for t, scaled in zip(group, dense):
            if scaled is not t:
                copy_into(t, scaled, where)
            t._storage.written = now
            t._storage.writer = where


class SGDTables:
    """The arguments of the C call that updates `parameters` (one float dtype, contiguous), made
    once.

    momenta: a buffer for each parameter, shaped like it, or None without momentum. started: for
    each buffer whether it holds a value yet. Between steps only the gradients' pointers change."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        momenta: Sequence[Tensor] | None,
        started: Sequence[bool],
    ) -> None:
        self.parameters = tuple(parameters)
        self.momenta = momenta
        self.storages = tuple([p._storage for p in parameters])
        self.code = parameters[0]._code
        self.count = len(parameters)
        self.sizes = ffi.new(_SIZES, [p._size for p in parameters])
        self.pointers = ffi.new(_POINTERS, [p._ptr for p in parameters])
        self.gradients = ffi.new(_POINTERS, self.count)
        self.buffers: Any = NULL
        if momenta is not None:
            self.buffers = ffi.new(_POINTERS, [m._ptr for m in momenta])
        self.started = ffi.new("uint8_t[]", [*started])
        self.waiting = not all(started)  # whether a buffer may start to hold a value
        self.hyper = ffi.new("double[6]")
        self.values: tuple[float, ...] = ()  # what hyper holds


def sgd_step(tables: SGDTables, values: tuple[float, ...]) -> bool:
    """One step of stochastic gradient descent over the parameters that have a gradient.

    values: learning rate, momentum, dampening, weight decay, nesterov, maximize, as in tg_sgd.
    Returns False, and the parameters are as before, if the tables do not fit any more: a parameter
    has other memory, or momentum came or went."""
    if values != tables.values:
        if (values[1] != 0) is not (tables.momenta is not None):
            return False
        tables.hyper[0:6] = values
        tables.values = values
    gradients = tables.gradients
    storages = tables.storages
    copies = None  # keeps the copies of strided gradients alive until after the call
    now = clock()
    for i, p in enumerate(tables.parameters):
        storage = storages[i]
        if p._storage is not storage:
            return False
        leaf = p._node
        gradient = None if leaf is None else leaf.grad
        if gradient is None:
            gradients[i] = NULL
        else:
            if gradient._strides is not None:
                gradient = copy_raw(gradient)
                copies = [gradient] if copies is None else [*copies, gradient]
            gradients[i] = gradient._ptr
            storage.written = now
            storage.writer = "SGD.step"
    status = lib.tg_sgd(
        tables.code, tables.count, tables.sizes, tables.pointers, gradients, tables.buffers, tables.started,
        tables.hyper,
    )  # fmt: skip
    if status:
        fail(status, "SGD.step")
    return True


def drop_gradients(parameters: Sequence[Tensor]) -> None:
    """Sets every `.grad` to None, so that the next backward keeps its gradients without a copy."""
    for p in parameters:
        leaf = p._node
        if leaf is not None:
            leaf.grad = None


__all__ = ["SGDTables", "by_dtype", "drop_gradients", "scale_all", "sgd_step", "total_norm_squared"]
