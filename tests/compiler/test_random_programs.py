"""Random programs of ops: eager, replayed as recorded and replayed with all passes, the same bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad
from tensorgrad import Tensor, compile, no_grad
from tensorgrad.autograd import grad, registry
from tensorgrad.testing._samples import is_varied

CALLS = 4
DTYPES = ("float32", "float64")

# ops by what they take: everything of the registry that a case shows for one or two tensors of any
# shape, found by trying it
SHAPES = ((4, 3), (3,), (4, 1), (), (2, 4, 3))


def _takes(op, n):
    case = op.cases[0]
    return (
        op.function.__module__.startswith("tensorgrad.")
        and len(case.inputs) == n
        and all(is_varied(case))
        and not case.params
        and case.plus is None
    )


def _works(op, n):
    """Whether the op takes tensors of every one of the shapes, and no values in particular."""
    with np.errstate(all="ignore"):
        for shape in SHAPES[:2]:
            try:
                y = op.function(*(tensorgrad.full(shape, 0.5) for _ in range(n)))
            except Exception:  # noqa: BLE001
                return False
            if not isinstance(y, Tensor) or y.dtype.kind != "f":
                return False
    return True


OPS = {
    n: sorted(name for name, op in registry.items() if op.cases and _takes(op, n) and _works(op, n))
    for n in (1, 2)
}

INTEGER_OPS = ("add", "mul", "sub", "maximum", "floor_divide", "bitwise_xor")
VIEWS = {
    "transpose": lambda x: x.T if x.ndim >= 2 else x,
    "first": lambda x: x[0] if x.ndim else x,
    "every second": lambda x: x[..., ::2] if x.ndim else x,
    "backwards": lambda x: x[..., ::-1] if x.ndim else x,
    "one more axis": lambda x: x[None],
    "flat": lambda x: x.reshape(-1),
    "broadcast": lambda x: tensorgrad.broadcast_to(x, (2, *x.shape)),
}
REDUCTIONS = ("sum", "mean", "max", "logsumexp", "prod")
IN_PLACE = {
    "add_": lambda x, y: x.add_(y),
    "mul_": lambda x, y: x.mul_(y),
    "setitem": lambda x, y: x.__setitem__(..., y),
    "slice": lambda x, y: x.__setitem__(slice(0, 1) if x.ndim else ..., y),
    "fill_": lambda x, y: x.fill_(0.25),
}


@st.composite
def steps(draw):
    """Instructions: (kind, name, numbers of earlier values)."""
    found = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(
            st.sampled_from(
                (
                    *("op", "op", "op", "pair", "pair", "view", "reduce", "in place", "integer"),
                    *("dropout", "index", "where", "cast", "scalar"),
                )
            )
        )
        name = {
            "op": st.sampled_from(OPS[1]),
            "pair": st.sampled_from(OPS[2]),
            "view": st.sampled_from(sorted(VIEWS)),
            "reduce": st.sampled_from(REDUCTIONS),
            "in place": st.sampled_from(sorted(IN_PLACE)),
            "integer": st.sampled_from(INTEGER_OPS),
            "cast": st.sampled_from(DTYPES),
        }.get(kind, st.just(""))
        found.append((kind, draw(name), draw(st.integers(0, 99)), draw(st.integers(0, 99))))
    return found


@st.composite
def programs(draw):
    return {
        "inputs": draw(
            st.lists(
                st.tuples(st.sampled_from(SHAPES), st.sampled_from(DTYPES)), min_size=1, max_size=3
            )
        ),
        "steps": draw(steps()),
        "derivatives": draw(st.integers(0, 2)),
        "results": draw(st.integers(1, 4)),
        "keep": draw(st.booleans()),
    }


def run(program, generator, tensors, index, integers, weight):
    """What a program computes: its results, derivatives by the weight, and what is left in memory."""
    values = [t * weight.astype(t.dtype) for t in tensors]
    whole = integers
    for kind, name, i, j in program["steps"]:
        x, y = values[i % len(values)], values[j % len(values)]
        try:
            if kind == "op":
                z = registry[name].function(x)
            elif kind == "pair":
                z = registry[name].function(x, y)
            elif kind == "view":
                z = VIEWS[name](x)
            elif kind == "reduce":
                z = (
                    getattr(tensorgrad, name)(x, axis=-1)
                    if x.ndim and i % 2
                    else getattr(tensorgrad, name)(x)
                )
            elif kind == "in place":
                x = x.copy() if i % 3 == 0 else x
                IN_PLACE[name](x, y)
                z = x
            elif kind == "integer":
                whole = registry[name].function(whole, integers + j)
                z = whole.astype("float32")
            elif kind == "dropout":
                with no_grad():
                    mask = tensorgrad.bernoulli(0.5, x.shape, x.dtype, generator=generator)
                z = x * mask
            elif kind == "index":
                z = x.take(index, 0) if x.ndim and x.shape[0] > 2 else x
            elif kind == "where":
                z = tensorgrad.where(x > 0.0, x, y)
            elif kind == "cast":
                z = x.astype(name)
            else:
                z = x * 1.5 + j
        except tensorgrad.errors.TensorgradError:
            continue  # shapes that do not fit, a write that is refused
        if z.size <= 4096:
            values.append(z)
    results = values[-program["results"] :]
    derivatives = []
    root = [r.sum().astype("float64") for r in values[-2:] if r.requires_grad]
    if program["derivatives"] and root:
        again = program["derivatives"] == 2
        total = root[0] if len(root) == 1 else root[0] + root[1]
        try:
            first = grad(total, weight, create_graph=again, allow_unused=True)
            derivatives.append(first)
            if again and first is not None and first.requires_grad:
                derivatives.append(grad((first * first).sum(), weight, allow_unused=True))
        except tensorgrad.errors.TensorgradError as error:  # such as a value that was overwritten
            derivatives.append(type(error).__name__)
    return [r.detach() if isinstance(r, Tensor) else r for r in (*results, *derivatives, whole)]


def bits(results):
    return [
        (r.shape, str(r.dtype), r.numpy().tobytes()) if isinstance(r, Tensor) else r
        for r in results
    ]


@settings(max_examples=40)
@given(program=programs())
def test_replays_give_the_bits_of_eager(program):
    weight = tensorgrad.tensor(0.75, requires_grad=True)
    runs = {
        "eager": lambda g: lambda *args: run(program, g, *args, weight),
        "recorded": lambda g: compile(lambda *args: run(program, g, *args, weight), passes=()),
        "passes": lambda g: compile(lambda *args: run(program, g, *args, weight)),
    }
    functions = {}
    generators = {}
    for name, make in runs.items():
        generators[name] = tensorgrad.Generator(1)
        functions[name] = make(generators[name])
    kept = {name: [] for name in runs}
    with np.errstate(all="ignore"):
        for call in range(CALLS):
            for name, function in functions.items():
                rng = np.random.default_rng(call)
                tensors = [
                    tensorgrad.tensor(rng.uniform(-1.5, 1.5, shape), dtype)
                    for shape, dtype in program["inputs"]
                ]
                index = tensorgrad.tensor(rng.integers(0, 3, 3))
                integers = tensorgrad.tensor(rng.integers(1, 9, 3))
                result = function(tensors, index, integers)
                kept[name].append(
                    (bits(result), result if program["keep"] else None, bits(tensors))
                )
    for name in ("recorded", "passes"):
        for call, (got, expected) in enumerate(zip(kept[name], kept["eager"])):
            assert got[0] == expected[0], (name, call)
            assert got[2] == expected[2], (name, call, "inputs")
            if got[1] is not None:  # as they were when they were returned
                assert bits(got[1]) == got[0], (name, call, "kept")
        assert generators[name].get_state() == generators["eager"].get_state()


def test_there_are_enough_ops():
    assert len(OPS[1]) > 30
    assert len(OPS[2]) > 8
