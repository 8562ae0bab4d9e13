"""Transforms with complex results, which are off the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, wrap_array
from tensorgrad.autograd import Case, op
from tensorgrad.dtypes import (
    complex64,
    complex128,
    float32,
)
from tensorgrad.errors import ShapeError
from tensorgrad.fft._arguments import (
    OPPOSITE,
    checked_norm,
    floats,
    lengths_of,
    region,
)


def _transformed(
    function: Callable[..., Any],
    where: str,
    x: Tensor,
    s: Sequence[int] | None,
    axes: Any,
    norm: str | None,
    *,
    real: bool = False,
) -> Tensor:
    """A transform with a complex result. x: (...)."""
    x = floats(x, where, real=real)
    lengths, chosen = region(x, s, axes, where)
    if 0 in lengths:
        raise ShapeError(f"{where}: expected at least one element along axes {chosen} of {x.shape}")
    result = function(x._array(), lengths, chosen, norm=checked_norm(norm, where))
    dtype = complex64 if x.dtype in (float32, complex64) else complex128
    return wrap_array(result.astype(dtype, order="C", copy=False))


@op(
    gradient=None,
    reference=np.fft.fft,
    cases=(
        Case((5,)),
        Case((3, 4), axis=0),
        Case((2, 4), n=3),
        Case((3,), n=5, norm="ortho"),
        Case((3,), norm="forward"),
    ),
    method=False,
    kernel="NumPy",
    name="fft.fft",
)
def fft(x: Tensor, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The Fourier transform along an axis. x: (..., m, ...), real or complex. n: the length, to which x
    is cut or padded with zeros; by default m. Returns (..., n, ...), complex, off the tape.

    >>> import tensorgrad
    >>> tensorgrad.fft.fft(tensorgrad.ones(2)).numpy()
    array([2.+0.j, 0.+0.j], dtype=complex64)
    """
    return _transformed(np.fft.fftn, "fft", x, lengths_of(n), axis, norm)


@op(
    gradient=None,
    reference=np.fft.ifft,
    cases=(Case((5,)), Case((3, 4), axis=0), Case((2, 4), n=3, norm="ortho")),
    method=False,
    kernel="NumPy",
    name="fft.ifft",
)
def ifft(x: Tensor, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `fft`. x: (..., m, ...), real or complex. Returns (..., n, ...), complex, off the
    tape.

    >>> import tensorgrad
    >>> tensorgrad.fft.ifft(tensorgrad.ones(2)).numpy()
    array([1.+0.j, 0.+0.j], dtype=complex64)
    """
    return _transformed(np.fft.ifftn, "ifft", x, lengths_of(n), axis, norm)


@op(
    gradient=None,
    reference=np.fft.fftn,
    cases=(Case((3, 4)), Case((2, 3, 4), axes=(0, 2)), Case((2, 4), s=(3, 3), axes=(0, 1))),
    method=False,
    kernel="NumPy",
    name="fft.fftn",
)
def fftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
    """The Fourier transform along several axes. x: (...), real or complex. s: the lengths along `axes`, to
    which x is cut or padded with zeros; axes: by default the last len(s), or all. Returns a complex
    tensor, off the tape.

    >>> import tensorgrad
    >>> tensorgrad.fft.fftn(tensorgrad.ones((2, 2))).numpy()
    array([[4.+0.j, 0.+0.j],
           [0.+0.j, 0.+0.j]], dtype=complex64)
    """
    return _transformed(np.fft.fftn, "fftn", x, s, axes, norm)


@op(
    gradient=None,
    reference=np.fft.ifftn,
    cases=(Case((3, 4)), Case((2, 3, 4), axes=(0, 2), norm="ortho")),
    method=False,
    kernel="NumPy",
    name="fft.ifftn",
)
def ifftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
    """The inverse of `fftn`. x: (...), real or complex. Returns a complex tensor, off the tape.

    >>> import tensorgrad
    >>> tensorgrad.fft.ifftn(tensorgrad.ones((1, 2))).numpy()
    array([[1.+0.j, 0.+0.j]], dtype=complex64)
    """
    return _transformed(np.fft.ifftn, "ifftn", x, s, axes, norm)


@op(
    gradient=None,
    reference=np.fft.rfft,
    cases=(Case((5,)), Case((3, 4), axis=0), Case((2, 4), n=3), Case((3,), n=6, norm="ortho")),
    method=False,
    kernel="NumPy",
    name="fft.rfft",
)
def rfft(x: Tensor, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The half of the Fourier transform of real numbers that says all: the other is its conjugate. x:
    (..., m, ...). Returns (..., n // 2 + 1, ...), complex, off the tape. Raises DTypeError for complex x.

    >>> import tensorgrad
    >>> tensorgrad.fft.rfft(tensorgrad.ones(3)).numpy()
    array([3.+0.j, 0.+0.j], dtype=complex64)
    """
    return _transformed(np.fft.rfftn, "rfft", x, lengths_of(n), axis, norm, real=True)


@op(
    gradient=None,
    reference=np.fft.rfftn,
    cases=(Case((3, 4)), Case((2, 3, 4), axes=(2, 0)), Case((2, 4), s=(3, 3), axes=(0, 1))),
    method=False,
    kernel="NumPy",
    name="fft.rfftn",
)
def rfftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
    """`rfft` along the last of several axes, `fft` along the others. x: (...), real. Returns a complex
    tensor, off the tape. Raises DTypeError for complex x.

    >>> import tensorgrad
    >>> tensorgrad.fft.rfftn(tensorgrad.ones((2, 2))).shape
    (2, 2)
    """
    return _transformed(np.fft.rfftn, "rfftn", x, s, axes, norm, real=True)


@op(
    gradient=None,
    reference=np.fft.ihfft,
    cases=(Case((5,)), Case((3, 4), axis=0), Case((4,), norm="ortho")),
    method=False,
    kernel="NumPy",
    name="fft.ihfft",
)
def ihfft(x: Tensor, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `hfft`. x: (..., m, ...), real. Returns (..., n // 2 + 1, ...), complex, off the
    tape.

    >>> import tensorgrad
    >>> tensorgrad.fft.ihfft(tensorgrad.ones(2)).numpy()
    array([1.-0.j, 0.-0.j], dtype=complex64)
    """
    opposite = OPPOSITE[checked_norm(norm, "ihfft")]
    y = _transformed(np.fft.rfftn, "ihfft", x, lengths_of(n), axis, opposite, real=True)
    return wrap_array(np.conj(y._array()))


__all__ = ["fft", "fftn", "ifft", "ifftn", "ihfft", "rfft", "rfftn"]
