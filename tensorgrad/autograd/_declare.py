"""How an op is declared: one decorator for the built-ins and for users, and the registry of all
that were declared.

    @op(gradient=(lambda gy, y, a, b: gy @ b.mT, lambda gy, y, a, b: a.mT @ gy), saves=("a", "b"),
    ...) def matmul(a: Tensor, b: Tensor, /) -> Tensor: ...

The function computes the forward and knows nothing of the tape. Its parameters annotated `Tensor`
(or `Tensor | None`) are the inputs and come first; the others are parameters of the op. Everything
is handed on to the gradient under the same order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from tensorgrad._native import clock
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import Node, check_unmodified
from tensorgrad.dtypes import DTYPES
from tensorgrad.errors import ShapeError

P = ParamSpec("P")
T = TypeVar("T")


class Case:
    """Inputs on which an op is checked. `inputs` are shapes (filled with random numbers from [low,
    high), kept `margin` away from the points in `avoid`, where the op has a kink) or arrays used as
    they are; `params` are the op's other arguments."""

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
        inputs = [
            str(i) if isinstance(i, tuple) else f"array{getattr(i, 'shape', '')}"
            for i in self.inputs
        ]
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


# makes a Tensor of an op's argument; the Tensor module puts it here (this package knows no Tensor)
converter: Callable[[Any, str], Any]


def set_converter(function: Callable[[Any, str], Any]) -> None:
    """Tells how an argument that is no Tensor becomes one: `function(x, name of the op)`."""
    global converter
    converter = function


def register(declared: Op) -> None:
    """Adds an op. Raises ValueError if the name is taken or the declaration is incomplete."""
    name = declared.name
    if name in registry:
        raise ValueError(
            f"op {name!r}: an op of this name exists already ({registry[name].function.__module__})"
        )
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

    __slots__ = ("_code", "_shape")

    def __init__(self, shape: tuple[int, ...], code: int) -> None:
        self._shape = shape
        self._code = code

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> Any:
        return DTYPES[self._code]

    @property
    def ndim(self) -> int:
        return len(self._shape)


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

    gradient   One function per input, in order, each `(gy, y, *inputs, *params) -> gx` and called
               only where it is wanted (None: no gradient flows to that input). Where the inputs
               share work, a single function that returns a tuple of all and is told by the keyword
               `needs` (a tuple of booleans) which are wanted. Written in ops, a gradient can be
               differentiated again. The engine sums a gradient over broadcast axes. None: not
               differentiable.
    saves      What the gradients read: names of inputs, "y" for the output. Other inputs arrive
               with a shape and a dtype only. If the forward returns a tuple (y, extra), the
               gradients get `extra` as a keyword.
    reference  The same function on NumPy arrays: the tests compare with it.
    cases      Inputs on which it is checked (see Case).
    method     Whether Tensor has a method of this name, or under which names.

    Raises ValueError if the name is taken, or the docstring missing.

    >>> import numpy as np, tensorgrad
    >>> from tensorgrad import Tensor, op
    >>> @op(
    ...     gradient=lambda gy, y, x: gy * 3 * x**2,
    ...     saves=("x",),
    ...     reference=lambda x: x**3,
    ...     method=False,
    ... )
    ... def cube_example(x: Tensor) -> Tensor:
    ...     \"\"\"x to the third power.\"\"\"
    ...     return x * x * x
    >>> x = tensorgrad.tensor([2.0], requires_grad=True)
    >>> cube_example(x).sum().backward()
    >>> x.grad
    tensor([12.])
    """

    def declare(forward: Callable[P, T]) -> Callable[P, T]:
        function: Callable[P, T] = _recorded(forward, gradient, tuple(saves))
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
    """Declares a function that is written in other ops and needs no gradient of its own: it gets
    the same checks, method, documentation and benchmark row."""

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


# ---- the function that users call ----------------------------------------------------------------

# Filled in for each op, as dataclasses are: the tape then costs a call only the lines that this op
# needs.
_APPLY = """
def {name}{signature}:
    try:
        {read_nodes}
    except AttributeError:
        return _apply({converted})
    if ({none_recorded}) or not _mode.enabled:
        y = _forward({forward_arguments})
        return y[0] if y.__class__ is tuple else y
    _mode.enabled = False
    try:
        y = _forward({forward_arguments})
    finally:
        _mode.enabled = True
    extra = None
    if y.__class__ is tuple:
        y, extra = y
    if {returned_input}:
        y = y.detach()  # the node goes on a Tensor of the result's own
    y._node = node = _new_node(_Node)
    node.seq = _clock()
    node.rule = _rule
    node.edges = ({nodes},)
    node.saved = ({saved},)
    return y
"""

_RULE = """
def {name}(gy, node):
    {saved}, = node.saved
    seq = node.seq
    {checks}
    {nodes}, = node.edges
    {call}
    return [{fitted}]
