"""A progress bar: one line on a terminal, rewritten in place; nothing where the output is none."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TextIO

BAR_WIDTH = 24
REDRAW_SECONDS = 0.1


def is_terminal(stream: TextIO) -> bool:
    """Whether a line on `stream` can be rewritten in place."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def format_rate(rate: float, unit: str) -> str:
    """`812,345 samples/s`, or `3.2 MB/s` for bytes."""
    return f"{rate / 1e6:,.1f} MB/s" if unit == "B" else f"{rate:,.0f} {unit}/s"


def format_seconds(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


class Progress:
    """How much of `total` is done, how fast, and how long the rest will take.

    `advance` says when the line is due to be drawn again (ten times a second), so that the text
    beside the bar need not be formatted at every step:

        with Progress(total=60_000, unit="samples") as bar:
            for batch in loader:
                if bar.advance(len(batch)):
                    bar.draw("epoch 1/10", "loss 0.1234")
    """

    def __init__(self, total: int, unit: str, stream: TextIO | None = None) -> None:
        self.total, self.unit = total, unit
        self.stream = sys.stderr if stream is None else stream
        self.enabled = is_terminal(self.stream)
        self.done = 0
        self._start = time.perf_counter()
        self._due = self._start
        self._drawn = False
        try:
            "━".encode(self.stream.encoding or "ascii")
            self._full, self._empty = "━", " "
        except UnicodeEncodeError:
            self._full, self._empty = "#", "."

    def advance(self, count: int) -> bool:
        """Add `count` to what is done. True if the line should now be drawn."""
        self.done += count
        return self.enabled and time.perf_counter() >= self._due

    def draw(self, label: str, detail: str = "") -> None:
        """Rewrite the line: label, bar, percentage, detail, rate, time left; cut to the width."""
        import shutil  # here, since it brings in every compression library

        now = time.perf_counter()
        rate = self.done / max(now - self._start, 1e-9)
        fraction = min(self.done / max(self.total, 1), 1.0)
        bar = (self._full * round(BAR_WIDTH * fraction)).ljust(BAR_WIDTH, self._empty)
        left = (
            format_seconds((self.total - self.done) / rate)
            if 0 < self.done <= self.total
            else "-:--"
        )
        parts = [detail, format_rate(rate, self.unit), f"{left} left"]
        line = f"{label} |{bar}| {fraction:4.0%}  " + "  ".join(part for part in parts if part)
        self.stream.write("\r\x1b[2K" + line[: shutil.get_terminal_size().columns - 1])
        self.stream.flush()
        self._due, self._drawn = now + REDRAW_SECONDS, True

    def clear(self) -> None:
        """Take the line away, so that other text can be printed."""
        if self._drawn:
            self.stream.write("\r\x1b[2K")
            self.stream.flush()
            self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
