"""Elementwise ops made from expressions: `elementwise`.

One string is the forward, others are the gradients, or none and they are derived. They become C for
vectors, compiled into kernels of the same form as the library's own, and are declared like its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from operator import itemgetter
from types import FunctionType
from typing import Any

import numpy as np

from tensorgrad._native import BINARY, NULL, UNARY, broadcast_layout, fail, ffi, lib
from tensorgrad._tensor import Tensor, empty_raw, wrap_array
from tensorgrad.autograd._declare import Case, op
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._recorded import recorded
from tensorgrad.dtypes import DTYPES, F32, F64, promote
from tensorgrad.errors import ArgumentError
from tensorgrad.ops._compiler import compile_shared, dlopen
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

MOST_INPUTS = 4
MOST_PARAMETERS = 4


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
    if not isinstance(name, str) or not name.isidentifier():
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


def _check_names(
    what: str, forward: Expression, inputs: Sequence[str], params: Mapping[str, float]
) -> None:
    for n in [*inputs, *params]:
        if not isinstance(n, str) or not n.isidentifier() or n in ("gy", "y") or n[0] == "_":
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


# ---- kernels -------------------------------------------------------------------------------------

_CDEF = "extern const void *const tg_kernels[];"


def _source(rows: Mapping[str, Sequence[str]]) -> str:
    """The C file of kernels: rows of the tables of each family, as csrc/kernels has them."""
    text = "#include <tensorgrad_simd.h>\n"
    for family, lines in rows.items():
        macro = f"TG_{family.upper()}_OPS"
        text += f"#define {macro}(OP) " + " ".join(f"OP({line})" for line in lines) + "\n"
        text += f'#include "kernels/{family}_types.h"\n'
    for suffix, bits in (("f32", 32), ("f64", 64)):
        text += f"#define TG_SUFFIX {suffix}\n#define TG_BITS {bits}\n"
        text += "".join(f'#include "kernels/{family}.h"\n' for family in rows)
        text += "#undef TG_SUFFIX\n#undef TG_BITS\n"
    exported = []
    for family, lines in rows.items():
        if family == "map":
            for line in lines:
                name = line.split(",")[0]
                for suffix in ("f32", "f64"):
                    text += f"static const tg_map_fn {name}_at_{suffix}[] = {{{name}_{suffix}}};\n"
                    exported.append(f"{name}_at_{suffix}")
        else:
            exported += [f"&{family}_kernels_{suffix}" for suffix in ("f32", "f64")]
    text += '__attribute__((visibility("default"))) const void *const tg_kernels[] = {'
    return text + ", ".join(exported) + "};\n"


class Kernels:
    """Compiled kernels, added to the library's. `ids` are those of the rows, in order; a file has at
    most one unary and one binary row."""

    def __init__(
        self, name: str, rows: Mapping[str, Sequence[tuple[str, Expression, int]]]
    ) -> None:
        texts = {family: [row[0] for row in lines] for family, lines in rows.items()}
        path = compile_shared(name, _source(texts))
        own, module = dlopen(path, _CDEF)
        self.ids: list[int] = []
        at = 0
        for family, lines in rows.items():
            code = {"unary": lib.TG_UNARY, "binary": lib.TG_BINARY, "map": lib.TG_MAP}[family]
            for _, expression, count in lines:
                pair = [
                    ffi.cast("void *", int(own.cast("uintptr_t", module.tg_kernels[at + k])))
                    for k in (0, 1)
                ]
                at += 2
                found = lib.tg_custom_add(code, 0 if is_cheap(expression) else 1, count, *pair)
                if found < 0:
                    fail(-found, f"op {name!r}")
                self.ids.append(found)


def _cost(expression: Expression) -> str:
    return "CHEAP" if is_cheap(expression) else "COSTLY"


def _map_row(
    name: str, expression: Expression, inputs: Sequence[str], params: Sequence[str]
) -> tuple[str, Expression, int]:
    names = dict(zip(inputs, "abcd")) | {p: f"p{i}" for i, p in enumerate(params)}
    text = f"{name}, {_cost(expression)}, {len(inputs)}, {as_c(expression, names)}"
    return text, expression, len(inputs)


def _together(where: str, tensors: Sequence[Any]) -> list[Tensor]:
    """Inputs as tensors of one float dtype."""
    code = -1
    for t in tensors:
        code = t._code if code < 0 else promote(code, t._code)
    if code > F64:
        code = F32
    return [t if t._code == code else t.astype(DTYPES[code]) for t in tensors]


_new_pointers = partial(ffi.new, ffi.typeof("void *[]"))
_new_numbers = partial(ffi.new, ffi.typeof(f"double[{MOST_PARAMETERS}]"))
_NO_NUMBERS = _new_numbers()


def _map(kernel: int, name: str, tensors: Sequence[Tensor], numbers: Sequence[float]) -> Tensor:
    """One kernel over tensors that broadcast, off the tape."""
    first = tensors[0]
    shape, code, size, layout = first._shape, first._code, first._size, NULL
    for t in tensors:
        if t._shape != shape or t._code != code or t._strides is not None or code > F64:
            tensors = _together(name, tensors)
            code = tensors[0]._code
            shape, layout = broadcast_layout(name, *[(t._shape, t._strides) for t in tensors])
            if all(t._shape == shape and t._strides is None for t in tensors):
                layout = NULL
            size = prod(shape)
            break
    y = empty_raw(shape, size, code)
    pointers = _new_pointers([t._ptr for t in tensors])
    values = _new_numbers([*numbers]) if numbers else _NO_NUMBERS
    status = lib.tg_map(kernel, code, size, pointers, y._ptr, layout, values)
    if status:
        fail(status, name, y._storage)
    return y


# ---- functions -----------------------------------------------------------------------------------


def _with_signature(
    name: str, inputs: Sequence[str], params: Mapping[str, float], body: Callable[..., Any]
) -> Any:
    """A function (inputs, /, *, params) that hands its arguments to body(tensors, numbers)."""
    signature = ", ".join([*(f"{x}: Tensor" for x in inputs), "/"])
    if params:
        signature += ", *, " + ", ".join(f"{p}={value!r}" for p, value in params.items())
    text = (
        f"def {name}({signature}) -> Tensor:\n"
        f"    return _body(({', '.join(inputs)},), ({''.join(p + ', ' for p in params)}))\n"
    )
    made: dict[str, Any] = {}
    exec(compile(text, f"<op {name}>", "exec"), {"Tensor": Tensor, "_body": body}, made)
    function: FunctionType = made[name]
    function.__module__ = __name__
    return function


def _fresh(name: str, taken: set[str]) -> str:
    """The name, or with a number the first that is not taken."""
    number = 1
    chosen = name
    while chosen in taken:
        number += 1
        chosen = f"{name}{number}"
    return chosen


class _Function:
    """An expression as a function of tensors, recorded, whose gradients are expressions too: derived,
    and compiled, when they are first wanted."""

    def __init__(
        self,
        name: str,
        expression: Expression,
        inputs: Sequence[str],
        params: Mapping[str, float],
        by_arrays: bool,
        kernel: int | None = None,
        gradients: Sequence[Expression] | None = None,
        gradient_kernels: Sequence[int | None] = (),
    ) -> None:
        self.name, self.expression = name, expression
        self.inputs, self.params = list(inputs), dict(params)
        self.by_arrays, self.kernel = by_arrays, kernel
        self.gradients = gradients
        self.gradient_kernels = gradient_kernels
        taken = {*self.inputs, *self.params}  # they may be those of a gradient
        self.upstream = _fresh("gy", taken)
        self.result = _fresh("result", taken)
        self.slopes: list[Any] = [None] * len(self.inputs)
        self.reads_y = gradients is not None and any("y" in names_in(g) for g in gradients)

    def compute(self, tensors: Sequence[Tensor], numbers: Sequence[float]) -> Tensor:
        """The values, off the tape."""
        if self.by_arrays:
            arrays = [t._array() for t in _together(self.name, tensors)]
            scalars = [arrays[0].dtype.type(n) for n in numbers]
            function = by_numpy(self.expression, [*self.inputs, *self.params])
            return wrap_array(function(*arrays, *scalars))
        if self.kernel is None:
            row = _map_row("kernel", self.expression, self.inputs, list(self.params))
            self.kernel = Kernels(self.name, {"map": [row]}).ids[0]
        return _map(self.kernel, self.name, tensors, numbers)

    def slope(self, i: int) -> Callable[..., Any]:
        """(gy, y, inputs, numbers) -> the gradient by input i, recorded."""
        if self.slopes[i] is None:
            if self.gradients is None:
                inner = derivative(self.expression, self.inputs[i])
                gradient = simplified(Call("mul", (self.upstream, inner)))
            else:
                gradient = replaced(self.gradients[i], {"gy": self.upstream, "y": self.result})
                if len(names_in(gradient)) - len(self.params) > MOST_INPUTS:
                    gradient = replaced(gradient, {self.result: self.expression})
            read = [n for n in names_in(gradient) if n not in self.params]
            if not read:
                self.slopes[i] = lambda gy, y, tensors, numbers: None
            else:
                self.slopes[i] = self._slope(i, gradient, read)
        return self.slopes[i]

    def _slope(self, i: int, gradient: Expression, read: list[str]) -> Callable[..., Any]:
        kernel = self.gradient_kernels[i] if self.gradient_kernels else None
        name = f"{self.name}_by_{self.inputs[i]}"
        function = _Function(name, gradient, read, self.params, self.by_arrays, kernel).recorded()
        at = {self.upstream: 0, self.result: 1, **{x: 2 + k for k, x in enumerate(self.inputs)}}
        chosen_by = itemgetter(*(at[n] for n in read), 0)  # one more, so that it gives a tuple

        def apply(gy: Tensor, y: Any, tensors: Sequence[Any], numbers: Sequence[float]) -> Tensor:
            chosen = chosen_by((gy, y, *tensors))[:-1]
            if kernel is not None and not mode.enabled:
                try:
                    return _map(kernel, name, chosen, numbers)
                except AttributeError:
                    pass  # one of them only stands for a Tensor
            return function(*chosen, **dict(zip(self.params, numbers)))

        return apply

    def rule(self) -> tuple[Callable[..., Any], ...]:
        """The gradients as `op` takes them."""
        count = len(self.inputs)

        def by(i: int) -> Callable[..., Any]:
            def gradient(gy: Tensor, y: Any, *rest: Any, **numbers: Any) -> Any:
                slope = self.slopes[i] or self.slope(i)
                return slope(gy, y, rest[:count], [*numbers.values()])

            return gradient

        return tuple(by(i) for i in range(count))

    def forward(self) -> Any:
        """The plain function."""
        return _with_signature(self.name, self.inputs, self.params, self.compute)

    def recorded(self) -> Any:
        """The function that is recorded, not in the registry."""
        saves = (*self.inputs, "y") if self.reads_y else tuple(self.inputs)
        made = recorded(self.forward(), self.rule(), saves, False, False)
        made.batching = "elementwise"
        return made


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
                Kernels(name, {"map": [_map_row("kernel", 1.0, ["x"], [])]})
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
                _cost(self.forward) if is_cheap(gradient) else "COSTLY",
                as_c(self.forward, names),
                "Y" if saves_y else "X",
                as_c(gradient, names),
            )
        )
        UNARY[self.name] = Kernels(self.name, {"unary": [(row, self.forward, 1)]}).ids[0]
        slope = derivative(replaced(gradient, {"gy": 1.0}), saved)
        second = None
        if slope != 0.0:
            curve = _Function(
                f"{self.name}_curve", slope, [saved], self.params, self.by_arrays
            ).recorded()
            keys = list(self.params)
            second = (
                lambda s: curve(s),
                lambda s, p: curve(s, **{keys[0]: p}),
                lambda s, p, q: curve(s, **{keys[0]: p, keys[1]: q}),
            )[len(keys)]
        function = _with_signature(self.name, [x], self.params, lambda *_: None)
        function.__doc__ = doc
        saves = None if gradient == 0.0 else "y" if saves_y else "x"
        return unary(saves=saves, second=second, **settings)(function)

    def _binary(self, doc: str, settings: dict[str, Any]) -> Callable[..., Tensor]:
        first, second = self.inputs
        names = {first: "a", second: "b"}
        forward = f"kernel, {_cost(self.forward)}, {as_c(self.forward, names)}"
        rows: dict[str, list[tuple[str, Expression, int]]] = {
            "binary": [(forward, self.forward, 2)]
        }
        maps, kernels = self._gradient_rows()
        if maps:
            rows["map"] = maps
        ids = Kernels(self.name, rows).ids
        BINARY[self.name] = ids[0]
        made = _Function(
            self.name,
            self.forward,
            self.inputs,
            {},
            False,
            gradients=self.gradients,
            gradient_kernels=[None if k is None else ids[1 + k] for k in kernels],
        )
        saves = []
        for gradient in self.gradients:
            read = names_in(gradient)
            letters = {first: "a", second: "b", "y": "y"}
            saves.append(" ".join(letters[n] for n in read if n in letters))
        by = [
            (lambda gy, y, a, b, i=i: (made.slopes[i] or made.slope(i))(gy, y, (a, b), ()))
            for i in range(2)
        ]
        function = _with_signature(self.name, self.inputs, {}, lambda *_: None)
        function.__doc__ = doc
        return binary(
            gradient=(by[0], by[1]), saves=(saves[0], saves[1]), integers="float", **settings
        )(function)

    def _gradient_rows(self) -> tuple[list[tuple[str, Expression, int]], list[int | None]]:
        """Rows of kernels for the gradients, and for each which it is; None: none, or later."""
        rows: list[tuple[str, Expression, int]] = []
        places: list[int | None] = []
        for i, gradient in enumerate(self.gradients):
            read = [n for n in names_in(gradient) if n not in self.params]
            if not read or len(read) > MOST_INPUTS:
                places.append(None)
                continue
            places.append(len(rows))
            rows.append(_map_row(f"gradient_{i}", gradient, read, list(self.params)))
        return rows, places

    def _general(self, doc: str, settings: dict[str, Any]) -> Callable[..., Tensor]:
        kernel: int | None = None
        kernels: list[int | None] = []
        if not self.by_arrays:
            row = _map_row("kernel", self.forward, self.inputs, list(self.params))
            maps, places = self._gradient_rows()
            ids = Kernels(self.name, {"map": [row, *maps]}).ids
            kernel = ids[0]
            kernels = [None if k is None else ids[1 + k] for k in places]
        made = _Function(
            self.name,
            self.forward,
            self.inputs,
            self.params,
            self.by_arrays,
            kernel,
            self.gradients,
            kernels,
        )
        function = made.forward()
        function.__doc__ = doc
        saves = (*self.inputs, "y") if made.reads_y else tuple(self.inputs)
        kind = "NumPy" if self.by_arrays else "C"
        return op(
            gradient=made.rule(), saves=saves, kernel=kind, batching="elementwise", **settings
        )(function)


__all__ = ["elementwise"]
