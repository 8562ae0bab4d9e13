"""The program: trains, reports, saves; and says in one sentence what is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import tensorgrad
from tensorgrad.data import write_idx
from tensorgrad.data.datasets import Digits
from tensorgrad.demo import main
from tensorgrad.demo._training import Evaluation, build_model


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


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [("sgd", ()), ("adam", ("--lr", "0.001")), ("adamw", ("--lr", "0.001"))],
)
def test_the_same_weights_with_and_without_compile(tmp_path, capsys, optimizer, options):
    saved = []
    for mode in ((), ("--eager",)):
        path = tmp_path / f"weights{len(saved)}.npz"
        given = ("--optimizer", optimizer, *options, "--epochs", "3", "--plot", "none")
        assert main([*given, *mode, "--save", str(path)]) == 0
        with np.load(path, allow_pickle=False) as arrays:
            saved.append({name: arrays[name] for name in arrays})
    assert saved[0].keys() == saved[1].keys()
    for name, array in saved[0].items():
        np.testing.assert_array_equal(array, saved[1][name])


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
        (["--momentum", "nan"], "momentum"),
        (["--hidden", "12.5"], "hidden"),
        (["--threads", "100000"], "256"),
        (["--plot", "curves.gif"], "curves.gif"),
        (["--save", "same.png", "--plot", "same.png"], "same.png"),
    ],
)
def test_what_is_wrong_is_said_before_training(options, words):
    result = run("--plot", "none", *options)
    assert result.returncode != 0
    assert words in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert "epoch 1" not in result.stdout


# a shell without job control starts what it runs in the background with SIGINT ignored, and Python
# then takes no notice of it; this test is about a program that a terminal can interrupt
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("tensorgrad", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_ends_cleanly_and_saves(tmp_path):
    weights = tmp_path / "weights.npz"
    options = ["--epochs", "100000", "--plot", "none", "--save", str(weights)]
    with subprocess.Popen(
        [sys.executable, "-u", "-c", INTERRUPTIBLE, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            for line in process.stdout:
                if re.match(r"epoch\s+2/", line):
                    break
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert weights.exists()
    assert "test accuracy" in output


def test_the_saved_weights_are_those_of_the_model(tmp_path, capsys):
    weights = tmp_path / "weights.npz"
    options = ["--epochs", "2", "--hidden", "16", "--plot", "none", "--save", str(weights)]
    assert main(options) == 0
    output = capsys.readouterr().out
    assert f"weights saved to {weights}" in output
    model = build_model(64, [16], 10, "relu")
    with np.load(weights, allow_pickle=False) as arrays:
        model.load_state_dict({name: tensorgrad.tensor(array) for name, array in arrays.items()})
    test_set = Digits(train=False)
    with tensorgrad.no_grad():
        predicted = model(test_set.images).numpy().argmax(axis=1)
    assert accuracy(output) == round(100 * np.mean(predicted == test_set.labels.numpy()), 2)


def test_a_loss_that_is_not_finite_ends_the_training(capsys):
    assert main(["--lr", "1e30", "--plot", "none", "--epochs", "5"]) == 1
    captured = capsys.readouterr()
    assert re.fullmatch(
        r"tensorgrad: error: the loss became (nan|inf) in epoch \d/5: .*smaller --lr\n",
        captured.err,
    )
    assert "test accuracy 9" not in captured.out


@pytest.fixture
def no_matplotlib(monkeypatch):
    """As if matplotlib were not installed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def test_without_matplotlib_it_trains_and_says_how_to_get_it(no_matplotlib, capsys, tmp_path):
    assert main(["--epochs", "1"]) == 0
    output = capsys.readouterr().out
    assert "tensorgrad-c[plot]" in output
    assert "test accuracy" in output
    plot = tmp_path / "asked.png"
    assert main(["--epochs", "1", "--plot", str(plot)]) == 1
    captured = capsys.readouterr()
    assert "tensorgrad-c[plot]" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_other_formats_are_drawn(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    plot = tmp_path / f"digits{suffix}"
    assert main(["--epochs", "1", "--plot", str(plot)]) == 0
    assert plot.read_bytes()[:5] == (b"<?xml" if suffix == ".svg" else b"%PDF-")
    assert [entry.name for entry in tmp_path.iterdir()] == [plot.name]


def test_a_damaged_data_file_is_named(tmp_path, capsys):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"not IDX")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"")
    assert main(["--data", str(tmp_path), "--plot", "none"]) == 1
    assert "train-images-idx3-ubyte: not an IDX file" in capsys.readouterr().err


def test_the_picture_of_no_mistakes_and_of_no_epoch(tmp_path):
    pytest.importorskip("matplotlib")
    from tensorgrad.demo._plot import draw
    from tensorgrad.demo._training import History

    perfect = Evaluation(0.0, np.arange(3), np.eye(3, dtype=np.float32))
    draw(tmp_path / "x.png", "title", History(), perfect, np.zeros((3, 4, 4), np.float32))
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_an_evaluation_counts_and_ranks():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]], np.float32)
    evaluation = Evaluation(0.5, np.array([0, 1, 1, 1]), probabilities)
    assert evaluation.correct == 2
    assert evaluation.accuracy == 0.5
    assert evaluation.confusion().tolist() == [[1, 0], [2, 1]]
    assert evaluation.worst_mistakes(12).tolist() == [2, 1]
    assert evaluation.worst_mistakes(1).tolist() == [2]


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "tensorgrad", "--epochs", "500", "--plot", "none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert errors == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_a_terminal_sees_a_bar():
    reader, terminal = os.openpty()
    command = [sys.executable, "-m", "tensorgrad", "--epochs", "3", "--plot", "none"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env=environment)
    output = process.communicate(timeout=60)[0].decode()
    os.close(terminal)
    bar = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert process.returncode == 0
    assert "\x1b" not in output
    assert re.search(r"epoch 1/3 \|.*\| +\d+%  loss \d.\d+  [\d,]+ samples/s  \d+:\d\d left", bar)
    assert bar.endswith("\r\x1b[2K")
