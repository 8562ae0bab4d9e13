"""Elementwise ops made from expressions: `elementwise`.

One string is the forward, others are the gradients, or none and they are derived. They become C for
vectors, compiled into kernels of the same form as the library's own, and are declared like its own."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import cached_property
from keyword import iskeyword
from typing import Any, NamedTuple

import numpy as np

from tensorgrad._native import BINARY, UNARY
from tensorgrad._tensor import Tensor, wrap_array
from tensorgrad.autograd._declare import Case, op
from tensorgrad.autograd._recorded import recorded
from tensorgrad.errors import ArgumentError
from tensorgrad.ops._elementwise import binary, unary
from tensorgrad.ops._expressions import (
    Call,
    Expression,
    as_c,
    by_numpy,
    derivative,
    is_cheap,
    names_in,
    parse,
    replaced,
    simplified,
)
from tensorgrad.ops._kernels import (
    MOST_INPUTS,
    MOST_PARAMETERS,
    Row,
    caller,
    compiled,
    cost_of,
    defined,
    map_row,
    of_one_dtype,
    with_signature,
)


def elementwise(
    name: str,
    expression: str,
    *,
    grad: str | Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    params: Mapping[str, float] | None = None,
    doc: str = "",
    cases: Sequence[Case] = (),
    method: bool | str | Sequence[str] = False,
    fallback: str | None = None,
) -> Callable[..., Tensor]:
    """Declares an op from expressions, in C's syntax, and compiles it.

    name        Of the op and of the function that is returned.
    expression  The result, e.g. "x / (1 + exp(-x))". Operators + - * / < <= > >= == != && || ! ?:,
                numbers, pi, e, and the functions exp, log, tanh, erf, pow, max, where, ... (an
                unknown one raises an error that lists them all).
    grad        The gradient by each input, from gy, the gradient by the result; it may read the
                inputs and the result y, e.g. "gy * y * (1 - y)". One string for a single input,
                else one per input. None: it is derived from the expression. Either way it can be
                differentiated again.
    inputs      The names that are tensors, in the order of the arguments; by default those in the
                expression, in the order in which they come. At most 4, which broadcast.
    params      Numbers that the expression reads, with their defaults; the op takes them by keyword.
                At most 4.
    doc, cases, method  As in `op`; there is a docstring and a case by default.
    fallback    "numpy" computes with NumPy where there is no C compiler. Slower.

    float32 and float64; integers become float32. The kernel is compiled for the machine's
    instruction set at the first declaration and kept, in $TENSORGRAD_CACHE_DIR or the user's cache.

    Raises ArgumentError that shows where an expression is wrong, CompileError without a compiler.

    >>> import tensorgrad
    >>> swish = tensorgrad.ops.elementwise("swish_example", "x / (1 + exp(-x))")
    >>> x = tensorgrad.tensor([0.0, 200.0], requires_grad=True)
    >>> swish(x)
    tensor([  0., 200.], grad_fn=<swish_example>)
    >>> leaky = tensorgrad.ops.elementwise(
    ...     "leaky_example", "x > 0 ? x : slope * x", params={"slope": 0.5}
    ... )
    >>> leaky(tensorgrad.tensor([-2.0, 2.0]), slope=0.25)
    tensor([-0.5,  2. ])
    """
    if not _is_name(name):
        raise ArgumentError(f"elementwise: expected a name of letters and digits, got {name!r}")
    what = f"op {name!r}"
    if fallback not in (None, "numpy"):
        raise ArgumentError(f"{what}: expected fallback None or 'numpy', got {fallback!r}")
    numbers = {key: float(value) for key, value in (params or {}).items()}
    forward = parse(expression, f"{what}, expression")
    tensors = list(inputs) if inputs is not None else _inputs_of(forward, numbers, what)
    _check_names(what, forward, tensors, numbers)
    gradients = _gradients(what, forward, grad, tensors, numbers)
    function = _Declared(name, forward, gradients, tensors, numbers, fallback == "numpy")
    text = f"{expression}, element by element. {doc}".strip()
    example = f"\n\n    Made by `tensorgrad.ops.elementwise`; {', '.join(tensors)} broadcast.\n    "
    chosen = tuple(cases) or (
        Case(*[(3, 4)] * len(tensors)),
        *((Case((3, 1), *[(4,)] * (len(tensors) - 1)),) if len(tensors) > 1 else ()),
    )
    return function.declare(text + example, chosen, method)


def _inputs_of(forward: Expression, params: Mapping[str, float], what: str) -> list[str]:
    found = [n for n in names_in(forward) if n not in params]
    if not found:
        raise ArgumentError(f"{what}: expected an expression of at least one input")
    return found


def _is_name(n: object) -> bool:
    """Whether Python functions and parameters can be called so."""
    return isinstance(n, str) and n.isidentifier() and not iskeyword(n)


def _check_names(
    what: str, forward: Expression, inputs: Sequence[str], params: Mapping[str, float]
) -> None:
    for n in [*inputs, *params]:
        if not _is_name(n) or n in ("gy", "y") or n[0] == "_":
            raise ArgumentError(f"{what}: {n!r} cannot be the name of an input or parameter")
    both = [*inputs, *params]
    if len(set(both)) != len(both):
        raise ArgumentError(f"{what}: expected different names, got {both}")
    if not 1 <= len(inputs) <= MOST_INPUTS or len(params) > MOST_PARAMETERS:
        raise ArgumentError(
            f"{what}: expected 1 to {MOST_INPUTS} inputs and at most {MOST_PARAMETERS} parameters, "
            f"got {list(inputs)} and {list(params)}"
        )
    unknown = set(names_in(forward)) - set(both)
    if unknown:
        raise ArgumentError(
            f"{what}: the expression reads {sorted(unknown)}, which are neither inputs "
            f"{list(inputs)} nor parameters {list(params)}"
        )


def _gradients(
    what: str,
    forward: Expression,
    grad: str | Sequence[str] | None,
    inputs: Sequence[str],
    params: Mapping[str, float],
) -> list[Expression]:
    """The gradient by each input, in gy, y, the inputs and the parameters."""
    if grad is None:
        return [simplified(Call("mul", ("gy", derivative(forward, x)))) for x in inputs]
    texts = [grad] if isinstance(grad, str) else list(grad)
    if len(texts) != len(inputs):
        raise ArgumentError(
            f"{what}: expected a gradient for each of {list(inputs)}, got {len(texts)}"
        )
    known = {"gy", "y", *inputs, *params}
    found = []
    for x, text in zip(inputs, texts, strict=True):
        gradient = parse(text, f"{what}, gradient by {x}")
        names = set(names_in(gradient))
        if names - known:
            raise ArgumentError(
                f"{what}, gradient by {x}: it reads {sorted(names - known)}, expected some of "
                f"{sorted(known)}"
            )
        if gradient != 0.0 and "gy" not in names:
            raise ArgumentError(
                f"{what}, gradient by {x}: expected an expression with gy, the gradient by the "
                f"result, as a factor, e.g. 'gy * ({text})'"
            )
        if "gy" in names_in(derivative(gradient, "gy")):
            raise ArgumentError(f"{what}, gradient by {x}: expected it to be linear in gy: {text}")
        found.append(gradient)
    return found


# ---- functions -----------------------------------------------------------------------------------


def _fresh(name: str, taken: Container[str]) -> str:
    """The name, or with a number the first that is not taken."""
    number = 1
    chosen = name
    while chosen in taken:
        number += 1
        chosen = f"{name}{number}"
    return chosen


class _Function:
    """An expression as a function of tensors that broadcast, recorded, whose gradients are such
    functions too.

    gradients   The gradient by each input, in gy, y, the inputs and the parameters; None: derived.
    kernel      Its id, once it is compiled: when the function is first called, or with others."""

    def __init__(
        self,
        name: str,
        expression: Expression,
        inputs: Sequence[str],
        params: Mapping[str, float],
        by_arrays: bool,
        gradients: Sequence[Expression] | None = None,
    ) -> None:
        self.name, self.expression = name, expression
        self.inputs, self.params = list(inputs), dict(params)
        self.by_arrays = by_arrays
        self.gradients = gradients
        self.kernel: int | None = None

    def row(self, name: str) -> Row:
        """Its kernel's row in a file of kernels."""
        return map_row(name, self.expression, self.inputs, list(self.params))

    def forward(self) -> Any:
        """The values, off the tape."""
        if self.by_arrays:
            return self._forward_by_arrays()
        if self.kernel is None:
            (self.kernel,) = compiled(self.name, {"map": [self.row("kernel")]})
        return caller(self.name, self.kernel, self.inputs, self.params)

    def _forward_by_arrays(self) -> Any:
        function = by_numpy(self.expression, [*self.inputs, *self.params])

        def compute(tensors: Sequence[Tensor], numbers: Sequence[float]) -> Tensor:
            arrays = [t._array() for t in of_one_dtype(tensors)]
            return wrap_array(function(*arrays, *map(arrays[0].dtype.type, numbers)))

        return with_signature(self.name, self.inputs, self.params, compute)

    @cached_property
    def slopes(self) -> list[_Slope | None]:
        """By each input; None where the gradient is zero."""
        return [self._slope(i) for i in range(len(self.inputs))]

    def _slope(self, i: int) -> _Slope | None:
        taken = {*self.inputs, *self.params}  # of a gradient, gy and result
        gy = _fresh("gy", taken)
        y = _fresh("result", taken)
        if self.gradients is None:
            gradient = simplified(Call("mul", (gy, derivative(self.expression, self.inputs[i]))))
        else:
            gradient = replaced(self.gradients[i], {"gy": gy, "y": y})
        read = self._read_by(gradient)
        if not read:
            return None
        if len(read) > MOST_INPUTS:
            gradient = replaced(gradient, {y: self.expression})
            read = self._read_by(gradient)
        times_gy = len(read) > MOST_INPUTS
        if times_gy:  # a gradient is linear in gy
            gradient = simplified(replaced(gradient, {gy: 1.0}))
            read = self._read_by(gradient)
        name = f"{self.name}_by_{self.inputs[i]}"
        function = _Function(name, gradient, read, self.params, self.by_arrays)
        places = [gy, y, *self.inputs]
        return _Slope(function, [places.index(x) for x in read], times_gy)

    def _read_by(self, gradient: Expression) -> list[str]:
        return [n for n in names_in(gradient) if n not in self.params]

    def rule(self) -> tuple[Callable[..., Any] | None, ...]:
        """The gradients as `op` takes them."""
        count = 2 + len(self.inputs)
        return tuple(s and s.of(count, bool(self.params)) for s in self.slopes)

    def saves(self) -> tuple[str, ...]:
        """What they read, as `op` takes it."""
        places = ["", "y", *self.inputs]
        read = {places[k] for slope in self.slopes if slope for k in slope.reads}
        return tuple(n for n in places[1:] if n in read)

    def recorded(self) -> Any:
        """The function that is recorded, not in the registry."""
        made = recorded(self.forward(), self.rule(), self.saves(), not self.by_arrays, False)
        made.batching = "elementwise"
        return made


