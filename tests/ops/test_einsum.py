"""einsum against NumPy's, on subscripts and shapes that hypothesis chooses, and its order."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg
from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.ops._subscripts import plan_of
from tensorgrad.testing import gradcheck


def arrays(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.standard_normal(s) for s in shapes]


@st.composite
def problems(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """Subscripts with repeated labels, ellipses and broadcast axes, and the operands' shapes."""
    letters = "abcde"
    sizes = {x: draw(st.integers(1, 3)) for x in letters}
    count = draw(st.integers(1, 4))
    dots = draw(st.lists(st.integers(1, 3), max_size=2))
    terms, shapes, some_dots = [], [], False
    for _ in range(count):
        labels = draw(st.lists(st.sampled_from(letters), max_size=3))
        once = len(set(labels)) == len(labels)
        shape = [
            1 if once and draw(st.integers(0, 5)) == 0 else sizes[x]  # broadcast
            for x in labels
        ]
        if draw(st.booleans()):
            at = draw(st.integers(0, len(labels)))
            k = draw(st.integers(0, len(dots)))
            rest = [1 if draw(st.booleans()) else n for n in dots[len(dots) - k :]]
            shapes.append((*shape[:at], *rest, *shape[at:]))
            terms.append("".join(labels[:at]) + "..." + "".join(labels[at:]))
            some_dots = True
        else:
            shapes.append(tuple(shape))
            terms.append("".join(labels))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        used = sorted({x for x in subscripts if x in letters})
        output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
        subscripts += "->" + ("..." if some_dots else "") + "".join(output)
    return subscripts, shapes


@given(problems())
@settings(max_examples=200, deadline=None)
def test_as_numpy(problem: tuple[str, list[tuple[int, ...]]]) -> None:
    subscripts, shapes = problem
    operands = arrays(shapes)
    got = tg.einsum(subscripts, *operands)
    np.testing.assert_allclose(got.numpy(), np.einsum(subscripts, *operands), rtol=1e-9, atol=1e-12)


@given(problems())
@settings(max_examples=25, deadline=None)
def test_gradients(problem: tuple[str, list[tuple[int, ...]]]) -> None:
    subscripts, shapes = problem
    leaves = [tg.tensor(a, requires_grad=True) for a in arrays(shapes)]
    gradcheck(lambda *xs: tg.einsum(subscripts, *xs), leaves)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32", "complex64", "complex128"])
@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [("ij,jk->ik", [(2, 3), (3, 4)]), ("ii->i", [(3, 3)]), ("ij->j", [(2, 3)]), ("ij,ij->ij", [(2, 3)] * 2)],
)  # fmt: skip
def test_dtypes(dtype: str, subscripts: str, shapes: Any) -> None:
    operands = [(a * 3).astype(dtype) for a in arrays(shapes)]
    got = tg.einsum(subscripts, *operands)
    expected = np.einsum(subscripts, *operands)
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


def test_lists_of_numbers_for_subscripts() -> None:
    a, b = arrays([(2, 3), (3, 4)])
    np.testing.assert_allclose(tg.einsum(a, [0, 1], b, [1, 2], [2, 0]).numpy(), (a @ b).T)
    np.testing.assert_allclose(tg.einsum(a, [..., 1]).numpy(), np.einsum(a, [..., 1]))


@pytest.mark.parametrize("count", [3, 4, 5, 6, 9])
def test_many_operands(count: int) -> None:
    """A chain of matrices, in the order that the thin one at the end makes cheap."""
    letters = string.ascii_letters[: count + 1]
    subscripts = ",".join(letters[i : i + 2] for i in range(count)) + f"->{letters[0]}{letters[-1]}"
    shapes = [(7, 7)] * (count - 1) + [(7, 1)]
    operands = arrays(shapes)
    np.testing.assert_allclose(
        tg.einsum(subscripts, *operands).numpy(), np.linalg.multi_dot(operands), rtol=1e-9
    )
    path = plan_of(subscripts, tuple(shapes)).path
    waiting = [[i] for i in range(count)]
    for i, j in path:
        pair = waiting[i] + waiting[j]
        assert count - 1 in pair  # every product has the vector
        waiting = [w for k, w in enumerate(waiting) if k not in (i, j)] + [pair]


def test_searched_order_is_the_cheapest() -> None:
    # the two large matrices last: 2 * 50 + 2 * 50 * 50 * 2 multiplications, not 50 ** 3
    path = plan_of("ab,bc,cd->ad", ((2, 50), (50, 50), (50, 2))).path
    assert path[0] != (0, 2)
    assert plan_of("ij,jk,kl->il", ((10, 1), (1, 10), (10, 10))).path[0] == (1, 2)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error"),
    [
        ("ij,jk", [(2, 3)], ArgumentError),
        ("ij,jk", [(2, 3), (4, 5)], ShapeError),
        ("ijk", [(2, 3)], ShapeError),
        ("i", [(2, 3)], ShapeError),
        ("ii", [(2, 3)], ShapeError),
        ("ij->ijj", [(2, 3)], ArgumentError),
        ("ij->k", [(2, 3)], ArgumentError),
        ("i1", [(2, 3)], ArgumentError),
        ("...->", [(2, 3)], ArgumentError),
        ("i......", [(2, 3)], ArgumentError),
    ],
)
def test_what_does_not_fit_is_named(subscripts: str, shapes: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="einsum"):
        tg.einsum(subscripts, *arrays(shapes))
