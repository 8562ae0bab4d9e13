from __future__ import annotations

import contextlib
import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad
from tensorgrad.data import read_idx, write_idx
from tensorgrad.errors import DataError, DTypeError, ShapeError

TYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


@pytest.mark.parametrize("suffix", [".idx", ".idx.gz"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3), (2, 3, 4)])
def test_what_is_written_is_read(tmp_path, suffix, dtype, shape):
    array = (np.arange(np.prod(shape)).reshape(shape) - 3).astype(dtype)
    path = tmp_path / f"array{suffix}"
    write_idx(path, array)
    read = read_idx(path)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_bytes_are_those_of_the_format(tmp_path):
    write_idx(tmp_path / "x", np.array([[1, -2]], dtype=np.int16))
    assert (tmp_path / "x").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001 fffe")


def test_other_layouts_and_tensors_are_written(tmp_path):
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    write_idx(tmp_path / "x", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "x"), array)
    write_idx(tmp_path / "x", tensorgrad.tensor([1.5, 2.5]))
    assert read_idx(tmp_path / "x").tolist() == [1.5, 2.5]


def test_gzip_is_told_by_content_and_written_reproducibly(tmp_path):
    write_idx(tmp_path / "a.gz", np.arange(9, dtype=np.uint8))
    write_idx(tmp_path / "b.gz", np.arange(9, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    (tmp_path / "a.gz").rename(tmp_path / "plain")
    assert read_idx(tmp_path / "plain").tolist() == list(range(9))


def test_what_idx_cannot_hold_is_refused(tmp_path):
    with pytest.raises(DTypeError, match="int64"):
        write_idx(tmp_path / "x", np.arange(3))
    with pytest.raises(DTypeError, match="numbers"):
        write_idx(tmp_path / "x", np.array([object()]))
    with pytest.raises(ShapeError, match="2\\*\\*32"):
        write_idx(tmp_path / "x", np.broadcast_to(np.uint8(0), (1 << 32,)))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.idx"
    write_idx(path, np.uint8([1]))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_idx(path, np.uint8([2]))
    assert read_idx(path).tolist() == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.idx"]


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">2xBB{len(shape)}I", code, len(shape), *shape)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file.*got nothing"),
        (b"\0\0\x08", "not an IDX file.*got 00 00 08"),
        (b"P5 28 28 255", "not an IDX file.*got 50 35 20 32"),
        (header(0x0A, 1) + b"1", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "ends inside its header"),
        (header(0x08, 4) + b"123", r"promises 4 bytes \(uint8, shape \(4,\)\), got 3.*truncated"),
        (header(0x08, 2) + b"123", "got 3.*too long"),
        (header(0x08, *[1] * 33) + b"1", "at most 32 dimensions, got 33"),
        (header(0x08, 2**32 - 1, 2**32 - 1, 2**32 - 1), "impossible shape"),
        (header(0x08, 0, *[2**32 - 1] * 2), "impossible shape"),
        (header(0x0E, 60000, 10000), "promises 4800000000 bytes.*got 0"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    path = tmp_path / "broken.idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"broken\.idx: .*{message}"):
        read_idx(path)


def test_damaged_gzip_is_named(tmp_path):
    path = tmp_path / "broken.gz"
    whole = gzip.compress(header(0x08, 1000) + np.random.default_rng(0).bytes(1000))
    flipped = bytearray(whole)
    flipped[-8] ^= 1  # the checksum
    for content in (whole[:500], whole[:12], bytes(flipped), whole[:2] + b"junk", b"\x1f\x8b"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged gzip data"):
            read_idx(path)


def test_gzip_that_holds_less_or_more_than_it_says(tmp_path):
    path = tmp_path / "lies.gz"
    path.write_bytes(gzip.compress(header(0x08, 10) + b"123"))
    with pytest.raises(DataError, match="got 3: the file is truncated"):
        read_idx(path)
    path.write_bytes(gzip.compress(header(0x08, 2) + b"123"))
    with pytest.raises(DataError, match="the data goes on"):
        read_idx(path)


def test_headers_that_promise_too_much_allocate_nothing(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(0x08, 2**31) + b"123"))
    bomb = tmp_path / "true_bomb.gz"
    bomb.write_bytes(gzip.compress(header(0x08, 50_000_000) + bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="bytes of gzip can hold"):
            read_idx(path)
        with pytest.raises(DataError, match="more than max_bytes=1000000"):
            read_idx(bomb, max_bytes=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_idx(tmp_path / "absent.idx")


@given(
    content=st.binary(max_size=60), start=st.sampled_from([b"", b"\0\0\x08\x01", b"\x1f\x8b\x08\0"])
)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "fuzz.idx"
    path.write_bytes(start + content)
    with contextlib.suppress(DataError):  # and nothing else
        assert isinstance(read_idx(path), np.ndarray)


@given(array=hnp.arrays(st.sampled_from(TYPES), hnp.array_shapes(min_dims=0, min_side=0)))
def test_any_array_comes_back(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "any.idx.gz"
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path), array)
