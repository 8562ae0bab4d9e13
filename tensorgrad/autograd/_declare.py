"""How an op is declared: one decorator for the built-ins and for users, and the registry of all that were declared.

    @op(gradient=(lambda gy, y, a, b: gy @ b.mT, lambda gy, y, a, b: a.mT @ gy), saves=("a", "b"), ...)
    def matmul(a: Tensor, b: Tensor, /) -> Tensor: ...

The function computes the forward and knows nothing of the tape. Its parameters annotated `Tensor` (or `Tensor | None`) are the
inputs and come first; the others are parameters of the op. Everything is handed on to the gradient under the same order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import Node, check_unmodified, record
from tensorgrad.errors import GradientError, ShapeError

P = ParamSpec("P")
T = TypeVar("T")


class Case:
    """Inputs on which an op is checked. `inputs` are shapes (filled with random numbers from [low, high), kept `margin` away from
    the points in `avoid`, where the op has a kink) or arrays used as they are; `params` are the op's other arguments."""

    def __init__(
        self,
        *inputs: Any,
        low: float = -2.0,
        high: float = 2.0,
        avoid: Sequence[float] = (),
        margin: float = 0.1,
        **params: Any,
    ) -> None:
        self.inputs = inputs
        self.low, self.high, self.avoid, self.margin = low, high, tuple(avoid), margin
        self.params = params

    def __repr__(self) -> str:
        inputs = [str(i) if isinstance(i, tuple) else f"array{getattr(i, 'shape', '')}" for i in self.inputs]
        return f"Case({', '.join(inputs + [f'{k}={v!r}' for k, v in self.params.items()])})"


@dataclass(eq=False)
class Op:
    """A declared op."""

    name: str
    function: Callable[..., Any]  # what users call: converts, computes, records
    reference: Callable[..., Any] | None  # the same function on NumPy arrays
    cases: tuple[Case, ...]
    family: str  # the kind of declaration: "op", "unary", "binary", "composite"
    kernel: str  # "C" or "NumPy"
    differentiable: bool
    methods: tuple[str, ...]  # the names under which a Tensor has it
    second: bool = True  # whether gradients of its gradient are checked
    tags: frozenset[str] = field(default_factory=frozenset)


registry: dict[str, Op] = {}


def converter(x: Any, where: str) -> Any:
    """Makes a Tensor of an op's argument; the Tensor module puts the real one here (this package knows no Tensor)."""
    raise NotImplementedError


def set_converter(function: Callable[[Any, str], Any]) -> None:
    global converter
    converter = function


def register(declared: Op) -> None:
    """Adds an op. Raises ValueError if the name is taken or the declaration is incomplete."""
    name = declared.name
    if name in registry:
        raise ValueError(f"op {name!r}: an op of this name exists already ({registry[name].function.__module__})")
    if not (declared.function.__doc__ or "").strip():
        raise ValueError(f"op {name!r}: expected a docstring")
    declared.function.op = declared  # type: ignore[attr-defined]
    registry[name] = declared


def methods_of(name: str, method: bool | str | Sequence[str]) -> tuple[str, ...]:
    """The Tensor methods that a declaration asks for: True means one of the op's own name."""
    if isinstance(method, bool):
        return (name,) if method else ()
    return (method,) if isinstance(method, str) else tuple(method)


class Unsaved:
    """Stands for an input whose data the gradient did not ask for; it has a shape and a dtype."""

    __slots__ = ("_code", "dtype", "shape")

    def __init__(self, tensor: Any) -> None:
        self.shape: tuple[int, ...] = tensor._shape
        self.dtype = tensor.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)


def un_broadcast(gx: Any, shape: tuple[int, ...]) -> Any:
    """Sums a gradient over the axes along which its input was repeated."""
    return gx if gx._shape == shape else gx.sum_to(shape)


