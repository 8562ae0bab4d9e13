"""Losses, first values and clipping where it is hard: edges, kinks, large and infinite values, bad arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn, testing
from tensorgrad.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    IndexOutOfRangeError,
    ShapeError,
)
from tensorgrad.nn import functional as F  # noqa: N812
from tensorgrad.nn import init, utils

RNG = np.random.default_rng(1)


def with_gradient(function, values):
    """The value and the gradient of sum(function(x)), as arrays."""
    x = tg.tensor(values, requires_grad=True)
    y = function(x)
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()


# ---- shapes of cross-entropy and the negative log-likelihood


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 4, 3), (2, 4, 3, 2)])
@pytest.mark.parametrize("kind", ["indices", "probabilities", "nll"])
def test_classes_against_pytorch(kind, shape, reduction):
    torch = pytest.importorskip("torch")
    x = RNG.standard_normal(shape)
    weight = np.array([0.5, 1.0, 2.0, 0.1])
    label_shape = shape[:1] + shape[2:] if len(shape) > 1 else ()
    name = "nll_loss" if kind == "nll" else "cross_entropy"
    options = {"reduction": reduction}
    if kind == "probabilities":
        target = RNG.random(shape)
        options["label_smoothing"] = 0.2
    else:
        target = np.asarray(RNG.integers(0, 4, label_shape))
        options["ignore_index"] = 2
        if not label_shape:
            target = np.asarray(1)
    ours = tg.tensor(x, requires_grad=True)
    theirs = torch.tensor(x, requires_grad=True)
    y = getattr(F, name)(ours, tg.tensor(target), tg.tensor(weight), **options)
    z = getattr(torch.nn.functional, name)(
        theirs, torch.tensor(target), torch.tensor(weight), **options
    )
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_classes_by_numpy():
    x = RNG.standard_normal((2, 4, 3))
    labels = RNG.integers(0, 4, (2, 3))
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    expected = -np.take_along_axis(log_p, labels[:, None], 1)[:, 0]
    got = F.cross_entropy(tg.tensor(x), tg.tensor(labels), reduction="none").numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    got = F.nll_loss(tg.tensor(log_p), tg.tensor(labels)).item()
    assert got == pytest.approx(expected.mean())


def test_every_label_ignored():
    x, labels = tg.zeros((2, 3), requires_grad=True), tg.tensor([-100, -100])
    assert math.isnan(F.cross_entropy(x, labels).item())
    assert math.isnan(F.nll_loss(x, labels).item())
    assert F.nll_loss(x, labels, reduction="sum").item() == 0.0
    assert F.nll_loss(x, labels, reduction="none").tolist() == [0.0, 0.0]


def test_bad_classes_are_named():
    x = tg.zeros((2, 3))
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(IndexOutOfRangeError, match="-1 at position 1"):
            loss(x, tg.tensor([0, -1]))
        with pytest.raises(DTypeError, match="float32"):
            loss(x, tg.tensor([0.0, 1.0]))
        with pytest.raises(ShapeError, match=r"\(2, 1\)"):
            loss(x, tg.tensor([[0], [1]]))
        with pytest.raises(ShapeError, match=r"weight of shape \(3,\)"):
            loss(x, tg.tensor([0, 1]), tg.ones(2))
        with pytest.raises(ArgumentError, match="reduction"):
            loss(x, tg.tensor([0, 1]), reduction="max")
        with pytest.raises(DTypeError):
            loss(tg.zeros((2, 3), dtype="int64"), tg.tensor([0, 1]))
    with pytest.raises(DTypeError, match="probabilities"):
        F.cross_entropy(x, tg.zeros((2, 3), dtype="int64"))
    with pytest.raises(ArgumentError, match="ignore_index"):
        F.cross_entropy(x, tg.ones((2, 3)), ignore_index=1)
    with pytest.raises(ArgumentError, match="label_smoothing"):
        nn.CrossEntropyLoss(label_smoothing=1.5)
    with pytest.raises(ArgumentError, match="MSELoss"):
        nn.MSELoss(reduction="batchmean")


# ---- regression


def test_huber_and_smooth_l1_at_the_kink_and_at_infinity():
    d = [-np.inf, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, np.inf]
    zeros = tg.zeros(len(d), dtype="float64")
    value, gradient = with_gradient(lambda x: F.smooth_l1_loss(x, zeros, "none"), np.array(d))
    np.testing.assert_array_equal(value, [np.inf, 2.5, 0.5, 0.125, 0, 0.125, 0.5, 2.5, np.inf])
    np.testing.assert_array_equal(gradient, [-1, -1, -1, -0.5, 0, 0.5, 1, 1, 1])
    value, gradient = with_gradient(lambda x: F.huber_loss(x, zeros, "none", 2.0), np.array(d))
    np.testing.assert_array_equal(value, [np.inf, 4, 0.5, 0.125, 0, 0.125, 0.5, 4, np.inf])
    np.testing.assert_array_equal(gradient, [-2, -2, -1, -0.5, 0, 0.5, 1, 2, 2])
    assert math.isnan(F.huber_loss(tg.tensor([math.nan]), tg.zeros(1)).item())


def test_beta_and_delta():
    x, y = tg.tensor([1.0, 5.0]), tg.zeros(2)
    assert F.smooth_l1_loss(x, y, beta=0.0).item() == F.l1_loss(x, y).item() == 3.0
    for bad in (-1.0, math.nan):
        with pytest.raises(ArgumentError, match="beta"):
            nn.SmoothL1Loss(beta=bad)
        with pytest.raises(ArgumentError, match="delta"):
            F.huber_loss(x, y, delta=bad)
    with pytest.raises(ArgumentError, match="delta"):
        nn.HuberLoss(delta=0)


@pytest.mark.parametrize(
    "loss",
    [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.kl_div, F.binary_cross_entropy],
)
def test_shapes_never_broadcast(loss):
    with pytest.raises(ShapeError, match=r"\(2, 1\) and \(2,\)"):
        loss(tg.full((2, 1), 0.5), tg.full(2, 0.5))
    with pytest.raises(DTypeError, match="int64"):
        loss(tg.zeros(2, dtype="int64"), tg.zeros(2))
    assert loss(tg.full((0, 3), 0.5), tg.full((0, 3), 0.5), reduction="sum").item() == 0


# ---- yes or no


def test_binary_cross_entropy_at_certainty():
    p, t = np.array([0.0, 0.0, 1.0, 1.0, 0.25]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    value, gradient = with_gradient(
        lambda p: F.binary_cross_entropy(p, tg.tensor(t), reduction="none"), p
    )
    np.testing.assert_allclose(value, [0, 100, 100, 0, math.log(4)], rtol=1e-12)
    np.testing.assert_allclose(gradient, [0, -1e12, 1e12, 0, -4], rtol=1e-12)
    with pytest.raises(ArgumentError, match="logits"):
        F.binary_cross_entropy(tg.tensor([1.5]), tg.tensor([1.0]))
    assert math.isnan(F.binary_cross_entropy(tg.tensor([math.nan]), tg.tensor([1.0])).item())


def test_binary_cross_entropy_as_pytorch():
    torch = pytest.importorskip("torch")
    p, t = np.array([0.0, 0.0, 1.0, 1.0, 0.3]), np.array([0.0, 1.0, 0.5, 1.0, 0.2])
    w = np.array([1.0, 0.5, 2.0, 1.0, 3.0])
    ours, theirs = tg.tensor(p, requires_grad=True), torch.tensor(p, requires_grad=True)
    a = nn.BCELoss(tg.tensor(w))(ours, tg.tensor(t))
    b = torch.nn.BCELoss(torch.tensor(w))(theirs, torch.tensor(t))
    a.backward()
    b.backward()
    assert a.item() == pytest.approx(b.item(), rel=1e-12)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-8)


def test_logits_far_out_keep_their_digits():
    x = np.array([1e4, -1e4, 1e4, -1e4, 30.0, -30.0])
    t = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    value, gradient = with_gradient(
        lambda x: F.binary_cross_entropy_with_logits(x, tg.tensor(t), reduction="none"), x
    )
    small = math.log1p(math.exp(-30.0))
    np.testing.assert_allclose(value, [0, 1e4, 1e4, 0, small, small], rtol=1e-12)
    np.testing.assert_allclose(gradient[:4], [0, -1, 1, 0])
    assert gradient[4] == pytest.approx(-math.exp(-30), rel=1e-9)


def test_weights_must_broadcast_to_the_loss():
    x = tg.zeros((2, 3))
    F.binary_cross_entropy_with_logits(x, x, tg.ones(3), pos_weight=tg.ones((2, 1)))
    with pytest.raises(ShapeError, match="weight"):
        F.binary_cross_entropy_with_logits(x, x, tg.ones((4, 2, 3)))


def test_divergence_where_the_target_is_zero():
    x = tg.tensor([[-1.0, -2.0]], requires_grad=True)
    target = tg.tensor([[0.0, 1.0]], requires_grad=True)
    loss = F.kl_div(x, target, reduction="batchmean")
    assert loss.item() == 2.0
    loss.backward()
    assert x.grad.tolist() == [[0.0, -1.0]]
    assert np.isfinite(target.grad.numpy()).all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, t: F.binary_cross_entropy(x.sigmoid(), t),
        F.binary_cross_entropy_with_logits,
        F.mse_loss,
        F.huber_loss,
        lambda x, t: F.kl_div(F.log_softmax(x), t, reduction="sum"),
        lambda x, t: F.cross_entropy(x, t),
    ],
)
def test_second_derivatives(loss):
    t = tg.tensor(RNG.uniform(0.2, 0.8, (3, 4)))
    x = tg.tensor(RNG.uniform(-1, 1, (3, 4)), requires_grad=True)
    assert testing.gradgradcheck(lambda x: loss(x, t), [x])


# ---- functions without a loss


def test_dropout_edges():
    x = tg.ones(4, requires_grad=True)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 1.0).tolist() == [0.0] * 4
    a, b = (F.dropout(tg.ones(50), generator=tg.Generator(1)).tolist() for _ in range(2))
    assert a == b
    y = F.dropout(x, 0.5)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match="Dropout"):
            nn.Dropout(p)


def test_softplus_with_beta_and_threshold():
    x = np.array([-2.0, 0.0, 0.5, 30.0])
    np.testing.assert_allclose(
        F.softplus(tg.tensor(x), beta=2.0).numpy(), np.logaddexp(0, 2 * x) / 2, rtol=1e-12
    )
    assert F.softplus(tg.tensor([0.5]), threshold=0.0).item() == 0.5


def test_one_hot_as_pytorch():
    assert F.one_hot(tg.tensor([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert F.one_hot(tg.tensor([0]), 2).dtype == tg.int64
    with pytest.raises(IndexOutOfRangeError):
        F.one_hot(tg.tensor([3]), 2)


# ---- first values


def test_init_writes_in_place_off_the_tape():
    p = nn.Parameter(tg.zeros((3, 4)))
    for function in (
        init.uniform_,
        init.normal_,
        init.trunc_normal_,
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
        init.orthogonal_,
    ):
        assert function(p, generator=tg.Generator(0)) is p
        first = p.tolist()
        assert p.is_leaf
        assert function(p, generator=tg.Generator(0)).tolist() == first
        assert function(p, generator=tg.Generator(1)).tolist() != first
    assert init.eye_(p).tolist() == np.eye(3, 4).tolist()
    assert init.constant_(p, 2.5).tolist() == [[2.5] * 4] * 3


def test_trunc_normal_has_the_truncated_distribution():
    x = init.trunc_normal_(tg.empty(200_000, dtype="float64"), 1.0, 2.0, 0.0, 4.0).numpy()
    assert x.min() >= 0.0
    assert x.max() <= 4.0
    # mean + std * (pdf(a) - pdf(b)) / (cdf(b) - cdf(a)), at a = -0.5 and b = 1.5 standard deviations
    pdf = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (-0.5, 1.5)]
    cdf = [0.5 * (1 + math.erf(z / math.sqrt(2))) for z in (-0.5, 1.5)]
    assert x.mean() == pytest.approx(1 + 2 * (pdf[0] - pdf[1]) / (cdf[1] - cdf[0]), abs=0.01)


def test_orthogonal_of_any_shape():
    for shape in ((5, 3), (3, 5), (4, 2, 2)):
        m = init.orthogonal_(tg.empty(shape, dtype="float64"), gain=2.0).numpy()
        m = m.reshape(shape[0], -1)
        small = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
        np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_gains_and_bad_arguments():
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 0.0) == math.sqrt(2)
    with pytest.raises(ArgumentError, match="swish"):
        init.calculate_gain("swish")
    with pytest.raises(ShapeError, match="xavier_uniform_"):
        init.xavier_uniform_(tg.empty(3))
    with pytest.raises(ArgumentError, match="fan"):
        init.kaiming_normal_(tg.empty((2, 2)), mode="in")
    with pytest.raises(ArgumentError, match="trunc_normal_"):
        init.trunc_normal_(tg.empty(2), a=1.0, b=1.0)


# ---- clipping


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_clip_grad_norm_by_numpy(norm_type):
    ps = [nn.Parameter(tg.zeros((2, 3))), nn.Parameter(tg.zeros(4, dtype="float64"))]
    arrays = [RNG.standard_normal(p.shape).astype(p.dtype) for p in ps]
    for p, array in zip(ps, arrays, strict=True):
        p.grad = tg.tensor(array)
    flat = np.concatenate([a.ravel() for a in arrays])
    norm = np.linalg.norm(flat, norm_type)
    total = utils.clip_grad_norm_(ps, 0.5, norm_type)
    assert total.item() == pytest.approx(norm, rel=1e-6)
    for p, array in zip(ps, arrays, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), array * 0.5 / norm, rtol=1e-5)
    before = ps[0].grad.tolist()
    utils.clip_grad_norm_(ps, 100.0, norm_type)
    assert ps[0].grad.tolist() == before


def test_clip_grad_norm_of_what_is_not_finite():
    p = nn.Parameter(tg.zeros(2))
    assert utils.clip_grad_norm_([p], 1.0).item() == 0.0
    p.grad = tg.tensor([math.nan, 1.0])
    with pytest.raises(GradientError, match="nan"):
        utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad[1].item() == 1.0
    assert math.isnan(utils.clip_grad_norm_(p, 1.0).item())
    assert np.isnan(p.grad.numpy()).all()
    with pytest.raises(ArgumentError, match="max_norm"):
        utils.clip_grad_norm_([p], -1.0)


def test_clip_grad_norm_of_a_strided_gradient():
    p = nn.Parameter(tg.zeros((2, 3)))
    p.grad = tg.tensor(np.full((3, 2), 2.0, np.float32)).T
    utils.clip_grad_norm_([p], math.sqrt(6))
    np.testing.assert_allclose(p.grad.numpy(), np.ones((2, 3)), rtol=1e-5)


def test_clip_grad_value_and_vectors():
    p = nn.Parameter(tg.zeros(3))
    p.grad = tg.tensor([-5.0, 0.25, 5.0])
    utils.clip_grad_value_([p], 1)
    assert p.grad.tolist() == [-1.0, 0.25, 1.0]
    model = nn.Linear(2, 2)
    vector = utils.parameters_to_vector(model.parameters())
    utils.vector_to_parameters(vector.detach() * 0.0 + 1.0, model.parameters())
    assert model.bias.tolist() == [1.0, 1.0]
    with pytest.raises(ShapeError):
        utils.vector_to_parameters(tg.zeros(5), model.parameters())
