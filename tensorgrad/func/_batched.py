"""Batched: a tensor for every element of a batch, which passes for one of them.

Each `vmap` that is running has a level. A Batched of a level holds a Tensor, or a Batched of a lower
level, with the batch as axis 0, and says that it has the other axes. An op that meets one hands the
call to the highest level, whose batching rule computes all elements at once with ops on what is held.
So what runs, and is recorded, are ops on ordinary tensors: the outermost axes of these are the
batches, of the lowest level first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from tensorgrad._tensor import Tensor
from tensorgrad.autograd._modes import states
from tensorgrad.autograd._traced import Traced
from tensorgrad.errors import TransformError
from tensorgrad.func._call import Call
from tensorgrad.func._rules import compute, leading


class _Levels(threading.local):
    def __init__(self) -> None:
        self.sizes: list[int] = []  # of the batch of level 1, 2, ...

    def get_state(self) -> list[int]:
        """Which batches there are."""
        return list(self.sizes)

    def set_state(self, state: list[int]) -> None:
        """Goes back to what `get_state` said."""
        self.sizes = list(state)


levels = _Levels()
states.append(levels)


class Batched(Tensor, Traced):
    """One of a batch of tensors.

    value: all of them along axis 0, a Tensor or a Batched of a lower level. level: that of the vmap
    that they belong to."""

    __slots__ = ("level", "value")

    level: int
    value: Tensor

    def __init__(self, value: Tensor, level: int) -> None:
        # the attributes of memory and tape stay unset: see autograd/_traced.py
        self.value, self.level = value, level
        self._shape = value._shape[1:]
        self._code = value._code
        size = 1
        for n in self._shape:
            size *= n
        self._size = size

    def apply(
        self, function: Callable[..., Any], inputs: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """function(*inputs, **params) for all elements of the batch."""
        level = self.level
        if level > len(levels.sizes):
            raise TransformError(
                f"{function.__name__}: this tensor belongs to a vmap that has ended; return it from "
                "the function that vmap was given"
            )
        batched = tuple(isinstance(x, Batched) and x.level == level for x in inputs)
        values = tuple(x.value if b else x for x, b in zip(inputs, batched))
        result = compute(Call(function, values, batched, params, self.value._shape[0], level))
        if isinstance(result, tuple):
            return tuple(Batched(part, level) for part in result)
        return Batched(result, level)

    # ---- autograd

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded."""
        return self.value.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """Never: it stands for a part of another tensor."""
        return False

    @property
    def grad(self) -> Tensor | None:
        """None: see func.grad."""
        return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        _refused("grad")(self)

    def detach(self) -> Batched:
        """The same memory, off the tape."""
        return Batched(self.value.detach(), self.level)

    # ---- writing in place

    def _aligned(self, other: Any, where: str) -> Any:
        """What is to be written, so that it broadcasts to `value`."""
        if not isinstance(other, Batched) or other.level < self.level:
            return other
        if other.level > self.level:
            raise TransformError(
                f"{where}: a tensor that is not in the batch of this vmap cannot take a value that "
                "differs from one of its elements to the next; use the out-of-place operation"
            )
        missing = self.ndim - other.ndim
        value = other.value
        return (
            value.reshape((value.shape[0], *(1,) * missing, *other.shape)) if missing > 0 else value
        )

    def __setitem__(self, key: Any, value: Any) -> None:
        basic = key if isinstance(key, tuple) else (key,)
        if any(isinstance(k, Tensor) for k in basic):
            raise TransformError(
                "setitem: inside vmap an index of Tensors can be read, not written"
            )
        if leading(key):
            raise TransformError(
                "setitem: inside vmap an index with slices between arrays can be read, not written"
            )
        full = (slice(None), *basic)
        target = Batched(self.value[full], self.level)
        self.value[full] = target._aligned(value, "setitem")

    def __repr__(self) -> str:
        return f"Batched(level={self.level}, value={self.value!r})"

    __hash__ = object.__hash__


def _in_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def write(self: Batched, *args: Any) -> Batched:
        function(self.value, *(self._aligned(a, name) for a in args))
        return self

    write.__name__ = name
    return write


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
        raise TransformError(
            f"{name}: inside vmap this tensor stands for all of a batch and has no values of its own; "
            "compute with ops (where() instead of `if`), and look at values outside"
        )

    refuse.__name__ = name
    return refuse


for _name, _value in tuple(vars(Tensor).items()):
    if _name in ("__iadd__", "__isub__", "__imul__", "__itruediv__") or (
        _name.endswith("_") and not _name.startswith("_") and _name != "requires_grad_"
    ):
        setattr(Batched, _name, _in_place(_name, _value))
for _name in (
    *("numpy", "_array", "__array__", "item", "tolist", "__float__", "__complex__", "__int__"),
    *(
        "__index__",
        "__bool__",
        "__format__",
        "__copy__",
        "__deepcopy__",
        "__reduce__",
        "__dlpack__",
        "backward",
    ),
    *(
        "requires_grad_",
        "put_",
        "register_hook",
        "register_post_accumulate_grad_hook",
        "retain_grad",
    ),
):
    setattr(Batched, _name, _refused(_name))


# ---- between elements and what is held -----------------------------------------------------------


def wrapped(tensor: Any, of: Sequence[int]) -> Any:
    """One of the batches of the levels `of`, ascending, that are the first axes of `tensor`."""
    for level in of:
        tensor = Batched(tensor, level)
    return tensor


def peeled(x: Any) -> tuple[Tensor, list[int]]:
    """The tensor that is held at the lowest level, and the levels of its first axes, ascending."""
    found = []
    while isinstance(x, Batched):
        found.append(x.level)
        x = x.value
    return x, found[::-1]


def lowered(x: Any, of: int) -> Any:
    """x with the batches of the levels 1 to `of` as its first axes, repeated where it is the same for
    all elements. Batches of higher levels stay batches."""
    tensor, have = peeled(x)
    extra = [level for level in have if level > of]
    low = have[: len(have) - len(extra)]
    rest = tuple(range(len(have), tensor.ndim))
    order = (*range(len(low), len(have)), *range(len(low)), *rest)
    if order != tuple(range(tensor.ndim)):
        tensor = tensor.permute_dims(order)
    if len(low) < of:
        lead = tensor.shape[: len(extra)]
        shape = tensor.shape[len(have) :]
        sizes = iter(tensor.shape[len(extra) : len(have)])
        tensor = tensor.reshape(
            (*lead, *(next(sizes) if i in low else 1 for i in range(1, of + 1)), *shape)
        )
        tensor = tensor.broadcast_to((*lead, *levels.sizes[:of], *shape)).contiguous()
    return wrapped(tensor, extra)


def raised(x: Any, of: int) -> Any:
    """The opposite of `lowered`."""
    tensor, extra = peeled(x)
    n = len(extra)
    if n and of:
        order = (*range(n, n + of), *range(n), *range(n + of, tensor.ndim))
        tensor = tensor.permute_dims(order)
    return wrapped(tensor, (*range(1, of + 1), *extra))


__all__ = ["Batched", "levels", "lowered", "peeled", "raised", "wrapped"]
