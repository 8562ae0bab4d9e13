"""How an op is declared: one decorator for the built-ins and for users, and the registry of all
that were declared.

    @op(
        gradient=(lambda gy, y, a, b: gy @ b.mT, lambda gy, y, a, b: a.mT @ gy),
        saves=("a", "b"),
    )
    def matmul(a: Tensor, b: Tensor, /) -> Tensor: ...

The function computes the forward and knows nothing of the tape. Its parameters annotated `Tensor`
(or `Tensor | None`) are the inputs and come first; the others are parameters of the op. Everything
is handed on to the gradient under the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from tensorgrad.autograd._recorded import recorded
from tensorgrad.autograd._traced import traced

P = ParamSpec("P")
T = TypeVar("T")


class Case:
    """Inputs on which an op is checked. `inputs` are shapes (filled with random numbers from [low,
    high), kept `margin` away from the points in `avoid`, where the op has a kink) or arrays used as
    they are; `params` are the op's other arguments. `plus` is an array that is added to the random
    numbers of the first input, to make it an invertible matrix, say."""

    def __init__(
        self,
        *inputs: Any,
        low: float = -2.0,
        high: float = 2.0,
        avoid: Sequence[float] = (),
        margin: float = 0.1,
        plus: Any = None,
        **params: Any,
    ) -> None:
        self.inputs = inputs
        self.low, self.high, self.avoid, self.margin = low, high, tuple(avoid), margin
        self.plus = plus
        self.params = params

    def __repr__(self) -> str:
        inputs = [
            str(i) if isinstance(i, tuple) else f"array{getattr(i, 'shape', '')}"
            for i in self.inputs
        ]
        return f"Case({', '.join(inputs + [f'{k}={v!r}' for k, v in self.params.items()])})"


class Op:
    """A declared op.

    name       its name, and its function's.
    function   what users call: converts, computes, records.
    reference  the same function on NumPy arrays.
    cases      inputs on which it is checked.
    family     the kind of declaration: "op", "unary", "binary", "composite".
    kernel     where it computes: "C" or "NumPy".
    methods    the names under which a Tensor has it.
    second     whether gradients of its gradient are checked.
    batching   how vmap computes it, where that is not known by its name (see `op`).
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        reference: Callable[..., Any] | None,
        cases: Sequence[Case],
        *,
        family: str,
        kernel: str,
        differentiable: bool,
        methods: tuple[str, ...],
        second: bool | None = None,
        tags: Sequence[str] = (),
        batching: Any = None,
    ) -> None:
        self.name = name
        self.function = function
        self.reference = reference
        self.cases = tuple(cases)
        self.family = family
        self.kernel = kernel
        self.differentiable = differentiable
        self.methods = methods
        self.second = differentiable if second is None else second
        self.tags = frozenset(tags)
        self.batching = batching

    def __repr__(self) -> str:
        return f"<op {self.name}: {self.family}, {self.kernel}>"


registry: dict[str, Op] = {}


def register(declared: Op) -> None:
    """Adds an op. Raises ValueError if the name is taken or the declaration is incomplete."""
    name = declared.name
    if name in registry:
        raise ValueError(
            f"op {name!r}: an op of this name exists already ({registry[name].function.__module__})"
        )
    if not (declared.function.__doc__ or "").strip():
        raise ValueError(f"op {name!r}: expected a docstring")
    declared.function.op = declared  # type: ignore[attr-defined]
    registry[name] = declared


def methods_of(name: str, method: bool | str | Sequence[str]) -> tuple[str, ...]:
    """The Tensor methods that a declaration asks for: True means one of the op's own name."""
    if isinstance(method, bool):
        return (name,) if method else ()
    return (method,) if isinstance(method, str) else tuple(method)


