"""A program: recorded calls, the memory they use, and what runs them in one call into C."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import count, groupby
from typing import Any, NoReturn
from weakref import finalize, ref

from tensorgrad._native import Storage, address_of, allocate, fail, ffi, lib
from tensorgrad.compiler._effects import Data, Pointer
from tensorgrad.compiler._plan import Plan, plan_memory
from tensorgrad.compiler._recorder import Buffer, Callback, Record
from tensorgrad.errors import OutOfMemoryError

_INT32 = ffi.typeof("int32_t[]")
_INT64 = ffi.typeof("int64_t[]")
_POINTERS = ffi.typeof("void *[]")


def number_buffers(records: Iterable[Record]) -> list[Buffer]:
    """The buffers that are used, in the order in which they are met; each gets its number."""
    found: dict[int, Buffer] = {}
    for record in records:
        for access in record.accesses:
            buffer = access.buffer
            if id(buffer) not in found:
                buffer.number = len(found)
                found[id(buffer)] = buffer
    return list(found.values())


def fingerprint(records: Sequence[Record], constants: dict[int, bytes]) -> list[Any]:
    """What two recordings of one function have in common, record by record. constants: by the address
    of a buffer that holds what Python computed, its bytes."""
    number_buffers(records)

    def of(argument: Any) -> Any:
        if isinstance(argument, Pointer):
            buffer = argument.buffer
            if buffer.kind in ("outside", "state"):
                return constants.get(buffer.address, buffer.address), argument.offset
            return buffer.kind, buffer.number, argument.offset
        if isinstance(argument, Data):
            return tuple(map(of, argument.words))
        return argument

    return [
        (
            r.name,
            tuple(map(of, r.arguments)),
            None if r.callback is None else r.callback.key,
        )
        for r in records
    ]


class Program:
    """Calls, ready to run. slots: the buffers whose address is given for each run. share: whether buffers
    of its own may lie in one place, one after another."""

    def __init__(
        self, records: Sequence[Record], slots: Sequence[Buffer], share: bool = True
    ) -> None:
        self.records = list(records)
        self.slots = list(slots)
        self.buffers = number_buffers(records)
        given = {id(b) for b in self.slots}
        self.plan: Plan = plan_memory(
            self.records, [b for b in self.buffers if id(b) not in given], share
        )
        self.arena: Storage = allocate(max(self.plan.nbytes, 1))
        if not self.arena.ptr:
            raise OutOfMemoryError(f"compile: no memory for a program of {self.plan.nbytes} bytes")
        self.callbacks: list[tuple[Callback, int]] = []
        self.options: Sequence[Any] = ()  # of optimizers, which are read before each run
        self._build()

    # ---- addresses

    def _build(self) -> None:
        arena = address_of(self.arena.ptr)
        slot_of = {id(b): i for i, b in enumerate(self.slots)}
        words: list[int] = []
        begins: list[int] = []
        data: list[tuple[int, Data]] = []  # (place of the word that has its address, what is there)
        patches: list[tuple[int, int, int]] = []

        def put(value: Any, place: int) -> int:
            """The word for an argument, which goes to `place`."""
            if value is None:
                return 0
            if isinstance(value, float):
                return struct.unpack("q", struct.pack("d", value))[0]
            if isinstance(value, Pointer):
                buffer = value.buffer
                slot = slot_of.get(id(buffer))
                if slot is not None:
                    patches.append((place, slot, value.offset))
                    return 0
                if buffer.kind in ("local", "result"):
                    # one without elements is used by nobody, and has no place
                    return arena + self.plan.offsets.get(id(buffer), 0) + value.offset
                return buffer.address + value.offset
            if isinstance(value, Data):
                data.append((place, value))
                return 0
            return int(value)

        for record in self.records:
            begins.append(len(words))
            if record.callback is not None:
                words += [_CALLED_BACK, _register(self, len(self.callbacks))]
                data.append((-1 - len(self.callbacks), Data(tuple(record.callback.pointers))))
                self.callbacks.append((record.callback, 0))
            else:
                for argument in record.arguments:
                    words.append(put(argument, len(words)))
        links: list[tuple[int, int]] = []  # words that hold the address of another word
        placed: dict[Data, int] = {}
        for place, block in data:
            at = placed.get(block)
            if at is None:
                at = placed[block] = len(words)
                for word in block.words:
                    words.append(put(word, len(words)))
            if place >= 0:
                links.append((place, at))
            else:
                number = -1 - place
                self.callbacks[number] = (self.callbacks[number][0], at)
        self.words = ffi.new(_INT64, words or [0])
        base = int(ffi.cast("intptr_t", self.words))
        for place, at in links:
            self.words[place] = base + 8 * at
        self.addresses = ffi.new(_POINTERS, max(len(self.slots), 1))
        self._arrays = [
            ffi.new(_INT32, [r.function.number for r in self.records] or [0]),
            ffi.new(_INT32, begins or [0]),
            ffi.new(_INT32, [p[0] for p in patches] or [0]),
            ffi.new(_INT32, [p[1] for p in patches] or [0]),
            ffi.new(_INT64, [p[2] for p in patches] or [0]),
        ]
        functions, starts, places, slots, offsets = self._arrays
        groups = self._group_structs()
        self._groups = ffi.new("tg_group[]", groups)
        self.c = ffi.new(
            "tg_program *",
            {
                "steps": len(self.records),
                "functions": functions,
                "begins": starts,
                "words": self.words,
                "patches": len(patches),
                "places": places,
                "slots": slots,
                "offsets": offsets,
                "slot_count": len(self.slots),
                "group_count": len(groups),
                "groups": self._groups,
            },
        )
        self.failed = ffi.new("int64_t *")
        self.done = ffi.new("int64_t *")

    def _group_structs(self) -> list[dict[str, Any]]:
        """The groups of steps that may run side by side, as C has them."""
        found: list[dict[str, Any]] = []
        for _, group in groupby(
            enumerate(self.records), key=lambda r: r[1].lane and r[1].lane.group
        ):
            lanes = {id(r.lane): (r.lane, i) for i, r in group if r.lane}  # the last step of each
            if lanes:
                first = next(i for i, r in enumerate(self.records) if id(r.lane) in lanes)
                ends = ffi.new(_INT64, [i + 1 for _, i in lanes.values()])
                work = ffi.new(_INT64, [lane.work for lane, _ in lanes.values()])
                threads = next(iter(lanes.values()))[0].threads
                self._arrays += [ends, work]
                found.append(
                    {
                        "first": first,
                        "lanes": len(lanes),
                        "ends": ends,
                        "work": work,
                        "threads": threads,
                    }
                )
        return found

    # ---- running

    def run(self, times: int = 1, addresses: Any = None) -> None:
        """Runs the program. addresses: (times, slots), those of the slots in each run; by default what
        `self.addresses` says for one. Raises what a step raises."""
        status = _run(
            self.c,
            times,
            self.addresses if addresses is None else addresses,
            self.failed,
            self.done,
        )
        if status:
            self.raise_failure(status)

    def refused(self) -> bool:
        """What follows a run that this thread tried and that was none: True if the gate was not open, and
        the error of a step that failed."""
        failed = ffi.new("int64_t *")
        status = lib.tg_program_status(failed)
        if status != lib.TG_BUSY:
            if failed[0] < 0:
                fail(status, "a compiled function")
            self._raise(status, failed[0])
        return True

    def raise_failure(self, status: int) -> NoReturn:
        """Raises the error of the step that failed."""
        self._raise(status, self.failed[0])

    def _raise(self, status: int, step: int) -> NoReturn:
        record = self.records[step]
        error = _pending.pop(id(self), None)
        if error is not None:
            raise error
        name = record.note if record.name == "tg_call_foreign" else record.name.removeprefix("tg_")
        fail(status, f"{name} in a compiled function ({record.site})")

    def call_back(self, number: int) -> int:
        """Runs a step in Python."""
        callback, at = self.callbacks[number]
        try:
            callback.run(ffi.unpack(self.words + at, len(callback.pointers)))
            if not callback.pointers:  # it changed Python's own state, such as a learning rate
                for options in self.options:
                    options.take()
        except BaseException as error:  # noqa: BLE001  (raised when C has returned)
            _pending[id(self)] = error
            return int(lib.TG_BAD_ARGUMENT)
        return 0

    def time_steps(self) -> list[float]:
        """One run; the seconds of each step."""
        seconds = ffi.new("double[]", max(len(self.records), 1))
        status = lib.tg_program_time(self.c, self.addresses, seconds, self.failed)
        if status:
            self.raise_failure(status)
        return list(seconds)[: len(self.records)]


_run = lib.tg_program_run
_pending: dict[int, BaseException] = {}  # by the id of a program, what a step in Python raised
_steps: dict[int, tuple[ref[Program], int]] = {}  # of all programs: which, and its callback
_number = count().__next__
_CALLED_BACK = int(ffi.cast("intptr_t", lib.tg_called_back))


def _register(program: Program, callback: int) -> int:
    """The number by which a program's step in Python is called, until the program is gone."""
    number = _number()
    _steps[number] = ref(program), callback
    finalize(program, _steps.pop, number, None).atexit = False
    return number


def _interrupted(_: Any, error: BaseException, traceback: Any) -> None:
    """A signal's handler raised before or after `call_back`, which does not raise."""
    program = _steps[traceback.tb_frame.f_locals["number"]][0]()
    if program is not None:
        _pending[id(program)] = error


@ffi.def_extern(error=lib.TG_BAD_ARGUMENT, onerror=_interrupted)  # type: ignore[untyped-decorator]
def tg_called_back(number: int) -> int:
    """A program has come to a step in Python."""
    reference, callback = _steps[number]
    program = reference()
    return 1 if program is None else program.call_back(callback)


__all__ = ["Program", "fingerprint", "number_buffers"]
