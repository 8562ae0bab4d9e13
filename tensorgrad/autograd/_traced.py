"""What may stand for a Tensor while a transformation (vmap) is at work.

Such an object is a Tensor without memory and place on the tape: the attributes of both are missing,
so that the fast paths of ops end in an AttributeError, and the slow paths hand the call over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Traced:
    """Base of what stands for a Tensor. Of several in one call the one of the highest level gets
    it."""

    __slots__ = ()
    level: int

    def apply(
        self, function: Callable[..., Any], inputs: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """function(*inputs, **params), some of the inputs being Traced."""
        raise NotImplementedError


def traced(inputs: Iterable[Any]) -> Traced | None:
    """The one of the highest level among the inputs, or None."""
    found = None
    for x in inputs:
        if isinstance(x, Traced) and (found is None or x.level > found.level):
            found = x
    return found


__all__ = ["Traced", "traced"]
