"""`compile`: a function that is recorded once and replayed afterwards."""

from __future__ import annotations

import gc
import inspect
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from functools import update_wrapper
from threading import RLock
from time import perf_counter, sleep
from types import CellType, FunctionType
from typing import Any

import numpy as np

from tensorgrad._native import (
    BorrowedStorage,
    Storage,
    address_of,
    allocate,
    captures,
    clock,
    current_capture,
    ffi,
    lib,
)
from tensorgrad._tensor import Tensor, _extent, as_tensor, copy_into, empty_raw, over, overlap, view
from tensorgrad.autograd import _tape
from tensorgrad.autograd._tape import Leaf, Node
from tensorgrad.compiler._explain import Explanation, dot
from tensorgrad.compiler._fallback import split
from tensorgrad.compiler._guards import Guards
from tensorgrad.compiler._passes import PASSES, run_passes
from tensorgrad.compiler._profile import Profile, profile, write_trace
from tensorgrad.compiler._program import Program, fingerprint
from tensorgrad.compiler._recorder import Buffer, Record, Recorder
from tensorgrad.dtypes import ITEMSIZES
from tensorgrad.errors import ArgumentError, CaptureError, GradientError, ShapeError
from tensorgrad.shapes import checked_size

MOST_PROGRAMS = 16  # kept for one function
MOST_DIFFERENCES = 3  # recordings of one signature that may differ from the one before
_WAITS = (0.0, 0.01, 0.05, 0.1)  # seconds
_WRITER = "a compiled function"
_FIRST_CHUNK = 64  # runs in one call into C, before it is known how long they take
_CHUNK_SECONDS = 0.05  # how long a call may keep signals waiting


# ---- arguments and results -------------------------------------------------------------------------


def flatten(value: Any, leaves: list[Any]) -> Any:
    """Appends the tensors (and arrays) in nested tuples, lists and dicts to `leaves`; returns what is
    left, which is equal for arguments of one structure."""
    if isinstance(value, Tensor) or hasattr(value, "__array_interface__"):
        leaves.append(value)
        return _LEAF
    if isinstance(value, (tuple, list)):
        return (type(value), *[flatten(part, leaves) for part in value])
    if isinstance(value, dict):
        return (dict, *[(key, flatten(part, leaves)) for key, part in value.items()])
    return value


def unflatten(structure: Any, leaves: Any) -> Any:
    """The value that `flatten` took apart. leaves: an iterator."""
    if structure is _LEAF:
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


_LEAF = _Leaf()


class Discarded:
    """Stands in `.grad` for a gradient that a replay used up and did not keep."""

    _size = float("inf")
    _node = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python asks for these, not the user
            raise AttributeError(name)
        raise GradientError(
            "this gradient was made and used up inside a compiled function, which did not keep it: "
            "compile with keep_grads=True, or read it inside of the function"
        )

    def __add__(self, other: Any) -> Any:
        return self.refuse()

    @property
    def refuse(self) -> Any:
        """Raises GradientError."""
        return self.__getattr__("refuse")


DISCARDED = Discarded()


def _no_graph(gy: Any, node: Node) -> Any:
    raise GradientError(
        "backward: this tensor is the result of a compiled function, which keeps no graph; call "
        "backward inside of the function, or the function itself without compile"
    )


_NO_GRAPH = _tape.new_node(Node)  # raises before it could be used up, so that one serves all
_NO_GRAPH.seq, _NO_GRAPH.rule, _NO_GRAPH.edges, _NO_GRAPH.saved = clock(), _no_graph, (), None


# ---- one recording, ready to be replayed -------------------------------------------------------------


