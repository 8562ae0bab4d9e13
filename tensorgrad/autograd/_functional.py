"""Gradients as values: `grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorgrad.autograd._tape import backward
from tensorgrad.autograd._traced import traced
from tensorgrad.errors import GradientError, ShapeError, TransformError


def root_gradient(output: Any, gradient: Any, where: str) -> Any:
    """The gradient that backward starts from: ones of a one-element output, or what was given,
    checked."""
    if output._node is None:
        raise GradientError(
            f"{where}: the tensor does not require grad and was not computed from one that does; "
            "call requires_grad_() on "
            f"the tensors to differentiate by, before the forward (and outside no_grad)"
        )
    if gradient is None:
        if output._size != 1:
            raise GradientError(
                f"{where}: expected a tensor of one element, got shape {output.shape}; reduce it "
                "first, e.g. with sum(), or "
                f"give the gradient of the output"
            )
        return output._ones()
    gradient = output._like(gradient, where)
    if gradient._shape != output._shape:
        raise ShapeError(
            f"{where}: expected a gradient of the output's shape {output.shape}, got "
            f"{gradient.shape}"
        )
    return gradient


def _is_several(value: Any) -> bool:
    """Whether it is a sequence of tensors. Asking for Sequence alone would take longer than the rest."""
    return value.__class__ in (list, tuple) or (
        not hasattr(value, "requires_grad") and isinstance(value, Sequence)
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if _is_several(value) else [value]


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """The gradients of `outputs` with respect to `inputs`; no `.grad` changes.

    outputs, inputs: a Tensor or a sequence of them. grad_outputs: the gradients to start from,
    shaped like the outputs; None for outputs of one element. Several outputs add up. Returns a
    Tensor for a single input, else a tuple. retain_graph: whether the graph may be gone through
    again; defaults to create_graph. create_graph: whether the gradients can themselves be
    differentiated.

    Raises GradientError if an input was not used (allow_unused=True gives None instead) or nothing
    requires grad.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor(3.0, requires_grad=True)
    >>> first = tensorgrad.autograd.grad(x**3, x, create_graph=True)
    >>> second = tensorgrad.autograd.grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    several = _is_several(inputs)
    ys, xs = _listed(outputs), inputs if several else (inputs,)
    gys = [None] * len(ys) if grad_outputs is None else _listed(grad_outputs)
    if len(gys) != len(ys):
        raise GradientError(
            f"autograd.grad: expected {len(ys)} grad_outputs, one per output, got {len(gys)}"
        )
    try:
        nodes = [y._node for y in ys]
        wanted = [x._node for x in xs]
    except AttributeError:
        if traced((*ys, *xs)) is None:
            raise
        raise TransformError(
            "autograd.grad: inside vmap a tensor stands for all of a batch; use func.grad, or func.vjp"
        ) from None
    if None in wanted:
        raise GradientError(f"autograd.grad: input {wanted.index(None)} does not require grad")
    roots = [root_gradient(y, gy, "autograd.grad") for y, gy in zip(ys, gys)]
    retain = create_graph if retain_graph is None else retain_graph
    results = backward(nodes, roots, retain, create_graph, wanted)
    if not allow_unused:
        for i, result in enumerate(results):
            if result is None:
                raise GradientError(
                    f"autograd.grad: input {i} was not used to compute the outputs; "
                    "allow_unused=True gives None for it"
                )
    return tuple(results) if several else results[0]
