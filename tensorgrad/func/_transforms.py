"""Derivatives as functions of functions. They nest in each other and in vmap.

What is differentiated by gets a place of its own on the tape, so that a function sees a tensor that
others cannot reach. Inside vmap that is the tensor which holds the whole batch: every element then
has its own gradient, and nothing is summed over the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
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
from tensorgrad.func._vmap import vmap
from tensorgrad.ops.creation import eye, zeros_like
from tensorgrad.ops.shaping import moveaxis, reshape


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


class _Run:
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


def _matched(leaf: Any, t: Any, run: _Run) -> Any:
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


def _run(
    function: Callable[..., Any],
    argnums: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    has_aux: bool,
    where: str,
) -> _Run:
    """The function run with the arguments of numbers `argnums` on the tape."""
    picked = _places(argnums, args, where)

    def chosen(*trees: Any) -> Any:
        full = list(args)
        for i, tree in zip(picked, trees):
            full[i] = tree
        return function(*full, **kwargs)

    return _Run(chosen, tuple(args[i] for i in picked), has_aux, where)


def value_and_grad(
    function: Callable[..., Any], argnums: Any = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (function's value, its gradient). The value must be a Tensor of one
    element.

    argnums: the number of the argument to differentiate by, or several; each a Tensor, or a tuple,
    list or dict of them, of which form the gradient is. has_aux: the function returns (value,
    aux), and aux is handed on: ((value, aux), gradient).

    Raises ShapeError, DTypeError, ArgumentError.

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> func.value_and_grad(lambda x: (x * x).sum())(tensorgrad.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """

    @wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        run = _run(function, argnums, args, kwargs, has_aux, "func.grad")
        if not isinstance(run.results, Tensor) or run.results.size != 1:
            got = getattr(run.results, "shape", type(run.results).__name__)
            raise ShapeError(
                f"func.grad: expected the function to return one element, got {got}; reduce it, "
                "e.g. with sum(), or use func.jacrev"
            )
        (y,) = run.ys
        ones = y._filled(1.0)
        gradients = run.returned(run.pull([ones], retain=False))
        value = (run.results, run.aux) if has_aux else run.results
        return value, gradients[0] if isinstance(argnums, int) else gradients

    return transformed


def grad(
    function: Callable[..., Any], argnums: Any = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `function`, whose value must be a Tensor of one element.
    The rest as in `value_and_grad`; with has_aux the result is (gradient, aux).

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> func.grad(func.grad(lambda x: x**3))(tensorgrad.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(function, argnums, has_aux)

    @wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return transformed


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(function(*primals), pull): pull(v), v of the form of the results, gives a tuple of v^T J for
    each primal. pull may be called more than once. With has_aux, (results, pull, aux).

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> y, pull = func.vjp(lambda x: x * x, tensorgrad.tensor([1.0, 2.0]))
    >>> pull(tensorgrad.ones(2))
    (tensor([2., 4.]),)
    """
    run = _Run(function, primals, has_aux, "func.vjp")

    def pull(cotangents: Any) -> Any:
        gys = run.cotangents(cotangents)
        on_tape = mode.enabled and any(t.requires_grad for t in leaves_of(cotangents))
        return run.returned(run.pull(gys, create=on_tape), on_tape)

    return (run.results, pull, run.aux) if has_aux else (run.results, pull)


def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    has_aux: bool = False,
) -> Any:
    """(function(*primals), J v): the derivative in the direction of the tangents v, which have the
    primals' form. With has_aux, (results, J v, aux). Computed by two backwards, so for every function
    that can be differentiated twice.

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> func.jvp(lambda x: x * x, (x,), (tensorgrad.ones(2),))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    run = _Run(function, tuple(primals), has_aux, "func.jvp")
    pushed = run.pushed(tuple(tangents))
    return (run.results, pushed, run.aux) if has_aux else (run.results, pushed)


def _basis(t: Any) -> Tensor:
    """The unit tensors of t's shape, along axis 0."""
    return reshape(eye(t.size, dtype=t.dtype), (t.size, *t.shape))


def _with_one(leaves: Sequence[Any], i: int, one: Any) -> list[Any]:
    return [one if k == i else zeros_like(leaf) for k, leaf in enumerate(leaves)]


def jacrev(
    function: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `function`: of each result by each input, of shape
    (*result, *input); the form of the results, with that of the inputs in each. Backward, for all
    elements of the results at once, or chunk_size of them.

    argnums, has_aux: as in `value_and_grad`.

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> func.jacrev(lambda x: x * x)(tensorgrad.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        run = _run(function, argnums, args, kwargs, has_aux, "func.jacrev")
        results = leaves_of(run.results)

        def rows(i: int) -> Any:
            def row(one: Any) -> Any:
                gys = run.cotangents(_with_one(results, i, one))
                gys = [gy if k == i else None for k, gy in enumerate(gys)]
                return run.returned(run.pull(gys))

            y = results[i]
            gradients = vmap(row, chunk_size=chunk_size)(_basis(y))
            leaves = [reshape(g, (*y.shape, *g.shape[1:])) for g in leaves_of(gradients)]
            tree = built(run.form, leaves)
            return tree[0] if isinstance(argnums, int) else tree

        jacobian = built(run.results, [rows(i) for i in range(len(results))])
        return (jacobian, run.aux) if has_aux else jacobian

    return transformed


def jacfwd(
    function: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The same as `jacrev`, for all elements of the inputs at once: cheaper where there are fewer of
    them than of the results.

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> func.jacfwd(lambda x: x * x)(tensorgrad.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        run = _run(function, argnums, args, kwargs, has_aux, "func.jacfwd")
        inputs = [raised(x, run.of).detach() for x in run.xs]
        columns = []
        for i, x in enumerate(inputs):

            def column(one: Any, i: int = i) -> Any:
                return run.pushed(tuple(_with_one(inputs, i, one)))

            derivatives = leaves_of(vmap(column, chunk_size=chunk_size)(_basis(x)))
            columns.append(
                [reshape(moveaxis(d, 0, -1), (*d.shape[1:], *x.shape)) for d in derivatives]
            )

        def by_inputs(k: int) -> Any:
            tree = built(run.form, [column[k] for column in columns])
            return tree[0] if isinstance(argnums, int) else tree

        count = len(leaves_of(run.results))
        jacobian = built(run.results, [by_inputs(k) for k in range(count)])
        return (jacobian, run.aux) if has_aux else jacobian

    return transformed


def hessian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of `function`: jacrev of jacrev.

    >>> import tensorgrad
    >>> from tensorgrad import func
    >>> func.hessian(lambda x: (x**3).sum())(tensorgrad.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacrev(jacrev(function, argnums), argnums)


__all__ = ["grad", "hessian", "jacfwd", "jacrev", "jvp", "value_and_grad", "vjp"]
