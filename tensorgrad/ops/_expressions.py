"""Expressions of numbers, as C writes them: parsed, simplified, differentiated, and written as C for
vectors or computed with NumPy. `tensorgrad.ops.elementwise` makes ops of them.

An expression is a number, a name, or a Call of a function on expressions; operators are functions
too."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tensorgrad.errors import ArgumentError


class Call(NamedTuple):
    """A function of expressions."""

    function: str
    arguments: tuple[Expression, ...]


Expression = float | str | Call
CONSTANTS = {"pi": math.pi, "M_PI": math.pi, "e": math.e, "M_E": math.e, "INFINITY": math.inf}


class Function(NamedTuple):
    """What is known of a function.

    c: how C for vectors writes it, a format of the arguments. numpy: the same on arrays.
    derivatives: by each argument, as text in the arguments a, b, c; "" where it is zero. mask: it
    is true or false. cheap: it costs no more than a few additions."""

    c: str
    numpy: Callable[..., Any]
    derivatives: tuple[str, ...] = ()
    mask: bool = False
    cheap: bool = False


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(np.asarray(x).dtype)


def _sigmoid(x: Any) -> Any:
    return np.exp(-np.logaddexp(0, -x))


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS: dict[str, Function] = {
    "add": Function("({} + {})", np.add, ("1", "1"), cheap=True),
    "sub": Function("({} - {})", np.subtract, ("1", "-1"), cheap=True),
    "mul": Function("({} * {})", np.multiply, ("b", "a"), cheap=True),
    "div": Function("({} / {})", np.true_divide, ("1 / b", "-a / (b * b)"), cheap=True),
    "neg": Function("(-{})", np.negative, ("-1",), cheap=True),
    "abs": Function("v_abs({})", np.abs, ("sign(a)",), cheap=True),
    "sign": Function("v_sign({})", np.sign, ("",), cheap=True),
    "min": Function("v_min({}, {})", np.minimum, ("a <= b", "b < a"), cheap=True),
    "max": Function("v_max({}, {})", np.maximum, ("a >= b", "b > a"), cheap=True),
    "floor": Function("v_floor({})", np.floor, ("",), cheap=True),
    "ceil": Function("v_ceil({})", np.ceil, ("",), cheap=True),
    "round": Function("v_round({})", np.round, ("",), cheap=True),
    "trunc": Function("v_trunc({})", np.trunc, ("",), cheap=True),
    "sqrt": Function("v_sqrt({})", np.sqrt, ("0.5 / sqrt(a)",), cheap=True),
    "exp": Function("v_exp({})", np.exp, ("exp(a)",)),
    "expm1": Function("v_expm1({})", np.expm1, ("exp(a)",)),
    "log": Function("v_log({})", np.log, ("1 / a",)),
    "log1p": Function("v_log1p({})", np.log1p, ("1 / (1 + a)",)),
    "log2": Function("v_log2({})", np.log2, ("1.4426950408889634 / a",)),
    "log10": Function("v_log10({})", np.log10, ("0.4342944819032518 / a",)),
    "tanh": Function("v_tanh({})", np.tanh, ("1 - tanh(a) * tanh(a)",)),
    "sigmoid": Function("v_sigmoid({})", _sigmoid, ("sigmoid(a) * (1 - sigmoid(a))",)),
    "silu": Function("v_silu({})", lambda x: x * _sigmoid(x), ("silu_slope(a)",)),
    "silu_slope": Function(
        "v_silu_slope({})",
        lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
        ("sigmoid(a) * (1 - sigmoid(a)) * (2 + a * (1 - 2 * sigmoid(a)))",),
    ),
    "gelu": Function(
        "v_gelu({})", lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))), ("gelu_slope(a)",)
    ),
    "gelu_slope": Function(
        "v_gelu_slope({})",
        lambda x: (
            0.5 * (1 + _erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        ),
        ("(2 - a * a) * 0.3989422804014327 * exp(-a * a / 2)",),
    ),
    "gelu_tanh": Function(
        "v_gelu_tanh({})",
        _gelu_tanh,
        (
            "0.5 * (1 + tanh(0.7978845608028654 * (a + 0.044715 * a * a * a))) + 0.5 * a * "
            "(1 - tanh(0.7978845608028654 * (a + 0.044715 * a * a * a)) "
            "* tanh(0.7978845608028654 * (a + 0.044715 * a * a * a))) "
            "* 0.7978845608028654 * (1 + 0.134145 * a * a)",
        ),
    ),
    "erf": Function("v_erf({})", _erf, ("1.1283791670955126 * exp(-a * a)",)),
    "sin": Function("v_sin({})", np.sin, ("cos(a)",)),
    "cos": Function("v_cos({})", np.cos, ("-sin(a)",)),
    "tan": Function("v_tan({})", np.tan, ("1 + tan(a) * tan(a)",)),
    "pow": Function("v_pow({}, {})", np.power, ("b * pow(a, b - 1)", "pow(a, b) * log(a)")),
    "where": Function("v_select({}, {}, {})", np.where, ("", "where(a, 1, 0)", "where(a, 0, 1)")),
    "lt": Function("({} < {})", np.less, ("", ""), mask=True, cheap=True),
    "le": Function("({} <= {})", np.less_equal, ("", ""), mask=True, cheap=True),
    "gt": Function("({} > {})", np.greater, ("", ""), mask=True, cheap=True),
    "ge": Function("({} >= {})", np.greater_equal, ("", ""), mask=True, cheap=True),
    "eq": Function("({} == {})", np.equal, ("", ""), mask=True, cheap=True),
    "ne": Function("({} != {})", np.not_equal, ("", ""), mask=True, cheap=True),
    "and": Function("({} & {})", np.logical_and, ("", ""), mask=True, cheap=True),
    "or": Function("({} | {})", np.logical_or, ("", ""), mask=True, cheap=True),
    "not": Function("(~{})", np.logical_not, ("",), mask=True, cheap=True),
}
_ALIASES = {"fabs": "abs", "fmax": "max", "fmin": "min", "maximum": "max", "minimum": "min"}
_MASK_ARGUMENTS = {"where": (0,), "and": (0, 1), "or": (0, 1), "not": (0,)}
FUNCTIONS["where"] = FUNCTIONS["where"]._replace(cheap=True)

# ---- parsing -------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[fFlL]?|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator><=|>=|==|!=|&&|\|\||[-+*/()<>?:,!]))"
)
# binary operators from the weakest to the strongest
_LEVELS: tuple[dict[str, str], ...] = (
    {"||": "or"},
    {"&&": "and"},
    {"==": "eq", "!=": "ne"},
    {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"},
    {"+": "add", "-": "sub"},
    {"*": "mul", "/": "div"},
)


class _Parser:
    """Recursive descent over C's grammar of expressions, without assignments, bits and casts."""

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what = text, what
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                start = at + len(text[at:]) - len(text[at:].lstrip())
                raise self.error(f"{text[start]!r} has no meaning here", start)
            kind = match.lastgroup or ""
            self.tokens.append((kind, match[kind], match.start(kind)))
            at = match.end()
        self.tokens.append(("end", "", len(text.rstrip())))
        self.at = 0

    def error(self, why: str, position: int | None = None) -> ArgumentError:
        if position is None:
            position = self.tokens[self.at][2]
        return ArgumentError(f"{self.what}: {why}\n    {self.text}\n    {' ' * position}^")

    def take(self, operator: str) -> bool:
        """Goes past an operator if it comes next."""
        kind, text, _ = self.tokens[self.at]
        if kind == "operator" and text == operator:
            self.at += 1
            return True
        return False

    def expect(self, operator: str) -> None:
        if not self.take(operator):
            raise self.error(f"expected {operator!r}")

    def whole(self) -> Expression:
        result = self.choice()
        if self.tokens[self.at][0] != "end":
            raise self.error("expected an operator or the end")
        return result

    def choice(self) -> Expression:
        condition = self.binary(0)
        if not self.take("?"):
            return condition
        first = self.choice()
        self.expect(":")
        return Call("where", (condition, first, self.choice()))

    def binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self.unary()
        result = self.binary(level + 1)
        while True:
            kind, text, _ = self.tokens[self.at]
            if kind != "operator" or text not in _LEVELS[level]:
                return result
            self.at += 1
            result = Call(_LEVELS[level][text], (result, self.binary(level + 1)))

    def unary(self) -> Expression:
        if self.take("-"):
            return Call("neg", (self.unary(),))
        if self.take("+"):
            return self.unary()
        if self.take("!"):
            return Call("not", (self.unary(),))
        return self.primary()

    def primary(self) -> Expression:
        kind, text, position = self.tokens[self.at]
        if kind == "number":
            self.at += 1
            return float(text)
        if kind == "name":
            self.at += 1
            if not self.take("("):
                return CONSTANTS.get(text, text)
            name = _ALIASES.get(text, text)
            if name not in FUNCTIONS:
                known = ", ".join(sorted(f for f in FUNCTIONS if f not in _OPERATORS))
                raise self.error(f"no function {text!r}; there are {known}", position)
            arguments = [self.choice()]
            while self.take(","):
                arguments.append(self.choice())
            self.expect(")")
            wanted = len(FUNCTIONS[name].derivatives)
            if len(arguments) != wanted:
                raise self.error(
                    f"{text} takes {wanted} argument{'s' * (wanted > 1)}, got {len(arguments)}",
                    position,
                )
            return Call(name, tuple(arguments))
        if self.take("("):
            result = self.choice()
            self.expect(")")
            return result
        raise self.error("expected a number, a name or '('")


