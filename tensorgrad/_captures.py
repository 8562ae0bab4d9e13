"""Whether a function is being recorded (see tensorgrad.compile): what the layers below the compiler ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from typing import Any

# What records the kernel calls of a thread, by the thread's number; empty as a rule.
captures: dict[int, Any] = {}


def current_capture() -> Any:
    """What records this thread's kernel calls, or None."""
    return captures.get(get_ident()) if captures else None


class unrecorded:  # noqa: N801
    """A context for what is made once and kept, constants and an optimizer's state: a program that is
    being recorded finds it there and does not make it again."""

    __slots__ = ("_capture",)

    def __enter__(self) -> None:
        self._capture = current_capture()
        if self._capture is not None:
            self._capture.pause(True)

    def __exit__(self, *error: object) -> None:
        if self._capture is not None:
            self._capture.pause(False)


def one_step(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy arrays that a program has as one step, whatever it does inside. It writes to
    no argument; what it raises, a replay raises too."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        capture = current_capture()
        if capture is None:
            return function(*args, **kwargs)
        return capture.one_step(function, args, kwargs)

    return call


__all__ = ["captures", "current_capture", "one_step", "unrecorded"]
