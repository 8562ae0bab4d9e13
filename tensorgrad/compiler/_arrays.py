"""What NumPy does to tensors' memory inside a compiled function.

Ops that have no kernel (integers, factorisations, transforms) compute with NumPy. While a function is
recorded they get arrays of this class, which note each NumPy function as a step in Python, to be called
again in every replay. Reading a value in Python is refused, as is a result whose shape depends on
values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tensorgrad._captures import current_capture
from tensorgrad.errors import CaptureError, IndexOutOfRangeError, TensorgradError

Array = np.ndarray[Any, Any]

_DATA_DEPENDENT = frozenset(
    (
        *("argwhere", "bincount", "compress", "extract", "flatnonzero", "histogram", "intersect1d"),
        *("nonzero", "repeat", "setdiff1d", "setxor1d", "trim_zeros", "union1d", "unique"),
        *("unique_all", "unique_counts", "unique_inverse", "unique_values"),
    )
)
_WRITERS = frozenset(("copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"))
_SHAPE_HINT = (
    "A replay runs with the shapes of the recording: use where() or masks of a fixed shape, do this "
    "outside of the function, or compile with fallback=True"
)
_ARRAY_HINT = "Compute with tensors, or with arrays that are made from them"


class WatchedArray(NDArrayOperatorsMixin):
    """Stands for an array whose use is recorded. It is no ndarray, so that nothing of NumPy's can take
    its values without being seen: what is not a NumPy function or a method here is refused."""

    __slots__ = ("value",)
    watched = True

    def __init__(self, value: Array) -> None:
        self.value = value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        written = (inputs[0],) if method == "at" else ()
        return _apply(getattr(ufunc, method), name, inputs, kwargs, written)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        if name in _DATA_DEPENDENT:
            _capture().refuse(f"the shape of {name}'s result depends on values", _SHAPE_HINT)
        written: tuple[Any, ...] = ()
        if name in _WRITERS:  # the first argument, which has the same name in all but two
            written = (args[0] if args else kwargs.get("a", kwargs.get("dst", kwargs.get("arr"))),)
        return _apply(function, f"numpy.{name}", args, kwargs, written)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        capture = current_capture()
        if capture is None:
            return np.array(self.value, dtype)
        capture.refuse_reading("conversion to an array")
        return self.value

    def __getitem__(self, key: Any) -> Any:
        if _selects_by_value(key):
            _capture().refuse("the shape of what a mask selects depends on values", _SHAPE_HINT)
        return _apply(operator.getitem, "numpy.getitem", (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        _apply(operator.setitem, "numpy.setitem", (self, key, value), {}, (self,))

    def __len__(self) -> int:
        return len(self.value)


for _name in ("dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"):
    setattr(WatchedArray, _name, property(operator.attrgetter(f"value.{_name}")))


def _attribute(name: str) -> property:
    get = operator.attrgetter(name)
    return property(lambda self: _apply(get, f"numpy.{name}", (self,), {}))


for _name in ("T", "mT", "real", "imag"):
    setattr(WatchedArray, _name, _attribute(_name))


def _selects_by_value(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(p, WatchedArray) and p.value.dtype == bool for p in parts)


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np.ndarray, name)

    def method(self: WatchedArray, *args: Any, **kwargs: Any) -> Any:
        if name in _DATA_DEPENDENT:
            _capture().refuse(f"the shape of {name}'s result depends on values", _SHAPE_HINT)
        return _apply(
            function,
            f"numpy.{name}",
            (self, *args),
            kwargs,
            (self,) if name in _WRITING_METHODS else (),
        )

    method.__name__ = name
    return method


_WRITING_METHODS = frozenset(("fill", "sort", "partition", "put"))


def _reader(name: str) -> Callable[..., Any]:
    def reader(self: WatchedArray, *args: Any, **kwargs: Any) -> Any:
        capture = current_capture()
        if capture is not None:
            capture.refuse_reading(_READERS[name])
        return getattr(self.value, name)(*args, **kwargs)

    reader.__name__ = name
    return reader


_READERS = {
    "item": "item()",
    "tolist": "tolist()",
    "tobytes": "tobytes()",
    "dump": "dump()",
    "dumps": "dumps()",
    "tofile": "tofile()",
    "__bool__": "bool()",
    "__int__": "int()",
    "__float__": "float()",
    "__complex__": "complex()",
    "__index__": "use as an index",
    "__contains__": "`in`",
    "__iter__": "iteration",
    "__repr__": "printing",
    "__str__": "printing",
    "__format__": "printing",
}
for _name in _READERS:
    setattr(WatchedArray, _name, _reader(_name))
for _name in (
    *("all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "byteswap", "choose"),
    *("clip", "compress", "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot"),
    *("fill", "flatten", "max", "mean", "min", "nonzero", "partition", "prod", "put", "ravel"),
    *("repeat", "reshape", "round", "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes"),
    *("take", "trace", "transpose", "var"),
):
    setattr(WatchedArray, _name, _method(_name))


def _capture() -> Any:
    capture = current_capture()
    if capture is None:
        raise CaptureError("compile: an array of a compiled function was used outside of it")
    return capture


def _plain(value: Any) -> Any:
    """Arguments for NumPy itself."""
    return _mapped(value, lambda w: w.value, WatchedArray)


def _watched_in(value: Any, found: list[Array]) -> None:
    if isinstance(value, WatchedArray):
        found.append(value.value)
    elif isinstance(value, (tuple, list)):
        for part in value:
            _watched_in(part, found)
    elif isinstance(value, dict):
        for part in value.values():
            _watched_in(part, found)


def _apply(
    function: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    written: tuple[Any, ...] = (),
    checks: bool = False,
) -> Any:
    """Calls a NumPy function, and records the call unless its result only shows memory that its
    arguments have. written: those of the arguments that the function writes to. checks: it may raise,
    and must be called again even if it has no result."""
    capture = current_capture()
    result = function(*_plain(args), **_plain(kwargs))
    if capture is None or capture._paused:
        return result
    given: list[Array] = []
    _watched_in((args, kwargs), given)
    if not given:  # inside of a step, or of numbers of the user's own
        return result
    targets: list[Array] = []
    out = kwargs.get("out")
    outs = (*written, *(out if isinstance(out, tuple) else (out,)))
    _watched_in(outs, targets)
    for part in outs:
        if isinstance(part, np.ndarray):
            capture.refuse(f"{name} writes what it computes to an array made outside", _ARRAY_HINT)
    results: list[Array] = []

    def wrapped(value: Any) -> Any:
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if isinstance(value, np.ndarray):
            results.append(value)
            return WatchedArray(value)
        if isinstance(value, tuple):
            parts = [wrapped(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if isinstance(value, list):
            return [wrapped(part) for part in value]
        if value is not None or not (targets or checks):
            capture.refuse_reading(name)
        return value

    answer = wrapped(result)
    if any(r.dtype == object for r in results):
        capture.refuse_reading(name)
    is_own = [not any(np.may_share_memory(r, a) for a in given) for r in results]
    if any(is_own) or targets or (checks and given):
        _record(capture, function, name, args, kwargs, given, results, is_own, targets)
    return answer


def one_step(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls a function of arrays that is recorded as a whole."""
    return _apply(function, function.__name__.lstrip("_"), args, kwargs, checks=True)


