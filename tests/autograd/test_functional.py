"""autograd.functional, against central differences and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad.autograd import functional, grad
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 3)), RNG.normal(size=3)


def one(x):
    return (x * x).sum(-1).exp() * x[..., 0]


def two(x, w):
    return (x * w).tanh().sum(0), (x @ w).exp()


def scalar(x, w):
    return ((x * w).tanh() * x).sum()


def t(*arrays):
    return tuple(tensorgrad.tensor(a) for a in arrays)


def differences(f, arrays, h=1e-6):
    """By output, by input."""
    outputs = f(*t(*arrays))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    result = [[np.zeros((*y.shape, *a.shape)) for a in arrays] for y in outputs]
    for k, a in enumerate(arrays):
        for i in np.ndindex(a.shape):
            ends = []
            for sign in (1, -1):
                moved = [b.copy() for b in arrays]
                moved[k][i] += sign * h
                ys = f(*t(*moved))
                ends.append([y.numpy() for y in (ys if isinstance(ys, tuple) else (ys,))])
            for o, (up, down) in enumerate(zip(*ends)):
                result[o][k][(..., *i)] = (up - down) / (2 * h)
    return result


def close(a, b, **tolerance):
    np.testing.assert_allclose(a.numpy(), b, **(tolerance or {"rtol": 1e-6, "atol": 1e-8}))


def test_jacobian():
    expected = differences(two, (A, B))
    got = functional.jacobian(two, t(A, B))
    for row, wanted in zip(got, expected):
        for block, want in zip(row, wanted):
            close(block, want)
    close(functional.jacobian(one, *t(A)), differences(one, (A,))[0][0])
    (block,) = functional.jacobian(one, t(A))
    close(block, differences(one, (A,))[0][0])


def test_products():
    expected = differences(two, (A, B))
    us = [RNG.normal(size=3), RNG.normal(size=2)]
    vs = [RNG.normal(size=(2, 3)), RNG.normal(size=3)]
    ys, got = functional.vjp(two, t(A, B), t(*us))
    close(ys[1], np.exp(A @ B))
    for k, g in enumerate(got):
        close(g, sum(np.tensordot(u, expected[o][k], u.ndim) for o, u in enumerate(us)))
    ys, got = functional.jvp(two, t(A, B), t(*vs))
    close(ys[1], np.exp(A @ B))
    for o, g in enumerate(got):
        close(g, sum(np.tensordot(expected[o][k], v, v.ndim) for k, v in enumerate(vs)))


def test_hessian_and_products():
    def gradient(x, w):
        x, w = x.requires_grad_(), w.requires_grad_()
        return tuple(g.detach() for g in grad(scalar(x, w), (x, w)))

    expected = differences(gradient, (A, B))
    got = functional.hessian(scalar, t(A, B))
    for row, wanted in zip(got, expected):
        for block, want in zip(row, wanted):
            close(block, want, rtol=1e-5, atol=1e-7)
    vs = [RNG.normal(size=(2, 3)), RNG.normal(size=3)]
    for product in (functional.hvp, functional.vhp):
        y, got = product(scalar, t(A, B), t(*vs))
        close(y, scalar(*t(A, B)).item())
        for o, g in enumerate(got):
            want = sum(np.tensordot(expected[o][k], v, v.ndim) for k, v in enumerate(vs))
            close(g, want, rtol=1e-5, atol=1e-7)


def test_create_graph():
    x = tensorgrad.tensor(B, requires_grad=True)
    for f in (
        lambda x: functional.jacobian(lambda x: x**3, x, create_graph=True),
        lambda x: functional.vjp(lambda x: x**3, x, tensorgrad.tensor(B) * 0 + 1, True)[1],
        lambda x: functional.jvp(lambda x: x**3, x, tensorgrad.tensor(B) * 0 + 1, True)[1],
    ):
        close(grad(f(x).sum(), x), 6 * B)
    close(
        grad(functional.hessian(lambda x: (x**3).sum(), x, create_graph=True).sum(), x), 6 + 0 * B
    )
    assert not functional.jacobian(one, tensorgrad.tensor(A)).requires_grad
    y, g = functional.vjp(one, x, tensorgrad.tensor(1.0, dtype="float64"))
    assert not y.requires_grad
    assert not g.requires_grad
    assert x.grad is None
    with tensorgrad.no_grad():
        close(functional.jacobian(lambda x: x**2, x, create_graph=True), np.diag(2 * B))


def test_what_does_not_depend():
    x, w = t(A, B)
    _, (_, gw) = functional.vjp(lambda x, w: x.sum(), (x, w))
    close(gw, 0 * B)
    _, g = functional.jvp(lambda x: tensorgrad.ones(2), x, x)
    assert g.tolist() == [0.0, 0.0]
    close(functional.hessian(lambda x: x.sum(), w), np.zeros((3, 3)))
    with pytest.raises(GradientError, match="input 1"):
        functional.vjp(lambda x, w: x.sum(), (x, w), strict=True)
    with pytest.raises(GradientError, match="depend"):
        functional.jvp(lambda x, w: x.sum(), (x, w), (x, w), strict=True)
    with pytest.raises(GradientError, match="depend"):
        functional.jacobian(lambda x: tensorgrad.ones(2), x, strict=True)
    assert functional.jacobian(lambda x: x[:0], w).shape == (0, 3)


def test_errors():
    x = tensorgrad.tensor(B)
    with pytest.raises(ArgumentError, match="vjp.*expected v"):
        functional.vjp(lambda x: x, x)
    with pytest.raises(ShapeError, match=r"vjp.*\(3,\)"):
        functional.vjp(lambda x: x, x, tensorgrad.ones(2))
    with pytest.raises(ShapeError, match="hessian.*one element"):
        functional.hessian(lambda x: x, x)
    with pytest.raises(DTypeError, match="int"):
        functional.jacobian(lambda x: x, tensorgrad.arange(3))
    with pytest.raises(DTypeError, match="float"):
        functional.jacobian(lambda x: 1.0, x)


@pytest.mark.torch
def test_as_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.autograd.functional
    vs, us = (RNG.normal(size=(2, 3)), RNG.normal(size=3)), (RNG.normal(size=3), RNG.normal(size=2))

    def tt(*arrays):
        return tuple(torch.tensor(a) for a in arrays)

    def flat(tree):
        return [v for p in tree for v in flat(p)] if isinstance(tree, tuple) else [tree]

    for name, f, v in (
        ("jacobian", two, None),
        ("hessian", scalar, None),
        ("vjp", two, us),
        ("jvp", two, vs),
        ("hvp", scalar, vs),
        ("vhp", scalar, vs),
    ):
        ours = getattr(functional, name)(f, t(A, B), *([t(*v)] if v else []))
        other = getattr(theirs, name)(f, tt(A, B), *([tt(*v)] if v else []))
        for a, b in zip(flat(ours), flat(other), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10)
