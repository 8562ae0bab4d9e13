"""Drawings of graphs, as DOT text: Graphviz and many editors show it."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any

from tensorgrad.autograd._modes import no_grad
from tensorgrad.autograd._sites import sites, start_tracing, stop_tracing
from tensorgrad.autograd._tape import Leaf, Node
from tensorgrad.errors import GradientError, TensorgradError


class trace:
    """A context in which the line of your code, and the module, of each operation is noted, for
    `dot`. detect_anomaly notes them too.

    >>> import tensorgrad
    >>> from tensorgrad import viz
    >>> x = tensorgrad.ones(2, requires_grad=True)
    >>> with viz.trace():
    ...     y = x.exp()
    >>> "exp" in viz.dot(y)
    True
    """

    def __enter__(self) -> None:
        start_tracing()

    def __exit__(self, *_: object) -> None:
        stop_tracing()


def _nodes(root: Any) -> list[Any]:
    """The nodes and leaves of a graph, the root first."""
    found = {root: None}
    todo = [root]
    while todo:
        node = todo.pop()
        for edge in node.edges if node.__class__ is Node else ():
            if edge is not None and edge not in found:
                found[edge] = None
                todo.append(edge)
    return sorted(found, key=lambda node: -node.seq)


def _shapes(tensor: Any) -> dict[Any, tuple[int, ...]]:
    """The shape of each node's output: that of the gradient which a backward brings there. Nothing
    is changed by that backward, and hooks are not called."""
    root = tensor._node
    shapes: dict[Any, tuple[int, ...]] = {root: tensor.shape}
    waiting: dict[Any, Any] = {root: tensor._filled(1.0)}
    heap = [(-root.seq, root)]
    while heap:
        node = heappop(heap)[1]
        gy = waiting.pop(node)
        if node.__class__ is not Node or node.rule is None or node.name == "module_hook":
            continue
        try:
            gradients = node.rule(gy, node)
        except TensorgradError:  # a tensor that it needs was written in place
            continue
        for edge, gradient in zip(node.edges, gradients):
            if edge is None or gradient is None:
                continue
            if edge in waiting:
                waiting[edge] = waiting[edge] + gradient
                continue
            waiting[edge] = gradient
            heappush(heap, (-edge.seq, edge))
            if hasattr(gradient, "shape"):
                shapes[edge] = gradient.shape
    return shapes


def _text(lines: list[str]) -> str:
    return "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines if line)


def dot(tensor: Any, names: Mapping[str, Any] | None = None) -> str:
    """The graph behind a tensor as DOT text: a box for each operation with its name, the shape of its
    result, and, if it was recorded inside `trace` or detect_anomaly, the line of your code and the
    module; an ellipse for each leaf; arrows in the direction of the computation.

    names: what to call leaves, e.g. dict(model.named_parameters()). The shapes are found by a backward
    that changes nothing. Raises GradientError for a tensor that is not on the tape.

    >>> import tensorgrad
    >>> from tensorgrad import viz
    >>> w = tensorgrad.ones((2, 3), requires_grad=True)
    >>> print(viz.dot(w.sum(), {"w": w}))
    digraph {
      rankdir=TB; node [shape=box, fontname="monospace"];
      n0 [label="sum\\n()"];
      n1 [label="w\\n(2, 3)", shape=ellipse];
      n1 -> n0;
    }
    """
    root = getattr(tensor, "_node", None)
    if root is None:
        raise GradientError("dot: the tensor does not require grad, so there is no graph behind it")
    called = {t._node: name for name, t in (names or {}).items() if isinstance(t._node, Leaf)}
    with no_grad():
        shapes = _shapes(tensor)
    nodes = _nodes(root)
    number = {node: i for i, node in enumerate(nodes)}
    lines = ["digraph {", '  rankdir=TB; node [shape=box, fontname="monospace"];']
    for node in nodes:
        shape = str(shapes[node]) if node in shapes else ""
        if node.__class__ is Node:
            site = sites.get(node)
            where = [site.module, f"{site.file}:{site.line}"] if site else []
            lines.append(f'  n{number[node]} [label="{_text([node.name, shape, *where])}"];')
        else:
            label = _text([called.get(node, "leaf"), shape])
            lines.append(f'  n{number[node]} [label="{label}", shape=ellipse];')
    for node in nodes:
        for edge in node.edges if node.__class__ is Node else ():
            if edge is not None:
                lines.append(f"  n{number[edge]} -> n{number[node]};")
    return "\n".join([*lines, "}"])


__all__ = ["dot", "trace"]
