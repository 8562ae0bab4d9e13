"""A function run so that its results can be differentiated by its arguments.

What is differentiated by gets a place of its own on the tape, so that a function sees a tensor that
others cannot reach. Inside vmap that is the tensor which holds the whole batch: every element then
has its own gradient, and nothing is summed over the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from tensorgrad._native import clock
from tensorgrad._tensor import Tensor, as_tensor
from tensorgrad.autograd._modes import mode, recording
from tensorgrad.autograd._tape import Leaf, Node, backward, record
from tensorgrad.autograd._traced import traced
from tensorgrad.autograd._tree import built, leaves_of
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError
from tensorgrad.func._batched import levels, lowered, raised
from tensorgrad.ops.creation import zeros_like


def _identity(gy: Any, node: Any) -> list[Any]:
    return [gy]


_identity.__name__ = "input"


_hidden: WeakSet[Leaf] = WeakSet()  # the leaves that transformations made


def _place(t: Tensor, recorded: bool) -> Tensor:
    """The same memory at a place of its own on the tape: behind t's if that is recorded."""
    x = t.detach()
    if recorded and t._node is not None:
        record(x, _identity, (t._node,), None)
    else:
        x._node = leaf = Leaf()
        _hidden.add(leaf)
    return x


def _float(leaf: Any, where: str) -> Tensor:
    t = as_tensor(leaf, where)
    if t.dtype.kind != "f":
        raise DTypeError(f"{where}: expected float tensors to differentiate by, got {t.dtype}")
    return t


class Run:
    """A function's results, with what is needed to go back to the inputs.

    xs: the tensors held by the inputs, on the tape; form: the trees that the inputs were. ys: the
    tensors held by the results; results: their tree; aux: what came beside them."""

    def __init__(
        self, function: Callable[..., Any], trees: Sequence[Any], has_aux: bool, where: str
    ) -> None:
        self.where = where
        self.of = len(levels.sizes)
        self.recorded = mode.enabled
        start = clock()
        with recording():
            self.xs = [
                _place(lowered(_float(leaf, where), self.of), self.recorded)
                for leaf in leaves_of(trees)
            ]
            self.form = trees
            given = built(trees, [raised(x, self.of) for x in self.xs])
            results = function(*given)
            self.aux = None
            if has_aux:
                if not isinstance(results, tuple) or len(results) != 2:
                    raise ArgumentError(
                        f"{where}: expected the function to return (result, aux), as has_aux is set"
                    )
                results, self.aux = results
            for leaf in leaves_of(results):
                if not isinstance(leaf, Tensor):
                    raise DTypeError(
                        f"{where}: expected the function to return Tensors, got "
                        f"{type(leaf).__name__}"
                    )
            self.ys = [lowered(leaf, self.of) for leaf in leaves_of(results)]
        # whether results can be differentiated by anything besides the inputs' own places
        self.outside = self.recorded and _reaches(self.ys, self.xs, start)
        self.results = built(results, [self._outward(y) for y in self.ys])
        if has_aux:
            self.aux = built(self.aux, [self._off(leaf) for leaf in leaves_of(self.aux)])

    def _outward(self, y: Any, on_tape: bool = False) -> Any:
        y = raised(y, self.of)
        return y if self.outside or on_tape else y.detach()

    def _off(self, leaf: Any) -> Any:
        return leaf.detach() if isinstance(leaf, Tensor) and not self.outside else leaf

    def pull(self, gys: Sequence[Any], create: bool = False, retain: bool = True) -> list[Any]:
        """The gradients by xs, None where there is none."""
        found = [
            (y._node, gy) for y, gy in zip(self.ys, gys) if y._node is not None and gy is not None
        ]
        if not found:
            return [None] * len(self.xs)
        nodes: Any
        nodes, gradients = zip(*found)
        create = create or traced(gradients) is not None or (self.outside and mode.enabled)
        places: Any = [x._node for x in self.xs]
        return backward(nodes, gradients, retain or create, create, places)

    def returned(self, gradients: Sequence[Any], on_tape: bool = False) -> Any:
        """Gradients by xs, as the inputs were given."""
        return built(
            self.form,
            [
                self._outward(zeros_like(x) if g is None else g, on_tape)
                for x, g in zip(self.xs, gradients)
            ],
        )

    def cotangents(self, tree: Any) -> list[Any]:
        """Gradients of the results, from a tree of their form."""
        leaves = leaves_of(tree)
        if len(leaves) != len(self.ys):
            raise ArgumentError(
                f"{self.where}: expected {len(self.ys)} tensors, one for each result, got "
                f"{len(leaves)}"
            )
        return [_matched(leaf, y, self) for leaf, y in zip(leaves, self.ys)]

    def push(self, tangents: Any) -> list[Any]:
        """J times the tangents: u -> u^T J is linear in u, and its derivative in their direction is
        that."""
        leaves = leaves_of(tangents)
        if len(leaves) != len(self.xs):
            raise ArgumentError(
                f"{self.where}: expected {len(self.xs)} tangents, one for each primal, got "
                f"{len(leaves)}"
            )
        vs = [_matched(leaf, x, self) for leaf, x in zip(leaves, self.xs)]
        if not hasattr(self, "us"):
            with recording():
                self.us = [_place(zeros_like(y), False) for y in self.ys]
                self.gs = self.pull(self.us, create=True)
        found = [(g._node, v) for g, v in zip(self.gs, vs) if g is not None and g._node is not None]
        if not found:
            return [zeros_like(y) for y in self.ys]
        nodes, directions = zip(*found)
        create = traced(directions) is not None or (
            mode.enabled and (self.outside or any(v.requires_grad for v in vs))
        )
        places: Any = [u._node for u in self.us]
        results = backward(nodes, directions, True, create, places)
        return [zeros_like(y) if r is None else r for y, r in zip(self.ys, results)]

    def pushed(self, tangents: Any) -> Any:
        """The same as the results were given."""
        on_tape = mode.enabled and any(t.requires_grad for t in leaves_of(tangents))
        return built(self.results, [self._outward(r, on_tape) for r in self.push(tangents)])


