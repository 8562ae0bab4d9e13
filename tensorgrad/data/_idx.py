"""IDX, the format of MNIST's files (Y. LeCun, http://yann.lecun.com/exdb/mnist/).

Two zero bytes, a byte for the element type, a byte for the number of dimensions, each dimension as
a big-endian uint32, then the elements in C order, big-endian.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from tensorgrad.data._files import atomic_write
from tensorgrad.data._tensors import to_array
from tensorgrad.errors import DataError, DTypeError, ShapeError

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
CODES = {np.dtype(name): code for code, name in DTYPES.items()}
GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # deflate cannot shrink anything further (RFC 1951: 258 bytes from two bits)
MAX_DIMENSIONS = 32
CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 1 << 31) -> np.ndarray[Any, Any]:
    """The array in an IDX file, gzipped or not (told by its first bytes, not by its name).

    Nothing is allocated on the word of the header alone: a plain file must have the size that its
    header promises, and a gzipped one is unpacked piece by piece and refused if it would hold more
    than `max_bytes` bytes.

    Returns a writable array in the machine's byte order: uint8, int8, int16, int32, float32 or
    float64.

    Raises:
        DataError: the file is not IDX, is truncated or corrupt, or goes on after its last element.
        OSError: it cannot be opened or read (FileNotFoundError, PermissionError, ...).

    Example:
        >>> import numpy as np, tempfile, tensorgrad.data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     array = np.arange(6, dtype=np.int16).reshape(2, 3)
        ...     tensorgrad.data.write_idx(folder + "/x.idx.gz", array)
        ...     tensorgrad.data.read_idx(folder + "/x.idx.gz")
        array([[0, 1, 2],
               [3, 4, 5]], dtype=int16)
    """
    with open(path, "rb") as raw:
        file_size = os.fstat(raw.fileno()).st_size
        zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if zipped else contextlib.nullcontext(raw) as file:
                return _read(cast(BinaryIO, file), path, file_size, zipped, max_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{path}: damaged gzip data ({error}); delete the file and get it again"
            ) from error


def _read(
    file: BinaryIO, path: str | os.PathLike[str], file_size: int, zipped: bool, max_bytes: int
) -> np.ndarray[Any, Any]:
    dtype, shape = _read_header(file, path)
    needed = math.prod(shape) * dtype.itemsize
    promise = f"its header promises {needed} bytes ({dtype.name}, shape {shape})"
    if zipped:
        if needed > DEFLATE_RATIO * file_size:
            raise DataError(
                f"{path}: {promise}, more than {file_size} bytes of gzip can hold; delete the "
                "file and get it again"
            )
        if needed > max_bytes:
            raise DataError(
                f"{path}: {promise}, more than max_bytes={max_bytes}; pass a larger max_bytes "
                "to read it"
            )
    else:
        found = file_size - 4 - 4 * len(shape)
        if found != needed:
            state = "truncated" if found < needed else "too long"
            raise DataError(
                f"{path}: {promise}, got {found}: the file is {state} or corrupt; get it again"
            )
    data = bytearray()
    while len(data) < needed:
        chunk = file.read(min(CHUNK, needed - len(data)))
        if not chunk:
            raise DataError(
                f"{path}: {promise}, got {len(data)}: the file is truncated; delete it and get "
                "it again"
            )
        data += chunk
    if file.read(1):  # at the end of gzip data this read also checks the checksum
        raise DataError(
            f"{path}: {promise}, but the data goes on: the file is corrupt; delete it and get "
            "it again"
        )
    return np.frombuffer(data, dtype.newbyteorder(">")).reshape(shape).astype(dtype, copy=False)


def _read_header(
    file: BinaryIO, path: str | os.PathLike[str]
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        raise DataError(
            f"{path}: not an IDX file: expected it to begin with 00 00, a type among "
            f"{' '.join(f'{code:02x}' for code in DTYPES)} and a number of dimensions, "
            f"got {magic.hex(' ') or 'nothing'}"
        )
    ndim = magic[3]
    if ndim > MAX_DIMENSIONS:
        raise DataError(
            f"{path}: expected at most {MAX_DIMENSIONS} dimensions, got {ndim}: the header is "
            "corrupt"
        )
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise DataError(f"{path}: the file ends inside its header; get it again")
    shape = struct.unpack(f">{ndim}I", sizes)
    # NumPy refuses an empty array whose other sizes overflow.
    if math.prod(size or 1 for size in shape) > 1 << 60:
        raise DataError(
            f"{path}: the header gives the impossible shape {shape}: it is corrupt; get the "
            "file again"
        )
    return np.dtype(DTYPES[magic[2]]), shape


def write_idx(path: str | os.PathLike[str], array: object) -> None:
    """Write an array or Tensor as an IDX file, gzipped if the name ends in `.gz`.

    The file appears complete or not at all.

    Raises:
        DTypeError: IDX has no such type (it has uint8, int8, int16, int32, float32 and float64).
        ShapeError: more than 32 dimensions, or a size past 2**32 - 1.
    """
    values = to_array(array, "write_idx")
    code = CODES.get(values.dtype.newbyteorder("="))
    if code is None:
        names = ", ".join(dtype.name for dtype in CODES)
        raise DTypeError(
            f"write_idx: expected a dtype among {names}, got {values.dtype}; convert the array "
            "first"
        )
    if values.ndim > MAX_DIMENSIONS or any(size >= 1 << 32 for size in values.shape):
        raise ShapeError(
            f"write_idx: expected at most {MAX_DIMENSIONS} sizes below 2**32, got shape "
            f"{values.shape}"
        )
    header = struct.pack(f">2xBB{values.ndim}I", code, values.ndim, *values.shape)
    body = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder(">")).data
    with atomic_write(path) as file:
        if Path(path).suffix == ".gz":
            with gzip.GzipFile(
                "", "wb", fileobj=file, mtime=0
            ) as zipped:  # mtime: the same bytes for the same array
                zipped.write(header)
                zipped.write(body)
        else:
            file.write(header)
            file.write(body)
