"""The program's command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorgrad
from tensorgrad.demo._training import ACTIVATIONS, OPTIMIZERS

DEFAULT_PLOT = Path("digits.png")
PLOT_FORMATS = (".png", ".svg", ".pdf")

DESCRIPTION = """\
Train a multilayer perceptron on handwritten digits. Without options it uses the 1,797 digits that
come with tensorgrad: four fifths to learn from, one fifth to test on."""

EPILOG = """\
examples:
  python -m tensorgrad
  python -m tensorgrad --hidden 64 --activation tanh --epochs 60 --plot curves.svg
  python -m tensorgrad --data ~/mnist --batch-size 128 --epochs 10 --save weights.npz

The weights are NumPy arrays named as in the model's state dict:
  model.load_state_dict(dict(numpy.load("weights.npz")))

Exit status: 0 done, 1 an error, 2 wrong options, 130 interrupted (the weights so far are saved)."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; wrong ones end the program with status 2 and a sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m tensorgrad",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("data and network").add_argument
    add(
        "--data",
        default="digits",
        metavar="digits|DIR",
        help=(
            "the bundled digits, or a directory with MNIST's four IDX files, gzipped or not "
            "(default: digits)"
        ),
    )
    add(
        "--hidden",
        type=_whole(1),
        nargs="*",
        default=[256],
        metavar="N",
        help="sizes of the hidden layers; none gives a linear model (default: 256)",
    )
    add("--activation", choices=sorted(ACTIVATIONS), default="relu", help="(default: %(default)s)")

    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=_whole(1), default=30, metavar="N", help="(default: %(default)s)")
    add("--batch-size", type=_whole(1), default=32, metavar="N", help="(default: %(default)s)")
    add(
        "--optimizer",
        choices=sorted(OPTIMIZERS),
        default="sgd",
        help="adam and adamw want a smaller --lr, such as 0.001 (default: %(default)s)",
    )
    add("--eager", action="store_true", help="train without tensorgrad.compile: the same weights")
    add(
        "--lr",
        type=_number(above=0.0),
        default=0.1,
        metavar="X",
        help="learning rate (default: %(default)s)",
    )
    add(
        "--momentum",
        type=_number(least=0.0),
        default=0.9,
        metavar="X",
        help="of sgd (default: %(default)s)",
    )
    add(
        "--weight-decay",
        type=_number(least=0.0),
        default=1e-4,
        metavar="X",
        help="(default: %(default)s)",
    )
    add(
        "--label-smoothing",
        type=_number(least=0.0, most=1.0),
        default=0.1,
        metavar="X",
        help=(
            "keeps the network from being too sure; 0.1 of ten digits leaves a loss of at "
            "least 0.50 (default: 0.1)"
        ),
    )
    add(
        "--seed",
        type=_whole(0),
        default=0,
        metavar="N",
        help="same seed, same run (default: %(default)s)",
    )
    add("--threads", type=_whole(1), metavar="N", help="(default: as many as there are processors)")

    add = parser.add_argument_group("output").add_argument
    add("--save", type=Path, metavar="FILE", help="write the weights to FILE (NumPy's .npz)")
    add(
        "--plot",
        type=_plot_path,
        metavar="FILE",
        help=(
            "draw the curves and the worst mistakes to FILE, as .png, .svg or .pdf, or 'none' "
            "(default: digits.png)"
        ),
    )
    parser.add_argument(
        "--version", action="version", version=f"tensorgrad {tensorgrad.__version__}"
    )
    options = parser.parse_args(arguments)
    options.plot_asked = options.plot is not None
    if options.plot is None:
        options.plot = DEFAULT_PLOT
    return options


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, got {text!r}"
            )
        return value

    return convert


def _number(
    *, above: float | None = None, least: float = -math.inf, most: float = math.inf
) -> Callable[[str], float]:
    wanted = f"above {above:g}" if above is not None else f"of at least {least:g}"
    if most < math.inf:
        wanted += f" and at most {most:g}"

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (
            math.isfinite(value) and least <= value <= most and (above is None or value > above)
        ):
            raise argparse.ArgumentTypeError(f"expected a number {wanted}, got {text!r}")
        return value

    return convert


def _plot_path(text: str) -> Path | str:
    if text.lower() == "none":
        return "none"
    if Path(text).suffix.lower() not in PLOT_FORMATS:
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in {', '.join(PLOT_FORMATS)}, got {text!r}"
        )
    return Path(text)
