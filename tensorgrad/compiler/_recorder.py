"""Records the calls into the C library that a function makes, as a program has them.

The C library tells of every call, and of every block of memory that is taken and given back
(`tg_recorded` in csrc/build_ffi.py). An address in a call is resolved at once to the buffer that it lies
in: memory that the function was given, memory that existed before (parameters, state), and memory that
was made on the way."""

from __future__ import annotations

import gc
import os
import platform
import struct
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from linecache import getline
from pathlib import Path
from threading import Lock, get_ident
from typing import Any
from weakref import ref

import numpy as np

from tensorgrad._captures import captures
from tensorgrad._exposed import UserStorage
from tensorgrad._native import BorrowedStorage, Storage, address_of, ffi, lib
from tensorgrad._tensor import Tensor, _extent
from tensorgrad.compiler._arrays import WatchedArray, bounds, one_step
from tensorgrad.compiler._effects import (
    BY_NAME,
    FUNCTIONS,
    MAX_DIMS,
    Access,
    Data,
    Function,
    Pointer,
)
from tensorgrad.errors import CaptureError

_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_DEMO = _PACKAGE + "demo" + os.sep
_HERE = str(Path(__file__).parent) + os.sep


class Buffer:
    """A run of memory that calls read or write.

    kind: "input", what the function was given; "outside", what existed before; "state", memory of the
    library itself that outlives the program (an optimizer's numbers, a generator); "local", what was
    made and is not needed afterwards; "result", what is.
    owner: what keeps the memory alive, where it is not the program's own. number: its place in the
    program, in the order in which buffers were met."""

    __slots__ = ("address", "kind", "nbytes", "number", "owner", "slot")

    def __init__(self, kind: str, address: int, nbytes: int, owner: Any = None) -> None:
        self.kind = kind
        self.address = address
        self.nbytes = nbytes
        self.owner = owner
        self.number = -1
        self.slot = -1  # of a result: its number among them

    def __repr__(self) -> str:
        return f"<{self.kind} {self.number}: {self.nbytes} bytes>"


class Lane:
    """Steps that follow one another and may run beside those of the group's other lanes, which lie next to
    them. group: equal in those, and in no others. work: how long they take, in nanoseconds, about.
    threads: with more than these the steps are faster one by one."""

    __slots__ = ("group", "threads", "work")

    def __init__(self, group: int, work: int, threads: int) -> None:
        self.group = group
        self.work = work
        self.threads = threads


class Record:
    """One call: the function, its arguments (integers, floats, Pointers, Data, None for NULL), what it
    reads and writes, and the line of the user's code that it comes from. callback: the Python function
    that a call of tg_call_back ends in. note: what the optimizer did to it, for `explain`.
    lane: where it may run beside others."""

    __slots__ = ("accesses", "arguments", "callback", "function", "lane", "note", "site")

    def __init__(
        self,
        function: Function,
        arguments: Sequence[Any],
        site: str = "",
        accesses: list[Access] | None = None,
        callback: Callback | None = None,
        note: str = "",
        lane: Lane | None = None,
    ) -> None:
        self.function = function
        self.arguments = tuple(arguments)
        if accesses is None:
            assert function.accesses is not None, function
            accesses = function.accesses(*arguments)
        self.accesses = accesses
        self.site = site
        self.callback = callback
        self.note = note
        self.lane = lane

    @property
    def name(self) -> str:
        return self.function.name

    def argument(self, name: str) -> Any:
        """The argument of a parameter."""
        return self.arguments[self.function.parameters.index(name)]

    def __repr__(self) -> str:
        return f"<{self.name} {self.arguments} at {self.site}>"


