"""The program: trains, reports, saves; and says in one sentence what is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tensorgrad.data import write_idx


def run(*options, **settings):
    command = [sys.executable, "-m", "tensorgrad", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)


def accuracy(output):
    return float(re.search(r"^test accuracy\s+([\d.]+)\s*%", output, re.MULTILINE).group(1))


def test_learns_the_digits_and_saves(tmp_path):
    weights, plot = tmp_path / "weights.npz", tmp_path / "digits.png"
    pytest.importorskip("matplotlib")
    result = run("--save", weights, "--plot", plot)
    assert result.returncode == 0, result.stderr
    assert accuracy(result.stdout) >= 97
    assert "true | predicted" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    with np.load(weights, allow_pickle=False) as arrays:
        assert {array.shape for array in arrays.values()} == {(256, 64), (256,), (10, 256), (10,)}


def test_the_same_seed_gives_the_same_run():
    first, second = (run("--epochs", 2, "--plot", "none", "--threads", n).stdout for n in (1, 2))
    lines = [
        [line for line in text.splitlines() if line.startswith("epoch")] for text in (first, second)
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2


def test_trains_on_idx_files(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 50)):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        images[np.arange(count), labels * 2] = 255  # one bright row tells the class
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    result = run("--data", tmp_path, "--epochs", 20, "--hidden", 32, "--plot", "none")
    assert result.returncode == 0, result.stderr
    assert accuracy(result.stdout) == 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--save", "/nowhere/at/all/weights.npz"], "/nowhere"),
        (["--data", "/nowhere"], "/nowhere"),
        (["--epochs", "0"], "epochs"),
        (["--lr", "-1"], "lr"),
    ],
)
def test_what_is_wrong_is_said_before_training(options, words):
    result = run("--plot", "none", *options)
    assert result.returncode != 0
    assert words in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert "epoch 1" not in result.stdout


def test_ctrl_c_ends_cleanly_and_saves(tmp_path):
    weights = tmp_path / "weights.npz"
    command = [
        sys.executable,
        "-m",
        "tensorgrad",
        "--epochs",
        "100000",
        "--plot",
        "none",
        "--save",
        str(weights),
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    for line in process.stdout:
        if re.match(r"epoch\s+2/", line):
            break
    time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert weights.exists()
    assert "test accuracy" in output
