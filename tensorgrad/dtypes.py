"""dtypes are NumPy's own objects. A Tensor holds a small code, the position of its dtype in DTYPES;
codes 0 and 1 are those of the C library (`enum tg_dtype`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad.errors import ArgumentError, DTypeError

float32 = np.dtype("float32")
float64 = np.dtype("float64")
bool_ = np.dtype("bool")
int8 = np.dtype("int8")
int16 = np.dtype("int16")
int32 = np.dtype("int32")
int64 = np.dtype("int64")
uint8 = np.dtype("uint8")
uint16 = np.dtype("uint16")
uint32 = np.dtype("uint32")
uint64 = np.dtype("uint64")
complex64 = np.dtype("complex64")
complex128 = np.dtype("complex128")

DTYPES: tuple[np.dtype[Any], ...] = (
    *(float32, float64, bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64),
    *(complex64, complex128),
)
ITEMSIZES = tuple(dtype.itemsize for dtype in DTYPES)
CODES = {dtype: code for code, dtype in enumerate(DTYPES)}

F32, F64, BOOL = 0, 1, 2
INT64 = CODES[int64]
COMPLEX64, COMPLEX128 = CODES[complex64], CODES[complex128]  # the last: >= COMPLEX64 is complex


def code_of(dtype: Any, where: str) -> int:
    """The code of anything NumPy takes as a dtype, the Python types included (`float` is float32,
    `complex` complex64).

    Raises DTypeError, naming `where`, if tensors cannot hold it."""
    if dtype is float:
        return F32
    if dtype is complex:
        return COMPLEX64
    try:
        return CODES[np.dtype(dtype).newbyteorder("=")]
    except (TypeError, KeyError):
        names = ", ".join(d.name for d in DTYPES)
        raise DTypeError(f"{where}: expected a dtype among {names}, got {dtype!r}") from None


def promote(a: int, b: int) -> int:
    """The code of the result of combining two arrays. Two of one kind, or a real and a complex
    one, combine as in NumPy; a float or complex array and an integer or boolean one give the
    former's dtype."""
    if a == b:
        return a
    if a >= COMPLEX64 or b >= COMPLEX64:
        low, high = min(a, b), max(a, b)
        return COMPLEX128 if low == F64 else high
    if a <= F64 or b <= F64:
        return max(a, b) if a <= F64 and b <= F64 else min(a, b)
    result = np.result_type(DTYPES[a], DTYPES[b])
    return CODES.get(result, F64)  # uint64 with a signed integer: float64, as in NumPy


def check_device(device: Any, where: str) -> None:
    """Raises ArgumentError unless `device` is "cpu" or None: there is no other."""
    if device not in (None, "cpu"):
        raise ArgumentError(f"{where}: expected the device 'cpu', got {device!r}")
