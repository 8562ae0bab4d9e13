"""The functions on dtypes, and the inspection, of the Python Array API standard, version 2025.12."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.dtypes import (
    BOOL,
    COMPLEX64,
    COMPLEX128,
    DTYPES,
    F32,
    F64,
    INT64,
    check_device,
    code_of,
    promote,
)
from tensorgrad.errors import ArgumentError, DTypeError

__array_api_version__ = "2025.12"

# the kinds of the standard's isdtype and dtypes
_KINDS: dict[str, str] = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


class FInfo(NamedTuple):
    """The limits of a float dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype[Any]


class IInfo(NamedTuple):
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: np.dtype[Any]


def _code(x: Any, where: str) -> int:
    return x._code if isinstance(x, Tensor) else code_of(x, where)


def finfo(type: Any, /) -> FInfo:
    """The limits of a float dtype, or of a tensor's: bits, eps, max, min, smallest_normal, dtype. Of
    a complex dtype those of its parts. Raises DTypeError for others.

    >>> import tensorgrad
    >>> tensorgrad.finfo(tensorgrad.float64).eps
    2.220446049250313e-16
    """
    dtype = DTYPES[_code(type, "finfo")]
    if dtype.kind not in "fc":
        raise DTypeError(f"finfo: expected a float or complex dtype, got {dtype}")
    info: Any = np.finfo(dtype)
    eps, most, least, normal = map(float, (info.eps, info.max, info.min, info.smallest_normal))
    return FInfo(info.bits, eps, most, least, normal, info.dtype)


def iinfo(type: Any, /) -> IInfo:
    """The limits of an integer dtype, or of a tensor's: bits, max, min, dtype. Raises DTypeError for
    others.

    >>> import tensorgrad
    >>> tensorgrad.iinfo(tensorgrad.int8).max
    127
    """
    dtype = DTYPES[_code(type, "iinfo")]
    if dtype.kind not in "iu":
        raise DTypeError(f"iinfo: expected an integer dtype, got {dtype}")
    info: Any = np.iinfo(dtype)
    return IInfo(info.bits, int(info.max), int(info.min), dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: a dtype, or "bool", "signed integer", "unsigned integer",
    "integral", "real floating", "complex floating", "numeric", or a tuple of such. Raises
    ArgumentError for an unknown kind.

    >>> import tensorgrad
    >>> tensorgrad.isdtype(tensorgrad.float32, ("integral", "real floating"))
    True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    given = DTYPES[code_of(dtype, "isdtype")]
    if isinstance(kind, str) and (kind in _KINDS or kind not in [d.name for d in DTYPES]):
        if kind not in _KINDS:
            raise ArgumentError(f"isdtype: expected a dtype or one of {list(_KINDS)}, got {kind!r}")
        return given.kind in _KINDS[kind]
    return given == DTYPES[code_of(kind, "isdtype")]


def _with_scalar(code: int, scalar: Any) -> int:
    """The code of an array of `code` combined with a Python number."""
    if isinstance(scalar, bool):
        return code
    if isinstance(scalar, int):
        return INT64 if code == BOOL else code
    if isinstance(scalar, float):
        return F32 if BOOL <= code < COMPLEX64 else code
    return COMPLEX128 if code in (F64, COMPLEX128) else COMPLEX64


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that an operation on these gives: tensors, dtypes, and Python numbers, which give way
    to what they are combined with. Floats and integers, which the standard leaves open, give the
    float's dtype. Raises ArgumentError for no argument.

    >>> import tensorgrad
    >>> tensorgrad.result_type(tensorgrad.int8, tensorgrad.uint8, 7).name
    'int16'
    """
    numbers = [x for x in arrays_and_dtypes if isinstance(x, (int, float, complex))]
    codes = [
        _code(x, "result_type")
        for x in arrays_and_dtypes
        if not isinstance(x, (int, float, complex))
    ]
    if not codes:
        if not numbers:
            raise ArgumentError("result_type: expected at least one tensor, dtype or number")
        codes = [BOOL]
    code = codes[0]
    for other in codes[1:]:
        code = promote(code, other)
    for number in numbers:
        code = _with_scalar(code, number)
    return DTYPES[code]


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether the promotion of the two gives `to`. from_: a dtype or a tensor; to: a dtype.

    >>> import tensorgrad
    >>> tensorgrad.can_cast(tensorgrad.float32, tensorgrad.float64)
    True
    """
    code = code_of(to, "can_cast")
    return promote(_code(from_, "can_cast"), code) == code


class ArrayNamespaceInfo:
    """What `__array_namespace_info__` returns: devices, dtypes and capabilities of tensorgrad."""

    def capabilities(self) -> dict[str, Any]:
        """What the standard leaves open, and tensorgrad has."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """The device of new tensors."""
        return "cpu"

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype[Any]]:
        """The dtypes of new tensors by kind."""
        check_device(device, "default_dtypes")
        names = {"real floating": F32, "complex floating": COMPLEX64}
        return {k: DTYPES[c] for k, c in {**names, "integral": INT64, "indexing": INT64}.items()}

    def devices(self) -> list[str]:
        """All devices."""
        return ["cpu"]

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype[Any]]:
        """The dtypes, all or those of a kind (see `isdtype`), by name."""
        check_device(device, "dtypes")
        return {d.name: d for d in DTYPES if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> ArrayNamespaceInfo:  # noqa: N807 - the standard's name
    """Devices, dtypes and capabilities, as the Array API standard asks for them.

    >>> import tensorgrad
    >>> tensorgrad.__array_namespace_info__().default_device()
    'cpu'
    """
    return ArrayNamespaceInfo()


__all__ = [
    "ArrayNamespaceInfo",
    "FInfo",
    "IInfo",
    "__array_api_version__",
    "__array_namespace_info__",
    "can_cast",
    "finfo",
    "iinfo",
    "isdtype",
    "result_type",
]
