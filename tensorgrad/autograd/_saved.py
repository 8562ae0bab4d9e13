"""What nodes save, kept elsewhere: the ground of saved_tensors_hooks and checkpoint.

A packer takes over what a node has saved, just after it was recorded, and gives a function that
brings it back; the node's rule then runs on what that function gives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tensorgrad._native import clock
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import Node, check_unmodified, watchers
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError


class _Packers(threading.local):
    def __init__(self) -> None:
        self.stack: list[Any] = []


packers = _Packers()
_active = 0  # how many packers there are, in all threads
_lock = threading.Lock()


def _hand_over(output: Any) -> None:
    """The watcher: the innermost packer of this thread gets what `output`'s node saved."""
    if packers.stack:
        node = output._node
        saved = node.saved
        if saved is not None and node.rule is not None:
            unpack = packers.stack[-1].pack(node.name, saved, node.seq, output)
            node.saved = None
            node.rule = _on_unpacked(node.rule, unpack)


def _on_unpacked(rule: Any, unpack: Callable[[Node], Any]) -> Any:
    lock = threading.RLock()  # two backward passes may be at the node at once

    def unpacked(gy: Any, node: Node) -> Any:
        with lock:
            node.saved = unpack(node)
            try:
                return rule(gy, node)
            finally:
                node.saved = None

    unpacked.__name__ = rule.__name__
    return unpacked


class Packing:
    """A context in which a packer gets what nodes save. A packer has `pack(name, saved, seq,
    output)`, which returns the function that brings `saved` back for a node."""

    def __init__(self, packer: Any) -> None:
        self.packer = packer

    def __enter__(self) -> None:
        global _active
        packers.stack.append(self.packer)
        with _lock:
            _active += 1
            if _active == 1:
                watchers.append(_hand_over)

    def __exit__(self, *_: object) -> None:
        global _active
        packers.stack.pop()
        with _lock:
            _active -= 1
            if not _active:
                watchers.remove(_hand_over)


def is_tensor(value: Any) -> bool:
    """Whether it is a Tensor (this package cannot import the class)."""
    return hasattr(value, "_storage") and hasattr(value, "_node")


def mapped(saved: Any, function: Callable[[Any], Any]) -> Any:
    """`saved` with function(value) in place of each of its values, in tuples and lists."""
    if saved.__class__ is tuple:
        return tuple([mapped(value, function) for value in saved])
    if saved.__class__ is list:
        return [mapped(value, function) for value in saved]
    return function(saved)


def on_tape(tensor: Any, place: Any) -> Any:
    """The same memory at another place of the tape."""
    result = tensor.detach()
    result._node = place
    return result


class _Packed:
    """One tensor in what a hook made of it."""

    __slots__ = ("code", "dense", "hook", "is_memory", "itself", "kept", "place", "shape")

    def __init__(self, tensor: Any, is_memory: bool, hooks: saved_tensors_hooks) -> None:
        bare = tensor.detach()
        recording = mode.enabled
        mode.enabled = False
        try:
            self.kept = hooks.pack_hook(bare)
        finally:
            mode.enabled = recording
        self.hook = hooks.unpack_hook
        self.is_memory = is_memory
        self.itself = is_tensor(self.kept) and self.kept._storage is tensor._storage
        self.place = None if is_memory else tensor._node
        self.shape, self.code = tensor._shape, tensor._code
        self.dense = tensor._strides is None

    def unpacked(self, node: Node) -> Any:
        recording = mode.enabled
        mode.enabled = False
        try:
            tensor = self.hook(self.kept)
            if not is_tensor(tensor):
                raise DTypeError(
                    f"saved_tensors_hooks: expected unpack to return a Tensor, got "
                    f"{type(tensor).__name__} (backward of {node.name})"
                )
            if tensor._shape != self.shape or tensor._code != self.code:
                raise ShapeError(
                    f"saved_tensors_hooks: expected unpack to return {self.shape}, as it was "
                    f"packed, got {tensor.dtype} {tensor.shape} (backward of {node.name})"
                )
            storage = tensor._storage
            if self.itself and storage.written > node.seq:
                check_unmodified(storage, node)
            # the rules check the time of the last write, know what was contiguous, and read outputs
            # as blocks of memory
            if (
                storage.written > node.seq
                or (self.dense and tensor._strides is not None)
                or (self.is_memory and tensor._ptr != storage.ptr)
            ):
                tensor = tensor.detach().copy()
        finally:
            mode.enabled = recording
        return tensor._storage if self.is_memory else on_tape(tensor, self.place)


class saved_tensors_hooks(Packing):
    """A context in which pack(tensor) is called on each tensor that an operation saves for its
    backward, and what it returns is kept in the tensor's place; the backward gets
    unpack(that), which must have the tensor's shape and dtype. Of nested contexts the inner one
    counts. Both run without recording.

    Use it to keep activations in half the bytes, on disk, or to look at them. What an operation
    keeps besides its inputs and its output (the means of a layer_norm) stays as it is, and so do
    tensors that it saves only as a shape.

    Raises ArgumentError for what cannot be called, and in the backward DTypeError and ShapeError
    for what `unpack` must not return.

    >>> import numpy as np, tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> def pack(t):
    ...     return t.numpy().astype(np.float16)
    >>> def unpack(array):
    ...     return tensorgrad.tensor(array.astype(np.float32))
    >>> with tensorgrad.autograd.saved_tensors_hooks(pack, unpack):
    ...     y = x * x
    >>> y.sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        if not callable(pack_hook) or not callable(unpack_hook):
            raise ArgumentError("saved_tensors_hooks: expected two functions")
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook
        super().__init__(self)

    def pack(self, name: str, saved: Any, seq: int, output: Any) -> Callable[[Node], Any]:
        """Gives each tensor to the hook; returns the function that brings them back."""

        def packed(value: Any) -> Any:
            if is_tensor(value):
                return _Packed(value, False, self)
            if value is output._storage and output._strides is None:
                return _Packed(output, True, self)
            return value

        kept = mapped(saved, packed)

        def unpack(node: Node) -> Any:
            return mapped(kept, lambda v: v.unpacked(node) if v.__class__ is _Packed else v)

        return unpack


def now() -> int:
    """The clock that nodes and writes are stamped with."""
    return clock()
