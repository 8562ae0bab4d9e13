"""Derivatives of functions, with PyTorch's signatures: vjp, jvp, jacobian, hessian, hvp, vhp.

Each takes a function of one or several Tensors and the inputs at which to differentiate; results are
shaped as the inputs and outputs are: a Tensor where there is one, a tuple where there are several.
tensorgrad.func has the same for functions of any trees, and vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorgrad.autograd._declare import registry
from tensorgrad.autograd._functional import grad
from tensorgrad.autograd._modes import mode, recording
from tensorgrad.autograd._saved import is_tensor, on_tape
from tensorgrad.autograd._tape import Leaf, record
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, ShapeError


def _several(value: Any, where: str, what: str) -> tuple[tuple[Any, ...], bool]:
    """The Tensors as a tuple, and whether there was a tuple. Raises DTypeError."""
    is_tuple = isinstance(value, (tuple, list))
    tensors = tuple(value) if is_tuple else (value,)
    for t in tensors:
        if not is_tensor(t):
            raise DTypeError(f"{where}: expected {what} to be Tensors, got {type(t).__name__}")
    return tensors, is_tuple


def _identity(gy: Any, node: Any) -> list[Any]:
    return [gy]


_identity.__name__ = "input"


def _inputs(value: Any, where: str, recorded: bool) -> tuple[tuple[Any, ...], bool]:
    """The inputs as tensors of their own to differentiate by; on the tape behind the given ones if
    that is recorded."""
    tensors, is_tuple = _several(value, where, "the inputs")
    fresh = []
    for t in tensors:
        if t.dtype.kind != "f":
            raise DTypeError(f"{where}: expected float inputs, got {t.dtype}")
        x = on_tape(t, None)
        if recorded and t._node is not None:
            record(x, _identity, (t._node,), None)
        else:
            x._node = Leaf()
        fresh.append(x)
    return tuple(fresh), is_tuple


def _outputs(value: Any, where: str) -> tuple[tuple[Any, ...], bool]:
    return _several(value, where, "the function's results")


def _scalar(value: Any, where: str) -> Any:
    (y,), is_tuple = _outputs(value, where) if is_tensor(value) else ((None,), True)
    if is_tuple or y.size != 1:
        raise ShapeError(
            f"{where}: expected the function to return a Tensor of one element, got "
            f"{type(value).__name__ if y is None else y.shape}"
        )
    return y


def _direction(v: Any, like: Sequence[Any], where: str, of: str) -> tuple[Any, ...]:
    """The vector as a tuple of Tensors of the shapes of `like`; None means 1 for a single element."""
    if v is None:
        if len(like) != 1 or like[0].size != 1:
            raise ArgumentError(f"{where}: expected v, as the {of} are not one element")
        return (like[0]._filled(1.0),)
    vs, _ = _several(v, where, "v")
    if [t.shape for t in vs] != [t.shape for t in like]:
        raise ShapeError(
            f"{where}: expected v of the shapes of the {of}, {[t.shape for t in like]}, got "
            f"{[t.shape for t in vs]}"
        )
    return vs


def _grads(
    ys: Sequence[Any], xs: Sequence[Any], gys: Sequence[Any], create: bool, strict: bool, where: str
) -> tuple[Any, ...]:
    """The gradients of ys by xs, zeros where there is none (an error if strict)."""
    on = [(y, gy) for y, gy in zip(ys, gys) if y._node is not None]
    found: Sequence[Any] = [None] * len(xs)
    if on:
        outputs, gradients = zip(*on)
        found = grad(
            list(outputs),
            list(xs),
            list(gradients),
            retain_graph=True,
            create_graph=create,
            allow_unused=True,
        )
    if strict:
        for i, g in enumerate(found):
            if g is None:
                raise GradientError(f"{where}: the function's results do not depend on input {i}")
            if create and g._node is None:
                raise GradientError(
                    f"{where}: the derivative by input {i} does not depend on the inputs"
                )
    return tuple(x._filled(0.0) if g is None else g for x, g in zip(xs, found))


def _as(is_tuple: bool, values: Sequence[Any]) -> Any:
    return tuple(values) if is_tuple else values[0]


def _released(values: Any, create_graph: bool) -> Any:
    """Off the tape, unless the graph is wanted."""
    if isinstance(values, tuple):
        return tuple(_released(v, create_graph) for v in values)
    return values if create_graph else values.detach()


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The function's results, and v^T J, v times its Jacobian: what a backward from v gives.

    v: of the results' shapes; may be left out for a single element. create_graph: whether both can
    be differentiated. strict: an input that the results do not depend on raises GradientError
    instead of giving zeros. Raises ShapeError, DTypeError, ArgumentError.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> tensorgrad.autograd.functional.vjp(lambda x: x * x, x, tensorgrad.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    create = create_graph and mode.enabled
    with recording():
        xs, many = _inputs(inputs, "vjp", create)
        ys, several = _outputs(func(*xs), "vjp")
        vs = _direction(v, ys, "vjp", "results")
        result = _grads(ys, xs, vs, create, strict, "vjp")
    return _released(_as(several, ys), create), _released(_as(many, result), create)


def _forward(
    ys: Sequence[Any], xs: Sequence[Any], vs: Sequence[Any], create: bool, strict: bool, where: str
) -> tuple[Any, ...]:
    """J v by two backwards: u -> u^T J is linear in u, and its derivative in the direction v is J v."""
    us = [on_tape(y._filled(0.0), Leaf()) for y in ys]
    gs = _grads(ys, xs, us, True, False, where)
    if strict and any(g._node is None for g in gs):
        raise GradientError(f"{where}: the function's results do not depend on every input")
    return _grads(gs, us, vs, create, False, where)


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The function's results, and J v, its Jacobian times v: the derivative in the direction v.

    v: of the inputs' shapes; may be left out for a single element. The rest as in `vjp`. Computed by
    two backwards, so for every function that can be differentiated twice.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> tensorgrad.autograd.functional.jvp(lambda x: x * x, x, tensorgrad.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    create = create_graph and mode.enabled
    with recording():
        xs, _ = _inputs(inputs, "jvp", create)
        vs = _direction(v, xs, "jvp", "inputs")
        ys, several = _outputs(func(*xs), "jvp")
        result = _forward(ys, xs, vs, create, strict, "jvp")
    return _released(_as(several, ys), create), _released(_as(several, result), create)


def _unit(y: Any, i: int) -> Any:
    one = y._filled(0.0)
    one._array().reshape(-1)[i] = 1.0
    return one


def _jacobian(
    func: Callable[..., Any], inputs: Any, create: bool, strict: bool, where: str
) -> tuple[list[list[Any]], bool, bool]:
    """By output, by input: (*output shape, *input shape)."""
    stack = registry["stack"].function
    xs, many = _inputs(inputs, where, create)
    ys, several = _outputs(func(*xs), where)
    blocks = []
    for y in ys:
        if strict and y._node is None:
            raise GradientError(f"{where}: a result does not depend on the inputs")
        rows = [_grads((y,), xs, (_unit(y, i),), create, strict, where) for i in range(y.size)]
        blocks.append(
            [
                stack([row[k] for row in rows]).reshape((*y.shape, *x.shape))
                if rows
                else x._filled(0.0).reshape(-1)[:0].reshape((*y.shape, *x.shape))
                for k, x in enumerate(xs)
            ]
        )
    return blocks, many, several


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    """The Jacobian: of each result by each input, of shape (*result, *input). A Tensor for one result
    and one input; a tuple over the inputs, over the results, or over results of tuples over inputs.

    create_graph, strict: as in `vjp`. One backward per element of the results;
    tensorgrad.func.jacrev does all at once.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> tensorgrad.autograd.functional.jacobian(lambda x: x * x, x)
    tensor([[2., 0.],
            [0., 4.]])
    """
    create = create_graph and mode.enabled
    with recording():
        blocks, many, several = _jacobian(func, inputs, create, strict, "jacobian")
    return _released(_as(several, [_as(many, row) for row in blocks]), create)


def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    """The second derivatives of a function that returns one element: by each pair of inputs, of shape
    (*input, *input). A Tensor for one input, a tuple of tuples for several.

    create_graph, strict: as in `vjp`. Raises ShapeError if the function returns anything else.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> tensorgrad.autograd.functional.hessian(lambda x: (x**3).sum(), x)
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    create = create_graph and mode.enabled

    def gradient(*xs: Any) -> Any:
        y = _scalar(func(*xs), "hessian")
        return _grads((y,), xs, (y._filled(1.0),), True, strict, "hessian")

    with recording():
        blocks, many, _ = _jacobian(gradient, inputs, create, strict, "hessian")
    return _released(_as(many, [_as(many, row) for row in blocks]), create)


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The function's result, one element, and v^T H, v times its matrix of second derivatives.

    v: of the inputs' shapes. The rest as in `vjp`.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> tensorgrad.autograd.functional.vhp(lambda x: (x**3).sum(), x, tensorgrad.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    create = create_graph and mode.enabled
    with recording():
        xs, many = _inputs(inputs, "vhp", create)
        vs = _direction(v, xs, "vhp", "inputs")
        y = _scalar(func(*xs), "vhp")
        gs = _grads((y,), xs, (y._filled(1.0),), True, strict, "vhp")
        result = _grads(gs, xs, vs, create, False, "vhp")
    return _released(y, create), _released(_as(many, result), create)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The function's result, one element, and H v. H is symmetric where the second derivatives are
    continuous, and `vhp` then gives the same for less.

    v: of the inputs' shapes. The rest as in `vjp`.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> tensorgrad.autograd.functional.hvp(lambda x: (x**3).sum(), x, tensorgrad.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    create = create_graph and mode.enabled
    with recording():
        xs, many = _inputs(inputs, "hvp", create)
        vs = _direction(v, xs, "hvp", "inputs")
        y = _scalar(func(*xs), "hvp")
        gs = _grads((y,), xs, (y._filled(1.0),), True, strict, "hvp")
        result = _forward(gs, xs, vs, create, False, "hvp")
    return _released(y, create), _released(_as(many, result), create)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
