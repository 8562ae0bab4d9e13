"""The program, from its options to its exit status."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

import tensorgrad
from tensorgrad import nn
from tensorgrad.data._files import atomic_write
from tensorgrad.data.datasets import MNIST, Digits
from tensorgrad.demo import _options
from tensorgrad.demo._report import confusion_text
from tensorgrad.demo._training import Evaluation, History, Options, build_model, evaluate, train
from tensorgrad.errors import ArgumentError, DataError, TensorgradError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments (default: the command line's); return its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a path may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _run(_options.parse(arguments))
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone: there is nobody to tell
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (TensorgradError, OSError, MemoryError) as error:
        _complain(f"error: {error}")
        return 1


def _run(options: argparse.Namespace) -> int:
    plot = _prepare_plot(options)
    for option, path in (("--save", options.save), ("--plot", plot)):
        if path is not None:
            _check_writable(option, path)
    if plot is not None and plot == options.save:
        raise ArgumentError(f"--save {plot}: the picture goes there; choose another place for one")
    train_set, test_set = _load(options.data)
    if options.threads is not None:
        tensorgrad.set_num_threads(options.threads)
    tensorgrad.manual_seed(options.seed)
    height, width = train_set.images.shape[2:]
    classes = 1 + int(max(train_set.labels.numpy().max(), test_set.labels.numpy().max()))
    model = build_model(height * width, options.hidden, classes, options.activation)
    layers = "-".join(str(size) for size in (height * width, *options.hidden, classes))
    count = sum(parameter.size for parameter in model.parameters())
    threads = tensorgrad.get_num_threads()
    _say(
        f"data      {len(train_set):,} training and {len(test_set):,} test images, {height}x{width}"
    )
    _say(f"network   {layers}, {options.activation}: {count:,} parameters")
    _say(f"training  {options.epochs} epochs, {threads} threads, seed {options.seed}\n")

    criterion = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
    history = History()
    status = 0
    try:
        train(model, train_set, test_set, criterion, cast(Options, options), history, _say)
    except KeyboardInterrupt:
        _say(f"interrupted after {len(history.train_loss)} of {options.epochs} epochs")
        status = INTERRUPTED
    if options.save is not None:
        _save(model, options.save)
    evaluation = evaluate(model, test_set, criterion)
    _summarise(history, evaluation)
    if plot is not None:
        from tensorgrad.demo._plot import draw

        name = "Digits" if options.data == "digits" else Path(options.data).resolve().name
        recognised = f"{100 * evaluation.accuracy:.1f} % of the test images recognised"
        images = test_set.images.numpy()[:, 0]
        draw(plot, f"{name}, {layers}: {recognised}", history, evaluation, images)
        _say(f"\ncurves and worst mistakes drawn to {plot}")
    return status


def _load(data: str) -> tuple[Digits | MNIST, Digits | MNIST]:
    if data == "digits":
        return Digits(train=True), Digits(train=False)
    root = Path(data).expanduser()
    if not root.is_dir():
        raise DataError(
            f"--data {data}: expected 'digits' or a directory with MNIST's IDX files, found no "
            "directory"
        )
    parts = MNIST(root, train=True), MNIST(root, train=False)
    learn, test = (part.images.shape for part in parts)
    if 0 in learn or 0 in test or learn[1:] != test[1:]:
        raise DataError(
            f"--data {data}: expected training and test images of one size, got {learn} and {test}"
        )
    return parts


def _prepare_plot(options: argparse.Namespace) -> Path | None:
    """Where to draw, or None; says so if there is nothing to draw with."""
    if options.plot == "none":
        return None
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError:
        hint = "pip install 'tensorgrad-c[plot]'"
        if options.plot_asked:
            raise ArgumentError(
                f"--plot {options.plot}: drawing needs matplotlib; install it with {hint}"
            ) from None
        _say(f"no picture will be drawn: matplotlib is not installed ({hint})\n")
        return None
    path: Path = options.plot
    return path


def _check_writable(option: str, path: Path) -> None:
    """Refuse an output path before hours of training are lost for it."""
    if path.is_dir():
        raise ArgumentError(f"{option} {path}: expected a file, found a directory")
    if not path.parent.is_dir():
        raise ArgumentError(f"{option} {path}: there is no directory {path.parent}")
    if path.exists() and not os.access(path, os.W_OK):
        raise ArgumentError(f"{option} {path}: the file exists and may not be written")
    try:
        tempfile.TemporaryFile(dir=os.path.realpath(path.parent)).close()
    except OSError as error:
        reason = error.strerror or error
        hint = (
            "; choose another place, or --plot none"
            if option == "--plot"
            else "; choose another place"
        )
        raise ArgumentError(
            f"{option} {path}: cannot write to {path.parent}: {reason}{hint}"
        ) from None


def _save(model: nn.Module, path: Path) -> None:
    with atomic_write(path) as file:
        weights: Any = {k: v.detach().numpy() for k, v in model.state_dict().items()}
        np.savez(file, **weights)
    _say(f"weights saved to {path}")


def _summarise(history: History, evaluation: Evaluation) -> None:
    rate = history.samples / max(history.seconds, 1e-9)
    _say(
        f"\ntrained for {history.seconds:.2f} s: {history.samples:,} samples, {rate:,.0f} samples/s"
    )
    _say(
        f"test accuracy {100 * evaluation.accuracy:.2f} % ({evaluation.correct:,} of "
        f"{len(evaluation.labels):,})\n"
    )
    _say(confusion_text(evaluation.confusion()))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"tensorgrad: {text}\n")
