"""What a recorded program took for granted, and whether it still holds.

A function's Python is not run again in a replay. So everything plain that it can reach is noted when it is
recorded: numbers, strings and flags in its closure, its globals, its defaults, the modules and objects
that these name; and which tensors they are. What has changed since means another recording."""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorgrad._native import ffi, lib
from tensorgrad._tensor import Tensor
from tensorgrad.autograd import RemovableHandle
from tensorgrad.autograd._modes import mode
from tensorgrad.nn import Module
from tensorgrad.nn import _module as module_state
from tensorgrad.optim import Optimizer
from tensorgrad.optim.lr_scheduler import LRScheduler
from tensorgrad.random import Generator

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_MOST = 20_000  # places looked at
_MISSING = object()
GONE = (KeyError, IndexError, ValueError)  # what looking at a place raises where nothing is there
_CACHES = frozenset(("_buffers", "_hooks", "_steps"))  # of a module


class Place:
    """Somewhere a value is found: an entry of a dict, a list, a cell."""

    __slots__ = ("container", "expected", "key", "name", "plain")

    def __init__(self, container: Any, key: Any, expected: Any, name: str) -> None:
        self.container = container
        self.key = key
        self.expected = expected
        self.name = name
        self.plain = isinstance(expected, _PLAIN)

    def now(self) -> Any:
        """What is there."""
        try:
            return self.container.cell_contents if self.key is None else self.container[self.key]
        except GONE:
            return _MISSING

    def holds(self) -> bool:
        """Whether it is what it was."""
        now = self.now()
        if now is self.expected:
            return True
        return self.plain and type(now) is type(self.expected) and now == self.expected

    def __repr__(self) -> str:
        now = self.now()
        return (
            f"{self.name} was {self.expected!r} and is {'gone' if now is _MISSING else repr(now)}"
        )


class Keys:
    """The attributes that a module has."""

    def __init__(self, attributes: dict[str, Any], name: str) -> None:
        self.attributes = attributes
        self.name = name
        self.keys = attributes.keys() - _CACHES

    def holds(self) -> bool:
        """Whether there are no others, and none is gone."""
        return self.attributes.keys() - _CACHES == self.keys

    def __repr__(self) -> str:
        changed = sorted((self.attributes.keys() - _CACHES) ^ self.keys)
        return f"{self.name} got or lost {', '.join(changed)}"


class Held:
    """A tensor that the function can reach: it must keep its memory and its place on the tape."""

    __slots__ = ("code", "name", "node", "ptr", "shape", "strides", "tensor")

    def __init__(self, tensor: Tensor, name: str) -> None:
        self.tensor = tensor
        self.name = name
        self.ptr, self.node = tensor._ptr, tensor._node
        self.shape, self.strides, self.code = tensor._shape, tensor._strides, tensor._code

    def holds(self) -> bool:
        """Whether it is as it was."""
        t = self.tensor
        return (
            t._ptr is self.ptr
            and t._node is self.node
            and t._shape is self.shape
            and t._strides == self.strides
        )

    def __repr__(self) -> str:
        return f"{self.name} has other memory, another shape, or another requires_grad"


