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

from tensorgrad._captures import captures
from tensorgrad._native import Storage, clock
from tensorgrad.autograd._modes import mode
from tensorgrad.errors import GradientError, InplaceError

MOST_SPARE = 1 << 12  # elements: from here on making a tensor is cheap beside filling it

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
    """The end of the tape: where the gradient of a tensor that the user made collects.

    grad: the gradient, or None. spare: at most one small tensor that was a gradient and that nobody
    else knows of: the next gradient may be written there, which saves making one."""

    __slots__ = ("__weakref__", "grad", "seq", "spare")

    def __init__(self) -> None:
        self.grad: Any = None
        self.spare: list[Any] = []  # a list, since its pop() is one step for all threads
        self.seq = clock()

    name = "leaf"

    def drop_grad(self) -> None:
        """Forgets the gradient."""
        gradient = self.grad
        self.grad = None
        if (
            gradient is not None
            and gradient._size <= MOST_SPARE
            and not self.spare
            and not captures  # all recordings of a function use memory alike
            and getrefcount(gradient) == 2  # ours, and getrefcount's own
            and getrefcount(gradient._storage) == 2  # the gradient's, and getrefcount's own
            and gradient._storage.__class__ is Storage
            and gradient._strides is None
            and gradient._node is None
        ):
            self.spare.append(gradient)

    def __repr__(self) -> str:
        return f"<leaf #{self.seq}>"


class HookedLeaf(Leaf):
    """A leaf with hooks (a leaf's class becomes this at the first): its gradient is collected as a
    node's is, so that it is known as a whole before `.grad` gets it."""

    __slots__ = ()


new_node = Node.__new__

# By the id of a node or leaf, what is to be done with the gradient that arrives there (see
# _hooks.py); under 0, what is told of every node before its rule runs. Empty as a rule.
hooks: dict[int, Any] = {}


def hooked(node: Any, gy: Any, wanted: dict[Node | Leaf, Any] | None) -> Any:
    """The gradient that arrived at `node`, after its hooks."""
    entry = hooks.get(id(node))
    if entry is not None and (wanted is None or node.__class__ is Node or node in wanted):
        gy = entry.received(node, gy, wanted is None)
    told = hooks.get(0)
    if told is not None and node.__class__ is Node:
        told(node)
    return gy


# What is told of every tensor that is recorded, just after it got its node: checks for NaN, hooks on
# what is saved, and the like. Empty as a rule, so that the hot paths pay one test.
watchers: list[Callable[[Any], None]] = []


# what is called when a backward begins
before_backward: list[Callable[[], None]] = []


def watch(output: Any) -> None:
    """Tells the watchers of a recorded tensor."""
    for watcher in tuple(watchers):
        watcher(output)


def record(output: Any, rule: Rule, edges: tuple[Node | Leaf | None, ...], saved: Any) -> None:
    """Puts a node on `output`. The families' fast paths write these lines out."""
    node = new_node(Node)
    node.seq = clock()
    node.rule = rule
    node.edges = edges
    node.saved = saved
    output._node = node
    if watchers:
        watch(output)


# What is known of where in the user's code a node was recorded, and a write in place was done;
# detect_anomaly (and viz.trace) fill these in.
site_of: Callable[[Any], str] = lambda node: ""  # noqa: E731
writer_of: Callable[[str], str] | None = None  # makes of a writer's name one that knows its line


def check_unmodified(storage: Any, node: Node) -> None:
    """Raises InplaceError if `storage`, saved by `node`, was written since."""
    if storage.written > node.seq:
        saved, changed = site_of(node), getattr(storage.writer, "site", "")
        raise InplaceError(
            f"backward of {node.name}{saved and f' ({saved})'}: a tensor that it saved was modified "
            f"in place by {storage.writer}{changed and f' ({changed})'} afterwards, so its "
            f"gradient would be wrong; write to a copy, or use the out-of-place operation"
        )