class Result:
    """How one returned tensor comes about: an input itself (`source` an int), a tensor that exists
    (a Tensor), or memory of the program's (a Buffer), seen from `offset` bytes on."""

    __slots__ = ("code", "has_graph", "offset", "shape", "size", "source", "strides")

    def __init__(self, source: Any, t: Tensor, offset: int) -> None:
        self.source = source
        self.offset = offset
        self.shape, self.strides, self.size, self.code = t._shape, t._strides, t._size, t._code
        self.has_graph = t._node is not None


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
        self.program.state = recorder.before_run
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
        self.holds = guards.quick(signature.gradients, recorder.before_run)
        self.kinds = signature.plain_kinds()
        # where arguments must not lie, which could lie anywhere when the function was recorded
        self.elsewhere = frozenset(map(id, self.written))
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
        for ready in self.recorder.before_run:
            if not ready():
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
                or id(t._storage) in self.elsewhere
            ):
                return False
        return True

    def apart(self, tensors: Sequence[Tensor]) -> bool:
        """Whether no argument shows memory that the program writes to at a fixed place, unless it did so
        when it was recorded."""
        for i, t in enumerate(tensors):
            if i in self.signature.fixed:
                continue
            if id(t._storage) in self.elsewhere:
                return False
            if isinstance(t._storage, BorrowedStorage):
                begin, end = _extent(t)
                for b in self.lasting:
                    if id(b.owner) not in self.elsewhere:
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
        if self.structure is _LEAF:
            return self.tensor(self.results[0], tensors, storages)
        values = [self.tensor(r, tensors, storages) for r in self.results]
        return unflatten(self.structure, iter(values))

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
            and all(part is _LEAF for part in structure[1:])
            and all(t._strides is None and t._node is None for t in tensors)
            and not any(id(t._storage) in self.elsewhere for t in tensors)
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
            return _seen(t, result)
        if source.__class__ is Buffer:
            t = over(storages[source.slot], result.shape, result.size, result.code)
            if result.offset or result.strides is not None:
                t = _seen(t, result)
        elif result.offset < 0:
            return source  # type: ignore[no-any-return]
        else:
            t = _seen(source, result)
        if result.has_graph:
            t._node = _NO_GRAPH
        return t


