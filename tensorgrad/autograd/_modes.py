"""Whether operations are recorded: a switch of each thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Mode(threading.local):
    enabled = True


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread.

    >>> import tensorgrad
    >>> tensorgrad.is_grad_enabled()
    True
    """
    return mode.enabled


class set_grad_enabled:
    """Switches recording on or off: at once when called, and back at the end when used as a context
    manager.

    >>> import tensorgrad
    >>> with tensorgrad.set_grad_enabled(False):
    ...     tensorgrad.is_grad_enabled()
    False
    """

    def __init__(self, enabled: bool) -> None:
        self._before = mode.enabled
        mode.enabled = bool(enabled)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        mode.enabled = self._before


class _Switch:
    """A context manager and decorator that holds the mode at one value; may be nested and
    reused."""

    enabled: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        mode.enabled = self._before.pop()

    def __call__(self, function: F) -> F:
        switch = type(self)

        @wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with switch():
                return function(*args, **kwargs)

        return switched  # type: ignore[return-value]


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
