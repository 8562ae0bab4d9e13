"""Transforms with real results: they have gradients by real inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._tensor import Tensor, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.dtypes import (
    complex64,
    float32,
    float64,
)
from tensorgrad.errors import ShapeError
from tensorgrad.fft._arguments import (
    OPPOSITE,
    checked_norm,
    floats,
    lengths_of,
    region,
)
from tensorgrad.shapes import Shape


@op(
    gradient=lambda gy, y, x, s, axes, norm: half_spectrum(gy, x.shape, axes, norm),
    reference=np.fft.irfftn,
    cases=(
        Case((5,), s=(8,), axes=(0,), norm="backward"),
        Case((5,), s=(7,), axes=(0,), norm="ortho"),
        Case((3, 4), s=(4, 3), axes=(1, 0), norm="forward"),
        Case((2, 3), s=(1,), axes=(1,), norm="backward"),
    ),
    method=False,
    kernel="NumPy",
    name="fft.irfftn_sized",
)
def irfftn_sized(x: Tensor, /, s: Any, axes: Any, norm: Any) -> Tensor:
    """`irfftn` with everything given.

    >>> import tensorgrad
    >>> tensorgrad.fft._real.irfftn_sized(tensorgrad.ones(1), (2,), (0,), "backward")
    tensor([0.5, 0.5])
    """
    result = np.fft.irfftn(x._array(), s, axes, norm=norm)
    dtype = float32 if x.dtype in (float32, complex64) else float64
    return wrap_array(result.astype(dtype, order="C", copy=False))


@one_step
def _half_spectrum(gy: Any, shape: Shape, axes: Any, norm: str) -> Any:
    last = axes[-1]
    n = gy.shape[last]
    opposite: Any = OPPOSITE[norm]
    spectrum = np.fft.rfftn(gy, [gy.shape[a] for a in axes], axes, norm=opposite).real
    weights = np.full(n // 2 + 1, 2.0)  # each of these stands for itself and its conjugate
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    spectrum *= weights.reshape([-1 if a == last else 1 for a in range(gy.ndim)])
    gx = np.zeros(shape, gy.dtype)
    common = tuple(slice(min(m, k)) for m, k in zip(shape, spectrum.shape))
    gx[common] = spectrum[common]
    return gx


@op(
    gradient=lambda g, y, gy, shape, axes, norm: irfftn_sized(
        g, tuple(gy.shape[a] for a in axes), axes, norm
    ),
    reference=_half_spectrum,
    cases=(
        Case((8,), shape=(5,), axes=(0,), norm="backward"),
        Case((3, 5), shape=(4, 2), axes=(1, 0), norm="ortho"),
    ),
    method=False,
    kernel="NumPy",
    name="fft.half_spectrum",
)
def half_spectrum(gy: Tensor, /, shape: Shape, axes: Any, norm: str) -> Tensor:
    """The gradient of irfftn by a real input of `shape`: the real part of the transform of gy, doubled
    where a number stands for its conjugate too.

    >>> import tensorgrad
    >>> tensorgrad.fft._real.half_spectrum(tensorgrad.ones(2), (2,), (0,), "backward")
    tensor([1., 0.])
    """
    return wrap_array(_half_spectrum(gy._array(), shape, axes, norm))


def _inverse(x: Tensor, s: Any, axes: Any, norm: str | None, where: str) -> Tensor:
    """irfftn, hfft: the last length is that of the result."""
    x = floats(x, where)
    lengths, chosen = region(x, s, axes, where)
    if s is None or s[-1] == -1:
        lengths = (*lengths[:-1], 2 * (lengths[-1] - 1))
    if min(lengths) < 1 or 0 in (x.shape[a] for a in chosen):
        raise ShapeError(
            f"{where}: expected at least one element along axes {chosen} of {x.shape} and of the "
            f"result, got lengths {lengths}"
        )
    return irfftn_sized(x, lengths, chosen, checked_norm(norm, where))


@composite(
    reference=np.fft.irfft,
    cases=(
        Case((5,)),
        Case((3, 4), axis=0, n=5),
        Case((2, 4), n=9),
        Case((4,), norm="ortho"),
        Case((4,), n=3, norm="forward"),
    ),
    method=False,
    kernel="NumPy",
    name="fft.irfft",
)
def irfft(x: Tensor, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `rfft`. x: (..., m, ...), complex, or real: the imaginary part is then 0, and x may
    have a gradient. n: the length of the result, 2 (m - 1) by default. Returns (..., n, ...), real.

    >>> import tensorgrad
    >>> tensorgrad.fft.irfft(tensorgrad.tensor([2.0, 0.0]))
    tensor([1., 1.])
    """
    return _inverse(x, lengths_of(n), axis, norm, "irfft")


@composite(
    reference=np.fft.irfftn,
    cases=(
        Case((3, 4)),
        Case((2, 3, 4), axes=(2, 0)),
        Case((2, 4), s=(3, 5), axes=(0, 1), norm="ortho"),
    ),
    method=False,
    kernel="NumPy",
    name="fft.irfftn",
)
def irfftn(x: Tensor, /, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
    """The inverse of `rfftn`. x: (...), complex, or real: the imaginary part is then 0, and x may have a
    gradient. s: the lengths of the result along `axes`; the last 2 (m - 1) by default. Returns a real
    tensor.

    >>> import tensorgrad
    >>> tensorgrad.fft.irfftn(tensorgrad.ones((2, 2)))
    tensor([[1., 0.],
            [0., 0.]])
    """
    return _inverse(x, s, axes, norm, "irfftn")


@composite(
    reference=np.fft.hfft,
    cases=(Case((5,)), Case((3, 4), axis=0, n=5), Case((4,), norm="ortho")),
    method=False,
    kernel="NumPy",
    name="fft.hfft",
)
def hfft(x: Tensor, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The Fourier transform, real, of numbers of which x is the first half and the other its conjugate.
    x: (..., m, ...), complex, or real, and then it may have a gradient. n: the length of the result, 2
    (m - 1) by default. Returns (..., n, ...), real.

    >>> import tensorgrad
    >>> tensorgrad.fft.hfft(tensorgrad.tensor([1.0, 1.0]))
    tensor([2., 0.])
    """
    x = floats(x, "hfft")
    if x.dtype.kind == "c":
        x = wrap_array(np.conj(x._array()))
    return _inverse(x, lengths_of(n), axis, OPPOSITE[checked_norm(norm, "hfft")], "hfft")


__all__ = ["hfft", "irfft", "irfftn"]
