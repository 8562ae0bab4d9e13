"""Functions of one tensor, element by element: forward alone, and forward + backward by the tape.
Everyone's forward makes its own result. NumPy's backward is written by hand in buffers that exist;
functions that NumPy does not have (erf) come from SciPy, where that is installed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from measure import Row, Setting
from peers import optional

import tensorgrad

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_OUT_OF_CACHE = 1_000_000

_special = optional("scipy.special")
_INV_SQRT2 = 1 / math.sqrt(2)
_C = math.sqrt(2 / math.pi)


class Op(NamedTuple):
    """numpy: (x, y, t) fills y, and may use t; gradient: (gy, x, y, gx, t) fills gx. reads: which
    arrays the gradient must read besides gy."""

    name: str
    numpy: Callable[..., Any] | None
    gradient: Callable[..., Any] | None
    torch: str
    cheap: bool = False


def _sigmoid(x: Any, y: Any, t: Any) -> None:
    np.negative(x, out=y)
    np.exp(y, out=y)
    np.add(y, 1, out=y)
    np.reciprocal(y, out=y)


def _sigmoid_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.subtract(1, y, out=t)
    np.multiply(t, y, out=t)
    np.multiply(gy, t, out=gx)


def _tanh_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.multiply(y, y, out=t)
    np.subtract(1, t, out=t)
    np.multiply(gy, t, out=gx)


def _gelu(x: Any, y: Any, t: Any) -> None:
    np.multiply(x, _INV_SQRT2, out=t)
    _special.erf(t, out=t)
    np.add(t, 1, out=t)
    np.multiply(t, 0.5, out=t)
    np.multiply(x, t, out=y)


def _gelu_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.multiply(x, _INV_SQRT2, out=gx)
    _special.erf(gx, out=gx)
    np.add(gx, 1, out=gx)
    np.multiply(gx, 0.5, out=gx)
    np.multiply(x, x, out=t)
    np.multiply(t, -0.5, out=t)
    np.exp(t, out=t)
    np.multiply(t, 1 / math.sqrt(2 * math.pi), out=t)
    np.multiply(t, x, out=t)
    np.add(gx, t, out=gx)
    np.multiply(gx, gy, out=gx)


def _gelu_tanh(x: Any, y: Any, t: Any) -> None:
    np.multiply(x, x, out=t)
    np.multiply(t, 0.044715 * _C, out=t)
    np.add(t, _C, out=t)
    np.multiply(t, x, out=t)
    np.tanh(t, out=t)
    np.add(t, 1, out=t)
    np.multiply(t, 0.5, out=t)
    np.multiply(x, t, out=y)


def _gelu_tanh_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.multiply(x, x, out=t)
    u = t * (0.044715 * _C)
    np.add(u, _C, out=u)
    np.multiply(u, x, out=u)
    np.tanh(u, out=u)
    np.multiply(t, 3 * 0.044715 * _C, out=t)
    np.add(t, _C, out=t)
    np.multiply(t, x, out=t)
    np.multiply(u, u, out=gx)
    np.subtract(1, gx, out=gx)
    np.multiply(t, gx, out=t)
    np.add(u, 1, out=u)
    np.add(t, u, out=t)
    np.multiply(t, 0.5, out=t)
    np.multiply(t, gy, out=gx)


def _silu(x: Any, y: Any, t: Any) -> None:
    _sigmoid(x, t, None)
    np.multiply(x, t, out=y)


def _silu_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    _sigmoid(x, t, None)
    np.subtract(1, t, out=gx)
    np.multiply(gx, x, out=gx)
    np.add(gx, 1, out=gx)
    np.multiply(gx, t, out=gx)
    np.multiply(gx, gy, out=gx)


def _softplus_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    _sigmoid(x, t, None)
    np.multiply(gy, t, out=gx)


def _sqrt_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.add(y, y, out=t)
    np.divide(gy, t, out=gx)


def _rsqrt(x: Any, y: Any, t: Any) -> None:
    np.sqrt(x, out=y)
    np.reciprocal(y, out=y)


def _rsqrt_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.multiply(y, y, out=t)
    np.multiply(t, y, out=t)
    np.multiply(t, -0.5, out=t)
    np.multiply(gy, t, out=gx)


def _pow_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.power(x, 1.7, out=t)
    np.multiply(t, 2.7, out=t)
    np.multiply(gy, t, out=gx)


def _erf_gradient(gy: Any, x: Any, y: Any, gx: Any, t: Any) -> None:
    np.multiply(x, x, out=t)
    np.negative(t, out=t)
    np.exp(t, out=t)
    np.multiply(t, 2 / math.sqrt(math.pi), out=t)
    np.multiply(gy, t, out=gx)


OPS = (
    Op(
        "relu",
        lambda x, y, t: np.maximum(x, 0, out=y),
        lambda gy, x, y, gx, t: np.multiply(gy, y > 0, out=gx),
        "relu",
        cheap=True,
    ),
    Op("sqrt", lambda x, y, t: np.sqrt(x, out=y), _sqrt_gradient, "sqrt", cheap=True),
    Op("rsqrt", _rsqrt, _rsqrt_gradient, "rsqrt", cheap=True),
    Op("sigmoid", _sigmoid, _sigmoid_gradient, "sigmoid"),
    Op("tanh", lambda x, y, t: np.tanh(x, out=y), _tanh_gradient, "tanh"),
    Op("gelu", _special and _gelu, _special and _gelu_gradient, "nn.functional.gelu"),
    Op("gelu_tanh", _gelu_tanh, _gelu_tanh_gradient, "gelu_tanh"),
    Op("silu", _silu, _silu_gradient, "nn.functional.silu"),
    Op(
        "exp",
        lambda x, y, t: np.exp(x, out=y),
        lambda gy, x, y, gx, t: np.multiply(gy, y, out=gx),
        "exp",
    ),
    Op(
        "log",
        lambda x, y, t: np.log(x, out=y),
        lambda gy, x, y, gx, t: np.divide(gy, x, out=gx),
        "log",
    ),
    Op("power", lambda x, y, t: np.power(x, 2.7, out=y), _pow_gradient, "power"),
    Op(
        "erf",
        _special and (lambda x, y, t: _special.erf(x, out=y)),
        _special and _erf_gradient,
        "erf",
    ),
    Op(
        "softplus",
        lambda x, y, t: np.logaddexp(x, 0, out=y),
        _softplus_gradient,
        "nn.functional.softplus",
    ),
)


def _torch_function(torch: Any, name: str) -> Callable[[Any], Any]:
    if name == "gelu_tanh":
        return lambda x: torch.nn.functional.gelu(x, approximate="tanh")
    if name == "power":
        return lambda x: torch.pow(x, 2.7)
    function = torch
    for part in name.split("."):
        function = getattr(function, part)
    return function


def _row_of(setting: Setting, op: Op, size: int, data: np.ndarray) -> Iterator[Row]:
    torch = setting.torch
    function: Any = getattr(tensorgrad, op.name)
    if op.name == "power":

        def function(x: Any) -> Any:
            return x**2.7

    x = tensorgrad.tensor(data)
    leaf = tensorgrad.tensor(data, requires_grad=True)
    gy = tensorgrad.ones(data.shape, dtype=setting.dtype)
    y, t, gx, ones = (
        np.empty_like(data),
        np.empty_like(data),
        np.empty_like(data),
        np.ones_like(data),
    )

    def both() -> None:
        function(leaf).backward(gy)
        leaf.grad = None

    forward: dict[str, Any] = {"tensorgrad": lambda: function(x)}
    backward: dict[str, Any] = {"tensorgrad": both}
    if op.numpy and op.gradient:
        forward["numpy"] = lambda: op.numpy(data, np.empty_like(data), t)
        backward["numpy"] = lambda: (op.numpy(data, y, t), op.gradient(ones, data, y, gx, t))
    if torch:
        of_torch = _torch_function(torch, op.torch)
        px, pgy = torch.tensor(data), torch.ones(data.shape, dtype=torch.tensor(data).dtype)
        pleaf = torch.tensor(data, requires_grad=True)

        def torch_both() -> None:
            of_torch(pleaf).backward(pgy)
            pleaf.grad = None

        forward["torch"] = lambda: of_torch(px)
        backward["torch"] = torch_both
    family = "transcendental"
    if op.cheap:
        family = "elementwise, out of cache" if size >= _OUT_OF_CACHE else "elementwise"
    limits, nbytes = setting.limits, float(data.nbytes)
    copy = limits and limits.stream(nbytes, 1, 1)
    add = limits and limits.stream(nbytes, 2, 1)
    judged = op.cheap and size >= 10_000
    yield from setting.row(
        f"{op.name}, {size:,}", family, forward, limit=copy, judged=judged, nbytes=2 * nbytes
    )
    yield from setting.row(
        f"{op.name}, {size:,}, forward + backward",
        family,
        backward,
        limit=limits and (lambda: copy() + add()),
        judged=judged,
        nbytes=5 * nbytes,
    )


def rows(setting: Setting) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for size in setting.sizes(SIZES):
        data = rng.uniform(0.1, 2.0, size).astype(setting.dtype)
        for op in OPS:
            yield from _row_of(setting, op, size, data)
