"""Parts of a tensor that a view of it covers: read, written back, blanked out. A write through a view
is differentiated with these (ops/inplace.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorgrad._captures import one_step
from tensorgrad._native import address_of
from tensorgrad._tensor import Tensor, copy_into, copy_raw, full_raw, view, wrap_array
from tensorgrad.autograd import Case, op
from tensorgrad.dtypes import ITEMSIZES
from tensorgrad.shapes import Shape, repeats_elements


class Region:
    """Where a view lies in the tensor that it is a view of, its base.

    shape: the view's. strides, offset: its steps and its beginning, in elements of a contiguous
    array of the base's shape; strides is None where there are no such steps, or where elements of
    the view share a place, and then positions: shape `shape`, int64, has the place of each element
    in the base's elements in C order."""

    __slots__ = ("offset", "positions", "shape", "strides")

    def __init__(
        self,
        shape: Shape,
        strides: Shape | None,
        offset: int = 0,
        positions: np.ndarray[Any, Any] | None = None,
    ) -> None:
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.positions = positions

    def __repr__(self) -> str:
        return f"Region({self.shape}, {self.strides}, {self.offset})"

    def of(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The elements of a NumPy array of the base's shape."""
        flat = np.ascontiguousarray(array).reshape(-1)
        return flat[self.places()]

    def places(self) -> np.ndarray[Any, Any]:
        """The place of each element in the base's elements in C order."""
        if self.positions is not None:
            return self.positions
        places = np.full(self.shape, self.offset, np.int64)
        for axis, (n, step) in enumerate(zip(self.shape, self.strides or ())):
            places += (np.arange(n) * step).reshape(-1, *(1,) * (len(self.shape) - axis - 1))
        return places


def region_of(v: Tensor, base: Tensor) -> Region:
    """The region of `base` that its view v covers."""
    strides = v.strides
    start = (address_of(v._ptr) - address_of(base._ptr)) // ITEMSIZES[v._code]
    if base._strides is None and not repeats_elements(v._shape, strides):
        return Region(v._shape, strides, start)
    # where in memory each element is, in the base and in the view; then the one found in the other
    memory = Region(base._shape, base.strides, 0).places().reshape(-1)
    order = np.argsort(memory, kind="stable")
    wanted = Region(v._shape, strides, start).places()
    found = np.searchsorted(memory, wanted.reshape(-1), sorter=order)
    return Region(v._shape, None, 0, order[found].reshape(v._shape))


def _window(t: Tensor, region: Region) -> Tensor:
    """The region of a contiguous tensor, as a view."""
    return view(t, region.shape, region.strides, region.offset)


_CASES = (
    Region((2, 3), (3, 1), 1),
    Region((3, 2), (-4, 2), 8),
    Region((), (), 5),
    Region((2,), None, 0, np.array([7, 2])),
)


@op(
    gradient=lambda gy, y, x, region: region_embed(gy, x.shape, region),
    reference=lambda x, region: region.of(x),
    cases=tuple(Case((3, 4), region=region) for region in _CASES),
    method=False,
)
def region_read(x: Tensor, region: Region) -> Tensor:
    """The elements of x in a region, as a new tensor. x: the region's base's shape. Returns the
    region's shape.

    >>> import tensorgrad
    >>> from tensorgrad.ops.regions import Region, region_read
    >>> region_read(tensorgrad.arange(6), Region((2,), (3,), 1))
    tensor([1, 4])
    """
    if region.strides is not None:
        return copy_raw(_window(x.contiguous(), region))
    positions = Tensor(region.places())
    return x.reshape((x._size,)).take(positions)


@one_step
def _embed_reference(gy: np.ndarray[Any, Any], shape: Shape, region: Region) -> Any:
    gx = np.zeros(int(np.prod(shape)), gy.dtype)
    np.add.at(gx, region.places(), gy)
    return gx.reshape(shape)


@op(
    gradient=lambda g, gx, gy, shape, region: region_read(g, region),
    reference=_embed_reference,
    cases=tuple(Case(region.shape, shape=(3, 4), region=region) for region in _CASES),
    method=False,
)
def region_embed(gy: Tensor, shape: Shape, region: Region) -> Tensor:
    """Zeros of `shape` to which gy is added in a region: the gradient of `region_read`. gy: the
    region's shape. Returns `shape`.

    >>> import tensorgrad
    >>> from tensorgrad.ops.regions import Region, region_embed
    >>> region_embed(tensorgrad.ones(2), (6,), Region((2,), (3,), 1))
    tensor([0., 1., 0., 0., 1., 0.])
    """
    if region.strides is None:
        return wrap_array(_embed_reference(gy._array(), shape, region))
    size = 1
    for n in shape:
        size *= n
    gx = full_raw(shape, size, gy._code, 0)
    copy_into(_window(gx, region), gy, "region_embed")
    return gx


@one_step
def _blank_reference(x: np.ndarray[Any, Any], region: Region) -> Any:
    y = np.array(x, order="C")
    y.reshape(-1)[region.places()] = 0
    return y


@op(
    gradient=lambda gy, y, x, region: region_blank(gy, region),
    reference=_blank_reference,
    cases=tuple(Case((3, 4), region=region) for region in _CASES),
    method=False,
)
def region_blank(x: Tensor, region: Region) -> Tensor:
    """A copy of x with zeros in a region. x: the region's base's shape.

    >>> import tensorgrad
    >>> from tensorgrad.ops.regions import Region, region_blank
    >>> region_blank(tensorgrad.ones(4), Region((2,), (2,), 0))
    tensor([0., 1., 0., 1.])
    """
    if region.strides is None:
        return wrap_array(_blank_reference(x._array(), region))
    y = copy_raw(x)
    zero = view(full_raw((), 1, y._code, 0), region.shape, (0,) * len(region.shape), 0)
    copy_into(_window(y, region), zero, "region_blank")
    return y


__all__ = ["Region", "region_blank", "region_embed", "region_of", "region_read"]
