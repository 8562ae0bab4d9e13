"""Derivatives as functions of functions. They nest in each other and in vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._tree import built, leaves_of
from tensorgrad.errors import ShapeError
from tensorgrad.func._batched import raised
from tensorgrad.func._run import Run, run_by
from tensorgrad.func._vmap import vmap
from tensorgrad.ops.creation import eye, zeros_like
from tensorgrad.ops.shaping import moveaxis, reshape


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
        run = run_by(function, argnums, args, kwargs, has_aux, "func.grad")
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
    run = Run(function, primals, has_aux, "func.vjp")

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
    run = Run(function, tuple(primals), has_aux, "func.jvp")
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
        run = run_by(function, argnums, args, kwargs, has_aux, "func.jacrev")
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
        run = run_by(function, argnums, args, kwargs, has_aux, "func.jacfwd")
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
