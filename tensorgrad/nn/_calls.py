"""Calls of modules that something wants to be told of: hooks, and the names of modules.

A module's `__call__` is its forward, so that calling it costs nothing more. A class of which an
instance has hooks, and every class while sites are traced, gets another `__call__`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from tensorgrad.autograd._hooks import Registered, RemovableHandle
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._sites import is_ours
from tensorgrad.autograd._tape import Node, record
from tensorgrad.autograd._tree import built, leaves_of
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.nn._containers import fused

# the classes that have another __call__; what their dict had before, or None
_installed: WeakKeyDictionary[type, Any] = WeakKeyDictionary()
_hooked: WeakSet[type] = WeakSet()  # those that have it for hooks
_tracing = False


class Hooks:
    """The hooks of one module, each with whether it takes keyword arguments."""

    def __init__(self) -> None:
        self.before, self.after, self.backward = Registered(), Registered(), Registered()

    def any(self) -> bool:
        return bool(self.before or self.after or self.backward)


def is_told_of(module: Any) -> bool:
    """Whether calls of the module must go through its `__call__`."""
    hooks = vars(module).get("_hooks")
    return _tracing or (hooks is not None and hooks.any())


def _forget_steps() -> None:
    for sequential in tuple(fused):
        object.__setattr__(sequential, "_steps", None)


def _install(kind: Any) -> None:
    """Gives a class a `__call__` that tells of calls."""
    if kind in _installed:
        return
    before = kind.__dict__.get("__call__")
    call = before or kind.__call__

    def told(self: Any, *args: Any, **kwargs: Any) -> Any:
        if type(self) is not kind:  # super().__call__()
            return call(self, *args, **kwargs)
        if not _tracing:
            return _with_hooks(self, call, args, kwargs)
        mode.modules.append((_name_of(self), self))
        try:
            return _with_hooks(self, call, args, kwargs)
        finally:
            mode.modules.pop()

    _installed[kind] = before
    kind.__call__ = told


def _subclasses(kind: type) -> Iterator[type]:
    sub: type
    for sub in kind.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def trace_calls(base: type, on: bool) -> None:
    """Keeps, while it is on, the path of the modules that are being called in `mode.modules`."""
    global _tracing
    _tracing = on
    kind: Any
    if on:
        for kind in set(_subclasses(base)):
            _install(kind)
    else:
        for kind in set(_installed) - set(_hooked):
            before = _installed.pop(kind)
            if before is None:
                del kind.__call__
            else:
                kind.__call__ = before
    _forget_steps()


def _name_of(module: Any) -> str:
    """Its path from the module called first, which goes by the name of the caller's variable."""
    kind = f" ({type(module).__name__})"
    for name, above in reversed(mode.modules):
        for path, below in above._walk():
            if below is module:
                return f"{name.partition(' ')[0]}.{path}{kind}" if path else name
    frame: Any = sys._getframe(1)
    while frame is not None:
        if not is_ours(frame):
            for name, value in (*frame.f_locals.items(), *frame.f_globals.items()):
                if value is module and name.isidentifier() and name != "_":
                    return name + kind
            break
        frame = frame.f_back
    return type(module).__name__.lower() + kind


# ---- hooks ---------------------------------------------------------------------------------------


def register(
    module: Any, which: str, hook: Any, *, prepend: bool = False, with_kwargs: bool = False
) -> RemovableHandle:
    """Adds a hook to a module; which: "before", "after" or "backward"."""
    if not callable(hook):
        raise ArgumentError(
            f"{type(module).__name__}: expected a function as a hook, got {type(hook).__name__}"
        )
    hooks = vars(module).get("_hooks")
    if hooks is None:
        hooks = Hooks()
        object.__setattr__(module, "_hooks", hooks)
    _install(type(module))
    _hooked.add(type(module))
    _forget_steps()
    return RemovableHandle(getattr(hooks, which), (hook, with_kwargs), prepend)


def _with_hooks(module: Any, call: Any, args: Any, kwargs: Any) -> Any:
    hooks = vars(module).get("_hooks")
    if hooks is None or not hooks.any():
        return call(module, *args, **kwargs)
    for hook, with_kwargs in tuple(hooks.before.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    backward = _Backward(module, hooks.backward) if hooks.backward and mode.enabled else None
    if backward is not None:
        args, kwargs = backward.entered((args, kwargs))
    result = call(module, *args, **kwargs)
    for hook, with_kwargs in tuple(hooks.after.values()):
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if changed is not None:
            result = changed
    return result if backward is None else backward.left(result)


class _Backward:
    """Tells the hooks of one call's gradients: by its outputs, and by its inputs."""

    def __init__(self, module: Any, registered: Registered) -> None:
        self.module, self.registered = module, registered
        self.outputs: tuple[Any, ...] = ()
        self.has_inputs = False

    def entered(self, arguments: Any) -> Any:
        """The arguments, whose gradients are passed through here."""
        tensors = [t for t in leaves_of(arguments) if getattr(t, "_node", None) is not None]
        self.has_inputs = bool(tensors)
        return _gated(arguments, self.tell)

    def left(self, result: Any) -> Any:
        """The result, whose gradients are passed through here."""
        return _gated(result, self._keep)

    def _keep(self, gradients: Sequence[Any]) -> Sequence[Any]:
        self.outputs = tuple(gradients)
        if not self.has_inputs:
            self.tell((None,))
        return gradients

    def tell(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Calls the hooks with the gradients of the inputs and outputs."""
        for hook, _ in tuple(self.registered.values()):
            changed = hook(self.module, tuple(gradients), self.outputs)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(gradients):
                    raise ShapeError(
                        f"full backward hook of {type(self.module).__name__}: expected "
                        f"{len(gradients)} gradients, one per input tensor, got {len(changed)}"
                    )
                gradients = changed
        self.outputs = ()
        return gradients


def _gated(tree: Any, on_gradients: Callable[[Sequence[Any]], Sequence[Any]]) -> Any:
    """The tree with its tensors on the tape replaced by ones whose gradients are collected, given to
    `on_gradients`, all at once, and passed on as that returns them.

    The tensors get nodes over one common node. They give it a token, and it reads the list."""
    leaves = leaves_of(tree)
    places = [i for i, t in enumerate(leaves) if getattr(t, "_node", None) is not None]
    if not places:
        return tree
    collected: list[Any] = [None] * len(places)

    def pass_on(token: Any, node: Node) -> Sequence[Any]:
        gradients = list(collected)
        collected[:] = [None] * len(places)
        return on_gradients(gradients)

    pass_on.__name__ = "module_hook"
    common = leaves[places[0]].detach()
    record(common, pass_on, tuple(leaves[i]._node for i in places), None)
    for at, i in enumerate(places):

        def keep(gy: Any, node: Node, at: int = at) -> Sequence[Any]:
            collected[at] = gy
            return [gy._filled(0.0).sum()]

        keep.__name__ = "module_hook"
        leaves[i] = leaves[i].detach()
        record(leaves[i], keep, (common._node,), None)
    return built(tree, leaves)
