"""Makes, from an op's forward and gradient, the function that users call.

Its text is filled in for each op's own parameters, as dataclasses do it, so that the tape costs a
call only the lines that this op needs; it is compiled at the first call, which keeps the import
fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from operator import itemgetter
from types import FunctionType
from typing import Any

from tensorgrad._native import clock
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import Node, check_unmodified, watch, watchers
from tensorgrad.autograd._traced import Traced, traced
from tensorgrad.dtypes import DTYPES, F64
from tensorgrad.errors import GradientError, ShapeError

# this package knows no Tensor: the Tensor module puts these here
converter: Callable[[Any, str], Any]  # makes a Tensor of an op's argument
tracker: Callable[[Any, Any], None]  # makes a view known to the tensor that it is a view of


def set_tensors(convert: Callable[[Any, str], Any], track: Callable[[Any, Any], None]) -> None:
    """Tells how an argument that is no Tensor becomes one, `convert(x, name of the op)`, and how a
    result that shows its input's memory is tracked, `track(result, input)`."""
    global converter, tracker
    converter, tracker = convert, track


class Unsaved(tuple):  # type: ignore[type-arg]  # of shape and dtype code: made without a call
    """Stands for an input whose data the gradient did not ask for: it has a shape and a dtype."""

    __slots__ = ()
    shape = _shape = property(itemgetter(0))
    _code = property(itemgetter(1))

    @property
    def dtype(self) -> Any:
        return DTYPES[self._code]

    @property
    def ndim(self) -> int:
        return len(self.shape)


def un_broadcast(gx: Any, shape: tuple[int, ...]) -> Any:
    """Sums a gradient over the axes along which its input was repeated."""
    return gx if gx._shape == shape else gx.sum_to(shape)


def fit(gx: Any, x: Any, name: str) -> Any:
    """A gradient in its input's shape and dtype. Raises GradientError, ShapeError for what a
    gradient must not return."""
    if not hasattr(gx, "_node") and not isinstance(gx, Traced):
        raise GradientError(
            f"backward of {name}: expected the gradient to be a Tensor, got {type(gx).__name__}"
        )
    if len(gx._shape) < len(x._shape):
        raise ShapeError(
            f"backward of {name}: expected a gradient of shape {x._shape}, got {gx._shape}"
        )
    gx = un_broadcast(gx, x._shape)
    return gx if gx._code == x._code else gx.astype(x.dtype)


class Parameter:
    """One parameter of a function, from its code object (the inspect module is slow to import)."""

    def __init__(self, name: str, annotation: str, kind: str, default: Any) -> None:
        self.name = name
        self.annotation = annotation
        self.kind = kind  # "positional", "either" or "keyword"
        self.default = default  # Parameter.required where there is none

    required = object()

    def __repr__(self) -> str:
        return self.name + (f": {self.annotation}" if self.annotation else "")


def _written(annotation: Any) -> str:
    """An annotation as the source has it, whether or not it was evaluated."""
    if isinstance(annotation, str):
        return annotation.strip("'\"").removeprefix("tensorgrad.")
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).removeprefix("tensorgrad._tensor.")


def parameters_of(function: Any) -> list[Parameter]:
    """The parameters of a Python function. Raises ValueError if it takes *args or **kwargs."""
    code = function.__code__
    if code.co_flags & 0x0C:  # CO_VARARGS, CO_VARKEYWORDS
        raise ValueError(f"{function.__name__}: expected named parameters only, no *args, **kwargs")
    positional = code.co_argcount
    names = code.co_varnames[: positional + code.co_kwonlyargcount]
    defaults = function.__defaults__ or ()
    by_name = dict(zip(names[positional - len(defaults) : positional], defaults, strict=True))
    by_name.update(function.__kwdefaults__ or {})
    return [
        Parameter(
            name,
            _written(function.__annotations__.get(name, "")),
            "positional"
            if i < code.co_posonlyargcount
            else "either"
            if i < positional
            else "keyword",
            by_name.get(name, Parameter.required),
        )
        for i, name in enumerate(names)
    ]


def signature_text(parameters: Sequence[Parameter]) -> str:
    """The parameter list of a definition whose defaults are the names `_default_<parameter>`."""
    parts: list[str] = []
    for i, p in enumerate(parameters):
        if i and parameters[i - 1].kind == "positional" and p.kind != "positional":
            parts.append("/")
        if p.kind == "keyword" and (not i or parameters[i - 1].kind != "keyword"):
            parts.append("*")
        parts.append(p.name if p.default is p.required else f"{p.name}=_default_{p.name}")
    if parameters and parameters[-1].kind == "positional":
        parts.append("/")
    return ", ".join(parts)


