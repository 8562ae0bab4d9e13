"""The quick way through a call, written out for one program: arguments of the recorded kinds, guards that
hold, one result or several in memory of their own.

In a small network most of a call is Python, so this is straight-line code, as the tape's is."""

from __future__ import annotations

from typing import Any

from tensorgrad._native import NULL, Storage, clock, ffi, lib
from tensorgrad._tensor import Tensor
from tensorgrad.compiler._arguments import LEAF
from tensorgrad.compiler._guards import GONE, Scope
from tensorgrad.compiler._recorder import Buffer
from tensorgrad.compiler._results import DISCARDED, NO_GRAPH

MISSED = object()  # what the quick way returns if it is not the way
_MOST_INPUTS = 4  # of tg_program_call


def holds_function(replay: Any) -> Any:
    """holds(): whether all that the recording took for granted is as it was."""
    scope = Scope()
    conditions = _conditions(scope, replay)
    return scope.function(
        "holds()",
        [
            "try:",
            *(f"    if {condition}: return False" for condition in conditions),
            f"except {scope.name(GONE)}:",
            "    return False",
            "return True",
        ],
    )


def _conditions(scope: Scope, replay: Any) -> list[str]:
    found: list[str] = replay.guards.conditions(
        scope, replay.signature.gradients, replay.recorder.options
    )
    return found


def call_function(replay: Any, gate: Any) -> Any:
    """call(args): a replay, or MISSED where it takes more than this; None for a program that cannot be
    called this way. gate: of the compiled function, which is closed while a call of another kind runs."""
    program = replay.program
    if replay.kinds is None or program.callbacks or not _are_plain(replay):
        return None
    program.c.gate = gate
    scope = Scope(MISSED=MISSED, Tensor=Tensor, Storage=Storage, clock=clock)
    name = scope.name
    n = len(replay.kinds)
    lines = ["try:", f"    if len(args) != {n}: return MISSED"]
    if n:
        lines.append(f"    {''.join(f't{i}, ' for i in range(n))}= args")
    for i, (kind, code) in enumerate(replay.kinds):
        shape = name(kind)
        lines.append(
            f"    if t{i}.__class__ is not Tensor or t{i}._shape is not {shape} and t{i}._shape != {shape} "
            f"or t{i}._code != {code} or t{i}._strides is not None or t{i}._node is not None: return MISSED"
        )
        if replay.elsewhere:
            lines.append(f"    if t{i}._storage in {name(replay.elsewhere)}: return MISSED")
    lines += [f"    if {condition}: return MISSED" for condition in _conditions(scope, replay)]
    lines += [f"except {scope.name(GONE)}:", "    return MISSED"]
    if replay.written:  # told before: an interrupt may come right after the run
        lines.append("now = clock()")
        lines += [f"{name(storage)}.written = now" for storage in replay.written]
    lines += _run_lines(scope, replay)
    discarded = name(DISCARDED)
    for leaf, result in replay.gradients:
        kept = "None" if result is None else discarded
        leaf_name = name(leaf)
        lines.append(f"if {leaf_name}.grad is not {kept}: {leaf_name}.grad = {kept}")
    return scope.function("call(args)", lines + _result_lines(scope, replay))


def _run_lines(scope: Scope, replay: Any) -> list[str]:
    """The run, which leaves s0, s1, ...: the storages of the results. What it is given it has for itself,
    so that it takes no lock; it is MISSED where another thread is there."""
    name, program = scope.name, replay.program
    inputs = [f"t{i}._ptr" for i in range(len(replay.kinds))]
    c, new, refused = name(program.c), name(Storage.__new__), name(program.refused)
    if len(replay.made_bytes) == 1 and len(inputs) <= _MOST_INPUTS:
        program.c.result_bytes = replay.made_bytes[0]
        null = name(NULL)
        given = ", ".join(inputs + [null] * (_MOST_INPUTS - len(inputs)))
        return [
            f"s0 = {new}(Storage)",
            "s0.written = 0",
            f"s0.ptr = ptr = {name(lib.tg_program_call)}({c}, {given})",
            f"if not ptr and {refused}(): return MISSED",
        ]
    lines = []
    for i, nbytes in enumerate(replay.made_bytes):
        lines += [
            f"s{i} = {new}(Storage)",
            f"s{i}.written = 0",
            f"s{i}.ptr = {name(lib.tg_alloc)}({nbytes})",
        ]
    given = ", ".join([*inputs, *(f"s{i}.ptr" for i in range(len(replay.made_bytes)))])
    addresses = f"{name(ffi.new)}({name(ffi.typeof('void *[]'))}, ({given}{',' if given else ''}))"
    return [
        *lines,
        f"if {name(lib.tg_program_try)}({c}, {addresses}) and {refused}(): return MISSED",
    ]


def _are_plain(replay: Any) -> bool:
    """Whether results are whole buffers and no gradient is kept."""
    return all(r is None or r is DISCARDED for _, r in replay.gradients) and all(
        isinstance(r.source, Buffer) and not r.offset and r.strides is None for r in replay.results
    )


def _result_lines(scope: Scope, replay: Any) -> list[str]:
    new, lines = scope.name(Tensor.__new__), []
    for i, r in enumerate(replay.results):
        node = scope.name(NO_GRAPH) if r.has_graph else "None"
        storage = f"s{r.source.slot}"
        lines += [
            f"y{i} = {new}(Tensor)",
            f"y{i}._storage = {storage}",
            f"y{i}._ptr = {storage}.ptr",
            f"y{i}._shape = {scope.name(r.shape)}",
            f"y{i}._strides = None",
            f"y{i}._size = {r.size}",
            f"y{i}._code = {r.code}",
            f"y{i}._node = {node}",
        ]
    if replay.structure is LEAF:
        return [*lines, "return y0"]
    values = ", ".join(f"y{i}" for i in range(len(replay.results)))
    unflatten = scope.name(replay.unflatten)
    return [*lines, f"return {unflatten}(iter([{values}]))"]


__all__ = ["MISSED", "call_function", "holds_function"]
