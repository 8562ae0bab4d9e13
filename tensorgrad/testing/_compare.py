"""Comparison of values, with an error that says where they differ most."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.errors import TensorgradError

# relative and absolute tolerance by dtype; other dtypes must be equal
TOLERANCES = {
    **dict.fromkeys(("float32", "complex64"), (1e-5, 1e-6)),
    **dict.fromkeys(("float64", "complex128"), (1e-10, 1e-12)),
}


class CheckError(TensorgradError, AssertionError):
    """A check failed: says what was compared, expected and got."""

    __module__ = "tensorgrad.testing"


def to_array(x: Any) -> np.ndarray[Any, Any]:
    """The values of a Tensor (recorded or not), an array, or a number."""
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    what: str = "value",
) -> None:
    """Raises CheckError unless `actual` has the shape of `expected` and, element by element,
    |actual - expected| <= atol + rtol * |expected|. NaN equals NaN, an infinity itself only.

    actual, expected: Tensors, arrays or numbers. rtol, atol: by default 1e-5 and 1e-6 where either
    is float32 (or complex64), 1e-10 and 1e-12 for float64, and 0 otherwise. what: the name in the message.

    >>> import tensorgrad
    >>> from tensorgrad.testing import assert_close
    >>> assert_close(tensorgrad.tensor([1.0, 2.0]), [1.0, 2.0])
    >>> assert_close(tensorgrad.tensor([1.0, 2.0]), [1.0, 2.5], what="the sum")
    Traceback (most recent call last):
        ...
    tensorgrad.testing.CheckError: the sum: 1 of 2 elements differ, most at index (1,): \
expected 2.5, got 2.0 (difference 0.5, tolerance 2.6e-05)
    """
    got, want = to_array(actual), to_array(expected)
    if got.shape != want.shape:
        raise CheckError(f"{what}: expected shape {want.shape}, got {got.shape}")
    kinds = {got.dtype.name, want.dtype.name}
    name = next((name for name in TOLERANCES if name in kinds), "")
    default_rtol, default_atol = TOLERANCES.get(name, (0.0, 0.0))
    rtol = default_rtol if rtol is None else rtol
    atol = default_atol if atol is None else atol
    wide = np.complex128 if "c" in (got.dtype.kind, want.dtype.kind) else np.float64
    a, b = got.astype(wide), want.astype(wide)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(a - b)
        tolerance = atol + rtol * np.abs(b)
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.isfinite(b) & (difference <= tolerance))
    if same.all():
        return
    with np.errstate(invalid="ignore"):
        excess = difference - tolerance
    excess = np.where(same, -np.inf, np.where(np.isnan(excess), np.inf, excess))
    worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
    index = tuple(int(i) for i in worst)
    raise CheckError(
        f"{what}: {np.count_nonzero(~same)} of {same.size} elements differ, most at index {index}: "
        f"expected {want[worst]!s}, got {got[worst]!s} "
        f"(difference {difference[worst]:.3g}, tolerance {tolerance[worst]:.3g})"
    )