# Names of our own begin with an underscore: an op's parameters do not.
_APPLY = """
def {name}({signature}):
    try:
        {read_nodes}
    except AttributeError:
        _t = _traced(({given},))
        return _self({converted}) if _t is None else _t.apply(_self, ({given},), {{{named}}})
    if ({none_recorded}) or not _mode.enabled:
        _y = _forward({arguments})
        {track_unrecorded}return _y[0] if _y.__class__ is tuple else _y
    {compute}
    _y._node = _node = _new_node(_Node)
    _node.seq = _clock()
    _node.rule = _rule
    _node.edges = ({nodes},)
    _node.saved = ({saved},)
    if _watchers:
        _watch(_y)
    return _y
"""

_COMPUTE_BY_KERNEL = """_y = _forward({arguments})
    {unpack}"""

_COMPUTE = """_mode.enabled = False  # a forward that calls other ops must not record them
    try:
        _y = _forward({arguments})
    finally:
        _mode.enabled = True
    {unpack}
    if _y._code > _F64:
        return _y  # integers and booleans end the tape
    if {returned_input}:
        _y = _y.detach()  # the node goes on a Tensor of the result's own
        _track(_y, {first})"""

_TRACK_UNRECORDED = """if _mode.enabled and _y is not {first} and _y._storage is {first}._storage:
            _track(_y, {first})
        """

_TRACK = """if _y._storage is {first}._storage:
        _track(_y, {first})
    """

_RULE = """
def {name}(_gy, _node):
    {names}, = _node.saved
    _seq = _node.seq
    {checks}
    {nodes}, = _node.edges
    {call}
    {fit}
    return [{gradients}]
"""


def recorded(
    forward: Callable[..., Any],
    gradient: Any,
    saves: tuple[str, ...],
    kernel_only: bool,
    view: bool,
) -> Any:
    """Wraps an op's forward: converts the inputs, computes, and records what the gradient needs.
    Raises ValueError for a declaration that does not fit the forward."""
    name = forward.__name__
    parameters = parameters_of(forward)
    inputs = [p.name for p in parameters if p.annotation.startswith("Tensor")]
    if not inputs or [p.name for p in parameters[: len(inputs)]] != inputs:
        raise ValueError(
            f"op {name!r}: expected parameters annotated Tensor first, got {parameters}"
        )
    unknown = set(saves) - set(inputs) - {"y"}
    if unknown:
        raise ValueError(
            f"op {name!r}: saves names {sorted(unknown)}, expected some of {[*inputs, 'y']}"
        )
    functions = [] if gradient is None else [gradient] if callable(gradient) else list(gradient)
    if functions and not callable(gradient) and len(functions) != len(inputs):
        raise ValueError(
            f"op {name!r}: expected a gradient for each of {inputs}, got {len(functions)}"
        )
    scope: dict[str, Any] = {
        "_mode": mode,
        "_new_node": Node.__new__,
        "_Node": Node,
        "_clock": clock,
        "_watchers": watchers,
        "_watch": watch,
        "_F64": F64,
        "_track": tracker,
        "_traced": traced,
        "_convert": lambda x: None if x is None else converter(x, name),
        "_forward": forward,
        "_check": check_unmodified,
        "_fit": lambda gx, x: fit(gx, x, name),
        "_Unsaved": Unsaved,
        **{f"_gradient_{i}": function for i, function in enumerate(functions)},
        **{f"_default_{p.name}": p.default for p in parameters if p.default is not p.required},
    }

    def make() -> None:
        """Compiles the texts and puts the code into `function`."""
        if functions:
            scope["_rule"] = _defined(
                rule_text(name, parameters, inputs, saves, gradient), name, scope
            )
        text = apply_text(name, parameters, inputs, saves, gradient, kernel_only, view)
        made = _defined(text, name, scope)
        function.__defaults__ = made.__defaults__
        function.__kwdefaults__ = made.__kwdefaults__
        function.__code__ = made.__code__

    scope["_make"] = make
    function = FunctionType(_first_call.__code__, scope, name)
    scope["_self"] = function
    return wraps(forward)(function)


def _first_call(*args: Any, **params: Any) -> Any:
    # runs in the scope of an op, where these names are found
    _make()  # type: ignore[name-defined]  # noqa: F821
    return _self(*args, **params)  # type: ignore[name-defined]  # noqa: F821


def _defined(text: str, name: str, scope: dict[str, Any]) -> Any:
    made: dict[str, Any] = {}
    exec(compile(text, f"<op {name}>", "exec"), scope, made)
    return made[name]


def _arguments(parameters: Sequence[Parameter]) -> list[str]:
    return [f"{p.name}={p.name}" if p.kind == "keyword" else p.name for p in parameters]


