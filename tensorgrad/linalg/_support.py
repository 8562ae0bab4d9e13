"""What the functions of linalg share: checks of their arguments, calls of LAPACK, triangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._native import in_c_order
from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.dtypes import float32
from tensorgrad.errors import LinearAlgebraError, ShapeError, SingularMatrixError

# Op tag: LAPACK computes, through NumPy
LAPACK = ("lapack",)


def matrices(x: Any, where: str, *, square: bool = False) -> Tensor:
    """x as a Tensor of matrices of a float or complex dtype: integers become float32. Raises
    ShapeError."""
    x = as_tensor(x, where)
    if x.ndim < 2:
        raise ShapeError(f"{where}: expected matrices, at least 2 axes, got shape {x.shape}")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{where}: expected square matrices, got shape {x.shape}")
    return floats(x)


def floats(x: Tensor) -> Tensor:
    """x, integers and booleans as float32."""
    return x if x.dtype.kind in "fc" else x.astype(float32)


def is_complex(x: Tensor) -> bool:
    """Whether x is off the tape for its dtype, and NumPy's."""
    return x.dtype.kind == "c"


def tensor_of(array: Any) -> Tensor:
    """A Tensor of what NumPy computed, contiguous."""
    return wrap_array(in_c_order(array))


@one_step
def lapack(function: Callable[..., Any], where: str, *arrays: Any, **params: Any) -> Any:
    """function(*arrays, **params) of np.linalg, with errors that name the op."""
    try:
        with np.errstate(all="ignore"):
            return function(*arrays, **params)
    except np.linalg.LinAlgError as error:
        shape = arrays[0].shape
        for array in arrays:
            _check_finite(array, where)
        if "ingular" in str(error):
            raise SingularMatrixError(
                f"{where}: expected invertible matrices, got a singular one (shape {shape}); pinv and "
                "lstsq take any"
            ) from None
        raise LinearAlgebraError(f"{where}: {error} (shape {shape})") from None


def spectral(function: Callable[..., Any], where: str, x: Any, *others: Any, **params: Any) -> Any:
    """`lapack` for eigenvalues and singular values: their iteration may never end for infinity."""
    _check_finite(x, where)
    return lapack(function, where, x, *others, **params)


@one_step
def _check_finite(x: Any, where: str) -> None:
    if not np.isfinite(x).all():
        raise LinearAlgebraError(
            f"{where}: expected finite numbers, got NaN or infinity in a matrix of shape {x.shape}"
        ) from None


def lower(x: Tensor, k: int = 0) -> Tensor:
    """x with zeros above its k-th diagonal."""
    return x * wrap_array(np.tril(np.ones(x.shape[-2:], x.dtype), k))


def upper(x: Tensor, k: int = 0) -> Tensor:
    """x with zeros below its k-th diagonal."""
    return x * wrap_array(np.triu(np.ones(x.shape[-2:], x.dtype), k))


def symmetrised(x: Tensor) -> Tensor:
    """(x + x.T) / 2."""
    return (x + x.mT) * 0.5


def symmetric(x: Any) -> Any:
    """(x + x.T) / 2 of an array, x.T conjugated if it is complex."""
    with np.errstate(all="ignore"):  # of infinity: what is called with it refuses that by name
        return (x + x.swapaxes(-1, -2).conj()) / 2


def adjoint(x: Tensor) -> Tensor:
    """x's conjugate transpose."""
    return tensor_of(np.conj(x._array()).swapaxes(-1, -2)) if is_complex(x) else x.mT


def identity_like(x: Tensor) -> Tensor:
    """The identity matrix of x's rows, in x's dtype."""
    return wrap_array(np.eye(x.shape[-2], dtype=x.dtype))


def nonzero(x: Tensor) -> Tensor:
    """x with the smallest normal number for zeros: 0 divided by it is 0 and not NaN, and anything else
    so large that nobody takes it for a gradient."""
    tiny = np.finfo(x.dtype).tiny
    return x + (x.detach() == 0.0).astype(x.dtype) * float(tiny)


def values_of(x: Any) -> Any:
    """The numbers of x, for a decision that they make. Inside vmap: those of the whole batch, for which
    one decision is made."""
    while hasattr(x, "value"):  # it stands for an element of this
        x = x.value
    return x.detach()._array()


def machine_epsilon(x: Tensor) -> float:
    """The distance from 1 to the next number of x's dtype."""
    return float(np.finfo(x.dtype).eps)
