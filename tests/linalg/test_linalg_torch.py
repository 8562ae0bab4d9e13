"""Values and gradients of linalg as PyTorch has them, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import linalg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def square(n: int = 4) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((2, n, n)) + 3 * np.eye(n)


def any_matrix(m: int, n: int) -> np.ndarray:
    return np.random.default_rng([m, n]).standard_normal((2, m, n))


def definite(x: Any) -> Any:
    return x @ x.mT


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[np.ndarray]]] = {
    "inv": (linalg.inv, torch.linalg.inv, [square()]),
    "det": (linalg.det, torch.linalg.det, [square()]),
    "slogdet": (lambda x: linalg.slogdet(x)[1], lambda x: torch.linalg.slogdet(x)[1], [square()]),
    "solve": (linalg.solve, torch.linalg.solve, [square(), any_matrix(4, 3)]),
    "solve_triangular": (
        lambda a, b: linalg.solve_triangular(a, b, upper=True),
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=True),
        [square(), any_matrix(4, 3)],
    ),
    "pinv": (linalg.pinv, torch.linalg.pinv, [any_matrix(4, 3)]),
    "pinv wide": (linalg.pinv, torch.linalg.pinv, [any_matrix(3, 4)]),
    "cholesky": (
        lambda x: linalg.cholesky(definite(x)),
        lambda x: torch.linalg.cholesky(definite(x)),
        [square()],
    ),
    "qr": (lambda x: linalg.qr(x).Q, lambda x: torch.linalg.qr(x).Q, [any_matrix(4, 3)]),
    "qr wide": (lambda x: linalg.qr(x).R, lambda x: torch.linalg.qr(x).R, [any_matrix(3, 4)]),
    "eigh": (
        lambda x: (lambda w, v: v**2 * w)(*linalg.eigh(x + x.mT)),
        lambda x: (lambda w, v: v**2 * w)(*torch.linalg.eigh(x + x.mT)),
        [square()[0]],
    ),
    "eigvalsh": (
        lambda x: linalg.eigvalsh(x + x.mT),
        lambda x: torch.linalg.eigvalsh(x + x.mT),
        [square()],
    ),
    "svd": (
        lambda x: (lambda u, s, vh: (u**2) @ (vh**2) * s[0])(*linalg.svd(x, full_matrices=False)),
        lambda x: (lambda u, s, vh: (u**2) @ (vh**2) * s[0])(
            *torch.linalg.svd(x, full_matrices=False)
        ),
        [any_matrix(4, 3)[0]],
    ),
    "svdvals": (linalg.svdvals, torch.linalg.svdvals, [any_matrix(4, 3)]),
    "matrix_exp": (linalg.matrix_exp, torch.linalg.matrix_exp, [square()]),
    "matrix_power": (
        lambda x: linalg.matrix_power(x, -3),
        lambda x: torch.linalg.matrix_power(x, -3),
        [square()],
    ),
    "cond": (linalg.cond, torch.linalg.cond, [square()]),
    "cross": (linalg.cross, torch.linalg.cross, [any_matrix(4, 3), any_matrix(4, 3) + 1]),
    **{
        f"matrix_norm {order}": (
            lambda x, order=order: linalg.matrix_norm(x, ord=order),
            lambda x, order=order: torch.linalg.matrix_norm(x, ord=order),
            [any_matrix(4, 3)],
        )
        for order in ("fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf"))
    },
    **{
        f"vector_norm {order}": (
            lambda x, order=order: linalg.vector_norm(x, ord=order, axis=-1),
            lambda x, order=order: torch.linalg.vector_norm(x, ord=order, dim=-1),
            [any_matrix(4, 3)],
        )
        for order in (1, 2, 3.5, 0.5, -1, float("inf"), -float("inf"))
    },
    "einsum": (
        lambda a, b, c: tg.einsum("bij,bkj,bl->ikl", a, b, c),
        lambda a, b, c: torch.einsum("bij,bkj,bl->ikl", a, b, c),
        [any_matrix(4, 3), any_matrix(5, 3), any_matrix(2, 3)[0]],
    ),
    "kron": (tg.kron, torch.kron, [any_matrix(2, 3), any_matrix(3, 2)]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients(name: str) -> None:
    ours, theirs, arrays = PAIRS[name]
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = ours(*xs), theirs(*ts)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), 1e-8, 1e-9)
    gy = np.random.default_rng(9).uniform(0.5, 1.5, y.shape)
    (y * tg.tensor(gy)).sum().backward()
    (expected * torch.tensor(gy)).sum().backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), 1e-7, 1e-8)  # type: ignore[union-attr]
