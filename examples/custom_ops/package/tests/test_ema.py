"""The op passes what tensorgrad's own ops pass, and says what is wrong with its arguments."""

import pytest
from tensorgrad_ema import ema

import tensorgrad
from tensorgrad.testing import check_op


def test_everything_that_built_ins_go_through() -> None:
    check_op(ema)


def test_values() -> None:
    x = tensorgrad.tensor([[1.0], [0.0], [0.0]], requires_grad=True)
    y = ema(x, 0.5)
    assert y.reshape(-1).tolist() == [0.5, 0.25, 0.125]
    y[2, 0].backward()
    assert x.grad is not None
    assert x.grad.reshape(-1).tolist() == [0.125, 0.25, 0.5]


@pytest.mark.parametrize(
    ("x", "a", "error"),
    [
        (tensorgrad.ones(3), 0.5, tensorgrad.ShapeError),
        (tensorgrad.ones((3, 2)), 0.0, tensorgrad.ArgumentError),
        (tensorgrad.ones((3, 2), dtype="int64"), 0.5, tensorgrad.DTypeError),
    ],
)
def test_refused(x: tensorgrad.Tensor, a: float, error: type[Exception]) -> None:
    with pytest.raises(error, match="ema: expected"):
        ema(x, a)
