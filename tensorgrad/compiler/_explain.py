"""What a program is made of, as a table and as a drawing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tensorgrad.compiler._costs import cost, moved_bytes
from tensorgrad.compiler._profile import Profile


class Step(NamedTuple):
    """A step of a program. nbytes: read and written. note: what the optimizer did to it. site: the line
    of your code that it comes from. seconds, fraction (of the machine's limit): once it was profiled."""

    kernel: str
    shapes: str
    nbytes: int
    flops: int
    note: str
    site: str
    in_python: bool
    seconds: float | None = None
    fraction: float | None = None


class Explanation:
    """A program in words and numbers; str() gives the table.

    steps: a list of Step. arena: bytes of the program's own memory; bound: what is in use at the fullest
    moment, so that no plan can do with less; separate: what it would be if no buffer took another's
    place. guards: what is looked at before each run, and how many of it. recorded: how many calls the
    function made, before the passes. whole: seconds of a run in one call, once it was profiled."""

    def __init__(self, name: str, replay: Any) -> None:
        program = replay.program
        times: Profile | None = replay.profile
        self.name = name
        self.steps = [_step(record, times, i) for i, record in enumerate(program.records)]
        self.recorded = len(replay.recorded)
        self.passes: tuple[str, ...] = replay.names
        self.arena: int = program.plan.nbytes
        self.bound: int = program.plan.bound
        self.separate: int = program.plan.separate
        self.guards = _guarded(replay)
        self.whole = None if times is None else times.whole

    @property
    def in_python(self) -> list[int]:
        """The numbers of the steps that are functions in Python: slower than kernels."""
        return [i for i, step in enumerate(self.steps) if step.in_python]

    def __str__(self) -> str:
        steps = f"{len(self.steps)} step{'s' * (len(self.steps) != 1)}"
        title = f"{self.name}: {steps}, of {self.recorded} recorded calls; passes: "
        title += ", ".join(self.passes) or "none"
        return "\n".join([title, "", *self._table(), "", *self._footer()])

    __repr__ = __str__

    def _table(self) -> list[str]:
        timed = self.whole is not None
        header = ["", "kernel", "shapes", "bytes", "FLOPs"]
        header += ["time", "of limit"] * timed + ["note", "line"]
        lines = [header]
        for i, s in enumerate(self.steps):
            times = [_time(s.seconds), "" if s.fraction is None else f"{s.fraction:.0%}"]
            lines.append(
                [str(i), s.kernel, s.shapes, _short(s.nbytes).strip(), _short(s.flops).strip()]
                + times * timed
                + [s.note, s.site]
            )
        nbytes, flops = sum(s.nbytes for s in self.steps), sum(s.flops for s in self.steps)
        total = sum(s.seconds or 0.0 for s in self.steps)
        lines.append(
            ["", "all", "", _short(nbytes).strip(), _short(flops).strip()]
            + [_time(total), ""] * timed
            + ["", ""]
        )
        if not any(s.note for s in self.steps):
            lines = [[*line[:-2], line[-1]] for line in lines]
        return _aligned(lines, left={"kernel", "shapes", "note", "line"})

    def _footer(self) -> list[str]:
        lines = [
            f"memory: {_short(self.arena)}B in one arena; {_short(self.bound)}B are in use at the "
            f"fullest moment; {_short(self.separate)}B if no buffer took another's place"
        ]
        if self.in_python:
            numbers = ", ".join(map(str, self.in_python))
            lines.append(f"in Python, which is slower: {numbers}")
        counts = [f"{n} {what}{'s' * (n != 1)}" for what, n in self.guards.items() if n]
        lines.append(f"guarded: {', '.join(counts) or 'nothing'}")
        if self.whole is not None:
            lines.append(f"a run in one call: {_time(self.whole)}")
        return lines


def _step(record: Any, times: Profile | None, i: int) -> Step:
    what = cost(record)
    return Step(
        what.kernel,
        what.shapes,
        moved_bytes(record),
        what.flops,
        record.note,
        record.site,
        record.callback is not None,
        None if times is None else times.seconds[i],
        None if times is None else times.fractions[i],
    )


def _guarded(replay: Any) -> dict[str, int]:
    """What is looked at before each run, and how many of it."""
    guards = replay.guards
    return {
        "argument": len(replay.signature.tensors),
        "tensor": len(guards.tensors),
        "value": len(guards.places) + len(guards.module_places),
        "length": len(guards.lengths),
        "gradient": len(replay.signature.gradients),
    }


# ---- text ----------------------------------------------------------------------------------------


def _short(n: float) -> str:
    """A number to three digits: 1.23 k, 45.6 M."""
    for unit in ("", "k", "M", "G"):
        if n < 999.5:
            return f"{n:.3g} {unit}" if unit else f"{n:.0f} "
        n /= 1000
    return f"{n:.3g} T"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e6:.3g} µs" if seconds < 999.5e-6 else f"{seconds * 1e3:.4g} ms"


def _aligned(lines: Sequence[Sequence[str]], left: Iterable[str]) -> list[str]:
    """Lines of cells as text, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    to_left = [title in left for title in lines[0]]
    return [
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(line, widths, to_left)
        ).rstrip()
        for line in lines
    ]


# ---- drawing -------------------------------------------------------------------------------------


def _quoted(*lines: str) -> str:
    return "\\n".join(s.replace("\\", "\\\\").replace('"', '\\"') for s in lines if s)


def dot(replay: Any) -> str:
    """A program as DOT text: a box for each step, an ellipse for each buffer, dashed if it is the
    program's own; arrows from what a step reads and to what it writes."""
    program = replay.program
    names = {id(held.tensor._storage): held.name for held in replay.guards.tensors}
    number = {id(buffer): i for i, buffer in enumerate(program.buffers)}
    lines = ["digraph {", '  rankdir=TB; node [shape=box, fontname="monospace"];']
    for i, record in enumerate(program.records):
        what = cost(record)
        site = record.site.split(": ")[0]
        lines.append(f'  k{i} [label="{_quoted(what.kernel, what.shapes, record.note, site)}"];')
    for i, buffer in enumerate(program.buffers):
        style = ", style=dashed" if buffer.kind == "local" else ""
        name = names.get(id(buffer.owner), buffer.kind)
        lines.append(
            f'  b{i} [label="{_quoted(name, _short(buffer.nbytes) + "B")}", shape=ellipse{style}];'
        )
    for i, record in enumerate(program.records):
        read = {number[id(a.buffer)]: None for a in record.accesses if "r" in a.mode}
        written = {number[id(a.buffer)]: None for a in record.accesses if "w" in a.mode}
        lines += [f"  b{k} -> k{i};" for k in read]
        lines += [f"  k{i} -> b{k};" for k in written]
    return "\n".join([*lines, "}"])


__all__ = ["Explanation", "Step", "dot"]
