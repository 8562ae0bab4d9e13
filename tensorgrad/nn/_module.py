"""Module: a function with parameters, made of other modules.

A module's attributes are the only record of its parts: its parameters are the attributes that are
Parameters, its children those that are Modules, its buffers the attributes named in `_buffers`. So
there is nothing to keep in step, and attribute access costs what it costs everywhere in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import RemovableHandle, no_grad
from tensorgrad.autograd._modes import tracers
from tensorgrad.dtypes import DTYPES, F64, code_of
from tensorgrad.errors import ArgumentError, DTypeError, StateDictError
from tensorgrad.nn._parameter import Parameter
from tensorgrad.ops.multi import drop_gradients

M = TypeVar("M", bound="Module")

changes = 0  # how often an attribute of any module was set or deleted


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` found: keys without a value, and values without a
    place."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all modules: subclass it, make parameters and submodules attributes, define
    `forward`.

    Calling a module calls its `forward` itself: `__call__` is another name of it. Attributes:
    `training`, whether it behaves as in training (Dropout does).

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(2.0)
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> model = Scale()
    >>> model(tensorgrad.ones(2)).tolist()
    [2.0, 2.0]
    >>> [name for name, _ in model.named_parameters()]
    ['factor']
    """

    training: bool = True
    _own_call = False  # whether a class on the way defines __call__ itself
    _buffers: dict[str, bool]  # name of a buffer -> whether it is part of the state dict

    def __new__(cls: type[M], *args: Any, **kwargs: Any) -> M:
        module = super().__new__(cls)
        object.__setattr__(module, "_buffers", {})
        return module

    def __init__(self) -> None:
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in cls.__dict__:
            cls._own_call = True
        elif not cls._own_call:
            cls.__call__ = cls.forward  # type: ignore[method-assign]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    __call__: Callable[..., Any] = forward

    # ---- hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, args)` before every forward; what it returns, unless None, takes the
        arguments' place. with_kwargs: it is called with (module, args, kwargs) and returns both.

        >>> import tensorgrad
        >>> from tensorgrad import nn
        >>> model = nn.ReLU()
        >>> with model.register_forward_pre_hook(lambda module, args: (-args[0],)):
        ...     model(-tensorgrad.ones(2))
        tensor([1., 1.])
        """
        return _calls().register(self, "before", hook, prepend=prepend, with_kwargs=with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, args, result)` after every forward; what it returns, unless None,
        takes the result's place. with_kwargs: it is called with (module, args, kwargs, result).

        >>> import tensorgrad
        >>> from tensorgrad import nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> shapes = []
        >>> handle = model[0].register_forward_hook(lambda m, args, y: shapes.append(y.shape))
        >>> y = model(tensorgrad.ones((1, 2)))
        >>> shapes
        [(1, 3)]
        >>> handle.remove()
        """
        return _calls().register(self, "after", hook, prepend=prepend, with_kwargs=with_kwargs)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, grad_input, grad_output)` in every backward through the module, once
        the gradients of its inputs are known: tuples, one per tensor that requires grad, None where
        none arrived. What it returns, unless None, takes grad_input's place.

        >>> import tensorgrad
        >>> from tensorgrad import nn
        >>> model = nn.ReLU()
        >>> handle = model.register_full_backward_hook(lambda m, gx, gy: (gx[0] * 10,))
        >>> x = tensorgrad.ones(2, requires_grad=True)
        >>> model(x).sum().backward()
        >>> x.grad
        tensor([10., 10.])
        """
        return _calls().register(self, "backward", hook, prepend=prepend)

    # ---- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(before, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise DTypeError(
                f"{type(self).__name__}.{name}: expected a Parameter or None in place of a Parameter, got "
                f"{type(value).__name__}; write to it under no_grad(), or delete it first"
            )
        if name in self._buffers and not (value is None or isinstance(value, Tensor)):
            raise DTypeError(
                f"{type(self).__name__}.{name}: expected a Tensor or None as a buffer, got {type(value).__name__}"
            )
        if name == "forward":
            raise ArgumentError(
                f"{type(self).__name__}.forward: cannot be set on a module; define it in a subclass"
            )
        object.__setattr__(self, name, value)
        global changes
        changes += 1

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._buffers.pop(name, None)
        global changes
        changes += 1

    def _add(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(
                f"{type(self).__name__}: expected a name without dots, got {name!r}"
            )
        if hasattr(self, name) and not isinstance(
            vars(self).get(name, 0), (Tensor, Module, type(None))
        ):
            raise ArgumentError(f"{type(self).__name__}: the attribute {name!r} exists already")
        setattr(self, name, value)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Makes `tensor` the attribute `name`: kept and converted with the module, but not trained.

        persistent: whether it is part of the state dict. Raises ArgumentError for a name that is
        taken or has dots, DTypeError for what is no Tensor.

        >>> import tensorgrad
        >>> from tensorgrad import nn
        >>> module = nn.Identity()
        >>> module.register_buffer("mean", tensorgrad.zeros(2))
        >>> module.state_dict()
        {'mean': tensor([0., 0.])}
        """
        if not (tensor is None or isinstance(tensor, Tensor)):
            raise DTypeError(
                f"register_buffer: expected a Tensor or None, got {type(tensor).__name__}"
            )
        self._add(name, tensor)
        self._buffers[name] = bool(persistent)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Makes `param` the attribute `name`. Raises ArgumentError for a name that is taken or has
        dots, DTypeError for what is no Parameter.

        >>> from tensorgrad import nn
        >>> module = nn.Identity()
        >>> module.register_parameter("gain", nn.Parameter(1.0))
        >>> [name for name, _ in module.named_parameters()]
        ['gain']
        """
        if not (param is None or isinstance(param, Parameter)):
            raise DTypeError(
                f"register_parameter: expected a Parameter or None, got {type(param).__name__}"
            )
        self._add(name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """Makes `module` the attribute `name`. Raises ArgumentError for a name that is taken or has
        dots, DTypeError for what is no Module.

        >>> from tensorgrad import nn
        >>> model = nn.Sequential()
        >>> model.add_module("activation", nn.ReLU())
        >>> model
        Sequential(
          (activation): ReLU()
        )
        """
        if not (module is None or isinstance(module, Module)):
            raise DTypeError(f"add_module: expected a Module or None, got {type(module).__name__}")
        self._add(name, module)

    # ---- the parts

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes, with their names; one that appears twice, once."""
        seen: set[int] = set()
        for name, value in vars(self).items():
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules that are attributes."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with their dotted names; each once."""
        seen: set[int] = set()
        for name, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def _walk(
        self, prefix: str = "", above: tuple[Module, ...] = ()
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it under every name that they have (but not round a cycle)."""
        yield prefix, self
        for name, value in vars(self).items():
            if isinstance(value, Module) and not any(value is m for m in (*above, self)):
                yield from value._walk(f"{prefix}.{name}" if prefix else name, (*above, self))

    def modules(self) -> Iterator[Module]:
        """This module and all below it; each once."""
        return (module for _, module in self.named_modules())

    def _named(
        self, select: Callable[[Module, str, Any], bool], prefix: str, recurse: bool
    ) -> Iterator[tuple[str, Tensor]]:
        """The attributes that `select`(module, name, value) holds for, under every name that they
        have."""
        for path, module in self._walk(prefix) if recurse else [(prefix, self)]:
            for name, value in vars(module).items():
                if select(module, name, value):
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters of this module and (recurse) of those below, with their dotted names; a
        shared one once, under its first name, unless remove_duplicate is False.

        >>> from tensorgrad import nn
        >>> [name for name, _ in nn.Sequential(nn.Linear(2, 3), nn.ReLU()).named_parameters()]
        ['0.weight', '0.bias']
        """
        return _once(  # type: ignore[return-value]
            self._named(
                lambda m, name, v: isinstance(v, Parameter) and name not in m._buffers,
                prefix,
                recurse,
            ),
            remove_duplicate,
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and (recurse) of those below; each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers of this module and (recurse) of those below, with their dotted names."""
        return _once(
            self._named(lambda m, name, v: name in m._buffers and v is not None, prefix, recurse),
            remove_duplicate,
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and (recurse) of those below; each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module below this one with the dotted name `target`; "" is itself. Raises
        ArgumentError.

        >>> from tensorgrad import nn
        >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU()).get_submodule("1")
        ReLU()
        """
        module = self
        for name in target.split(".") if target else ():
            found = vars(module).get(name)
            if not isinstance(found, Module):
                raise ArgumentError(
                    f"get_submodule: {type(module).__name__} has no module {name!r} (of {target!r})"
                )
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with the dotted name `target`. Raises ArgumentError.

        >>> from tensorgrad import nn
        >>> nn.Sequential(nn.Linear(2, 3)).get_parameter("0.bias").shape
        (3,)
        """
        path, _, name = target.rpartition(".")
        found = vars(self.get_submodule(path)).get(name)
        if not isinstance(found, Parameter):
            raise ArgumentError(f"get_parameter: no parameter {target!r}")
        return found

    # ---- the state

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        return self._named(
            lambda m, name, v: v is not None and m._buffers.get(name, isinstance(v, Parameter)),
            "",
            True,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters and persistent buffers by their dotted names, off the tape, sharing
        memory.

        >>> from tensorgrad import nn
        >>> {name: value.shape for name, value in nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        return {name: value.detach() for name, value in self._state()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copies values (Tensors or arrays) into the parameters and buffers of the same names.

        strict: also demand that no key is missing or unexpected; else those are returned. Raises
        StateDictError, naming every missing, unexpected and misshapen key, and DTypeError for a
        value that is no array of numbers; then nothing was loaded.

        >>> from tensorgrad import nn
        >>> model = nn.Linear(2, 3)
        >>> model.load_state_dict(nn.Linear(2, 3).state_dict())
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        """
        if not isinstance(state_dict, Mapping):
            raise DTypeError(
                f"load_state_dict: expected a mapping of names to values, got {type(state_dict).__name__}"
            )
        own = dict(self._state())
        missing = [name for name in own if name not in state_dict]
        unexpected = [str(name) for name in state_dict if name not in own]
        values = {
            name: as_tensor(
                np.asarray(value) if not isinstance(value, Tensor) else value,
                f"load_state_dict: {name}",
            )
            for name, value in state_dict.items()
            if name in own
        }
        misshapen = [
            f"{name} (expected {own[name].shape}, got {value.shape})"
            for name, value in values.items()
            if value.shape != own[name].shape
        ]
        problems = [f"missing {', '.join(missing)}"] if strict and missing else []
        problems += [f"unexpected {', '.join(unexpected)}"] if strict and unexpected else []
        problems += [f"misshapen {', '.join(misshapen)}"] if misshapen else []
        if problems:
            raise StateDictError(f"load_state_dict of {type(self).__name__}: {'; '.join(problems)}")
        with no_grad():
            for name, value in values.items():
                own[name].copy_(value)
        return IncompatibleKeys(missing, unexpected)

    # ---- changes of the whole tree

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Calls fn on every module below and then on this one; returns self.

        >>> from tensorgrad import nn
        >>> _ = nn.Sequential(nn.ReLU(), nn.Tanh()).apply(lambda m: print(type(m).__name__))
        ReLU
        Tanh
        Sequential
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Sets `training` here and below; returns self. Raises DTypeError unless mode is a bool."""
        if not isinstance(mode, bool):
            raise DTypeError(f"train: expected a bool, got {type(mode).__name__}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """The same as train(False)."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Makes every parameter require grad or not; returns self."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters; with set_to_none=False, makes them zeros in
        place."""
        if set_to_none:
            drop_gradients(self.parameters())
            return
        for p in self.parameters():
            gradient = p.grad
            if gradient is not None:
                p.grad = gradient.detach().zero_()

    def to(self: M, dtype: Any) -> M:
        """Converts float parameters, their gradients and float buffers to float32 or float64, in
        place: they stay the same objects. Returns self. Raises DTypeError for another dtype.

        >>> from tensorgrad import nn
        >>> nn.Linear(2, 3).to("float64").weight.dtype
        dtype('float64')
        """
        code = code_of(dtype, "Module.to")
        if code > F64:
            raise DTypeError(f"Module.to: expected float32 or float64, got {DTYPES[code]}")
        with no_grad():
            for p in self.parameters():
                if p._code <= F64 and p._code != code:
                    gradient = p.grad
                    p._adopt(p.astype(DTYPES[code]))
                    p._writable("Module.to")  # a graph that still needs the old values will say so
                    if gradient is not None:
                        p.grad = gradient.astype(DTYPES[code])
            for module in self.modules():
                for name in module._buffers:
                    buffer = getattr(module, name)
                    if buffer is not None and buffer._code <= F64:
                        setattr(module, name, buffer.astype(DTYPES[code]))
        return self

    def float(self: M) -> M:
        """The same as to(float32)."""
        return self.to("float32")

    def double(self: M) -> M:
        """The same as to(float64)."""
        return self.to("float64")

    # ---- as text

    def extra_repr(self) -> str:
        """What the repr says in the brackets, before the children."""
        return ""

    def __repr__(self) -> str:
        lines = [self.extra_repr()] if self.extra_repr() else []
        children = [(name, m) for name, m in vars(self).items() if isinstance(m, Module)]
        if not children:
            return f"{type(self).__name__}({''.join(lines)})"
        lines += [f"({name}): {module!r}" for name, module in children]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _calls() -> Any:
    """The module of hooks and names, loaded when first used."""
    return import_module("tensorgrad.nn._calls")


tracers.append(lambda on: _calls().trace_calls(Module, on))


def _once(
    named: Iterator[tuple[str, Tensor]], remove_duplicate: bool
) -> Iterator[tuple[str, Tensor]]:
    seen: set[int] = set()
    for name, value in named:
        if id(value) not in seen:
            if remove_duplicate:
                seen.add(id(value))
            yield name, value


__all__ = ["IncompatibleKeys", "Module"]
