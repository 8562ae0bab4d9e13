"""Tensors brought to a common shape, or to a least number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad import shapes
from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.ops.shaping import broadcast_to, reshape


def broadcast_shapes(*shapes_: Any) -> tuple[int, ...]:
    """The shape that the shapes broadcast to, () for none. Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    result: tuple[int, ...] = ()
    for shape in shapes_:
        given = shapes.as_shape(shape, "broadcast_shapes")
        result = shapes.broadcast_shapes(result, given, "broadcast_shapes")
    return result


@composite(
    reference=lambda *arrays: tuple(np.broadcast_arrays(*arrays)),
    cases=(Case((3, 1), (4,)), Case((2, 3), (2, 3)), Case((), (0, 2)), Case((3,))),
    method=False,
)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each of the tensors in the shape that they broadcast to: views. Also `broadcast_arrays`.
    Raises ShapeError.

    >>> import tensorgrad
    >>> tensorgrad.broadcast_tensors(tensorgrad.ones((2, 1)), tensorgrad.zeros(2))[0]
    tensor([[1., 1.],
            [1., 1.]])
    """
    parts = [as_tensor(t, "broadcast_tensors") for t in tensors]
    shape = broadcast_shapes(*(t.shape for t in parts))
    return tuple(broadcast_to(t, shape) for t in parts)


broadcast_arrays = broadcast_tensors


@composite(
    reference=lambda *arrays, indexing="xy": tuple(np.meshgrid(*arrays, indexing=indexing)),
    cases=(
        Case((3,), (2,)),
        Case((3,), (2,), indexing="ij"),
        Case((2,), (3,), (4,)),
        Case((2,)),
        Case((), (2,)),
    ),
    method=False,
)
def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """The coordinates of a grid, from those along each of its axes: views of the shape that all
    lengths make, the i-th varying along axis i. indexing: "xy" exchanges the first two axes, as in a
    picture; "ij" does not. arrays: (n) each. Raises ShapeError, ArgumentError.

    >>> import tensorgrad
    >>> x, y = tensorgrad.meshgrid(tensorgrad.arange(2), tensorgrad.arange(3))
    >>> y
    tensor([[0, 0],
            [1, 1],
            [2, 2]])
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: expected indexing 'xy' or 'ij', got {indexing!r}")
    parts = [as_tensor(t, "meshgrid") for t in arrays]
    for t in parts:
        if len(t.shape) > 1:
            raise ShapeError(f"meshgrid: expected vectors, got shape {t.shape}")
    ndim = len(parts)
    axes = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        axes[:2] = 1, 0
    return broadcast_tensors(
        *(
            reshape(t, tuple(t.size if i == axis else 1 for i in range(ndim)))
            for t, axis in zip(parts, axes)
        )
    )


def _at_least(tensors: tuple[Any, ...], ndim: int) -> Any:
    where = f"atleast_{ndim}d"
    results = []
    for tensor in tensors:
        t = as_tensor(tensor, where)
        shape = t.shape
        if len(shape) < ndim:
            # NumPy's places: a vector is a row, and a matrix gets its third axis at the end
            shape = (1,) * (min(ndim, 2) - len(shape)) + shape
            t = reshape(t, shape + (1,) * (ndim - len(shape)))
        results.append(t)
    return results[0] if len(results) == 1 else tuple(results)


@composite(reference=np.atleast_1d, cases=(Case(()), Case((2, 3)), Case((), (2,))), method=False)
def atleast_1d(*tensors: Tensor) -> Any:
    """The tensor, with an axis if it has none: a view. Of several a tuple.

    >>> import tensorgrad
    >>> tensorgrad.atleast_1d(tensorgrad.tensor(3.0))
    tensor([3.])
    """
    return _at_least(tensors, 1)


@composite(reference=np.atleast_2d, cases=(Case(()), Case((3,)), Case((2, 3))), method=False)
def atleast_2d(*tensors: Tensor) -> Any:
    """The tensor with at least two axes: (n) becomes (1, n). A view. Of several a tuple.

    >>> import tensorgrad
    >>> tensorgrad.atleast_2d(tensorgrad.ones(3)).shape
    (1, 3)
    """
    return _at_least(tensors, 2)


@composite(
    reference=np.atleast_3d,
    cases=(Case(()), Case((3,)), Case((2, 3)), Case((1, 2, 3))),
    method=False,
)
def atleast_3d(*tensors: Tensor) -> Any:
    """The tensor with at least three axes: (n) becomes (1, n, 1), and (m, n) becomes (m, n, 1), as in
    NumPy. A view. Of several a tuple.

    >>> import tensorgrad
    >>> tensorgrad.atleast_3d(tensorgrad.ones(3)).shape
    (1, 3, 1)
    """
    return _at_least(tensors, 3)


__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_tensors",
    "meshgrid",
]
