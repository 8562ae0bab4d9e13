"""Making tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import unrecorded
from tensorgrad._exposed import UserStorage
from tensorgrad._tensor import Tensor, as_tensor, empty_raw, from_data, full_raw, wrap_array
from tensorgrad.dtypes import CODES, DTYPES, F32, INT64, ITEMSIZES, check_device, code_of
from tensorgrad.errors import ArgumentError, DTypeError
from tensorgrad.shapes import as_shape, checked_size


def tensor(data: Any, dtype: Any = None, *, requires_grad: bool = False) -> Tensor:
    """A new Tensor with a copy of `data`: a number, nested sequences, a NumPy array, a Tensor.

    Python floats become float32, integers int64; arrays keep their dtype. Raises ShapeError for
    ragged sequences, DTypeError for what is no number.

    >>> import tensorgrad
    >>> tensorgrad.tensor([[1, 2], [3, 4]], dtype=float)
    tensor([[1., 2.],
            [3., 4.]])
    """
    return _leaf(from_data(data, dtype, "tensor"), requires_grad)


def _leaf(t: Tensor, requires_grad: bool) -> Tensor:
    return t.requires_grad_() if requires_grad else t


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A Tensor of the array's memory, without a copy: writes to one are seen in the other. Raises
    DTypeError for a dtype that tensors cannot hold, ArgumentError for memory that cannot be shared
    (read-only, unaligned, steps of part of an element).

    >>> import numpy as np, tensorgrad
    >>> a = np.zeros(2, dtype=np.float32)
    >>> t = tensorgrad.from_numpy(a)
    >>> a[0] = 5
    >>> t
    tensor([5., 0.])
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    if array.dtype not in CODES or not array.dtype.isnative:
        raise DTypeError(
            f"from_numpy: expected one of {', '.join(d.name for d in DTYPES)}, got {array.dtype}"
        )
    if (
        not array.flags.writeable
        or not array.flags.aligned
        or any(s % array.itemsize for s in array.strides)
    ):
        raise ArgumentError(
            "from_numpy: the array is read-only, unaligned or steps by parts of elements; "
            "tensorgrad.tensor(array) copies it"
        )
    checked_size(array.shape, array.itemsize, "from_numpy")
    return wrap_array(array, UserStorage)


def asarray(
    obj: Any, /, dtype: Any = None, *, device: Any = None, copy: bool | None = None
) -> Tensor:
    """`obj` as a Tensor: itself if it is one, an array without a copy where its layout allows it.
    copy: True always copies, False raises ArgumentError where a copy is needed.

    >>> import tensorgrad
    >>> tensorgrad.asarray([1.0, 2.0])
    tensor([1., 2.])
    """
    check_device(device, "asarray")
    if copy:
        return obj.astype(dtype or obj.dtype) if isinstance(obj, Tensor) else tensor(obj, dtype)
    result = as_tensor(obj, "asarray")
    if dtype is not None and code_of(dtype, "asarray") != result._code:
        result = result.astype(dtype)
    shares = result is obj or (
        isinstance(obj, np.ndarray) and np.shares_memory(result.detach()._array(), obj)
    )
    if copy is False and not shares:
        raise ArgumentError("asarray: the data cannot be used without a copy (copy=False)")
    return result


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A Tensor of the memory of another library's CPU array, by the DLPack protocol: writes to one are
    seen in the other. copy: True always copies, None only what cannot be shared, because it is
    read-only (JAX's arrays), unaligned or steps by parts of elements, where False raises ArgumentError.
    Raises DTypeError for a dtype that tensors cannot hold.

    >>> import numpy as np, tensorgrad
    >>> tensorgrad.from_dlpack(np.ones(2))
    tensor([1., 1.], dtype=float64)
    """
    check_device(device, "from_dlpack")
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: expected an object with __dlpack__, got {type(x).__name__}")
    try:
        array = x if isinstance(x, np.ndarray) else np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError) as error:
        raise ArgumentError(f"from_dlpack: {error}") from None
    if array.dtype not in CODES:
        names = ", ".join(d.name for d in DTYPES)
        raise DTypeError(f"from_dlpack: expected one of {names}, got {array.dtype}")
    shareable = (
        (array.flags.writeable or (_ALL_READ_ONLY and array is not x))
        and array.flags.aligned
        and not any(s % array.itemsize for s in array.strides)
    )
    if copy is False and not shareable:
        raise ArgumentError(
            "from_dlpack: the memory is read-only or unaligned; copy=True copies it"
        )
    if copy or not shareable:
        return from_data(array, None, "from_dlpack")
    return wrap_array(array, UserStorage)


# NumPy before 2.1 says so of what it imports: by that version of the protocol nobody can tell
_ALL_READ_ONLY = np.lib.NumpyVersion(np.__version__) < "2.1.0"


def _made(shape: Any, dtype: Any, device: Any, where: str) -> tuple[tuple[int, ...], int, int]:
    check_device(device, where)
    result = as_shape(shape, where)
    code = F32 if dtype is None else code_of(dtype, where)
    return result, checked_size(result, ITEMSIZES[code], where), code


