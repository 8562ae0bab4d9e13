"""grad, vjp, jvp, jacobians, and functional_call: alone, nested, and with vmap."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad import func, nn
from tensorgrad.autograd import functional
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(0)


def t(*shape, **options):
    return tensorgrad.tensor(RNG.normal(size=shape), **options)


def same(a, b, **tolerance):
    np.testing.assert_allclose(
        a.detach().numpy(), np.asarray(b), **(tolerance or {"rtol": 1e-10, "atol": 1e-12})
    )


def scalar(x, w):
    return ((x @ w).tanh() * x[:2]).sum()


def two(x, w):
    return {"a": (x @ w).exp(), "b": (x.square().sum() * w[0],)}


X, W = t(3), t(3, 2)


def test_grad():
    gx, gw = functional.vjp(scalar, (X, W), tensorgrad.tensor(1.0, dtype="float64"))[1]
    same(func.grad(scalar)(X, W), gx)
    same(func.grad(scalar, 1)(X, W), gw)
    same(func.grad(scalar, -1)(X, W), gw)
    both = func.grad(scalar, (1, 0))(X, W)
    same(both[0], gw)
    same(both[1], gx)
    value, g = func.value_and_grad(scalar)(X, W)
    same(value, scalar(X, W).item())
    assert not value.requires_grad
    assert not g.requires_grad


def test_grad_of_trees_with_aux():
    def loss(params, scale):
        y = (params["x"] @ params["w"][0]) * scale
        return y.sum(), {"y": y}

    (value, aux), g = func.value_and_grad(loss, has_aux=True)({"x": X, "w": [W]}, 2.0)
    same(value, 2 * (X.numpy() @ W.numpy()).sum())
    assert not aux["y"].requires_grad
    same(g["x"], 2 * W.numpy().sum(1))
    same(g["w"][0], np.stack([2 * X.numpy()] * 2, 1))
    g, aux = func.grad(loss, has_aux=True)({"x": X, "w": [W]}, 2.0)
    assert set(g) == {"x", "w"}
    assert aux["y"].shape == (2,)


def test_grad_nests():
    f = lambda x: x**5  # noqa: E731
    x = tensorgrad.tensor(1.5, dtype="float64")
    same(func.grad(func.grad(func.grad(f)))(x), 60 * 1.5**2)
    inner = lambda x: func.grad(lambda y: x * y**3)(x)  # 3 x^3  # noqa: E731
    same(func.grad(inner)(x), 9 * 1.5**2)
    w = t(3)
    by_closure = lambda w: func.grad(lambda x: (x**2 * w).sum())(X).sum()  # noqa: E731
    same(func.grad(by_closure)(w), 2 * X.numpy())
    constant = lambda x: func.grad(lambda y: y * 2)(x) * x  # noqa: E731
    same(func.grad(constant)(x), 2.0)


def test_gradients_of_gradients_reach_what_is_outside():
    w = t(3, 2, requires_grad=True)
    g = func.grad(lambda x: (x @ w).tanh().sum())(X)
    assert g.requires_grad
    g.square().sum().backward()
    got, w.grad = w.grad, None
    x = X.detach().requires_grad_()
    y = (x @ w).tanh().sum()
    tensorgrad.autograd.grad(y, x, create_graph=True).square().sum().backward()
    same(got, w.grad.numpy())
    x = X.detach().requires_grad_()
    func.grad(lambda x: (x**3).sum())(x).sum().backward()
    same(x.grad, 6 * X.numpy())
    with tensorgrad.no_grad():
        g = func.grad(lambda x: (x @ w).tanh().sum())(X)
        assert not g.requires_grad


def test_what_is_not_used_has_zeros():
    same(func.grad(lambda x, w: x.sum(), 1)(X, W), np.zeros((3, 2)))
    same(func.grad(lambda x: tensorgrad.ones(()))(X), np.zeros(3))
    same(func.jacrev(lambda x: tensorgrad.ones(2, "float64"))(X), np.zeros((2, 3)))
    same(func.jacfwd(lambda x: tensorgrad.ones(2, "float64"))(X), np.zeros((2, 3)))


def test_vjp_and_jvp():
    j = func.jacrev(two, (0, 1))(X, W)
    y, pull = func.vjp(two, X, W)
    same(y["a"], two(X, W)["a"].numpy())
    u = {"a": t(2), "b": (t(2),)}
    for _ in range(2):
        for k, g in enumerate(pull(u)):
            want = np.tensordot(u["a"].numpy(), j["a"][k].numpy(), 1)
            same(g, want + np.tensordot(u["b"][0].numpy(), j["b"][0][k].numpy(), 1))
    v = (t(3), t(3, 2))
    _, d = func.jvp(two, (X, W), v)
    for got, blocks in ((d["a"], j["a"]), (d["b"][0], j["b"][0])):
        same(got, sum(np.tensordot(b.numpy(), s.numpy(), s.ndim) for b, s in zip(blocks, v)))
    h = 1e-6
    moved = [two(*(p + s * (sign * h) for p, s in zip((X, W), v)))["a"].numpy() for sign in (1, -1)]
    same(d["a"], (moved[0] - moved[1]) / (2 * h), rtol=1e-6)
    *_, aux = func.vjp(lambda x: (x, x * 2), X, has_aux=True)
    same(aux, 2 * X.numpy())
    *_, aux = func.jvp(lambda x: (x, x * 2), (X,), (X,), has_aux=True)
    same(aux, 2 * X.numpy())


def test_products_are_differentiable():
    w = t(3, requires_grad=True)
    v = t(3, requires_grad=True)
    _, d = func.jvp(lambda x: x**3 * w, (X,), (v,))
    assert d.requires_grad
    gw, gv = tensorgrad.autograd.grad(d.sum(), (w, v))
    same(gw, 3 * X.numpy() ** 2 * v.detach().numpy())
    same(gv, 3 * X.numpy() ** 2 * w.detach().numpy())
    d = func.jvp(lambda x: x**3, (X,), (v,))[1]
    same(tensorgrad.autograd.grad(d.sum(), v), 3 * X.numpy() ** 2)
    _, pull = func.vjp(lambda x: x**3, X)
    same(tensorgrad.autograd.grad(pull(v)[0].sum(), v), 3 * X.numpy() ** 2)
    same(func.grad(lambda x: func.jvp(lambda y: y**3, (x,), (x,))[1].sum())(X), 9 * X.numpy() ** 2)
    directional = func.jvp(lambda x: func.grad(lambda y: (y**3).sum())(x), (X,), (v.detach(),))[1]
    same(directional, 6 * X.numpy() * v.detach().numpy())


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_jacobians(chunk):
    want = functional.jacobian(lambda x, w: (*two(x, w)["b"], two(x, w)["a"]), (X, W))
    for transform in (func.jacrev, func.jacfwd):
        got = transform(two, (0, 1), chunk_size=chunk)(X, W)
        for k in range(2):
            same(got["b"][0][k], want[0][k].numpy())
            same(got["a"][k], want[1][k].numpy())
        same(transform(two, 1)(X, W)["a"], want[1][1].numpy())
        jacobian, aux = transform(lambda x: (x * 2, x), has_aux=True)(X)
        same(jacobian, 2 * np.eye(3))
        same(aux, X.numpy())


def test_hessians():
    want = functional.hessian(lambda x: scalar(x, W), X)
    f = lambda x: scalar(x, W)  # noqa: E731
    r, w = func.jacrev, func.jacfwd
    for transform in (func.hessian, *(lambda f, a=a, b=b: a(b(f)) for a in (r, w) for b in (r, w))):
        same(transform(f)(X), want.numpy())
    x = t(4, 3)
    each = func.vmap(func.hessian(f))(x)
    for i in range(4):
        same(each[i], functional.hessian(f, x[i]).numpy())


def test_with_vmap():
    x = t(4, 3)
    f = lambda x: (x @ W).tanh()  # noqa: E731
    for transform in (func.jacrev, func.jacfwd):
        got = func.vmap(transform(f))(x)
        for i in range(4):
            same(got[i], functional.jacobian(f, x[i]).numpy())
    got = func.vmap(lambda x, v: func.jvp(f, (x,), (v,))[1])(x, x)
    for i in range(4):
        same(got[i], functional.jvp(f, x[i], x[i])[1].numpy())
    got = func.vmap(func.grad(scalar, 1), (0, None))(x, W)
    for i in range(4):
        same(got[i], func.grad(scalar, 1)(x[i], W).numpy())
    # a gradient of a mean over a batch, by what is outside the batch
    got = func.grad(lambda w: func.vmap(lambda x: scalar(x, w))(x).mean())(W)
    same(got, np.mean([func.grad(scalar, 1)(x[i], W).numpy() for i in range(4)], 0))
    # two batches, of which each gradient is its own
    ws = t(2, 3, 2)
    got = func.vmap(lambda w: func.vmap(lambda x: func.grad(scalar, 1)(x, w))(x))(ws)
    for i in range(2):
        for j in range(4):
            same(got[i, j], func.grad(scalar, 1)(x[j], ws[i]).numpy())
    # grad of vmap of grad
    total = lambda w: func.vmap(lambda x: func.grad(scalar)(x, w).square().sum())(x).sum()  # noqa: E731
    want = func.grad(lambda w: sum(func.grad(scalar)(x[i], w).square().sum() for i in range(4)))
    same(func.grad(total)(W), want(W).numpy())


def test_cotangents_and_tangents_of_several_batches():
    x, u = t(4, 3), t(5, 3)
    slope = 1 - np.tanh(x.numpy()) ** 2
    want = slope[:, None] * u.numpy() * x.numpy()[:, None]

    def pulled(x):
        _, pull = func.vjp(tensorgrad.tanh, x)
        return func.vmap(lambda u: pull(u * x)[0])(u)

    same(func.vmap(pulled)(x), want)

    def pushed(x):
        return func.vmap(lambda u: func.jvp(tensorgrad.tanh, (x,), (u * x,))[1])(u)

    same(func.vmap(pushed)(x), want)


def test_per_sample_gradients_of_a_module():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3)).double()
    params = {name: p.detach() for name, p in model.named_parameters()}
    x, labels = t(5, 4), tensorgrad.tensor([0, 2, 1, 1, 0])

    def loss(params, x, label):
        y = func.functional_call(model, params, x)
        return nn.functional.cross_entropy(y[None], label[None])

    got = func.vmap(func.grad(loss), (None, 0, 0))(params, x, labels)
    for i in range(5):
        model.zero_grad()
        nn.functional.cross_entropy(model(x[i : i + 1]), labels[i : i + 1]).backward()
        for name, p in model.named_parameters():
            same(got[name][i], p.grad.numpy())
    ensemble = {name: tensorgrad.stack([p, p * 2]) for name, p in params.items()}
    got = func.vmap(lambda p: func.functional_call(model, p, x))(ensemble)
    same(got[0], model(x).detach().numpy())
    same(got[1], func.functional_call(model, {n: p * 2 for n, p in params.items()}, (x,)).numpy())


def test_functional_call():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(2.0)
            self.inner = nn.ReLU()
            self.inner.register_parameter("b", self.a)
            self.register_buffer("shift", tensorgrad.ones(()))

        def forward(self, x, *, k=1.0):
            return x * self.a * self.inner.b * k + self.shift

    model = Tied()
    x = tensorgrad.ones(())
    three, zero = tensorgrad.tensor(3.0), tensorgrad.tensor(0.0)
    assert func.functional_call(model, {"a": three, "shift": zero}, x, {"k": 2.0}).item() == 18.0
    assert model(x).item() == 5.0
    assert isinstance(model.a, nn.Parameter)
    with pytest.raises(ZeroDivisionError):
        func.functional_call(model, {"a": three}, (1 / 0,))
    with pytest.raises(ArgumentError, match="Tied has no parameter or buffer named c"):
        func.functional_call(model, {"c": three}, x)
    with pytest.raises(DTypeError, match="for a"):
        func.functional_call(model, {"a": 3.0}, x)


def test_hooks_and_checkpoint_inside():
    w = t(3, requires_grad=True)
    f = lambda x: tensorgrad.autograd.checkpoint(lambda x: (x * w).tanh().sum(), x)  # noqa: E731
    same(func.grad(f)(X), func.grad(lambda x: (x * w).tanh().sum())(X).detach().numpy())
    x = t(4, 3)
    want = func.vmap(func.grad(lambda x: (x * w).tanh().sum()))(x)
    same(func.vmap(func.grad(f))(x), want.detach().numpy())
    func.vmap(f)(x).sum().backward()  # runs f again, when vmap has ended
    got, w.grad = w.grad, None
    (x * w).tanh().sum().backward()
    same(got, w.grad.numpy())


@pytest.mark.parametrize("off", [tensorgrad.no_grad, tensorgrad.inference_mode])
def test_where_nothing_is_recorded(off):
    with off():
        same(func.grad(lambda x: (x**3).sum())(X), 3 * X.numpy() ** 2)
        same(func.jvp(lambda x: x**3, (X,), (X,))[1], 3 * X.numpy() ** 3)
        same(func.hessian(lambda x: (x**3).sum())(X), np.diag(6 * X.numpy()))
        same(functional.jacobian(lambda x: x**2, X), np.diag(2 * X.numpy()))
        assert not tensorgrad.is_grad_enabled()
    assert tensorgrad.is_grad_enabled()


def test_errors():
    with pytest.raises(ShapeError, match=r"one element, got \(3,\)"):
        func.grad(lambda x: x)(X)
    with pytest.raises(ShapeError, match="tuple"):
        func.grad(lambda x: (x.sum(), x))(X)
    with pytest.raises(DTypeError, match="return Tensors, got float"):
        func.grad(lambda x: 1.0)(X)
    with pytest.raises(DTypeError, match="int64"):
        func.grad(lambda x: x.sum())(tensorgrad.arange(3))
    with pytest.raises(ArgumentError, match="argnums among 1"):
        func.grad(lambda x: x.sum(), 1)(X)
    with pytest.raises(ArgumentError, match="has_aux"):
        func.grad(lambda x: x.sum(), has_aux=True)(X)
    _, pull = func.vjp(lambda x: x, X)
    with pytest.raises(ShapeError, match=r"\(3,\), got \(2,\)"):
        pull(tensorgrad.ones(2))
    with pytest.raises(ArgumentError, match="1 tensors"):
        pull((X, X))
    with pytest.raises(ArgumentError, match="1 tangents"):
        func.jvp(lambda x: x, (X,), (X, X))