# rules that, while nothing is recorded, return new contiguous tensors that they keep no reference to
makes_new: set[Rule] = set()


def backward(
    edges: Sequence[Any],
    gradients: Sequence[Any],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Node | Leaf] | None = None,
) -> list[Any]:
    """Carries `gradients` of the outputs of the nodes `edges` down the tape.

    With `inputs` None, the gradients of leaves add up in their `.grad`. Otherwise those of `inputs`
    are returned, None where no path leads, and no `.grad` changes."""
    wanted: dict[Node | Leaf, Any] | None = None
    for notified in before_backward:
        notified()
    oldest = 0
    if inputs is not None:
        wanted = dict.fromkeys(inputs)
        # a node recorded before the oldest input cannot depend on any of them
        for asked in inputs:
            if not oldest or asked.seq < oldest:
                oldest = asked.seq
    waiting: dict[Node | Leaf, Any] = {}
    heap: list[tuple[int, Any]] = []  # of what is waiting, by falling sequence number
    new = False  # whether the gradients are known to be nobody else's
    recording = mode.enabled
    mode.enabled = create_graph
    try:
        while True:
            node: Any = None  # one that got its first gradient here, kept out of the heap: on a
            gy: Any = None  # chain of operations the heap stays empty
            for edge, gradient in zip(edges, gradients):
                if gradient is None or edge is None:
                    continue
                if edge.__class__ is Leaf:
                    if wanted is None:
                        if edge.grad is not None:
                            accumulate(edge, gradient)
                        # The first is kept as it is if nobody else can see its memory, else copied,
                        # so that a leaf may add to its gradient in place.
                        elif new or (
                            getrefcount(gradient) == _SOLE
                            and getrefcount(gradient._storage) == _SOLE_STORAGE
                            and gradient._storage.__class__ is Storage  # an array's may be in use
                            and gradient._strides is None
                        ):
                            edge.grad = gradient
                        else:
                            edge.grad = gradient.copy()
                    elif edge in wanted:
                        before = wanted[edge]
                        wanted[edge] = gradient if before is None else before + gradient
                elif edge is node:
                    gy = gy + gradient
                elif edge in waiting:
                    waiting[edge] = waiting[edge] + gradient
                elif edge.seq < oldest:
                    continue
                elif node is None:
                    node, gy = edge, gradient
                else:
                    waiting[edge] = gradient
                    heappush(heap, (-edge.seq, edge))
            if heap:
                if node is not None:
                    waiting[node] = gy
                    heappush(heap, (-node.seq, node))
                node = heappop(heap)[1]
                gy = waiting.pop(node)
            elif node is None:
                break
            edges = ()
            if hooks:
                gy = hooked(node, gy, wanted)
                if node.__class__ is HookedLeaf:
                    if wanted is not None and node in wanted:
                        wanted[node] = gy
                    continue
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
            gradient = gradients = None  # type: ignore[assignment]  # no reference but the rule's
            gradients = rule(gy, node)
            new = rule in makes_new and not create_graph
            edges = node.edges
            if not retain_graph:
                node.rule = None
                node.saved = None
                node.edges = ()
    finally:
        mode.enabled = recording
    return [] if inputs is None or wanted is None else [wanted[node] for node in inputs]


def _sole_holders() -> tuple[int, int]:
    """What getrefcount says in the loop of `backward` of a gradient, and of its memory, that nobody
    else holds."""
    counts = (0, 0)
    for _, gradient in zip((None,), [Leaf()]):
        gradient.grad = object()
        counts = getrefcount(gradient), getrefcount(gradient.grad)
    return counts


_SOLE, _SOLE_STORAGE = _sole_holders()


def accumulate(leaf: Any, gradient: Any) -> None:
    """Adds a gradient to the leaf's, which it owns."""
    if mode.enabled:
        leaf.grad = leaf.grad + gradient
    else:
        leaf.grad.add_(gradient)
