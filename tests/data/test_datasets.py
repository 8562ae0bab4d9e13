from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest

from tensorgrad.data import DataLoader, Subset, write_idx
from tensorgrad.data._download import RemoteFile, download
from tensorgrad.data.datasets import MNIST, Digits
from tensorgrad.errors import DataError, IndexOutOfRangeError


def test_digits_are_those_of_the_source():
    digits = Digits(train=None)
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.dtype == np.float32
    assert digits.labels.dtype == np.int64
    images = digits.images.numpy()
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert np.bincount(digits.labels.numpy()).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]
    # sums over the source's table of integers
    assert (images * 16).sum() == 561718
    np.testing.assert_array_equal(images[0, 0, 0] * 16, [0, 0, 5, 13, 9, 1, 0, 0])


def test_digits_hold_out_a_fixed_stratified_fifth():
    train, test, everything = Digits(train=True), Digits(train=False), Digits(train=None)
    assert len(train) + len(test) == len(everything)
    for digit in range(10):
        of = [np.sum(part.labels.numpy() == digit) for part in (test, everything)]
        assert of[0] == of[1] // 5
    zeros = [part.images.numpy()[part.labels.numpy() == 0] for part in (test, everything)]
    np.testing.assert_array_equal(zeros[0], zeros[1][4::5])
    rows = {image.tobytes() for image in train.images.numpy()}
    assert not any(image.tobytes() in rows for image in test.images.numpy())


def test_samples_and_transforms():
    image, label = Digits(train=False)[0]
    assert image.shape == (1, 8, 8)
    assert type(label) is int
    digits = Digits(train=False, transform=lambda x: x * 2.0, target_transform=lambda y: y + 100)
    changed, target = digits[0]
    np.testing.assert_array_equal(changed.numpy(), 2 * image.numpy())
    assert target == label + 100
    assert digits.batch(slice(0, 2)) is None
    images, targets = next(iter(DataLoader(digits, batch_size=3)))
    assert images.shape == (3, 1, 8, 8)
    assert targets[0].item() == label + 100
    with pytest.raises(IndexOutOfRangeError, match="Digits: index 355"):
        digits[355]


def test_batches_of_a_subset():
    subset = Subset(Digits(train=True), range(0, 100, 2))
    images, labels = next(iter(DataLoader(subset, batch_size=10, shuffle=True, generator=0)))
    assert images.shape == (10, 1, 8, 8)
    assert labels.shape == (10,)


@pytest.fixture
def mnist(tmp_path):
    """A directory with a small MNIST: 6 training and 4 test images of 5 x 7, the latter gzipped."""
    images = np.arange(10 * 35).reshape(10, 5, 7).astype(np.uint8)
    labels = np.arange(10, dtype=np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte", images[:6])
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels[:6])
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images[6:])
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels[6:])
    return tmp_path


def test_mnist_is_read(mnist):
    train, test = MNIST(mnist), MNIST(str(mnist), train=False)
    assert train.images.shape == (6, 1, 5, 7)
    assert train.images.dtype == np.float32
    assert test.labels.tolist() == [6, 7, 8, 9]
    expected = np.arange(35, dtype=np.float32).reshape(1, 5, 7) / np.float32(255)
    np.testing.assert_array_equal(train[0][0].numpy(), expected)


def test_mnist_is_found_where_others_put_it(mnist):
    raw = mnist / "elsewhere" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in list(mnist.glob("*ubyte*")):
        file.rename(raw / file.name)
    assert len(MNIST(mnist / "elsewhere")) == 6


def test_missing_files_are_named(mnist):
    (mnist / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"expected train-labels-idx1-ubyte .* neither.*download"):
        MNIST(mnist)
    with pytest.raises(DataError, match="train-images"):
        MNIST(mnist / "absent")


def test_files_that_do_not_fit_are_named(mnist):
    write_idx(mnist / "train-labels-idx1-ubyte", np.zeros(5, dtype=np.uint8))
    with pytest.raises(
        DataError, match=r"a uint8 label for each of the 6 images .* got uint8 \(5,\)"
    ):
        MNIST(mnist)
    write_idx(mnist / "train-images-idx3-ubyte", np.zeros((6, 35), dtype=np.uint8))
    with pytest.raises(DataError, match=r"uint8 images \(N, H, W\), got uint8 \(6, 35\)"):
        MNIST(mnist)
    write_idx(mnist / "train-images-idx3-ubyte", np.zeros((6, 5, 7), dtype=np.float32))
    with pytest.raises(DataError, match="got float32"):
        MNIST(mnist)


def remote(folder, name="file.gz", content=b"content"):
    """A file to fetch and the address of its directory."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest()), folder.as_uri()


def test_download_takes_the_first_mirror_that_has_the_file(tmp_path):
    file, mirror = remote(tmp_path / "mirror")
    path = download(file, [(tmp_path / "absent").as_uri(), mirror + "/"], tmp_path / "new" / "root")
    assert path == tmp_path / "new" / "root" / "file.gz"
    assert path.read_bytes() == b"content"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.gz"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"CONTENT", "expected SHA-256"),
        (b"con", "expected 7 bytes, got 3"),
        (b"content, more", "got more"),
    ],
)
def test_download_refuses_what_is_not_the_file(tmp_path, content, reason):
    file, _ = remote(tmp_path / "mirror")
    _, bad = remote(tmp_path / "bad", content=content)
    with pytest.raises(DataError, match=f"could not fetch file.gz(.|\n)*{reason}"):
        download(file, [bad], tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_without_a_network_every_mirror_is_named(tmp_path):
    file = RemoteFile("file.gz", 7, "0" * 64)
    mirrors = [(tmp_path / "one").as_uri(), "http://localhost:1/two"]
    with pytest.raises(DataError) as caught:
        download(file, mirrors, tmp_path / "root")
    assert all(f"{mirror}/file.gz: " in str(caught.value) for mirror in mirrors)
    assert "check the network" in str(caught.value)


def test_mnist_downloads_what_is_missing(mnist, tmp_path, monkeypatch):
    labels = gzip.compress((mnist / "train-labels-idx1-ubyte").read_bytes())
    name = "train-labels-idx1-ubyte"
    file, mirror = remote(tmp_path / "mirror", f"{name}.gz", labels)
    monkeypatch.setattr(MNIST, "mirrors", (mirror,))
    monkeypatch.setattr(MNIST, "files", {name: file})
    (mnist / name).unlink()
    assert MNIST(mnist, download=True).labels.tolist() == [0, 1, 2, 3, 4, 5]
    (tmp_path / "mirror" / f"{name}.gz").unlink()
    assert len(MNIST(mnist, download=True)) == 6  # it is there now


def test_the_official_files_are_known():
    assert {(file.name, file.size) for file in MNIST.files.values()} == {
        ("train-images-idx3-ubyte.gz", 9912422),
        ("train-labels-idx1-ubyte.gz", 28881),
        ("t10k-images-idx3-ubyte.gz", 1648877),
        ("t10k-labels-idx1-ubyte.gz", 4542),
    }
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in MNIST.files.values())
