"""Writes tensorgrad/_tensor.pyi: what _tensor.py defines, and the methods that Tensor gets from the
op registry.

    python scripts/make_stubs.py [--check]

With --check nothing is written, and the exit status is 1 if the file is out of date.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import tensorgrad
from tensorgrad import Tensor

FOLDER = Path(tensorgrad.__file__).parent
HEADER = '''"""Made by scripts/make_stubs.py from _tensor.py and the op registry; edit those."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tensorgrad._native import BorrowedStorage, Storage
from tensorgrad.autograd._tape import Leaf, Node
from tensorgrad.ops.cumulative import CumulativeExtreme
from tensorgrad.ops.sets import UniqueAll, UniqueCounts, UniqueInverse
from tensorgrad.ops.sorting import Selection
from tensorgrad.shapes import Shape

'''


def stub_of(function: ast.FunctionDef, indent: str) -> str:
    """A function of the source without its body."""
    decorators = "".join(f"{indent}@{ast.unparse(d)}\n" for d in function.decorator_list)
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{decorators}{indent}def {function.name}({ast.unparse(function.args)}){returns}: ...\n"


class _Quoted:
    """A text as a default value: its quotes stay where those of annotations go."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f'"{self.text}"'


def method_stub(name: str, value: object) -> str:
    """A method that was put on the class, from its signature."""
    if isinstance(value, property):
        return f"    @property\n    def {name}(self) -> Tensor: ...\n"
    signature = inspect.signature(value)  # type: ignore[arg-type]
    parameters = list(signature.parameters.values())
    parameters[0] = parameters[0].replace(name="self", annotation=inspect.Parameter.empty)
    parameters = [
        p if p.annotation is not p.empty or i == 0 else p.replace(annotation="Any")
        for i, p in enumerate(parameters)
    ]
    parameters = [
        p.replace(default=_Quoted(p.default)) if isinstance(p.default, str) else p
        for p in parameters
    ]
    returns = (
        "Tensor" if signature.return_annotation is signature.empty else signature.return_annotation
    )
    text = str(
        signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    ).replace("'", "")
    ignore = ""
    if name in ("__eq__", "__ne__"):
        ignore = "  # type: ignore[override]"
    elif name in ("__iadd__", "__imul__", "__isub__", "__itruediv__"):
        ignore = "  # type: ignore[misc]"
    return f"    def {name}{text} -> {returns}: ...{ignore}\n"


def stubs() -> str:
    """The text of the stub file."""
    tree = ast.parse((FOLDER / "_tensor.py").read_text(encoding="utf-8"))
    text = HEADER
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            text += stub_of(node, "") + "\n"
        elif isinstance(node, ast.ClassDef):
            text += f"class {node.name}:\n"
            defined = set()
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    text += stub_of(item, "    ")
                    defined.add(item.name)
                elif isinstance(item, ast.AnnAssign):
                    text += f"    {ast.unparse(item)}\n"
                elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                    defined.add(item.targets[0].id)
            slots = set(Tensor.__slots__)
            for name, value in sorted(vars(Tensor).items()):
                if name not in defined | slots and (
                    inspect.isfunction(value) or isinstance(value, property)
                ):
                    text += method_stub(name, value)
            text += "    def __hash__(self) -> int: ...\n    __array_ufunc__: None\n\n"
    return text


def main() -> int:
    target = FOLDER / "_tensor.pyi"
    text = stubs()
    if "--check" in sys.argv:
        current = target.read_text(encoding="utf-8") if target.exists() else ""
        if current != text:
            print(f"{target} is out of date: run python scripts/make_stubs.py")
            return 1
        return 0
    target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