def _seen(t: Tensor, result: Result) -> Tensor:
    """What a result shows of t's memory."""
    return view(t, result.shape, result.strides, result.offset // ITEMSIZES[result.code])


_run = lib.tg_program_run


class Rows:
    """The results of calls, stacked along a new first axis of n."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.structure: Any = None
        self._outs: list[Tensor] = []
        self._taped: list[bool] = []
        self._asked = 0

    def put(self, i: int, result: Any) -> None:
        """Takes the result of call i."""
        leaves: list[Tensor] = []
        self.structure = flatten(result, leaves)
        for j, t in enumerate(leaves):
            if j == len(self._outs):
                self._add(t._shape, t._size, t._code, t._node is not None)
            out = self._outs[j]
            if out._shape[1:] != t._shape or out._code != t._code:
                raise ShapeError(
                    f"scan: the results of calls differ in shape: {out._shape[1:]} and {t._shape}"
                )
            copy_into(view(out, t._shape, None, i * t._size), t, "scan")

    def restart(self) -> None:
        """The next result asked for is the first."""
        self._asked = 0

    def out(self, result: Result) -> Tensor:
        """Where the stacked values of the next result go."""
        self._asked += 1
        if self._asked > len(self._outs):
            self._add(result.shape, result.size, result.code, result.has_graph)
        return self._outs[self._asked - 1]

    def _add(self, shape: Any, size: int, code: int, taped: bool) -> None:
        checked_size((self.n, *shape), ITEMSIZES[code], "scan")
        self._outs.append(empty_raw((self.n, *shape), self.n * size, code))
        self._taped.append(taped)

    def result(self) -> Any:
        """All of them."""
        for t, taped in zip(self._outs, self._taped):
            t._node = _NO_GRAPH if taped else None
        return unflatten(self.structure, iter(self._outs))


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
        if self.fixed or kwargs != (dict,) or any(part is not _LEAF for part in args[1:]):
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


# ---- compile -----------------------------------------------------------------------------------------


class Compiled:
    """A compiled function: see `compile`."""

    def __init__(
        self,
        function: Callable[..., Any],
        keep_grads: bool,
        fallback: bool,
        passes: Sequence[str],
    ) -> None:
        self._function = function
        self._keep_grads = keep_grads
        self._fallback = fallback
        self._passes = tuple(passes)
        self._replays: OrderedDict[int, Replay] = OrderedDict()  # the one used last comes last
        self._last: Replay | None = None  # the one that ran last
        self._parts: Any = None  # of a function that was split: what is compiled, and what follows
        self._lock = RLock()
        self._running = False
        self._number = 0
        update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<compiled {self._name}: {len(self._replays)} programs>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # part of another program; or it is to be seen what it does (detect_anomaly, viz.trace)
        if (captures and current_capture() is not None) or _tape.writer_of is not None:
            return self._function(*args, **kwargs)
        if self._parts is not None:
            return self._run_parts(args, kwargs)
        last = self._last
        if (
            last is not None and not kwargs and last.takes(args)
        ):  # what is below, without its detours
            with self._lock:
                self._enter()
                try:
                    if last.holds():
                        return last.run(args)
                finally:
                    self._running = False
        leaves: list[Any] = []
        structure = (flatten(args, leaves), flatten(kwargs, leaves))
        tensors = [t if isinstance(t, Tensor) else as_tensor(t, "compile") for t in leaves]
        signature = Signature(structure, tensors)
        with self._lock:
            self._enter()
            try:
                found = self._find(signature, tensors)
                if found is not None and found.confirmed:
                    self._last = found
                    return found.run(tensors)
                return self._record(signature, found, structure, tensors)
            finally:
                self._running = False

    def scan(self, *args: Any) -> Any:
        """Calls the function with the first elements along axis 0 of all arguments, then with the second,
        and so on: many mini-batches in one call into C.

        args: Tensors (or arrays), nested in tuples, lists and dicts, all of one length along axis 0.
        Returns what the function returns, each tensor with a new first axis of that length. Raises
        ShapeError for lengths that differ, and as the function does.

        >>> import tensorgrad
        >>> w = tensorgrad.zeros(3)
        >>> @tensorgrad.compile
        ... def add(x):
        ...     w.add_(x)
        ...     return x.sum()
        >>> add.scan(tensorgrad.ones((5, 3)))
        tensor([3., 3., 3., 3., 3.])
        >>> w
        tensor([5., 5., 5.])
        """
        leaves: list[Any] = []
        structure = flatten(args, leaves)
        tensors = [t if isinstance(t, Tensor) else as_tensor(t, "scan") for t in leaves]
        lengths = {t._shape[0] if t._shape else -1 for t in tensors}
        if len(lengths) != 1 or -1 in lengths:
            raise ShapeError(
                f"scan: expected tensors of one length along axis 0, got shapes "
                f"{[t.shape for t in tensors]}"
            )
        n = lengths.pop()
        if not n:
            raise ShapeError("scan: expected at least one element along axis 0, got none")
        rows = Rows(n)
        i = 0
        while i < n:
            last = self._last
            if last is not None and last.takes_rows(structure, tensors):
                i += self._run_rows(last, tensors, rows, i)
            if i < n:
                rows.put(i, self(*unflatten(structure, iter([t[i] for t in tensors]))))
                i += 1
        return rows.result()

    def _run_rows(self, replay: Replay, tensors: list[Tensor], rows: Rows, start: int) -> int:
        """Runs the program with the elements from `start` on along axis 0. Returns with how many it
        did: all that are left, unless something that the program takes for granted changes."""
        rows.restart()
        slots = [(address_of(t._ptr), t.nbytes // t._shape[0]) for t in tensors]
        for result in replay.results:
            out = rows.out(result)
            slots.append((address_of(out._ptr), out.nbytes // rows.n))
        bases = np.array([base for base, _ in slots], np.int64)
        steps = np.array([step for _, step in slots], np.int64)
        i, chunk = start, _FIRST_CHUNK
        while i < rows.n:
            count = min(chunk, rows.n - i)
            table = bases + np.arange(i, i + count)[:, None] * steps
            with self._lock:
                self._enter()
                try:
                    if not replay.holds():
                        break
                    began = perf_counter()
                    replay.program.run(count, ffi.from_buffer("void *[]", table))
                    replay.after(tensors, ())
                finally:
                    self._running = False
            i += count
            # signals are handled between chunks
            chunk = max(1, int(count * _CHUNK_SECONDS / max(perf_counter() - began, 1e-9)))
        if rows.structure is None:
            rows.structure = replay.structure
        return i - start

    def run(self, batches: Iterable[Any]) -> list[Any]:
        """Calls the function with every batch of a loader, several in one call into C.

        batches: gives the arguments of each call, a tuple or list (or one tensor), such as a
        `data.DataLoader`. Returns the list of what the function returns.

        >>> import tensorgrad
        >>> from tensorgrad.data import DataLoader, TensorDataset
        >>> loader = DataLoader(TensorDataset(tensorgrad.ones((6, 2))), batch_size=2)
        >>> tensorgrad.compile(lambda x: x.sum()).run(loader)
        [tensor(4.), tensor(4.), tensor(4.)]
        """
        results: list[Any] = []
        waiting: list[tuple[Any, ...]] = []
        for batch in batches:
            args = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
            last = self._last
            fits = last is not None and last.takes(args)
            if waiting and (not fits or len(waiting) >= _FIRST_CHUNK):
                results += self._run_waiting(waiting)
                waiting = []
            if fits:
                waiting.append(args)
            else:
                results.append(self(*args))
        return results + self._run_waiting(waiting)

    def _run_waiting(self, waiting: list[tuple[Any, ...]]) -> list[Any]:
        """Runs batches that the program of the last run takes, in one call if nothing has changed."""
        last = self._last
        if len(waiting) > 1 and last is not None and last.takes(waiting[0]):
            with self._lock:
                self._enter()
                try:
                    if last.holds():
                        return last.run_many(waiting)
                finally:
                    self._running = False
        return [self(*args) for args in waiting]

    # ---- seeing what it does

    def explain(self) -> Explanation:
        """The program that ran last, as a table: each step with its kernel, the shapes, the bytes read
        and written, the floating-point operations, what the optimizer fused it with, and the line of
        your code; then the memory with and without the plan, the steps in Python, and what is guarded.
        After `profile` also the time of each step and the part of the machine's limit that it reaches.

        Raises CaptureError before the first call.

        >>> import tensorgrad
        >>> f = tensorgrad.compile(lambda x: x.exp())
        >>> y = f(tensorgrad.zeros(1000))
        >>> [step.kernel for step in f.explain().steps]
        ['unary exp']
        """
        return Explanation(self._name, self._newest())

    def profile(self, *args: Any, repeats: int = 20) -> Explanation:
        """Times each step of the program for these arguments, and returns what `explain` says then.

        Each time is a median of `repeats` runs. These are real runs: they read the parameters and write
        to them, but what they wrote is put back afterwards, to parameters, optimizers' and generators'
        state, and arguments; only steps in Python have happened. Where there is no program for such
        arguments yet, the function is called until there is one, and those calls count.

        The limit of a step is the time that its floating-point operations take at the speed of the
        library's own product of 512 x 512 matrices, or its bytes at the speed of its copy (in the first
        cache, the second, or out of them), whichever is longer. Reading the clock adds some 30 ns to
        each step.

        >>> import tensorgrad
        >>> f = tensorgrad.compile(lambda x: x.exp())
        >>> f.profile(tensorgrad.zeros(1000)).steps[0].seconds > 0
        True
        """
        if repeats < 1:
            raise ArgumentError(f"profile: expected repeats >= 1, got {repeats}")
        if self._parts is not None:
            return self._compiled_part().profile(*args, repeats=repeats)
        replay, tensors = self._ready(args)
        with self._lock:
            self._enter()
            try:
                replay.profile = profile(replay, tensors, repeats)
            finally:
                self._running = False
        self._last = replay
        return self.explain()

    def trace(self, path: str | os.PathLike[str]) -> None:
        """Writes the times of the last `profile` to a file in Chrome's trace format, which
        chrome://tracing and Perfetto show. Raises CaptureError if the program was not profiled.

        >>> import tensorgrad
        >>> f = tensorgrad.compile(lambda x: x.exp())
        >>> _ = f.profile(tensorgrad.zeros(1000))
        >>> f.trace("trace.json")
        """
        replay = self._newest()
        if replay.profile is None:
            raise CaptureError("trace: there are no times to write; call profile before")
        write_trace(path, replay.program.records, replay.profile)

    def dot(self) -> str:
        """The program that ran last as DOT text, which Graphviz and many editors draw: a box for each
        step, an ellipse for each buffer.

        >>> import tensorgrad
        >>> f = tensorgrad.compile(lambda x: x.exp())
        >>> y = f(tensorgrad.zeros(10))
        >>> print(f.dot())
        digraph {
          rankdir=TB; node [shape=box, fontname="monospace"];
          k0 [label="unary exp\\n10\\n<doctest ...>:1"];
          b0 [label="input\\n40 B", shape=ellipse];
          b1 [label="result\\n40 B", shape=ellipse];
          b0 -> k0;
          k0 -> b1;
        }
        """
        return dot(self._newest())

    @property
    def _name(self) -> str:
        return getattr(self._function, "__name__", type(self._function).__name__)

    def _compiled_part(self) -> Compiled:
        """Of a function that was split: the part in front."""
        part = self._parts[0]
        if not isinstance(part, Compiled):
            raise CaptureError(f"compile: all of {self._name} runs eagerly, so there is no program")
        return part

    def _newest(self) -> Replay:
        """The program that ran last, or that was recorded last if none has run."""
        if self._parts is not None:
            return self._compiled_part()._newest()
        if self._last is not None:
            return self._last
        if not self._replays:
            raise CaptureError(f"compile: {self._name} has no program yet; call it before")
        return next(reversed(self._replays.values()))

    def _ready(self, args: tuple[Any, ...]) -> tuple[Replay, list[Tensor]]:
        """The program for these arguments, after as many calls as it takes."""
        for _ in range(2 * MOST_DIFFERENCES):
            leaves: list[Any] = []
            structure = (flatten(args, leaves), (dict,))
            tensors = [t if isinstance(t, Tensor) else as_tensor(t, "compile") for t in leaves]
            with self._lock:
                found = self._find(Signature(structure, tensors), tensors)
            if found is not None and found.confirmed:
                return found, tensors
            self(*args)
        raise CaptureError(f"compile: {self._name} is recorded anew in each call")

    def _enter(self) -> None:
        """Notes that the function is running. Raises CaptureError if it is already: the lock lets its
        own thread through."""
        if self._running:
            raise CaptureError("compile: a compiled function called itself")
        self._running = True

    def _find(self, signature: Signature, tensors: Sequence[Tensor]) -> Replay | None:
        for number in reversed(self._replays):
            replay = self._replays[number]
            if replay.signature == signature and replay.apart(tensors) and not replay.stale():
                self._replays.move_to_end(number)
                return replay
        return None

    # ---- recording

    def _record(
        self, signature: Signature, before: Replay | None, structure: Any, tensors: list[Tensor]
    ) -> Any:
        """Runs the function, recording it: a new program, or one that confirms the one before."""
        guards = Guards(self._function)
        leaves = _leaves(guards, tensors)
        had = {id(leaf): leaf.grad for leaf, _ in leaves}
        iterator = iter(tensors)
        args, kwargs = unflatten(structure[0], iterator), unflatten(structure[1], iterator)
        signature.fix({id(held.tensor._storage) for held in guards.tensors})
        recorder = Recorder(
            tensors,
            signature.first,
            {id(storage) for storage, _ in signature.fixed.values()},
            inspect.unwrap(self._function),
            self._fallback,
        )
        with recorder:
            result = self._function(*args, **kwargs)
            if recorder.stopped:
                self._split(recorder.stopped, recorder.stopped_at)
                return result
            if recorder.error is not None:
                raise recorder.error
            found = self._results(recorder, guards, leaves, had, result, tensors)
        changed = guards.changed() or ("" if recorder.python_steps else guards.options_changed())
        if changed:
            raise CaptureError(
                f"compile: the function has a side effect, which a replay would not have: {changed}. "
                f"Return the value instead, or change it outside of the function"
            )
        results, result_structure, gradients, records = found
        recorder.drop_arrays()
        signature.gradients = [
            (leaf, had[id(leaf)] is not None)
            for leaf, number in leaves
            if number is None
            and id(leaf) not in recorder.dropped
            and (had[id(leaf)] is not None or leaf.grad is not None)
        ]
        replay = Replay(
            signature, guards, recorder, records, results, result_structure, gradients,
            self._keep_grads, self._passes,
        )  # fmt: skip
        if before is not None:
            self._confirm(before, replay)
        self._number += 1
        self._replays[self._number] = replay
        if len(self._replays) > MOST_PROGRAMS:
            self._replays.popitem(last=False)
        return result

    def _split(self, why: str, line: int) -> None:
        """Compiles what comes before the line, and leaves the rest to Python."""
        parts = split(self._function, line)
        if parts is None:
            self._parts = (self._function, None)
        else:
            self._parts = (Compiled(parts[0], self._keep_grads, False, self._passes), parts[1])
        warnings.warn(
            f"{why}; {'all of it' if parts is None else 'what follows'} runs eagerly",
            stacklevel=4,
        )

    def _run_parts(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of a function that was split."""
        first, rest = self._parts
        if rest is None:
            return first(*args, **kwargs)
        values = first(*args, **kwargs)
        leaves: list[Any] = []
        flatten(values, leaves)
        if any(_has_live_graph(t) for t in leaves):  # of which a program would keep nothing
            self._parts = (self._function, None)
        return rest(**values)

    def _confirm(self, before: Replay, replay: Replay) -> None:
        """Compares a recording with the one before."""
        for number, kept in list(self._replays.items()):
            if kept is before:
                del self._replays[number]
        difference = _difference(before, replay)
        if not difference:
            replay.confirmed = True
            return
        replay.differences = before.differences + 1
        if replay.differences >= MOST_DIFFERENCES:
            raise CaptureError(
                f"compile: the function does something else each time: {difference}. Give what "
                f"changes as an argument, in a tensor"
            )

    def _results(
        self,
        recorder: Recorder,
        guards: Guards,
        leaves: list[tuple[Leaf, int | None]],
        had: dict[int, Any],
        result: Any,
        tensors: list[Tensor],
    ) -> tuple[list[Result], Any, list[tuple[Any, Any]], list[Record]]:
        """What the function returned, and the gradients that it left, as Results; and the records,
        with what it takes to bring them into memory of their own."""
        records = list(recorder.records)
        returned: list[Any] = []
        structure = flatten(result, returned)
        results = []
        for t in returned:
            if not isinstance(t, Tensor):
                raise CaptureError(
                    "compile: the function returned a NumPy array, which is not computed again in a "
                    "replay; return the tensor"
                )
            results.append(self._result(recorder, records, t, tensors, guards))
        gradients: list[tuple[Any, Any]] = []
        for leaf, number in leaves:
            gradient = leaf.grad
            if gradient is had[id(leaf)]:
                continue
            where = leaf if number is None else number
            if gradient is None:
                gradients.append((where, None))
            elif self._keep_grads or number is not None:
                gradients.append(
                    (where, self._result(recorder, records, gradient, tensors, guards))
                )
            else:
                gradients.append((where, DISCARDED))
        self._refuse_leaks(recorder, returned, leaves)
        return results, structure, gradients, records

    def _result(
        self,
        recorder: Recorder,
        records: list[Record],
        t: Tensor,
        tensors: list[Tensor],
        guards: Guards,
    ) -> Result:
        for i, given in enumerate(tensors):
            if given is t:
                return Result(i, t, -1)
        for i, given in enumerate(tensors):
            if given._storage is t._storage:
                offset = address_of(t._ptr) - address_of(given._ptr)
                if offset >= 0:
                    return Result(i, t, offset)
        if any(held.tensor is t for held in guards.tensors):
            return Result(t, t, -1)
        place = recorder.resolve(address_of(t._storage.ptr))
        if place is None or place.buffer.kind in ("outside", "state"):
            return Result(t.detach(), t, 0) if t._node is None else Result(t, t, -1)
        buffer = place.buffer
        offset = address_of(t._ptr) - buffer.address
        buffer.kind = "result"
        return Result(buffer, t, offset)

    def _alive(self, recorder: Recorder, addresses: set[int]) -> set[int]:
        """Those at which a storage still is. Another thread that records looks at all storages too: it
        may hold one for a moment, and give it back without this recorder being told."""
        for wait in _WAITS:
            addresses &= recorder.addresses_alive()
            if not addresses:
                break
            sleep(wait)
        return addresses

    def _refuse_leaks(
        self,
        recorder: Recorder,
        returned: list[Tensor],
        leaves: list[tuple[Leaf, int | None]],
    ) -> None:
        """Raises CaptureError if memory made inside lives on other than in results and gradients."""
        known = {address_of(t._storage.ptr) for t in returned}
        known |= {
            address_of(leaf.grad._storage.ptr)
            for leaf, _ in leaves
            if isinstance(leaf.grad, Tensor)
        }
        if recorder.live.keys() - known:
            for node in [t._node for t in returned]:
                known |= _saved_by(node)
        if not recorder.live.keys() - known:
            return
        gc.collect()
        for address in self._alive(recorder, recorder.live.keys() - known):
            for record in recorder.records:
                for access in record.accesses:
                    if access.buffer.address == address and access.buffer in recorder.made:
                        raise CaptureError(
                            f"compile: a tensor made at {record.site} is kept outside of the "
                            f"function, where a replay would not put it; return it instead"
                        )


