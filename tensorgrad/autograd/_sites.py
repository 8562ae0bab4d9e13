"""Where in the user's code things happened: noted while `tracing` is on, for messages and drawings."""

from __future__ import annotations

import os
import sys
import threading
from linecache import getline
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from tensorgrad.autograd import _tape
from tensorgrad.autograd._modes import mode, tracers
from tensorgrad.autograd._tape import watchers

_PACKAGE = str(Path(__file__).parent.parent) + os.sep


class Site:
    """A line of the user's code, and the module in whose forward it was reached ("" for none)."""

    __slots__ = ("file", "line", "module")

    def __init__(self) -> None:
        frame: Any = sys._getframe(1)
        while frame.f_back is not None and is_ours(frame):
            frame = frame.f_back
        self.file, self.line = frame.f_code.co_filename, frame.f_lineno
        self.module = mode.modules[-1][0] if mode.modules else ""

    def __str__(self) -> str:
        text = getline(self.file, self.line).strip()
        place = f"{self.file}:{self.line}" + (f": {text}" if text else "")
        return f"in {self.module}, at {place}" if self.module else f"at {place}"


def is_ours(frame: Any) -> bool:
    """Whether a frame runs code of this package, or an op's generated code."""
    name: str = frame.f_code.co_filename
    return name.startswith((_PACKAGE, "<op "))


class _Writer(str):
    """The name of the operation that wrote in place, and where."""

    site: str


def _writer(where: str) -> str:
    writer = _Writer(where)
    writer.site = str(Site())
    return writer


sites: WeakKeyDictionary[Any, Site] = WeakKeyDictionary()


def site_of(node: Any) -> str:
    """Where a node was recorded, as text; "" if that is not known."""
    site = sites.get(node)
    return "" if site is None else str(site)


def _note(output: Any) -> None:
    sites[output._node] = Site()


_tape.site_of = site_of
_lock = threading.Lock()
_depth = 0


def start_tracing() -> None:
    """Notes sites from now on, in every thread, until `stop_tracing` was called as often."""
    global _depth
    with _lock:
        _depth += 1
        if _depth == 1:
            watchers.insert(0, _note)
            _tape.writer_of = _writer
            for tracer in tracers:
                tracer(True)


def stop_tracing() -> None:
    """Takes back one `start_tracing`."""
    global _depth
    with _lock:
        _depth -= 1
        if not _depth:
            watchers.remove(_note)
            _tape.writer_of = None
            for tracer in tracers:
                tracer(False)
