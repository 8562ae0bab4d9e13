"""The exponential of matrices."""

from __future__ import annotations

from math import ceil, factorial, isfinite, log2
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.linalg._support import LAPACK, identity_like, matrices, values_of
from tensorgrad.linalg._systems import solve
from tensorgrad.ops.matrix import matmul

# The largest 1-norm for which the approximant of a degree is exact to double precision (Higham 2005,
# "The scaling and squaring method for the matrix exponential revisited", table 2.3)
_LARGEST = {
    3: 1.495585217958292e-2,
    5: 2.539398330063230e-1,
    7: 9.504178996162932e-1,
    9: 2.097847961257068,
    13: 5.371920351148152,
}


def _coefficients(m: int) -> list[float]:
    """Of the numerator of the diagonal Padé approximant of degree m, that of x^m made 1."""
    return [float(factorial(2 * m - j) // (factorial(m - j) * factorial(j))) for j in range(m + 1)]


def _exponential_reference(x: Any) -> Any:
    """The power series of x / 2^k, squared k times."""
    k = 8
    y = term = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for j in range(1, 25):
        term = term @ (x.astype(np.float64) / 2**k) / j
        y = y + term
    for _ in range(k):
        y = y @ y
    return y.astype(x.dtype)


@composite(
    reference=_exponential_reference,
    cases=(
        Case((3, 3), low=-0.004, high=0.004),
        Case((3, 3), low=-0.08, high=0.08),
        Case((3, 3), low=-0.3, high=0.3),
        Case((2, 2, 2)),
        Case((3, 3), low=-3, high=3),
        Case((1, 1)),
    ),
    method=False,
    tags=LAPACK,
    name="linalg.matrix_exp",
)
def matrix_exp(x: Tensor, /) -> Tensor:
    """The exponential of square matrices, 1 + x + x @ x / 2 + ..., by scaling and squaring with Padé
    approximants (Higham 2005). x: (..., n, n). The matrix of the batch with the largest 1-norm
    decides degree and scaling for all. Made of products and one solve, and differentiated as such.

    >>> import tensorgrad
    >>> tensorgrad.linalg.matrix_exp(tensorgrad.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    x = matrices(x, "matrix_exp", square=True)
    size = np.abs(values_of(x))
    norm = float(size.sum(-2).max(initial=0.0))
    degree = next((m for m, largest in _LARGEST.items() if norm <= largest), 13)
    squarings = 0
    if isfinite(norm) and norm > _LARGEST[13]:
        squarings = ceil(log2(norm / _LARGEST[13]))
        x = x * 2.0**-squarings
    b = _coefficients(degree)
    one = identity_like(x)
    x2 = matmul(x, x)
    powers = [one, x2]  # of x2
    if degree < 13:
        for _ in range(degree // 2 - 1):
            powers.append(matmul(powers[-1], x2))
        odd = _combined(powers, b[1::2])
        even = _combined(powers, b[::2])
    else:  # with three powers instead of six
        x4 = matmul(x2, x2)
        x6 = matmul(x4, x2)
        powers += [x4, x6]
        odd = matmul(x6, _combined(powers[1:], b[9::2])) + _combined(powers, b[1:8:2])
        even = matmul(x6, _combined(powers[1:], b[8::2])) + _combined(powers, b[:7:2])
    odd = matmul(x, odd)
    y = solve(even - odd, even + odd)
    for _ in range(squarings):
        y = matmul(y, y)
    return y


def _combined(terms: list[Tensor], factors: list[float]) -> Tensor:
    total = terms[0] * factors[0]
    for term, factor in zip(terms[1:], factors[1:]):
        total = total + term * factor
    return total


__all__ = ["matrix_exp"]
