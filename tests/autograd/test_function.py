"""Ops as classes with a forward and a backward."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad.autograd import Function, once_differentiable
from tensorgrad.errors import GradientError, InplaceError, ShapeError
from tensorgrad.testing import gradcheck, gradgradcheck


def leaf(*values: float) -> Tensor:
    return tg.tensor(list(values), dtype="float64", requires_grad=True)


class Scaled(Function):
    """x * factor, factor a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        return gy * ctx.factor, None


class Exp(Function):
    """exp(x), whose backward reads its output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return gy * y


class SumAndProduct(Function):
    """Two results."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a, b)
        return a + b, a * b

    @staticmethod
    def backward(ctx: Any, by_sum: Tensor, by_product: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return by_sum + by_product * b, by_sum + by_product * a


def test_a_number_as_argument() -> None:
    x = leaf(1.0, 2.0)
    Scaled.apply(x, 3.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]
    assert gradcheck(lambda x: Scaled.apply(x, 2.0), x)
    assert gradgradcheck(lambda x: Scaled.apply(x, 2.0), x)


def test_a_saved_output() -> None:
    x = leaf(0.5, 1.0)
    assert gradcheck(Exp.apply, x)
    assert gradgradcheck(Exp.apply, x)


def test_several_results() -> None:
    a, b = leaf(2.0, 3.0), leaf(5.0, 7.0)
    assert gradcheck(SumAndProduct.apply, [a, b])
    assert gradgradcheck(SumAndProduct.apply, [a, b])
    total, product = SumAndProduct.apply(a, b)
    (ga,) = tg.autograd.grad(product.sum(), [a])  # only one of them: the other's gradient is zero
    assert ga.tolist() == [5.0, 7.0]
    assert "SumAndProduct" in repr(total)


def test_nothing_is_recorded_without_need() -> None:
    assert not Exp.apply(tg.ones(2)).requires_grad
    with tg.no_grad():
        assert not Exp.apply(leaf(1.0)).requires_grad


def test_needs_input_grad_and_none() -> None:
    seen = []

    class Product(Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx: Any, gy: Tensor) -> Any:
            seen.append(ctx.needs_input_grad)
            _, b = ctx.saved_tensors
            return (gy * b if ctx.needs_input_grad[0] else None), None

    a = leaf(2.0)
    Product.apply(a, tg.tensor([3.0], dtype="float64")).backward()
    assert seen == [(True, False)]
    assert a.grad is not None
    assert a.grad.tolist() == [3.0]


def test_outputs_without_gradient() -> None:
    class Split(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Any:
            sign = (x > 0).astype(x.dtype)
            ctx.mark_non_differentiable(sign)
            ctx.set_materialize_grads(False)
            return x * 2, sign, x > 0

        @staticmethod
        def backward(ctx: Any, gy: Any, by_sign: Any, by_mask: Any) -> Any:
            assert by_sign is None
            assert by_mask is None
            return gy * 2

    x = leaf(-1.0, 2.0)
    y, sign, mask = Split.apply(x)
    assert (y.requires_grad, sign.requires_grad, mask.requires_grad) == (True, False, False)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]


def test_an_input_that_is_returned() -> None:
    class Identity(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, gy: Tensor) -> Tensor:
            return gy * 10

    x = leaf(1.0)
    y = Identity.apply(x)
    assert y is not x
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [10.0]


def test_once_differentiable() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, gy: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return tg.from_numpy(2 * gy.detach().numpy() * x.detach().numpy())

    x = leaf(3.0)
    assert gradcheck(Square.apply, x)
    (gx,) = tg.autograd.grad(Square.apply(x), [x], create_graph=True)
    assert gx.tolist() == [6.0]
    with pytest.raises(GradientError, match="Square: its backward is once_differentiable"):
        gx.backward()


def test_what_was_saved_is_guarded() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = SumAndProduct.apply(y, y)[1].sum()
    y += 1.0
    with pytest.raises(InplaceError, match="backward of SumAndProduct"):
        z.backward()


def _broken(result: Any) -> type[Function]:
    class Broken(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, k: Any) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gy: Tensor) -> Any:
            return result

    return Broken


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (
            tg.ones(2),
            GradientError,
            "expected 2 gradients, one for each argument of forward, got 1",
        ),
        ((tg.ones(2), tg.ones(2)), GradientError, "expected None for argument 1"),
        ((1.0, None), GradientError, "expected the gradient to be a Tensor, got float"),
        ((tg.ones(()), None), ShapeError, r"expected a gradient of shape \(2,\), got \(\)"),
    ],
)
def test_wrong_results_of_backward(result: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        _broken(result).apply(leaf(1.0, 2.0), 3).sum().backward()


def test_wrong_results_of_forward() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Any:
            return 1.0

    with pytest.raises(GradientError, match=r"Wrong.forward: expected a Tensor or a tuple of them"):
        Wrong.apply(leaf(1.0))

    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Empty.apply(leaf(1.0))


def test_a_float32_gradient_of_a_float64_input_is_converted() -> None:
    class Narrow(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gy: Tensor) -> Tensor:
            return (gy * 2).astype("float32")

    x = leaf(1.0)
    Narrow.apply(x).backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float64


def test_graphs_are_freed_by_counting() -> None:
    gc.disable()
    try:
        y = Exp.apply(leaf(1.0))
        gone = weakref.ref(y)
        node = weakref.ref(y._node)
        del y
        assert gone() is None
        assert node() is None
    finally:
        gc.enable()


def test_hooks_on_what_is_saved() -> None:
    packed = []

    def pack(t: Tensor) -> Any:
        packed.append(t.shape)
        return t.numpy().copy() if not t.requires_grad else t.detach().numpy().copy()

    x = leaf(0.5, 1.0)
    with tg.autograd.saved_tensors_hooks(pack, tg.tensor):
        a, b = SumAndProduct.apply(x, x)
    (a + b).sum().backward()
    assert packed
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 4.0]


def test_under_vmap() -> None:
    x = tg.randn(3, 2)
    got = tg.func.vmap(lambda row: Scaled.apply(row, 2.0))(x)
    np.testing.assert_allclose(got.numpy(), 2 * x.numpy())


@pytest.mark.torch
def test_as_in_torch() -> None:
    torch = pytest.importorskip("torch")

    class Theirs(torch.autograd.Function):
        forward = staticmethod(SumAndProduct.forward)
        backward = staticmethod(SumAndProduct.backward)

    a, b = leaf(2.0, 3.0), leaf(5.0, 7.0)
    ta, tb = (torch.tensor(t.tolist(), dtype=torch.float64, requires_grad=True) for t in (a, b))
    (SumAndProduct.apply(a, b)[1] * 2).sum().backward()
    (Theirs.apply(ta, tb)[1] * 2).sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == ta.grad.tolist()
