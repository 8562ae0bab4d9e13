"""Ready datasets: Digits, which comes with tensorgrad, and MNIST and all that shares its format."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.data._dataset import TensorDataset
from tensorgrad.data._download import RemoteFile, download
from tensorgrad.data._idx import read_idx
from tensorgrad.data._tensors import Array, Index, to_position, to_tensor
from tensorgrad.errors import DataError

__all__ = ["MNIST", "Digits"]

Transform = Callable[[Tensor], Any]
TargetTransform = Callable[[int], Any]


class _LabelledImages(TensorDataset):
    """Images (N, 1, H, W) float32 in [0, 1] with labels (N,) int64.

    Sample i is the image, (1, H, W), and its label as an int.
    """

    def __init__(
        self,
        images: Array,
        labels: Array,
        transform: Transform | None,
        target_transform: TargetTransform | None,
    ) -> None:
        super().__init__(
            to_tensor(images[:, np.newaxis], "images"), to_tensor(labels.astype(np.int64), "labels")
        )
        self.transform, self.target_transform = transform, target_transform

    @property
    def images(self) -> Tensor:
        """(N, 1, H, W), float32, from 0 (paper) to 1 (ink)."""
        return self.tensors[0]

    @property
    def labels(self) -> Tensor:
        """(N,), int64, the digit that each image shows."""
        return self.tensors[1]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        position = to_position(index, len(self), type(self).__name__)
        image, label = self.images[position], self.labels[position].item()
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )

    def batch(self, index: Index) -> tuple[Tensor, ...] | None:
        """As TensorDataset's; None with a transform, which sees one image at a time."""
        plain = self.transform is None and self.target_transform is None
        return (
            self._rows(index)
            if plain and type(self).__getitem__ is _LabelledImages.__getitem__
            else None
        )


class Digits(_LabelledImages):
    """1,797 handwritten digits of 8x8 pixels, which come with tensorgrad.

    train: True for 1,442 of them, False for the held-out fifth (355), None for all. The split is
    fixed: of each digit's images, in the file's order, every fifth is held out. (The file keeps a
    writer's digits together, so the same 13 people wrote both parts: the accuracy is for new
    digits, not for new hands.) transform, target_transform: called on an image (1, 8, 8), on a
    label, whenever a sample is fetched.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49, the test set; licence CC BY 4.0.

    Example:
        >>> from tensorgrad.data.datasets import Digits
        >>> digits = Digits(train=False)
        >>> digits.images.shape, digits[0][1], len(Digits(train=True))
        ((355, 1, 8, 8), 5, 1442)
    """

    def __init__(
        self,
        train: bool | None = True,
        transform: Transform | None = None,
        target_transform: TargetTransform | None = None,
    ) -> None:
        import importlib.resources  # here, since it takes longer to import than this package

        file = importlib.resources.files("tensorgrad.data") / "_digits" / "digits.csv.gz"
        lines = gzip.decompress(file.read_bytes()).decode("ascii").splitlines()
        table = np.loadtxt(lines, dtype=np.uint8, delimiter=",")  # (1797, 65)
        pixels, labels = table[:, :64], table[:, 64]
        if train is not None:
            part = _held_out(labels) != train
            pixels, labels = pixels[part], labels[part]
        images = pixels.reshape(-1, 8, 8).astype(np.float32) / np.float32(16)
        super().__init__(images, labels, transform, target_transform)


def _held_out(labels: Array) -> Array:
    """(N,) bool: true for every fifth occurrence of each label."""
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        held[np.flatnonzero(labels == label)[4::5]] = True
    return held


class MNIST(_LabelledImages):
    """Images and labels of MNIST, or of a set in its format (Fashion-MNIST, ...), from IDX files.

    root: the directory with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, gzipped (`.gz`) or not, or above
    `MNIST/raw` with them. train: the 60,000 training images, or the 10,000 test images. download:
    fetch MNIST's files that are not there into `root`, from the first of `mirrors` that has them;
    their SHA-256 is checked. transform, target_transform: called on an image (1, 28, 28), on a
    label, whenever a sample is fetched.

    Raises:
        DataError: a file is missing (says which), damaged or wrong, or cannot be fetched.

    Source: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, 1998.
    """

    mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    files: ClassVar[dict[str, RemoteFile]] = {
        remote.name.removesuffix(".gz"): remote
        for remote in (
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        )
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: TargetTransform | None = None,
        download: bool = False,
    ) -> None:
        part = "train" if train else "t10k"
        image_file = self._find(Path(root), f"{part}-images-idx3-ubyte", download)
        label_file = self._find(Path(root), f"{part}-labels-idx1-ubyte", download)
        images, labels = read_idx(image_file), read_idx(label_file)
        if images.ndim != 3 or images.dtype != np.uint8:
            raise DataError(
                f"{image_file}: expected uint8 images (N, H, W), got {images.dtype} {images.shape}"
            )
        if labels.shape != images.shape[:1] or labels.dtype != np.uint8:
            raise DataError(
                f"{label_file}: expected a uint8 label for each of the {len(images)} images of "
                f"{image_file.name}, "
                f"got {labels.dtype} {labels.shape}"
            )
        super().__init__(
            np.divide(images, 255, dtype=np.float32), labels, transform, target_transform
        )

    @classmethod
    def _find(cls, root: Path, name: str, fetch: bool) -> Path:
        for folder in (root, root / "MNIST" / "raw"):
            for candidate in (folder / name, folder / f"{name}.gz"):
                if candidate.is_file():
                    return candidate
        if fetch:
            return download(cls.files[name], cls.mirrors, root)
        raise DataError(
            f"MNIST: expected {name} or {name}.gz in {root}, found neither; "
            f"name the directory that holds them, or pass download=True"
        )
