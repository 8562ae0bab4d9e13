"""Writes tensorgrad/_tensor.pyi: what _tensor.py defines, and the methods that Tensor gets from the
op registry; and tensorgrad/ops/_lazy.py: where the names of the lazily imported families are.

    python scripts/make_stubs.py [--check]

With --check nothing is written, and the exit status is 1 if the file is out of date.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import tensorgrad
from tensorgrad import Tensor, ops
from tensorgrad.autograd import registry

FOLDER = Path(tensorgrad.__file__).parent
HEADER = '''"""Made by scripts/make_stubs.py from _tensor.py and the op registry; edit those."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tensorgrad._conversions import Conversions
from tensorgrad._native import BorrowedStorage, Storage
from tensorgrad.autograd._hooks import RemovableHandle
from tensorgrad.autograd._tape import Leaf, Node
from tensorgrad.shapes import Shape

'''


def stub_of(function: ast.FunctionDef, indent: str) -> str:
    """A function of the source without its body."""
    decorators = "".join(f"{indent}@{ast.unparse(d)}\n" for d in function.decorator_list)
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{decorators}{indent}def {function.name}({ast.unparse(function.args)}){returns}: ...\n"


class _Written(str):
    """An annotation that is printed without quotes."""

    def __repr__(self) -> str:
        return str(self)


def imports(methods: list[object]) -> str:
    """The imports of the types that the methods return, beside those of the header."""
    found: dict[str, str] = {}
    for method in methods:
        returned = getattr(method, "__annotations__", {}).get("return", "")
        for name in re.findall(r"[A-Z]\w+", str(returned)):
            if name not in ("Any", "Callable", "Iterator", "Sequence", "Shape", "Tensor"):
                found[name] = method.__module__
    return "".join(f"from {module} import {name}\n" for name, module in sorted(found.items()))


def method_stub(name: str, value: object) -> str:
    """A method that was put on the class, from its signature."""
    if isinstance(value, property):
        returns = inspect.signature(value.fget).return_annotation  # type: ignore[arg-type]
        return f"    @property\n    def {name}(self) -> {returns}: ...\n"
    signature = inspect.signature(value)  # type: ignore[arg-type]
    parameters = list(signature.parameters.values())
    parameters[0] = parameters[0].replace(name="self", annotation=inspect.Parameter.empty)
    parameters = [
        p if p.annotation is not p.empty or i == 0 else p.replace(annotation="Any")
        for i, p in enumerate(parameters)
    ]
    returns = (
        "Tensor" if signature.return_annotation is signature.empty else signature.return_annotation
    )
    parameters = [  # annotations as they were written, not as strings
        p if p.annotation is p.empty else p.replace(annotation=_Written(p.annotation))
        for p in parameters
    ]
    text = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    ignore = ""
    if name in ("__eq__", "__ne__"):
        ignore = "  # type: ignore[override]"
    elif re.fullmatch(
        r"__i(add|sub|mul|truediv|floordiv|mod|pow|and|or|xor|lshift|rshift|matmul)__", name
    ):
        ignore = "  # type: ignore[misc]"
    return f"    def {name}{text} -> {returns}: ...{ignore}\n"


def stubs() -> str:
    """The text of the stub file."""
    tree = ast.parse((FOLDER / "_tensor.py").read_text(encoding="utf-8"))
    text = HEADER.rstrip() + "\n" + imports([op.function for op in registry.values()]) + "\n"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            text += stub_of(node, "") + "\n"
        elif isinstance(node, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            text += f"class {node.name}({bases}):\n" if bases else f"class {node.name}:\n"
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
            text += "    def __hash__(self) -> int: ...\n\n"
    return text


def lazy_tables() -> str:
    """The text of ops/_lazy.py."""
    names: dict[str, str] = {}
    for module in ops.LAZY_MODULES:
        names |= dict.fromkeys(import_module(module).__all__, module)
    methods = {
        method: op.function.__module__
        for op in registry.values()
        for method in op.methods
        if op.function.__module__ in ops.LAZY_MODULES
    }
    text = (
        '"""Made by scripts/make_stubs.py: where the names of ops.LAZY_MODULES, and Tensor\'s methods, '
        'are."""\n'
    )
    for title, table in (("NAMES", names), ("METHODS", methods)):
        rows = "".join(f'    "{name}": "{table[name]}",\n' for name in sorted(table))
        text += f"\n{title}: dict[str, str] = {{{chr(10) + rows if rows else ''}}}\n"
    return text


def main() -> int:
    ops.load_all()
    for method in registry.values():
        for name in method.methods:
            getattr(Tensor, name)
    texts = {FOLDER / "_tensor.pyi": stubs(), FOLDER / "ops" / "_lazy.py": lazy_tables()}
    if "--check" not in sys.argv:
        for target, text in texts.items():
            target.write_text(text, encoding="utf-8")
        return 0
    stale = [
        target
        for target, text in texts.items()
        if not target.exists() or target.read_text(encoding="utf-8") != text
    ]
    for target in stale:
        print(f"{target} is out of date: run python scripts/make_stubs.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
