"""Every example that a reader may try is run: Python blocks of pages, examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tensorgrad
from tensorgrad.autograd import registry

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# ```python starts a block that is run; any other language, or none, is for reading only
PYTHON_BLOCK = re.compile(
    r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples write their files elsewhere, and the ops that they declare are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "custom_ops"))
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path) -> None:
    """A page's blocks run one after the other and share their names, as a reader types them."""
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in PYTHON_BLOCK.finditer(text):
        # empty lines in front make tracebacks show the page's own line numbers
        line = text.count("\n", 0, block.start("code"))
        source = "\n" * line + textwrap.dedent(block["code"])
        code = compile(source, str(page), "exec", dont_inherit=True)  # not this file's __future__
        exec(code, names)


def test_readme_has_examples() -> None:
    assert len(PYTHON_BLOCK.findall(PAGES[0].read_text(encoding="utf-8"))) >= 2


class Finder(doctest.DocTestFinder):
    """Also finds decorated functions, which doctest takes for the decorator's module's."""

    def _from_module(self, module: ModuleType | None, object: object) -> bool:
        if module is not None and inspect.isfunction(object):
            return object.__module__ == module.__name__
        return super()._from_module(module, object)  # type: ignore[misc]


def modules() -> list[ModuleType]:
    names = [info.name for info in pkgutil.walk_packages(tensorgrad.__path__, "tensorgrad.")]
    return [tensorgrad] + [
        importlib.import_module(n) for n in names if n.split(".")[-1] not in ("__main__", "_C")
    ]


EXAMPLES = [
    test
    for module in modules()
    for test in Finder(exclude_empty=True).find(module, globs={})
    if test.examples
]


def test_examples_of_ops_are_found() -> None:
    found = {example.docstring for example in EXAMPLES}
    docstrings = {name: op.function.__doc__ for name, op in registry.items()}
    assert not [name for name, text in docstrings.items() if ">>>" in text and text not in found]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_docstring(example: doctest.DocTest) -> None:
    """A docstring's example imports all that it uses."""
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    results = runner.run(example, out=report.append, clear_globs=False)
    assert not results.failed, "".join(report)


PUBLIC_MODULES = [
    module
    for module in modules()
    if not any(part.startswith("_") for part in module.__name__.split("."))
]


@pytest.mark.parametrize("module", PUBLIC_MODULES, ids=lambda module: module.__name__)
def test_public_names_are_documented(module: ModuleType) -> None:
    def is_ours(name: str) -> bool:
        value = getattr(module, name)
        return (
            inspect.isclass(value) or inspect.isfunction(value)
        ) and value.__module__.startswith("tensorgrad")

    public = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    assert module.__doc__
    # a class inherits its parent's __doc__ through inspect.getdoc, so its own is read
    undocumented = [name for name in public if is_ours(name) and not getattr(module, name).__doc__]
    assert not undocumented
