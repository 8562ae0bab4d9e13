"""Function: an op as a class with a forward and a backward, as PyTorch has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any
from weakref import ref

from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._recorded import fit
from tensorgrad.autograd._tape import Node, check_unmodified, record
from tensorgrad.autograd._traced import traced
from tensorgrad.dtypes import F64
from tensorgrad.errors import GradientError


class Context:
    """What a forward leaves for its backward. Attributes of your own may be set.

    needs_input_grad: for each argument of forward whether a gradient is wanted."""

    def __init__(self, name: str, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self._name = name
        self._saved: tuple[Any, ...] = ()
        self._outputs: list[
            Any
        ] = []  # of each output: its node, weakly; filled in after the forward
        self._constant: set[int] = set()
        self._materialize = True
        self._node: Any = None
        self._running = False  # the backward

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps inputs or outputs (or None) for backward, which finds them in `saved_tensors`: a write
        to one of them in between is noticed. What is no tensor goes into an attribute."""
        for t in tensors:
            if t is not None and not hasattr(t, "_storage"):
                raise GradientError(
                    f"{self._name}: save_for_backward takes Tensors, got {type(t).__name__}; set an "
                    "attribute of ctx instead"
                )
        self._saved = tensors

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Says that no gradient flows through these outputs."""
        self._constant.update(map(id, outputs))

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (True, the default) or None for outputs without a gradient."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept. Raises InplaceError if one was written since, GradientError
        outside of backward."""
        if not self._running:
            raise GradientError(f"{self._name}: saved_tensors is for backward")
        tensors = []
        for saved in self._saved:
            t = saved
            if isinstance(saved, _SavedOutput):
                t = saved.restored(mode.enabled)
            if t is not None and t._storage.written > self._node.seq:
                check_unmodified(t._storage, self._node)
            tensors.append(t)
        return tuple(tensors)

    def _keep_outputs(self, outputs: Sequence[Any]) -> None:
        """Outputs among what is saved are kept without their nodes, which hold this: no cycle."""
        for i, t in enumerate(outputs):
            if any(s is t for s in self._saved):
                kept = _SavedOutput(t)
                self._outputs.append((i, kept))
                self._saved = tuple(kept if s is t else s for s in self._saved)


class _SavedOutput:
    """An output that its own backward reads."""

    def __init__(self, t: Any) -> None:
        self.detached = t.detach()
        self.node: Any = lambda: None

    def restored(self, recorded: bool) -> Any:
        y = self.detached.detach()
        if recorded:
            y._node = self.node()
        return y


class _Bundle:
    """The gradients that have reached the outputs of a Function, by output."""

    __slots__ = ("parts",)

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: _Bundle) -> _Bundle:
        parts = dict(self.parts)
        for i, gradient in other.parts.items():
            parts[i] = parts[i] + gradient if i in parts else gradient
        return _Bundle(parts)


