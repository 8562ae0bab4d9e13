"""Everything that an op must pass, from its declaration alone: reference, cases, family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import log2, prod
from typing import Any

import numpy as np

from tensorgrad import autograd
from tensorgrad._native import get_num_threads, set_num_threads
from tensorgrad._tensor import Tensor
from tensorgrad.autograd import Case, Op, registry
from tensorgrad.autograd._tree import leaves_of
from tensorgrad.compiler import compile
from tensorgrad.dtypes import float32, float64
from tensorgrad.errors import ArgumentError, CaptureError, TensorgradError
from tensorgrad.ops.creation import from_numpy
from tensorgrad.random import manual_seed
from tensorgrad.testing._compare import CheckError, assert_close, to_array
from tensorgrad.testing._gradcheck import gradcheck, gradgradcheck
from tensorgrad.testing._samples import LAYOUTS, is_varied, sample_inputs, to_tensor

Array = np.ndarray[Any, Any]

# what an op that is checked may raise: it is reported as a failure of the check it arose in
_FAILURES = (TensorgradError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_FLOAT32_FORWARD = {"rtol": 1e-5, "atol": 5e-6}
_FLOAT32_GRADIENT = {"rtol": 1e-4, "atol": 1e-5}

_CALLS = 4  # of a compiled function: two are recorded, the others replayed

# elements of a result or input that is large enough for its work to be split among threads
_LARGE = 2**18


def check_op(op: Op | str | Callable[..., Any], cases: Sequence[Case] | None = None) -> None:
    """Runs every check on a declared op, built-in or yours.

    For each of its cases: the forward against the reference in float64 and float32; gradient and
    gradient of the gradient against central differences; the float32 gradient against the float64
    one; inputs and upstream gradients that are transposed, strided or have negative steps; the
    same tensor, or overlapping views of one, as several inputs; inputs unmodified. Elementwise ops
    are also tried without axes, empty, and broadcast. Then inputs large enough to be split among
    threads: against the reference, and with the same bits for 1, 2, 3 and 4 threads. Last a replay
    by `tensorgrad.compile`: the same bits, or a CaptureError that says why not.

    op: the function, its name, or the Op of the registry. cases: instead of the declared ones.

    Raises CheckError that names the op, the case, the check and the largest difference.

    >>> import numpy as np, tensorgrad
    >>> from tensorgrad import Tensor, op
    >>> from tensorgrad.autograd import Case
    >>> from tensorgrad.testing import check_op
    >>> @op(
    ...     gradient=lambda gy, y, x: gy * 3 * x**2,
    ...     saves=("x",),
    ...     reference=lambda x: x**3,
    ...     cases=(Case((3, 4)), Case(())),
    ...     method=False,
    ... )
    ... def cubed(x: Tensor) -> Tensor:
    ...     \"\"\"x to the third power.\"\"\"
    ...     return x * x * x
    >>> check_op(cubed)
    """
    declared = find_op(op)
    chosen = all_cases(declared) if cases is None else tuple(cases)
    if declared.reference is None or not chosen:
        raise CheckError(f"op {declared.name}: expected a reference and at least one case")
    for case in chosen:
        check_case(declared, case)
    for case in large_cases(declared, chosen):
        check_large(declared, case)
    check_replay(declared, chosen[0])


def find_op(op: Op | str | Callable[..., Any]) -> Op:
    """The declaration of an op given by itself, its name or its function."""
    found = registry.get(op) if isinstance(op, str) else getattr(op, "op", op)
    if not isinstance(found, Op):
        raise ArgumentError(f"expected a declared op or its name, got {op!r}")
    return found


def all_cases(op: Op) -> tuple[Case, ...]:
    """The declared cases, and for elementwise families those that every such op must handle."""
    if not op.cases:
        return ()
    first = op.cases[0]
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = ()
    if op.family == "unary":
        shapes = (((),), ((0,),), ((2, 0, 3),), ((1, 1),), ((67,),))
    elif op.family == "binary":
        shapes = (((), ()), ((0,), (1,)), ((0, 3), (3,)), ((3, 1), (1, 4)), ((67,), ()))
    return op.cases + tuple(_reshaped(first, *inputs) for inputs in shapes)


def _reshaped(case: Case, *inputs: Any) -> Case:
    return Case(
        *inputs,
        low=case.low,
        high=case.high,
        avoid=case.avoid,
        margin=case.margin,
        plus=case.plus,
        **case.params,
    )


@contextmanager
def _about(op: Op, case: Case, check: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        kind = "" if isinstance(error, CheckError) else f"{type(error).__name__}: "
        raise CheckError(f"op {op.name}, {case!r}, {check}: {kind}{error}") from error


def check_case(op: Op, case: Case) -> None:
    """Every check of one case at its own size."""
    for dtype in (float64, float32):
        with _about(op, case, f"{dtype} forward"):
            _check_forward(op, case, dtype)
    if op.differentiable and any(is_varied(case)):
        with _about(op, case, "gradient"):
            gradcheck(_function(op, case), _leaves(case))
        with _about(op, case, "float32 gradient against float64"):
            exact = _gradients(op, case, _leaves(case))
            for i, gx in _gradients(op, case, _leaves(case, float32)).items():
                assert_close(gx, exact[i], what=f"gradient of input {i}", **_FLOAT32_GRADIENT)
        if op.second:
            with _about(op, case, "gradient of the gradient"):
                gradgradcheck(_function(op, case), _leaves(case))
    _check_layouts(op, case)
    _check_shared_memory(op, case)


def _function(op: Op, case: Case) -> Callable[..., Any]:
    return lambda *inputs: op.function(*inputs, **case.params)


def _leaves(case: Case, dtype: Any = float64) -> list[Tensor | None]:
    return [
        to_tensor(array, requires_grad=varied)
        for array, varied in zip(sample_inputs(case, dtype), is_varied(case), strict=True)
    ]


def _parts(result: Any) -> list[Any]:
    """The results of an op that returns one, or a tuple of them."""
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _results(op: Op, case: Case, inputs: Sequence[Any]) -> list[Any]:
    """What the op returns."""
    return _parts(op.function(*inputs, **case.params))


def _reference(op: Op, case: Case, arrays: Sequence[Array | None]) -> list[Array]:
    """What the reference returns."""
    assert op.reference is not None
    with np.errstate(all="ignore"):
        return [np.asarray(part) for part in _parts(op.reference(*arrays, **case.params))]


def _labels(results: Sequence[Any]) -> list[str]:
    return ["result"] if len(results) == 1 else [f"result {i}" for i in range(len(results))]


def _assert_all_close(results: Sequence[Any], expected: Sequence[Any], **tolerance: Any) -> None:
    if len(results) != len(expected):
        raise CheckError(f"expected {len(expected)} results, got {len(results)}")
    for what, got, want in zip(_labels(results), results, expected, strict=True):
        assert_close(got, want, what=what, **tolerance)


def _check_forward(op: Op, case: Case, dtype: Any) -> None:
    arrays = sample_inputs(case, dtype)
    inputs = [to_tensor(array) for array in arrays]
    results = _results(op, case, inputs)
    for got in results:
        if not isinstance(got, Tensor):
            raise CheckError(f"expected a Tensor, got {type(got).__name__}")
    for i, (x, array) in enumerate(zip(inputs, arrays, strict=True)):
        if array is not None and to_array(x).tobytes() != array.tobytes():
            raise CheckError(f"the forward modified input {i} in place")
    expected = _reference(op, case, sample_inputs(case, float64))
    floats = any(a is not None and a.dtype == dtype for a in arrays)
    likewise = _reference(op, case, arrays)
    if not len(results) == len(expected) == len(likewise):
        raise CheckError(f"expected {len(expected)} results, got {len(results)}")
    for what, got, want, like in zip(_labels(results), results, expected, likewise, strict=True):
        wanted = like.dtype
        if wanted.kind in "fc" and floats and "dtype" not in case.params:
            # NumPy may compute in float64 what was given in float32
            wanted = np.dtype(dtype) if wanted.kind == "f" else np.result_type(dtype, np.complex64)
        if got.dtype != wanted:
            raise CheckError(f"expected {wanted}, got {got.dtype} (the {what})")
        tolerance = _FLOAT32_FORWARD if got.dtype.name in ("float32", "complex64") else {}
        assert_close(got, want, what=what, **tolerance)


def _upstream(y: Tensor) -> Array:
    return np.random.default_rng(1).uniform(0.5, 1.5, y.shape).astype(y.dtype)


def _gradients(op: Op, case: Case, inputs: list[Any], layout: str = "") -> dict[int, Tensor]:
    """The gradient of each input that requires grad, from a fixed random upstream gradient."""
    by = [i for i, x in enumerate(inputs) if x is not None and x.requires_grad]
    ys = [y for y in _results(op, case, inputs) if y.requires_grad]
    gys = [to_tensor(_upstream(y), layout) for y in ys]
    return dict(zip(by, autograd.grad(ys, [inputs[i] for i in by], gys), strict=True))


def _check_layouts(op: Op, case: Case) -> None:
    arrays = sample_inputs(case)
    varied = is_varied(case)
    plain = [to_tensor(a) for a in arrays]
    with_axes = [i for i, a in enumerate(arrays) if a is not None and a.ndim]
    if not with_axes:
        return
    expected = _results(op, case, plain)
    gradients: dict[int, Tensor] = {}
    if op.differentiable and any(varied):
        gradients = _gradients(op, case, _leaves(case))
    groups = [with_axes] + [[i] for i in with_axes if len(with_axes) > 1]
    for layout in LAYOUTS:
        for group in groups:
            with _about(op, case, f"{layout} memory of inputs {group}"):
                inputs = [
                    to_tensor(a, layout if i in group else "", bool(gradients) and varied[i])
                    for i, a in enumerate(arrays)
                ]
                _assert_all_close(_results(op, case, inputs), expected)
                if gradients:
                    for i, gx in _gradients(op, case, inputs, layout).items():
                        assert_close(gx, gradients[i], what=f"gradient of input {i}")
                for i, (x, array) in enumerate(zip(inputs, arrays, strict=True)):
                    if array is not None and to_array(x).tobytes() != array.tobytes():
                        raise CheckError(f"input {i} was modified in place")


def _check_shared_memory(op: Op, case: Case) -> None:
    """op(x, x), and op(x, x backwards): the same memory under several inputs."""
    shapes = [value for value in case.inputs if isinstance(value, tuple)]
    twice = next((s for s in shapes if shapes.count(s) > 1), None)
    if twice is None:
        return
    at = [i for i, v in enumerate(case.inputs) if isinstance(v, tuple) and v == twice]
    arrays = sample_inputs(case)
    shared = arrays[at[0]]
    assert shared is not None
    backwards = (slice(None, None, -1),) * len(twice)
    views: dict[str, Callable[[Any], Any]] = {"the same tensor": lambda x: x}
    if twice:
        views["overlapping views"] = lambda x: x[backwards]
    for what, view in views.items():

        def spread(x: Any, view: Callable[[Any], Any] = view) -> list[Any]:
            others = [view(x) if i in at[1:] else to_tensor(a) for i, a in enumerate(arrays)]
            return [x if i == at[0] else other for i, other in enumerate(others)]

        def function(x: Any, spread: Callable[[Any], list[Any]] = spread) -> Any:
            return op.function(*spread(x), **case.params)

        with _about(op, case, f"{what} as inputs {at}"):
            inputs = [view(shared) if i in at[1:] else a for i, a in enumerate(arrays)]
            _assert_all_close(_parts(function(to_tensor(shared))), _reference(op, case, inputs))
            if op.differentiable:
                gradcheck(function, [to_tensor(shared, requires_grad=True)])


# ---- large inputs --------------------------------------------------------------------------------


def large_cases(op: Op, cases: Sequence[Case]) -> list[Case]:
    """Cases whose axes can all be made longer by one factor, so much that work is split. None for
    an op tagged "lapack": what it computes depends on the shape, and our threads have no part."""
    if "lapack" in op.tags:
        return []
    found: dict[str, Case] = {}
    for case in cases:
        large = _enlarged(op, case)
        if large is not None:
            # elementwise functions see no shape: one per set of parameters is enough
            key = repr(case.params) if op.family == "unary" else repr(large)
            found.setdefault(key, large)
    return list(found.values())


def _scaled(case: Case, factor: int) -> Case:
    inputs = [
        tuple(n if n < 2 else n * factor for n in value) if isinstance(value, tuple) else value
        for value in case.inputs
    ]
    return _reshaped(case, *inputs)


def _sizes(op: Op, case: Case) -> list[int]:
    sizes = [result.size for result in _reference(op, case, sample_inputs(case))]
    return [*sizes, *(prod(value) for value in case.inputs if isinstance(value, tuple))]


def _enlarged(op: Op, case: Case) -> Case | None:
    return enlarged_to(op, case, _LARGE)


def enlarged_to(op: Op, case: Case, elements: int) -> Case | None:
    """The case with its axes made longer by one factor, until its largest array has about so many
    elements; None if a parameter fixes the shapes."""
    try:
        before, after = _sizes(op, case), _sizes(op, _scaled(case, 2))
    except (ValueError, IndexError):
        return None  # a parameter fixes the shape
    if len(before) != len(after):
        return None  # the number of results grows with the input
    factors = [
        (elements / small) ** (1 / log2(double / small))
        for small, double in zip(before, after)
        if 0 < small < double
    ]
    return _scaled(case, int(min(factors)) | 1) if factors else None


def check_large(op: Op, case: Case) -> None:
    """The reference at a size that is split among threads, and the same bits for any number."""
    for dtype in (float64, float32):
        arrays = sample_inputs(case, dtype)
        wide = [a if a is None or a.dtype != dtype else a.astype(float64) for a in arrays]
        with _about(op, case, f"{dtype} forward"):
            results = _results(op, case, [to_tensor(a) for a in arrays])
            expected = _reference(op, case, wide)
            if len(results) != len(expected):
                raise CheckError(f"expected {len(expected)} results, got {len(results)}")
            for what, got, want in zip(_labels(results), results, expected, strict=True):
                if got.dtype.kind in "fc":
                    # sums over many elements, whose terms are larger than the result
                    unit = 1e-4 if got.dtype.name in ("float32", "complex64") else 1e-11
                    largest = float(np.max(np.abs(want), initial=1.0, where=np.isfinite(want)))
                    assert_close(got, want, rtol=10 * unit, atol=unit * largest, what=what)
                else:
                    assert_close(got, want, what=what)
    before = get_num_threads()
    try:
        with _about(op, case, "1 thread against several"):
            set_num_threads(1)
            alone = _bits(op, case)
            for threads in (2, 3, 4):
                set_num_threads(threads)
                for what, bits in _bits(op, case).items():
                    if bits != alone[what]:
                        raise CheckError(
                            f"{what} has other bits with {threads} threads than with 1"
                        )
    finally:
        set_num_threads(before)


def check_replay(op: Op, case: Case) -> None:
    """Results and gradients of a compiled function, for inputs that it was not recorded with."""
    taped = op.differentiable and any(is_varied(case))

    def function(*inputs: Any) -> Any:
        results = _results(op, case, inputs)
        ys = [y for y in results if y.requires_grad]
        if not ys:
            return results
        by = [x for x in inputs if x is not None and x.requires_grad]
        squares = [(y * y).sum() for y in ys]
        return results, autograd.grad(squares, by, allow_unused=True)

    compiled = compile(function)
    with _about(op, case, "replay by tensorgrad.compile"):
        for seed in range(_CALLS):
            arrays = sample_inputs(case, float32, seed)
            found = []
            for run in (function, compiled):
                manual_seed(seed)
                inputs = [
                    to_tensor(array, requires_grad=taped and varied)
                    for array, varied in zip(arrays, is_varied(case), strict=True)
                ]
                try:
                    found.append([y for y in leaves_of(run(*inputs)) if y is not None])
                except CaptureError:
                    return  # refused, and said so
            for eager, replayed in zip(*found, strict=True):
                if to_array(eager).tobytes() != to_array(replayed).tobytes():
                    raise CheckError(
                        f"call {seed} differs from the eager function's: a value that the op reads in "
                        f"Python, or memory that a kernel writes beyond its parameters, is not replayed"
                    )


def _bits(op: Op, case: Case) -> dict[str, bytes]:
    inputs = _leaves(case, float32)
    results = _results(op, case, inputs)
    bits = {
        f"the {what}": to_array(y).tobytes()
        for what, y in zip(_labels(results), results, strict=True)
    }
    ys = [y for y in results if y.requires_grad]
    if op.differentiable and ys:
        by = [x for x in inputs if x is not None and x.requires_grad]
        gradients = autograd.grad(ys, by, [from_numpy(_upstream(y)) for y in ys])
        bits |= {f"gradient {i}": to_array(gx).tobytes() for i, gx in enumerate(gradients)}
    return bits
