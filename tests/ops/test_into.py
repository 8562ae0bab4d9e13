"""matmul with `out`: the numbers of NumPy's, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError

SHAPES = [
    ((3, 4), (4, 5)),
    ((1, 7), (7, 33)),
    ((9, 1), (1, 1)),
    ((2, 0), (0, 3)),
    ((0, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", SHAPES)
def test_out(shapes: tuple[tuple[int, ...], tuple[int, ...]], dtype: type) -> None:
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(shape).astype(dtype) for shape in shapes)
    want = a @ b
    for x in (tg.tensor(a), tg.tensor(np.ascontiguousarray(a.mT)).mT):
        for y in (tg.tensor(b), tg.tensor(np.ascontiguousarray(b.mT)).mT):
            out = tg.full(want.shape, 7, dtype=want.dtype)
            assert tg.matmul(x, y, out=out) is out
            np.testing.assert_array_equal(out.numpy(), tg.matmul(x, y).numpy())
            np.testing.assert_allclose(out.numpy(), want, rtol=1e-5, atol=1e-5)


def test_refused() -> None:
    a, b, out = tg.ones((2, 3)), tg.ones((3, 2)), tg.zeros((2, 2))
    with pytest.raises(ShapeError, match="does not give"):
        tg.matmul(a, b, out=tg.zeros((2, 3)))
    with pytest.raises(ShapeError, match="does not give"):
        tg.matmul(a, a, out=out)
    with pytest.raises(ShapeError, match="does not give"):
        tg.matmul(tg.ones((2, 2, 3)), b, out=out)
    with pytest.raises(ShapeError, match="expected matrices"):
        tg.matmul(tg.ones(3), b, out=tg.zeros(2))
    with pytest.raises(DTypeError, match="one float dtype"):
        tg.matmul(a, b, out=tg.zeros((2, 2), dtype=np.float64))
    integers = tg.ones((2, 2), dtype=np.int64)
    with pytest.raises(DTypeError, match="one float dtype"):
        tg.matmul(integers, integers, out=tg.zeros((2, 2), dtype=np.int64))
    with pytest.raises(ArgumentError, match="contiguous"):
        tg.matmul(a, b, out=out.mT)
    square = tg.ones((2, 2))
    with pytest.raises(ArgumentError, match="apart"):
        tg.matmul(square, out, out=square)
    with pytest.raises(ArgumentError, match="apart"):
        tg.matmul(out, square, out=square)
    with pytest.raises(ArgumentError, match="apart"):
        tg.matmul(square.mT, out, out=square)
    assert out.tolist() == [[0, 0], [0, 0]]


def test_the_tape() -> None:
    a, b, out = tg.ones((2, 3)), tg.ones((3, 2)), tg.zeros((2, 2))
    a.requires_grad_()
    with pytest.raises(GradientError, match="not recorded"):
        tg.matmul(a, b, out=out)
    with tg.no_grad():
        assert tg.matmul(a, b, out=out).tolist() == [[3, 3], [3, 3]]
    # a write is seen by a backward that needed the old values
    x = tg.ones((2, 2), requires_grad=True)
    y = x * out
    with tg.no_grad():
        tg.matmul(a, b, out=out)
    with pytest.raises(tg.errors.InplaceError, match="matmul"):
        y.sum().backward()
