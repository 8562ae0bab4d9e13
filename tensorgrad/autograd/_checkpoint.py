"""Recomputation instead of memory (Chen et al., "Training deep nets with sublinear memory cost",
2016): what a function's operations save is dropped, and computed again when a backward needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorgrad.autograd._modes import mode, random_streams, recording, states
from tensorgrad.autograd._saved import (
    Packing,
    is_tensor,
    mapped,
    now,
    on_tape,
    packers,
)
from tensorgrad.autograd._tape import check_unmodified
from tensorgrad.errors import ArgumentError, CheckpointError


class _Frame:
    """One call of a checkpointed function: how to run it again, and what its nodes had saved."""

    name = "checkpoint"

    def __init__(
        self, function: Callable[..., Any], args: Any, kwargs: Any, keeps_random_state: bool
    ) -> None:
        self.function = function
        self.seq = now()
        self.restored = [
            (s, s.get_state()) for s in (states + random_streams if keeps_random_state else states)
        ]
        arguments = (list(args), list(kwargs), list(kwargs.values()))
        outer = packers.stack[-1] if packers.stack else None
        self.arguments: Callable[[Any], Any] = (
            # inside another checkpoint, the arguments are what that one can compute again
            outer.pack(self.name, arguments, self.seq, None)
            if isinstance(outer, (_Frame, _Collector))
            else _Found(arguments, self.seq, None).given
        )
        self.names: list[str] = []
        self.found: dict[int, _Found] = {}

    def pack(self, name: str, saved: Any, seq: int, output: Any) -> Callable[[Any], Any]:
        """Drops what was saved; returns the function that computes it again."""
        index = len(self.names)
        self.names.append(name)
        places: list[Any] = []  # of the tensors on the tape, so that gradients are differentiable
        mapped(saved, lambda v: places.append(v._node) if is_tensor(v) else None)

        def unpack(node: Any) -> Any:
            if index not in self.found:
                self.compute()
            rest = iter(places)
            again = self.found.pop(index).given(node)
            return mapped(again, lambda v: on_tape(v, next(rest)) if is_tensor(v) else v)

        return unpack

    def compute(self) -> None:
        """Runs the function again and collects what its nodes save."""
        collector = _Collector(self)
        args, names, values = self.arguments(self)
        before = [(s, s.get_state()) for s, _ in self.restored]
        try:
            for holder, state in self.restored:
                holder.set_state(state)
            with recording(), Packing(collector):
                self.function(*args, **dict(zip(names, values)))
        finally:
            for holder, state in before:
                holder.set_state(state)
        if collector.count < len(self.names):
            raise CheckpointError(
                f"checkpoint: run again, the function recorded {collector.count} operations, and "
                f"{len(self.names)} the first time; it must do the same each time"
            )


class _Collector:
    """Gets what nodes save while a frame's function runs again."""

    def __init__(self, frame: _Frame) -> None:
        self.frame, self.start, self.count = frame, now(), 0

    def pack(self, name: str, saved: Any, seq: int, output: Any) -> Callable[[Any], Any]:
        """Keeps it for the node that had saved the same; the new nodes use it too."""
        names, index = self.frame.names, self.count
        self.count += 1
        if index >= len(names) or names[index] != name:
            before = names[index] if index < len(names) else "nothing more"
            raise CheckpointError(
                f"checkpoint: run again, the function recorded {name} as operation {index}, and "
                f"{before} the first time; it must do the same each time"
            )
        self.frame.found[index] = _Found(saved, seq, output, self.start)
        return _Found(saved, seq, output).given


class _Found:
    """What a node saved, at the time `seq`; with `start`, in a run that began then and stands for an
    earlier one."""

    def __init__(self, saved: Any, seq: int, output: Any, start: int | None = None) -> None:
        memory = None if output is None else output._storage
        self.saved = mapped(saved, lambda v: output.detach() if v is memory is not None else v)
        self.is_memory = mapped(saved, lambda v: v is memory is not None)
        self.seq, self.start = seq, start

    def given(self, node: Any) -> Any:
        """What was saved, for a node of the earlier run. Raises InplaceError if it was written
        since."""
        memory: list[bool] = []
        mapped(self.is_memory, memory.append)
        kinds = iter(memory)

        def checked(value: Any) -> Any:
            is_memory = next(kinds)
            if not is_tensor(value):
                return value
            storage = value._storage
            if storage.written > node.seq:
                if self.start is None or not self.start < storage.written < self.seq:
                    check_unmodified(storage, node)
                # written by the function itself, before it was saved: rules look at the time
                value = on_tape(value.detach().copy(), value._node)
            return value._storage if is_memory else value

        return mapped(self.saved, checked)


def checkpoint(
    function: Callable[..., Any], *args: Any, preserve_rng_state: bool = True, **kwargs: Any
) -> Any:
    """function(*args, **kwargs), whose operations keep nothing for the backward: the first backward
    that needs it runs the function again. The memory is that of the results and arguments; the cost is
    one more forward.

    The function may return anything, read parameters from outside, and contain other checkpoints;
    `backward`, `autograd.grad` and higher derivatives work as without. It must compute the same when
    it is run again: preserve_rng_state sets the default generator back for it, so that dropout draws
    the same.

    Raises ArgumentError for what is no function; in the backward CheckpointError if the function did
    something else, InplaceError if what it reads was written in place since.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> block = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 4))
    >>> x = tensorgrad.ones((2, 4), requires_grad=True)
    >>> tensorgrad.autograd.checkpoint(block, x).sum().backward()
    >>> x.grad.shape
    (2, 4)
    """
    if not callable(function):
        raise ArgumentError(f"checkpoint: expected a function, got {type(function).__name__}")
    if not mode.enabled:
        return function(*args, **kwargs)
    with Packing(_Frame(function, args, kwargs, preserve_rng_state)):
        return function(*args, **kwargs)


__all__ = ["checkpoint"]