class Function:
    """An op declared as a class, for those who know PyTorch's. `apply` calls it.

    forward(ctx, *arguments) computes the result, a Tensor or a tuple of them, off the tape.
    backward(ctx, *gradients), with a gradient for each result, returns one for each argument, None
    where the argument is no Tensor or needs none. Written in ops, a backward can be differentiated
    again; `once_differentiable` says that it is not.

    Raises GradientError, ShapeError that name the class for a backward that returns something else.

    >>> import tensorgrad
    >>> class Cube(tensorgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, gy):
    ...         (x,) = ctx.saved_tensors
    ...         return gy * 3 * x * x
    >>> x = tensorgrad.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Any:
        """Computes the result."""
        raise NotImplementedError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The gradients of the arguments from those of the results."""
        raise NotImplementedError("a Function needs a static method backward(ctx, ...)")

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Calls the op and records it."""
        stand_in = traced(arguments)
        if stand_in is not None:
            return stand_in.apply(cls.apply, arguments, {})
        nodes = tuple(getattr(a, "_node", None) for a in arguments)
        recording = mode.enabled
        wanted = recording and any(node is not None for node in nodes)
        ctx = Context(cls.__name__, tuple(wanted and node is not None for node in nodes))
        mode.enabled = False
        try:
            result = cls.forward(ctx, *arguments)
        finally:
            mode.enabled = recording
        outputs = result if isinstance(result, tuple) else (result,)
        for y in outputs:
            if not hasattr(y, "_storage"):
                raise GradientError(
                    f"{cls.__name__}.forward: expected a Tensor or a tuple of them, got "
                    f"{type(y).__name__}"
                )
        if not wanted:
            return result
        # an input that is returned as it is gets a Tensor of its own
        outputs = tuple(
            y.detach() if any(y is a for a in arguments) or y._node is not None else y
            for y in outputs
        )
        cls._record(ctx, arguments, nodes, result, outputs)
        return outputs if isinstance(result, tuple) else outputs[0]

    @classmethod
    def _record(
        cls, ctx: Context, arguments: Any, nodes: Any, result: Any, outputs: tuple[Any, ...]
    ) -> None:
        given = result if isinstance(result, tuple) else (result,)
        codes = [y._code for y in outputs]
        name = cls.__name__

        def rule(bundle: Any, node: Node) -> list[Any]:
            gradients = []
            for i, code in enumerate(codes):
                gradient = bundle.parts.get(i)
                if gradient is None and ctx._materialize and code <= F64:
                    gradient = likes[i]._filled(0.0)
                gradients.append(gradient)
            ctx._saved, ctx._running = node.saved, True
            try:
                found = cls.backward(ctx, *gradients)
            finally:
                ctx._saved, ctx._running = (), False
            parts = list(found) if isinstance(found, (tuple, list)) else [found]
            if len(parts) != len(nodes):
                raise GradientError(
                    f"{name}.backward: expected {len(nodes)} gradients, one for each argument of "
                    f"forward, got {len(parts)}"
                )
            checked = []
            for i, (gradient, wanted) in enumerate(zip(parts, nodes, strict=True)):
                if gradient is not None and kept[i] is None:
                    raise GradientError(
                        f"{name}.backward: expected None for argument {i}, which is no Tensor, got "
                        f"{type(gradient).__name__}"
                    )
                checked.append(
                    None if gradient is None or wanted is None else fit(gradient, kept[i], name)
                )
            return checked

        rule.__name__ = name
        kept = [_Like(a) if hasattr(a, "_storage") else None for a in arguments]
        likes = [y.detach() for y in outputs]
        core = likes[0].detach()
        ctx._keep_outputs(given)
        record(
            core, rule, nodes, ctx._saved
        )  # the node has them, where hooks on what is saved look
        ctx._saved = ()
        ctx._node = core._node
        for i, y in enumerate(outputs):
            if id(given[i]) in ctx._constant or y._code > F64:
                continue

            def part(gy: Any, node: Node, i: int = i) -> list[Any]:
                return [_Bundle({i: gy})]

            part.__name__ = name
            record(y, part, (ctx._node,), None)
        for i, output in ctx._outputs:
            node = outputs[i]._node
            if node is not None:
                output.node = ref(node)
        core._node = None


class _Like:
    """The shape and dtype of an argument."""

    __slots__ = ("_code", "_shape", "dtype", "shape")

    def __init__(self, t: Any) -> None:
        self._shape = self.shape = t._shape
        self._code = t._code
        self.dtype = t.dtype


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a Function's backward as one that is not made of ops: it runs off the tape, and a gradient
    of its gradient raises GradientError instead of being wrong.

    >>> from tensorgrad.autograd import Function, once_differentiable
    >>> class Twice(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, gy):
    ...         return gy * 2
    """

    @wraps(backward)
    def once(ctx: Context, *gradients: Any) -> Any:
        recording = mode.enabled
        mode.enabled = False
        try:
            found = backward(ctx, *gradients)
        finally:
            mode.enabled = recording
        if not recording:
            return found

        def refuse(gy: Any, node: Node) -> list[Any]:
            raise GradientError(
                f"{ctx._name}: its backward is once_differentiable: there is no gradient of its "
                "gradient"
            )

        parts = found if isinstance(found, (tuple, list)) else (found,)
        edges = tuple(
            g._node
            for g in (*gradients, *ctx.saved_tensors)
            if getattr(g, "_node", None) is not None
        )
        marked = []
        for g in parts:
            if g is not None and hasattr(g, "_storage"):
                g = g.detach()
                record(g, refuse, edges, None)
            marked.append(g)
        return tuple(marked) if isinstance(found, (tuple, list)) else marked[0]

    return once


__all__ = ["Function", "once_differentiable"]
