"""vmap beyond single ops: axes, trees, nesting, modules, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad import Tensor, func, nn
from tensorgrad.errors import (
    ArgumentError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    TransformError,
)

RNG = np.random.default_rng(0)


def t(*shape, **options):
    return tensorgrad.tensor(RNG.normal(size=shape), **options)


def same(a, b, **tolerance):
    a = a.detach().numpy() if isinstance(a, Tensor) else a
    b = b.detach().numpy() if isinstance(b, Tensor) else b
    np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-12, "atol": 1e-14}))


# ---- axes and trees ------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("out", [0, 1, -1])
def test_axes(axis, out):
    x = t(3, 4, 5)
    got = func.vmap(lambda a: a.T * 2, axis, out)(x)
    moved = np.moveaxis(x.numpy(), axis, 0)
    same(got, np.moveaxis(2 * np.swapaxes(moved, 1, 2), 0, out))


def test_trees():
    x, w, b = t(4, 3), t(3), t(4)

    def function(params, x, *, shift):
        return {"y": (x * params["w"]).sum() + params["b"][0], "x": [x + shift, params["w"]]}

    got = func.vmap(
        function, ({"w": None, "b": (0,)}, 0), {"y": 0, "x": [1, None]}
    )({"w": w, "b": (b,)}, x, shift=b)  # fmt: skip
    same(got["y"], x.numpy() @ w.numpy() + b.numpy())
    same(got["x"][0], (x.numpy() + b.numpy()[:, None]).T)
    assert got["x"][1] is w


def test_results_that_do_not_differ():
    got = func.vmap(lambda x: (tensorgrad.ones(2), x))(t(3))
    assert got[0].shape == (3, 2)


def test_arrays_and_numbers():
    same(func.vmap(lambda x, k: x * k, (0, None))(np.arange(3.0), 2.0), 2 * np.arange(3.0))
    same(func.vmap(lambda x, a: x + a)(t(3) * 0, np.arange(3.0)), np.arange(3.0))
    same(func.vmap(lambda x: [1.0, 2.0] - x * [1.0, 1.0])(t(3) * 0), np.tile([1.0, 2.0], (3, 1)))


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_chunks(chunk):
    x = t(5, 3)
    got = func.vmap(lambda x: (x.sum(), x), 0, (0, 1), chunk_size=chunk)(x)
    same(got[0], x.numpy().sum(1))
    same(got[1], x.numpy().T)


def test_an_empty_batch():
    assert func.vmap(lambda x: (x * 2).sum())(t(0, 3)).shape == (0,)


# ---- nesting -------------------------------------------------------------------------------------


def test_nested():
    x, y = t(3, 4), t(5, 4)
    pairs = func.vmap(func.vmap(lambda a, b: (a - b).norm(), (None, 0)), (0, None))(x, y)
    same(pairs, np.linalg.norm(x.numpy()[:, None] - y.numpy(), axis=-1))


def test_nested_with_a_tensor_from_outside_each():
    x, y, z = t(2, 4), t(3, 4), t(4, 4)
    got = func.vmap(lambda a: func.vmap(lambda b: z @ (a * b) + a)(y))(x)
    want = np.einsum("ij,abj->abi", z.numpy(), x.numpy()[:, None] * y.numpy()) + x.numpy()[:, None]
    same(got, want)


def test_three_levels_of_different_axes():
    x = t(2, 3, 4, 5)
    got = func.vmap(func.vmap(func.vmap(lambda r: r.softmax() @ r, 1), 0, 1), 2, 0)(x)
    moved = np.moveaxis(
        x.numpy(), 2, 0
    )  # 4, 2, 3, 5: the second over 2, the third over 5 of (3, 5)
    e = np.exp(moved)
    want = (e / e.sum(2, keepdims=True) * moved).sum(2)  # 4, 2, 5
    same(got, np.moveaxis(want, 1, 2))


# ---- programs ------------------------------------------------------------------------------------


def test_operators_methods_and_indices():
    x, i = t(3, 4, 5), tensorgrad.tensor([0, 3, -1])

    def function(x, i):
        y = 2 - x[1:, ::2].T ** 2 / (1 + abs(x[0, 1]))
        y = tensorgrad.where(y > 0, y, -y).clip(0.1, 1.5)
        return (
            y.flatten(),
            x[i],
            x[i, i],
            x[:, i] * 1,
            x[1:3],
            -x.mT,
        )

    got = func.vmap(function)(x, i)
    for k, want in enumerate(zip(*(function(x[j], i[j]) for j in range(3)))):
        same(got[k], np.stack([w.numpy() for w in want]))


def test_index_of_another_batch():
    x, i = t(4, 2), tensorgrad.tensor([[0, 3], [1, 1], [2, 0]])
    same(func.vmap(lambda i: x[i])(i), x.numpy()[i.numpy()])
    got = func.vmap(lambda i: func.vmap(lambda c: c[i], 1)(x))(i)
    same(got, np.stack([x.numpy()[j].T for j in i.numpy()]))


def test_take_of_batches_by_batches_along_every_axis():
    x = t(3, 2, 4, 5, requires_grad=True)
    for axis, n in enumerate((2, 4, 5)):
        for shape in ((), (6,), (2, 3)):
            i = tensorgrad.tensor(RNG.integers(-n, n, (3, *shape)))
            got = func.vmap(lambda x, i, a=axis: tensorgrad.take(x, i, a))(x, i)
            want = tensorgrad.stack([tensorgrad.take(x[j], i[j], axis) for j in range(3)])
            same(got, want)
            up = tensorgrad.tensor(RNG.normal(size=got.shape))
            a, b = (tensorgrad.autograd.grad(y, x, up) for y in (got, want))
            same(a, b)
    with pytest.raises(IndexOutOfRangeError):
        func.vmap(lambda x, i: x[i])(x, tensorgrad.tensor([0, 1, 2]))


def test_writes_in_place():
    x, v = t(3, 4), t(3)

    def function(x, v):
        y = x * 1
        y[1:3] = v
        y[0] = 5.0
        y += v
        y.mul_(2.0)
        return y

    same(func.vmap(function)(x, v), tensorgrad.stack([function(x[i], v[i]) for i in range(3)]))
    apart = (np.array([0]), slice(None), np.array([0]))
    with pytest.raises(TransformError, match="between arrays"):
        func.vmap(lambda x: (x * 1).__setitem__(apart, 1.0))(t(3, 2, 2, 2))
    with pytest.raises(TransformError, match="index of Tensors"):
        func.vmap(lambda x, i: (x * 1).__setitem__(i, 1.0))(x, tensorgrad.tensor([0, 1, 2]))
    with pytest.raises(TransformError, match="out-of-place"):
        func.vmap(lambda v: func.vmap(lambda w: (v * 1).add_(w))(t(2)))(v)


def test_numpy_indices_and_masks():
    x = t(3, 2, 4, 5)
    keys = [
        np.array([1, 0]),
        (slice(None), np.array([3, 3, 1])),
        (np.array([0, 1]), slice(None), np.array([2, 4])),
        (0, slice(None), np.array([[2, 4]])),
        np.array([[True, False, True, True], [False] * 4]),
        (np.array([True, False]), slice(None), np.array([1, 2, 3])),
        (None, np.array([1, 1]), ..., 0),
    ]
    for key in keys:
        got = func.vmap(lambda x, key=key: x[key])(x)
        same(got, np.stack([a[key] for a in x.numpy()]))
        gx = func.vmap(func.grad(lambda x, key=key: x[key].square().sum()))(x)
        want = np.zeros(x.shape)
        for j, a in enumerate(x.numpy()):
            np.add.at(want[j], key, 2 * a[key])
        same(gx, want)


def test_modules_and_losses():
    model = nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 6), nn.Tanh(), nn.RMSNorm(6)
    ).double()
    x = t(5, 4)
    same(func.vmap(model)(x), model(x), rtol=1e-10)
    labels = tensorgrad.tensor([0, 2, 1, 5, 3])
    for f in (
        lambda y, k: nn.functional.cross_entropy(y, k),
        lambda y, k: nn.functional.cross_entropy(y[None], k[None], label_smoothing=0.1),
        lambda y, k: nn.functional.nll_loss(y.log_softmax()[None], k[None]),
        lambda y, k: nn.functional.mse_loss(y, y * 2),
        lambda y, k: nn.functional.huber_loss(y, y * 3),
        lambda y, k: nn.functional.binary_cross_entropy_with_logits(y, y.sigmoid().detach()),
        lambda y, k: nn.functional.softplus(y, 2.0).sum() + tensorgrad.one_hot(k, 6).sum(),
    ):
        y = model(x).detach()
        same(func.vmap(f)(y, labels), [f(y[i], labels[i]).item() for i in range(5)], rtol=1e-6)


def test_cross_entropy_of_rows():
    x, labels = t(3, 4, 5), tensorgrad.tensor(RNG.integers(0, 5, (3, 4)))
    labels[0, 1] = -100
    weight = tensorgrad.tensor(RNG.uniform(0.5, 2, 5))
    for reduction in ("mean", "sum", "none"):
        for w in (None, weight):

            def f(x, k, w=w, reduction=reduction):
                return nn.functional.cross_entropy(x, k, w, reduction=reduction)

            same(func.vmap(f)(x, labels), tensorgrad.stack([f(x[i], labels[i]) for i in range(3)]))


def test_the_graph_goes_on_outside():
    x, w = t(3, 4, requires_grad=True), t(4, requires_grad=True)
    func.vmap(lambda r: (r * w).tanh().sum())(x).square().sum().backward()
    gx, gw = x.grad, w.grad
    x.grad = w.grad = None
    (x * w).tanh().sum(1).square().sum().backward()
    same(gx, x.grad)
    same(gw, w.grad)


def test_under_no_grad_and_grad_modes():
    w = t(4, requires_grad=True)
    with tensorgrad.no_grad():
        assert not func.vmap(lambda r: r * w)(t(3, 4)).requires_grad
    seen = []
    func.vmap(lambda r: seen.append((r * w).requires_grad) or r.detach() * w)(t(3, 4))
    assert seen == [True]


def test_an_op_of_the_user_is_looped_over():
    from tensorgrad.autograd import op, registry

    @op(gradient=lambda gy, y, x: gy * 3 * x**2, saves=("x",), reference=None, method=False)
    def cube_in_vmap(x: Tensor) -> Tensor:
        """x^3"""
        assert x.ndim == 1
        return x * x * x

    try:
        x = t(3, 4)
        same(func.vmap(cube_in_vmap)(x), x.numpy() ** 3)
        same(func.vmap(func.grad(lambda r: cube_in_vmap(r).sum()))(x), 3 * x.numpy() ** 2)
        with pytest.raises(TransformError, match="cube_in_vmap.*no elements"):
            func.vmap(cube_in_vmap)(t(0, 4))
    finally:
        del registry["cube_in_vmap"]


@pytest.mark.parametrize(
    "batching", ["elementwise", "trailing", "matrices", "along", "reduction", "rule"]
)
def test_batching_rules_that_an_op_declares(batching):
    from tensorgrad.autograd import op, registry

    sizes = []

    def declared(function, **more):
        return op(
            gradient=None,
            reference=None,
            method=False,
            batching=(lambda c: c.run(*c.values, axis=2)) if batching == "rule" else batching,
        )(function)

    try:
        x = t(3, 4, 5)
        if batching in ("elementwise", "trailing", "matrices"):

            def op_with_rule(a: Tensor, b: Tensor) -> Tensor:
                """a + b"""
                sizes.append(a.shape)
                return a + b

            function = declared(op_with_rule)
            same(func.vmap(function, (0, None))(x, x[0]), x.numpy() + x.numpy()[0])
            assert sizes == [(3, 4, 5)]
            b = t(5)
            same(func.vmap(function, (0, None))(x, b), x.numpy() + b.numpy())
            assert len(sizes) == (2 if batching == "elementwise" else 4)
            sizes.clear()
            same(func.vmap(function)(x[0], x[1]), (x[0] + x[1]).numpy())
            assert len(sizes) == (4 if batching == "matrices" else 1)  # which rows are not
        else:

            def op_with_rule(x: Tensor, axis: int = -1) -> Tensor:
                """max"""
                sizes.append(x.shape)
                return x.max(axis) if batching == "reduction" else x - x.max(axis, keepdims=True)

            function = declared(op_with_rule)
            largest = x.numpy().max(2, keepdims=batching != "reduction")
            want = largest if batching == "reduction" else x.numpy() - largest
            same(func.vmap(function)(x), want)
            assert sizes == [(3, 4, 5)]
    finally:
        del registry["op_with_rule"]


# ---- what is refused -----------------------------------------------------------------------------


def test_errors_of_arguments():
    x = t(3, 4)
    with pytest.raises(ArgumentError, match="function"):
        func.vmap(3)
    with pytest.raises(ArgumentError, match="2 arguments, got 1"):
        func.vmap(lambda a, b: a, (0,))(x, x)
    with pytest.raises(ShapeError, match=r"one length.*\[3, 4\]"):
        func.vmap(lambda a, b: a, (0, 1))(x, x)
    with pytest.raises(ArgumentError, match="at least one"):
        func.vmap(lambda a: a, None)(x)
    with pytest.raises(DTypeError, match="2.0; give None"):
        func.vmap(lambda a, b: a)(x, 2.0)
    with pytest.raises(ShapeError, match="without axes"):
        func.vmap(lambda a: a)(tensorgrad.tensor(1.0))
    with pytest.raises(DTypeError, match="return Tensors, got float"):
        func.vmap(lambda a: 1.0)(x)
    with pytest.raises(ArgumentError, match="out_axes is None"):
        func.vmap(lambda a: a, 0, None)(x)
    with pytest.raises(ArgumentError, match="out_axes"):
        func.vmap(lambda a: a, 0, (0, 1))(x)
    with pytest.raises(ArgumentError, match="chunk_size"):
        func.vmap(lambda a: a, chunk_size=0)(x)
    with pytest.raises(IndexOutOfRangeError):
        func.vmap(lambda a: a, 5)(x)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: float(x.sum()),
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: x.tolist(),
        lambda x: x.sum().item(),
        lambda x: x.sum().backward(),
        lambda x: x.requires_grad_(),
        lambda x: x.register_hook(print),
        lambda x: tensorgrad.autograd.grad(x.sum(), x),
        lambda x: int(x[0]),
    ],
)
def test_what_one_of_a_batch_cannot(use):
    with pytest.raises(TransformError, match="vmap"):
        func.vmap(use)(t(3, 4))


def test_one_that_got_away():
    kept = []
    func.vmap(lambda x: kept.append(x) or x)(t(3))
    with pytest.raises(TransformError, match="ended"):
        kept[0] * 2


def test_what_it_says_about_itself():
    def function(x):
        assert isinstance(x, Tensor)
        assert x.shape == (4,)
        assert x.ndim == 1
        assert x.size == 4
        assert x.dtype == np.float64
        assert len(x) == 4
        assert len(list(x)) == 4
        assert not x.is_leaf
        assert not x.requires_grad
        assert x.grad is None
        assert "level=1" in repr(x)
        return x

    func.vmap(function)(t(3, 4))


def test_errors_inside_leave_nothing_behind():
    with pytest.raises(ZeroDivisionError):
        func.vmap(lambda x: 1 / 0)(t(3))
    same(func.vmap(lambda x: x * 2)(tensorgrad.ones(2)), [2.0, 2.0])
    with pytest.raises(ShapeError):
        func.vmap(lambda x: x + tensorgrad.ones(3))(t(2, 4))


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.func imports
def test_as_torch():
    torch = pytest.importorskip("torch")
    x, w = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
    results = []
    for f, make in ((func, tensorgrad.tensor), (torch.func, torch.tensor)):

        def loss(w, x):
            return ((x @ w).tanh() ** 2).sum()

        each = f.vmap(f.grad(loss), (None, 0))(make(w), make(x))
        hess = f.jacfwd(f.jacrev(loss))(make(w), make(x))
        results.append([each.numpy(), hess.numpy()])
    for a, b in zip(*results):
        same(a, b, rtol=1e-10)
