"""Work over many tensors in one C call: what optimizers and gradient clipping do at every step.

These write tensors in place and are not recorded. They are no ops: nothing here has a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

from tensorgrad._captures import current_capture
from tensorgrad._native import NULL, clock, fail, ffi, lib
from tensorgrad._tensor import Tensor, copy_into, copy_raw, empty_raw, full_raw
from tensorgrad.dtypes import F64
from tensorgrad.errors import DTypeError
from tensorgrad.ops.arithmetic import add
from tensorgrad.ops.pointwise import sqrt

_POINTERS = ffi.typeof("void *[]")
_SIZES = ffi.typeof("int64_t[]")


def pointers_of(tensors: Sequence[Tensor]) -> Any:
    """A table of the tensors' pointers."""
    return ffi.new(_POINTERS, [t._ptr for t in tensors])


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
        sizes = ffi.new(_SIZES, [t._size for t in group])
        status = lib.tg_multi_sumsq(group[0]._code, len(group), sizes, pointers_of(group), total)
        if status:
            fail(status, where)
        sums.append(total[0])
    return math.fsum(sums) if all(map(math.isfinite, sums)) else sum(sums)


def norm_of_all(tensors: Sequence[Tensor], where: str = "norm_of_all") -> Tensor:
    """The Euclidean norm of all elements together. tensors: any shapes, float. Returns 0-d, float64.
    Raises DTypeError.

    >>> import tensorgrad
    >>> from tensorgrad.ops.multi import norm_of_all
    >>> norm_of_all([tensorgrad.ones(3), tensorgrad.full((2, 2), 1.5)]).item()
    3.4641016151377544
    """
    sums = [full_raw((), 1, F64, 0.0)]
    for group in by_dtype(tensors, where):
        group = [t if t._strides is None else copy_raw(t) for t in group]
        sizes = ffi.new(_SIZES, [t._size for t in group])
        total = empty_raw((), 1, F64)
        status = lib.tg_multi_sumsq(
            group[0]._code, len(group), sizes, pointers_of(group), total._ptr
        )
        if status:
            fail(status, where, total._storage)
        sums.append(total)
    return sqrt(reduce(add, sums))


def scale_all(tensors: Sequence[Tensor], factor: float | Tensor, where: str = "scale_all") -> None:
    """Multiplies every element by `factor`, in place. tensors: any shapes, float; factor: a number, or
    in a tensor: 0-d, float64. Raises DTypeError.

    >>> import tensorgrad
    >>> from tensorgrad.ops.multi import scale_all
    >>> t = tensorgrad.ones(2)
    >>> scale_all([t], 3.0)
    >>> t
    tensor([3., 3.])
    """
    number = factor._ptr if isinstance(factor, Tensor) else ffi.new("double *", factor)
    for group in by_dtype(tensors, where):
        dense = [t if t._strides is None else copy_raw(t) for t in group]
        sizes = ffi.new(_SIZES, [t._size for t in dense])
        status = lib.tg_multi_scale(dense[0]._code, len(dense), sizes, pointers_of(dense), number)
        if status:
            fail(status, where)
        now = clock()
        for t, scaled in zip(group, dense):
            if scaled is not t:
                copy_into(t, scaled, where)
            t._storage.written = now
            t._storage.writer = where


class ParameterTables:
    """The arguments of a C call over `parameters` (one float dtype, contiguous), made once. Between
    steps only the gradients' pointers change."""

    def __init__(self, parameters: Sequence[Tensor], where: str, hyper: str) -> None:
        self.parameters = tuple(parameters)
        self.where = where
        self.storages = tuple([(p, p._storage) for p in parameters])
        self.gradients = ffi.new(_POINTERS, len(parameters))
        self.hyper = ffi.new(hyper)
        self.values: tuple[Any, ...] = ()  # what hyper holds
        # the options are the same for all of them
        self.options = ffi.new("double *[]", [self.hyper] * len(parameters))
        self.arguments: tuple[Any, ...] = (
            parameters[0]._code,
            len(parameters),
            ffi.new(_SIZES, [p._size for p in parameters]),
            pointers_of(parameters),
            self.gradients,
            NULL,  # no factors on the gradients
        )

    def gather(self) -> tuple[Tensor, ...] | None:
        """Puts the gradients' pointers, NULL where there is none, into `gradients` and notes the
        coming write on their parameters. Returns what must stay alive until after the call: copies
        of strided gradients; or None if a parameter has other memory than the tables say, and then
        nothing may be called."""
        gradients = self.gradients
        where = self.where
        copies: tuple[Tensor, ...] = ()
        now = clock()
        for i, (p, storage) in enumerate(self.storages):
            if p._storage is not storage:
                return None
            leaf = p._node
            if leaf is None or (gradient := leaf.grad) is None:
                gradients[i] = NULL
            else:
                if gradient._strides is not None:
                    gradient = copy_raw(gradient)
                    copies = (*copies, gradient)
                gradients[i] = gradient._ptr
                storage.written = now
                storage.writer = where
        return copies