class _Slots:
    """The attributes of an object that has them in slots, or of a class, as a dict would show them."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.names = [
            key
            for base in type(owner).__mro__
            for key, part in vars(base).items()
            if isinstance(part, types.MemberDescriptorType) and not _of_library(base)
        ]

    def get(self, key: str, default: Any) -> Any:
        """An attribute."""
        if isinstance(self.owner, type):
            return vars(self.owner).get(key, default)
        return getattr(self.owner, key, default)

    def __getitem__(self, key: str) -> Any:
        return self.get(key, _MISSING)


class Contents:
    """A NumPy array (or a set) that the function can reach: its values may have been converted when it
    was recorded."""

    def __init__(self, array: Any, name: str) -> None:
        self.array = array
        self.name = name
        self.before = self.now()

    def now(self) -> Any:
        """A fingerprint of the values."""
        array = self.array
        if not isinstance(array, np.ndarray):
            return frozenset(array) if isinstance(array, set) else list(array)
        if array.dtype.hasobject:
            return array.tolist()
        array = np.ascontiguousarray(array)
        return lib.tg_fingerprint(array.nbytes, ffi.cast("void *", array.ctypes.data))

    def holds(self) -> bool:
        """Whether the values are what they were."""
        return bool(self.now() == self.before)

    def __repr__(self) -> str:
        return f"{self.name} has other values"


class Scope(dict[str, Any]):
    """The names of a function that is written out."""

    def name(self, value: Any) -> str:
        """A name for a value."""
        variable = f"v{len(self)}"
        self[variable] = value
        return variable

    def function(self, signature: str, lines: Sequence[str]) -> Any:
        """The function with these lines, which sees the names."""
        text = f"def {signature}:\n" + "".join(f"    {line}\n" for line in lines)
        names = dict(self)  # Python looks names up faster in a dict that is no subclass
        exec(compile(text, "<compiled function>", "exec"), names)
        return names[signature.partition("(")[0]]


class Guards:
    """All that a function can reach, at one moment."""

    def __init__(self, function: Callable[..., Any], arguments: Any = ()) -> None:
        """arguments: those that are no tensors; what they lead to is in reach too."""
        self.places: list[Place] = []  # looked at before each run
        # looked at when an attribute of a module was set
        self.module_places: list[Place | Keys] = []
        self.tensors: list[Held] = []
        self.lengths: list[tuple[Any, int, str]] = []
        self.generators: list[Generator] = []
        self.optimizers: list[Optimizer] = []
        self.classes: set[type] = set()
        self.contents: list[Contents] = []
        self.mode = mode.enabled
        self.changes = module_state.changes
        self.hooks = RemovableHandle.changes
        self._seen: set[int] = set()
        self._walked: set[int] = set()  # functions
        self._keep: list[Any] = []
        self._function(function, getattr(function, "__name__", "the function"), root=True)
        self._value(arguments, "argument")
        # looked at after the recording: what the function itself must not set
        self.options = [
            (group, dict(group), f"param_groups[{i}]")
            for optimizer in self.optimizers
            for i, group in enumerate(optimizer.param_groups)
        ]

    # ---- walking

    def _note(
        self, container: Any, key: Any, value: Any, name: str, of_module: bool = False
    ) -> None:
        if len(self.places) + len(self.module_places) < _MOST:
            places = self.module_places if of_module else self.places
            places.append(Place(container, key, value, name))
            self._value(value, name)

    def _value(self, value: Any, name: str) -> None:
        if isinstance(value, (*_PLAIN, types.ModuleType, np.dtype)):
            return
        if isinstance(value, type):
            self._class(value)
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._keep.append(value)
        if isinstance(value, Tensor):
            self.tensors.append(Held(value, name))
        elif isinstance(value, np.ndarray):
            self.contents.append(Contents(value, name))
        elif isinstance(value, Generator):
            self.generators.append(value)
        elif isinstance(value, Optimizer):
            self.optimizers.append(value)
            for group in value.param_groups:
                for i, p in enumerate(group["params"]):
                    self._value(p, f"{name}.params[{i}]")
        elif isinstance(value, LRScheduler):
            self._value(value.optimizer, f"{name}.optimizer")
        elif isinstance(value, Module):
            self._class(type(value))
            self.module_places.append(Keys(value.__dict__, name))
            for key, part in list(value.__dict__.items()):
                if key not in _CACHES:
                    self._note(value.__dict__, key, part, f"{name}.{key}", of_module=True)
        elif isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            self._function(value, name)
        elif isinstance(value, dict):
            self.lengths.append((value, len(value), name))
            for key, part in list(value.items()):
                self._note(value, key, part, f"{name}[{key!r}]")
        elif isinstance(value, list):
            self.lengths.append((value, len(value), name))
            for i, part in enumerate(value):
                self._note(value, i, part, f"{name}[{i}]")
        elif isinstance(value, (set, bytearray, deque)):
            self.contents.append(Contents(value, name))
        elif isinstance(value, (tuple, frozenset)):
            for i, part in enumerate(value):
                self._value(part, f"{name}[{i}]")
        elif not _of_library(type(value)):
            self._class(type(value))
            slots = _Slots(value)
            for key in slots.names:
                self._note(slots, key, slots.get(key, _MISSING), f"{name}.{key}")
            attributes = getattr(value, "__dict__", None)
            if isinstance(attributes, dict):
                self.lengths.append((attributes, len(attributes), name))
                for key, part in list(attributes.items()):
                    self._note(attributes, key, part, f"{name}.{key}")

    def _class(self, kind: type) -> None:
        """What the methods of a user's class can reach, and its plain attributes."""
        for base in kind.__mro__:
            if base in self.classes or _of_library(base):
                continue
            self.classes.add(base)
            for key, part in list(vars(base).items()):
                part = getattr(part, "__func__", getattr(part, "fget", part))
                if isinstance(part, types.FunctionType):
                    self._function(part, f"{base.__name__}.{key}")
                elif not key.startswith("__") and not isinstance(part, types.MemberDescriptorType):
                    self._note(_Slots(base), key, part, f"{base.__name__}.{key}")

    def _function(self, function: Any, name: str, root: bool = False) -> None:
        if isinstance(function, functools.partial):
            self._value(function.args, f"{name}.args")
            self._value(function.keywords, f"{name}.keywords")
            self._value(function.func, name)
            return
        if isinstance(function, types.MethodType):
            self._value(function.__self__, name)
            function = function.__func__
        if isinstance(function, Module):
            self._value(function, name)
            function = type(function).forward
        if not isinstance(function, types.FunctionType):
            self._value(function, name)
            return
        if (_of_library(function) and not root) or id(function) in self._walked:
            return
        self._walked.add(id(function))
        self._keep.append(function)
        names = _names(function.__code__)
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                self._note(cell, None, cell.cell_contents, variable)
            except ValueError:
                continue  # not yet assigned
        for variable in sorted(names):
            if variable in function.__globals__:
                value = function.__globals__[variable]
                if isinstance(value, types.ModuleType):
                    self._module(value, names)
                    continue
                if isinstance(value, type) and _of_library(value):
                    continue
                self._note(function.__globals__, variable, value, variable)
        for values in (function.__defaults__, function.__kwdefaults__):
            if values:
                self._value(values, f"{name}'s defaults")

    def _module(self, module: types.ModuleType, names: set[str]) -> None:
        """Of a user's module what a function may name."""
        if (
            module.__name__.split(".")[0] in _LIBRARIES
            or module.__name__ in sys.stdlib_module_names
        ):
            return
        for key in sorted(names & vars(module).keys()):
            value = vars(module)[key]
            if isinstance(value, types.ModuleType):
                if id(value) not in self._seen:
                    self._seen.add(id(value))
                    self._module(value, names)
            else:
                self._note(vars(module), key, value, f"{module.__name__}.{key}")

    # ---- afterwards

    def options_changed(self) -> str:
        """Which option of an optimizer is another than at first, or ""."""
        for group, before, name in self.options:
            for key, value in before.items():
                if group.get(key) is not value and group.get(key) != value:
                    return f"{name}[{key!r}] was {value!r} and is {group.get(key)!r}"
        return ""

    def changed(self) -> str:
        """What no longer holds, or "": to be asked before a run."""
        if mode.enabled is not self.mode:
            return "the recording of gradients was switched"
        if self.hooks != RemovableHandle.changes:
            return "a hook was registered or removed"
        for place in self.places:
            if not place.holds():
                return repr(place)
        if self.changes != module_state.changes:
            for part in self.module_places:
                if not part.holds():
                    return repr(part)
            self.changes = module_state.changes
        for held in self.tensors:
            if not held.holds():
                return repr(held)
        for container, length, name in self.lengths:
            if len(container) != length:
                return f"{name} had {length} entries and has {len(container)}"
        for array in self.contents:
            if not array.holds():
                return repr(array)
        return ""

    def conditions(self, scope: Scope, gradients: Any, options: Any) -> list[str]:
        """Python expressions that are true if something no longer holds: for functions that are written
        out, since they are called before every run. They may raise one of GONE, which means the same.

        gradients: (leaf, whether it had a gradient) pairs. options: of optimizers."""
        name = scope.name
        found = [f"{name(mode)}.enabled is not {self.mode}"]
        for container, length, _ in self.lengths:
            found.append(f"len({name(container)}) != {length}")
        for place in self.places:
            container = name(place.container)
            if place.key is None:
                now = f"{container}.cell_contents"
            elif isinstance(place.container, _Slots) or place.expected is _MISSING:
                now = f"{container}.get({name(place.key)}, {name(_MISSING)})"
            else:
                now = f"{container}[{name(place.key)}]"
            expected = name(place.expected)
            if place.plain:
                kind = name(type(place.expected))
                found.append(
                    f"(x := {now}) is not {expected} and (x.__class__ is not {kind} or x != {expected})"
                )
            else:
                found.append(f"{now} is not {expected}")
        found.append(f"{name(RemovableHandle)}.changes != {self.hooks}")
        guards = name(self)
        found.append(f"{guards}.changes != {name(module_state)}.changes and {guards}.changed()")
        found += [f"not {name(array)}.holds()" for array in self.contents]
        for held in self.tensors:
            t = name(held.tensor)
            found.append(
                f"{t}._ptr is not {name(held.ptr)} or {t}._node is not {name(held.node)} "
                f"or {t}._shape is not {name(held.shape)}"
            )
        found += [f"({name(leaf)}.grad is not None) is not {had}" for leaf, had in gradients]
        for o in options:
            tables, now = name(o.tables), f"{name(o.read)}({name(o.group)})"
            found.append(f"(x := {now}) != {tables}.values and not {tables}.take(x)")
        return found

    def trim(self, used: set[int]) -> None:
        """Forgets tensors that the program does not use. used: ids of their storages."""
        self.tensors = [
            h for h in self.tensors if id(h.tensor._storage) in used or h.node is not None
        ]
        self.places = [p for p in self.places if not _immutable(p)]


def _immutable(place: Place) -> bool:
    """Whether nobody rebinds such a name: a function of this library, in a module's globals."""
    value = place.expected
    return isinstance(value, (types.FunctionType, types.BuiltinFunctionType)) and _of_library(value)


def _of_library(thing: Any) -> bool:
    """Whether a class or function is this library's, Python's or another array library's."""
    return (getattr(thing, "__module__", "") or "").split(".")[0] in _LIBRARIES


def _names(code: types.CodeType) -> set[str]:
    """The names that a function and those in it look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


_LIBRARIES = frozenset(
    ("tensorgrad", "numpy", "builtins", "math", "functools", "itertools", "torch", "jax", "_thread")
)

__all__ = ["GONE", "Guards", "Scope"]
