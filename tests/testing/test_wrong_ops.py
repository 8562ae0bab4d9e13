"""Ops with one deliberate fault each: check_op must catch every one and name the fault."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import memmove
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, get_num_threads, op
from tensorgrad._native import address_of
from tensorgrad.autograd import Case
from tensorgrad.testing import CheckError, check_op

SQUARE = (Case((4, 4)),)
BROADCAST = (Case((3, 4), (4,)),)
ROWS = (Case((3, 4)),)
PAIR = (Case((3, 4), (3, 4)),)


def product(gradient: Any, cases: Any = PAIR, forward: Callable[..., Any] | None = None) -> Any:
    compute = forward or (lambda a, b: a * b)

    @op(
        gradient=gradient,
        saves=("a", "b"),
        reference=lambda a, b: a * b,
        cases=cases,
        method=False,
    )
    def wrong_product(a: Tensor, b: Tensor) -> Tensor:
        """A product."""
        return compute(a, b)  # type: ignore[no-any-return]

    return wrong_product


def cube(
    forward: Callable[[Tensor], Any] = lambda x: x * x * x,
    gradient: Any = lambda gy, y, x: gy * 3 * x * x,
    reference: Any = lambda x: x**3,
    cases: Any = ROWS,
) -> Any:
    @op(gradient=gradient, saves=("x",), reference=reference, cases=cases, method=False)
    def wrong_cube(x: Tensor) -> Tensor:
        """X to the third power."""
        return forward(x)  # type: ignore[no-any-return]

    return wrong_cube


def _zeroing(x: Tensor) -> Tensor:
    y = x * x * x
    x.detach().fill_(0.0)
    return y


def _behind_the_back(x: Tensor) -> Tensor:
    """Right, but what fills the result is no kernel that anybody is told of."""
    y = tg.empty(x.shape, dtype=x.dtype)
    cubes = (x * x * x).contiguous()
    memmove(address_of(y._ptr), address_of(cubes._ptr), y.nbytes)
    return y


def _counting() -> Callable[[Tensor], Tensor]:
    calls = [0]

    def forward(x: Tensor) -> Tensor:
        calls[0] += 1
        return x * x * x * (1.0 + calls[0] * 1e-13)

    return forward


def _mean_of_broadcast(gy: Tensor, y: Any, a: Tensor, b: Tensor) -> Tensor:
    return (gy * a).mean(0)


def _first_row(gy: Tensor, y: Any, a: Tensor, b: Tensor) -> Tensor:
    return (gy * a)[0]


def _by_threads(x: Tensor) -> Tensor:
    exact = get_num_threads() == 1 or x.size < 1000 or x.dtype != np.float32
    return x * x * x * (1.0 if exact else 1.0 + 2.0**-20)


BY_A, BY_B = (lambda gy, y, a, b: gy * b), (lambda gy, y, a, b: gy * a)

# what is declared, and what the report must say: the check it failed, and the likely cause
FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "swapped inputs": (lambda: product((BY_B, BY_A)), "gradient: .*swapped inputs"),
    "the mean over what is broadcast": (
        lambda: product((BY_A, _mean_of_broadcast), BROADCAST),
        "missing un-broadcast",
    ),
    "one row of what is broadcast": (
        lambda: product((BY_A, _first_row), BROADCAST),
        "must be summed over the repeated axes",
    ),
    "the same gradient for both inputs of one tensor": (
        lambda: product(
            lambda gy, y, a, b, needs: (
                gy * b,
                gy * a * (0.0 if a._storage is b._storage else 1.0),
            )
        ),
        r"the same tensor as inputs \[0, 1\]",
    ),
    "no gradient": (lambda: product((BY_A, None)), "zero gradient: nothing flows"),
    "a factor of two": (
        lambda: cube(gradient=lambda gy, y, x: gy * 6 * x * x),
        "twice what it should be",
    ),
    "half": (lambda: cube(gradient=lambda gy, y, x: gy * 1.5 * x * x), "half of what it should be"),
    "off by a tenth of a percent": (
        lambda: cube(gradient=lambda gy, y, x: gy * 3.003 * x * x),
        "a constant factor: every element is 1.001 times",
    ),
    "the wrong sign": (lambda: cube(gradient=lambda gy, y, x: -gy * 3 * x * x), "wrong sign"),
    "the upstream gradient forgotten": (
        lambda: cube(gradient=lambda gy, y, x: 3 * x * x),
        "does not scale with the upstream gradient",
    ),
    "the wrong formula": (
        lambda: cube(gradient=lambda gy, y, x: gy * 3 * x),
        "the formula of the derivative",
    ),
    "transposed": (
        lambda: cube(gradient=lambda gy, y, x: (gy * 3 * x * x).T, cases=SQUARE),
        "gradient: .*transposed",
    ),
    "wrong on one side of a kink": (
        lambda: cube(
            forward=lambda x: tg.where(x > 0, x, 0.5 * x),
            gradient=lambda gy, y, x: tg.where(x > 0, gy, 0.25 * gy),
            reference=lambda x: np.where(x > 0, x, 0.5 * x),
            cases=(Case((3, 4), avoid=[0.0]),),
        ),
        r"right at \d+ of 12 elements: a wrong branch",
    ),
    "not finite": (
        lambda: cube(gradient=lambda gy, y, x: gy * 3 * x * x / (x * 0.0)),
        "not finite although the function is smooth",
    ),
    "a gradient that cannot be differentiated": (
        lambda: cube(gradient=lambda gy, y, x: (gy * 3 * x * x).detach()),
        "gradient of the gradient",
    ),
    "the values": (lambda: cube(forward=lambda x: x * x * x + 1e-6), "float64 forward: result"),
    "a shape": (lambda: cube(forward=lambda x: (x * x * x).reshape(-1)), "expected shape"),
    "a dtype": (
        lambda: cube(forward=lambda x: (x * x * x).astype("float64")),
        "float32 forward: expected float32, got float64",
    ),
    "no Tensor": (
        lambda: cube(forward=lambda x: 1.0, gradient=None),
        "expected a Tensor, got float",
    ),
    "an input that is modified": (lambda: cube(forward=_zeroing), "modified input 0 in place"),
    "another result each time": (lambda: cube(forward=_counting()), "another result"),
    "a layout": (
        lambda: cube(forward=lambda x: x * x * x * (1.0 if x.strides[-1] == 1 else 2.0)),
        r"transposed memory of inputs \[0\]",
    ),
    "the number of threads": (
        lambda: cube(forward=_by_threads),
        r"other bits with \d threads than with 1",
    ),
    "large inputs": (
        lambda: cube(forward=lambda x: x * x * x * (1.0 if x.size < 1000 else 1.1)),
        "forward: result",
    ),
    "memory that is written unseen": (
        lambda: cube(forward=_behind_the_back, gradient=None),
        r"replay by tensorgrad.compile: call \d differs",
    ),
    "float32": (
        lambda: cube(
            gradient=lambda gy, y, x: gy * 3 * x * x * (1.0 if x.dtype == np.float64 else 1.01)
        ),
        "float32 gradient against float64",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_caught_and_named(fault: str) -> None:
    declare, message = FAULTS[fault]
    with pytest.raises(CheckError, match=message) as caught:
        check_op(declare())
    assert "Case(" in str(caught.value)  # which inputs


def test_without_a_fault() -> None:
    check_op(cube())
    right = product((BY_A, BY_B))
    check_op(right)
    check_op(right, BROADCAST)
