"""Sets of the elements of tensors, by NumPy. Nothing here has a gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad._native import in_c_order
from tensorgrad._tensor import Tensor, as_tensor, wrap_array
from tensorgrad.autograd import Case, composite, op

_SETS = (Case(np.array([3, 1, 3, 2])), Case(np.array([[2.0, 0.5], [0.5, 2.0]])))


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


def _wrapped(array: Any) -> Tensor:
    return wrap_array(in_c_order(array))


@composite(
    tags=("values decide the shape",), reference=np.unique, cases=_SETS, differentiable=False
)
def unique(
    x: Tensor,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
) -> Any:
    """The different elements in order (or slices along an axis), as in NumPy: NaNs are equal here.
    x: (...). Returns them (count), or a tuple of them and of what else was asked for: where each
    occurs first, which of them each element of x is, how often each occurs.

    >>> import tensorgrad
    >>> tensorgrad.unique(tensorgrad.tensor([3, 1, 3]))
    tensor([1, 3])
    """
    function: Any = np.unique
    found = function(
        as_tensor(x, "unique")._array(), return_index, return_inverse, return_counts, axis
    )
    return tuple(_wrapped(a) for a in found) if isinstance(found, tuple) else _wrapped(found)


@composite(
    tags=("values decide the shape",),
    reference=lambda x: tuple(np.unique_all(x)),
    cases=_SETS,
    differentiable=False,
)
def unique_all(x: Tensor, /) -> UniqueAll:
    """The different elements in order; every NaN is one of its own. x: (...). Returns (values,
    indices, inverse_indices, counts): (count), where each occurs first: (count), which of them each
    element of x is: x's shape, how often each occurs: (count). (Array API.)

    >>> import tensorgrad
    >>> tensorgrad.unique_all(tensorgrad.tensor([3, 1, 3])).counts
    tensor([1, 2])
    """
    return UniqueAll(*(_wrapped(a) for a in np.unique_all(as_tensor(x, "unique_all")._array())))


@composite(
    tags=("values decide the shape",),
    reference=lambda x: tuple(np.unique_counts(x)),
    cases=_SETS,
    differentiable=False,
)
def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The different elements in order and how often each occurs; every NaN is one of its own. x:
    (...). Returns (values, counts), each (count). (Array API.)

    >>> import tensorgrad
    >>> tensorgrad.unique_counts(tensorgrad.tensor([3, 1, 3])).counts
    tensor([1, 2])
    """
    found = np.unique_counts(as_tensor(x, "unique_counts")._array())
    return UniqueCounts(*(_wrapped(a) for a in found))


@composite(
    tags=("values decide the shape",),
    reference=lambda x: tuple(np.unique_inverse(x)),
    cases=_SETS,
    differentiable=False,
)
def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The different elements in order and which of them each element of x is; every NaN is one of
    its own. x: (...). Returns (values, inverse_indices): (count) and x's shape. (Array API.)

    >>> import tensorgrad
    >>> tensorgrad.unique_inverse(tensorgrad.tensor([3, 1, 3])).inverse_indices
    tensor([1, 0, 1])
    """
    found = np.unique_inverse(as_tensor(x, "unique_inverse")._array())
    return UniqueInverse(*(_wrapped(a) for a in found))


@op(
    tags=("values decide the shape",),
    gradient=None,
    reference=lambda x: np.unique(x, equal_nan=False),
    cases=_SETS,
    kernel="NumPy",
)
def unique_values(x: Tensor, /) -> Tensor:
    """The different elements in order; every NaN is one of its own. x: (...). Returns (count).
    (Array API.)

    >>> import tensorgrad
    >>> tensorgrad.unique_values(tensorgrad.tensor([3, 1, 3]))
    tensor([1, 3])
    """
    return _wrapped(np.unique(x._array(), equal_nan=False))


@op(
    gradient=None,
    reference=np.isin,
    cases=(Case(np.array([[3, 1], [2, 9]]), np.array([1, 9])),),
    kernel="NumPy",
)
def isin(x1: Tensor, x2: Tensor, /, *, invert: bool = False) -> Tensor:
    """Which elements of x1 occur in x2 (invert: do not). x1: (...), x2: any shape. Returns x1's
    shape, bool.

    >>> import tensorgrad
    >>> tensorgrad.isin(tensorgrad.tensor([3, 1]), tensorgrad.tensor([1, 9]))
    tensor([False,  True])
    """
    return _wrapped(np.isin(x1._array(), x2._array(), invert=invert))


__all__ = ["isin", "unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"]