"""


def _recorded(forward: Callable[..., Any], gradient: Any, saves: tuple[str, ...]) -> Any:
    """Wraps an op's forward: converts the inputs, computes, and records what the gradient needs."""
    name = forward.__name__
    parameters = list(inspect.signature(forward).parameters.values())
    inputs = [p.name for p in parameters if str(p.annotation).startswith("Tensor")]
    optional = {p.name for p in parameters if p.default is None}
    if not inputs or [p.name for p in parameters[: len(inputs)]] != inputs:
        raise ValueError(
            f"op {name!r}: expected parameters annotated Tensor first, got "
            f"{inspect.signature(forward)}"
        )
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise ValueError(
            f"op {name!r}: expected named parameters only, got {inspect.signature(forward)}"
        )
    unknown = set(saves) - set(inputs) - {"y"}
    if unknown:
        raise ValueError(
            f"op {name!r}: saves names {sorted(unknown)}, expected some of {[*inputs, 'y']}"
        )
    shared = callable(gradient)
    functions = [] if gradient is None else [gradient] if shared else list(gradient)
    if functions and not shared and len(functions) != len(inputs):
        raise ValueError(
            f"op {name!r}: expected a gradient for each of {inputs}, got {len(functions)}"
        )

    rest = [p.name for p in parameters[len(inputs) :]]
    arguments = [f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else p.name for p in parameters]
    scope: dict[str, Any] = {
        "_mode": mode,
        "_new_node": Node.__new__,
        "_Node": Node,
        "_clock": clock,
        "_convert": lambda x: None if x is None else converter(x, name),
        "_forward": forward,
        "_check": check_unmodified,
        "_fit": lambda gx, x: fit(gx, x, name),
        "_Unsaved": Unsaved,
        **{f"_gradient_{i}": function for i, function in enumerate(functions)},
        **{f"_default_{p.name}": p.default for p in parameters if p.default is not p.empty},
    }
    signature = inspect.Signature(
        [
            p.replace(
                annotation=p.empty,
                default=p.empty if p.default is p.empty else _Name(f"_default_{p.name}"),
            )
            for p in parameters
        ]
    )

    def guarded(x: str, expression: str) -> str:
        return f"None if {x} is None else {expression}" if x in optional else expression

    kept = [guarded(x, x if x in saves else f"({x}._shape, {x}._code)") for x in inputs]
    apply_text = _APPLY.format(
        name=name,
        signature=signature,
        read_nodes="; ".join(f"{x}_node = {guarded(x, f'{x}._node')}" for x in inputs),
        converted=", ".join([f"_convert({x})" for x in inputs] + arguments[len(inputs) :]),
        none_recorded=" and ".join(f"{x}_node is None" for x in inputs) if functions else "True",
        forward_arguments=", ".join(arguments),
        returned_input=" or ".join(f"y is {x}" for x in inputs),
        nodes=", ".join(f"{x}_node" for x in inputs),
        saved=", ".join([*kept, "y._storage" if "y" in saves else "None", "extra", *rest]),
    )

    checks = [
        f"if {'' if x not in optional else f'{x} is not None and '}{x}._storage.written > seq: "
        f"_check({x}._storage, node)"
        if x in saves
        else f"{x} = {guarded(x, f'_Unsaved(*{x})')}"
        for x in inputs
    ]
    if "y" in saves:
        checks += ["if y.written > seq: _check(y, node)", "y = gy._restored(y, node)"]
    takes = inspect.signature(next((f for f in functions if f), forward)).parameters
    given = ", ".join(["gy", "y", *arguments, *(["extra=extra"] if "extra" in takes else [])])
    if not shared:
        call = [
            f"g_{x} = None"
            if functions[i] is None
            else f"g_{x} = None if {x}_node is None else _gradient_{i}({given})"
            for i, x in enumerate(inputs if functions else ())
        ]
    elif len(inputs) == 1:
        call = [f"g_{inputs[0]} = _gradient_0({given})"]
    else:
        needs = ", ".join(f"{x}_node is not None" for x in inputs)
        call = [f"{', '.join(f'g_{x}' for x in inputs)} = _gradient_0({given}, needs=({needs}))"]
    rule_text = _RULE.format(
        name=name,
        saved=", ".join([*inputs, "y", "extra", *rest]),
        checks="\n    ".join(checks),
        nodes=", ".join(f"{x}_node" for x in inputs),
        call="\n    ".join(call),
        fitted=", ".join(
            f"None if {x}_node is None or g_{x} is None else _fit(g_{x}, {x})" for x in inputs
        ),
    )
    if functions:
        scope["_rule"] = _defined(rule_text, name, scope)
    function = _defined(apply_text, name, scope)
    scope["_apply"] = function
    return wraps(forward)(function)


class _Name:
    """Prints as a name, for defaults in a signature that is made into source."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def _defined(text: str, name: str, scope: dict[str, Any]) -> Any:
    made: dict[str, Any] = {}
    exec(compile(text, f"<op {name}>", "exec"), scope, made)
    return made[name]


def fit(gx: Any, x: Any, name: str) -> Any:
    """A gradient in its input's shape and dtype: summed over the axes along which the input was
    repeated. Raises GradientError, ShapeError for what a gradient must not return."""
    if gx._shape == x._shape and gx._code == x._code:
        return gx
    if len(gx._shape) < len(x._shape):
        raise ShapeError(
            f"backward of {name}: expected a gradient of shape {x._shape}, got {gx._shape}"
        )
    gx = un_broadcast(gx, x._shape)
    return gx if gx._code == x._code else gx.astype(x.dtype)
