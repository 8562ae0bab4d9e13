"""`compile`: a function that is recorded once and replayed afterwards."""

from __future__ import annotations

import inspect
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import update_wrapper
from threading import Lock, get_ident
from time import perf_counter
from types import MethodType
from typing import Any
from weakref import ref

import numpy as np

from tensorgrad._captures import captures, current_capture
from tensorgrad._native import address_of, ffi, lib
from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import _tape
from tensorgrad.compiler._arguments import Signature, flatten, unflatten
from tensorgrad.compiler._explain import Explanation, dot
from tensorgrad.compiler._fallback import split
from tensorgrad.compiler._guards import Guards
from tensorgrad.compiler._outcome import difference_of, leaves_of, outcome
from tensorgrad.compiler._passes import PASSES
from tensorgrad.compiler._profile import profile, write_trace
from tensorgrad.compiler._quick import MISSED, call_function
from tensorgrad.compiler._recorder import Recorder
from tensorgrad.compiler._replay import Replay
from tensorgrad.compiler._results import Rows, has_live_graph
from tensorgrad.errors import ArgumentError, CaptureError, ShapeError

_OPEN, _CLOSED = lib.TG_OPEN, lib.TG_CLOSED
MOST_PROGRAMS = 16  # kept for one function
MOST_DIFFERENCES = 3  # recordings of one signature that may differ from the one before
_FIRST_CHUNK = 64  # runs in one call into C, before it is known how long they take
_CHUNK_SECONDS = 0.05  # how long a call may keep signals waiting


# The compiled functions that exist. No WeakSet: it has Python code run when one goes, where an interrupt
# would be lost.
_existing: list[ref[Compiled]] = []


def _renew() -> None:
    """In a child process: the threads of the parent are not there, so what they held is free."""
    me = get_ident()
    for other in captures.keys() - {me}:
        del captures[other]
    for reference in _existing:
        compiled = reference()
        if compiled is not None and compiled._owner != me:
            compiled._lock = Lock()
            compiled._gate[0] = _OPEN
            compiled._owner = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


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
        self._quick: Any = None  # its quick way
        self._lock = Lock()
        self._gate = ffi.new("int32_t *")  # through which quick calls go; see `_alone`
        self._owner = 0  # the thread that has the lock, where that could ask for it again
        self._number = 0
        update_wrapper(self, function, updated=())
        for reference in list(_existing):
            if reference() is None:
                with suppress(ValueError):  # another thread took it out
                    _existing.remove(reference)
        _existing.append(ref(self))

    def __repr__(self) -> str:
        return f"<compiled {self._name}: {len(self._replays)} programs>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A compiled function in a class is a method of its instances, as others are."""
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        quick = self._quick
        # part of another program; or it is to be seen what it does (detect_anomaly, viz.trace)
        if captures or _tape.writer_of is not None:
            if current_capture() is not None or _tape.writer_of is not None:
                return self._function(*args, **kwargs)
        elif quick is not None and not kwargs:
            result = quick(args)
            if result is not MISSED:
                return result
        if self._parts is not None:
            return self._run_parts(args, kwargs)
        leaves: list[Any] = []
        structure = (flatten(args, leaves), flatten(kwargs, leaves))
        tensors = [t if isinstance(t, Tensor) else as_tensor(t, "compile") for t in leaves]
        signature = Signature(structure, tensors)
        return self._alone(self._call, signature, structure, tensors)

    def _call(self, signature: Signature, structure: Any, tensors: list[Tensor]) -> Any:
        found = self._find(signature, tensors)
        if found is None or not found.confirmed:
            return self._record(signature, found, structure, tensors)
        if found is not self._last:
            self._last = found
            self._quick = call_function(found, self._gate)
        return found.run(tensors)

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
            began = perf_counter()
            if not self._alone(self._run_table, replay, count, table, tensors):
                break
            i += count
            # signals are handled between chunks
            chunk = max(1, int(count * _CHUNK_SECONDS / max(perf_counter() - began, 1e-9)))
        if rows.structure is None:
            rows.structure = replay.structure
        return i - start

    def _run_table(self, replay: Replay, count: int, table: Any, tensors: list[Tensor]) -> bool:
        """`count` runs, if what the program takes for granted holds. table: (count, slots) addresses"""
        holds: bool = replay.holds()
        if holds:
            replay.program.run(count, ffi.from_buffer("void *[]", table))
            replay.after(tensors, ())
        return holds

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
            results = self._alone(lambda: last.run_many(waiting) if last.holds() else None)
            if results is not None:
                return results
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
        replay.profile = self._alone(profile, replay, tensors, repeats)
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

    def _alone(self, work: Callable[..., Any], *args: Any) -> Any:
        """work(*args), after calls in other threads. Raises CaptureError in a call from within a call.

        Quick calls do not take the lock: they go through the gate, which is closed here.

        An interrupt is raised after a call, or where a function begins. So the lock is taken by `with`
        and what is given back without a call: there is no place where it could stay taken."""
        me = get_ident()
        if self._owner == me:
            raise CaptureError("compile: a compiled function called itself")
        with self._lock:
            try:
                self._owner = me
                lib.tg_gate_close(self._gate)
                return work(*args)
            finally:
                if self._gate[0] == _CLOSED:  # else an interrupt came before it was
                    self._gate[0] = _OPEN
                self._owner = 0

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
        guards = Guards(self._function, structure)
        leaves = leaves_of(guards, tensors)
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
        me = get_ident()
        try:
            recorder.start(me)
            result = self._function(*args, **kwargs)
            if recorder.stopped:
                self._split(recorder.stopped, recorder.stopped_at)
                return result
            if recorder.error is not None:
                raise recorder.error
            found = outcome(recorder, guards, leaves, had, result, tensors, self._keep_grads)
        finally:  # one call, at the end: an interrupt that comes now is raised after it
            if me in captures:
                del captures[me]
            lib.tg_record(0)
        changed = guards.changed() or ("" if recorder.python_steps else guards.options_changed())
        if changed:
            raise CaptureError(
                f"compile: the function has a side effect, which a replay would not have: {changed}. "
                f"Return the value instead, or change it outside of the function"
            )
        results, result_structure, gradients = found
        recorder.drop_arrays()
        signature.gradients = [
            (leaf, had[id(leaf)] is not None)
            for leaf, number in leaves
            if number is None
            and id(leaf) not in recorder.dropped
            and (had[id(leaf)] is not None or leaf.grad is not None)
        ]
        replay = Replay(
            signature, guards, recorder, list(recorder.records), results, result_structure, gradients,
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
        if any(has_live_graph(t) for t in leaves):  # of which a program would keep nothing
            self._parts = (self._function, None)
        return rest(**values)

    def _confirm(self, before: Replay, replay: Replay) -> None:
        """Compares a recording with the one before."""
        for number, kept in list(self._replays.items()):
            if kept is before:
                del self._replays[number]
        difference = difference_of(before, replay)
        if not difference:
            replay.confirmed = True
            return
        replay.differences = before.differences + 1
        if replay.differences >= MOST_DIFFERENCES:
            raise CaptureError(
                f"compile: the function does something else each time: {difference}. Give what "
                f"changes as an argument, in a tensor"
            )


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
    chosen = tuple(PASSES if passes is None else passes)
    unknown = [name for name in chosen if name not in PASSES]
    if unknown:
        raise ArgumentError(
            f"compile: expected passes among {', '.join(PASSES)}, got {', '.join(map(str, unknown))}"
        )
    return Compiled(function, keep_grads, fallback, chosen)


__all__ = ["Compiled", "compile"]
