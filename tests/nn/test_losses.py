"""Losses against their formulas, their gradients against central differences, and PyTorch where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn, testing
from tensorgrad.errors import ShapeError
from tensorgrad.nn import functional

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5))
T = RNG.standard_normal((4, 5))
P = RNG.uniform(0.1, 0.9, (4, 5))
Q = RNG.uniform(0.1, 0.9, (4, 5))
Q /= Q.sum(1, keepdims=True)
LABELS = np.array([1, 0, 4, 2])
IGNORED = np.array([1, -100, 4, 2])
WEIGHT = np.array([0.5, 1.0, 2.0, 1.5, 0.7])

CASES = {
    "cross_entropy": (nn.CrossEntropyLoss, {}, X, LABELS),
    "cross_entropy weights, ignored, smoothed": (
        nn.CrossEntropyLoss,
        {"weight": WEIGHT, "label_smoothing": 0.1},
        X,
        IGNORED,
    ),
    "cross_entropy sum": (nn.CrossEntropyLoss, {"reduction": "sum"}, X, LABELS),
    "cross_entropy none": (nn.CrossEntropyLoss, {"reduction": "none"}, X, IGNORED),
    "cross_entropy probabilities": (nn.CrossEntropyLoss, {"label_smoothing": 0.1}, X, Q),
    "nll": (nn.NLLLoss, {"weight": WEIGHT}, X, IGNORED),
    "mse": (nn.MSELoss, {}, X, T),
    "mse none": (nn.MSELoss, {"reduction": "none"}, X, T),
    "l1": (nn.L1Loss, {}, X, T),
    "smooth_l1": (nn.SmoothL1Loss, {"beta": 0.5}, X, T),
    "huber": (nn.HuberLoss, {"delta": 0.7}, X, T),
    "bce": (nn.BCELoss, {}, P, Q),
    "bce logits": (nn.BCEWithLogitsLoss, {"pos_weight": WEIGHT}, X, Q),
    "kl_div": (nn.KLDivLoss, {"reduction": "batchmean"}, np.log(P), Q),
    "kl_div log": (nn.KLDivLoss, {"reduction": "sum", "log_target": True}, np.log(P), np.log(Q)),
}


def made(kind, options, convert):
    return kind(**{k: convert(v) if isinstance(v, np.ndarray) else v for k, v in options.items()})


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    kind, options, x, target = CASES[name]
    criterion = made(kind, options, tg.tensor)
    t = tg.tensor(target)
    assert testing.gradcheck(lambda x: criterion(x, t), [tg.tensor(x, requires_grad=True)])


@pytest.mark.parametrize("name", CASES)
def test_against_pytorch(name):
    torch = pytest.importorskip("torch")
    kind, options, x, target = CASES[name]
    ours = made(kind, options, tg.tensor)(tg.tensor(x), tg.tensor(target))
    theirs = made(getattr(torch.nn, kind.__name__), options, torch.tensor)(
        torch.tensor(x), torch.tensor(target)
    )
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10)


def test_formulas():
    log_p = X - np.log(np.exp(X).sum(1, keepdims=True))
    x = tg.tensor(X)
    assert nn.CrossEntropyLoss()(x, tg.tensor(LABELS)).item() == pytest.approx(
        -log_p[range(4), LABELS].mean()
    )
    assert nn.MSELoss()(x, tg.tensor(T)).item() == pytest.approx(((X - T) ** 2).mean())
    assert nn.L1Loss()(x, tg.tensor(T)).item() == pytest.approx(np.abs(X - T).mean())
    assert nn.BCELoss()(tg.tensor(P), tg.tensor(Q)).item() == pytest.approx(
        -(Q * np.log(P) + (1 - Q) * np.log(1 - P)).mean()
    )


def test_large_logits_stay_finite():
    x = tg.tensor([[1e4, -1e4]], requires_grad=True)
    for loss in (
        functional.binary_cross_entropy_with_logits(x, tg.tensor([[0.0, 1.0]])),
        functional.cross_entropy(x, tg.tensor([1])),
    ):
        (g,) = (tg.autograd.grad(loss, x),)
        assert np.isfinite(loss.item())
        assert np.isfinite(g.numpy()).all()


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ShapeError):
        functional.mse_loss(tg.ones((2, 3)), tg.ones(3))
    with pytest.raises((ShapeError, TypeError)):
        functional.cross_entropy(tg.ones((2, 3)), tg.tensor([0, 1, 2]))
    with pytest.raises(IndexError, match="got 3"):
        functional.cross_entropy(tg.ones((2, 3)), tg.tensor([0, 3]))
    with pytest.raises(ValueError, match="reduction"):
        functional.mse_loss(tg.ones(2), tg.ones(2), reduction="average")


def test_empty_batch():
    x, labels = tg.zeros((0, 3)), tg.zeros(0, dtype="int64")
    assert np.isnan(functional.cross_entropy(x, labels).item())
    assert functional.cross_entropy(x, labels, reduction="sum").item() == 0
