"""The ops of examples/custom_ops under the transformations of `func`, against a loop."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, func

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "custom_ops"
IDS = np.array([2, 0, 2, 1])
SEVERAL_IDS = np.array([[2, 0, 2, 1], [0, 0, 1, 1], [1, 2, 2, 2]])


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def _random(*shape: int) -> Tensor:
    return tg.tensor(np.random.default_rng(sum(shape)).standard_normal(shape))


def _inputs(name: str) -> tuple[Callable[..., Tensor], list[Any]]:
    """The op, and inputs for a batch of 3, along axis 0."""
    module = importlib.import_module(name.split()[0])
    match name:
        case "attention":
            function = module.attention
            inputs = [_random(3, 5, 4), _random(3, 6, 4), _random(3, 6, 2)]
        case "attention of heads":
            function = lambda q, k, v: module.attention(q, k, v, causal=True)  # noqa: E731
            inputs = [_random(3, 2, 5, 4), _random(3, 2, 5, 4) * 0.5, _random(3, 2, 5, 3)]
        case "bias_gelu_dropout":
            function = lambda x, b: module.bias_gelu_dropout(x, b, 0.3, 5)  # noqa: E731
            inputs = [_random(3, 4, 6), _random(3, 6)]
        case "laplacian":
            function = lambda x: module.laplacian(x, 0.5, "mirror")  # noqa: E731
            inputs = [_random(3, 4, 6)]
        case _:
            made = getattr(module, name.split()[1])
            function = made if made.__name__ == "gather_rows" else lambda x, ids: made(x, ids, 3)
            inputs = [_random(3, 4, 2), tg.tensor(SEVERAL_IDS)]
    return function, inputs


NAMES = [
    *("attention", "attention of heads", "bias_gelu_dropout", "laplacian"),
    *("segment segment_sum", "segment segment_mean", "segment gather_rows"),
]


def _looped(function: Callable[..., Tensor], inputs: list[Any], axes: tuple[Any, ...]) -> Any:
    elements = [[x if a is None else x[i] for x, a in zip(inputs, axes)] for i in range(3)]
    return np.stack([function(*element).numpy() for element in elements])


def _choices(count: int) -> list[tuple[Any, ...]]:
    """The in_axes to try: all inputs in the batch, and each alone."""
    alone = [tuple(0 if i == k else None for i in range(count)) for k in range(count)]
    return [(0,) * count, *alone]


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name: str) -> None:
    function, inputs = _inputs(name)

    def slope(*given: Any) -> Tensor:
        return func.grad(lambda x: (function(x, *given[1:]) ** 2).sum())(given[0])

    def curvature(*given: Any) -> Tensor:
        return func.grad(lambda x: (slope(x, *given[1:]) ** 2).sum())(given[0])

    for axes in _choices(len(inputs)):
        given = [x if a == 0 else x[0] for x, a in zip(inputs, axes)]
        for of in (function, slope, curvature):
            got = func.vmap(of, in_axes=axes)(*given).numpy()
            np.testing.assert_allclose(got, _looped(of, given, axes), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_along_another_axis(name: str) -> None:
    function, inputs = _inputs(name)
    moved = [tg.moveaxis(x, 0, 1) for x in inputs]
    got = func.vmap(function, in_axes=1, out_axes=1)(*moved).numpy()
    want = _looped(function, inputs, (0,) * len(inputs))
    np.testing.assert_allclose(np.moveaxis(got, 1, 0), want, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nested(name: str) -> None:
    function, inputs = _inputs(name)
    outer = tg.stack([inputs[0], inputs[0] * 2.0])  # a batch of batches, of the first input alone
    rest = inputs[1:]
    inner = func.vmap(function)
    got = func.vmap(inner, in_axes=(0, *[None] * len(rest)))(outer, *rest).numpy()
    want = [_looped(function, [x, *rest], (0,) * len(inputs)) for x in outer]
    np.testing.assert_allclose(got, np.stack(want), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_jacobians(name: str) -> None:
    function, inputs = _inputs(name)
    x, *rest = [x[0] for x in inputs]
    of = lambda x: function(x, *rest)  # noqa: E731
    np.testing.assert_allclose(
        func.jacrev(of)(x).numpy(), func.jacfwd(of)(x).numpy(), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", ["attention", "laplacian", "segment segment_sum"])
def test_a_whole_batch_is_one_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name.split()[0])
    kernel = {"segment": "segment_sum_forward"}.get(name.split()[0], f"{name}_forward")
    function, inputs = _inputs(name)
    calls = []
    whole = getattr(module.kernels, kernel)
    monkeypatch.setattr(module.kernels, kernel, lambda *args: (calls.append(args), whole(*args))[1])
    func.vmap(function)(*inputs)
    assert len(calls) == 1


def test_elements_with_too_few_axes_are_refused() -> None:
    from attention import attention
    from laplacian import laplacian
    from segment import gather_rows

    x = tg.ones((4, 4))
    with pytest.raises(tg.ShapeError, match=r"rows, cols\), got \(4,\)"):
        func.vmap(laplacian)(x)
    with pytest.raises(tg.ShapeError, match=r"got \(4,\), \(4,\), \(4,\)"):
        func.vmap(attention)(x, x, x)
    with pytest.raises(tg.ShapeError, match=r"got \(\), \(4,\)"):
        func.vmap(gather_rows, in_axes=(0, None))(tg.ones(3), tg.tensor(IDS))


@pytest.mark.parametrize("wrong", [-1, 3])
def test_ids_are_checked_in_every_element(wrong: int) -> None:
    from segment import gather_rows, segment_sum

    ids = SEVERAL_IDS.copy()
    ids[1, 2] = wrong  # in [0, 9), where all elements' rows together are
    with pytest.raises(tg.errors.IndexOutOfRangeError, match="gather"):
        func.vmap(gather_rows)(tg.ones((3, 3, 2)), tg.tensor(ids))
    with pytest.raises(tg.errors.IndexOutOfRangeError, match="segment_sum"):
        func.vmap(lambda x, i: segment_sum(x, i, 3))(tg.ones((3, 4, 2)), tg.tensor(ids))
