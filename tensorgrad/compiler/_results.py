"""The tensors that come out of replays."""

from __future__ import annotations

from typing import Any

from tensorgrad._native import clock
from tensorgrad._tensor import Tensor, copy_into, empty_raw, view
from tensorgrad.autograd import _tape
from tensorgrad.autograd._tape import Node
from tensorgrad.compiler._arguments import flatten, unflatten
from tensorgrad.dtypes import ITEMSIZES
from tensorgrad.errors import GradientError, ShapeError
from tensorgrad.shapes import checked_size


class Discarded:
    """Stands in `.grad` for a gradient that a replay used up and did not keep."""

    _size = float("inf")
    _node = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python asks for these, not the user
            raise AttributeError(name)
        raise GradientError(
            "this gradient was made and used up inside a compiled function, which did not keep it: "
            "compile with keep_grads=True, or read it inside of the function"
        )

    def __add__(self, other: Any) -> Any:
        return self.refuse()

    @property
    def refuse(self) -> Any:
        """Raises GradientError."""
        return self.__getattr__("refuse")


DISCARDED = Discarded()


def _no_graph(gy: Any, node: Node) -> Any:
    raise GradientError(
        "backward: this tensor is the result of a compiled function, which keeps no graph; call "
        "backward inside of the function, or the function itself without compile"
    )


NO_GRAPH = _tape.new_node(Node)  # raises before it could be used up, so that one serves all
NO_GRAPH.seq, NO_GRAPH.rule, NO_GRAPH.edges, NO_GRAPH.saved = clock(), _no_graph, (), None


def has_live_graph(t: Any) -> bool:
    """Whether a backward may start here."""
    node = getattr(t, "_node", None)
    return node.__class__ is Node and node is not NO_GRAPH and node.rule is not None


class Result:
    """How one returned tensor comes about: an input itself (`source` an int), a tensor that exists
    (a Tensor), or memory of the program's (a Buffer), seen from `offset` bytes on."""

    __slots__ = ("code", "has_graph", "offset", "shape", "size", "source", "strides")

    def __init__(self, source: Any, t: Tensor, offset: int) -> None:
        self.source = source
        self.offset = offset
        self.shape, self.strides, self.size, self.code = t._shape, t._strides, t._size, t._code
        self.has_graph = t._node is not None


def seen(t: Tensor, result: Result) -> Tensor:
    """What a result shows of t's memory."""
    return view(t, result.shape, result.strides, result.offset // ITEMSIZES[result.code])


class Rows:
    """The results of calls, stacked along a new first axis of n."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.structure: Any = None
        self._outs: list[Tensor] = []
        self._taped: list[bool] = []
        self._asked = 0

    def put(self, i: int, result: Any) -> None:
        """Takes the result of call i."""
        leaves: list[Tensor] = []
        self.structure = flatten(result, leaves)
        for j, t in enumerate(leaves):
            if j == len(self._outs):
                self._add(t._shape, t._size, t._code, t._node is not None)
            out = self._outs[j]
            if out._shape[1:] != t._shape or out._code != t._code:
                raise ShapeError(
                    f"scan: the results of calls differ in shape: {out._shape[1:]} and {t._shape}"
                )
            copy_into(view(out, t._shape, None, i * t._size), t, "scan")

    def restart(self) -> None:
        """The next result asked for is the first."""
        self._asked = 0

    def out(self, result: Result) -> Tensor:
        """Where the stacked values of the next result go."""
        self._asked += 1
        if self._asked > len(self._outs):
            self._add(result.shape, result.size, result.code, result.has_graph)
        return self._outs[self._asked - 1]

    def _add(self, shape: Any, size: int, code: int, taped: bool) -> None:
        checked_size((self.n, *shape), ITEMSIZES[code], "scan")
        self._outs.append(empty_raw((self.n, *shape), self.n * size, code))
        self._taped.append(taped)

    def result(self) -> Any:
        """All of them."""
        for t, taped in zip(self._outs, self._taped):
            t._node = NO_GRAPH if taped else None
        return unflatten(self.structure, iter(self._outs))


__all__ = ["DISCARDED", "NO_GRAPH", "Result", "Rows", "has_live_graph", "seen"]