def _takes_extra(gradient: Any) -> bool:
    """Whether the forward gives more than its result, which the gradients get as `extra`."""
    functions = [gradient] if callable(gradient) else gradient or ()
    codes = [getattr(f, "__code__", None) for f in functions]
    return any(code is not None and "extra" in code.co_varnames for code in codes)


def apply_text(
    name: str,
    parameters: Sequence[Parameter],
    inputs: list[str],
    saves: Sequence[str],
    gradient: Any,
    kernel_only: bool,
    view: bool,
) -> str:
    """The function that users call."""
    takes_extra = _takes_extra(gradient)
    optional = {p.name for p in parameters if p.default is None}

    def guarded(x: str, expression: str) -> str:
        return f"None if {x} is None else {expression}" if x in optional else expression

    arguments = _arguments(parameters)
    kept = [guarded(x, x if x in saves else f"({x}._shape, {x}._code)") for x in inputs]
    saves_output = "y" in saves and "y" not in inputs
    compute = (_COMPUTE_BY_KERNEL if kernel_only else _COMPUTE).format(
        arguments=", ".join(arguments),
        unpack="_y, _extra = _y" if takes_extra else "",
        returned_input=" or ".join(f"_y is {x}" for x in inputs),
        first=inputs[0],
    )
    if view:
        compute += "\n    " + _TRACK.format(first=inputs[0])
    return _APPLY.format(
        name=name,
        signature=signature_text(parameters),
        read_nodes="; ".join(f"_{x}_node = {guarded(x, f'{x}._node')}" for x in inputs),
        given=", ".join(inputs),
        named=", ".join(f"{p.name!r}: {p.name}" for p in parameters[len(inputs) :]),
        converted=", ".join([*(f"_convert({x})" for x in inputs), *arguments[len(inputs) :]]),
        none_recorded=" and ".join(f"_{x}_node is None" for x in inputs)
        if gradient is not None
        else "True",
        arguments=", ".join(arguments),
        compute=compute,
        track_unrecorded=_TRACK_UNRECORDED.format(first=inputs[0]) if view else "",
        nodes=", ".join(f"_{x}_node" for x in inputs),
        saved=", ".join(
            [
                *kept,
                "_y._storage" if saves_output else "None",
                "_extra" if takes_extra else "None",
                *(p.name for p in parameters[len(inputs) :]),
            ]
        ),
    )


def rule_text(
    name: str,
    parameters: Sequence[Parameter],
    inputs: list[str],
    saves: Sequence[str],
    gradient: Any,
) -> str:
    """The rule of the node: fetches what was saved, checks that it is unchanged, calls the gradient
    and brings the results into the inputs' shapes."""
    optional = {p.name for p in parameters if p.default is None}
    checks = []
    for x in inputs:
        if x in saves:
            guard = f"{x} is not None and " if x in optional else ""
            checks.append(f"if {guard}{x}._storage.written > _seq: _check({x}._storage, _node)")
        else:
            absent = f"None if {x} is None else " if x in optional else ""
            checks.append(f"{x} = {absent}_Unsaved({x})")
    if "y" in saves and "y" not in inputs:
        checks += ["if _y.written > _seq: _check(_y, _node)", "_y = _gy._restored(_y, _node)"]

    extra = ["extra=_extra"] if _takes_extra(gradient) else []
    given = ", ".join(["_gy", "_y", *_arguments(parameters), *extra])
    if not callable(gradient):
        call = [
            f"_g_{x} = None"
            if gradient[i] is None
            else f"_g_{x} = None if _{x}_node is None else _gradient_{i}({given})"
            for i, x in enumerate(inputs)
        ]
    elif len(inputs) == 1:
        call = [f"_g_{inputs[0]} = _gradient_0({given})"]
    else:
        needs = ", ".join(f"_{x}_node is not None" for x in inputs)
        call = [f"{', '.join(f'_g_{x}' for x in inputs)} = _gradient_0({given}, needs=({needs}))"]
    return _RULE.format(
        name=name,
        names=", ".join([*inputs, "_y", "_extra", *(p.name for p in parameters[len(inputs) :])]),
        checks="\n    ".join(checks),
        nodes=", ".join(f"_{x}_node" for x in inputs),
        call="\n    ".join(call),
        fit="\n    ".join(
            f"if _g_{x} is not None and _{x}_node is not None and "
            f"(_g_{x}.__class__ is not _gy.__class__ or _g_{x}._shape != {x}._shape "
            f"or _g_{x}._code != {x}._code): _g_{x} = _fit(_g_{x}, {x})"
            for x in inputs
        ),
        gradients=", ".join(f"_g_{x}" for x in inputs),
    )
