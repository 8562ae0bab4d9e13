"""Hooks on tensors: functions that are told of a gradient when it is known as a whole.

The engine looks into one dict, by the id of a node or leaf; an entry goes when its node does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from tensorgrad.autograd._tape import HookedLeaf, Leaf, Node, hooks
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError


class Registered(dict):  # type: ignore[type-arg]
    """Hooks by the id of their handle, in order. A handle does not keep them alive."""

    __slots__ = ("__weakref__",)


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away, and so does leaving a `with`
    block that was entered with the handle.

    >>> import tensorgrad
    >>> x = tensorgrad.ones(2, requires_grad=True)
    >>> with x.register_hook(lambda grad: grad * 2):
    ...     x.sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """

    _next = 0
    changes = 0  # how often a hook was registered or removed, anywhere

    def __init__(self, registered: Registered, hook: Any, first: bool = False) -> None:
        RemovableHandle.changes += 1
        RemovableHandle._next += 1
        self.id = RemovableHandle._next
        self._registered = ref(registered)
        others = dict(registered) if first else {}
        if first:
            registered.clear()
        registered[self.id] = hook
        registered.update(others)

    def remove(self) -> None:
        """Takes the hook away; does nothing if it is gone."""
        RemovableHandle.changes += 1
        registered = self._registered()
        if registered is not None:
            registered.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Entry:
    """The hooks of one node or leaf, and the gradient that a node retains."""

    def __init__(self, node: Node | Leaf) -> None:
        key = id(node)
        self.before = Registered()
        self.after = Registered()
        self.retains = False
        self.grad: Any = None
        self.node = ref(node, lambda _: hooks.pop(key, None))
        hooks[key] = self
        if node.__class__ is Leaf:
            node.__class__ = HookedLeaf

    def received(self, node: Any, gy: Any, accumulates: bool) -> Any:
        """The gradient that goes on, after the hooks. accumulates: whether this backward adds to
        `.grad`."""
        for hook in tuple(self.before.values()):
            gy = _replaced(gy, hook(gy), node)
        if not accumulates:
            return gy
        if node.__class__ is Node:
            if self.retains:
                self.grad = gy if self.grad is None else self.grad + gy
            return gy
        node.grad = gy.copy() if node.grad is None else node.grad + gy
        for tensor, hook in tuple(self.after.values()):
            if (alive := tensor()) is not None:
                hook(alive)
        return gy


def _replaced(gy: Any, result: Any, node: Any) -> Any:
    """What a hook made of gy. Raises DTypeError, ShapeError for what cannot be its gradient."""
    if result is None:
        return gy
    if not hasattr(result, "_shape"):
        raise DTypeError(
            f"hook on {node.name}: expected a Tensor or None, got {type(result).__name__}"
        )
    if result.shape != gy.shape or result.dtype != gy.dtype:
        raise ShapeError(
            f"hook on {node.name}: expected a gradient of {gy.dtype} {gy.shape}, got "
            f"{result.dtype} {result.shape}"
        )
    return result


def _entry(tensor: Any, where: str) -> Entry:
    node = tensor._node
    if node is None:
        raise GradientError(f"{where}: the tensor does not require grad")
    return hooks.get(id(node)) or Entry(node)


def _checked(hook: Any, where: str) -> Any:
    if not callable(hook):
        raise ArgumentError(f"{where}: expected a function, got {type(hook).__name__}")
    return hook


def register_hook(self: Any, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Calls `hook(grad)` in every backward that reaches this tensor, once, when its gradient is
    known as a whole; what the hook returns, unless None, takes the gradient's place. On a leaf the
    hook sees the gradient of this backward, before it is added to `.grad`. In an
    `autograd.grad` it is called if the tensor is an input or lies on the way to one.

    Raises GradientError unless the tensor requires grad.

    >>> import tensorgrad
    >>> x = tensorgrad.ones(2, requires_grad=True)
    >>> y = x * 3
    >>> handle = y.register_hook(lambda grad: grad * 10)
    >>> y.sum().backward()
    >>> x.grad
    tensor([30., 30.])
    >>> handle.remove()
    """
    _checked(hook, "register_hook")
    return RemovableHandle(_entry(self, "register_hook").before, hook)


def register_post_accumulate_grad_hook(self: Any, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Calls `hook(tensor)` after every backward's gradient was added to the `.grad` of this leaf.

    Raises GradientError on a tensor that is no leaf, or does not require grad.

    >>> import tensorgrad
    >>> w = tensorgrad.ones(2, requires_grad=True)
    >>> _ = w.register_post_accumulate_grad_hook(lambda w: print(w.grad))
    >>> (w * 3).sum().backward()
    tensor([3., 3.])
    """
    where = "register_post_accumulate_grad_hook"
    _checked(hook, where)
    if self._node.__class__ is Node:
        raise GradientError(f"{where}: expected a leaf, got a tensor that was computed")
    return RemovableHandle(_entry(self, where).after, (ref(self), hook))


def retain_grad(self: Any) -> None:
    """Makes `backward` collect this tensor's gradient in `.grad` although it was computed. A leaf's
    always is.

    Raises GradientError unless the tensor requires grad.

    >>> import tensorgrad
    >>> x = tensorgrad.ones(2, requires_grad=True)
    >>> y = x * 3
    >>> y.retain_grad()
    >>> (y * y).sum().backward()
    >>> y.grad
    tensor([6., 6.])
    """
    entry = _entry(self, "retain_grad") if self._node.__class__ is not Leaf else None
    if entry is not None and self._node.__class__ is Node:
        entry.retains = True


def keep_retaining(old: Any, new: Any) -> None:
    """A write in place gave a tensor the node `new` for `old`: what it retains is from now on the
    gradient of what it has become."""
    entry = hooks.get(id(old))
    if entry is not None and entry.retains:
        if new.__class__ is Node:
            successor = hooks.get(id(new)) or Entry(new)
            successor.retains, successor.grad = True, entry.grad
        entry.retains, entry.grad = False, None


def retains_grad(self: Any) -> bool:
    """Whether this tensor was computed and `retain_grad` was called on it."""
    entry = hooks.get(id(self._node))
    return entry is not None and entry.retains


def retained(node: Node) -> Any:
    """The gradient that a node retains, or None."""
    entry = hooks.get(id(node)) if hooks else None
    return None if entry is None else entry.grad


__all__ = ["RemovableHandle"]
