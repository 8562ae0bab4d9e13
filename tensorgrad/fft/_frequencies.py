"""Frequencies, and where in a spectrum the frequency 0 is."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.autograd import Case, composite
from tensorgrad.dtypes import (
    DTYPES,
    F32,
    check_device,
    code_of,
)
from tensorgrad.errors import DTypeError
from tensorgrad.fft._arguments import (
    checked_length,
)
from tensorgrad.ops.joining import concat
from tensorgrad.shapes import normalize_axes


def _shifted(x: Any, axes: Any, back: bool, where: str) -> Tensor:
    x = as_tensor(x, where)
    for axis in normalize_axes(axes, x.ndim, where):
        n = x.shape[axis]
        first = n // 2 if back else n - n // 2  # goes to the front
        if 0 < first < n:
            whole = (slice(None),) * axis
            front, rest = ((*whole, slice(*ends)) for ends in ((first, None), (0, first)))
            x = concat([x[front], x[rest]], axis)
    return x


@composite(
    reference=np.fft.fftshift,
    cases=(Case((5,)), Case((3, 4)), Case((3, 4), axes=1), Case((0,))),
    method=False,
    name="fft.fftshift",
)
def fftshift(x: Tensor, /, axes: Any = None) -> Tensor:
    """The frequency 0 moved from the front to the middle along axes (None: all). x: (...), any dtype.

    >>> import tensorgrad
    >>> tensorgrad.fft.fftshift(tensorgrad.fft.fftfreq(4))
    tensor([-0.5 , -0.25,  0.  ,  0.25])
    """
    return _shifted(x, axes, False, "fftshift")


@composite(
    reference=np.fft.ifftshift,
    cases=(Case((5,)), Case((3, 4)), Case((3, 4), axes=(0,))),
    method=False,
    name="fft.ifftshift",
)
def ifftshift(x: Tensor, /, axes: Any = None) -> Tensor:
    """The inverse of `fftshift`: they differ where a length is odd. x: (...), any dtype.

    >>> import tensorgrad
    >>> tensorgrad.fft.ifftshift(tensorgrad.arange(3))
    tensor([1, 2, 0])
    """
    return _shifted(x, axes, True, "ifftshift")


def _frequencies(function: Any, n: int, d: float, dtype: Any, device: Any, where: str) -> Tensor:
    check_device(device, where)
    code = F32 if dtype is None else code_of(dtype, where)
    if DTYPES[code].kind != "f":
        raise DTypeError(f"{where}: expected float32 or float64, got {DTYPES[code]}")
    return wrap_array(function(checked_length(n, where), d).astype(DTYPES[code]))


def fftfreq(n: int, /, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of fft's result: 0, 1, ..., then the negative ones, over n * d. d: the distance of
    the samples; dtype: float32 by default. Returns (n).

    >>> import tensorgrad
    >>> tensorgrad.fft.fftfreq(4)
    tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return _frequencies(np.fft.fftfreq, n, d, dtype, device, "fftfreq")


def rfftfreq(n: int, /, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of rfft's result: 0, 1, ..., n // 2, over n * d. Returns (n // 2 + 1).

    >>> import tensorgrad
    >>> tensorgrad.fft.rfftfreq(4)
    tensor([0.  , 0.25, 0.5 ])
    """
    return _frequencies(np.fft.rfftfreq, n, d, dtype, device, "rfftfreq")


__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]
