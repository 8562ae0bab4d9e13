"""Joining, rearranging, padding, scattering: corner cases, errors, dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import errors
from tensorgrad.testing import gradcheck, gradgradcheck

rng = np.random.default_rng(5)


def leaf(*shape):
    return tg.tensor(rng.standard_normal(shape), requires_grad=True)


DTYPES = ["bool", "int8", "uint32", "int64", "float32", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_as_numpy(dtype):
    x = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    t = tg.tensor(x)
    i = np.array([[3, 0], [-1, 2], [1, 1]])
    ti = tg.tensor(i)
    pairs = [
        (tg.roll(t, (1, 2), axis=(0, 1)), np.roll(x, (1, 2), (0, 1))),
        (tg.flip(t, axis=1), np.flip(x, 1)),
        (tg.rot90(t), np.rot90(x)),
        (tg.tile(t, (2, 1)), np.tile(x, (2, 1))),
        (tg.repeat(t, [1, 0, 2], axis=0), np.repeat(x, [1, 0, 2], 0)),
        (tg.pad(t, 1), np.pad(x, 1)),
        (tg.pad(t, 2, mode="reflect"), np.pad(x, 2, "reflect")),
        (tg.tril(t, k=1), np.tril(x, 1)),
        (tg.triu(t, k=-1), np.triu(x, -1)),
        (tg.diag(t[0]), np.diag(x[0])),
        (tg.diagonal(t, 1), np.diagonal(x, 1)),
        (tg.concat([t, t], axis=None), np.concatenate([x, x], None)),
        (tg.stack([t, t], axis=-1), np.stack([x, x], -1)),
        (tg.take_along_axis(t, ti, axis=1), np.take_along_axis(x, i, 1)),
        (tg.gather(t, 1, ti), np.take_along_axis(x, i, 1)),
        (tg.unfold(t, 1, 2, 2), np.stack([x[:, :2], x[:, 2:]], 1)),
        (tg.take(t, ti), np.take(x, i)),
        (tg.masked_select(t, t == 1), x[x == 1]),
    ]
    for got, expected in pairs:
        np.testing.assert_array_equal(got.numpy(), expected)
        assert got.dtype == expected.dtype
    if dtype != "bool":
        expected = x.copy()
        np.add.at(expected, (np.arange(3)[:, None], i), x[:, :2])
        np.testing.assert_array_equal(tg.scatter_add(t, 1, ti, t).numpy(), expected)
        expected = x.copy()
        np.add.at(expected, np.array([0, 0]), x[1:])
        np.testing.assert_array_equal(tg.index_add(t, 0, [0, 0], t[1:]).numpy(), expected)


def test_concat_combines_dtypes():
    y = tg.concat([tg.ones(1), tg.ones(2, dtype="float64"), tg.ones(1, dtype="int64")])
    assert y.dtype == tg.float64
    assert tg.concat([tg.ones(1, "int8"), tg.ones(1, "int32")]).dtype == tg.int32
    a, b = leaf(2), tg.ones(3, requires_grad=True)
    gy = tg.tensor(np.arange(5.0))
    ga, gb = tg.autograd.grad(tg.concat([a, b]), [a, b], [gy])
    assert ga.tolist() == [0.0, 1.0]
    assert gb.dtype == tg.float32
    assert gb.tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_joining_gradients_of_unequal_parts(axis):
    shapes = [(2, 3), (1, 3), (0, 3)] if axis == 0 else [(2, 3), (2, 1), (2, 2)]
    parts = [leaf(*s) for s in shapes]

    def join(*parts):
        return tg.concat(parts, axis=axis) ** 2

    gradcheck(join, parts)
    gradgradcheck(join, parts)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "symmetric", "constant"])
def test_padding_wider_than_the_tensor(mode):
    x = leaf(2, 3)
    numpy_mode = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    y = tg.pad(x, ((5, 0), (1, 7)), mode=mode)
    expected = np.pad(x.detach().numpy(), ((5, 0), (1, 7)), numpy_mode)
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    gradcheck(lambda x: tg.pad(x, ((5, 0), (1, 7)), mode=mode) ** 2, [x])
    gradgradcheck(lambda x: tg.pad(x, ((5, 0), (1, 7)), mode=mode) ** 2, [x])


def test_triangles_stop_what_is_not_finite():
    x = tg.tensor([[1.0, np.nan], [2.0, 3.0]], requires_grad=True)
    y = tg.tril(x)
    assert y.tolist() == [[1.0, 0.0], [2.0, 3.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_what_views_share_and_what_they_do_not():
    x = tg.zeros((3, 4))
    views = [tg.flip(x), tg.rot90(x), tg.diagonal(x), tg.expand_dims(x, (0, 2)), tg.unfold(x, 1, 2)]
    views += [*tg.split(x, 3), *tg.chunk(x, 2, axis=1), *tg.unstack(x), tg.diag(x)]
    x += 1.0
    assert all(v.numpy().min() == 1.0 for v in views)
    copies = [tg.roll(x, 0, axis=0), tg.tile(x, 1), tg.repeat(x, 1), tg.pad(x, 0), tg.triu(x, k=-5)]
    x += 1.0
    assert all(c.numpy().max() == 1.0 for c in copies)


def test_a_write_through_a_diagonal_is_differentiated():
    w = leaf(3, 3)
    y = w * 1.0
    d = tg.diagonal(y)
    d += 1.0
    d *= 2.0
    y.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), np.ones((3, 3)) + np.eye(3))


def test_windows_cannot_be_written():
    with pytest.raises(errors.InplaceError, match="share one place"):
        tg.unfold(tg.zeros(5), 0, 3, 1).fill_(1.0)


def test_reshape_copies_as_told():
    x = tg.zeros((2, 3))
    assert tg.reshape(x, (6,), copy=True)._storage is not x._storage
    assert tg.reshape(x, (6,), copy=False)._storage is x._storage
    with pytest.raises(errors.ArgumentError, match="reshape: .* without a copy"):
        x.T.reshape(6, copy=False)


def test_repeats_given_by_a_tensor():
    x = tg.tensor([1, 2, 3])
    assert tg.repeat(x, tg.tensor([2, 0, 1])).tolist() == [1, 1, 3]
    assert tg.repeat(x, tg.tensor(2)).tolist() == [1, 1, 2, 2, 3, 3]


def test_scatters_of_a_part():
    """PyTorch's rule: the index may be smaller than x and the source larger than the index."""
    x = leaf(3, 4)
    src = leaf(3, 3)
    index = tg.tensor([[0, 3, 3]])
    y = tg.scatter_add(x, 1, index, src)
    expected = x.detach().numpy().copy()
    s = src.detach().numpy()
    expected[0] += [s[0, 0], 0, 0, s[0, 1] + s[0, 2]]
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12)
    z = tg.scatter(x, 1, index, src).detach().numpy()
    np.testing.assert_array_equal(z[0], [s[0, 0], *x.detach().numpy()[0, 1:3], s[0, 2]])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: tg.take_along_axis(x, tg.tensor([[4]])), IndexError, "take_along_axis: .*got 4"),
        (lambda x: tg.take_along_axis(x, tg.tensor([0])), ValueError, "as many axes"),
        (lambda x: tg.take_along_axis(x, tg.tensor([[0.5]])), TypeError, "integer indices"),
        (lambda x: tg.gather(x, 0, tg.tensor([[0] * 5])), ValueError, "gather"),
        (lambda x: tg.gather(x, 2, tg.tensor([[0]])), IndexError, "gather: expected an axis"),
        (lambda x: tg.scatter_add(x, 1, tg.tensor([[-5]]), x), IndexError, "got -5"),
        (lambda x: tg.scatter(x, 1, tg.tensor([[4]]), 0.0), IndexError, "scatter"),
        (lambda x: tg.scatter(x, 1, tg.tensor([[0, 1]]), tg.ones((1, 1))), ValueError, "source"),
        (lambda x: tg.index_add(x, 0, tg.tensor([3]), x[:1]), IndexError, "got 3"),
        (lambda x: tg.index_add(x, 0, tg.tensor([0, 1]), x[:1]), ValueError, "index_add"),
        (lambda x: tg.index_select(x, 0, tg.tensor([[1]])), ValueError, "one axis"),
        (lambda x: tg.masked_select(x, tg.tensor([0, 1])), TypeError, "mask of bool"),
        (lambda x: tg.concat([]), ValueError, "at least one"),
        (lambda x: tg.concat([x, x[0]]), ValueError, "concat: expected shapes"),
        (lambda x: tg.stack([x, x[:2]]), ValueError, "stack: expected one shape"),
        (lambda x: tg.split(x, 2), ValueError, "divides 3"),
        (lambda x: tg.chunk(x, 0), ValueError, "chunk"),
        (lambda x: tg.roll(x, (1, 2, 3), axis=(0, 1)), ValueError, "roll"),
        (lambda x: tg.rot90(x, axes=(0, 0)), ValueError, "rot90"),
        (lambda x: tg.tile(x, -1), ValueError, "tile"),
        (lambda x: tg.repeat(x, [1, 2], axis=0), ValueError, "repeat: expected one number or 3"),
        (lambda x: tg.repeat(x, -1), ValueError, "repeat"),
        (lambda x: tg.repeat(x, 1.5), TypeError, "repeat"),
        (lambda x: tg.pad(x, -1), ValueError, "pad: expected widths >= 0"),
        (lambda x: tg.pad(x, ((1, 1),) * 3), ValueError, "2 such pairs"),
        (lambda x: tg.pad(x, 1.5), TypeError, "pad"),
        (lambda x: tg.pad(x, 1, mode="odd"), ValueError, "a mode among"),
        (lambda x: tg.pad(x[:0], 1, mode="reflect"), ValueError, "needs elements"),
        (lambda x: tg.diagonal(x, axis1=1, axis2=-1), ValueError, "different axes"),
        (lambda x: tg.diagonal(x[0]), ValueError, "at least 2 axes"),
        (lambda x: tg.tril(x[0]), ValueError, "tril"),
        (lambda x: tg.diag(x[None]), ValueError, "diag"),
        (lambda x: tg.unfold(x, 0, 4), ValueError, "unfold"),
        (lambda x: tg.unfold(x, 0, 1, 0), ValueError, "step"),
        (lambda x: tg.sliding_window_view(x, 2), ValueError, "2 axes"),
        (lambda x: tg.moveaxis(x, (0, 1), 0), ValueError, "as many sources"),
        (lambda x: tg.moveaxis(x, (0, 0), (0, 1)), ValueError, "distinct"),
        (lambda x: tg.expand_dims(x, (0, 0)), ValueError, "distinct"),
        (lambda x: tg.expand_dims(x, 3), IndexError, "expand_dims"),
        (lambda x: tg.meshgrid(x), ValueError, "meshgrid"),
        (lambda x: tg.meshgrid(x[0], indexing="yx"), ValueError, "'xy' or 'ij'"),
        (lambda x: tg.broadcast_tensors(x, tg.ones(3)), ValueError, "broadcast_shapes"),
        (lambda x: tg.one_hot(tg.tensor([], dtype="int64")), ValueError, "one_hot"),
    ],
)
def test_errors_are_named(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call(tg.tensor(rng.standard_normal((3, 4))))
    assert isinstance(caught.value, errors.TensorgradError)


def test_broadcast_names():
    assert tg.broadcast_arrays is tg.broadcast_tensors
    assert tg.broadcast_shapes() == ()
    assert tg.broadcast_shapes((2, 1), (3,), ()) == (2, 3)


def test_chunks_of_nothing():
    assert [c.shape for c in tg.chunk(tg.zeros((0, 2)), 3)] == [(0, 2)] * 3
    assert tg.unstack(tg.zeros((0, 2))) == ()


def test_over_a_batch_of_indices():
    """vmap over x, index and source together equals the loop."""
    x, index = rng.standard_normal((3, 2, 5)), rng.integers(-5, 5, (3, 2, 4))
    src, rows = rng.standard_normal((3, 2, 4)), rng.integers(0, 2, (3, 3))
    functions = [
        lambda x, index, src, rows: tg.gather(x, 1, index),
        lambda x, index, src, rows: tg.scatter(x, 1, index, src),
        lambda x, index, src, rows: tg.scatter_add(x, 1, index, src),
        lambda x, index, src, rows: tg.put(x, index, src),
        lambda x, index, src, rows: tg.index_select(x, 0, rows),
        lambda x, index, src, rows: tg.index_add(x, 1, rows, src[:, :3]),
        lambda x, index, src, rows: tg.take(x, index),
        lambda x, index, src, rows: x[:, rows],
    ]
    arguments = [tg.tensor(a) for a in (x, index, src, rows)]
    for function in functions:
        got = tg.func.vmap(function)(*arguments)
        expected = tg.stack([function(*(a[i] for a in arguments)) for i in range(3)])
        np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_gradients_of_sources():
    x, src, part = leaf(3, 4), leaf(3, 3), leaf(2, 4)
    index = tg.tensor([[2, 0], [2, 1]])
    along = tg.tensor([[3, 0], [1, 1], [-1, 2]])
    for function, second in (
        (lambda x, s: tg.scatter_add(x, 1, along, s) ** 2, src),
        (lambda x, s: tg.scatter_add(x, 0, index, s) ** 2, src),
        (lambda x, s: tg.scatter(x, 1, along, s) ** 2, src),
        (lambda x, s: tg.scatter(x, 0, index, s) ** 2, src),
        (lambda x, s: tg.index_add(x, 0, tg.tensor([1, -2]), s) ** 2, part),
    ):
        gradcheck(function, [x, second])
        gradgradcheck(function, [x, second])


@pytest.mark.torch
def test_as_pytorch():
    torch = pytest.importorskip("torch")
    a, s = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 4, 5))
    i = rng.integers(0, 3, (3, 3, 4))
    names = {"gather": (), "scatter_add": (s,), "scatter": (s,)}
    for name, more in names.items():
        for axis in range(3):
            # scatter: places of its own, since PyTorch leaves open which of several writes stays
            index = np.argsort(rng.random((3, 3, 4)), axis) if name == "scatter" else i
            tx = torch.tensor(a, requires_grad=True)
            expected = getattr(tx, name)(axis, torch.tensor(index), *map(torch.tensor, more))
            x = tg.tensor(a, requires_grad=True)
            got = getattr(tg, name)(x, axis, tg.tensor(index), *map(tg.tensor, more))
            np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
            gy = rng.standard_normal(got.shape)
            expected.backward(torch.tensor(gy))
            got.backward(tg.tensor(gy))
            np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-12)
    x = torch.tensor(a)
    t = tg.tensor(a)
    for axis, size, step in ((0, 2, 1), (1, 3, 1), (-1, 2, 2)):
        np.testing.assert_array_equal(
            tg.unfold(t, axis, size, step).numpy(), x.unfold(axis, size, step).numpy()
        )
    for n in (1, 2, 3, 4, 7):
        for ours, theirs in zip(tg.chunk(t, n, 1), x.chunk(n, 1), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
