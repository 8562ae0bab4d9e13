"""Factorisations multiply to what was factorised, systems are solved, edges are as documented."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg
from tensorgrad import linalg
from tensorgrad.errors import (
    ArgumentError,
    GradientError,
    LinearAlgebraError,
    ShapeError,
    SingularMatrixError,
)
from tensorgrad.testing import gradcheck, gradgradcheck

DTYPES = ["float32", "float64", "complex64", "complex128"]
SHAPES = [(3, 3), (5, 2), (2, 5), (2, 3, 4, 4), (2, 4, 3), (0, 2, 2)]


def random(shape: tuple[int, ...], dtype: Any = "float64", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def leaf(x: Any) -> tg.Tensor:
    return tg.tensor(np.asarray(x, np.float64), requires_grad=True)


def t(x: np.ndarray) -> np.ndarray:
    return x.conj().swapaxes(-1, -2)


def close(got: Any, expected: Any, dtype: Any = "float64") -> None:
    single = np.dtype(dtype) in (np.float32, np.complex64)
    got = got.detach().numpy() if isinstance(got, tg.Tensor) else got
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 if single else 1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_factors_multiply_to_the_matrix(shape: tuple[int, ...], dtype: str) -> None:
    a = random(shape, dtype)
    m, n = shape[-2:]
    for full in (False, True):
        u, s, vh = (x.numpy() for x in linalg.svd(tg.tensor(a), full_matrices=full))
        assert (u.dtype, s.dtype) == (a.dtype, a.real.dtype)
        k = min(m, n)
        assert u.shape[-2:] == (m, m if full else k)
        assert vh.shape[-2:] == (n if full else k, n)
        close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], a, dtype)
        close(
            t(u) @ u, np.broadcast_to(np.eye(u.shape[-1]), (*shape[:-2], *u.shape[-1:] * 2)), dtype
        )
        close(
            vh @ t(vh),
            np.broadcast_to(np.eye(vh.shape[-2]), (*shape[:-2], *vh.shape[-2:-1] * 2)),
            dtype,
        )
    for mode in ("reduced", "complete"):
        q, r = (x.numpy() for x in linalg.qr(tg.tensor(a), mode=mode))
        assert q.shape[-1] == (m if mode == "complete" else min(m, n))
        close(q @ r, a, dtype)
        close(np.tril(r, -1), np.zeros_like(r), dtype)
    if m == n:
        w, v = (x.numpy() for x in linalg.eigh(tg.tensor(a + t(a))))
        assert w.dtype == a.real.dtype
        close((v * w[..., None, :]) @ t(v), a + t(a), dtype)
        close(linalg.eigvalsh(tg.tensor(a + t(a))).numpy(), w, dtype)
        definite = a @ t(a) + 3 * np.eye(n, dtype=dtype)
        lower = linalg.cholesky(tg.tensor(definite)).numpy()
        close(lower @ t(lower), definite, dtype)
        close(linalg.cholesky(tg.tensor(definite), upper=True).numpy(), t(lower), dtype)
        w, v = (x.numpy() for x in linalg.eig(tg.tensor(a)))
        assert w.dtype == v.dtype == np.result_type(a.dtype, np.complex64)
        close(a @ v, v * w[..., None, :], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_systems(dtype: str) -> None:
    a = random((2, 4, 4), dtype) + 4 * np.eye(4, dtype=dtype)
    b = random((4, 3), dtype, 1)
    close(linalg.solve(tg.tensor(a), tg.tensor(b)), np.linalg.solve(a, b[None]), dtype)
    close(linalg.inv(tg.tensor(a)), np.linalg.inv(a), dtype)
    close(linalg.pinv(tg.tensor(a[0, :, :2])), np.linalg.pinv(a[0, :, :2]), dtype)
    sign, logarithm = linalg.slogdet(tg.tensor(a))
    np.testing.assert_allclose(
        sign.numpy() * np.exp(logarithm.numpy()), np.linalg.det(a), rtol=1e-5, atol=0
    )
    x = linalg.lstsq(tg.tensor(a[0, :, :2]), tg.tensor(b))
    expected = np.linalg.lstsq(a[0, :, :2], b, None)
    for got, want in zip(x, expected, strict=True):
        close(got, want, dtype)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_triangular_systems_of_many_blocks(n: int, upper: bool, left: bool) -> None:
    """Only the triangle is read: the other is NaN."""
    rng = np.random.default_rng(n)
    full = rng.standard_normal((2, n, n)) / np.sqrt(n) + 2 * np.eye(n)
    triangle = np.triu(full) if upper else np.tril(full)
    hidden = np.where(np.tri(n, k=-1 if upper else 0) == (1 if upper else 0), np.nan, full)
    b = rng.standard_normal((n, 3) if left else (3, n))
    got = linalg.solve_triangular(tg.tensor(hidden), tg.tensor(b), upper=upper, left=left).numpy()
    product = triangle @ got if left else got @ triangle
    np.testing.assert_allclose(product, np.broadcast_to(b, product.shape), atol=1e-10)
    np.fill_diagonal(hidden[0], np.nan)
    unit = linalg.solve_triangular(
        tg.tensor(hidden[0]), tg.tensor(b), upper=upper, left=left, unitriangular=True
    )
    assert np.isfinite(unit.numpy()).all()


def test_triangular_gradient_across_blocks() -> None:
    rng = np.random.default_rng(0)
    a, b = (
        leaf(rng.standard_normal((70, 70)) / 8 + 2 * np.eye(70)),
        leaf(rng.standard_normal((70, 2))),
    )
    weight = tg.tensor(rng.standard_normal((70, 2)))
    (linalg.solve_triangular(a, b, upper=False) * weight).sum().backward()
    by_a, by_b = a.grad, b.grad
    a.grad = b.grad = None
    mask = tg.tensor(np.tri(70))
    (linalg.solve(a * mask, b) * weight).sum().backward()
    close(by_a, a.grad.numpy())  # type: ignore[union-attr]
    close(by_b, b.grad.numpy())  # type: ignore[union-attr]


# ---- edges ---------------------------------------------------------------------------------------


def test_determinant_of_singular_matrices_has_a_gradient() -> None:
    """The cofactors: of rank n - 1, and of rank n - 2 and less, where all are 0."""
    for a, rank in (([[1.0, 2.0], [2.0, 4.0]], 1), ([[0.0, 0.0], [0.0, 0.0]], 0)):
        x = leaf(a)
        linalg.det(x).backward()
        (p, q), (r, s) = a
        close(x.grad, [[s, -r], [-q, p]])
        assert linalg.matrix_rank(x).item() == rank
    x = leaf(np.outer([1.0, 2, 3], [1.0, 1, 2]))
    linalg.det(x).backward()
    close(x.grad, np.zeros((3, 3)))
    y = leaf([[1.0, 2.0], [2.0, 4.0]])
    linalg.det(y).backward(create_graph=True)
    with pytest.raises(SingularMatrixError):
        (y.grad * y.grad).sum().backward()  # type: ignore[operator,union-attr]


def test_equal_eigenvalues() -> None:
    """What does not depend on the choice of eigenvectors has its gradient; the rest none that could be
    taken for one."""
    x = leaf(np.eye(3))
    linalg.eigvalsh(x).sum().backward()
    close(x.grad, np.eye(3))
    y = leaf(np.eye(3))
    linalg.eigh(y).eigenvalues.sum().backward()
    close(y.grad, np.eye(3))
    z = leaf(np.eye(3))
    (linalg.eigh(z).eigenvectors * tg.tensor(random((3, 3)))).sum().backward()
    assert not (np.abs(z.grad.numpy()) < 1e20).all()  # type: ignore[union-attr]
    s = leaf(np.eye(3)[:, :2])
    linalg.svd(s, full_matrices=False).S.sum().backward()
    close(s.grad, np.eye(3)[:, :2])


def test_zero_singular_values() -> None:
    x = leaf(np.zeros((3, 2)))
    x.requires_grad_()
    linalg.svdvals(x).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()  # type: ignore[union-attr]
    assert linalg.cond(tg.zeros((2, 2)), p=1).item() == inf
    assert linalg.matrix_norm(tg.zeros((2, 2)), ord=2).item() == 0


def test_full_svd_has_the_gradient_of_the_reduced() -> None:
    a, weight = random((4, 2)), tg.tensor(random((4, 4), seed=1))
    x, y = leaf(a), leaf(a)
    (linalg.svd(x).U[:, :2] * weight[:, :2]).sum().backward()
    (linalg.svd(y, full_matrices=False).U * weight[:, :2]).sum().backward()
    close(x.grad, y.grad.numpy())  # type: ignore[union-attr]


def test_complete_qr_of_tall_matrices_is_off_the_tape() -> None:
    x = leaf(random((3, 2)))
    q, r = linalg.qr(x, mode="complete")
    assert not q.requires_grad
    assert not r.requires_grad
    with pytest.raises(GradientError):
        q.sum().backward()


@pytest.mark.parametrize("order", [1.5, 3, 1, -1, -3, inf, -inf, 0.5])
def test_vector_norms_at_the_ends_of_the_range(order: float) -> None:
    huge = tg.tensor(np.array([1e200, 1e200]))
    expected = {inf: 1e200, -inf: 1e200}.get(
        order, 1e200 * 2 ** (1 / order if abs(order) != inf else 0)
    )
    np.testing.assert_allclose(linalg.vector_norm(huge, ord=order).item(), expected, rtol=1e-12)
    zero = leaf([0.0, 0.0])
    linalg.vector_norm(zero, ord=order).backward()
    assert np.isfinite(zero.grad.numpy()).all()  # type: ignore[union-attr]


def test_vector_norms_of_special_values() -> None:
    assert linalg.vector_norm(tg.tensor([inf, 1.0]), ord=3).item() == inf
    assert np.isnan(linalg.vector_norm(tg.tensor([np.nan, 1.0]), ord=3).item())
    assert linalg.vector_norm(tg.tensor([0.0, 1.0]), ord=-2).item() == 0
    assert linalg.vector_norm(tg.tensor([0.0, 3.0, 4.0]), ord=0).item() == 2
    assert linalg.vector_norm(tg.tensor(np.array([3 + 4j])), ord=1).item() == 5


def test_powers() -> None:
    a = tg.tensor([[1, 1], [0, 1]])
    assert linalg.matrix_power(a, 10).tolist() == [[1, 10], [0, 1]]
    assert linalg.matrix_power(a, 10).dtype == np.int64
    assert linalg.matrix_power(tg.ones((2, 3, 3)), 0).tolist() == [np.eye(3).tolist()] * 2
    with pytest.raises(ArgumentError):
        linalg.matrix_power(a, 1.5)  # type: ignore[arg-type]


def test_exponential_of_large_and_special_matrices() -> None:
    angle = 100.0
    rotation = linalg.matrix_exp(tg.tensor(np.array([[0.0, -angle], [angle, 0.0]])))
    c, s = np.cos(angle), np.sin(angle)
    np.testing.assert_allclose(rotation.numpy(), [[c, -s], [s, c]], atol=1e-12)
    assert linalg.matrix_exp(tg.zeros((0, 0))).shape == (0, 0)
    assert np.isnan(linalg.matrix_exp(tg.tensor([[np.nan, 0], [0, 1.0]])).numpy()).any()
    a = random((3, 3), "complex128")
    w, v = np.linalg.eig(a)
    close(linalg.matrix_exp(tg.tensor(a)), (v * np.exp(w)) @ np.linalg.inv(v))


def test_lstsq_of_deficient_rank_and_of_vectors() -> None:
    a = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    b = np.array([1.0, 2.0, 3.0])
    found = linalg.lstsq(tg.tensor(a), tg.tensor(b))
    expected = np.linalg.lstsq(a, b, None)
    close(found.solution, expected[0])
    assert found.residuals.shape == (0,)
    assert found.rank.item() == 1
    full = linalg.lstsq(tg.tensor(a * [[1, 2]] + np.eye(3)[:, :2]), tg.tensor(b))
    assert full.residuals.shape == (1,)
    batch = random((5, 4, 2))
    got = linalg.lstsq(tg.tensor(batch), tg.tensor(b.repeat(1)[:1].repeat(4)))
    for x, matrix in zip(got.solution.numpy(), batch, strict=True):
        close(x, np.linalg.lstsq(matrix, np.ones(4), None)[0])


def test_lstsq_gradient() -> None:
    a, b = leaf(random((4, 2))), leaf(random((4,)))
    gradcheck(lambda a, b: tuple(linalg.lstsq(a, b)[:2]), [a, b])
    gradgradcheck(lambda a, b: linalg.lstsq(a, b).solution, [a, b])


def test_integers_become_float32() -> None:
    for y in (linalg.inv(tg.tensor([[2, 0], [0, 2]])), linalg.det(tg.tensor([[2, 0], [0, 2]]))):
        assert y.dtype == np.float32
    assert linalg.trace(tg.tensor([[1, 2], [3, 4]])).item() == 5
    assert linalg.cross(tg.tensor([1, 0, 0]), tg.tensor([0, 1, 0])).tolist() == [0, 0, 1]


def test_cross_and_diagonals_of_complex_numbers() -> None:
    a, b = random((2, 3), "complex128"), random((3,), "complex64")
    close(linalg.cross(tg.tensor(a), tg.tensor(b)), np.cross(a, b), "complex64")
    close(linalg.diagonal(tg.tensor(a), offset=1), np.diagonal(a, 1))
    close(linalg.trace(tg.tensor(a)), np.trace(a))
    close(tg.vecdot(tg.tensor(a), tg.tensor(a)), (a.conj() * a).sum(-1))
    close(tg.vdot(tg.tensor(a), tg.tensor(a)), np.vdot(a, a))


def test_diagonal_is_a_view() -> None:
    x = tg.zeros((2, 2))
    linalg.diagonal(x)[...] = 1.0
    assert x.tolist() == [[1.0, 0.0], [0.0, 1.0]]


SINGULAR = np.ones((2, 2))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: linalg.inv(SINGULAR), SingularMatrixError, "inv.*singular"),
        (lambda: linalg.solve(SINGULAR, np.ones(2)), SingularMatrixError, "solve.*singular"),
        (lambda: linalg.solve_triangular(0 * SINGULAR, np.ones(2), upper=True), SingularMatrixError, "solve_tri"),
        (lambda: linalg.cholesky(-np.eye(2)), LinearAlgebraError, "cholesky.*definite"),
        (lambda: linalg.svd(np.full((2, 2), np.nan)), LinearAlgebraError, "svd.*finite"),
        (lambda: linalg.eig(np.full((2, 2), inf)), LinearAlgebraError, "eig.*finite"),
        (lambda: linalg.pinv(np.full((2, 2), np.nan)), LinearAlgebraError, "pinv.*finite"),
        (lambda: linalg.inv(np.ones((2, 3))), ShapeError, "inv.*square"),
        (lambda: linalg.det(np.ones(3)), ShapeError, "det.*at least 2 axes"),
        (lambda: linalg.solve(np.eye(3), np.ones(2)), ShapeError, "solve"),
        (lambda: linalg.lstsq(np.eye(3), np.ones(2)), ShapeError, "lstsq"),
        (lambda: linalg.qr(np.eye(2), mode="full"), ArgumentError, "qr"),
        (lambda: linalg.matrix_norm(np.eye(2), ord=3), ArgumentError, "matrix_norm"),
        (lambda: linalg.norm(np.ones((2, 2, 2)), ord=1), ArgumentError, "norm"),
        (lambda: linalg.vector_norm(np.ones(2), ord="fro"), ArgumentError, "vector_norm"),
        (lambda: linalg.outer(np.ones((2, 2)), np.ones(2)), ShapeError, "outer"),
        (lambda: linalg.cross(np.ones(2), np.ones(2)), ShapeError, "cross"),
        (lambda: tg.tensordot(np.ones((2, 3)), np.ones((2, 3)), axes=1), ShapeError, "tensordot"),
        (lambda: tg.tensordot(np.ones((2, 3)), np.ones((2, 3)), axes=((0, 0), (0, 0))), ShapeError, "tensordot"),
        (lambda: tg.vecdot(np.ones((2, 3)), np.ones((2, 1))), ShapeError, "vecdot"),
        (lambda: tg.bmm(np.ones((2, 3)), np.ones((3, 2))), ShapeError, "bmm"),
        (lambda: tg.addmm(np.ones((4, 2)), np.ones((1, 3)), np.ones((3, 2))), ShapeError, "addmm"),
    ],
)  # fmt: skip
def test_errors_are_named(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert not isinstance(caught.value, LinearAlgebraError) or isinstance(
        caught.value, np.linalg.LinAlgError
    )


# NumPy's svd of this does not come back
INFINITE = np.array([[inf, 1.0, 2.0], [-inf, 1.0, 2.0], [inf, inf, 1.0]])


@pytest.mark.parametrize(
    "name",
    ["svd", "svdvals", "pinv", "matrix_rank", "eigh", "eigvalsh", "eig", "eigvals", "cond"],
)
@pytest.mark.parametrize("x", [INFINITE, INFINITE.astype("complex128")], ids=lambda x: x.dtype.name)
def test_spectra_of_infinity_are_refused(name: str, x: Any) -> None:
    with pytest.raises(LinearAlgebraError, match="finite"):
        getattr(linalg, name)(tg.tensor(x))


def test_the_gradient_of_an_infinite_determinant_is_refused() -> None:
    x = tg.tensor(INFINITE, requires_grad=True)
    with pytest.raises(LinearAlgebraError, match="det.*finite"):
        linalg.det(x).backward()


# ---- products ------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_tensordot_as_numpy(data: st.DataObject) -> None:
    common = data.draw(st.lists(st.integers(0, 3), max_size=2))
    rest = [data.draw(st.lists(st.integers(0, 3), max_size=2)) for _ in range(2)]
    orders = [data.draw(st.permutations(range(len(common) + len(r)))) for r in rest]
    operands, axes = [], []
    for r, order in zip(rest, orders, strict=True):
        a = random((*common, *r))
        operands.append(a.transpose(order))
        axes.append([order.index(i) for i in range(len(common))])
    got = tg.tensordot(*operands, axes=axes).numpy()
    np.testing.assert_allclose(got, np.tensordot(*operands, axes=axes), rtol=1e-9, atol=1e-12)


@given(st.lists(st.integers(0, 3), max_size=3), st.lists(st.integers(0, 3), max_size=3))
@settings(max_examples=40, deadline=None)
def test_kron_as_numpy(a: list[int], b: list[int]) -> None:
    x, y = random(tuple(a)), random(tuple(b), seed=1)
    got = tg.kron(x, y).numpy()
    ndim = max(len(a), len(b))
    shape = [
        m * n for m, n in zip([1] * (ndim - len(a)) + a, [1] * (ndim - len(b)) + b, strict=True)
    ]
    assert got.shape == tuple(shape)
    if got.size:
        np.testing.assert_array_equal(got, np.kron(x, y))
