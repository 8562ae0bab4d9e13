"""check_op is tested: ops with one flaw each must be rejected, and the flaw named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, get_num_threads, op
from tensorgrad.autograd import Case, registry
from tensorgrad.testing import CheckError, check_op

CASES = (Case((3, 4)),)


def doubled(**declaration: Any) -> Any:
    """Declares 2 x, right but for what is given."""
    forward = declaration.pop("forward", lambda x: x * 2.0)
    settings: dict[str, Any] = {
        "gradient": lambda gy, y, x: gy * 2.0,
        "reference": lambda x: 2.0 * x,
        "cases": CASES,
        "method": False,
        **declaration,
    }

    registry.pop("twice", None)

    @op(**settings)
    def twice(x: Tensor) -> Tensor:
        """Twice x."""
        return forward(x)  # type: ignore[no-any-return]

    return twice


def test_a_right_op_passes() -> None:
    check_op(doubled())
    check_op("exp")
    check_op(tg.add, cases=[Case((2, 3), (3,))])


def test_large_inputs_are_tried() -> None:
    sizes: set[int] = set()

    def forward(x: Tensor) -> Tensor:
        sizes.add(x.size)
        return x * 2.0

    check_op(doubled(forward=forward))
    assert max(sizes) >= 2**17


def test_wrong_forward() -> None:
    with pytest.raises(CheckError, match=r"op twice, Case\(\(3, 4\)\), float64 forward: result"):
        check_op(doubled(reference=lambda x: 2.0 * x + 1e-6))


def test_wrong_dtype() -> None:
    with pytest.raises(CheckError, match="float32 forward: expected float32, got float64"):
        check_op(doubled(forward=lambda x: x.astype("float64") * 2.0))


def test_wrong_shape() -> None:
    with pytest.raises(CheckError, match=r"expected shape \(3, 4\), got \(12,\)"):
        check_op(doubled(forward=lambda x: (x * 2.0).reshape(-1)))


def test_gradient_off_by_a_tenth_of_a_percent() -> None:
    with pytest.raises(CheckError, match="op twice.*gradient: .*a constant factor"):
        check_op(doubled(gradient=lambda gy, y, x: gy * 2.002))


def test_gradient_of_the_gradient_is_missing() -> None:
    with pytest.raises(CheckError, match="gradient of the gradient"):
        check_op(doubled(gradient=lambda gy, y, x: (gy * 2.0).detach()))
    check_op(doubled(gradient=lambda gy, y, x: (gy * 2.0).detach(), second=False), CASES)


def test_forward_that_modifies_its_input() -> None:
    def forward(x: Tensor) -> Tensor:
        y = x * 2.0
        x.detach().fill_(0.0)
        return y

    with pytest.raises(CheckError, match="modified input 0 in place"):
        check_op(doubled(forward=forward))


@pytest.mark.parametrize("layout", ["transposed", "strided", "negative step"])
def test_wrong_for_input_that_is_not_contiguous(layout: str) -> None:
    wrong = {
        "transposed": lambda s: s[0] < s[1],
        "strided": lambda s: s[-1] == 2,
        "negative step": lambda s: s[-1] < 0,
    }[layout]

    def forward(x: Tensor) -> Tensor:
        return x * (3.0 if wrong(x.strides) else 2.0)

    with pytest.raises(CheckError, match=rf"op twice.*{layout} memory of inputs \[0\]: result"):
        check_op(doubled(forward=forward))


def test_gradient_wrong_for_upstream_that_is_not_contiguous() -> None:
    def gradient(gy: Tensor, y: Any, x: Any) -> Tensor:
        return gy * (2.0 if gy.is_contiguous() else 3.0)

    with pytest.raises(CheckError, match=r"transposed memory.*gradient of input 0"):
        check_op(doubled(gradient=gradient))


def pair(gradient: Any) -> Any:
    @op(
        gradient=gradient,
        saves=("a", "b"),
        reference=lambda a, b: a * b,
        cases=(Case((3, 4), (3, 4)),),
        method=False,
    )
    def times(a: Tensor, b: Tensor) -> Tensor:
        """A product."""
        return a * b

    return times


def test_swapped_arguments() -> None:
    with pytest.raises(CheckError, match="swapped inputs"):
        check_op(pair((lambda gy, y, a, b: gy * a, lambda gy, y, a, b: gy * b)))


def test_wrong_for_the_same_tensor_twice() -> None:
    def gradient(gy: Tensor, y: Any, a: Tensor, b: Tensor, needs: Any) -> tuple[Tensor, Tensor]:
        same = a._storage is b._storage
        return gy * b, gy * a * (0.0 if same else 1.0)

    with pytest.raises(CheckError, match=r"the same tensor as inputs \[0, 1\]: gradcheck"):
        check_op(pair(gradient))


def test_result_that_depends_on_the_number_of_threads() -> None:
    def forward(x: Tensor) -> Tensor:
        exact = get_num_threads() == 1 or x.size < 1000 or x.dtype != np.float32
        return x * (2.0 if exact else 2.0 + 2.0**-20)

    with pytest.raises(CheckError, match=r"the result has other bits with \d threads than with 1"):
        check_op(doubled(forward=forward))


def test_wrong_at_large_sizes_only() -> None:
    with pytest.raises(CheckError, match="forward: result"):
        check_op(doubled(forward=lambda x: x * (2.0 if x.size < 1000 else 2.1)))


def test_errors_of_the_op_are_reported_with_its_case() -> None:
    def broken(gy: Tensor, y: Any, x: Any) -> Tensor:
        raise tg.errors.ShapeError("the gradient has no shape")

    with pytest.raises(CheckError, match=r"op twice, Case\(\(3, 4\)\), gradient: ShapeError: the"):
        check_op(doubled(gradient=broken))
    with pytest.raises(CheckError, match="expected a Tensor, got float"):
        check_op(doubled(forward=lambda x: 1.0, gradient=None))


def test_missing_declaration() -> None:
    with pytest.raises(CheckError, match="expected a reference and at least one case"):
        check_op(doubled(reference=None))
    with pytest.raises(CheckError, match="expected a reference and at least one case"):
        check_op(doubled(cases=()))
    with pytest.raises(tg.errors.ArgumentError, match="expected a declared op"):
        check_op("no such op")


def test_arrays_are_not_differentiated() -> None:
    @op(
        gradient=(lambda gy, y, x, scale: gy * scale, None),
        saves=("scale",),
        reference=lambda x, scale: x * scale,
        cases=(Case((2, 3), np.array([1.0, 2.0, 3.0])),),
        method=False,
    )
    def scaled(x: Tensor, scale: Tensor) -> Tensor:
        """X times constants."""
        return x * scale

    check_op(scaled)
