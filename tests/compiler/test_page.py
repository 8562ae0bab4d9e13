"""docs/compile.md shows what functions and errors really say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tensorgrad.compiler._passes import PASSES

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import make_compile_page

    return make_compile_page


def test_the_page_shows_every_pass(script):
    text = script.PAGE.read_text(encoding="utf-8")
    shown = {what for _, _, what, _ in script._BLOCK.findall(text)}
    assert shown >= {*PASSES, "recorded", "profile", "functions"}


def test_the_page_is_up_to_date(script):
    """What does not depend on the machine: the passes look at its caches."""
    text = script.PAGE.read_text(encoding="utf-8")
    examples = dict(script._EXAMPLE.findall(text))
    for file, what in (("refused", "functions"), ("train", "recorded"), ("chain", "recorded")):
        assert f"\n{script.block(examples, file, what)}\n" in text, (
            "run scripts/make_compile_page.py"
        )


def test_every_block_can_be_made(script):
    text = script.PAGE.read_text(encoding="utf-8")
    examples = dict(script._EXAMPLE.findall(text))
    for _, file, what, _ in script._BLOCK.findall(text):
        assert script.block(examples, file, what).startswith("```text\n")