def _matched(leaf: Any, t: Any, run: Run) -> Any:
    """A gradient or tangent for the tensor t. Raises ShapeError, DTypeError."""
    leaf = as_tensor(leaf, run.where)
    shape = t.shape[run.of :]
    if leaf.shape != shape:
        raise ShapeError(f"{run.where}: expected a tensor of shape {shape}, got {leaf.shape}")
    if leaf.dtype != t.dtype:
        leaf = leaf.astype(t.dtype)
    return lowered(leaf, run.of)


def _reaches(ys: Sequence[Any], xs: Sequence[Any], start: int) -> bool:
    """Whether a graph leads to leaves other than xs, or beyond them. Leaves that transformations made
    after `start` do not count: these have ended."""
    own = {x._node for x in xs}
    seen = set(own)
    todo = [y._node for y in ys if y._node is not None]
    while todo:
        node = todo.pop()
        if node in own:
            if node.__class__ is Node:
                return True
            continue
        if node in seen:
            continue
        seen.add(node)
        if node.__class__ is not Node:
            if node.seq < start or node not in _hidden:
                return True
            continue
        todo += [edge for edge in node.edges if edge is not None]
    return False


def _places(argnums: Any, args: tuple[Any, ...], where: str) -> tuple[int, ...]:
    picked = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in picked:
        if not isinstance(i, int) or not -len(args) <= i < len(args):
            raise ArgumentError(f"{where}: expected argnums among {len(args)} arguments, got {i}")
    return tuple(i % len(args) for i in picked)


def run_by(
    function: Callable[..., Any],
    argnums: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    has_aux: bool,
    where: str,
) -> Run:
    """The function run with the arguments of numbers `argnums` on the tape."""
    picked = _places(argnums, args, where)

    def chosen(*trees: Any) -> Any:
        full = list(args)
        for i, tree in zip(picked, trees):
            full[i] = tree
        return function(*full, **kwargs)

    return Run(chosen, tuple(args[i] for i in picked), has_aux, where)
