"""Writes docs/ops.md: every op of the registry, what it takes, whether it can be differentiated, where
it computes and how it is tested.

    python scripts/make_ops_table.py [--check]

The dtypes are tried out: an op takes a dtype if it computes its first case with it. With --check
nothing is written, and the exit status is 1 if the file is out of date.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad.autograd import Op, registry
from tensorgrad.errors import TensorgradError
from tensorgrad.testing import sample_inputs
from tensorgrad.testing._checks import all_cases

TARGET = Path(__file__).parents[1] / "docs" / "ops.md"
HEADER = """# Ops

Every op of the registry, by module. Made by `scripts/make_ops_table.py`.

- **dtypes**: f float32 and float64; i signed and u unsigned integers; b bool; c complex64 and complex128. Tried out: an
  op takes a dtype if it computes its first case with it.
- **gradient**: how often it can be differentiated, as its tests do it: not at all, once, or twice (which is: as often
  as you like, since the gradients are ops).
- **kernel**: what computes floats: our C library, NumPy, or other ops (then those say).
- **tests**: the number of cases, each of which goes through every check of `tensorgrad.testing.check_op`: the reference
  in float64 and float32, gradients against central differences, memory layouts, shared memory, several threads.

"""
KINDS = {"f": np.float64, "i": np.int64, "u": np.uint8, "b": np.bool_, "c": np.complex128}


def takes(op: Op, dtype: Any) -> bool:
    """Whether the op computes its first case with its random inputs in `dtype`."""
    case = op.cases[0]
    inputs = []
    for given, array in zip(case.inputs, sample_inputs(case), strict=True):
        if isinstance(given, list):
            inputs.append([tensorgrad.tensor(a.astype(dtype)) for a in array])  # type: ignore[union-attr]
        elif array is None:
            inputs.append(None)
        else:
            inputs.append(
                tensorgrad.tensor(array.astype(dtype) if isinstance(given, tuple) else array)
            )
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            op.function(*inputs, **case.params)
    except (TensorgradError, ArithmeticError, LookupError, TypeError, ValueError):
        return False
    return True


def row(op: Op) -> str:
    """The op's line of the table."""
    varied = any(isinstance(given, (tuple, list)) for given in op.cases[0].inputs)
    dtypes = "".join(kind for kind, dtype in KINDS.items() if takes(op, dtype)) if varied else "–"
    gradient = "twice" if op.second else "once" if op.differentiable else "–"
    kernel = "ops" if op.family == "composite" else op.kernel
    methods = ", ".join(f"`{m}`" for m in op.methods if not m.startswith("__"))
    summary = " ".join((op.function.__doc__ or "").split()).split(". ")[0].rstrip(".")
    summary = summary if len(summary) < 90 else summary[:87].rsplit(" ", 1)[0] + " …"
    name = f"`{op.name}`" + (f" ({methods})" if methods and methods != f"`{op.name}`" else "")
    return (
        f"| {name} | {summary.replace('|', chr(92) + '|')} | {dtypes} | {gradient} | {kernel} | "
        f"{len(all_cases(op))} |"
    )


def document() -> str:
    """The text of docs/ops.md."""
    tensorgrad.ops.load_all()
    modules: dict[str, list[Op]] = defaultdict(list)
    for op in registry.values():
        modules[op.function.__module__.removeprefix("tensorgrad.")].append(op)
    count = len(registry)
    once = sum(op.differentiable for op in registry.values())
    twice = sum(op.second for op in registry.values())
    tests = sum(len(all_cases(op)) for op in registry.values())
    text = HEADER
    text += f"{count} ops, {once} of them differentiable and {twice} twice; {tests} cases.\n"
    for module, ops in sorted(modules.items()):
        text += f"\n## {module}\n\n| op (methods of Tensor) | what it is | dtypes | gradient | kernel | tests |\n"
        text += "|---|---|---|---|---|---|\n"
        text += "".join(row(op) + "\n" for op in sorted(ops, key=lambda op: op.name))
    return text


def main() -> int:
    text = document()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET} is out of date: run python scripts/make_ops_table.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
