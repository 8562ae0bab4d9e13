"""The tape: nodes, leaves, and the backward pass.

A recorded operation leaves a Node on its result. A node knows the nodes of the operation's inputs
(its edges), the rule that turns the gradient of the output into those of the inputs, and what that
rule must keep. It never holds the output Tensor, which holds it: so no reference cycle arises, and
reference counting alone frees a graph.

Backward takes the node with the highest sequence number among those that have a gradient waiting.
Sequence numbers rise as operations run, so every consumer of a node has then been handled: no
search, no recursion, no marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

from tensorgrad._native import Storage, clock
from tensorgrad.autograd._modes import mode
from tensorgrad.errors import GradientError, InplaceError

# rule(gy, node) -> one gradient per edge
Rule = Callable[[Any, "Node"], Sequence[Any]]


class Node:
    """One recorded operation."""

    __slots__ = ("__weakref__", "edges", "rule", "saved", "seq")

    seq: int
    rule: Rule | None
    edges: tuple[Node | Leaf | None, ...]
    saved: Any

    @property
    def name(self) -> str:
        return "freed" if self.rule is None else self.rule.__name__

    def __repr__(self) -> str:
        return f"<{self.name} #{self.seq}>"


class Leaf:
    """The end of the tape: where the gradient of a tensor that the user made collects."""

    __slots__ = ("__weakref__", "grad", "seq")

    def __init__(self) -> None:
        self.grad: Any = None
        self.seq = clock()

    name = "leaf"

    def __repr__(self) -> str:
        return f"<leaf #{self.seq}>"


new_node = Node.__new__


def record(output: Any, rule: Rule, edges: tuple[Node | Leaf | None, ...], saved: Any) -> None:
    """Puts a node on `output`. The families' fast paths write these lines out."""
    node = new_node(Node)
    node.seq = clock()
    node.rule = rule
    node.edges = edges
    node.saved = saved
    output._node = node


def check_unmodified(storage: Any, node: Node) -> None:
    """Raises InplaceError if `storage`, saved by `node`, was written since."""
    if storage.written > node.seq:
        raise InplaceError(
            f"backward of {node.name}: a tensor that it saved was modified in place by "
            f"{storage.writer} afterwards, so its "
            f"gradient would be wrong; write to a copy, or use the out-of-place operation"
        )


def backward(
    roots: Sequence[tuple[Node | Leaf, Any]],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Node | Leaf] | None = None,
) -> list[Any]:
    """Carries gradients from `roots` (node, gradient of its output) down the tape.

    With `inputs` None, the gradients of leaves add up in their `.grad`. Otherwise those of `inputs`
    are returned, None where no path leads, and no `.grad` changes."""
    wanted: dict[Node | Leaf, Any] | None = None if inputs is None else dict.fromkeys(inputs)
    # a node recorded before the oldest input cannot depend on any of them
    oldest = min((node.seq for node in wanted), default=0) if wanted else 0
    waiting: dict[Node | Leaf, Any] = {}
    heap: list[tuple[int, Any]] = []

    def deliver(edge: Node | Leaf, gradients: Sequence[Any], i: int) -> None:
        if edge.seq < oldest:
            return
        if edge.__class__ is Leaf:
            if wanted is None:
                accumulate(edge, gradients, i)
            elif edge in wanted:
                before = wanted[edge]
                wanted[edge] = gradients[i] if before is None else before + gradients[i]
        elif edge in waiting:
            waiting[edge] = waiting[edge] + gradients[i]
        else:
            waiting[edge] = gradients[i]
            heappush(heap, (-edge.seq, edge))

    recording = mode.enabled
    mode.enabled = create_graph
    try:
        for node, gradient in roots:
            deliver(node, (gradient, gradient), 0)
        while heap:
            node = heappop(heap)[1]
            gy = waiting.pop(node)
            if wanted is not None and node in wanted:
                wanted[node] = gy
                if node.seq == oldest:
                    continue  # what lies behind it is not asked for, and keeps its graph
            rule = node.rule
            if rule is None:
                raise GradientError(
                    "backward: this graph was freed by an earlier backward; call that one with "
                    "retain_graph=True to go "
                    "through it twice"
                )
            gradients = rule(gy, node)
            gy = None  # so that a leaf may keep a gradient that nobody else holds
            edges = node.edges
            if not retain_graph:
                node.rule = None
                node.saved = None
                node.edges = ()
            for i, edge in enumerate(edges):
                if edge is not None and gradients[i] is not None:
                    if edge.__class__ is Node and edge not in waiting and edge.seq >= oldest:
                        waiting[edge] = gradients[i]
                        heappush(heap, (-edge.seq, edge))
                    else:
                        deliver(edge, gradients, i)
    finally:
        mode.enabled = recording
    return [] if inputs is None or wanted is None else [wanted[node] for node in inputs]


def _holders(values: Sequence[Any]) -> int:
    return getrefcount(values[0])


_SOLE = _holders([object()])  # what getrefcount says of an item that only its sequence holds


def accumulate(leaf: Any, gradients: Sequence[Any], i: int) -> None:
    """Adds gradients[i] to the leaf's. The first is kept as it is if nobody else can see its
    memory, else copied, so that a leaf may add to its gradient in place."""
    before = leaf.grad
    if before is None:
        if (
            getrefcount(gradients[i]) == _SOLE
            and getrefcount(gradients[i]._storage) == _SOLE
            and gradients[i]._storage.__class__ is Storage  # an array's memory may be in use
            and gradients[i]._strides is None
        ):
            leaf.grad = gradients[i]
        else:
            leaf.grad = gradients[i].copy()
    elif mode.enabled:
        leaf.grad = before + gradients[i]
    else:
        before.add_(gradients[i])