def op(
    *,
    gradient: Callable[..., Any] | Sequence[Callable[..., Any] | None] | None,
    saves: Sequence[str] = (),
    reference: Callable[..., Any] | None,
    cases: Sequence[Case] = (),
    method: bool | str | Sequence[str] = True,
    kernel: str = "C",
    second: bool = True,
    tags: Sequence[str] = (),
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Declares an op. Used by the built-ins and open to everyone.

    gradient   One function per input, in order, each `(gy, y, *inputs, *params) -> gx` and called only where it is wanted (None:
               no gradient flows to that input). Where the inputs share work, a single function that returns a tuple of all and
               is told by the keyword `needs` (a tuple of booleans) which are wanted. Written in ops, a gradient can be
               differentiated again. The engine sums a gradient over broadcast axes. None: not differentiable.
    saves      What the gradients read: names of inputs, "y" for the output. Other inputs arrive with a shape and a dtype only.
               If the forward returns a tuple (y, extra), the gradients get `extra` as a keyword.
    reference  The same function on NumPy arrays: the tests compare with it.
    cases      Inputs on which it is checked (see Case).
    method     Whether Tensor has a method of this name, or under which names.

    Raises ValueError if the name is taken, or the docstring missing.

    >>> import numpy as np, tensorgrad
    >>> from tensorgrad import Tensor, op
    >>> @op(gradient=lambda gy, y, x: gy * 3 * x**2, saves=("x",), reference=lambda x: x**3, method=False)
    ... def cube_example(x: Tensor) -> Tensor:
    ...     \"\"\"x to the third power.\"\"\"
    ...     return x * x * x
    >>> x = tensorgrad.tensor([2.0], requires_grad=True)
    >>> cube_example(x).sum().backward()
    >>> x.grad
    tensor([12.])
    """

    def declare(forward: Callable[P, T]) -> Callable[P, T]:
        function = _recorded(forward, gradient, tuple(saves))
        register(
            Op(
                forward.__name__,
                function,
                reference,
                tuple(cases),
                "op",
                kernel,
                gradient is not None,
                methods_of(forward.__name__, method),
                second and gradient is not None,
                frozenset(tags),
            )
        )
        return function

    return declare


def composite(
    *,
    reference: Callable[..., Any] | None,
    cases: Sequence[Case] = (),
    method: bool | str | Sequence[str] = True,
    differentiable: bool = True,
    tags: Sequence[str] = (),
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Declares a function that is written in other ops and needs no gradient of its own: it gets the same checks, method,
    documentation and benchmark row."""

    def declare(function: Callable[P, T]) -> Callable[P, T]:
        name = function.__name__
        register(
            Op(
                name,
                function,
                reference,
                tuple(cases),
                "composite",
                "C",
                differentiable,
                methods_of(name, method),
                differentiable,
                frozenset(tags),
            )
        )
        return function

    return declare


def _recorded(forward: Callable[..., Any], gradient: Any, saves: tuple[str, ...]) -> Any:
    """The function that users call: converts the inputs, computes, and records."""
    parameters = [p for p in inspect.signature(forward).parameters.values() if str(p.annotation).startswith("Tensor")]
    names = [p.name for p in parameters]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)  # *tensors: every positional argument is an input
    count = 2**31 if variadic else len(names)
    unknown = set(saves) - set(names) - {"y"}
    if unknown:
        raise ValueError(f"op {forward.__name__!r}: saves names {sorted(unknown)}, which are not inputs ({names}) nor 'y'")
    kept = tuple(name in saves for name in names)
    saves_output = "y" in saves
    shared = callable(gradient)
    per_input = () if gradient is None or shared else tuple(gradient)
    if per_input and len(per_input) != count:
        raise ValueError(f"op {forward.__name__!r}: expected a gradient for each of {names}, got {len(per_input)}")
    name = forward.__name__

    def rule(gy: Any, node: Node) -> Sequence[Any]:
        inputs, output, extra, rest, params = node.saved
        for i, x in enumerate(inputs):
            if x.__class__ is not Unsaved and x is not None:
                check_unmodified(x._storage, node)
        y = None
        if output is not None:
            check_unmodified(output, node)
            y = gy._restored(output, node)
        if extra is not None:
            params = {**params, "extra": extra}
        edges = node.edges
        if not shared:
            result = tuple(
                None if edge is None or fn is None else fn(gy, y, *inputs, *rest, **params)
                for edge, fn in zip(edges, per_input)
            )
        elif count == 1:
            result = (gradient(gy, y, *inputs, *rest, **params),)
        else:
            needs = tuple(edge is not None for edge in edges)
            result = gradient(gy, y, *inputs, *rest, needs=needs, **params)
            if not isinstance(result, tuple) or len(result) != len(edges):
                raise GradientError(f"backward of {name}: expected a tuple of {len(edges)} gradients, got {result!r}")
        return [
            None if edge is None or gx is None else _fitted(gx, x, name)
            for edge, gx, x in zip(edges, result, inputs)
        ]

    def _fitted(gx: Any, x: Any, name: str) -> Any:
        if not hasattr(gx, "_node"):
            raise GradientError(f"backward of {name}: expected the gradient to be a Tensor, got {type(gx).__name__}")
        if gx._shape != x.shape:
            if len(gx._shape) < len(x.shape):
                raise ShapeError(f"backward of {name}: expected a gradient of shape {x.shape}, got {gx._shape}")
            gx = un_broadcast(gx, x.shape)
        return gx if gx.dtype == x.dtype else gx.astype(x.dtype)

    rule.__name__ = name

    @wraps(forward)
    def apply(*args: Any, **params: Any) -> Any:
        recorded = False
        for i in range(min(count, len(args))):
            x = args[i]
            try:
                if x._node is not None:
                    recorded = True
            except AttributeError:
                if x is not None:
                    args = (*args[:i], converter(x, name), *args[i + 1 :])
        if not (recorded and mode.enabled) or gradient is None:
            y = forward(*args, **params)
            return y[0] if y.__class__ is tuple else y
        inputs = args[:count]
        mode.enabled = False
        try:
            y = forward(*args, **params)
        finally:
            mode.enabled = True
        extra = None
        if y.__class__ is tuple:
            y, extra = y
        for x in inputs:
            if y is x:  # the node goes on a Tensor of the result's own
                y = y.detach()
        edges = tuple([None if x is None else x._node for x in inputs])
        # an unsaved input is known by its shape alone, so that its memory can go
        record(
            y,
            rule,
            edges,
            (
                tuple([x if x is None or (kept[0 if variadic else i]) else Unsaved(x) for i, x in enumerate(inputs)]),
                y._storage if saves_output else None,
                extra,
                args[count:],
                params,
            ),
        )
        return y

    return apply
