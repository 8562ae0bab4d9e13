"""The training loop and the measuring of what was learned."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import tensorgrad
from tensorgrad import Tensor, nn, optim
from tensorgrad.data import DataLoader
from tensorgrad.data._progress import Progress
from tensorgrad.errors import TensorgradError

Array = np.ndarray[Any, Any]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
}


class DivergedError(TensorgradError, ArithmeticError):
    """The loss is no finite number any more."""


class Options(Protocol):
    """What `train` reads of the program's options."""

    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    epochs: int
    seed: int
    optimizer: str
    eager: bool


@dataclass
class Evaluation:
    """What a model makes of a data set.

    loss: the mean over its N images. labels: (N,) int64. probabilities: (N, classes) float32.
    """

    loss: float
    labels: Array
    probabilities: Array

    @property
    def predicted(self) -> Array:
        """The most probable class of each image, (N,) int64."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> int:
        """How many images were recognised."""
        return int((self.predicted == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """The fraction of images that were recognised."""
        return self.correct / max(len(self.labels), 1)

    def confusion(self) -> Array:
        """How often class i was taken for class j, (classes, classes) int64."""
        counts = np.zeros((self.probabilities.shape[1],) * 2, dtype=np.int64)
        np.add.at(counts, (self.labels, self.predicted), 1)
        return counts

    def worst_mistakes(self, count: int) -> Array:
        """Numbers of up to `count` images that were not recognised, the surest mistake first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        sureness = self.probabilities[wrong].max(axis=1, initial=0.0)
        return wrong[np.argsort(-sureness, kind="stable")][:count]


@dataclass
class History:
    """One value per finished epoch; samples and seconds of training, the testing left out."""

    train_loss: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    samples: int = 0
    seconds: float = 0.0


def build_model(inputs: int, hidden: Sequence[int], classes: int, activation: str) -> nn.Sequential:
    """A multilayer perceptron: images (N, 1, H, W) with H * W = inputs to logits (N, classes)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for size in hidden:
        layers += [nn.Linear(inputs, size), ACTIVATIONS[activation]()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


def evaluate(
    model: nn.Module, dataset: Any, criterion: nn.Module, batch_size: int = 1024
) -> Evaluation:
    """Run the model over a data set of (image, label) without learning."""
    model.eval()
    total, labels, probabilities = 0.0, [], []
    with tensorgrad.no_grad():
        for images, targets in DataLoader(dataset, batch_size=batch_size):
            logits = model(images)
            total += criterion(logits, targets).item() * len(targets)
            labels.append(targets.numpy())
            probabilities.append(logits.softmax(axis=1).numpy())
    return Evaluation(total / len(dataset), np.concatenate(labels), np.concatenate(probabilities))


def train(
    model: nn.Module,
    train_set: Any,
    test_set: Any,
    criterion: nn.Module,
    options: Options,
    history: History,
    say: Callable[[str], None],
) -> None:
    """Train, testing after every epoch; an interruption leaves all that is done in `history`.

    Raises:
        DivergedError: the loss is NaN or infinite.
    """
    own = {"momentum": options.momentum} if options.optimizer == "sgd" else {}
    optimizer = OPTIMIZERS[options.optimizer](
        model.parameters(), lr=options.lr, weight_decay=options.weight_decay, **own
    )

    def step(images: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = criterion(model(images), targets)
        loss.backward()
        optimizer.step()
        return loss

    if not options.eager:
        step = tensorgrad.compile(step)
    loader = DataLoader(
        train_set, batch_size=options.batch_size, shuffle=True, generator=options.seed
    )
    epochs = options.epochs
    with Progress(epochs * len(train_set), "samples") as bar:
        for epoch in range(1, epochs + 1):
            label = f"epoch {epoch:{len(str(epochs))}}/{epochs}"
            loss = _train_epoch(model, loader, step, label, bar, history)
            evaluation = evaluate(model, test_set, criterion)
            _check_finite(evaluation.loss, label)
            history.train_loss.append(loss)
            history.test_loss.append(evaluation.loss)
            history.test_accuracy.append(evaluation.accuracy)
            bar.clear()
            say(
                f"{label}   training loss {loss:.4f}   test loss {evaluation.loss:.4f}   "
                f"test accuracy {100 * evaluation.accuracy:6.2f} %"
            )


def _train_epoch(
    model: nn.Module,
    loader: DataLoader,
    step: Callable[[Tensor, Tensor], Tensor],
    label: str,
    bar: Progress,
    history: History,
) -> float:
    """One pass over the training set. Returns the mean loss."""
    model.train()
    total, count, start = 0.0, 0, time.perf_counter()
    try:
        for images, targets in loader:
            value, size = step(images, targets).item(), len(targets)
            _check_finite(value, label)
            total += value * size
            count += size
            if bar.advance(size):
                bar.draw(label, f"loss {total / count:.4f}")
    finally:
        history.samples += count
        history.seconds += time.perf_counter() - start
    return total / count


def _check_finite(loss: float, label: str) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the loss became {loss} in {label}: the training diverged; try a smaller --lr"
        )
