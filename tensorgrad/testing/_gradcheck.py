"""Gradients against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorgrad import autograd
from tensorgrad._tensor import Tensor
from tensorgrad.dtypes import float64
from tensorgrad.errors import ArgumentError, DTypeError
from tensorgrad.ops.creation import from_numpy
from tensorgrad.testing._compare import CheckError
from tensorgrad.testing._diagnosis import Mismatch, likely_cause

Array = np.ndarray[Any, Any]


def gradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-5,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    samples: int | None = None,
    seed: int = 0,
) -> bool:
    """Compares the gradients that backward gives with central differences
    (f(x + eps) - f(x - eps)) / (2 eps), for every input that requires grad.

    fn: a function of Tensors that returns a Tensor or a sequence of them, of any shapes; its
    outputs are multiplied by fixed random numbers and added up, so that one backward tests every
    element. inputs: its arguments; those that require grad must be float64 and must not overlap
    themselves in memory. eps: the step. atol, rtol: |got - expected| <= atol + rtol * |expected|
    is accepted; the defaults reject a gradient that is off by 0.01 %. samples: how many elements
    of each input, chosen at random, are tested; None means all. seed: of the random numbers.

    Returns True. Raises CheckError that names the input, the element where the error is largest,
    what was expected and got, and a likely cause; also if fn writes to its inputs, or gives
    another result the second time. Raises DTypeError or ArgumentError for inputs that cannot be
    checked.

    >>> import tensorgrad
    >>> from tensorgrad.testing import gradcheck
    >>> x = tensorgrad.tensor([0.5, -1.5], dtype="float64", requires_grad=True)
    >>> gradcheck(lambda x: (x * x).sum(), x)
    True
    >>> gradcheck(lambda x: x * x.detach(), x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    tensorgrad.testing.CheckError: gradcheck: gradient of input 0, shape (2,): 2 of 2 elements ...
    """
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    labels = [f"input {i}" for i in range(len(arguments))]
    return _check(fn, arguments, labels, "gradcheck", eps, atol, rtol, samples, seed)


def gradgradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-5,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    samples: int | None = None,
    seed: int = 0,
) -> bool:
    """The same check for the gradient of the gradient: by the inputs, and by the gradient that the
    backward starts from. Arguments, result and errors are those of `gradcheck`.

    >>> import tensorgrad
    >>> from tensorgrad.testing import gradgradcheck
    >>> x = tensorgrad.tensor([0.5, -1.5], dtype="float64", requires_grad=True)
    >>> gradgradcheck(lambda x: x.exp() * x, x)
    True
    """
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    outputs = _outputs(fn, arguments, "gradgradcheck")
    rng = np.random.default_rng(seed)
    upstream = [from_numpy(_weights(y, rng)).requires_grad_() for y in outputs]
    count = len(arguments)

    def gradients(*values: Any) -> list[Tensor]:
        with autograd.enable_grad():
            ys = _outputs(fn, list(values[:count]), "gradgradcheck")
            by = [values[i] for i in _varied(arguments)]
            found = autograd.grad(ys, by, values[count:], create_graph=True, allow_unused=True)
        return [gx for gx in found if gx is not None]

    labels = [f"input {i}" for i in range(count)]
    labels += [f"the upstream gradient of output {i}" for i in range(len(upstream))]
    everything = [*arguments, *upstream]
    return _check(gradients, everything, labels, "gradgradcheck", eps, atol, rtol, samples, seed)


def _check(
    fn: Callable[..., Any],
    inputs: list[Any],
    labels: list[str],
    where: str,
    eps: float,
    atol: float,
    rtol: float,
    samples: int | None,
    seed: int,
) -> bool:
    varied = _varied(inputs)
    _refuse_unfit(inputs, varied, labels, where)
    before = _snapshot(inputs)
    outputs = _outputs(fn, inputs, where)
    _refuse_modified(inputs, before, labels, f"{where}: the forward")
    for first, second in zip(outputs, _outputs(fn, inputs, where), strict=True):
        if _values(first).tobytes() != _values(second).tobytes():
            raise CheckError(f"{where}: the function gives another result when it is called again")
    rng = np.random.default_rng(seed + 1)
    weights = [_weights(y, rng) for y in outputs]
    got = _by_backward(outputs, inputs, varied, weights)
    _refuse_modified(inputs, before, labels, f"{where}: the backward")

    def differences(i: int) -> tuple[Array, Array]:
        """Positions in input i, and the derivatives there."""
        size = inputs[i].size
        positions = np.arange(size)
        if samples is not None and samples < size:
            chosen = np.random.default_rng([seed, size]).choice(size, samples, replace=False)
            positions = np.sort(chosen)
        return positions, _by_differences(fn, inputs, i, positions, weights, eps, where)

    for i in varied:
        positions, expected = differences(i)
        actual = got[i].reshape(-1)[positions]
        with np.errstate(invalid="ignore"):
            excess = np.abs(actual - expected) - (atol + rtol * np.abs(expected))
        if not np.all(excess <= 0):
            doubled = _by_backward(
                _outputs(fn, inputs, where), inputs, varied, [2 * w for w in weights]
            )
            mismatch = Mismatch(
                expected=expected,
                got=actual,
                shape=inputs[i].shape,
                output_shapes=[y.shape for y in outputs],
                doubled=doubled[i].reshape(-1)[positions],
                others={labels[j]: differences(j)[1] for j in varied if j != i},
                uses=sum(x is inputs[i] for x in inputs),
            )
            raise CheckError(_message(where, labels[i], mismatch, positions, excess))
    return True


def _message(where: str, label: str, mismatch: Mismatch, positions: Array, excess: Array) -> str:
    worst = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
    index = tuple(int(k) for k in np.unravel_index(positions[worst], mismatch.shape))
    expected, got = float(mismatch.expected[worst]), float(mismatch.got[worst])
    error = abs(got - expected)
    return (
        f"{where}: gradient of {label}, shape {mismatch.shape}: "
        f"{np.count_nonzero(~(excess <= 0))} of {len(positions)} elements are wrong, most at "
        f"{index}: expected {expected:.6g}, got {got:.6g} (error {error:.3g}, "
        f"tolerance {error - float(excess[worst]):.3g}). Likely cause: {likely_cause(mismatch)}"
    )


def _varied(inputs: list[Any]) -> list[int]:
    """The inputs to differentiate by, each Tensor once even if it is passed twice."""
    seen: set[int] = set()
    varied = []
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad and id(x) not in seen:
            seen.add(id(x))
            varied.append(i)
    return varied


def _refuse_unfit(inputs: list[Any], varied: list[int], labels: list[str], where: str) -> None:
    if not varied:
        raise ArgumentError(f"{where}: expected at least one input that requires grad")
    for i in varied:
        x = inputs[i]
        if x.dtype != float64:
            raise DTypeError(f"{where}: expected {labels[i]} in float64, got {x.dtype}")
        if any(step == 0 and n > 1 for step, n in zip(x.strides, x.shape, strict=True)):
            raise ArgumentError(f"{where}: {labels[i]} is an expanded view: check a copy of it")


def _outputs(fn: Callable[..., Any], inputs: list[Any], where: str) -> list[Tensor]:
    """What fn returns that can be differentiated."""
    result = fn(*inputs)
    outputs = [result] if isinstance(result, Tensor) else result
    if not isinstance(outputs, Sequence) or not all(isinstance(y, Tensor) for y in outputs):
        raise CheckError(f"{where}: expected a Tensor or a sequence of them, got {result!r}")
    recorded = [y for y in outputs if y.requires_grad]
    if not recorded:
        raise CheckError(f"{where}: no output requires grad: nothing connects it to the inputs")
    return recorded


def _values(x: Tensor) -> Array:
    return x.detach().numpy()


def _weights(y: Tensor, rng: np.random.Generator) -> Array:
    """Random numbers of either sign, away from 0."""
    signs = rng.choice([-1.0, 1.0], y.shape)
    return np.asarray(rng.uniform(0.5, 1.5, y.shape) * signs, dtype=y.dtype)


def _by_backward(
    outputs: list[Tensor], inputs: list[Any], varied: list[int], weights: list[Array]
) -> dict[int, Array]:
    found = autograd.grad(
        outputs,
        [inputs[i] for i in varied],
        [from_numpy(w) for w in weights],
        allow_unused=True,
    )
    return {
        i: np.zeros(inputs[i].shape) if gx is None else _values(gx)
        for i, gx in zip(varied, found, strict=True)
    }


def _by_differences(
    fn: Callable[..., Any],
    inputs: list[Any],
    i: int,
    positions: Array,
    weights: list[Array],
    eps: float,
    where: str,
) -> Array:
    memory = _values(inputs[i])
    result = np.empty(len(positions))
    for k, position in enumerate(positions):
        index = np.unravel_index(position, memory.shape)
        value = memory[index]
        try:
            memory[index] = value + eps
            above = [_values(y).copy() for y in _outputs(fn, inputs, where)]
            high = memory[index]
            memory[index] = value - eps
            below = [_values(y).copy() for y in _outputs(fn, inputs, where)]
            step = high - memory[index]  # as it was rounded
        finally:
            memory[index] = value
        with np.errstate(invalid="ignore"):
            change = [np.sum(w * (a - b)) for w, a, b in zip(weights, above, below, strict=True)]
        result[k] = sum(change) / step
    return result


def _snapshot(inputs: list[Any]) -> list[bytes | None]:
    return [_values(x).tobytes() if isinstance(x, Tensor) else None for x in inputs]


def _refuse_modified(
    inputs: list[Any], before: list[bytes | None], labels: list[str], what: str
) -> None:
    for x, bytes_before, label in zip(inputs, before, labels, strict=True):
        if bytes_before is not None and _values(x).tobytes() != bytes_before:
            raise CheckError(f"{what} modified {label} in place")