class Reading:
    """Python's own state as it was read, at a place in the function."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def take(self, value: Any) -> None:
        """What was read in a replay."""
        self.value = value

    def __repr__(self) -> str:
        return "what was read"

    def __getitem__(self, key: Any) -> Any:
        capture = captures.get(get_ident())
        if capture is not None:
            capture.refuse_reading("the state of a generator")
        return self.value[key]

    def __iter__(self) -> Iterator[Any]:
        yield from self[:]


class Callback:
    """A step in Python: `run(addresses)` is called with the addresses of `pointers`."""

    __slots__ = ("key", "name", "pointers", "run")

    def __init__(
        self, name: str, pointers: Sequence[Pointer], run: Callable[[list[int]], Any], key: Any
    ) -> None:
        self.name = name
        self.pointers = list(pointers)
        self.run = run
        self.key = key  # compares equal to that of the same step in another recording


_looking = Lock()
_storages: list[tuple[int, int, ref[Any]]] = []  # as they were when they were last looked for


def _all_storages() -> list[tuple[int, int, ref[Any]]]:
    """The storages that exist: beginning and bytes of the memory, and the storage. One thread looks at a
    time: while it does, it keeps alive what others drop."""
    global _storages
    with _looking:
        # an object refers to its class. gc.get_objects would also give what other threads are just
        # making, which must not be referred to yet
        found = gc.get_referrers(*_STORAGES)
        _storages = [(*_memory_of(o), ref(o)) for o in found if isinstance(o, _STORAGES)]
        return _storages


def user_frame() -> Any:
    """The innermost frame that is not this package's."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_DEMO) or not (
            name.startswith((_PACKAGE, "<op ", "<kernel ")) or "cffi" in name
        ):
            return frame
        frame = frame.f_back
    return sys._getframe(1)


def user_line() -> str:
    """The line of the user's code that is running: "file:line: text"."""
    frame = user_frame()
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = getline(file, line).strip()
    return f"{Path(file).name}:{line}" + (f": {text}" if text else "")


def _inside_op() -> bool:
    """Whether the user's code that is running is an op's, its forward or its gradient."""
    frame: Any = user_frame().f_back
    while frame is not None and not frame.f_code.co_filename.startswith(_HERE):
        name = frame.f_code.co_filename
        if name.startswith("<op ") or name == _FUNCTION:
            return True
        frame = frame.f_back
    return False


_FUNCTION = _PACKAGE + os.path.join("autograd", "_function.py")
_TABLES = frozenset(("arrays", "done", "gradients", "grads", "means", "momenta", "squares"))
_STATES = {"started": 1, "hyper": 7 * 8}  # tables of the library's own memory: bytes of each