class SGDTables(ParameterTables):
    """The tables of stochastic gradient descent.

    momenta: a buffer for each parameter, shaped like it, or None without momentum. started: for
    each buffer whether it holds a value yet; those that do not are zeros."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        momenta: Sequence[Tensor] | None,
        started: Sequence[bool],
    ) -> None:
        super().__init__(parameters, "SGD.step", "double[6]")
        self.momenta = momenta
        self.started = ffi.new("uint8_t[]", [*started])
        self.waiting = not all(started)  # whether a buffer may start to hold a value
        self.arguments += (
            NULL if momenta is None else pointers_of(momenta),
            ffi.new("uint8_t *[]", [self.started + i for i in range(len(started))]),
            self.options,
        )

    def take(self, values: tuple[Any, ...]) -> bool:
        """Puts the options where the kernel reads them; False if the tables do not fit them."""
        if values != self.values:
            if (values[1] != 0) is not (self.momenta is not None):
                return False
            self.hyper[0:6] = values
            self.values = values
        return True

    def step(self, values: tuple[Any, ...]) -> bool:
        """One step over the parameters that have a gradient.

        values: learning rate, momentum, dampening, weight decay, nesterov, maximize, as in tg_sgd.
        Returns False, and the parameters are as before, if the tables do not fit any more: a
        parameter has other memory, or momentum came or went."""
        copies = self.gather() if self.take(values) else None
        if copies is None:
            return False
        status = lib.tg_sgd(*self.arguments)
        if status:
            fail(status, self.where)
        return True


class AdamTables(ParameterTables):
    """The tables of Adam and AdamW.

    averages: for each of the running averages (of the gradient, of its square, with amsgrad also
    the largest of the latter) a buffer for each parameter, shaped like it. done: for each parameter
    the number of its steps, 0-d float32; what has made none has buffers of zeros."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        averages: Sequence[Sequence[Tensor]],
        done: Sequence[Tensor],
        where: str,
    ) -> None:
        super().__init__(parameters, where, "double[7]")
        self.averages = averages
        self.done = done
        self.amsgrad = len(averages) == 3
        self.waiting = not all(n.item() for n in done)  # whether a parameter may make its first
        self.arguments += (
            *map(pointers_of, averages),
            *([] if self.amsgrad else [NULL]),
            ffi.new("float *[]", [n._ptr for n in done]),
            self.options,
        )

    def take(self, values: tuple[Any, ...]) -> bool:
        """Puts the options where the kernel reads them; False if the tables do not fit them."""
        if values != self.values:
            if bool(values[6]) is not self.amsgrad:
                return False
            lr, (beta1, beta2), *others = values
            self.hyper[0:7] = (lr, beta1, beta2, *others[:4])
            self.values = (lr, (beta1, beta2), *others)
        return True

    def step(self, values: tuple[Any, ...]) -> bool:
        """One step over the parameters that have a gradient.

        values: learning rate, the two betas, eps, weight decay, decoupled, maximize, amsgrad, as in
        tg_adam. Returns False, and the parameters are as before, if the tables do not fit any more:
        a parameter has other memory, or amsgrad came or went."""
        copies = self.gather() if self.take(values) else None
        if copies is None:
            return False
        status = lib.tg_adam(*self.arguments)
        if status:
            fail(status, self.where)
        return True


def drop_gradients(parameters: Iterable[Tensor]) -> None:
    """Sets every `.grad` to None, so that the next backward keeps its gradients without a copy."""
    capture = current_capture()
    for p in parameters:
        leaf = p._node
        if leaf is not None:
            leaf.drop_grad()
            if capture is not None:
                capture.dropped.add(id(leaf))


__all__ = [
    "AdamTables",
    "ParameterTables",
    "SGDTables",
    "by_dtype",
    "drop_gradients",
    "norm_of_all",
    "scale_all",
    "total_norm_squared",
]
