"""Whether operations are recorded: a switch of each thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import wraps
from types import TracebackType, coroutine
from typing import Any, TypeVar

from tensorgrad.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])


class _Mode(threading.local):
    enabled = True
    inference = False  # whether inside inference_mode, where nothing switches recording on

    def __init__(self) -> None:
        # (path, module) of those that are being called, while sites are traced
        self.modules: list[tuple[str, Any]] = []


mode = _Mode()

# streams of random numbers, with get_state and set_state, that a recomputation sets back
random_streams: list[Any] = []

# other states, with get_state and set_state, that a recomputation must find as they were
states: list[Any] = []

# told when sites begin to be traced (True), and end (False)
tracers: list[Callable[[bool], None]] = []


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread.

    >>> import tensorgrad
    >>> tensorgrad.is_grad_enabled()
    True
    """
    return mode.enabled


def _resumed(inner: Any, switch: Callable[[], Any]) -> Generator[Any, Any, Any]:
    """A generator that runs `inner`, a generator or coroutine, with the mode held at each step and
    set back between them."""
    value: Any = None
    step = inner.send
    while True:
        try:
            with switch():
                yielded = step(value)
        except StopIteration as end:
            return end.value
        try:
            value = yield yielded
            step = inner.send
        except GeneratorExit:
            with switch():
                inner.close()
            raise
        except BaseException as error:  # noqa: BLE001  (it is the generator's business)
            value, step = error, inner.throw


_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # of a code object's flags


def _held(function: Any, switch: Callable[[], Any]) -> Any:
    """`function` with the mode held while it runs. Raises ArgumentError for what it cannot hold it
    for."""
    if isinstance(function, type) or not callable(function):
        raise ArgumentError(
            f"{switch.__name__}: expected a function to decorate, got {function!r}; decorate a "
            "class's methods one by one"
        )
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    if flags & _ASYNC_GENERATOR:
        raise ArgumentError(
            f"{switch.__name__}: cannot decorate the asynchronous generator {function.__name__}; "
            f"use `with` inside it, around what does not wait"
        )
    if flags & _GENERATOR:

        @wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            return (yield from _resumed(function(*args, **kwargs), switch))

        return generator
    if flags & _COROUTINE:
        resumed: Any = coroutine(_resumed)

        @wraps(function)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            return await resumed(function(*args, **kwargs), switch)

        return asynchronous

    @wraps(function)
    def held(*args: Any, **kwargs: Any) -> Any:
        with switch():
            return function(*args, **kwargs)

    return held


class set_grad_enabled:
    """Switches recording on or off: at once when called, and back at the end when used as a context
    manager. As a decorator it holds the mode while the function runs, and no longer.

    >>> import tensorgrad
    >>> with tensorgrad.set_grad_enabled(False):
    ...     tensorgrad.is_grad_enabled()
    False
    """

    def __init__(self, enabled: bool) -> None:
        self._before = mode.enabled
        self._enabled = bool(enabled)
        mode.enabled = self._enabled and not mode.inference

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        mode.enabled = self._before

    def __call__(self, function: F) -> F:
        mode.enabled = self._before
        return _held(function, enable_grad if self._enabled else no_grad)


class _Switch:
    """A context manager and decorator that holds the mode at one value; may be nested and
    reused. It decorates functions, generators and coroutines; `@no_grad` does without the
    brackets."""

    enabled: bool

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else _held(function, cls)

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.enabled)
        mode.enabled = self.enabled and not mode.inference

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        mode.enabled = self._before.pop()

    def __call__(self, function: F) -> F:
        return _held(function, type(self))


class no_grad(_Switch):
    """Operations inside are not recorded. A context manager, and a decorator.

    >>> import tensorgrad
    >>> w = tensorgrad.ones(3, requires_grad=True)
    >>> with tensorgrad.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    enabled = False


class enable_grad(_Switch):
    """Operations inside are recorded, also within `no_grad`. A context manager, and a decorator.

    >>> import tensorgrad
    >>> w = tensorgrad.ones(3, requires_grad=True)
    >>> with tensorgrad.no_grad(), tensorgrad.enable_grad():
    ...     y = w * 2
    >>> y.requires_grad
    True
    """

    enabled = True


class recording:
    """Operations inside are recorded, whatever is on outside: for what is recorded to be used and
    dropped, as in a transformation."""

    def __enter__(self) -> None:
        self._before = mode.enabled, mode.inference
        mode.enabled, mode.inference = True, False

    def __exit__(self, *_: object) -> None:
        mode.enabled, mode.inference = self._before


class inference_mode:
    """Operations inside are not recorded, nor does `enable_grad` inside record them. A context
    manager, and a decorator, with or without brackets. inference_mode(False) does nothing.

    What PyTorch saves by it (version counters, views' bookkeeping) costs nothing here, so the
    tensors made inside are ordinary ones: outside they are constants, which operations that
    are recorded may read.

    >>> import tensorgrad
    >>> w = tensorgrad.ones(3, requires_grad=True)
    >>> with tensorgrad.inference_mode():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    def __new__(cls, mode: Any = True) -> Any:
        return _held(mode, cls) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self._on = bool(mode)
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((mode.enabled, mode.inference))
        if self._on:
            mode.enabled, mode.inference = False, True

    def __exit__(self, *_: object) -> None:
        mode.enabled, mode.inference = self._before.pop()

    def __call__(self, function: F) -> F:
        return _held(function, inference_mode) if self._on else function
