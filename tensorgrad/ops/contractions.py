"""einsum: sums of products by Einstein's notation, pair by pair on the matrix product."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd import Case, composite
from tensorgrad.errors import ArgumentError
from tensorgrad.ops._subscripts import Labels, from_lists, plan_of
from tensorgrad.ops.matrix import matmul
from tensorgrad.ops.products import summed_over
from tensorgrad.ops.shaping import moveaxis, permute_dims, reshape


def _diagonal(x: Tensor, i: int, j: int) -> Tensor:
    """The elements of x whose indices i < j are equal, as axis i: every (n + 1)th of both axes in a
    row."""
    n = x.shape[i]
    x = moveaxis(moveaxis(x, i, -1), j - 1, -1)
    x = reshape(x, (*x.shape[:-2], n * n))[(Ellipsis, slice(None, None, n + 1))]
    return moveaxis(x, -1, i)


def _prepared(
    x: Tensor, labels: Labels, sizes: dict[str, int], kept: set[str]
) -> tuple[Tensor, Labels]:
    """x without repeated labels, axes that are broadcast, and those that are summed in x alone."""
    while len(set(labels)) < len(labels):
        j = next(j for j, label in enumerate(labels) if label in labels[:j])
        i = labels.index(labels[j])
        x, labels = _diagonal(x, i, j), labels[:j] + labels[j + 1 :]
    broadcast = [n == 1 != sizes[label] for label, n in zip(labels, x.shape)]
    if any(broadcast):
        x = reshape(x, tuple(n for n, b in zip(x.shape, broadcast) if not b))
        labels = tuple(label for label, b in zip(labels, broadcast) if not b)
    alone = tuple(i for i, label in enumerate(labels) if label not in kept)
    if alone:
        x = summed_over(x, alone)
        labels = tuple(label for label in labels if label in kept)
    return x, labels


def _ordered(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    """The axes of x in the order of their labels."""
    return x if labels == order else permute_dims(x, [labels.index(label) for label in order])


def _product(
    a: Tensor, of_a: Labels, b: Tensor, of_b: Labels, kept: set[str], sizes: dict[str, int]
) -> tuple[Tensor, Labels]:
    """a and b contracted over the labels that both have and nobody else needs."""
    shared = [label for label in of_a if label in of_b]
    batch = tuple(label for label in shared if label in kept)
    summed = tuple(label for label in shared if label not in kept)
    rows = tuple(label for label in of_a if label not in of_b)
    columns = tuple(label for label in of_b if label not in of_a)
    result = batch + rows + columns

    def lengths(labels: Labels) -> tuple[int, ...]:
        return tuple(sizes[label] for label in labels)

    if not summed:
        left = _ordered(a, of_a, batch + rows)
        right = _ordered(b, of_b, batch + columns)
        if rows and columns:
            left = reshape(left, (*left.shape, *(1 for _ in columns)))
            right = reshape(right, (*lengths(batch), *(1 for _ in rows), *lengths(columns)))
        elif rows:
            right = reshape(right, (*right.shape, *(1 for _ in rows)))
        elif columns:
            left = reshape(left, (*left.shape, *(1 for _ in columns)))
        return left * right, result
    if (
        batch and not rows and not columns
    ):  # products of vectors are not worth a matrix product each
        both = _ordered(a, of_a, batch + summed) * _ordered(b, of_b, batch + summed)
        return summed_over(both, tuple(range(len(batch), both.ndim))), result
    k, m, n = prod(lengths(summed)), prod(lengths(rows)), prod(lengths(columns))
    leading = (prod(lengths(batch)),) if batch else ()
    left = reshape(_ordered(a, of_a, batch + rows + summed), (*leading, m, k))
    right = reshape(_ordered(b, of_b, batch + summed + columns), (*leading, k, n))
    return reshape(matmul(left, right), lengths(result)), result


def _reference(*operands: Any, subscripts: str) -> Any:
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


@composite(
    reference=_reference,
    cases=(
        Case((3, 4), (4, 5), subscripts="ij,jk->ik"),
        Case((3, 4), (5, 4), subscripts="ij,kj"),
        Case((2, 3, 4), (2, 4, 5), subscripts="bij,bjk->bik"),
        Case((2, 3, 4), (3, 5), subscripts="bij,ik->bkj"),
        Case((2, 3), (2, 3), subscripts="ij,ij->"),
        Case((3, 3), subscripts="ii"),
        Case((3, 3, 2), subscripts="iij->ji"),
        Case((2, 2, 2), subscripts="iii->i"),
        Case((2, 3, 4), subscripts="...j->..."),
        Case((2, 3, 4), (4, 5), subscripts="...j,jk->...k"),
        Case((3, 1, 4), (2, 4, 3), subscripts="a...b,...bc->...ac"),
        Case((3,), (4,), subscripts="i,j->ji"),
        Case((2, 3), (3, 4), (4, 2), subscripts="ab,bc,ca->"),
        Case((2, 3), (2, 4), (2, 2), subscripts="ai,aj,ak->ijk"),
        Case((0, 3), (3, 2), subscripts="ij,jk->ik"),
        Case((), (3,), subscripts=",i->i"),
    ),
    method=False,
)
def einsum(*operands: Any, subscripts: str | None = None) -> Tensor:
    """The sum of products that Einstein's notation describes, as NumPy's: einsum("ij,jk->ik", a, b).

    A label that occurs twice in a term takes a diagonal; one that is not in the output is summed;
    "..." stands for axes that broadcast, as axes of length 1 do; without "->" the output has the
    labels that occur once, in alphabetical order. einsum(a, [0, 1], b, [1, 2], [0, 2]) is the same
    with numbers. subscripts: the string, if it does not come first.

    Several operands are contracted pair by pair: in the order with the fewest multiplications for up
    to six, a greedy one beyond. Each pair is one (batched) matrix product. Raises ArgumentError,
    ShapeError.

    >>> import tensorgrad
    >>> a, b = tensorgrad.ones((2, 3)), tensorgrad.ones((3, 4))
    >>> tensorgrad.einsum("ij,jk->i", a, b)
    tensor([12., 12.])
    """
    given = list(operands)
    if subscripts is None and given and isinstance(given[0], str):
        subscripts = given.pop(0)
    elif subscripts is None:
        if len(given) < 2:
            raise ArgumentError("einsum: expected subscripts and at least one operand")
        subscripts, given = from_lists(given)
    tensors = [as_tensor(x, "einsum") for x in given]
    if not tensors:
        raise ArgumentError("einsum: expected at least one operand")
    terms, output, sizes, path = plan_of(subscripts, tuple(x.shape for x in tensors))

    def needed(others: list[tuple[Tensor, Labels]]) -> set[str]:
        return set(output).union(*(labels for _, labels in others))

    waiting = list(zip(tensors, terms))
    waiting = [
        _prepared(x, labels, sizes, needed(waiting[:i] + waiting[i + 1 :]))
        for i, (x, labels) in enumerate(waiting)
    ]
    for i, j in path:
        b, of_b = waiting.pop(j)
        a, of_a = waiting.pop(i)
        kept = needed(waiting)
        product, labels = _product(a, of_a, b, of_b, kept, sizes)
        waiting.append(_prepared(product, labels, sizes, kept))
    (result, labels), *_ = waiting
    return _ordered(result, labels, output)


__all__ = ["einsum"]
