"""The same functions in PyTorch, where it is installed: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import registry

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

functional = torch.nn.functional


def compare(
    ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray, rtol: float = 1e-9
) -> None:
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = ours(*xs), theirs(*ts)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol, 1e-10)
    gy = np.random.default_rng(9).uniform(0.5, 1.5, y.shape)
    (y * tg.tensor(gy)).sum().backward()
    (expected * torch.tensor(gy)).sum().backward()
    for x, t in zip(xs, ts, strict=True):
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol, 1e-10)


def positive(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(0.2, 0.9, shape)


def signed(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape) * 3


UNARY = {
    **{
        name: getattr(torch, name)
        for name in (
            *("relu", "tanh", "sigmoid", "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt"),
            *("rsqrt", "reciprocal", "square", "abs", "neg", "sin", "cos", "tan", "erf"),
        )
    },
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "softplus": functional.softplus,
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    compare(registry[name].function, UNARY[name], positive(33))
    if "log" not in name and "sqrt" not in name:
        compare(registry[name].function, UNARY[name], signed(5, 7))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum", "minimum"])
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 1), (4,)), ((2, 1, 4), (3, 1))])
def test_pairs(name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    compare(registry[name].function, getattr(torch, name), *(positive(*s) for s in shapes))


def test_ties() -> None:
    array = np.array([1.0, 2.0, 2.0])
    for name in ("maximum", "minimum"):
        compare(registry[name].function, getattr(torch, name), array, array.copy())
    compare(lambda x: x.max(), lambda t: t.amax(), array)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [0, -1, (0, 2)])
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "logsumexp", "std", "var", "norm"])
def test_reductions(name: str, axis: Any, keepdims: bool) -> None:
    ours = {"amax": "max", "amin": "min"}.get(name, name)
    extra = {"correction": 1} if name in ("std", "var") else {}
    compare(
        lambda x: registry[ours].function(x, axis=axis, keepdims=keepdims, **extra),
        lambda t: getattr(torch, name)(t, dim=axis, keepdim=keepdims),
        signed(2, 3, 4),
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis: int) -> None:
    compare(lambda x: x.softmax(axis), lambda t: t.softmax(axis), signed(3, 4, 5))
    compare(lambda x: x.log_softmax(axis), lambda t: t.log_softmax(axis), signed(3, 4, 5))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(reduction: str, weighted: bool, smoothing: float) -> None:
    labels = np.array([0, 4, -100, 2, 2])
    weight = np.array([0.5, 1.0, 2.0, 0.1, 3.0])
    compare(
        lambda x: registry["cross_entropy"].function(
            x,
            tg.tensor(labels),
            tg.tensor(weight) if weighted else None,
            label_smoothing=smoothing,
            reduction=reduction,
        ),
        lambda t: functional.cross_entropy(
            t,
            torch.tensor(labels),
            torch.tensor(weight) if weighted else None,
            label_smoothing=smoothing,
            reduction=reduction,
        ),
        signed(5, 5),
    )


@pytest.mark.parametrize(
    "shapes", [((4, 5), (5, 6)), ((5,), (5,)), ((2, 1, 4, 5), (3, 5, 2)), ((2, 4, 5), (5,))]
)
def test_matmul(shapes: tuple[tuple[int, ...], ...]) -> None:
    compare(tg.matmul, torch.matmul, *(signed(*s) for s in shapes))


def test_linear() -> None:
    arrays = signed(2, 3, 4), signed(5, 4), signed(5)
    compare(registry["linear"].function, functional.linear, *arrays)


def test_a_network() -> None:
    def network(module: Any, x: Any, w: Any, v: Any) -> Any:
        hidden = module.tanh(x @ w)
        return (hidden[:, ::2] @ v).reshape(-1)[1:] ** 2

    compare(
        lambda *inputs: network(tg, *inputs),
        lambda *inputs: network(torch, *inputs),
        signed(6, 4),
        signed(4, 8),
        signed(4, 3),
    )