def _has_live_graph(t: Any) -> bool:
    """Whether a backward may start here."""
    node = getattr(t, "_node", None)
    return node.__class__ is Node and node is not _NO_GRAPH and node.rule is not None


def _leaves(guards: Guards, tensors: Sequence[Tensor]) -> list[tuple[Leaf, int | None]]:
    """The leaves that the function can reach; those of inputs with the input's number."""
    found: dict[int, tuple[Leaf, int | None]] = {}
    for i, t in enumerate(tensors):
        if isinstance(t._node, Leaf):
            found[id(t._node)] = (t._node, i)
    for held in guards.tensors:
        if isinstance(held.node, Leaf):
            found.setdefault(id(held.node), (held.node, None))
    return list(found.values())


def _saved_by(node: Any) -> set[int]:
    """The addresses of the memory that a graph keeps."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        thing = waiting.pop()
        if thing is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Storage):
            found.add(address_of(thing.ptr))
        elif isinstance(thing, FunctionType):  # a rule: not its globals
            waiting += thing.__closure__ or ()
        elif isinstance(thing, (Node, Tensor, tuple, list, dict, CellType)):
            waiting += gc.get_referents(thing)
    return found


def _difference(before: Replay, now: Replay) -> str:
    """What two recordings do differently, or ""."""
    constants = [
        {
            address_of(s.ptr): bytes(s.owner.tobytes())
            for s in r.recorder.constants
            if not _watched(s)
        }
        for r in (before, now)
    ]
    one = fingerprint(before.recorded, constants[0])
    two = fingerprint(now.recorded, constants[1])
    for i, (a, b) in enumerate(zip(one, two)):
        if a != b:
            site = now.recorded[i].site
            if a[0] != b[0]:
                return f"at {site} it called {b[0].removeprefix('tg_')}, before {a[0].removeprefix('tg_')}"
            for name, x, y in zip(now.recorded[i].function.parameters, a[1], b[1]):
                if x != y:
                    return (
                        f"at {site} the {name} of {b[0].removeprefix('tg_')} was {x} and is now {y}"
                    )
            return f"at {site} {b[2] and b[2][0]} got other values"
    if len(one) != len(two):
        longer = before if len(one) > len(two) else now
        site = longer.recorded[min(len(one), len(two))].site
        return f"it made {len(two)} calls, before {len(one)} (the first that differs: {site})"
    return ""


def _watched(storage: Any) -> bool:
    return not hasattr(storage.owner, "tobytes") or hasattr(storage.owner, "value")


def compile(
    function: Callable[..., Any] | None = None,
    *,
    keep_grads: bool = False,
    fallback: bool = False,
    passes: Sequence[str] | None = None,
) -> Any:
    """A function that does what `function` does with one call into C: its Python runs in the first two or
    three calls, which record the kernel calls that it makes (forward, backward, the optimizer's step), and
    from then on these are replayed, in memory that was planned ahead. The results have the same bits.

    function: any function of tensors, or a module. Its arguments are Tensors and arrays, nested in tuples,
        lists and dicts, and plain values; it returns Tensors in such structures. Without it, `compile`
        returns a decorator.
    keep_grads: whether the gradients of parameters are in `.grad` after a call, as they are without
        compile. By default those that the function uses up itself stay inside of the program, which then
        needs no memory of their own for them, and reading one is a GradientError.
    fallback: whether a function that cannot be recorded as a whole is split before the statement that
        cannot be; what follows runs eagerly. A warning says where.
    passes: the names of the passes of the optimizer to use; by default all. `()` replays the calls as they
        were made.

    A program is kept for each kind of arguments (shapes, dtypes, layouts, plain values), up to 16 for a
    function. What the function takes from elsewhere is guarded: numbers, strings and flags in its closure
    and its globals, modules' training mode and parameters, the memory of tensors, whether gradients are
    recorded. If some of that has changed, the function is recorded anew. What lives in memory advances as
    it does without compile: parameters, learning rates and their schedules, an optimizer's state, random
    numbers, running statistics.

    Raises CaptureError, naming the line, for a function that reads values (`item()`, `bool(t)`, printing),
    whose work depends on values, that keeps tensors or changes Python's state outside of itself, or that
    does something else in each call. What a kernel raises, a replay raises too.

    Results are new tensors in each call, which are safe to keep; they have no graph, so that backward
    belongs inside of the function. Calls from several threads wait for each other; two compiled functions
    may run side by side. A compiled function that is called in another becomes part of that one's program.

    >>> import tensorgrad
    >>> from tensorgrad import nn, optim
    >>> model = nn.Linear(3, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> @tensorgrad.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = ((model(x) - y) ** 2).mean()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = tensorgrad.ones((8, 3)), tensorgrad.zeros((8, 1))
    >>> losses = [step(x, y).item() for _ in range(50)]
    >>> losses[-1] < 1e-3
    True

    Without a decorator, for inference:

    >>> predict = tensorgrad.compile(model)
    >>> with tensorgrad.no_grad():
    ...     predict(x).shape
    (8, 1)
    """
    if function is None:
        return lambda f: compile(f, keep_grads=keep_grads, fallback=fallback, passes=passes)
    if not callable(function):
        raise ArgumentError(f"compile: expected a function, got {function!r}")
    chosen = PASSES if passes is None else tuple(passes)
    unknown = [name for name in chosen if name not in PASSES]
    if unknown:
        raise ArgumentError(
            f"compile: expected passes among {', '.join(PASSES)}, got {', '.join(map(str, unknown))}"
        )
    return Compiled(function, keep_grads, fallback, chosen)


__all__ = ["Compiled", "compile"]
