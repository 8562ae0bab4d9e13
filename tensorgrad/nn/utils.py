"""What one does to the gradients and parameters of a whole model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import no_grad
from tensorgrad.errors import ArgumentError, GradientError, ShapeError
from tensorgrad.ops.arithmetic import add, maximum, minimum
from tensorgrad.ops.comparisons import clip
from tensorgrad.ops.creation import zeros
from tensorgrad.ops.joining import concat
from tensorgrad.ops.multi import norm_of_all, scale_all
from tensorgrad.ops.shaping import reshape


def _gradients(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def _total_norm(gradients: list[Tensor], norm_type: float) -> Tensor:
    """The norm of all together: 0-d, float64."""
    if norm_type == 2.0:
        return norm_of_all(gradients, "clip_grad_norm_")
    sizes = [g.detach().abs() for g in gradients if g.size]
    total = zeros((), dtype="float64")
    if math.isinf(norm_type):
        return reduce(maximum, [s.max() for s in sizes], total)
    return reduce(add, [(s**norm_type).sum().astype("float64") for s in sizes], total) ** (
        1.0 / norm_type
    )


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales all gradients by one factor, in place, so that the norm of them all is at most
    max_norm (Pascanu et al. 2013). Returns the norm before.

    The factor is max_norm / (norm + 1e-6), as in PyTorch; NaN or inf in a gradient spreads, or with
    error_if_nonfinite raises GradientError. norm_type: the p of the norm, inf for the largest
    element. Raises ArgumentError for a negative max_norm or a norm_type that is not positive.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> w = tensorgrad.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> nn.utils.clip_grad_norm_([w], max_norm=1.0).item()
    10.0
    """
    if not max_norm >= 0 or not norm_type > 0:
        raise ArgumentError(
            f"clip_grad_norm_: expected max_norm >= 0 and norm_type > 0, got {max_norm} and {norm_type}"
        )
    gradients = _gradients(parameters)
    with no_grad():
        norm = _total_norm(gradients, float(norm_type))
        if error_if_nonfinite and not math.isfinite(norm.item()):
            raise GradientError(
                f"clip_grad_norm_: the norm of the gradients is {norm.item()}; look for the NaN or inf, "
                f"or leave error_if_nonfinite out"
            )
        # in tensors, so that a compiled function computes it again; NaN remains
        factor = minimum(max_norm / (norm + 1e-6), 1.0)
        scale_all(gradients, factor, "clip_grad_norm_")
        return norm.astype(gradients[0].dtype if gradients else "float32")


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limits every element of the gradients to [-clip_value, clip_value], in place. Raises
    ArgumentError for a negative clip_value.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> w = tensorgrad.tensor([3.0, -4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> nn.utils.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 1., -1.])
    """
    if not clip_value >= 0:
        raise ArgumentError(f"clip_grad_value_: expected clip_value >= 0, got {clip_value}")
    with no_grad():
        for g in _gradients(parameters):
            g.copy_(clip(g, -clip_value, clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements in one Tensor (n), differentiably. Raises ShapeError for no parameters.

    >>> from tensorgrad import nn
    >>> nn.utils.parameters_to_vector(nn.Linear(2, 3).parameters()).shape
    (9,)
    """
    return concat([reshape(p, (p.size,)) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copies the elements of vec (n) into the parameters, in order. Raises ShapeError if n is not
    their number of elements.

    >>> import tensorgrad
    >>> from tensorgrad import nn
    >>> model = nn.Linear(2, 1)
    >>> nn.utils.vector_to_parameters(tensorgrad.tensor([1.0, 2.0, 3.0]), model.parameters())
    >>> model.bias.tolist()
    [3.0]
    """
    targets = list(parameters)
    expected = sum(p.size for p in targets)
    if vec.shape != (expected,):
        raise ShapeError(
            f"vector_to_parameters: expected a vector of {expected} elements, got shape {vec.shape}"
        )
    start = 0
    with no_grad():
        for p in targets:
            p.copy_(reshape(vec[start : start + p.size], p.shape))
            start += p.size


__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]
