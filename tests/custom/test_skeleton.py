"""`python -m tensorgrad.ops new`: what it writes builds, and passes its own tests, as written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tensorgrad
from tensorgrad.ops.__main__ import main


@pytest.mark.parametrize("with_c", [False, True], ids=["python", "c"])
def test_the_package_passes_its_tests(folder: Path, with_c: bool) -> None:
    command = [sys.executable, "-m", "tensorgrad.ops", "new", "my_op", "--folder", str(folder)]
    printed = subprocess.run(
        [*command, *(["--c"] if with_c else [])], capture_output=True, text=True, check=True
    ).stdout
    assert "pip install --no-build-isolation -e ." in printed
    root = folder / "my_op"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(root), str(Path(tensorgrad.__file__).parents[1]))),
    }
    if with_c:
        build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(build, cwd=root, check=True, capture_output=True, env=environment)
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(tests, cwd=root, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My-Op", "expected a lower-case Python name"),
        ("class", "expected a lower-case Python name"),
        ("relu", "has an op 'relu' already"),
    ],
)
def test_names_that_cannot_be(
    name: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", name, "--folder", str(folder)]) == 2
    assert message in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "mine", "--folder", str(folder)]) == 0
    assert main(["new", "mine", "--folder", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "relu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    assert any(line.split() == ["relu", "unary", "C"] for line in lines)