class Recorder:
    """What records the calls of a thread while it is `active`."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        first: Sequence[int] = (),
        reached: Container[int] = (),
        function: Any = None,
        stops: bool = False,
    ) -> None:
        """inputs: what the function is given. first: for each the first of them that shares memory with
        it. reached: ids of the storages that the function reaches in another way; an input there is no
        place that changes from run to run. stops: whether what cannot be recorded ends the recording, at
        `stopped_at`, instead of raising CaptureError."""
        self._code = getattr(function, "__code__", None)
        self._stops = stops
        self.stopped = ""  # why the recording ended early
        self.stopped_at = 0  # the line of the function
        self.records: list[Record] = []
        self.error: BaseException | None = None  # met while recording, where it could not be raised
        self.live: dict[int, Buffer] = {}  # made on the way and not given back
        self.made: list[Buffer] = []
        self.inputs: list[Buffer] = []
        self.outside: dict[int, Buffer] = {}  # by the address of the storage
        self.state: dict[int, Buffer] = {}
        self.arrays: dict[int, Buffer] = {}
        self.kept: list[Any] = []  # what must live as long as the program
        self.options: list[Any] = []  # of optimizers, which are read before each run
        self.dropped: set[int] = (
            set()
        )  # ids of leaves whose gradient was dropped before it was used
        self.constants: list[Any] = []  # storages of arrays that became tensors on the way
        self.python_steps = 0
        self._paused = 0
        self._spans: list[tuple[int, int, Buffer]] = []  # (begin, end) of what inputs show
        for i, t in enumerate(inputs):
            begin, end = _extent(t)
            buffer = Buffer("input", address_of(t._ptr), t.nbytes)
            self.inputs.append(buffer)
            if id(t._storage) not in reached:
                self._spans.append((begin, end, self.inputs[first[i]] if first else buffer))

    # ---- being active

    def start(self, thread: int) -> None:
        """Records the calls of this thread, whose number is given, until `captures` has no recorder for
        it and `tg_record(0)` was called."""
        captures[thread] = self
        lib.tg_record(1)

    def pause(self, on: bool) -> None:
        """Begins or ends a time in which nothing is recorded."""
        self._paused += 1 if on else -1

    def told(self, number: int, words: Any) -> None:
        """A call was made. Never raises: there is C between this and the caller."""
        if self.error is not None or self.stopped:
            return
        try:
            if number == _FREED:
                # also another recorder's: see _all_storages
                for recorder in list(captures.values()):
                    recorder.live.pop(words[0], None)
            elif self._paused:
                return
            elif number == _ALLOCATED:
                buffer = Buffer("local", words[1], words[0])
                self.live[words[1]] = buffer
                self.made.append(buffer)
            else:
                function = FUNCTIONS[number]
                arguments = self._arguments(function, words)
                self.records.append(Record(function, arguments, user_line()))
        except BaseException as error:  # noqa: BLE001  (it is raised when the function ends)
            self.error = error

    # ---- addresses

    def resolve(self, address: int) -> Pointer | None:
        """The place that an address is, None for NULL."""
        if not address:
            return None
        found = self.live.get(address)
        if found is not None:
            return Pointer(found, 0)
        for begin, end, buffer in self._spans:
            if begin <= address < max(end, begin + 1):
                return Pointer(buffer, address - buffer.address)
        # a copy: collected garbage may give memory back in between
        for group in (list(self.live.values()), self.arrays.values()):
            for buffer in group:
                if buffer.address <= address < buffer.address + max(buffer.nbytes, 1):
                    return Pointer(buffer, address - buffer.address)
        return self._outside(address)

    def _outside(self, address: int) -> Pointer:
        for again in (False, True):
            for start, buffer in self.outside.items():
                if start <= address < start + max(buffer.nbytes, 1):
                    return Pointer(buffer, address - start)
            for start, nbytes, reference in _all_storages() if again else _storages:
                if not start <= address < start + max(nbytes, 1):
                    continue
                storage = reference()
                if storage is not None:
                    self.outside[start] = Buffer("outside", start, nbytes, storage)
                    return Pointer(self.outside[start], address - start)
        raise CaptureError(
            f"compile: memory at {address:#x}, used at {user_line()}, belongs to no tensor"
        )

    def addresses_alive(self) -> set[int]:
        """Where the memory of all storages that exist begins."""
        return {start for start, _, _ in _all_storages()}

    def _state(self, address: int, nbytes: int) -> Pointer | None:
        """Memory of the library's own, which is kept by what is in `kept`."""
        if not address:
            return None
        buffer = self.state.get(address)
        if buffer is None:
            buffer = self.state[address] = Buffer("state", address, nbytes)
        return Pointer(buffer, 0)

    def _arguments(self, function: Function, words: Any) -> list[Any]:
        arguments: list[Any] = []
        names = function.parameters
        count = words[names.index("count")] if "count" in names else 0
        for i, (kind, name) in enumerate(zip(function.kinds, names)):
            word = words[i]
            if kind == "i":
                arguments.append(word)
            elif kind == "f":
                arguments.append(struct.unpack("d", struct.pack("q", word))[0])
            elif not word:
                arguments.append(None)
            elif name in ("layout", "batch"):
                arguments.append(_layout(word))
            elif name == "layers":
                arguments.append(self._layers(word, count))
            elif name == "sizes":
                arguments.append(Data(tuple(_words(word, count))))
            elif name in _TABLES or name in ("params", "top"):
                n = 2 * count if name == "gradients" else count
                arguments.append(Data(tuple(self.resolve(w) for w in _words(word, n))))
            elif name in _STATES:
                nbytes = _STATES[name]
                arguments.append(Data(tuple(self._state(w, nbytes) for w in _words(word, count))))
            elif name == "generator":
                arguments.append(self._state(word, 16))
            else:
                arguments.append(self.resolve(word))
        return arguments

    def _layers(self, address: int, count: int) -> Data:
        words: list[Any] = []
        layers = ffi.cast("tg_layer *", address)
        for i in range(count):
            layer = layers[i]
            w, bias = (int(ffi.cast("intptr_t", p)) for p in (layer.w, layer.bias))
            words += [
                layer.activation,
                getattr(layer, "in"),
                layer.out,
                self.resolve(w),
                self.resolve(bias),
            ]
        return Data(tuple(words))

    # ---- what Python does on the way

    def watched(self, array: np.ndarray[Any, Any]) -> Any:
        """A tensor's memory as NumPy gets it while recording: what is done with it becomes steps."""
        return array if self._paused else WatchedArray(array)

    def one_step(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Calls a function of arrays that is recorded as a whole."""
        return one_step(function, args, kwargs)

    def handed_out(self, array: Any) -> Any:
        """What numpy() gives: the array that is watched, to an op written in Python. Raises CaptureError
        for the function itself, which could do anything with the values."""
        if not self._paused and not _inside_op():
            self.refuse_reading("numpy()")
            return array.value
        return array

    def refuse_reading(self, what: str) -> None:
        """Raises CaptureError: the function reads values."""
        if not self._paused:
            self.refuse(f"{what} reads values, which a replay has only afterwards", _READING)

    def refuse(self, why: str, hint: str) -> None:
        """Raises CaptureError for the line that is running, or ends the recording."""
        message = f"compile: {why} (at {user_line()})"
        if not self._stops:
            raise CaptureError(f"{message}. {hint}")
        if not self.stopped:
            self.stopped = message
            frame: Any = sys._getframe(1)
            while frame is not None and frame.f_code is not self._code:
                frame = frame.f_back
            self.stopped_at = 0 if frame is None else frame.f_lineno
            captures.pop(get_ident(), None)
            lib.tg_record(0)

    def borrowed(self, storage: BorrowedStorage) -> None:
        """Takes note of a NumPy array that became a tensor on the way: a constant, unless it is memory
        that is known."""
        if not self._paused and not isinstance(storage.owner, WatchedArray):
            self.constants.append(storage)

    def access_of(self, array: np.ndarray[Any, Any], mode: str) -> Access:
        """The access to an array's memory."""
        if not array.size:
            return Access(Buffer("local", bounds(_EMPTY)[0], 0), 0, 0, mode)
        low, high = bounds(array)
        place = self.resolve(low)
        assert place is not None
        return Access(place.buffer, place.offset, place.offset + high - low, mode)

    def own_array(self, array: np.ndarray[Any, Any]) -> Access:
        """Takes a new array of NumPy's as a buffer that the program writes."""
        low, high = bounds(array)
        buffer = Buffer("local", low, high - low, array)
        self.arrays[low] = buffer
        return Access(buffer, 0, buffer.nbytes, "w")

    def drop_arrays(self) -> None:
        """Lets go of NumPy's arrays, which no more calls will be given: a program has its own memory."""
        for buffer in self.arrays.values():
            buffer.owner = None
        self.arrays.clear()

    def keep(self, owner: Any) -> None:
        """Keeps something alive as long as the program."""
        self.kept.append(owner)

    def call(
        self,
        name: str,
        run: Callable[[list[int]], Any],
        reads: Sequence[Access] = (),
        writes: Sequence[Access] = (),
        key: Any = None,
    ) -> None:
        """Records a step in Python. run gets the addresses of where the accesses begin."""
        accesses = [*reads, *writes]
        pointers = [Pointer(a.buffer, a.begin) for a in accesses]
        callback = Callback(name, pointers, run, key)
        self.records.append(Record(_CALL_BACK, (None, 0), user_line(), accesses, callback))

    def called(self, kernel: Any, arguments: Sequence[Any], tensors: Sequence[Tensor]) -> None:
        """A kernel of a custom module was called. tensors: those of its arguments, as it got them."""
        if self._paused:
            return
        if kernel.returns not in ("int", "void"):
            self.refuse_reading(f"the number that {kernel.name} returns")
        given = iter(tensors)
        integers: list[Any] = []
        reals: list[Any] = []
        accesses = []
        for p, argument in zip(kernel.parameters, arguments):
            if p.base in ("float", "double") and not p.pointer:
                double = float(argument)
                reals.append(
                    double
                    if p.base == "double"
                    else struct.unpack("I", struct.pack("f", double))[0]
                )
            elif not p.pointer:
                integers.append(_signed(int(argument)))
            elif argument is None:
                integers.append(None)
            else:
                t = next(given)
                place = self.resolve(address_of(t._ptr))
                integers.append(place)
                if place is not None and t.nbytes:
                    mode = "r" if p.const else "rw"  # it may write a part
                    accesses.append(
                        Access(place.buffer, place.offset, place.offset + t.nbytes, mode)
                    )
        self.keep(kernel)
        if not _FOREIGN or not kernel.address or len(integers) > 16 or len(reals) > 8:
            self.refuse(
                f"the kernel {kernel.name} cannot be called from a program on this machine",
                "Call it outside of the function, or compile with fallback=True",
            )
        integers += [0] * (16 - len(integers))
        reals += [0.0] * (8 - len(reals))
        arguments = (
            kernel.address,
            kernel.returns == "int",
            Data(tuple(integers)),
            Data(tuple(reals)),
        )
        self.records.append(
            Record(_CALL_FOREIGN, arguments, user_line(), accesses, note=kernel.name)
        )

    def python_step(self, name: str, run: Callable[[], Any], key: Any = None) -> None:
        """Records a step that only changes Python's own state, such as a schedule. key: whose state, by
        default that of the object whose method `run` is."""

        def step(_: list[int]) -> None:
            run()
            for options in self.options:
                options.take()

        if not self._paused:
            self.python_steps += 1
            owner = getattr(run, "__self__", run) if key is None else key
            self.keep(owner)  # so that its id remains its own
            self.call(name, step, key=(name, id(owner)))

    def reading(self, read: Callable[[], Any]) -> Any:
        """What `read` says of Python's own state, to be given to `writing`: in each replay what it says
        then."""
        if self._paused:
            return read()
        found = Reading(read())
        self.python_step("reading", lambda: found.take(read()), getattr(read, "__self__", read))
        return found

    def writing(self, write: Callable[[Any], Any], value: Any) -> None:
        """Gives Python's own state a value, in each replay again."""

        def step() -> None:
            write(value.value if isinstance(value, Reading) else value)

        step()
        self.python_step(f"writing {value!r}", step, getattr(write, "__self__", write))


_READING = (
    "Return the tensor and read it outside, or compile with fallback=True, which runs the function "
    "eagerly from there on"
)


def _memory_of(storage: Any) -> tuple[int, int]:
    """Where a storage's memory begins, and its bytes."""
    if isinstance(storage, Storage):
        try:
            ptr = storage.ptr
        except AttributeError:  # it is just being made
            return 0, 0
        return (address_of(ptr), lib.tg_block_bytes(ptr)) if ptr else (0, 0)
    low, high = bounds(
        storage.owner if not isinstance(storage.owner, WatchedArray) else storage.owner.value
    )
    return low, high - low


def _words(address: int, n: int) -> list[int]:
    return ffi.unpack(ffi.cast("int64_t *", address), n) if n else []


def _layout(address: int) -> Data:
    words = _words(address, 1 + 5 * MAX_DIMS)
    ndim = words[0]
    # what is behind the last axis is not looked at
    for i in range(5):
        begin = 1 + i * MAX_DIMS
        words[begin + ndim : begin + MAX_DIMS] = [0] * (MAX_DIMS - ndim)
    return Data(tuple(words))


_EMPTY = np.empty(0)  # its memory stands for that of all arrays without elements
_STORAGES = (Storage, BorrowedStorage, UserStorage)
_ALLOCATED, _FREED = lib.TG_ALLOCATED, lib.TG_FREED
_CALL_BACK, _CALL_FOREIGN = BY_NAME["tg_call_back"], BY_NAME["tg_call_foreign"]
# where integers and floats are passed independently of each other, and in words of 8 bytes
_FOREIGN = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")


def _signed(number: int) -> int:
    """The word of 8 bytes, as a signed number."""
    return (number + 2**63) % 2**64 - 2**63


def _interrupted(_: Any, error: BaseException, __: Any) -> None:
    """A signal's handler raised before the recorder could see to it: that call is not recorded."""
    recorder = captures.get(get_ident())
    if recorder is not None and recorder.error is None:
        recorder.error = error


@ffi.def_extern(onerror=_interrupted)  # type: ignore[untyped-decorator]
def tg_recorded(number: int, words: Any) -> None:
    """Hands a call to the recorder of this thread."""
    recorder = captures.get(get_ident())
    if recorder is not None:
        recorder.told(number, words)


__all__ = ["Buffer", "Callback", "Lane", "Record", "Recorder", "user_frame", "user_line"]
