"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.errors import ArgumentError, DTypeError


def functional_call(
    module: Any, parameters: Mapping[str, Any], args: Any = (), kwargs: Any = None
) -> Any:
    """module(*args, **kwargs) with other tensors in place of the parameters and buffers of these
    dotted names; the others stay, and the module is as before afterwards.

    args: a tuple of arguments, or one that is no tuple. A parameter that a module has under several
    names is replaced under all of them. Raises ArgumentError for a name that the module does
    not have, DTypeError for what is no Tensor.

    >>> import tensorgrad
    >>> from tensorgrad import func, nn
    >>> model = nn.Linear(2, 1)
    >>> params = {"weight": tensorgrad.ones((1, 2)), "bias": tensorgrad.zeros(1)}
    >>> func.functional_call(model, params, tensorgrad.tensor([[1.0, 2.0]]))
    tensor([[3.]])
    """
    places: dict[str, tuple[dict[str, Any], str]] = {}
    for path, below in module._walk():
        own = vars(below)
        for name, value in own.items():
            if isinstance(value, Tensor):
                places[f"{path}.{name}" if path else name] = own, name
    unknown = [name for name in parameters if name not in places]
    if unknown:
        raise ArgumentError(
            f"functional_call: {type(module).__name__} has no parameter or buffer named "
            f"{', '.join(unknown)}"
        )
    wrong = [name for name, value in parameters.items() if not isinstance(value, Tensor)]
    if wrong:
        raise DTypeError(f"functional_call: expected a Tensor for {', '.join(wrong)}")
    by_identity = {id(places[name][0][places[name][1]]): t for name, t in parameters.items()}
    replaced = []
    for own, name in places.values():
        value = own[name]
        if id(value) in by_identity:
            replaced.append((own, name, value))
            own[name] = by_identity[id(value)]
    try:
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for own, name, value in replaced:
            own[name] = value


__all__ = ["functional_call"]
