"""The Python Array API standard, version 2025.12, function by function: names, signatures, dtypes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad.errors import ArgumentError, DTypeError


def _words(text: str) -> list[str]:
    return text.split()


# The parameters as the standard has them: before "/" by position only, after "*" by keyword only.
ELEMENTWISE_ONE = _words(
    "abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 "
    "floor imag isfinite isinf isnan log log10 log1p log2 logical_not negative positive "
    "real reciprocal round sign signbit sin sinh sqrt square tan tanh trunc"
)
ELEMENTWISE_TWO = _words(
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor "
    "copysign divide equal floor_divide greater greater_equal hypot less less_equal "
    "logaddexp logical_and logical_or logical_xor maximum minimum multiply nextafter "
    "not_equal pow remainder subtract"
)
FUNCTIONS = {
    **dict.fromkeys(ELEMENTWISE_ONE, "x /"),
    **dict.fromkeys(ELEMENTWISE_TWO, "x1 x2 /"),
    "clip": "x / min max",
    # creation
    "arange": "start / stop step * dtype device",
    "asarray": "obj / * dtype device copy",
    "empty": "shape * dtype device",
    "empty_like": "x / * dtype device",
    "eye": "n_rows n_cols / * k dtype device",
    "from_dlpack": "x / * device copy",
    "full": "shape fill_value * dtype device",
    "full_like": "x / fill_value * dtype device",
    "linspace": "start stop / num * dtype device endpoint",
    "meshgrid": "*arrays indexing",
    "ones": "shape * dtype device",
    "ones_like": "x / * dtype device",
    "tril": "x / * k",
    "triu": "x / * k",
    "zeros": "shape * dtype device",
    "zeros_like": "x / * dtype device",
    # dtypes
    "astype": "x dtype / * copy device",
    "can_cast": "from_ to /",
    "finfo": "type /",
    "iinfo": "type /",
    "isdtype": "dtype kind",
    "result_type": "*arrays_and_dtypes",
    # indexing and manipulation
    "take": "x indices / * axis",
    "take_along_axis": "x indices / * axis",
    "broadcast_arrays": "*arrays",
    "broadcast_shapes": "*shapes",
    "broadcast_to": "x / shape",
    "concat": "arrays / * axis",
    "expand_dims": "x / axis",
    "flip": "x / * axis",
    "moveaxis": "x source destination /",
    "permute_dims": "x / axes",
    "repeat": "x repeats / * axis",
    "reshape": "x / shape * copy",
    "roll": "x / shift * axis",
    "squeeze": "x / axis",
    "stack": "arrays / * axis",
    "tile": "x repetitions /",
    "unstack": "x / * axis",
    # searching, sets, sorting
    "argmax": "x / * axis keepdims",
    "argmin": "x / * axis keepdims",
    "count_nonzero": "x / * axis keepdims",
    "nonzero": "x /",
    "searchsorted": "x1 x2 / * side sorter",
    "where": "condition x1 x2 /",
    "isin": "x1 x2 / * invert",
    "unique_all": "x /",
    "unique_counts": "x /",
    "unique_inverse": "x /",
    "unique_values": "x /",
    "argsort": "x / * axis descending stable",
    "sort": "x / * axis descending stable",
    # statistics and utilities
    "cumulative_prod": "x / * axis dtype include_initial",
    "cumulative_sum": "x / * axis dtype include_initial",
    "max": "x / * axis keepdims",
    "mean": "x / * axis keepdims",
    "min": "x / * axis keepdims",
    "prod": "x / * axis dtype keepdims",
    "std": "x / * axis correction keepdims",
    "sum": "x / * axis dtype keepdims",
    "var": "x / * axis correction keepdims",
    "all": "x / * axis keepdims",
    "any": "x / * axis keepdims",
    "diff": "x / * axis n prepend append",
    # products
    "matmul": "x1 x2 /",
    "matrix_transpose": "x /",
    "tensordot": "x1 x2 / * axes",
    "vecdot": "x1 x2 / * axis",
    # extensions
    "linalg.cholesky": "x / * upper",
    "linalg.cross": "x1 x2 / * axis",
    "linalg.det": "x /",
    "linalg.diagonal": "x / * offset",
    "linalg.eigh": "x /",
    "linalg.eigvalsh": "x /",
    "linalg.inv": "x /",
    "linalg.matmul": "x1 x2 /",
    "linalg.matrix_norm": "x / * keepdims ord",
    "linalg.matrix_power": "x n /",
    "linalg.matrix_rank": "x / * rtol",
    "linalg.matrix_transpose": "x /",
    "linalg.outer": "x1 x2 /",
    "linalg.pinv": "x / * rtol",
    "linalg.qr": "x / * mode",
    "linalg.slogdet": "x /",
    "linalg.solve": "x1 x2 /",
    "linalg.svd": "x / * full_matrices",
    "linalg.svdvals": "x /",
    "linalg.tensordot": "x1 x2 / * axes",
    "linalg.trace": "x / * offset dtype",
    "linalg.vecdot": "x1 x2 / * axis",
    "linalg.vector_norm": "x / * axis keepdims ord",
    **dict.fromkeys(
        [f"fft.{name}" for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")],
        "x / * n axis norm",
    ),
    **dict.fromkeys(
        [f"fft.{name}" for name in ("fftn", "ifftn", "rfftn", "irfftn")], "x / * s axes norm"
    ),
    "fft.fftfreq": "n / * d dtype device",
    "fft.rfftfreq": "n / * d dtype device",
    "fft.fftshift": "x / * axes",
    "fft.ifftshift": "x / * axes",
}
METHODS = _words(
    "abs add and array_namespace bool complex dlpack dlpack_device eq float floordiv ge "
    "getitem gt index int invert le lshift lt matmul mod mul ne neg or pos pow rshift "
    "setitem sub truediv xor radd rand rfloordiv rlshift rmatmul rmod rmul ror rpow "
    "rrshift rsub rtruediv rxor iadd iand ifloordiv ilshift imatmul imod imul ior ipow "
    "irshift isub itruediv ixor"
)
ATTRIBUTES = ("dtype", "device", "mT", "ndim", "shape", "size", "T")
CONSTANTS = {"e": np.e, "inf": np.inf, "nan": np.nan, "newaxis": None, "pi": np.pi}
DTYPES = _words(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"
)


def find(name: str) -> Any:
    found: Any = tg
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name: str) -> None:
    """Everything that the standard lets a caller write is taken: more may be."""
    signature = inspect.signature(find(name))
    words = FUNCTIONS[name].split()
    if words[0].startswith("*"):
        kinds = [p.kind for p in signature.parameters.values()]
        assert inspect.Parameter.VAR_POSITIONAL in kinds
        assert all(word in signature.parameters for word in words[1:])
        return
    before = words.index("/") if "/" in words else 0
    positional = [w for w in words[: words.index("*") if "*" in words else None] if w != "/"]
    keywords = [w for w in words if w not in ("/", "*")][before:]
    parameters = list(signature.parameters.values())
    for i in range(len(positional)):
        assert parameters[i].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ), f"argument {i} of {name}{signature} cannot be given by position"
    for keyword in keywords:
        assert keyword in signature.parameters, f"{name}{signature} has no {keyword}"
        assert signature.parameters[keyword].kind is not inspect.Parameter.POSITIONAL_ONLY


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str) -> None:
    assert callable(getattr(Tensor, f"__{name}__"))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute(name: str) -> None:
    assert hasattr(tg.ones((2, 3)), name)


def test_constants_and_dtypes() -> None:
    for name, value in CONSTANTS.items():
        assert getattr(tg, name) is value or np.array_equal(
            getattr(tg, name), value, equal_nan=value is not None and value != value
        )
    for name in DTYPES:
        assert getattr(tg, name) == np.dtype(name)
        assert tg.zeros(2, dtype=getattr(tg, name)).dtype == np.dtype(name)


def test_namespace() -> None:
    x = tg.ones(2)
    assert x.__array_namespace__() is tg
    assert x.__array_namespace__(api_version="2023.12") is tg
    with pytest.raises(ArgumentError, match="expected a version up to 2025.12"):
        x.__array_namespace__(api_version="2099.12")
    assert tg.__array_api_version__ == "2025.12"
    info = tg.__array_namespace_info__()
    assert info.default_device() == "cpu"
    assert info.devices() == ["cpu"]
    assert info.default_dtypes() == {
        "real floating": tg.float32,
        "complex floating": tg.complex64,
        "integral": tg.int64,
        "indexing": tg.int64,
    }
    assert set(info.dtypes(kind="complex floating")) == {"complex64", "complex128"}
    assert set(info.dtypes(kind=("bool", "unsigned integer"))) == {
        *("bool", "uint8", "uint16", "uint32", "uint64")
    }
    assert len(info.dtypes()) == len(DTYPES)
    assert info.capabilities()["boolean indexing"] is True


def test_device() -> None:
    x = tg.ones(2)
    assert x.device == "cpu"
    assert x.to_device("cpu") is x
    with pytest.raises(ArgumentError, match="expected 'cpu'"):
        x.to_device("gpu")
    for make in (tg.zeros, tg.ones, tg.empty):
        assert make(2, device="cpu").device == "cpu"
        with pytest.raises(ArgumentError, match="expected the device 'cpu', got 'gpu'"):
            make(2, device="gpu")


PROMOTIONS = [
    ("int8", "int16", "int16"),
    ("uint8", "int8", "int16"),
    ("uint16", "int16", "int32"),
    ("uint32", "int32", "int64"),
    ("uint8", "uint64", "uint64"),
    ("float32", "float64", "float64"),
    ("complex64", "complex128", "complex128"),
    ("float32", "complex64", "complex64"),
    ("float64", "complex64", "complex128"),
    ("bool", "bool", "bool"),
]


@pytest.mark.parametrize(("a", "b", "expected"), PROMOTIONS)
def test_promotion(a: str, b: str, expected: str) -> None:
    for first, second in ((a, b), (b, a)):
        assert tg.result_type(getattr(tg, first), getattr(tg, second)) == np.dtype(expected)
        if expected != "bool":
            x, y = tg.ones(2, dtype=first), tg.ones(2, dtype=second)
            assert (x + y).dtype == np.dtype(expected)
            assert tg.can_cast(getattr(tg, first), getattr(tg, expected))


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        ("float32", 1, "float32"),
        ("float32", 1.5, "float32"),
        ("int8", 1, "int8"),
        ("uint8", True, "uint8"),
        ("float32", 1j, "complex64"),
        ("float64", 1j, "complex128"),
    ],
)
def test_numbers_give_way(dtype: str, number: complex, expected: str) -> None:
    x = tg.ones(2, dtype=dtype)
    assert tg.result_type(x, number) == np.dtype(expected)
    for y in (x + number, number + x, x * number):
        assert y.dtype == np.dtype(expected)


def test_information_on_dtypes() -> None:
    f = tg.finfo(tg.float32)
    assert (f.bits, f.dtype) == (32, tg.float32)
    assert all(isinstance(v, float) for v in (f.eps, f.max, f.min, f.smallest_normal))
    assert tg.finfo(tg.complex128).eps == np.finfo(np.float64).eps
    assert tg.finfo(tg.ones(1)).max == float(np.finfo(np.float32).max)
    i = tg.iinfo(tg.uint8)
    assert (i.bits, i.min, i.max, i.dtype) == (8, 0, 255, tg.uint8)
    with pytest.raises(DTypeError, match="finfo: expected a float or complex dtype, got int8"):
        tg.finfo(tg.int8)
    with pytest.raises(DTypeError, match="iinfo: expected an integer dtype, got float32"):
        tg.iinfo(tg.float32)
    assert tg.isdtype(tg.int8, "integral")
    assert tg.isdtype(tg.int8, "signed integer")
    assert not tg.isdtype(tg.int8, ("bool", "real floating"))
    assert tg.isdtype(tg.int8, tg.int8)
    assert not tg.isdtype(tg.bool, "numeric")
    with pytest.raises(ArgumentError, match="expected a dtype or one of"):
        tg.isdtype(tg.int8, "integer-like")
    assert tg.result_type(1, 2.0) == tg.float32
    with pytest.raises(ArgumentError, match="at least one"):
        tg.result_type()


def test_another_implementation_has_the_same_names() -> None:
    """The list above is that of array-api-strict, where it is installed."""
    strict = pytest.importorskip("array_api_strict")
    names = {
        prefix + name
        for prefix, module in (("", strict), ("linalg.", strict.linalg), ("fft.", strict.fft))
        for name in module.__all__
        if inspect.isfunction(getattr(module, name)) and "flags" not in name and name[0] != "_"
    }
    assert names == set(FUNCTIONS)
