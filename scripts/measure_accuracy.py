"""Measures the error of the transcendental kernels against mpmath, in units in the last place (ulp)
of the correctly rounded result, and writes the table of docs/accuracy.md.

    python scripts/measure_accuracy.py [--points N] [--write] [--only NAME]

For every function, dtype and kernel table of this machine: the largest error over points of all
exponents and signs, uniform points about the origin, and the neighbourhoods of where the function
turns, vanishes, overflows or underflows; and whether zeros, infinities and NaN come out as IEEE 754
and C's Annex F say. The exact value has 40 digits, for a result near a zero of the function more."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mpmath
import numpy as np

from tensorgrad import _native
from tensorgrad._native import BINARY, NULL, UNARY, ffi, lib

PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"
LIMIT = 2.0
mp = mpmath.mp.clone()
mp.prec = 200


class Function(NamedTuple):
    """A function of one kernel. exact: of mpmath numbers, finite ones of the domain [low, high].
    near: points whose neighbours are tried."""

    name: str
    exact: Callable[..., Any]
    low: float = -math.inf
    high: float = math.inf
    near: tuple[float, ...] = ()
    kernel: str = ""
    parameter: float = 0.0


def _phi(x: Any) -> Any:
    """The normal distribution function; where it is 0 or 1 in any float, without computing it."""
    if abs(x) > 60:
        return mp.mpf(int(x > 0))
    return mp.erfc(-x / mp.sqrt(2)) / 2


_PI = tuple(k * math.pi / 2 for k in (1, 2, 3, 4, 5, 6, 7, 8, 100, 1001))
_EDGES = (88.72, 88.73, -87.33, -103.97, 709.78, -708.39, -745.13)

FUNCTIONS = (
    Function("exp", mp.exp, near=(0.0, *_EDGES)),
    Function("expm1", mp.expm1, near=(0.0, *_EDGES)),
    Function("log", mp.log, low=0.0, near=(1.0, 0.5, 2.0, math.sqrt(0.5), math.sqrt(2))),
    Function("log2", lambda x: mp.log(x, 2), low=0.0, near=(1.0, 0.5, 2.0, math.sqrt(0.5))),
    Function("log10", mp.log10, low=0.0, near=(1.0, 0.1, 10.0, math.sqrt(0.5))),
    Function("log1p", mp.log1p, low=-1.0, near=(0.0, -0.5, 1.0)),
    Function("sqrt", mp.sqrt, low=0.0, near=(1.0,)),
    Function("rsqrt", lambda x: 1 / mp.sqrt(x), low=0.0, near=(1.0,)),
    Function("tanh", mp.tanh, near=(0.0, 0.55, 1.0, 9.0, 19.0)),
    Function("sigmoid", lambda x: 1 / (1 + mp.exp(-x)), near=(0.0, -88.0, -103.9, -709.0, -745.0)),
    Function("softplus", lambda x: mp.log1p(mp.exp(x)), near=(0.0, 20.0, -88.0, -745.0)),
    Function("silu", lambda x: x / (1 + mp.exp(-x)), near=(0.0, -1.2785, -88.0, -745.0)),
    Function("gelu", lambda x: x * _phi(x), near=(0.0, -0.75, -5.0, -13.0, -38.0)),
    Function(
        "gelu_tanh",
        lambda x: x / (1 + mp.exp(-2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))),
        near=(0.0, -0.75, -5.0),
    ),
    Function(
        "erf", lambda x: mp.erf(x) if abs(x) < 60 else mp.sign(x), near=(0.0, 0.5, 1.0, 4.0, 6.0)
    ),
    Function("sin", mp.sin, near=(0.0, *_PI)),
    Function("cos", mp.cos, near=(0.0, *_PI)),
    Function("tan", mp.tan, near=(0.0, *_PI)),
    *(
        Function(
            f"power {p:g}", lambda x, y: x**y, low=0.0, near=(1.0,), kernel="power", parameter=p
        )
        for p in (0.3, 2.5, -1.7, 40.0)
    ),
    Function("pow", lambda x, y: x**y, low=0.0, near=(1.0,), kernel="pow"),
)


def sample(function: Function, dtype: Any, points: int, seed: int = 0) -> np.ndarray:
    """Points of the function's domain, zeros left out."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    least, most = np.log2(float(info.smallest_subnormal)), np.log2(float(info.max))
    exponents = rng.uniform(least, most, points // 2)
    magnitudes = np.exp2(exponents) * rng.choice([-1.0, 1.0], points // 2)
    near = [
        np.asarray(p, dtype) * (1 + k * float(info.eps))
        for p in function.near
        for k in range(-8, 9)
    ]
    around = [
        rng.uniform(-12, 12, points // 4),
        rng.uniform(-1, 1, points // 8),
        *(
            [rng.uniform(-110, 110, points // 8)]
            if dtype == np.float32
            else [rng.uniform(-750, 750, points // 8)]
        ),
    ]
    with np.errstate(over="ignore", under="ignore"):
        x = np.concatenate([magnitudes, *around, np.asarray(near, np.float64).reshape(-1)]).astype(
            dtype
        )
    x = np.where(x < function.low, -x, x)
    x = x[np.isfinite(x) & (x != 0) & (x > function.low) & (x < function.high)]
    return np.unique(x)


def compute(function: Function, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kernel's result."""
    out = np.empty_like(x)
    code = _native.CODES[x.dtype]
    at = [ffi.cast("void *", a.__array_interface__["data"][0]) for a in (x, y, out)]
    kernel = function.kernel or function.name
    if kernel in UNARY:
        status = lib.tg_unary(UNARY[kernel], code, x.size, at[0], at[2], function.parameter, 0.0)
    else:
        status = lib.tg_binary(BINARY[kernel], code, x.size, *at, NULL)
    assert status == 0, f"{kernel}: status {status}"
    return out


def exact_parts(function: Function, *arguments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The exact values as float64 or float32 nearest to them, and what is left of them (float64)."""
    dtype = arguments[0].dtype
    nearest = np.empty(arguments[0].size, dtype)
    rest = np.empty(arguments[0].size, np.float64)
    for i, values in enumerate(zip(*arguments)):
        # an exponent's worth of bits more, for an argument as large as that, or a result as small
        mp.prec = 200 + abs(math.frexp(float(values[0]))[1])
        exact = function.exact(*map(mp.mpf, map(float, values)))
        with np.errstate(over="ignore"):
            nearest[i] = dtype.type(float(exact))
        left = exact - mp.mpf(float(nearest[i])) if np.isfinite(nearest[i]) else mp.mpf(0)
        rest[i] = float(left)
    return nearest, rest


def errors(y: np.ndarray, nearest: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The errors in ulp; infinite where one is finite and the other is not."""
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(nearest)
        off = (y.astype(np.float64) - nearest.astype(np.float64) - rest) / np.spacing(
            np.abs(np.where(finite, nearest, 1))
        ).astype(np.float64)
        # at the end of the range the largest number is as good as infinity within an ulp
        almost = np.isinf(y) & (np.abs(nearest) == np.finfo(y.dtype).max)
        found = np.where(almost, 1.0, np.abs(off))
        return np.where(finite, found, np.where(y == nearest, 0.0, np.inf))


def cases(points: int, only: str = "") -> list[tuple[Function, str, tuple[np.ndarray, ...], Any]]:
    """(function, dtype, arguments, exact values) of every function and dtype."""
    found = []
    for function in FUNCTIONS:
        if only and only not in function.name:
            continue
        for name in ("float32", "float64"):
            x = sample(function, np.dtype(name).type, points)
            arguments: tuple[np.ndarray, ...] = (x,)
            if function.kernel == "power":  # the kernel takes the exponent in the dtype
                arguments = (x, np.full_like(x, function.parameter))
            elif function.name == "pow":
                rng = np.random.default_rng(1)
                top = np.log2(float(np.finfo(name).max))
                # exponents that bring the result anywhere in range
                y = rng.uniform(-1.1, 1.1, x.size) * top / np.maximum(np.abs(np.log2(x)), 1e-6)
                y = np.where(rng.random(x.size) < 0.3, rng.uniform(-4, 4, x.size), y)
                arguments = (x, y.astype(name))
            found.append((function, name, arguments, exact_parts(function, *arguments)))
    return found


def measure(points: int, only: str = "") -> dict[tuple[str, str], dict[str, tuple[float, Any]]]:
    """For each function and dtype: kernel table -> (largest error, the arguments where it is)."""
    before = ffi.string(lib.tg_isa())
    results: dict[tuple[str, str], dict[str, tuple[float, Any]]] = {}
    try:
        for function, dtype, arguments, (nearest, rest) in cases(points, only):
            for isa in _native._available_isas():
                assert lib.tg_select_isa(isa.encode()) == 0
                found = errors(compute(function, arguments[0], arguments[-1]), nearest, rest)
                worst = int(np.argmax(found))
                at = tuple(float(a[worst]) for a in arguments)
                results.setdefault((function.name, dtype), {})[isa] = (float(found[worst]), at)
    finally:
        lib.tg_select_isa(before)
    return results


def table(results: dict[tuple[str, str], dict[str, tuple[float, Any]]]) -> str:
    """In Markdown: a line per function, a column per dtype and kernel table."""
    isas = list(next(iter(results.values())))
    columns = [(dtype, isa) for dtype in ("float32", "float64") for isa in isas]
    lines = [
        "| function | " + " | ".join(f"{d} {i}" for d, i in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for name in dict.fromkeys(name for name, _ in results):
        cells = [f"{results[name, dtype][isa][0]:.2f}" for dtype, isa in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=20_000, help="for each function and dtype")
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    options = parser.parse_args()
    results = measure(options.points, options.only)
    text = table(results)
    print(text)
    bad = [
        (key, isa, *found)
        for key, by in results.items()
        for isa, found in by.items()
        if not found[0] <= LIMIT
    ]
    for (name, dtype), isa, error, at in bad:
        print(
            f"more than {LIMIT:g} ulp: {name} {dtype} {isa}: {error:.3g} at {at}", file=sys.stderr
        )
    if options.write:
        top, rest = PAGE.read_text(encoding="utf-8").split("<!-- begin table -->")
        rest = rest.split("<!-- end table -->")[1]
        PAGE.write_text(
            f"{top}<!-- begin table -->\n\n{text}\n\n<!-- end table -->{rest}", encoding="utf-8"
        )
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
