"""Writes into docs/compile.md what explain() and refused functions really say.

    python scripts/make_compile_page.py

A block of the page between `<!-- begin FILE WHAT -->` and `<!-- end -->` is replaced. FILE names one of the page's
own examples, the Python block behind `<!-- FILE.py -->`, whose compiled function is `step` and whose arguments are
`batch`. WHAT is "recorded", the program without passes; the name of a pass, the program with all passes up to that
one; or "profile", with times. `<!-- begin refused functions -->` is for those of REFUSED.
"""

from __future__ import annotations

import linecache
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorgrad
from tensorgrad.compiler._passes import PASSES
from tensorgrad.errors import TensorgradError

PAGE = Path(__file__).parents[1] / "docs" / "compile.md"
_BLOCK = re.compile(r"(<!-- begin (\w+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_EXAMPLE = re.compile(r"<!-- (\w+)\.py -->\n```python\n(.*?)```", re.DOTALL)

# What is called as f(tensorgrad.ones(3)) until it is refused.
REFUSED = (
    """\
def f(x):
    return x / x.sum().item()
""",
    """\
def f(x):
    if x.sum() > 0:
        return x.exp()
    return x
""",
    """\
def f(x):
    return x[x > 0]
""",
    """\
calls = 0

def f(x):
    global calls
    calls += 1
    return x.exp()
""",
    """\
kept = []

def f(x):
    y = x.exp()
    kept.append(y)
    return y * 2
""",
    """\
slopes = iter([0.1, 0.2, 0.3, 0.4, 0.5])

def f(x):
    return x.leaky_relu(next(slopes))
""",
    """\
def f(x):
    return x.exp().numpy()
""",
    """\
w = tensorgrad.ones(3, requires_grad=True)

def f(x):
    return (w * x).sum()

f(tensorgrad.ones(3)).backward()  # of a compiled f
""",
)


def run(source: str, file: str, compiled: Callable[[Any], Any]) -> dict[str, Any]:
    """Runs source as if it were a file, with tensorgrad.compile replaced by `compiled`; returns its names."""
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope: dict[str, Any] = {"tensorgrad": tensorgrad, "__name__": "__main__"}
    original = tensorgrad.compile
    tensorgrad.compile = compiled
    try:
        exec(compile(source, file, "exec", dont_inherit=True), scope)
    finally:
        tensorgrad.compile = original
    return scope


def example(source: str, file: str, passes: tuple[str, ...]) -> tuple[Any, Any]:
    """The compiled function of an example, and its arguments."""
    make = tensorgrad.compile
    scope = run(source, file, lambda function: make(function, passes=passes))
    for _ in range(3):
        scope["step"](*scope["batch"])
    return scope["step"], scope["batch"]


def refusal(source: str) -> str:
    """The function, and the error that its calls end in."""
    shown, _, call = source.partition("\nf(")
    make = tensorgrad.compile
    try:
        f = make(run(shown, "f.py", make)["f"])
        for _ in range(5):
            result = f(tensorgrad.ones(3))
        if call:
            result.backward()
    except TensorgradError as error:
        return f"```text\n{source}\n{type(error).__name__}: {error}\n```\n"
    raise AssertionError(f"not refused:\n{source}")


def block(examples: dict[str, str], file: str, what: str) -> str:
    """What belongs into a block."""
    if file == "refused":
        return "\n".join(map(refusal, REFUSED))
    names = tuple(PASSES)
    passes = () if what == "recorded" else names if what == "profile" else upto(names, what)
    step, batch = example(examples[file], f"{file}.py", passes)
    text = step.profile(*batch, repeats=200) if what == "profile" else step.explain()
    return f"```text\n{text}\n```\n"


def upto(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The names as far as this one, with it."""
    return names[: names.index(name) + 1]


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    examples = dict(_EXAMPLE.findall(page))
    shown = {what for _, _, what, _ in _BLOCK.findall(page)}
    missing = [name for name in PASSES if name not in shown]
    if missing:
        print(f"{PAGE} has no block for {', '.join(missing)}")
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = _BLOCK.sub(lambda m: f"{m[1]}\n{block(examples, m[2], m[3])}\n{m[4]}", page)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
