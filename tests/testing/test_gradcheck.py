"""The tester is tested: each kind of wrong gradient must be rejected, and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, op
from tensorgrad.autograd import registry
from tensorgrad.testing import CheckError, gradcheck, gradgradcheck


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return tg.tensor(np.random.default_rng(seed).uniform(0.5, 1.5, shape), requires_grad=True)


def product(
    by_a: Callable[..., Any], by_b: Callable[..., Any] = lambda gy, y, a, b: gy * a * 2.0
) -> Any:
    """a * b * b, with the gradients given."""

    registry.pop("flawed_product", None)

    @op(gradient=(by_a, by_b), saves=("a", "b"), reference=None, method=False)
    def flawed_product(a: Tensor, b: Tensor) -> Tensor:
        """A product with a flaw in its gradient."""
        return a * b * b

    return flawed_product


def right_by_a(gy: Tensor, y: Any, a: Tensor, b: Tensor) -> Tensor:
    return gy * b * b


def right_by_b(gy: Tensor, y: Any, a: Tensor, b: Tensor) -> Tensor:
    return gy * a * b * 2.0


def test_right_gradients_pass() -> None:
    function = product(right_by_a, right_by_b)
    assert gradcheck(function, [leaf(3, 4), leaf(4, seed=1)])
    assert gradgradcheck(function, [leaf(3, 4), leaf(4, seed=1)])


@pytest.mark.parametrize("factor", [1.001, 0.999, 1.0002])
def test_off_by_a_tenth_of_a_percent(factor: float) -> None:
    wrong = product(lambda gy, y, a, b: gy * b * b * factor, right_by_b)
    with pytest.raises(CheckError, match=rf"input 0.*a constant factor.*{factor}"):
        gradcheck(wrong, [leaf(3, 4), leaf(3, 4, seed=1)])


def test_one_element_off_by_a_tenth_of_a_percent() -> None:
    scale = np.ones((3, 4))
    scale[2, 1] = 1.001
    wrong = product(lambda gy, y, a, b: gy * b * b * tg.tensor(scale), right_by_b)
    with pytest.raises(CheckError, match=r"1 of 12 elements are wrong, most at \(2, 1\)"):
        gradcheck(wrong, [leaf(3, 4), leaf(3, 4, seed=1)])


CAUSES: dict[str, tuple[Callable[..., Any], str]] = {
    "twice": (lambda gy, y, a, b: gy * b * b * 2.0, "twice what it should be"),
    "half": (lambda gy, y, a, b: gy * b * b * 0.5, "half of what it should be"),
    "sign": (lambda gy, y, a, b: -(gy * b * b), "wrong sign"),
    "swapped": (right_by_b, "swapped inputs: this is the gradient of input 1"),
    "zero": (lambda gy, y, a, b: gy * 0.0, "zero gradient"),
    "nan": (lambda gy, y, a, b: gy * b * float("nan"), "not finite"),
    "no gy": (lambda gy, y, a, b: b * b, "gy is missing"),
    "transposed": (lambda gy, y, a, b: (gy * b * b).mT.copy(), "transposed"),
    "branch": (lambda gy, y, a, b: tg.where(b > 1.0, gy * b * b, gy * b), r"right at \d+ of 9"),
    "formula": (lambda gy, y, a, b: gy * tg.exp(b), "the formula of the derivative"),
}


@pytest.mark.parametrize("flaw", CAUSES)
def test_cause_is_named(flaw: str) -> None:
    wrong, cause = CAUSES[flaw]
    with pytest.raises(CheckError, match=rf"gradient of input 0, shape \(3, 3\).*{cause}"):
        gradcheck(product(wrong, right_by_b), [leaf(3, 3), leaf(3, 3, seed=1)])


def test_missing_accumulation() -> None:
    only_first = product(right_by_a, lambda gy, y, a, b: gy * 0.0)
    x = leaf(3, 4)
    with pytest.raises(CheckError, match="passed 2 times: a missing accumulation"):
        gradcheck(lambda a, b: only_first(a, b) + a, [x, x])


def test_missing_un_broadcast() -> None:
    mean = product(right_by_a, lambda gy, y, a, b: (gy * a * b * 2.0).mean(0))
    with pytest.raises(CheckError, match=r"input 1.*a missing un-broadcast"):
        gradcheck(mean, [leaf(3, 4), leaf(4, seed=1)])
    row = product(right_by_a, lambda gy, y, a, b: (gy * a * b * 2.0)[0])
    with pytest.raises(CheckError, match=r"input 1.*summed over the repeated axes"):
        gradcheck(row, [leaf(3, 4), leaf(4, seed=1)])


def test_gradient_that_stops() -> None:
    with pytest.raises(CheckError, match=r"input 1.*zero gradient"):
        gradcheck(lambda a, b: a * b.detach(), [leaf(3), leaf(3, seed=1)])


def test_nothing_recorded() -> None:
    with pytest.raises(CheckError, match="no output requires grad"):
        gradcheck(lambda a: a.detach() * 2.0, leaf(3))


def test_second_derivative_is_checked() -> None:
    def cube_of_detached(gy: Tensor, y: Any, a: Tensor, b: Tensor) -> Tensor:
        return gy * b.detach() * b.detach()

    wrong = product(cube_of_detached, right_by_b)
    inputs = [leaf(3), leaf(3, seed=1)]
    assert gradcheck(wrong, inputs)
    with pytest.raises(CheckError, match=r"gradgradcheck: gradient of input 1"):
        gradgradcheck(wrong, inputs)


def test_second_derivative_by_the_upstream_gradient() -> None:
    wrong = product(lambda gy, y, a, b: gy.detach() * b * b, right_by_b)
    with pytest.raises(CheckError, match="gradient of the upstream gradient of output 0"):
        gradgradcheck(wrong, [leaf(3), leaf(3, seed=1)])


def test_forward_that_writes_to_its_input() -> None:
    def writes(x: Tensor) -> Tensor:
        with tg.no_grad():
            x.detach().add_(1.0)
        return x * 2.0

    with pytest.raises(CheckError, match="the forward modified input 0 in place"):
        gradcheck(writes, leaf(3))


def test_backward_that_writes_to_its_input() -> None:
    def overwrites(gy: Tensor, y: Any, a: Tensor, b: Tensor) -> Tensor:
        result = gy * b * b
        memory = b.detach().numpy()
        memory += 1.0
        return result

    wrong = product(overwrites, right_by_b)
    with pytest.raises(CheckError, match="the backward modified input 1 in place"):
        gradcheck(wrong, [leaf(3), tg.tensor(np.ones(3))])


def test_function_that_is_not_a_function() -> None:
    calls: list[int] = []

    def drifts(x: Tensor) -> Tensor:
        calls.append(0)
        return x * float(len(calls))

    with pytest.raises(CheckError, match="another result when it is called again"):
        gradcheck(drifts, leaf(3))


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(tg.errors.DTypeError, match=r"input 0 in float64, got float32"):
        gradcheck(lambda x: x * x, tg.ones(3, requires_grad=True))
    with pytest.raises(tg.errors.ArgumentError, match="at least one input that requires grad"):
        gradcheck(lambda x: x * x, tg.ones(3, dtype="float64"))
    expanded = tg.broadcast_to(tg.ones(1, dtype="float64"), (3,)).requires_grad_()
    with pytest.raises(tg.errors.ArgumentError, match="input 0 is an expanded view"):
        gradcheck(lambda x: x * x, expanded)
    with pytest.raises(CheckError, match="expected a Tensor or a sequence of them"):
        gradcheck(lambda x: 3.0, leaf(3))


def outputs(x: Tensor, w: Tensor) -> Sequence[Tensor]:
    return x @ w, (x * x).sum(), x.detach()


def test_several_outputs_numbers_and_layouts() -> None:
    assert gradcheck(outputs, [leaf(3, 4), leaf(4, 2)])
    assert gradgradcheck(outputs, [leaf(3, 4), leaf(4, 2)])
    assert gradcheck(lambda x, k: x**k, [leaf(3), 3.0])
    transposed = tg.from_numpy(np.ones((3, 4)).T).requires_grad_()
    assert gradcheck(lambda x: tg.tanh(x), transposed)
    assert gradcheck(lambda x: x * 2.0, leaf(0, 3))
    assert gradcheck(lambda x: x * 2.0, leaf())


def test_samples_bounds_the_work() -> None:
    calls: list[int] = []

    def counted(x: Tensor) -> Tensor:
        calls.append(0)
        return tg.tanh(x)

    assert gradcheck(counted, leaf(100, 100), samples=5)
    assert len(calls) == 2 + 2 * 5


def test_inputs_are_left_as_they_were() -> None:
    x = leaf(5)
    before = x.detach().numpy().tobytes()
    assert gradcheck(tg.exp, x)
    assert x.detach().numpy().tobytes() == before
    assert x.grad is None