class _Slope(NamedTuple):
    """The gradient by an input: a function of those of (gy, y, *inputs) at the places `reads`."""

    function: _Function
    reads: list[int]
    times_gy: bool  # it is still to be multiplied by gy

    def of(self, count: int, with_numbers: bool) -> Callable[..., Any]:
        """The same as a function of all `count`, and of parameters by keyword. The function that it
        calls is made at its first call: the chain of derivatives has no end."""

        def first(*chosen: Tensor, **numbers: float) -> Tensor:
            scope["_function"] = made = self.function.recorded()
            return made(*chosen, **numbers)

        scope: dict[str, Any] = {"_function": first}
        extra = ["**_numbers"] if with_numbers else []
        given = ", ".join([*(f"_{k}" for k in range(count)), *extra])
        chosen = ", ".join([*(f"_{k}" for k in self.reads), *extra])
        value = f"_function({chosen})" + (" * _0" if self.times_gy else "")
        return defined(self.function.name, given, f"return {value}", scope)


class _Declared:
    """An op of `elementwise` on its way into the registry."""

    def __init__(
        self,
        name: str,
        forward: Expression,
        gradients: Sequence[Expression],
        inputs: Sequence[str],
        params: Mapping[str, float],
        by_arrays: bool,
    ) -> None:
        self.name, self.forward, self.gradients = name, forward, list(gradients)
        self.inputs, self.params = list(inputs), dict(params)
        self.by_arrays = by_arrays
        if by_arrays:
            try:
                compiled(name, {"map": [map_row("kernel", 1.0, ["x"], [])]})
                self.by_arrays = False
            except Exception as error:  # noqa: BLE001 - whatever is missing, NumPy is there
                self.why = error

    def declare(self, doc: str, cases: Sequence[Case], method: Any) -> Callable[..., Tensor]:
        reference = by_numpy(self.forward, [*self.inputs, *self.params])

        def on_arrays(*arrays: Any, **numbers: float) -> Any:
            kind = next(a.dtype for a in arrays if isinstance(a, np.ndarray))
            values = [kind.type(numbers.get(p, v)) for p, v in self.params.items()]
            return reference(*arrays, *values)

        settings = {"reference": on_arrays, "cases": cases, "method": method}
        if not self.by_arrays and len(self.inputs) == 1 and len(self.params) <= 2:
            return self._unary(doc, settings)
        if not self.by_arrays and len(self.inputs) == 2 and not self.params:
            return self._binary(doc, settings)
        return self._general(doc, settings)

    def _unary(self, doc: str, settings: dict[str, Any]) -> Callable[..., Tensor]:
        (x,) = self.inputs
        gradient = self.gradients[0]
        read = set(names_in(gradient))
        saves_y = "y" in read and x not in read
        if not saves_y:
            gradient = simplified(replaced(gradient, {"y": self.forward}))
        saved = "y" if saves_y else x
        names = {x: "x", "y": "y", "gy": "gy"} | {p: f"p{i}" for i, p in enumerate(self.params)}
        row = ", ".join(
            (
                "kernel",
                cost_of(self.forward) if is_cheap(gradient) else "COSTLY",
                as_c(self.forward, names),
                "Y" if saves_y else "X",
                as_c(gradient, names),
            )
        )
        (UNARY[self.name],) = compiled(self.name, {"unary": [Row(row, self.forward, 1)]})
        slope = derivative(replaced(gradient, {"gy": 1.0}), saved)
        second = None
        if slope != 0.0:
            curve = _Slope(
                _Function(f"{self.name}_curve", slope, [saved], self.params, self.by_arrays),
                [0],
                False,
            ).of(1, bool(self.params))
            keys = list(self.params)
            second = (
                lambda s: curve(s),
                lambda s, p: curve(s, **{keys[0]: p}),
                lambda s, p, q: curve(s, **{keys[0]: p, keys[1]: q}),
            )[len(keys)]
        function = with_signature(self.name, [x], self.params, lambda *_: None)
        function.__doc__ = doc
        saves = None if gradient == 0.0 else "y" if saves_y else "x"
        return unary(saves=saves, second=second, **settings)(function)

    def _binary(self, doc: str, settings: dict[str, Any]) -> Callable[..., Tensor]:
        letters = dict(zip(self.inputs, "ab"))
        row = f"kernel, {cost_of(self.forward)}, {as_c(self.forward, letters)}"
        made = self._made()
        BINARY[self.name] = self._compile(made, {"binary": [Row(row, self.forward, 2)]})
        saves = [" ".join("-yab"[k] for k in s.reads if k) if s else "" for s in made.slopes]
        function = with_signature(self.name, self.inputs, {}, lambda *_: None)
        function.__doc__ = doc
        by_a, by_b = made.rule()
        return binary(
            gradient=(by_a, by_b), saves=(saves[0], saves[1]), integers="float", **settings
        )(function)

    def _general(self, doc: str, settings: dict[str, Any]) -> Callable[..., Tensor]:
        made = self._made()
        if not self.by_arrays:
            made.kernel = self._compile(made, {"map": [made.row("kernel")]})
        function = made.forward()
        function.__doc__ = doc
        return op(
            gradient=made.rule(),
            saves=made.saves(),
            kernel="NumPy" if self.by_arrays else "C",
            kernel_only=not self.by_arrays,
            batching="elementwise",
            **settings,
        )(function)

    def _made(self) -> _Function:
        return _Function(
            self.name, self.forward, self.inputs, self.params, self.by_arrays, self.gradients
        )

    def _compile(self, made: _Function, rows: dict[str, list[Row]]) -> int:
        """Compiles the kernels of the gradients together with that of the forward, the first row,
        whose id is returned."""
        slopes = [s.function for s in made.slopes if s]
        gradients = [f.row(f"gradient_{i}") for i, f in enumerate(slopes)]
        rows["map"] = [*rows.get("map", ()), *gradients]
        kernel, *ids = compiled(self.name, {family: r for family, r in rows.items() if r})
        for function, number in zip(slopes, ids, strict=True):
            function.kernel = number
        return kernel


__all__ = ["elementwise"]
