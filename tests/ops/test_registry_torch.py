"""Ops of the registry beside PyTorch's function of the same meaning, where it is installed: every case, values
and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import Op, registry
from tensorgrad.testing import sample_inputs
from tensorgrad.testing._samples import is_varied

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def _words(text: str) -> list[str]:
    return text.split()


SAME = _words(
    "acos acosh asin asinh atan atan2 atanh cos cosh sin sinh tan tanh exp expm1 log "
    "log10 log1p log2 sqrt rsqrt square reciprocal abs sigmoid relu erf erfc erfinv "
    "lgamma digamma sinc hypot logaddexp copysign xlogy add sub mul div maximum minimum "
    "remainder isfinite isinf isnan signbit floor ceil trunc round sign equal less "
    "greater sum mean logsumexp cumsum cumprod logcumsumexp tril triu matmul bmm dot "
    "outer kron inner moveaxis squeeze nansum softmax log_softmax masked_fill lerp "
    "nextafter logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor "
    "unique_values linalg.inv linalg.det linalg.matrix_exp linalg.pinv linalg.svdvals"
)
NAMES = {
    "absolute": "abs",
    "equal": "eq",
    "less": "lt",
    "greater": "gt",
    "unique_values": "unique",
    "linalg.matrix_exp": "matrix_exp",
}
KEYWORDS = {"axis": "dim", "keepdims": "keepdim"}
# Ops whose arguments come in another order (gather, flip, roll, ...) are in test_torch.py and
# test_manipulation.py; cholesky and eigvalsh take the symmetric part of their input, with another gradient.
# Cases that PyTorch has no counterpart for: a tuple of axes, none where it wants one, other dtypes
REFUSED = (TypeError, RuntimeError, NotImplementedError, IndexError, ValueError)


def theirs(name: str) -> Callable[..., Any] | None:
    found: Any = torch
    for part in NAMES.get(name, name).split("."):
        found = getattr(found, part, None)
    return found  # type: ignore[no-any-return]


def compare(op: Op, function: Callable[..., Any]) -> int:
    """The number of cases that could be compared."""
    compared = 0
    for case in op.cases:
        arrays = [a for a in sample_inputs(case) if a is not None]
        varied = is_varied(case)
        params = {KEYWORDS.get(k, k): v for k, v in case.params.items()}
        other = [torch.tensor(a).requires_grad_(v) for a, v in zip(arrays, varied)]
        try:
            expected = function(*other, **params)
        except REFUSED:
            continue
        xs = [tg.tensor(a).requires_grad_(v and op.differentiable) for a, v in zip(arrays, varied)]
        y = op.function(*xs, **case.params)
        if not isinstance(expected, torch.Tensor) or tuple(expected.shape) != y.shape:
            continue  # another meaning of an argument
        np.testing.assert_allclose(
            y.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-10
        )
        compared += 1
        if y.requires_grad and expected.requires_grad:
            gy = np.random.default_rng(2).uniform(0.5, 1.5, y.shape)
            leaves = [x for x in xs if x.requires_grad]
            got = tg.autograd.grad(y, leaves, tg.tensor(gy))
            wanted = torch.autograd.grad(
                expected, [t for t in other if t.requires_grad], torch.tensor(gy)
            )
            for g, w in zip(got, wanted, strict=True):
                np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-7, atol=1e-9)
    return compared


@pytest.mark.parametrize("name", SAME)
def test_same_as_torch(name: str) -> None:
    op, function = registry[name], theirs(name)
    assert function is not None
    assert compare(op, function) > 0
