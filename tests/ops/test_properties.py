"""Properties over shapes, axes and indices that hypothesis chooses: values as NumPy's, gradients by
their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad as tg
from tensorgrad import Tensor
from tensorgrad.autograd import registry
from tensorgrad.errors import ShapeError

Shape = tuple[int, ...]


def numbers(shape: Shape) -> np.ndarray:
    """Distinct positive numbers."""
    size = int(np.prod(shape))
    return np.random.default_rng(size).permutation(np.linspace(0.5, 2.0, size)).reshape(shape)


def leaf(array: np.ndarray) -> Tensor:
    return tg.tensor(array, requires_grad=True)


def check_gradient(y: Tensor, by: Tensor, expected: np.ndarray) -> None:
    y.sum().backward(retain_graph=True)
    assert by.grad is not None
    np.testing.assert_allclose(by.grad.numpy(), expected, rtol=1e-12)


def summed(gradient: np.ndarray, shape: Shape) -> np.ndarray:
    """What broadcasting repeated, added up."""
    lead = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(lead)))
    axes = tuple(i for i, n in enumerate(shape) if n == 1)
    return gradient.sum(axis=axes, keepdims=True)


# values, and the derivatives by a and b
PAIRS: dict[str, Any] = {
    "add": (np.add, lambda a, b: (1 + 0 * (a + b), 1 + 0 * (a + b))),
    "sub": (np.subtract, lambda a, b: (1 + 0 * (a + b), -1 + 0 * (a + b))),
    "mul": (np.multiply, lambda a, b: (b + 0 * a, a + 0 * b)),
    "div": (np.divide, lambda a, b: (1 / b + 0 * a, -a / b**2)),
    "pow": (np.power, lambda a, b: (b * a ** (b - 1), a**b * np.log(a))),
}


@pytest.mark.parametrize("name", PAIRS)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0))
@settings(max_examples=60)
def test_broadcasting(name: str, shapes: hnp.BroadcastableShapes) -> None:
    function, derivatives = PAIRS[name]
    a, b = (numbers(s) for s in shapes.input_shapes)
    x, y = leaf(a), leaf(b)
    z = registry[name].function(x, y)
    np.testing.assert_allclose(z.detach().numpy(), function(a, b), rtol=1e-12)
    assert z.shape == shapes.result_shape
    by_a, by_b = derivatives(a, b)
    check_gradient(z, x, summed(by_a, a.shape))
    np.testing.assert_allclose(y.grad.numpy(), summed(by_b, b.shape), rtol=1e-12)  # type: ignore[union-attr]


@given(st.data())
def test_three_operands(data: st.DataObject) -> None:
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
    c, a, b = (numbers(s) for s in shapes.input_shapes)
    mask = c > 1.0
    x, y = leaf(a), leaf(b)
    z = tg.where(tg.tensor(mask), x, y)
    np.testing.assert_array_equal(z.detach().numpy(), np.where(mask, a, b))
    check_gradient(z, x, summed(np.broadcast_to(mask * 1.0, shapes.result_shape), a.shape))


@given(st.data())
@settings(max_examples=150)
def test_operands_in_any_layout(data: st.DataObject) -> None:
    """Views of views: transposed, stepped, reversed, repeated."""
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=4))
    array = numbers(shape)
    order = data.draw(st.permutations(range(len(shape))))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    x = leaf(array.transpose(np.argsort(order)))
    view = x.permute_dims(order)[key]
    expected = np.asarray(array[key])
    np.testing.assert_array_equal(view.detach().numpy(), expected)
    y = view * view + view.exp()
    np.testing.assert_allclose(y.detach().numpy(), expected**2 + np.exp(expected), rtol=1e-12)
    gradient = np.zeros(shape)
    gradient[key] = 2 * expected + np.exp(expected)
    check_gradient(y, x, gradient.transpose(np.argsort(order)))


@pytest.mark.parametrize("shape", [(3, 4, 5), (64, 32, 17)])
@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2)])
def test_functions_of_transposed_tensors(shape: Shape, order: Shape) -> None:
    """They may take elements as they lie; where they end up must not show it."""
    array = numbers(shape)
    x, weights = leaf(array), numbers(tuple(shape[a] for a in order))
    expected = np.exp(array.transpose(order))
    np.testing.assert_allclose(tg.exp(x.detach().permute_dims(order)).numpy(), expected, rtol=1e-15)
    y = tg.exp(x.permute_dims(order))
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-15)
    check_gradient(y * tg.tensor(weights), x, (expected * weights).transpose(np.argsort(order)))


@given(st.data())
@settings(max_examples=150)
def test_advanced_indexing(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    array = numbers(shape)
    key: Any = data.draw(
        st.one_of(
            hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)),
            hnp.arrays(bool, shape),
            hnp.arrays(bool, shape[:1]),
            st.tuples(hnp.arrays(np.int64, 3, elements=st.integers(-shape[0], shape[0] - 1))),
        )
    )
    x = leaf(array)
    y = x[key]
    np.testing.assert_array_equal(y.detach().numpy(), array[key])
    gradient = np.zeros(shape)
    np.add.at(gradient, key, 1.0)
    check_gradient(y, x, gradient)


@given(st.data())
def test_take(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    index = data.draw(
        hnp.arrays(
            data.draw(st.sampled_from([np.int64, np.int32, np.int8])),
            hnp.array_shapes(max_dims=2, max_side=4, min_dims=0),
            elements=st.integers(-n, n - 1),
        )
    )
    array = numbers(shape)
    x = leaf(array)
    y = tg.take(x, tg.tensor(index), axis=axis)
    np.testing.assert_array_equal(y.detach().numpy(), np.take(array, index, axis))
    weight = np.moveaxis(np.zeros(shape), axis, 0)
    np.add.at(weight, index.reshape(-1), 1.0)
    check_gradient(y, x, np.moveaxis(weight, 0, axis))


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "norm", "logsumexp", "std"])
@given(st.data())
@settings(max_examples=60)
def test_reductions(name: str, data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=5, max_side=4))
    axes = data.draw(
        st.one_of(st.none(), hnp.valid_tuple_axes(len(shape)), st.integers(-1, len(shape) - 1))
    )
    keepdims = data.draw(st.booleans())
    array = numbers(shape)
    op = registry[name]
    assert op.reference is not None
    got = op.function(tg.tensor(array), axis=axes, keepdims=keepdims).numpy()
    expected = op.reference(array, axis=axes, keepdims=keepdims)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-7 if name == "std" else 1e-14)
    assert got.shape == np.shape(expected)


@given(st.data())
@settings(max_examples=100)
def test_matmul(data: st.DataObject) -> None:
    batches = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3))
    m, k, n = (data.draw(st.integers(0, 9)) for _ in range(3))
    left, right = data.draw(st.booleans()), data.draw(st.booleans())
    shape_a = (*batches.input_shapes[0], *((k, m) if left else (m, k)))
    shape_b = (*batches.input_shapes[1], *((n, k) if right else (k, n)))
    a, b = numbers(shape_a), numbers(shape_b)
    x, y = leaf(a), leaf(b)
    product = (x.mT if left else x) @ (y.mT if right else y)
    a, b = (np.swapaxes(a, -1, -2) if left else a), (np.swapaxes(b, -1, -2) if right else b)
    np.testing.assert_allclose(product.detach().numpy(), a @ b, rtol=1e-12)
    ones = np.ones(product.shape)
    gradient = np.broadcast_to(ones @ np.swapaxes(b, -1, -2), (*product.shape[:-1], k))
    lead = gradient.ndim - a.ndim
    gradient = gradient.sum(axis=tuple(range(lead)))
    repeated = tuple(i for i in range(a.ndim - 2) if a.shape[i] == 1)
    gradient = gradient.sum(axis=repeated, keepdims=True)
    check_gradient(product, x, np.swapaxes(gradient, -1, -2) if left else gradient)


@given(st.data())
def test_joining(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    arrays = []
    for n in lengths:
        sizes = list(shape)
        sizes[axis] = n
        arrays.append(numbers(tuple(sizes)))
    leaves = [leaf(a) for a in arrays]
    y = tg.concat(leaves, axis=axis)
    np.testing.assert_array_equal(y.detach().numpy(), np.concatenate(arrays, axis))
    (y * y).sum().backward()
    for x, a in zip(leaves, arrays, strict=True):
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), 2 * a)


@given(st.data())
def test_broadcast_and_back(data: st.DataObject) -> None:
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
    shape, _ = shapes.input_shapes
    array = numbers(shape)
    wide = tg.broadcast_to(tg.tensor(array), shapes.result_shape)
    np.testing.assert_array_equal(wide.numpy(), np.broadcast_to(array, shapes.result_shape))
    times = wide.size // max(array.size, 1)
    np.testing.assert_allclose(tg.sum_to(wide, shape).numpy(), array * times, rtol=1e-12)


DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_promotion(a: str, b: str) -> None:
    """As NumPy's, but that a float and an integer array give the float's dtype."""
    floats = [d for d in (a, b) if d.startswith("float")]
    expected = max(floats) if floats else np.result_type(a, b).name
    x, y = np.ones(3, a), np.ones(3, b)
    for name in ("add", "mul", "maximum"):
        got = registry[name].function(tg.tensor(x), tg.tensor(y))
        assert got.dtype == expected
        np.testing.assert_array_equal(
            got.numpy(), getattr(np, {"mul": "multiply"}.get(name, name))(x, y)
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_python_numbers_take_the_tensors_dtype(dtype: str) -> None:
    t = tg.tensor(np.ones(3, dtype))
    whole = "int64" if dtype == "bool" else dtype
    real = dtype if dtype.startswith("float") else "float32"
    for got, expected in [(t + 1, whole), (1 + t, whole), (t * 2.0, real), (2.0 - t, real)]:
        assert got.dtype == expected


def test_arrays_on_the_left() -> None:
    array, t = np.array([4.0, 9.0]), tg.tensor([2.0, 3.0], dtype="float64", requires_grad=True)
    for got, expected in [
        (array + t, [6.0, 12.0]),
        (array - t, [2.0, 6.0]),
        (array * t, [8.0, 27.0]),
        (array / t, [2.0, 3.0]),
        (array**t, [16.0, 729.0]),
        (array @ t, 35.0),
        (np.float64(2.0) * t, [4.0, 6.0]),
        (np.float32(2.0) * t, [4.0, 6.0]),
    ]:
        assert isinstance(got, Tensor)
        assert got.requires_grad
        np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-12)
    assert (array > t).tolist() == [True, True]  # type: ignore[attr-defined]


def test_shapes_that_do_not_fit_are_named() -> None:
    x, y = tg.ones((2, 3)), tg.ones((4,))
    for name in ("add", "mul", "maximum", "less", "pow"):
        with pytest.raises(ShapeError, match=r"\(2, 3\) and \(4,\)"):
            registry[name].function(x, y)
