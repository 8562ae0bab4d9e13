"""Tensor: a block of memory, a shape, and a place on the tape. Its operations come from the op
registry (tensorgrad/ops)."""

from __future__ import annotations

from collections.abc import Iterator
from sys import getrefcount
from typing import Any
from weakref import ref

import numpy as np

from tensorgrad._captures import captures, unrecorded
from tensorgrad._conversions import Conversions
from tensorgrad._exposed import UserStorage
from tensorgrad._native import (
    SOLE_HOLDER,
    UNARY,
    BorrowedStorage,
    Storage,
    address_of,
    broadcast_layout,
    clock,
    fail,
    ffi,
    lib,
    offset_pointer,
)
from tensorgrad.autograd import _functional, _hooks, _tape
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._recorded import set_tensors
from tensorgrad.autograd._tape import Leaf, Node
from tensorgrad.dtypes import CODES, DTYPES, F64, ITEMSIZES, code_of
from tensorgrad.errors import (
    DTypeError,
    GradientError,
    InplaceError,
    OutOfMemoryError,
    ShapeError,
)
from tensorgrad.shapes import (
    Shape,
    checked_size,
    contiguous_strides,
    is_contiguous,
    repeats_elements,
)


class Tensor(Conversions):
    """An n-dimensional array that remembers how it was computed.

    `Tensor(data)` copies numbers, nested sequences or a NumPy array, as `tensorgrad.tensor(data)`
    does. Attributes: `shape`, `dtype` (NumPy's), `ndim`, `size`, `requires_grad`, `grad`,
    `is_leaf`.

    >>> import tensorgrad
    >>> x = tensorgrad.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([[2., 4.],
            [6., 8.]])
    """

    __slots__ = (
        *("__weakref__", "_base", "_code", "_node", "_ptr", "_shape", "_size", "_storage"),
        "_strides",
    )

    _storage: Storage | BorrowedStorage
    _ptr: Any  # void * to the first element
    _shape: Shape
    _strides: Shape | None  # steps in elements; None means C-contiguous
    _size: int
    _code: int  # of the dtype
    _node: Node | Leaf | None
    _base: (
        Tensor | None
    )  # set on a view only: the tensor that it is a view of, itself no view; None
    # if it was taken while nothing was recorded

    def __init__(self, data: Any, dtype: Any = None, *, requires_grad: bool = False) -> None:
        source = from_data(data, dtype, "Tensor")
        for slot in ("_storage", "_ptr", "_shape", "_strides", "_size", "_code"):
            setattr(self, slot, getattr(source, slot))
        self._node = None
        if requires_grad:
            self.requires_grad_()

    # ---- what it is

    @property
    def shape(self) -> Shape:
        """The length of each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, a NumPy dtype."""
        return DTYPES[self._code]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._size

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return self._size * ITEMSIZES[self._code]

    @property
    def strides(self) -> Shape:
        """The step along each axis, in elements."""
        return contiguous_strides(self._shape) if self._strides is None else self._strides

    @property
    def device(self) -> str:
        """Where it is: always "cpu"."""
        return "cpu"

    def is_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        return self._strides is None

    # ---- autograd

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Makes it a leaf whose gradient collects in `.grad` (or, with False, stops that and drops
        the gradient).

        Raises DTypeError unless the dtype is float32 or float64, GradientError on a computed
        tensor."""
        node = self._node
        if node.__class__ is Node:
            if not requires_grad:
                raise GradientError(
                    "requires_grad_: the tensor was computed from others; use detach() instead"
                )
        elif not requires_grad:
            self._node = None
        elif node is None:
            if self._code > F64:
                raise DTypeError(f"requires_grad_: expected float32 or float64, got {self.dtype}")
            self._node = Leaf()
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not computed from tensors that require grad."""
        return self._node.__class__ is not Node

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has collected here, or None: always None on a tensor that was
        computed, unless `retain_grad` was called on it."""
        node = self._node
        if node.__class__ is Node:
            return _hooks.retained(node)
        return None if node is None else node.grad  # type: ignore[union-attr]

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        node = self._node
        if node is None or node.__class__ is Node:
            raise GradientError("grad: only a leaf that requires grad has a gradient to set")
        if value is not None and (
            not isinstance(value, Tensor)
            or (value._shape, value._code) != (self._shape, self._code)
        ):
            got = (
                f"{value.dtype} {value.shape}"
                if isinstance(value, Tensor)
                else type(value).__name__
            )
            raise ShapeError(f"grad: expected a Tensor of {self.dtype} {self.shape}, got {got}")
        node.grad = value  # type: ignore[union-attr]

    def backward(
        self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Adds to the `.grad` of every leaf the derivative of this tensor by it.

        gradient: the gradient of this tensor, of its shape; may be left out for a tensor of one
        element (then 1). retain_graph: keep the graph, to go through it again. create_graph: record
        the backward too, for higher derivatives.

        Raises GradientError if there is nothing to differentiate, or the graph was freed.

        >>> import tensorgrad
        >>> w = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> w.grad
        tensor([2., 4.])
        """
        node = self._node
        if (
            node is None
            or gradient.__class__ is not Tensor
            or gradient._shape != self._shape
            or gradient._code != self._code
        ):
            gradient = _functional.root_gradient(self, gradient, "backward")
        _tape.backward((node,), (gradient,), retain_graph or create_graph, create_graph)

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        t = _new(Tensor)
        t._storage = self._storage
        t._ptr = self._ptr
        t._shape = self._shape
        t._strides = self._strides
        t._size = self._size
        t._code = self._code
        t._node = None
        return t

    def _restored(self, storage: Storage, node: Node) -> Tensor:
        """The output of `node`, whose gradient self is and whose memory `storage` is: on the tape
        again if that is recording."""
        y = _new(Tensor)
        y._storage = storage
        y._ptr = storage.ptr
        y._shape = self._shape
        y._strides = None
        y._size = self._size
        y._code = self._code
        y._node = node if mode.enabled else None
        return y

    def _filled(self, value: float) -> Tensor:
        """A new tensor of the same shape and dtype, every element `value`."""
        return full_raw(self._shape, self._size, self._code, value)

    def _ones(self) -> Tensor:
        """A tensor of the same shape and dtype, every element 1; nobody writes to it."""
        if not self._shape:
            one = _one[self._code]
            if one is not None and not one._storage.written:
                return one
            with unrecorded():
                one = _one[self._code] = self._filled(1.0)
            return one
        return self._filled(1.0)

    def _like(self, data: Any, where: str) -> Tensor:
        """`data` as a Tensor of the same dtype."""
        return (
            data
            if isinstance(data, Tensor) and data._code == self._code
            else from_data(data, self.dtype, where)
        )

    # ---- as a sequence

    def __len__(self) -> int:
        if not self._shape:
            raise DTypeError("len: a tensor without axes has no length")
        return self._shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self._shape:
            raise DTypeError("iteration over a tensor without axes")
        return (self[i] for i in range(self._shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool(
            (self._array() == (value._array() if isinstance(value, Tensor) else value)).any()
        )

    __hash__ = object.__hash__  # by identity, although == compares elements

    # ---- copies and pickles

    def __copy__(self) -> Tensor:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError("copy: only leaves can be deep-copied; use detach() or copy()")
        result = _new(type(self))
        source = copy_raw(self)
        for slot in ("_storage", "_ptr", "_shape", "_strides", "_size", "_code"):
            setattr(result, slot, getattr(source, slot))
        result._node = None
        if self._node is not None:
            result.requires_grad_()
            grad = self.grad
            result._node.grad = None if grad is None else grad.detach().__deepcopy__(memo)  # type: ignore[union-attr]
        memo[id(self)] = result
        return result

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise GradientError("pickle: only leaves can be pickled; use detach() first")
        return _unpickle, (type(self), self._array().copy(), self._node is not None)

    # ---- writing in place

    def _writable(self, where: str, recorded: bool = False) -> None:
        """Takes note of a write in place, of values that are on the tape if `recorded`. Raises
        InplaceError where it would make a gradient wrong, or elements share a place."""
        base = getattr(self, "_base", self)
        if mode.enabled:
            node = self._node if base is None else base._node
            if isinstance(node, Leaf):
                raise InplaceError(
                    f"{where}: a leaf that requires grad{'' if base is self else ', or a view of one,'}"
                    " cannot be written in place while operations are recorded; write under "
                    "no_grad(), or to a copy"
                )
            if (
                base is None
                and (recorded or node is not None)
                and getrefcount(self._storage) > SOLE_HOLDER
            ):
                raise InplaceError(
                    f"{where}: this view was taken while nothing was recorded, so a write through it "
                    "would not be differentiated for the tensor that it is a view of; take the view "
                    "with recording on, or write to a copy"
                )
        strides = self._strides
        if strides is not None and repeats_elements(self._shape, strides):
            raise InplaceError(
                f"{where}: several elements of this tensor share one place in memory (it was "
                "broadcast, or has overlapping windows); write to a copy"
            )
        self._storage.written = clock()
        self._storage.writer = where if _tape.writer_of is None else _tape.writer_of(where)


_new = Tensor.__new__
_new_storage = Storage.__new__
_alloc = lib.tg_alloc


_one: list[Tensor | None] = [None, None]  # 1.0 in float32 and float64, where backward starts
_FILL = UNARY["fill"]


# ---- making tensors (the public functions are in ops/creation.py) --------------------------------


def empty_raw(shape: Shape, size: int, code: int) -> Tensor:
    """An uninitialised contiguous tensor, off the tape."""
    t = _new(Tensor)
    t._storage = storage = _new_storage(Storage)  # these three lines are `allocate`
    t._ptr = storage.ptr = _alloc(size * ITEMSIZES[code])
    storage.written = 0
    t._shape = shape
    t._strides = None
    t._size = size
    t._code = code
    t._node = None
    return t


def over(storage: Storage, shape: Shape, size: int, code: int) -> Tensor:
    """A contiguous tensor at the beginning of a block of memory, off the tape."""
    t = _new(Tensor)
    t._storage = storage
    t._ptr = storage.ptr
    t._shape = shape
    t._strides = None
    t._size = size
    t._code = code
    t._node = None
    return t


def full_raw(shape: Shape, size: int, code: int, value: Any) -> Tensor:
    """A new tensor, every element `value`."""
    t = empty_raw(shape, size, code)
    if code <= F64:
        status = lib.tg_unary(_FILL, code, size, t._ptr, t._ptr, value, 0.0)
        if status:
            fail(status, "full", t._storage)
    else:
        t._array().fill(value)
    return t


def view(t: Tensor, shape: Shape, strides: Shape | None, offset: int) -> Tensor:
    """Another Tensor of the same memory, off the tape and not tracked; `offset` counts elements of
    t."""
    v = _new(Tensor)
    v._storage = t._storage
    v._shape = shape
    v._strides = None if strides is None or is_contiguous(shape, strides) else strides
    size = 1
    for n in shape:
        size *= n
    v._size = size
    # one without elements could begin anywhere, also outside of the memory
    v._ptr = offset_pointer(t._ptr, offset * ITEMSIZES[t._code]) if offset and size else t._ptr
    v._code = t._code
    v._node = v._base = None
    return v


def track(v: Tensor, t: Tensor) -> None:
    """Makes v, which shows t's memory, a view that writes in place to either are told of."""
    v._base = base = getattr(t, "_base", t)
    if base is None or isinstance(base._node, Leaf):  # a leaf is not written while recording
        return
    storage = v._storage
    try:
        views = storage.views
    except AttributeError:
        storage.views = [ref(v)]
        return
    if not len(views) & (len(views) - 1):  # at each doubling: those that are gone
        views[:] = [r for r in views if r() is not None]
    views.append(ref(v))


def _extent(t: Tensor) -> tuple[int, int]:
    """The addresses of t's first byte and of the byte after its last."""
    address = address_of(t._ptr)
    if not t._size:
        return address, address
    if t._strides is None:
        return address, address + t._size * ITEMSIZES[t._code]
    steps = [(n - 1) * step for n, step in zip(t._shape, t._strides)]
    first = sum(step for step in steps if step < 0)
    last = sum(step for step in steps if step > 0)
    itemsize = ITEMSIZES[t._code]
    return address + first * itemsize, address + (last + 1) * itemsize


def overlap(a: Tensor, b: Tensor) -> bool:
    """Whether a write to one may change the other."""
    if a._storage.__class__ is b._storage.__class__ is Storage:
        return a._storage is b._storage
    (a_first, a_end), (b_first, b_end) = _extent(a), _extent(b)
    return a_first < b_end and b_first < a_end


def copy_raw(t: Tensor) -> Tensor:
    """A contiguous copy, off the tape."""
    y = empty_raw(t._shape, t._size, t._code)
    copy_into(y, t, "copy")
    return y


def copy_into(target: Tensor, source: Tensor, where: str) -> None:
    """Copies elements between tensors of one shape and dtype, whatever their strides."""
    _, layout = broadcast_layout(
        where, (source._shape, source._strides), (target._shape, target._strides)
    )
    status = lib.tg_copy(ITEMSIZES[target._code], source._ptr, target._ptr, layout)
    if status:
        fail(status, where, target._storage)


def borrowed(t: Tensor) -> np.ndarray[Any, Any]:
    """t's memory as an array for the moment: it must not outlive t. While a function is recorded, and
    for one with strides, the array that `_array` gives."""
    if captures or t._strides is not None:
        return t._array()
    if not t._ptr:
        raise OutOfMemoryError(f"no memory for a buffer of shape {t._shape} and {t.dtype}")
    nbytes = t._size * ITEMSIZES[t._code]
    return np.ndarray(t._shape, DTYPES[t._code], ffi.buffer(t._ptr, nbytes))


def wrap_array(
    array: np.ndarray[Any, Any], kind: type[BorrowedStorage] = BorrowedStorage
) -> Tensor:
    """A Tensor of a NumPy array's memory. The array must have a dtype of DTYPES in native order,
    and whole-element strides. kind: UserStorage where somebody else may write to the array."""
    t = _new(Tensor)
    t._storage = storage = kind(array)
    t._ptr = storage.ptr
    t._shape = array.shape
    itemsize = array.itemsize
    t._strides = None if array.flags.c_contiguous else tuple(s // itemsize for s in array.strides)
    t._size = array.size
    t._code = CODES[array.dtype]
    t._node = None
    return t


def from_data(data: Any, dtype: Any, where: str) -> Tensor:
    """A copy of anything array-like. Python floats become float32, complex numbers complex64;
    arrays and NumPy scalars keep
    their dtype."""
    if isinstance(data, Tensor):
        data = data._array()
    array: Any
    if getattr(data, "watched", False):  # stands for an array while a function is recorded
        array = data
    elif isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        try:
            array = np.asarray(
                [t._array() if isinstance(t, Tensor) else t for t in data]
                if isinstance(data, list)
                else data
            )
        except (ValueError, OverflowError) as error:
            raise ShapeError(
                f"{where}: expected numbers or nested sequences of one shape, got {data!r}: {error}"
            ) from None
        if dtype is None and array.dtype.kind in "fc" and not _holds_arrays(data):
            dtype = float if array.dtype.kind == "f" else complex  # ours, in single precision
    code = code_of(array.dtype if dtype is None else dtype, where)
    checked_size(array.shape, ITEMSIZES[code], where)
    t = empty_raw(array.shape, array.size, code)
    try:
        t._array()[...] = array
    except (TypeError, ValueError):
        raise DTypeError(f"{where}: expected numbers, got {data!r}") from None
    return t


def _holds_arrays(data: Any) -> bool:
    """Whether the data has NumPy values or Tensors in it, whose dtype then counts."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return hasattr(data, "__array__")


def as_tensor(x: Any, where: str) -> Tensor:
    """An op's argument as a Tensor: an array without a copy if its layout allows it and it may be
    written to, since the result may be a view; a number as a new tensor."""
    if isinstance(x, Tensor):
        return x
    if getattr(x, "watched", False):
        return wrap_array(x)
    if (
        isinstance(x, np.ndarray)
        and x.dtype in CODES
        and x.flags.aligned
        and x.flags.writeable
        and not any(s % x.itemsize for s in x.strides)
    ):
        return wrap_array(x, UserStorage)
    if isinstance(x, (bool, int, float, complex, list, tuple, np.ndarray, np.generic)) or hasattr(
        x, "__array__"
    ):
        return from_data(x, None, where)
    raise DTypeError(f"{where}: expected a Tensor, an array or a number, got {type(x).__name__}")


def _unpickle(kind: type[Tensor], array: np.ndarray[Any, Any], requires_grad: bool) -> Tensor:
    t = _new(kind)
    source = from_data(array, array.dtype, "unpickle")
    for slot in ("_storage", "_ptr", "_shape", "_strides", "_size", "_code"):
        setattr(t, slot, getattr(source, slot))
    t._node = Leaf() if requires_grad else None
    return t


set_tensors(as_tensor, track)
for _hook in (_hooks.register_hook, _hooks.register_post_accumulate_grad_hook, _hooks.retain_grad):
    setattr(Tensor, _hook.__name__, _hook)
Tensor.retains_grad = property(_hooks.retains_grad)
