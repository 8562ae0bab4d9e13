"""Modules that hold modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import index as to_int
from typing import Any
from weakref import WeakSet

from tensorgrad.errors import DTypeError, IndexOutOfRangeError
from tensorgrad.nn._activations import ReLU, Sigmoid, Tanh
from tensorgrad.nn._layers import Linear
from tensorgrad.nn._module import Module
from tensorgrad.ops.linear_chain import LinearChain

# The Sequentials that have made their steps, which leave no calls of the modules in them to tell of.
fused: WeakSet[Sequential] = WeakSet()

# what the linear kernel does in the same pass over its output
_FUSIBLE = {ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid"}


class _List(Module):
    """Modules in order, under the names "0", "1", ... unless they were given others."""

    def _modules(self) -> list[Module]:
        return [value for value in vars(self).values() if isinstance(value, Module)]

    def _names(self) -> list[str]:
        return [name for name, value in vars(self).items() if isinstance(value, Module)]

    def _name_at(self, i: Any) -> str:
        names = self._names()
        try:
            return names[to_int(i)]
        except TypeError:
            raise DTypeError(
                f"{type(self).__name__}: expected an integer or a slice, got {i!r}"
            ) from None
        except IndexError:
            raise IndexOutOfRangeError(
                f"{type(self).__name__}: expected an index in [{-len(names)}, {len(names)}), got {i}"
            ) from None

    def _checked(self, module: Any) -> Module:
        if not isinstance(module, Module):
            raise DTypeError(
                f"{type(self).__name__}: expected a Module, got {type(module).__name__}"
            )
        return module

    def _replace_all(self, modules: list[Module]) -> None:
        for name in self._names():
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def append(self, module: Module) -> Any:
        """Adds a module at the end, named by its position; returns self. Raises DTypeError."""
        position = len(self)
        while str(position) in vars(self):  # a slice keeps the names of the whole
            position += 1
        self.add_module(str(position), self._checked(module))
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds modules at the end; returns self. Raises DTypeError."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Puts a module before the position `index`, and names all by their positions; returns
        self."""
        modules = self._modules()
        modules.insert(index, self._checked(module))
        self._replace_all(modules)
        return self

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules())

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            result = type(self)()
            for name in self._names()[i]:
                result.add_module(
                    name if isinstance(self, Sequential) else str(len(result)), vars(self)[name]
                )
            return result
        return vars(self)[self._name_at(i)]

    def __setitem__(self, i: int, module: Module) -> None:
        setattr(self, self._name_at(i), self._checked(module))

    def __delitem__(self, i: Any) -> None:
        for name in self._names()[i] if isinstance(i, slice) else [self._name_at(i)]:
            delattr(self, name)
        if all(name.isdecimal() for name in self._names()):
            self._replace_all(self._modules())


class Sequential(_List):
    """Modules called one after the other, each with the result of the one before.

    Sequential(a, b, ...) or Sequential({"name": a, ...}). It can be indexed, sliced, appended to
    and iterated over. Linear layers in a row, each with the ReLU, Tanh or Sigmoid that follows it, are
    computed by one call; the result and the gradients are the same. Raises DTypeError for what is no Module.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> model(tensorgrad.zeros((2, 4))).shape
    (2, 3)
    >>> model[:2]
    Sequential(
      (0): Linear(in_features=4, out_features=16, bias=True)
      (1): ReLU()
    )
    """

    # what is called in turn; made anew after every change
    _steps: tuple[Callable[[Any], Any], ...] | None = None

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, self._checked(module))
        else:
            for module in modules:
                self.append(module)

    def forward(self, x: Any) -> Any:
        """The result of the last module; x itself if there is none."""
        for step in self._steps or self._make_steps():
            x = step(x)
        return x

    def _make_steps(self) -> tuple[Callable[[Any], Any], ...]:
        """The modules, but for runs of linear layers and their activations, which are one step."""
        steps: list[Any] = []
        calls = sys.modules.get("tensorgrad.nn._calls")  # there is nothing to tell unless loaded
        for module in self._modules():
            kind = type(module)  # exact: a subclass may compute something else
            run = steps[-1] if steps and isinstance(steps[-1], list) else None
            if calls is not None and calls.is_told_of(module):
                steps.append(module)
            elif kind is Linear:
                if run is None:
                    steps.append(run := [])
                run.append((module, None))
            elif kind in _FUSIBLE and run is not None and run[-1][1] is None:
                run[-1] = (run[-1][0], _FUSIBLE[kind])
            else:
                steps.append(module)
        made = tuple(LinearChain(step) if isinstance(step, list) else step for step in steps)
        object.__setattr__(self, "_steps", made)
        fused.add(self)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_steps": None}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        object.__setattr__(self, "_steps", None)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        object.__setattr__(self, "_steps", None)


class ModuleList(_List):
    """A list of modules that are part of the module that holds it. It cannot be called.

    >>> from tensorgrad import nn
    >>> layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())


class ModuleDict(Module):
    """A dict of modules that are part of the module that holds it. It cannot be called.

    Raises ArgumentError for a key with dots or one that is the name of an attribute.

    >>> from tensorgrad import nn
    >>> heads = nn.ModuleDict({"digit": nn.Linear(4, 10), "parity": nn.Linear(4, 2)})
    >>> heads["parity"].out_features
    2
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Adds or replaces modules."""
        for name, module in modules.items():
            self[name] = module

    def keys(self) -> list[str]:
        """The names, in order."""
        return [name for name, value in vars(self).items() if isinstance(value, Module)]

    def values(self) -> list[Module]:
        """The modules, in order."""
        return [vars(self)[name] for name in self.keys()]

    def items(self) -> list[tuple[str, Module]]:
        """The (name, module) pairs, in order."""
        return [(name, vars(self)[name]) for name in self.keys()]

    def pop(self, key: str) -> Module:
        """Removes the module of that name and returns it. Raises KeyError."""
        module = self[key]
        delattr(self, key)
        return module

    def __getitem__(self, key: str) -> Module:
        if key not in self.keys():
            raise KeyError(key)
        found: Module = vars(self)[key]
        return found

    def __setitem__(self, key: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise DTypeError(f"ModuleDict: expected a Module, got {type(module).__name__}")
        if key in self.keys():
            setattr(self, key, module)
        else:
            self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


__all__ = ["ModuleDict", "ModuleList", "Sequential"]
