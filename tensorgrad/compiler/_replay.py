"""One recording, ready to be replayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tensorgrad._native import BorrowedStorage, Storage, allocate, clock, ffi, lib
from tensorgrad._tensor import Tensor, _extent, over
from tensorgrad.compiler._arguments import LEAF, unflatten
from tensorgrad.compiler._guards import Guards
from tensorgrad.compiler._passes import run_passes
from tensorgrad.compiler._profile import Profile
from tensorgrad.compiler._program import Program
from tensorgrad.compiler._quick import holds_function
from tensorgrad.compiler._recorder import Buffer, Record, Recorder
from tensorgrad.compiler._results import DISCARDED, NO_GRAPH, Result, seen
from tensorgrad.dtypes import ITEMSIZES

_WRITER = "a compiled function"
_run = lib.tg_program_run


class Replay:
    """A program with what it needs to know of the world: its guards, its inputs, its results."""

    def __init__(
        self,
        signature: Any,
        guards: Guards,
        recorder: Recorder,
        records: list[Record],
        results: list[Result],
        structure: Any,
        gradients: list[tuple[Any, Any]],
        keep_grads: bool,
        passes: Sequence[str],
    ) -> None:
        self.signature = signature
        self.guards = guards
        self.recorder = recorder
        self.recorded = records
        self.results = results
        self.structure = structure
        self.gradients = gradients  # (Leaf, or the number of an input, with a Result or None)
        self.keep_grads = keep_grads
        self.confirmed = False
        self.differences = 0
        self.names = tuple(passes)
        self.profile: Profile | None = None
        inputs = recorder.inputs
        made: dict[int, Buffer] = {}
        for result in [*results, *(r for _, r in gradients if isinstance(r, Result))]:
            if isinstance(result.source, Buffer):
                made[id(result.source)] = result.source
        self.made = list(made.values())
        for i, buffer in enumerate(self.made):
            buffer.slot = i
        self.made_bytes = [b.nbytes for b in self.made]
        optimized = run_passes(records, passes)
        self.program = Program(optimized, [*inputs, *self.made], "plan" in passes)
        self.program.options = recorder.options
        self.lasting = [b for b in self.program.buffers if b.kind == "outside"]
        self.written = [
            b.owner
            for b in self.lasting
            if any(a.buffer is b and a.mode != "r" for r in optimized for a in r.accesses)
        ]
        self.writes_inputs = [
            i
            for i, b in enumerate(inputs)
            if any(a.buffer is b and a.mode != "r" for r in optimized for a in r.accesses)
        ]
        for storage in self.written:
            storage.writer = _WRITER
        guards.trim({id(b.owner) for b in self.lasting})
        self.holds = holds_function(self)
        self.kinds = signature.plain_kinds()
        # where arguments must not lie, which could lie anywhere when the function was recorded
        self.elsewhere = frozenset(self.written)
        borrowed = any(isinstance(storage, BorrowedStorage) for storage in self.written)
        if self.writes_inputs or borrowed:  # arguments have to be looked at more closely
            self.kinds = None
        # whether each result is a buffer of its own, and no gradient is kept
        self.stackable = [r.source for r in results] == self.made and all(
            r.strides is None and r.size * ITEMSIZES[r.code] == r.source.nbytes for r in results
        )

    def stale(self) -> str:
        """What has changed since the recording, or ""."""
        changed = self.guards.changed()
        if changed:
            return changed
        for leaf, had in self.signature.gradients:
            if (leaf.grad is not None) is not had:
                return "a gradient that the program adds to came or went"
        for options in self.recorder.options:
            if not options.take():
                return "an optimizer's tables"
        return ""

    def takes(self, args: tuple[Any, ...]) -> bool:
        """Whether plain arguments are tensors of the kinds that were recorded: the quick way."""
        kinds = self.kinds
        if kinds is None or len(args) != len(kinds):
            return False
        for t, (shape, code) in zip(args, kinds):
            if (
                t.__class__ is not Tensor
                or t._shape != shape
                or t._code != code
                or t._strides is not None
                or t._node is not None
                or t._storage in self.elsewhere
            ):
                return False
        return True

    def apart(self, tensors: Sequence[Tensor]) -> bool:
        """Whether no argument shows memory that the program writes to at a fixed place, unless it did so
        when it was recorded."""
        for i, t in enumerate(tensors):
            if i in self.signature.fixed:
                continue
            if t._storage in self.elsewhere:
                return False
            if isinstance(t._storage, BorrowedStorage):
                begin, end = _extent(t)
                for b in self.lasting:
                    if b.owner not in self.elsewhere:
                        continue
                    if begin < b.address + b.nbytes and b.address < end:
                        return False
        return True

    def run(self, tensors: Sequence[Tensor]) -> Any:
        """One replay."""
        program = self.program
        addresses = program.addresses
        i = 0
        for t in tensors:
            addresses[i] = t._ptr
            i += 1
        storages = []
        for nbytes in self.made_bytes:
            storage = allocate(nbytes)
            storages.append(storage)
            addresses[i] = storage.ptr
            i += 1
        status = _run(program.c, 1, addresses, program.failed, program.done)
        if status:
            program.raise_failure(status)
        self.after(tensors, storages)
        if self.structure is LEAF:
            return self.tensor(self.results[0], tensors, storages)
        return self.unflatten(self.tensor(r, tensors, storages) for r in self.results)

    def unflatten(self, tensors: Iterator[Tensor]) -> Any:
        """What the function returns, of these tensors."""
        return unflatten(self.structure, tensors)

    def run_many(self, batches: Sequence[tuple[Tensor, ...]]) -> list[Any]:
        """A replay with each batch."""
        made = [[allocate(nbytes) for nbytes in self.made_bytes] for _ in batches]
        addresses = ffi.new(
            "void *[]",
            [
                pointer
                for batch, storages in zip(batches, made)
                for pointer in (*(t._ptr for t in batch), *(s.ptr for s in storages))
            ],
        )
        self.program.run(len(batches), addresses)
        self.after(batches[-1], made[-1])
        results = []
        for batch, storages in zip(batches, made):
            values = [self.tensor(r, batch, storages) for r in self.results]
            results.append(unflatten(self.structure, iter(values)))
        return results

    def takes_rows(self, structure: Any, tensors: Sequence[Tensor]) -> bool:
        """Whether the program can take the elements of tensors along axis 0, and give results that lie
        one behind the other."""
        return (
            self.kinds == [(t._shape[1:], t._code) for t in tensors]
            and all(part is LEAF for part in structure[1:])
            and all(t._strides is None and t._node is None for t in tensors)
            and not any(t._storage in self.elsewhere for t in tensors)
            and not self.writes_inputs
            and self.stackable
        )

    def after(self, tensors: Sequence[Tensor], storages: Sequence[Storage]) -> None:
        """What runs change besides memory: stamps, gradients. storages: of the results."""
        now = clock()
        for storage in self.written:
            storage.written = now
        for number in self.writes_inputs:
            storage = tensors[number]._storage
            storage.written = now
            storage.writer = _WRITER
        for leaf, result in self.gradients:
            if leaf.__class__ is int:
                leaf = tensors[leaf]._node
            if leaf.grad is not result:
                leaf.grad = (
                    result
                    if result is None or result is DISCARDED
                    else self.tensor(result, tensors, storages)
                )

    def tensor(
        self, result: Result, tensors: Sequence[Tensor], storages: Sequence[Storage]
    ) -> Tensor:
        """A result of a run as a Tensor."""
        source = result.source
        if source.__class__ is int:
            t = tensors[source]
            if result.offset < 0:
                return t
            return seen(t, result)
        if source.__class__ is Buffer:
            t = over(storages[source.slot], result.shape, result.size, result.code)
            if result.offset or result.strides is not None:
                t = seen(t, result)
        elif result.offset < 0:
            return source
        else:
            t = seen(source, result)
        if result.has_graph:
            t._node = NO_GRAPH
        return t


__all__ = ["Replay"]
