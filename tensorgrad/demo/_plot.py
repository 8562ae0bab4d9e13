"""The program's picture: loss and accuracy, and the worst mistakes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tensorgrad.data._files import atomic_write
from tensorgrad.demo._training import Evaluation, History

COLUMNS, ROWS = 6, 2
TRAIN_COLOUR, TEST_COLOUR, TEXT_COLOUR, GRID_COLOUR = "#7a8aa0", "#b5482f", "#333333", "#e4e4e4"
STYLE = {
    "font.size": 10,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": TEXT_COLOUR,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": TEXT_COLOUR,
    "xtick.color": TEXT_COLOUR,
    "ytick.color": TEXT_COLOUR,
    "svg.hashsalt": "tensorgrad",  # the same picture gives the same file
}


def draw(
    path: str | os.PathLike[str],
    title: str,
    history: History,
    evaluation: Evaluation,
    images: np.ndarray[Any, Any],
) -> None:
    """Write the picture, in the format of its name. images: (N, H, W), those evaluated."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mistakes = evaluation.worst_mistakes(COLUMNS * ROWS)
    rows = max(1, -(-len(mistakes) // COLUMNS))
    style: Any = STYLE
    with mpl.rc_context(style):
        figure: Any = Figure(figsize=(9, 3.6 + 1.75 * rows), dpi=150, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # inches
        figure.suptitle(title, fontsize=12, fontweight="bold")
        curves, grid = figure.subfigures(2, 1, height_ratios=[3.0, 0.5 + 1.75 * rows])
        loss_axes, accuracy_axes = curves.subplots(1, 2)
        _draw_loss(loss_axes, history)
        _draw_accuracy(accuracy_axes, history)
        _draw_mistakes(grid, rows, mistakes, evaluation, images)
        with atomic_write(path) as file:
            figure.savefig(file, format=Path(path).suffix[1:].lower())


def _draw_loss(axes: Any, history: History) -> None:
    epochs = range(1, len(history.train_loss) + 1)
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, history.train_loss, color=TRAIN_COLOUR, marker=marker, label="training")
    axes.plot(epochs, history.test_loss, color=TEST_COLOUR, marker=marker, label="test")
    axes.set_title("Loss (cross-entropy)", loc="left")
    axes.legend(frameon=False)
    _finish(axes)


def _draw_accuracy(axes: Any, history: History) -> None:
    percent = [100 * accuracy for accuracy in history.test_accuracy]
    epochs = range(1, len(percent) + 1)
    axes.plot(epochs, percent, color=TEST_COLOUR)
    axes.plot(epochs[-1:], percent[-1:], color=TEST_COLOUR, marker="o", markersize=5)
    final = f", {percent[-1]:.1f} at the end" if percent else ""
    axes.set_title(f"Test accuracy in %{final}", loc="left")
    _finish(axes)


def _finish(axes: Any) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=GRID_COLOUR, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_mistakes(
    figure: Any,
    rows: int,
    mistakes: np.ndarray[Any, Any],
    evaluation: Evaluation,
    images: np.ndarray[Any, Any],
) -> None:
    wrong = len(evaluation.labels) - evaluation.correct
    shown = "" if wrong == len(mistakes) else f", the {len(mistakes)} surest"
    plural = "mistake" if wrong == 1 else "mistakes"
    figure.suptitle(
        f"{wrong} {plural} among {len(evaluation.labels):,} test images{shown}",
        fontsize=11,
        x=0.012,
        ha="left",
    )
    predicted = evaluation.predicted
    for axes, index in zip(
        figure.subplots(rows, COLUMNS).flat, [*mistakes, *[None] * (rows * COLUMNS)], strict=False
    ):
        if index is None:
            axes.axis("off")
            continue
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=GRID_COLOUR)
        axes.imshow(images[index], cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
        probability = evaluation.probabilities[index, predicted[index]]
        axes.set_title(
            f"{evaluation.labels[index]} taken for {predicted[index]}\n{100 * probability:.0f} % sure",
            fontsize=9,
        )
