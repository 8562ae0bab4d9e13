"""Parameter: a Tensor that a Module counts among its own."""

from __future__ import annotations

from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.ops.creation import tensor


class Parameter(Tensor):
    """A Tensor to be trained: as an attribute of a Module it is among its `parameters()`.

    data: a Tensor, whose memory is shared, or numbers or an array, which are copied. Operations on
    a Parameter give plain Tensors. Raises DTypeError if it requires grad and is not float.

    >>> from tensorgrad import nn
    >>> nn.Parameter([1.0, 2.0])
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        self._adopt(data if isinstance(data, Tensor) else tensor(data))
        self._node = None
        if requires_grad:
            self.requires_grad_()

    def _adopt(self, source: Tensor) -> None:
        """Takes over the memory, shape and dtype of `source`."""
        for slot in ("_storage", "_ptr", "_shape", "_strides", "_size", "_code"):
            setattr(self, slot, getattr(source, slot))

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


__all__ = ["Parameter"]
