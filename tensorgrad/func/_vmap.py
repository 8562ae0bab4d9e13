"""vmap: a function of single elements made one of batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd._tree import built, leaves_of
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.func._batched import Batched, levels
from tensorgrad.ops.joining import concat
from tensorgrad.ops.shaping import broadcast_to, moveaxis
from tensorgrad.shapes import normalize_axis


def _spread(axes: Any, tree: Any, what: str) -> list[int | None]:
    """The axis of each leaf of the tree: `axes` is an axis, or a tree whose form is the upper part of
    this one's."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(leaves_of(tree))
    if isinstance(axes, (tuple, list)) and isinstance(tree, (tuple, list)):
        if len(axes) == len(tree):
            return [a for part, t in zip(axes, tree) for a in _spread(part, t, what)]
        raise ArgumentError(
            f"vmap: expected {what} of {len(tree)} parts, as there are so many, got {len(axes)}"
        )
    if isinstance(axes, dict) and isinstance(tree, dict):
        if axes.keys() == tree.keys():
            return [a for key, t in tree.items() for a in _spread(axes[key], t, what)]
        raise ArgumentError(f"vmap: expected {what} for {list(tree)}, got some for {list(axes)}")
    raise ArgumentError(
        f"vmap: expected {what} to be an integer, None, or shaped as the values are, got {axes!r}"
    )


def _size(leaves: list[Any], axes: list[int | None]) -> int:
    """The length of the batch."""
    sizes = {
        leaf.shape[normalize_axis(axis, leaf.ndim, "vmap")]
        for leaf, axis in zip(leaves, axes)
        if axis is not None
    }
    if len(sizes) > 1:
        raise ShapeError(
            f"vmap: expected one length along the axes to map over, got {sorted(sizes)}"
        )
    if not sizes:
        raise ArgumentError("vmap: expected at least one argument to map over, got in_axes None")
    size: int = sizes.pop()
    return size


def _in_batch(leaf: Any) -> Any:
    if isinstance(leaf, (int, float, str)) or leaf is None:
        raise DTypeError(
            f"vmap: expected Tensors to map over, got {leaf!r}; give None as its in_axes"
        )
    t = as_tensor(leaf, "vmap")
    if not t.ndim:
        raise ShapeError("vmap: a tensor without axes cannot be mapped over; in_axes None keeps it")
    return t


def _result(leaf: Any, axis: int | None, level: int, size: int) -> Any:
    """One result, with its batch at `axis`."""
    if not isinstance(leaf, Tensor):
        raise DTypeError(
            f"vmap: expected the function to return Tensors, got {type(leaf).__name__}"
        )
    if isinstance(leaf, Batched) and leaf.level == level:
        if axis is None:
            raise ArgumentError(
                "vmap: out_axes is None for a result that differs between the elements"
            )
        value = leaf.value
    elif axis is None:
        return leaf
    else:
        value = broadcast_to(leaf, (size, *leaf.shape))
    return moveaxis(value, 0, axis) if axis else value


def vmap(
    function: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that does for all elements of a batch, at once, what `function` does for one.

    in_axes: along which axis of each argument the batch lies, None for an argument that is the same
    for all: one for all arguments, or a tuple with a part per argument; an argument that is a tuple,
    list or dict may have its parts named by one too. Keyword arguments are mapped over axis 0. out_axes:
    where the batch lies in the results, in the same way. chunk_size: how many elements to compute at
    once, to hold less memory.

    The function may be any that is made of ops; it must not depend on values (`if x > 0`: write
    where). An op without a batching rule is computed element by element. May be nested, and
    combined with the transformations of this module in either order. Random numbers drawn inside are
    the same for all elements.

    Raises ArgumentError, ShapeError, DTypeError for axes and arguments that do not fit, TransformError
    for what cannot be done to one of a batch.

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> rows = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> func.vmap(lambda row, x: (row * x).sum(), in_axes=(0, None))(rows, rows[0])
    tensor([ 5., 11.])
    """
    if not callable(function):
        raise ArgumentError(f"vmap: expected a function, got {type(function).__name__}")

    @wraps(function)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, (tuple, list)) and len(in_axes) != len(args):
            raise ArgumentError(
                f"vmap: expected in_axes for {len(args)} arguments, got {len(in_axes)}"
            )
        axes = _spread(in_axes, args, "in_axes") + [0] * len(leaves_of(kwargs))
        leaves = [
            leaf if axis is None else _in_batch(leaf)
            for leaf, axis in zip(leaves_of((args, kwargs)), axes)
        ]
        size = _size(leaves, axes)
        leaves = [leaf if not axis else moveaxis(leaf, axis, 0) for leaf, axis in zip(leaves, axes)]
        step = size if chunk_size is None else chunk_size
        if size and step < 1:
            raise ArgumentError(f"vmap: expected a chunk_size of at least 1, got {chunk_size}")
        form: Any = None
        parts = []
        for start in range(0, size, step) if size else (0,):
            stop = min(start + step, size)
            whole = stop - start == size
            chunk = [
                leaf if axis is None or whole else leaf[start:stop]
                for leaf, axis in zip(leaves, axes)
            ]
            form, results = _mapped(function, (args, kwargs), chunk, axes, stop - start)
            parts.append(results)
        places = _spread(out_axes, form, "out_axes")
        joined = [
            some[0] if len(some) == 1 or axis is None else concat(some, axis)
            for some, axis in zip(zip(*parts), places)
        ]
        return built(form, joined)

    def _mapped(
        function: Callable[..., Any], tree: Any, leaves: Any, axes: Any, size: int
    ) -> tuple[Any, list[Any]]:
        levels.sizes.append(size)
        level = len(levels.sizes)
        try:
            args, kwargs = built(
                tree,
                [
                    leaf if axis is None else Batched(leaf, level)
                    for leaf, axis in zip(leaves, axes)
                ],
            )
            form = function(*args, **kwargs)
            places = _spread(out_axes, form, "out_axes")
            return form, [
                _result(leaf, axis, level, size) for leaf, axis in zip(leaves_of(form), places)
            ]
        finally:
            levels.sizes.pop()

    return mapped


__all__ = ["vmap"]