_OPERATORS = {name for level in _LEVELS for name in level.values()} | {"neg", "not"}


def parse(text: str, what: str) -> Expression:
    """The expression that a text is. Raises ArgumentError that shows where it is none, naming
    `what`."""
    if not isinstance(text, str) or not text.strip():
        raise ArgumentError(f"{what}: expected an expression, got {text!r}")
    return simplified(_Parser(text, what).whole())


def names_in(expression: Expression) -> list[str]:
    """The names in an expression, in the order in which they first come."""
    if isinstance(expression, str):
        return [expression]
    if isinstance(expression, Call):
        return list(dict.fromkeys(n for a in expression.arguments for n in names_in(a)))
    return []


def replaced(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    """The expression with other expressions in place of names."""
    if isinstance(expression, str):
        return values.get(expression, expression)
    if isinstance(expression, Call):
        return Call(expression.function, tuple(replaced(a, values) for a in expression.arguments))
    return expression


def is_cheap(expression: Expression) -> bool:
    """Whether loads and stores cost more than computing it."""
    if not isinstance(expression, Call):
        return True
    return FUNCTIONS[expression.function].cheap and all(map(is_cheap, expression.arguments))


# ---- simplification ------------------------------------------------------------------------------


def simplified(expression: Expression) -> Expression:
    """The same with constants folded, neutral elements dropped, and the long forms of sigmoid, silu
    and gelu, which overflow or round badly, by their own kernels."""
    if not isinstance(expression, Call):
        return expression
    function = expression.function
    arguments = tuple(simplified(a) for a in expression.arguments)
    if (
        all(isinstance(a, float) for a in arguments)
        and function in ("add", "sub", "mul", "neg", "div", "sqrt", "pow")
        and not (function == "div" and arguments[1] == 0)
    ):
        with np.errstate(all="ignore"):
            return float(FUNCTIONS[function].numpy(*np.array(arguments, np.float64)))
    a = arguments[0]
    b = arguments[1] if len(arguments) > 1 else None
    if function == "add" and 0.0 in (a, b):
        return b if a == 0.0 else a  # type: ignore[return-value]
    if function == "sub" and b == 0.0:
        return a
    if function == "mul" and 1.0 in (a, b):
        return b if a == 1.0 else a  # type: ignore[return-value]
    if function == "mul" and -1.0 in (a, b):
        return simplified(Call("neg", (b if a == -1.0 else a,)))  # type: ignore[arg-type]
    if function == "mul" and 0.0 in (a, b):
        return 0.0
    if function == "div" and b == 1.0:
        return a
    if function == "neg" and isinstance(a, Call) and a.function == "neg":
        return a.arguments[0]
    if function == "pow" and b in (1.0, 2.0, 3.0):
        square = Call("mul", (a, a))
        return a if b == 1.0 else square if b == 2.0 else Call("mul", (square, a))
    return _known_form(Call(function, arguments))


def _known_form(call: Call) -> Expression:
    function, arguments = call
    if function == "div":
        top, below = arguments
        u = _logistic_denominator(below)
        if u is not None:
            if top == 1.0:
                return Call("sigmoid", (u,))
            return Call("silu", (u,)) if top == u else Call("mul", (top, Call("sigmoid", (u,))))
    if function == "mul":
        for one, other in (arguments, arguments[::-1]):
            if other == Call("sigmoid", (one,)):
                return Call("silu", (one,))
        factors = _factors(call)
        for shifted in factors:
            if isinstance(shifted, Call) and shifted.function == "add" and 1.0 in shifted.arguments:
                rest = [f for f in factors if f is not shifted]
                u = _erf_of_half(shifted)
                if u is not None and sorted(map(repr, rest)) == sorted(map(repr, [0.5, u])):
                    return Call("gelu", (u,))
    return call


def _factors(expression: Expression) -> list[Expression]:
    if isinstance(expression, Call) and expression.function == "mul":
        return [f for a in expression.arguments for f in _factors(a)]
    return [expression]


def _logistic_denominator(expression: Expression) -> Expression | None:
    """u, of 1 + exp(-u)."""
    if isinstance(expression, Call) and expression.function == "add":
        for one, other in (expression.arguments, expression.arguments[::-1]):
            if one == 1.0 and isinstance(other, Call) and other.function == "exp":
                return simplified(Call("neg", other.arguments))
    return None


def _erf_of_half(expression: Call) -> Expression | None:
    """u, of 1 + erf(u / sqrt(2))."""
    for one, other in (expression.arguments, expression.arguments[::-1]):
        if one == 1.0 and isinstance(other, Call) and other.function == "erf":
            inner = other.arguments[0]
            if isinstance(inner, Call) and inner.function in ("div", "mul"):
                u, factor = inner.arguments
                if isinstance(u, float):
                    u, factor = factor, u
                wanted = math.sqrt(2) if inner.function == "div" else math.sqrt(0.5)
                if isinstance(factor, float) and math.isclose(factor, wanted, rel_tol=1e-7):
                    return u
    return None


# ---- differentiation -----------------------------------------------------------------------------


def derivative(expression: Expression, by: str) -> Expression:
    """The derivative of an expression by a name, by the chain rule. At a kink, one of the two
    sides."""
    if isinstance(expression, float):
        return 0.0
    if isinstance(expression, str):
        return 1.0 if expression == by else 0.0
    if by not in names_in(expression):
        return 0.0
    total: Expression = 0.0
    outer = FUNCTIONS[expression.function].derivatives
    for argument, text in zip(expression.arguments, outer, strict=True):
        inner = derivative(argument, by) if text else 0.0
        if inner == 0.0:
            continue
        values = dict(zip("abc", expression.arguments))
        slope = replaced(parse(text, expression.function), values)
        total = Call("add", (total, Call("mul", (slope, inner))))
    return simplified(total)


# ---- C and NumPy ---------------------------------------------------------------------------------


def as_c(expression: Expression, names: Mapping[str, str]) -> str:
    """C for vectors. names: what each name is called there."""
    text, mask = _c(expression, names)
    return f"v_select({text}, v_set(1), v_set(0))" if mask else text


def _c(expression: Expression, names: Mapping[str, str]) -> tuple[str, bool]:
    if isinstance(expression, float):
        if math.isinf(expression):
            return f"v_set({'-' if expression < 0 else ''}INFINITY)", False
        return f"v_set({expression!r})", False
    if isinstance(expression, str):
        return names[expression], False
    function = FUNCTIONS[expression.function]
    masks = _MASK_ARGUMENTS.get(expression.function, ())
    texts = []
    for i, argument in enumerate(expression.arguments):
        text, mask = _c(argument, names)
        if i in masks and not mask:
            text = f"({text} != v_set(0))"
        elif mask and i not in masks:
            text = f"v_select({text}, v_set(1), v_set(0))"
        texts.append(text)
    return function.c.format(*texts), function.mask


def by_numpy(expression: Expression, names: Sequence[str]) -> Callable[..., Any]:
    """A function of arrays, in the order of `names`."""

    def evaluate(part: Expression, values: Mapping[str, Any]) -> Any:
        if isinstance(part, float):
            return part
        if isinstance(part, str):
            return values[part]
        arguments = [evaluate(a, values) for a in part.arguments]
        found = FUNCTIONS[part.function].numpy(*arguments)
        if FUNCTIONS[part.function].mask or part.function != "where":
            return found
        dtypes = [np.asarray(a).dtype for a in arguments[1:] if not isinstance(a, float)]
        return found.astype(np.result_type(*dtypes)) if dtypes else found

    def function(*arrays: Any) -> Any:
        values = dict(zip(names, arrays, strict=True))
        shape = np.broadcast_shapes(*(np.shape(a) for a in arrays))
        dtype = np.result_type(*(a for a in arrays if isinstance(a, np.ndarray)))
        with np.errstate(all="ignore"):
            result = evaluate(expression, values)
        return np.broadcast_to(np.asarray(result, dtype), shape).copy()

    return function
