"""Discrete Fourier transforms: the `fft` extension of the Python Array API standard, by NumPy (pocketfft).

float32 gives complex64, float64 complex128. Complex tensors are off the tape, and so are the results of
the transforms that return them: a gradient does not flow through a spectrum. Gradients flow where input
and output are real: through irfft, irfftn and hfft of real tensors, and through the shifts.

norm: "backward" (the default) scales the inverse transforms by 1/n, "forward" the others, "ortho" both by
1/sqrt(n)."""

from __future__ import annotations

from tensorgrad.fft._frequencies import fftfreq, fftshift, ifftshift, rfftfreq
from tensorgrad.fft._real import hfft, irfft, irfftn
from tensorgrad.fft._spectra import fft, fftn, ifft, ifftn, ihfft, rfft, rfftn

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]
