"""A call that a batching rule answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.autograd._recorded import parameters_of
from tensorgrad.errors import TransformError
from tensorgrad.ops.joining import stack
from tensorgrad.ops.shaping import broadcast_to


class Call:
    """One call: function(*values, **params), where batched[i] says whether value i has the batch as
    axis 0."""

    def __init__(
        self,
        function: Callable[..., Any],
        values: tuple[Any, ...],
        batched: tuple[bool, ...],
        params: dict[str, Any],
        size: int,
        level: int,
    ) -> None:
        self.function, self.values, self.batched = function, values, batched
        self.params, self.size, self.level = params, size, level

    def ndim(self, i: int) -> int:
        """The number of axes of one element of input i."""
        return ndim_of(self.values[i]) - self.batched[i]

    def shape(self, i: int) -> tuple[int, ...]:
        """The shape of one element of input i."""
        shape: tuple[int, ...] = self.values[i].shape
        return shape[1:] if self.batched[i] else shape

    def all(self, i: int) -> Tensor:
        """Input i with a batch axis, repeated along it if it is the same for all elements."""
        x = self.values[i]
        if self.batched[i]:
            return x
        return broadcast_to(x, (self.size, *x.shape))

    def run(self, *values: Any, **params: Any) -> Any:
        """The function on other values."""
        return invoke(self.function, values, {**self.params, **params})

    def element(self, i: int) -> Any:
        """Input i as the caller had it."""
        from tensorgrad.func._batched import Batched

        return Batched(self.values[i], self.level) if self.batched[i] else self.values[i]

    def held(self, result: Any) -> Any:
        """What a result computed with `element`s holds."""
        return result.value if getattr(result, "level", None) == self.level else broadcast_to(
            result, (self.size, *result.shape)
        )  # fmt: skip


def ndim_of(x: Any) -> int:
    return len(getattr(x, "shape", ()))


@lru_cache(1024)
def _positional(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters, after the inputs, that can only be given by position."""
    plain = getattr(function, "__wrapped__", function)
    if plain.__code__.co_flags & 0x04:
        return ()
    return tuple(
        p.name
        for p in parameters_of(plain)
        if p.kind == "positional" and not p.annotation.startswith("Tensor")
    )


def invoke(function: Callable[..., Any], inputs: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """function(*inputs, **params), with those by position that have to be."""
    positional = [params[name] for name in _positional(function) if name in params]
    if positional:
        params = {k: v for k, v in params.items() if k not in _positional(function)}
    return function(*inputs, *positional, **params)


def loop(c: Call) -> Any:
    """Element by element: right for every op."""
    if not c.size:
        raise TransformError(
            f"{c.function.__name__}: cannot be computed over a batch of no elements (it has no "
            "batching rule)"
        )
    results = [
        c.run(*(v[i] if b else v for v, b in zip(c.values, c.batched))) for i in range(c.size)
    ]
    if isinstance(results[0], tuple):
        return tuple(stack(parts) for parts in zip(*results))
    return stack(results)