def empty(
    shape: Any, dtype: Any = None, *, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with undefined elements. shape: an integer or integers; dtype: float32 by default.

    >>> import tensorgrad
    >>> tensorgrad.empty((2, 3)).shape
    (2, 3)
    """
    t = empty_raw(*_made(shape, dtype, device, "empty"))
    if not t._ptr:
        t._array()  # raises OutOfMemoryError
    return _leaf(t, requires_grad)


def full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    *,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with every element `fill_value`. dtype: by default that of the value (a Python float:
    float32).

    >>> import tensorgrad
    >>> tensorgrad.full((2,), 7.0)
    tensor([7., 7.])
    """
    if dtype is None:
        with unrecorded():  # of the value only its dtype is wanted
            dtype = from_data(fill_value, None, "full").dtype
    return _leaf(full_raw(*_made(shape, dtype, device, "full"), fill_value), requires_grad)


def zeros(
    shape: Any, dtype: Any = None, *, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros. shape: an integer or integers; dtype: float32 by default.

    >>> import tensorgrad
    >>> tensorgrad.zeros(2)
    tensor([0., 0.])
    """
    return _leaf(full_raw(*_made(shape, dtype, device, "zeros"), 0), requires_grad)


def ones(
    shape: Any, dtype: Any = None, *, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones. shape: an integer or integers; dtype: float32 by default.

    >>> import tensorgrad
    >>> tensorgrad.ones(2)
    tensor([1., 1.])
    """
    return _leaf(full_raw(*_made(shape, dtype, device, "ones"), 1), requires_grad)


def empty_like(x: Tensor, /, dtype: Any = None, *, device: Any = None) -> Tensor:
    """A tensor of x's shape, and its dtype by default, with undefined elements.

    >>> import tensorgrad
    >>> tensorgrad.empty_like(tensorgrad.zeros(3)).shape
    (3,)
    """
    if x.__class__ is Tensor and dtype is None and device is None:
        t = empty_raw(x._shape, x._size, x._code)
        if t._ptr:
            return t
    return empty(x.shape, x.dtype if dtype is None else dtype, device=device)


def full_like(x: Tensor, /, fill_value: Any, dtype: Any = None, *, device: Any = None) -> Tensor:
    """A tensor of x's shape, and its dtype by default, with every element `fill_value`.

    >>> import tensorgrad
    >>> tensorgrad.full_like(tensorgrad.zeros(2), 3)
    tensor([3., 3.])
    """
    return full(x.shape, fill_value, x.dtype if dtype is None else dtype, device=device)


def zeros_like(x: Tensor, /, dtype: Any = None, *, device: Any = None) -> Tensor:
    """Zeros of x's shape, and its dtype by default.

    >>> import tensorgrad
    >>> tensorgrad.zeros_like(tensorgrad.ones(2))
    tensor([0., 0.])
    """
    return full_like(x, 0, dtype, device=device)


def ones_like(x: Tensor, /, dtype: Any = None, *, device: Any = None) -> Tensor:
    """Ones of x's shape, and its dtype by default.

    >>> import tensorgrad
    >>> tensorgrad.ones_like(tensorgrad.zeros(2))
    tensor([1., 1.])
    """
    return full_like(x, 1, dtype, device=device)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    *,
    device: Any = None,
) -> Tensor:
    """Numbers from start (inclusive; 0 if only one bound is given) to stop (exclusive). Integers
    give int64, floats float32.

    >>> import tensorgrad
    >>> tensorgrad.arange(1, 7, 2)
    tensor([1, 3, 5])
    """
    check_device(device, "arange")
    if step == 0:
        raise ArgumentError("arange: expected a step other than 0")
    first, last = (0, start) if stop is None else (start, stop)
    if dtype is None:
        dtype = DTYPES[
            INT64 if all(isinstance(v, (int, np.integer)) for v in (first, last, step)) else F32
        ]
    code = code_of(dtype, "arange")
    steps = (last - first) / step
    if not steps < 2**60 or steps != steps:
        raise ArgumentError(f"arange: cannot count from {first} to {last} by {step}")
    checked_size((max(int(steps), 0),), ITEMSIZES[code], "arange")
    return wrap_array(np.arange(first, last, step, dtype=DTYPES[code]))


def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    dtype: Any = None,
    *,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` evenly spaced numbers from start to stop. dtype: float32 by default, complex64 for
    complex ends.

    >>> import tensorgrad
    >>> tensorgrad.linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if dtype is None and (isinstance(start, complex) or isinstance(stop, complex)):
        dtype = complex
    _, _, code = _made(num, dtype, device, "linspace")
    return wrap_array(np.linspace(start, stop, num, endpoint=endpoint, dtype=DTYPES[code]))


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    dtype: Any = None,
    *,
    k: int = 0,
    device: Any = None,
) -> Tensor:
    """Ones on the k-th diagonal (above the main one for k > 0), zeros elsewhere. Returns (n_rows,
    n_cols), float32 by default.

    >>> import tensorgrad
    >>> tensorgrad.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    (rows, columns), _, code = _made(
        (n_rows, n_rows if n_cols is None else n_cols), dtype, device, "eye"
    )
    return wrap_array(np.eye(rows, columns, k, dtype=DTYPES[code]))


__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]
