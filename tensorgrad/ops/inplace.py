"""Writing in place: `x += y`, `add_`, `fill_` and their kind.

Recorded, an in-place operation takes the tape's place of the out-of-place one; every write is noted
on the memory, so that a backward that needed the old values says so instead of giving a wrong
gradient. A write through a view is one to the tensor it is a view of, its base: the base gets a node
that takes the old values around the view's region and the new ones in it, and every view of the base
becomes one of what the base is now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorgrad._native import BINARY, NULL, fail, lib
from tensorgrad._tensor import Tensor, as_tensor, copy_into, copy_raw, overlap
from tensorgrad.autograd._hooks import keep_retaining
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import Leaf, Node, hooks, record
from tensorgrad.dtypes import F64
from tensorgrad.errors import DTypeError, ShapeError
from tensorgrad.ops import arithmetic, comparisons, logic, matrix
from tensorgrad.ops.regions import region_blank, region_embed, region_of, region_read
from tensorgrad.ops.shaping import broadcast_to


def _write_rule(gy: Tensor, node: Node) -> list[Tensor | None]:
    by_base, by_value = node.edges
    region = node.saved
    return [
        None if by_base is None else region_blank(gy, region),
        None if by_value is None else region_read(gy, region),
    ]


def _view_rule(gy: Tensor, node: Node) -> list[Tensor]:
    return [region_embed(gy, *node.saved)]


_write_rule.__name__ = "write_through_view"
_view_rule.__name__ = "view"


def _views_of(base: Tensor) -> list[Tensor]:
    """The views of a tensor that are still there."""
    references = getattr(base._storage, "views", None)
    if not references:
        return []
    return [v for r in references if (v := r()) is not None and v._base is base]


def rebase(x: Tensor, node: Node | Leaf | None) -> None:
    """Puts x, whose memory was just written, and everything that shares it by views, where they now
    belong on the tape. node: that of the values written, None for constants."""
    if not mode.enabled:
        return
    base = getattr(x, "_base", x)
    before = []
    if hooks:
        before = [(t, t._node) for t in ([x] if base is None else [base, *_views_of(base)])]
    if base is None or base is x:
        x._node = node
    elif node is not None or base._node is not None:
        record(base, _write_rule, (base._node, node), region_of(x, base))
    else:
        return
    for v in () if base is None else _views_of(base):
        if base._node is None:
            v._node = None
        else:
            record(v, _view_rule, (base._node,), (base._shape, region_of(v, base)))
    for t, old in before:
        keep_retaining(old, t._node)


def update(x: Tensor, result: Tensor, where: str) -> Tensor:
    """Moves `result` into x's memory and x to its place on the tape."""
    if result._shape != x._shape:
        raise ShapeError(
            f"{where}: expected a result of shape {x._shape} in place, got {result._shape}"
        )
    if result._code != x._code:
        raise DTypeError(f"{where}: expected a result of {x.dtype} in place, got {result.dtype}")
    x._writable(where, result._node is not None)
    copy_into(x, result, where)
    rebase(x, result._node)
    return x


def _in_place(name: str) -> Callable[[Tensor, Any], Tensor]:
    function = getattr(arithmetic, name)
    kernel = BINARY[name]
    saves = name in ("mul", "div")

    def write(self: Tensor, other: Any) -> Tensor:
        if (
            isinstance(other, Tensor)
            and other._shape == self._shape
            and other._code == self._code <= F64
            and self._strides is other._strides is None
            and (other._ptr == self._ptr or not overlap(self, other))
            and not (mode.enabled and (self._node is not None or other._node is not None))
        ):
            self._writable(f"{name}_")
            status = lib.tg_binary(
                kernel, self._code, self._size, self._ptr, other._ptr, self._ptr, NULL
            )
            if status:
                fail(status, f"{name}_")
            return self
        old = self
        if saves and mode.enabled and (self._node is not None or getattr(other, "_node", None)):
            old = copy_raw(self)  # the gradient reads the values before the write
            old._node = self._node
            if other is self:
                other = old
            elif isinstance(other, Tensor) and overlap(self, other):
                other = other.copy()
        return update(self, function(old, other), f"{name}_")

    write.__name__ = write.__qualname__ = f"{name}_"
    write.__doc__ = (
        f"`{name}` in place: self becomes {name}(self, other), which must have its shape and "
        f"dtype. Returns self."
    )
    return write


for _name, _operators in (
    ("add", "__iadd__"),
    ("sub", "__isub__"),
    ("mul", "__imul__"),
    ("div", "__itruediv__"),
):
    _method = _in_place(_name)
    setattr(Tensor, f"{_name}_", _method)
    setattr(Tensor, _operators, _method)


def _computed(function: Callable[[Any, Any], Tensor], name: str) -> Callable[[Tensor, Any], Tensor]:
    """An in-place operator that computes beside self and writes back."""

    def write(self: Tensor, other: Any) -> Tensor:
        old = self
        if mode.enabled and (self._node is not None or getattr(other, "_node", None)):
            old = copy_raw(self)  # the gradient reads the values before the write
            old._node = self._node
            if other is self:
                other = old
            elif isinstance(other, Tensor) and overlap(self, other):
                other = other.copy()
        return update(self, function(old, other), name)

    write.__name__ = write.__qualname__ = name
    write.__doc__ = f"`{name}`: self becomes the result, which must have its shape and dtype."
    return write


for _function, _operators in (
    (matrix.matmul, "__imatmul__"),
    (arithmetic.floor_divide, "__ifloordiv__"),
    (arithmetic.remainder, "__imod__"),
    (arithmetic.pow, "__ipow__"),
    (comparisons.bitwise_and, "__iand__"),
    (comparisons.bitwise_or, "__ior__"),
    (comparisons.bitwise_xor, "__ixor__"),
    (logic.bitwise_left_shift, "__ilshift__"),
    (logic.bitwise_right_shift, "__irshift__"),
):
    setattr(Tensor, _operators, _computed(_function, _operators))


def copy_(self: Tensor, source: Any) -> Tensor:
    """Every element becomes that of `source`, broadcast and converted. Returns self."""
    source = as_tensor(source, "copy_")
    if source._code != self._code:
        source = source.astype(self.dtype)
    if overlap(self, source):
        source = source.copy()
    return update(self, broadcast_to(source, self._shape), "copy_")


def fill_(self: Tensor, value: float) -> Tensor:
    """Every element becomes `value`. Returns self."""
    self._writable("fill_")
    self._array().fill(value)
    rebase(self, None)
    return self


def zero_(self: Tensor) -> Tensor:
    """Every element becomes 0. Returns self."""
    return fill_(self, 0)


for _write in (copy_, fill_, zero_):
    setattr(Tensor, _write.__name__, _write)

__all__: list[str] = []