def op(
    *,
    gradient: Callable[..., Any] | Sequence[Callable[..., Any] | None] | None,
    saves: Sequence[str] = (),
    reference: Callable[..., Any] | None,
    cases: Sequence[Case] = (),
    method: bool | str | Sequence[str] = True,
    kernel: str = "C",
    second: bool = True,
    kernel_only: bool = False,
    view: bool = False,
    batching: str | Callable[[Any], Any] | None = None,
    tags: Sequence[str] = (),
    name: str | None = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Declares an op. Used by the built-ins and open to everyone.

    gradient   One function per input, in order, each `(gy, y, *inputs, *params) -> gx` and called
               only where it is wanted (None: no gradient flows to that input). Where the inputs
               share work, a single function that returns a tuple of all and is told by the keyword
               `needs` (a tuple of booleans) which are wanted. Written in ops, a gradient can be
               differentiated again. The engine sums a gradient over broadcast axes. None: not
               differentiable.
    saves      What the gradients read: names of inputs, "y" for the output. Other inputs arrive
               with a shape and a dtype only. If the forward returns a tuple (y, extra), the
               gradients get `extra` as a keyword.
    reference  The same function on NumPy arrays: the tests compare with it.
    cases      Inputs on which it is checked (see Case).
    method     Whether Tensor has a method of this name, or under which names.
    name       The name in the registry, where it is not the function's: "linalg.inv".
    kernel_only  The forward calls kernels and no other op, and always returns a new float Tensor.
               That saves what is otherwise looked after: recording is switched off while the
               forward runs, and a result that is an input or no float is treated as such.
    view       The result may show the memory of the first input, made with `view`: a later write in
               place to either is then differentiated for both.

    batching   How `func.vmap` computes a whole batch at once; None: element by element, which is
               right for every op. "elementwise": as the inputs broadcast; "trailing": the op looks
               at the last axes only, whatever comes before them; "matrices": at the last two, which
               it must be given; "along": at one, its parameter
               `axis`; "reduction": at those of its parameter `axis` (None, one or several), with
               `keepdims`. Or a rule, a function of a Call (see func/_call.py).

    Raises ValueError if the name is taken, or the docstring missing.

    >>> import numpy as np, tensorgrad
    >>> from tensorgrad import Tensor, op
    >>> @op(
    ...     gradient=lambda gy, y, x: gy * 3 * x**2,
    ...     saves=("x",),
    ...     reference=lambda x: x**3,
    ...     method=False,
    ... )
    ... def cube_example(x: Tensor) -> Tensor:
    ...     \"\"\"x to the third power.\"\"\"
    ...     return x * x * x
    >>> x = tensorgrad.tensor([2.0], requires_grad=True)
    >>> cube_example(x).sum().backward()
    >>> x.grad
    tensor([12.])
    """

    def declare(forward: Callable[P, T]) -> Callable[P, T]:
        function: Callable[P, T] = recorded(forward, gradient, tuple(saves), kernel_only, view)
        register(
            Op(
                name or forward.__name__,
                function,
                reference,
                cases,
                family="op",
                kernel=kernel,
                differentiable=gradient is not None,
                methods=methods_of(forward.__name__, method),
                second=second and gradient is not None,
                tags=tags,
                batching=batching,
            )
        )
        return function

    return declare


def _handing_over(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which leaves the call to what stands for a Tensor if it is given that."""

    @wraps(function)
    def call(*args: Any, **params: Any) -> Any:
        stand_in = traced(args)
        if stand_in is not None:
            return stand_in.apply(call, args, params)
        return function(*args, **params)

    return call


def composite(
    *,
    reference: Callable[..., Any] | None,
    cases: Sequence[Case] = (),
    method: bool | str | Sequence[str] = True,
    differentiable: bool = True,
    batching: str | None = None,
    tags: Sequence[str] = (),
    name: str | None = None,
    kernel: str = "C",
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Declares a function that is written in other ops and needs no gradient of its own: it gets
    the same checks, method, documentation and benchmark row.

    batching   For a function that looks at values, or at memory, itself: how `func.vmap` computes a
               whole batch, as for `op`, or "loop" for element by element. One made of ops alone
               needs nothing.
    name, kernel  As of `op`.
    """

    def declare(function: Callable[P, T]) -> Callable[P, T]:
        if batching is not None:
            function = _handing_over(function)
        register(
            Op(
                name or function.__name__,
                function,
                reference,
                cases,
                family="composite",
                kernel=kernel,
                differentiable=differentiable,
                methods=methods_of(function.__name__, method),
                tags=tags,
                batching=batching,
            )
        )
        return function

    return declare
