"""What a compiled function is given and returns: trees of tensors taken apart, and what must be alike for a
program to fit."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from tensorgrad._native import address_of
from tensorgrad._tensor import Tensor, overlap
from tensorgrad.autograd._tape import Leaf


def flatten(value: Any, leaves: list[Any]) -> Any:
    """Appends the tensors (and arrays) in nested tuples, lists and dicts to `leaves`; returns what is
    left, which is equal for arguments of one structure."""
    if isinstance(value, Tensor) or hasattr(value, "__array_interface__"):
        leaves.append(value)
        return LEAF
    if isinstance(value, (tuple, list)):
        return (type(value), *[flatten(part, leaves) for part in value])
    if isinstance(value, dict):
        return (dict, *[(key, flatten(part, leaves)) for key, part in value.items()])
    return value


def unflatten(structure: Any, leaves: Any) -> Any:
    """The value that `flatten` took apart. leaves: an iterator."""
    if structure is LEAF:
        return next(leaves)
    if isinstance(structure, tuple) and structure and structure[0] in (tuple, list):
        parts = [unflatten(part, leaves) for part in structure[1:]]
        return parts if structure[0] is list else tuple(parts)
    if isinstance(structure, tuple) and structure and isinstance(structure[0], type):
        if structure[0] is dict:
            return {key: unflatten(part, leaves) for key, part in structure[1:]}
        return structure[0](*[unflatten(part, leaves) for part in structure[1:]])
    return structure


class _Leaf:
    def __repr__(self) -> str:
        return "Tensor"


LEAF = _Leaf()


class Signature:
    """The arguments' structure, and each tensor's shape, dtype, layout, place on the tape, and place in
    the memory of the first argument that shares memory with it.

    fixed: by its number, (storage, address) of an argument whose memory the function reaches in another
    way too: for a program it must lie where it lay."""

    __slots__ = ("first", "fixed", "gradients", "places", "structure", "tensors")

    def __init__(self, structure: Any, tensors: Sequence[Tensor]) -> None:
        self.structure = structure
        self.places = [(t._storage, address_of(t._ptr)) for t in tensors]
        self.first = [
            next(j for j, other in enumerate(tensors) if other is t or overlap(other, t))
            for t in tensors
        ]
        self.tensors = [
            (t._shape, t._strides, t._code, t._node is not None, j, at - self.places[j][1])
            for t, j, (_, at) in zip(tensors, self.first, self.places)
        ]
        self.fixed: dict[int, tuple[Any, int]] = {}
        self.gradients: list[tuple[Leaf, bool]] = []

    def fix(self, reached: Container[int]) -> None:
        """Notes which arguments have memory that is reached in another way. reached: ids of storages."""
        self.fixed = {i: place for i, place in enumerate(self.places) if id(place[0]) in reached}
        self.places = []  # the others' memory is not to be kept

    def __eq__(self, other: object) -> bool:
        """Whether a call with the signature `other` is like the recording with this one."""
        return (
            isinstance(other, Signature)
            and self.tensors == other.tensors
            and all(
                other.places[i][0] is storage and other.places[i][1] == at
                for i, (storage, at) in self.fixed.items()
            )
            and _same(self.structure, other.structure)
        )

    __hash__ = None  # type: ignore[assignment]

    def plain_kinds(self) -> list[tuple[Any, int]] | None:
        """Shape and dtype of each argument, if all are contiguous tensors off the tape, of different
        memory, given by position; else None."""
        args, kwargs = self.structure
        if self.fixed or kwargs != (dict,) or any(part is not LEAF for part in args[1:]):
            return None
        if any(strides is not None or taped for _, strides, _, taped, _, _ in self.tensors):
            return None
        if self.first != list(range(len(self.first))):
            return None
        return [(shape, code) for shape, _, code, *_ in self.tensors]


def _same(a: Any, b: Any) -> bool:
    """Equality that tells 1 from 1.0 and True."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b or bool(a == b)


__all__ = ["LEAF", "Signature", "flatten", "unflatten"]
