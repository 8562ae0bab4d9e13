"""Tensors with a border."""

from __future__ import annotations

from operator import index as to_int
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor, copy_into, full_raw, view, wrap_array
from tensorgrad.autograd import Case, composite, op
from tensorgrad.dtypes import ITEMSIZES
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.ops.gathering import take
from tensorgrad.shapes import checked_size, contiguous_strides

Widths = tuple[tuple[int, int], ...]

# NumPy's name of each mode
_MODES = {
    "constant": "constant",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "edge",
    "edge": "edge",
    "circular": "wrap",
    "wrap": "wrap",
}


def _widths(pad_width: Any, ndim: int) -> Widths:
    """The widths before and after each axis."""
    try:
        given = np.array(pad_width.tolist() if isinstance(pad_width, Tensor) else pad_width)
        wide = np.broadcast_to(given, (ndim, 2)).tolist()
        result = tuple((to_int(before), to_int(after)) for before, after in wide)
    except TypeError:
        raise DTypeError(f"pad: expected widths that are integers, got {pad_width!r}") from None
    except ValueError:
        raise ShapeError(
            f"pad: expected a width, a pair (before, after), or {ndim} such pairs, got {pad_width!r}"
        ) from None
    if any(n < 0 for pair in result for n in pair):
        raise ShapeError(f"pad: expected widths >= 0, got {pad_width!r}")
    return result


def _inside(shape: Any, widths: Widths) -> Any:
    """The index of the middle of a padded tensor of `shape`."""
    return tuple(slice(before, n - after) for n, (before, after) in zip(shape, widths))


def _constant_reference(x: np.ndarray, widths: Widths, value: float) -> Any:
    return np.pad(x, widths, constant_values=value) if x.ndim else x


@op(
    gradient=lambda gy, y, x, widths, value: gy[_inside(gy.shape, widths)],
    reference=_constant_reference,
    cases=(Case((2, 3), widths=((1, 0), (2, 1)), value=3.0), Case((), widths=(), value=0.0)),
    method=False,
)
def pad_constant(x: Tensor, widths: Widths, value: float) -> Tensor:
    """x with a border of one value. widths: before and after each axis. What `pad` is made of.

    >>> import tensorgrad
    >>> tensorgrad.ops.pad_constant(tensorgrad.ones(1), ((1, 2),), 0.0)
    tensor([0., 1., 0., 0.])
    """
    shape = tuple(n + before + after for n, (before, after) in zip(x._shape, widths))
    y = full_raw(shape, checked_size(shape, ITEMSIZES[x._code], "pad"), x._code, value)
    strides = contiguous_strides(shape)
    offset = sum(before * step for (before, _), step in zip(widths, strides))
    if x._size:
        copy_into(view(y, x._shape, strides, offset), x, "pad")
    return y


def _pad_reference(
    x: np.ndarray, pad_width: Any, mode: str = "constant", constant_values: float = 0
) -> Any:
    extra = {"constant_values": constant_values} if mode == "constant" else {}
    return np.pad(x, pad_width, _MODES[mode], **extra)  # type: ignore[call-overload]


@composite(
    reference=_pad_reference,
    cases=(
        Case((2, 3), pad_width=1),
        Case((2, 3), pad_width=((1, 0), (0, 2)), constant_values=-1.5),
        Case((3, 4), pad_width=(2, 1), mode="reflect"),
        Case((3,), pad_width=((5, 4),), mode="reflect"),
        Case((2, 3), pad_width=((0, 3), (2, 0)), mode="replicate"),
        Case((2, 3), pad_width=((0, 3), (4, 1)), mode="circular"),
        Case((2, 3), pad_width=1, mode="symmetric"),
        Case((0, 3), pad_width=((1, 1), (0, 0))),
    ),
)
def pad(x: Tensor, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Tensor:
    """x with a border, as in NumPy. pad_width: one width for all sides, a pair (before, after) for
    all axes, or a pair for each axis. mode: "constant" (of constant_values), "reflect" (the border
    mirrors x, whose edge is not repeated), "symmetric" (it is), "replicate" or "edge" (the edge goes
    on), "circular" or "wrap" (x goes on with its other end). Gradients of what was repeated are
    summed. Raises ShapeError, ArgumentError.

    >>> import tensorgrad
    >>> tensorgrad.pad(tensorgrad.tensor([1, 2, 3]), (2, 1), mode="reflect")
    tensor([3, 2, 1, 2, 3, 2])
    """
    x = as_tensor(x, "pad")
    widths = _widths(pad_width, len(x.shape))
    if mode not in _MODES:
        raise ArgumentError(f"pad: expected a mode among {', '.join(_MODES)}, got {mode!r}")
    if mode == "constant":
        return pad_constant(x, widths, constant_values)
    for axis, ((before, after), n) in enumerate(zip(widths, x.shape)):
        if before or after:
            if not n:
                raise ShapeError(
                    f"pad: mode {mode!r} needs elements along axis {axis}, got shape {x.shape}"
                )
            places = np.pad(np.arange(n), (before, after), _MODES[mode])  # type: ignore[call-overload]
            x = take(x, wrap_array(places), axis)
    return x


__all__ = ["pad", "pad_constant"]