def bounds(array: Array) -> tuple[int, int]:
    """The addresses of an array's first byte and of the byte after its last."""
    first = array.__array_interface__["data"][0]
    if not array.size:
        return first, first
    steps = [(n - 1) * step for n, step in zip(array.shape, array.strides)]
    return (
        first + sum(step for step in steps if step < 0),
        first + sum(step for step in steps if step > 0) + array.itemsize,
    )


class _Template:
    """An array of the same shape at another place."""

    __slots__ = ("first", "interface", "key", "number")

    def __init__(self, array: Array, number: int) -> None:
        self.number = number  # among the accesses of its step
        self.interface = array.__array_interface__
        self.key = (array.shape, array.strides, array.dtype.str, number)
        # negative strides: the first element is not the first byte
        self.first = self.interface["data"][0] - bounds(array)[0]

    def at(self, address: int) -> Array:
        """The array, its first byte lying there."""
        return np.asarray(_Memory({**self.interface, "data": (address + self.first, False)}))


class _Memory:
    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def _record(
    capture: Any,
    function: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    given: list[Array],
    made: list[Array],
    is_own: list[bool],
    written: Sequence[Array],
) -> None:
    own = [array for array, wanted in zip(made, is_own) if wanted]
    accesses: list[Any] = []
    templates: dict[int, _Template] = {}  # by the id of a given array
    for array in given:
        if id(array) not in templates:
            mode = "rw" if any(w is array for w in written) else "r"
            templates[id(array)] = _Template(array, len(accesses))
            accesses.append(capture.access_of(array, mode))
    results = [capture.own_array(array) for array in own]
    targets = [_Template(array, len(accesses) + i) for i, array in enumerate(own)]
    del own  # a program has memory of its own

    def without_memory(value: Any) -> Any:
        """The arguments with templates in the place of arrays, whose memory must not be kept alive."""
        return _mapped(value, lambda w: templates[id(w.value)], WatchedArray)

    args, kwargs = without_memory(args), without_memory(kwargs)

    def run(addresses: list[int]) -> None:
        def rebuilt(value: Any) -> Any:
            return _mapped(value, lambda t: t.at(addresses[t.number]), _Template)

        try:
            with np.errstate(all="ignore"):
                result = function(*rebuilt(args), **rebuilt(kwargs))
        except IndexError as error:
            if isinstance(error, TensorgradError):
                raise
            raise IndexOutOfRangeError(f"index: {error}") from None
        if targets:
            found: list[Array] = []
            _results_in(result, found)
            fresh = [value for value, wanted in zip(found, is_own, strict=True) if wanted]
            for template, value in zip(targets, fresh, strict=True):
                target = template.at(addresses[template.number])
                if target.shape != value.shape or target.dtype != value.dtype:
                    raise CaptureError(
                        f"compile: {name} gave shape {value.shape} where it gave {target.shape} when "
                        f"it was recorded: a result's shape must not depend on values"
                    )
                np.copyto(target, value)

    capture.call(name, run, accesses, results, key=(name, _plain_key(args), _plain_key(kwargs)))


def _mapped(value: Any, change: Callable[[Any], Any], kind: type) -> Any:
    """Nested arguments, each of `kind` in them changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, (tuple, list)):
        parts = [_mapped(part, change, kind) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: _mapped(part, change, kind) for key, part in value.items()}
    return value


def _results_in(value: Any, found: list[Array]) -> None:
    if isinstance(value, np.generic):
        found.append(np.asarray(value))
    elif isinstance(value, np.ndarray):
        found.append(value)
    elif isinstance(value, (tuple, list)):
        for part in value:
            _results_in(part, found)


def _plain_key(value: Any) -> Any:
    """What of the arguments must be the same in another recording: all but the tensors' memory."""
    if isinstance(value, _Template):
        return value.key
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain_key, value))
    if isinstance(value, dict):
        return tuple((k, _plain_key(v)) for k, v in value.items())
    return (
        value
        if isinstance(value, (int, float, complex, str, bool, bytes, type(None)))
        else str(value)
    )


__all__ = ["WatchedArray", "bounds", "one_step"]
