"""What a recording came to: results, gradients, and whether anything else was left behind."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from time import sleep
from types import CellType, FunctionType
from typing import Any

from tensorgrad._native import Storage, address_of
from tensorgrad._tensor import Tensor
from tensorgrad.autograd._tape import Leaf, Node
from tensorgrad.compiler._arguments import flatten
from tensorgrad.compiler._guards import Guards
from tensorgrad.compiler._program import fingerprint
from tensorgrad.compiler._recorder import Recorder
from tensorgrad.compiler._results import DISCARDED, Result
from tensorgrad.errors import CaptureError

_WAITS = (0.0, 0.01, 0.05, 0.1)  # seconds


def outcome(
    recorder: Recorder,
    guards: Guards,
    leaves: list[tuple[Leaf, int | None]],
    had: dict[int, Any],
    result: Any,
    tensors: list[Tensor],
    keep_grads: bool,
) -> tuple[list[Result], Any, list[tuple[Any, Any]]]:
    """What the function returned, as Results and the structure that they are in, and the gradients that
    it left: (Leaf, or the number of an input; a Result, None, or DISCARDED).

    had: by the id of a leaf, its gradient before. Raises CaptureError for what a replay could not give."""
    returned: list[Any] = []
    structure = flatten(result, returned)
    results = []
    for t in returned:
        if not isinstance(t, Tensor):
            raise CaptureError(
                "compile: the function returned a NumPy array, which is not computed again in a "
                "replay; return the tensor"
            )
        results.append(_result(recorder, t, tensors, guards))
    gradients: list[tuple[Any, Any]] = []
    for leaf, number in leaves:
        gradient = leaf.grad
        if gradient is had[id(leaf)]:
            continue
        where = leaf if number is None else number
        if gradient is None:
            gradients.append((where, None))
        elif keep_grads or number is not None:
            gradients.append((where, _result(recorder, gradient, tensors, guards)))
        else:
            gradients.append((where, DISCARDED))
    _refuse_leaks(recorder, returned, leaves)
    return results, structure, gradients


def _result(
    recorder: Recorder,
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


def _alive(recorder: Recorder, addresses: set[int]) -> set[int]:
    """Those at which a storage still is. Another thread that records looks at all storages too: it
    may hold one for a moment, and give it back without this recorder being told."""
    for wait in _WAITS:
        addresses &= recorder.addresses_alive()
        if not addresses:
            break
        sleep(wait)
    return addresses


def _refuse_leaks(
    recorder: Recorder,
    returned: list[Tensor],
    leaves: list[tuple[Leaf, int | None]],
) -> None:
    """Raises CaptureError if memory made inside lives on other than in results and gradients."""
    known = {address_of(t._storage.ptr) for t in returned}
    known |= {
        address_of(leaf.grad._storage.ptr) for leaf, _ in leaves if isinstance(leaf.grad, Tensor)
    }
    if recorder.live.keys() - known:
        for node in [t._node for t in returned]:
            known |= _saved_by(node)
    for generation in range(3):  # what is in a cycle is young most often
        if not recorder.live.keys() - known:
            return
        gc.collect(generation)
    for address in _alive(recorder, recorder.live.keys() - known):
        for record in recorder.records:
            for access in record.accesses:
                if access.buffer.address == address and access.buffer in recorder.made:
                    raise CaptureError(
                        f"compile: a tensor made at {record.site} is kept outside of the "
                        f"function, where a replay would not put it; return it instead"
                    )


def leaves_of(guards: Guards, tensors: Sequence[Tensor]) -> list[tuple[Leaf, int | None]]:
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


def difference_of(before: Any, now: Any) -> str:
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
                    numbers = all(isinstance(value, (int, float)) for value in (x, y))
                    what = f"was {x} and is now {y}" if numbers else "is another number or tensor"
                    return f"at {site} the {name} of {b[0].removeprefix('tg_')} {what}"
            return f"at {site} {b[2] and b[2][0]} got other values"
    if len(one) != len(two):
        longer = before if len(one) > len(two) else now
        site = longer.recorded[min(len(one), len(two))].site
        return f"it made {len(two)} calls, before {len(one)} (the first that differs: {site})"
    return ""


def _watched(storage: Any) -> bool:
    return not hasattr(storage.owner, "tobytes") or hasattr(storage.owner, "value")


__all__ = ["difference_of", "leaves_of", "outcome"]
