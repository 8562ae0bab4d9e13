"""A chain of linear layers with their activations, one C call forward and one back.

In a small network most of a step is what calls cost. nn.Sequential runs its linear layers through
this; results and gradients are those of the layers one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorgrad._captures import captures
from tensorgrad._native import ACTIVATION, NULL, allocate, fail, ffi, lib
from tensorgrad._tensor import Tensor, copy_raw, empty_raw
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tape import Leaf, Node, backward, check_unmodified, makes_new, record
from tensorgrad.dtypes import F64, ITEMSIZES
from tensorgrad.ops.matrix import linear, linear_activated

_LAYERS = ffi.typeof("tg_layer[]")
_ALIGNMENT = lib.TG_ALIGNMENT
_forward, _backward = lib.tg_linear_chain, lib.tg_linear_chain_grad


class _Plan:
    """The C description of the layers, good as long as their parameters have the same memory."""

    def __init__(self, layers: Sequence[tuple[Any, str | None]], dtype_code: int) -> None:
        self.code = dtype_code
        self.parameters = [p for m, _ in layers for p in (m.weight, m.bias)]
        self.storages = [p._storage for p in self.parameters if p is not None]  # kept alive
        # (module, its weight's memory, its bias's or None)
        self.memory = [
            (m, m.weight._ptr, None if m.bias is None else m.bias._ptr) for m, _ in layers
        ]
        self.count = len(layers)
        self.features = layers[0][0].weight._shape[1]
        self.out = layers[-1][0].weight._shape[0]
        self.rows = -1  # of the last call, for which `hidden` is the answer
        self.hidden = 0
        self.widths = [m.weight._shape[0] for m, _ in layers[:-1]]
        self.saves_output = layers[-1][1] is not None
        self.layers = ffi.new(
            _LAYERS,
            [
                (
                    ACTIVATION[activation or "none"],
                    m.weight._shape[1],
                    m.weight._shape[0],
                    m.weight._ptr,
                    NULL if m.bias is None else m.bias._ptr,
                )
                for m, activation in layers
            ],
        )

    def hidden_bytes(self, rows: int) -> int:
        """Of all outputs but the last, as tg_linear_chain lays them out; 0 for a single layer."""
        if rows != self.rows:
            itemsize = rows * ITEMSIZES[self.code]
            padded = [-(-width * itemsize // _ALIGNMENT) * _ALIGNMENT for width in self.widths]
            self.hidden, self.rows = sum(padded), rows
        return self.hidden


class LinearChain:
    """y = the layers' result for x. layers: (module, activation), the module with a `weight` (out,
    in) and a `bias` (out) or None, the activation one of FUSIBLE or None."""

    __slots__ = ("_layers", "_plan")

    def __init__(self, layers: Sequence[tuple[Any, str | None]]) -> None:
        self._layers = tuple(layers)
        self._plan: _Plan | None = None

    def __call__(self, x: Any) -> Tensor:
        try:
            plan = self._plan or self._made()
        except AttributeError:  # a parameter is one that stands for many
            plan = None
        if plan is None:
            return self._one_by_one(x)
        try:
            rows, features = x._shape
            node = x._node
            if features != plan.features or x._code != plan.code or x._strides is not None:
                return self._one_by_one(x)
        except (AttributeError, ValueError):
            return self._one_by_one(x)
        edges = [node]
        saved = [x]
        for module, weight_ptr, bias_ptr in plan.memory:
            weight = module.weight
            bias = module.bias
            try:
                if (
                    weight._ptr is not weight_ptr
                    or (None if bias is None else bias._ptr) is not bias_ptr
                ):
                    self._plan = None
                    return self(x)
            except AttributeError:
                return self._one_by_one(x)
            edges += (weight._node, None if bias is None else bias._node)
            saved += (weight, bias)
        y = empty_raw((rows, plan.out), rows * plan.out, plan.code)
        nbytes = plan.hidden if plan.rows == rows else plan.hidden_bytes(rows)
        hidden = allocate(nbytes) if plan.widths else None
        status = _forward(
            plan.code, rows, plan.count, plan.layers, x._ptr, hidden.ptr if hidden else NULL, y._ptr
        )
        if status:
            fail(status, "linear", y._storage, *([hidden] if hidden else []))
        if mode.enabled and edges.count(None) != len(edges):
            record(y, _rule, tuple(edges), (self, plan, saved, hidden, y._storage))
        return y

    def _made(self) -> _Plan | None:
        """A plan, if the parameters fit each other and lie as the kernels read them."""
        before = None
        code = self._layers[0][0].weight._code
        for module, _ in self._layers:
            weight, bias = module.weight, module.bias
            parameters = [weight] if bias is None else [weight, bias]
            if (
                any(p._code != code or p._strides is not None for p in parameters)
                or code > F64
                or len(weight._shape) != 2
                or before not in (None, weight._shape[1])
                or (bias is not None and bias._shape != weight._shape[:1])
            ):
                return None
            before = weight._shape[0]
        self._plan = _Plan(self._layers, code)
        return self._plan

    def _one_by_one(self, x: Any, parameters: Sequence[Any] | None = None) -> Tensor:
        """The same in ops: for any x, and for gradients that are recorded."""
        for i, (module, activation) in enumerate(self._layers):
            weight, bias = (
                parameters[2 * i : 2 * i + 2] if parameters else (module.weight, module.bias)
            )
            if activation is None:
                x = linear(x, weight, bias)
            else:
                x = linear_activated(x, weight, bias, activation=activation)
        return x


def _rule(gy: Tensor, node: Node) -> Sequence[Any]:
    chain, plan, (x, *parameters), hidden, output = node.saved
    seq = node.seq
    if x._storage.written > seq:
        check_unmodified(x._storage, node)
    for weight in parameters[::2]:
        if weight._storage.written > seq:
            check_unmodified(weight._storage, node)
    if plan.saves_output and output.written > seq:
        check_unmodified(output, node)
    if mode.enabled:
        return _recorded_gradients(chain, x, parameters, gy, node)
    edges = node.edges
    if gy._strides is not None:
        gy = copy_raw(gy)
    code = plan.code
    gradients: list[Tensor | None] = []
    pointers = []
    for edge, t in zip(edges, (x, *parameters)):
        if edge is None:
            gradients.append(None)
            pointers.append(NULL)
        else:
            gradient = _place(edge, t)
            gradients.append(gradient)
            pointers.append(gradient._ptr)
    status = _backward(
        code,
        gy._shape[0],
        plan.count,
        plan.layers,
        x._ptr,
        hidden.ptr if hidden else NULL,
        output.ptr,
        gy._ptr,
        pointers[0],
        pointers[1:],
    )
    if status:
        fail(status, "linear", *(g._storage for g in gradients if g is not None))
    return gradients


_rule.__name__ = "linear_chain"
makes_new.add(_rule)


def _place(edge: Node | Leaf, t: Tensor) -> Tensor:
    """A tensor to write the gradient of t into, whose place on the tape is `edge`."""
    if edge.__class__ is Leaf and (spare := edge.spare) and not captures:
        try:
            gradient: Tensor = spare.pop()
        except IndexError:  # another thread was faster
            return empty_raw(t._shape, t._size, t._code)
        if gradient._shape == t._shape and gradient._code == t._code:
            return gradient
    return empty_raw(t._shape, t._size, t._code)


def _recorded_gradients(
    chain: LinearChain, x: Tensor, parameters: Sequence[Any], gy: Tensor, node: Node
) -> Sequence[Any]:
    """Gradients that can be differentiated again: through the layers one by one, computed anew."""
    for bias in parameters[1::2]:
        if bias is not None:
            check_unmodified(bias._storage, node)
    inputs = [edge for edge in node.edges if edge is not None]
    y = chain._one_by_one(x, parameters)
    found = dict(zip(inputs, backward((y._node,), (gy,), True, True, inputs)))
    return [None if edge is None else found[edge] for edge in node.edges]


__all__ = ["LinearChain"]
