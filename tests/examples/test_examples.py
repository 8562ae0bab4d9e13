"""Every example is a program that runs, and checks itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = sorted((ROOT / "examples" / "custom_ops").glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("examples")
    made.chmod(0o700)
    return made


def run(folder: Path, *command: str) -> None:
    environment = {**os.environ, "TENSORGRAD_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_example(program: Path, folder: Path) -> None:
    run(folder, str(program))


def test_picture(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    run(folder, str(ROOT / "examples" / "custom_ops" / "laplacian.py"), "picture.png")
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_all_are_there() -> None:
    assert {path.stem[:6] for path in PROGRAMS} >= {f"depth{n}" for n in range(1, 6)}
    assert {"attention", "bias_gelu_dropout", "laplacian", "segment"} <= {p.stem for p in PROGRAMS}
