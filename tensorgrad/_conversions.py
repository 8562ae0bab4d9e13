"""What a Tensor is to NumPy, to Python and to other libraries."""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorgrad._exposed import hand_out
from tensorgrad._native import as_ndarray
from tensorgrad.autograd._tape import Leaf, Node
from tensorgrad.dtypes import CODES, DTYPES, F32, F64
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tensorgrad.shapes import Shape

if TYPE_CHECKING:
    from types import ModuleType


class Conversions:
    """Tensor's conversions: to arrays and numbers, and the protocols by which other libraries take
    it."""

    __slots__ = ()

    _storage: Any
    _ptr: Any
    _shape: Shape
    _strides: Shape | None
    _size: int
    _code: int
    _node: Node | Leaf | None

    def numpy(self) -> np.ndarray[Any, Any]:
        """A NumPy array of the same memory. Writes to one are seen in the other; a backward that
        needed what was overwritten raises InplaceError (to notice that, memory that a graph may have
        saved is read here, at each backward, and when the array is gone).

        Raises GradientError on a tensor that requires grad: what NumPy computes is not recorded, so
        say `detach()` first.

        >>> import tensorgrad
        >>> tensorgrad.arange(3).numpy()
        array([0, 1, 2])
        """
        if self._node is not None:
            raise GradientError(
                "numpy: the tensor requires grad and NumPy does not record; use t.detach().numpy()"
            )
        # whoever saved the memory has the tensor, or another one with its storage
        saved = getrefcount(self) > _SOLE or getrefcount(self._storage) > _SOLE_STORAGE
        return hand_out(self._storage, self._ptr, self._shape, self._strides, self._code, saved)

    def _holders(self) -> tuple[int, int]:
        """What getrefcount says, in a method, of a tensor and of its storage."""
        return getrefcount(self), getrefcount(self._storage)

    def _array(self) -> np.ndarray[Any, Any]:
        return as_ndarray(self._storage, self._ptr, self._shape, self._strides, self._code)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ArgumentError(
                    f"__array__: a change of dtype from {array.dtype} to {np.dtype(dtype)} needs "
                    "a copy"
                )
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from tensorgrad._numpy_protocol import array_ufunc

        return array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from tensorgrad._numpy_protocol import array_function

        return array_function(function, args, kwargs)

    def __array_namespace__(self, /, *, api_version: str | None = None) -> ModuleType:
        import tensorgrad
        from tensorgrad._array_api import __array_api_version__

        if api_version is not None and api_version > __array_api_version__:
            raise ArgumentError(
                f"__array_namespace__: expected a version up to {__array_api_version__}, got "
                f"{api_version!r}"
            )
        return tensorgrad

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        if stream is not None:
            raise ArgumentError(
                f"__dlpack__: the CPU has no streams: expected None, got {stream!r}"
            )
        given = {name: value for name, value in options.items() if value is not None}
        return self.numpy().__dlpack__(**given)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU, the first

    def to_device(self, device: str, /, *, stream: Any = None) -> Any:
        """The tensor itself: there is no device but "cpu". Raises ArgumentError for any other.

        >>> import tensorgrad
        >>> tensorgrad.ones(1).to_device("cpu")
        tensor([1.])
        """
        if device != "cpu" or stream is not None:
            raise ArgumentError(
                f"to_device: expected 'cpu' and no stream, got {device!r}, {stream!r}"
            )
        return self

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number. Raises ShapeError on any
        other."""
        if self._size != 1:
            raise ShapeError(f"item: expected a tensor of one element, got shape {self._shape}")
        return self._array().item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._array().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._code <= F64:
            raise DTypeError(f"expected an integer tensor as an index, got {DTYPES[self._code]}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self._size != 1:
            raise ShapeError(
                f"bool: the truth of a tensor of shape {self._shape} is ambiguous; use all() or "
                "any()"
            )
        return bool(self.item())

    def __repr__(self) -> str:
        body = np.array2string(self._array(), separator=", ", prefix="tensor(")
        if self._size == 0:
            body += f", shape={self._shape}"
        if self._code not in (F32, CODES[np.dtype("int64")], CODES[np.dtype("bool")]):
            body += f", dtype={DTYPES[self._code].name}"
        node = self._node
        if node.__class__ is Node:
            body += f", grad_fn=<{node.name}>"
        elif node is not None:
            body += ", requires_grad=True"
        return f"tensor({body})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)


def _sole_holders() -> tuple[int, int]:
    """What `_holders` says of a tensor that only a variable holds, and of its storage."""
    t = _Sole()
    t._storage = object()
    return t._holders()


class _Sole(Conversions):
    __slots__ = ("_storage",)


_SOLE, _SOLE_STORAGE = _sole_holders()

__all__ = ["Conversions"]
