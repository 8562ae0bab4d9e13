"""einsum's subscripts: their grammar, and the order in which operands are contracted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tensorgrad.errors import ArgumentError, ShapeError
from tensorgrad.shapes import Shape

Labels = tuple[str, ...]  # one per axis: a letter, or ".0", ".1", ... for those of an ellipsis

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# up to so many operands the cheapest order is searched for among all
_MOST_SEARCHED = 6


class Plan(NamedTuple):
    """What einsum does for operands of some shapes."""

    terms: tuple[Labels, ...]  # the labels of each operand
    output: Labels
    sizes: dict[str, int]  # the length of each label
    path: tuple[
        tuple[int, int], ...
    ]  # positions of the pairs; a result goes to the end of the list


def from_lists(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """The subscripts and operands of einsum(a, [0, 1], b, [1, 2], [0, 2])."""

    def written(labels: Any) -> str:
        text = ""
        for label in labels:
            if label is Ellipsis:
                text += "..."
            elif isinstance(label, int) and 0 <= label < len(_LETTERS):
                text += _LETTERS[label]
            else:
                raise ArgumentError(
                    f"einsum: expected labels from 0 to {len(_LETTERS) - 1} or ..., got {label!r}"
                )
        return text

    pairs = len(operands) // 2
    terms = ",".join(written(operands[2 * i + 1]) for i in range(pairs))
    output = f"->{written(operands[-1])}" if len(operands) % 2 else ""
    return terms + output, [operands[2 * i] for i in range(pairs)]


def _parsed(term: str, ndim: int, subscripts: str) -> Labels:
    """The labels of one operand's axes."""
    before, dots, after = term.partition("...")
    named = len(before) + len(after)
    if not (before + after).isalpha() and named:
        raise ArgumentError(f"einsum: expected letters and one '...' in {term!r} of {subscripts!r}")
    if named > ndim or (named < ndim and not dots):
        raise ShapeError(
            f"einsum: the term {term!r} of {subscripts!r} names {named} axes, the operand has {ndim}"
        )
    rest = ndim - named
    return (*before, *(f".{rest - 1 - i}" for i in range(rest)), *after)


def _output(text: str | None, terms: Sequence[Labels], subscripts: str) -> Labels:
    every = [label for term in terms for label in term]
    dots = sorted({label for label in every if label[0] == "."}, key=lambda d: -int(d[1:]))
    if text is None:
        return (*dots, *sorted(x for x in set(every) if x[0] != "." and every.count(x) == 1))
    before, has_dots, after = text.partition("...")
    letters = before + after
    if (letters and not letters.isalpha()) or len(set(letters)) != len(letters):
        raise ArgumentError(f"einsum: expected each label of the output once, got {subscripts!r}")
    unknown = set(letters) - set(every)
    if unknown:
        raise ArgumentError(
            f"einsum: the output of {subscripts!r} has {''.join(sorted(unknown))!r}, which no operand "
            "has"
        )
    if dots and not has_dots:
        raise ArgumentError(
            f"einsum: the axes of '...' are not in the output of {subscripts!r}: write '...' there, or "
            "sum them first"
        )
    return (*before, *dots, *after)


@lru_cache(1024)
def plan_of(subscripts: str, shapes: tuple[Shape, ...]) -> Plan:
    """The plan for operands of `shapes`. Raises ArgumentError for what the grammar does not have,
    ShapeError where the operands do not fit it."""
    text = "".join(subscripts.split())
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise ArgumentError(
            f"einsum: {subscripts!r} has {len(parts)} terms, but {len(shapes)} operands were given"
        )
    terms = tuple(_parsed(t, len(s), subscripts) for t, s in zip(parts, shapes))
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes):
        own: dict[str, int] = {}
        for label, n in zip(term, shape):
            if own.setdefault(label, n) != n:
                raise ShapeError(
                    f"einsum: {label!r} is {own[label]} and {n} in one operand of shape {shape}"
                )
            known = sizes.setdefault(label, n)
            if known == 1:
                sizes[label] = n
            elif n not in (1, known):
                raise ShapeError(
                    f"einsum: {label!r} of {subscripts!r} has lengths {known} and {n} in shapes "
                    f"{', '.join(map(str, shapes))}"
                )
    output = _output(right if arrow else None, terms, subscripts)
    # an axis of length 1 that is broadcast takes no part in the contraction
    sets = [
        frozenset(x for x, n in zip(term, shape) if n == sizes[x])
        for term, shape in zip(terms, shapes)
    ]
    search = _cheapest if len(sets) <= _MOST_SEARCHED else _greedy
    return Plan(terms, output, sizes, search(sets, frozenset(output), sizes))


def _volume(labels: frozenset[str], sizes: dict[str, int]) -> int:
    n = 1
    for label in labels:
        n *= sizes[label]
    return n


def _cheapest(
    sets: Sequence[frozenset[str]], output: frozenset[str], sizes: dict[str, int]
) -> tuple[tuple[int, int], ...]:
    """The order with the fewest multiplications, by dynamic programming over the sets of operands:
    the best way to contract a set is the best split of it into two (Lam, Sadayappan and Wenger 1997;
    Pfeifer, Haegeman and Verstraete 2014)."""
    count = len(sets)
    everything = (1 << count) - 1
    labels: dict[int, frozenset[str]] = {}
    for subset in range(1, everything + 1):
        inside = frozenset().union(*(sets[i] for i in range(count) if subset >> i & 1))
        outside = output.union(*(sets[i] for i in range(count) if not subset >> i & 1))
        labels[subset] = inside & outside
    best: dict[int, tuple[int, Any]] = {1 << i: (0, i) for i in range(count)}
    for subset in range(1, everything + 1):
        if subset in best:
            continue
        found: tuple[int, Any] | None = None
        part = (subset - 1) & subset
        while part:
            rest = subset ^ part
            if part < rest:  # each split once
                cost = best[part][0] + best[rest][0]
                cost += _volume(labels[part] | labels[rest], sizes)
                if found is None or cost < found[0]:
                    found = cost, (part, rest)
            part = (part - 1) & subset
        assert found is not None
        best[subset] = found
    path: list[tuple[int, int]] = []
    waiting = [1 << i for i in range(count)]  # as einsum keeps its operands

    def contract(subset: int) -> None:
        split = best[subset][1]
        if isinstance(split, int):
            return
        for part in split:
            contract(part)
        i, j = sorted(waiting.index(part) for part in split)
        path.append((i, j))
        del waiting[j], waiting[i]
        waiting.append(subset)

    contract(everything)
    return tuple(path)


def _greedy(
    sets: Sequence[frozenset[str]], output: frozenset[str], sizes: dict[str, int]
) -> tuple[tuple[int, int], ...]:
    """At each step the pair whose product takes the least memory beyond its operands', then the
    fewest multiplications (the rule of opt_einsum: Smith and Gray 2018)."""
    waiting = list(sets)
    path: list[tuple[int, int]] = []
    while len(waiting) > 1:
        found: Any = None
        for j in range(1, len(waiting)):
            for i in range(j):
                both = waiting[i] | waiting[j]
                others = [w for k, w in enumerate(waiting) if k not in (i, j)]
                kept = both & output.union(*others)
                grown = (
                    _volume(kept, sizes) - _volume(waiting[i], sizes) - _volume(waiting[j], sizes)
                )
                key = (grown, _volume(both, sizes), i, j)
                if found is None or key < found[0]:
                    found = key, kept
        (_, _, i, j), kept = found
        path.append((i, j))
        del waiting[j], waiting[i]
        waiting.append(kept)
    return tuple(path)
