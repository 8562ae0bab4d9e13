"""Every op of the registry inside a compiled function: the bits of the eager run, or refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tensorgrad
import tensorgrad.fft
import tensorgrad.linalg
from tensorgrad import Tensor, compile
from tensorgrad.autograd import grad, registry
from tensorgrad.errors import CaptureError
from tensorgrad.testing._samples import is_varied, sample_inputs

CALLS = 4  # two recordings, two replays
BUILT_IN = [
    op for op in registry.values() if op.function.__module__.startswith("tensorgrad.") and op.cases
]
SHAPE = "the shape of .* depends on values"
READS = "reads values"
# what the error says of ops that a program cannot have, in at least one of their cases
REFUSED = {
    "argwhere": SHAPE,
    "bincount": READS,  # the largest integer is the length of the result
    "linalg.lstsq": READS,  # whether there are residuals depends on the rank
    "linalg.matrix_exp": READS,  # how often the matrix is squared depends on its norm
    "masked_select": SHAPE,
    "nonzero": SHAPE,
    "unique": SHAPE,
    "unique_all": SHAPE,
    "unique_counts": SHAPE,
    "unique_inverse": SHAPE,
    "unique_values": SHAPE,
}


def samples(op, case, seed):
    """Arrays for a call: other values for each seed. Those that the case gives as they are, indices
    and masks, are shuffled where the op takes them in any order."""
    arrays = sample_inputs(case, np.float64, seed)
    rng = np.random.default_rng(seed)
    shuffled = [
        a if varied or a is None else rng.permutation(a.ravel()).reshape(a.shape)
        for a, varied in zip(arrays, is_varied(case))
    ]
    try:
        op.function(*tensors(shuffled), **case.params)
    except tensorgrad.errors.TensorgradError:
        return arrays
    return shuffled


def tensors(arrays, by=()):
    return [
        None if a is None else tensorgrad.tensor(a, requires_grad=i in by)
        for i, a in enumerate(arrays)
    ]


def parts(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def on_tape(results):
    return [y for y in parts(results) if isinstance(y, Tensor) and y.requires_grad]


def bits(results):
    """Something equal for results of the same bits."""
    if isinstance(results, Tensor):
        array = results.detach().numpy()
        return array.shape, array.dtype, array.tobytes()
    return [bits(y) for y in results] if isinstance(results, (tuple, list)) else results


def forward(op, case):
    def function(inputs, weights):
        return op.function(*inputs, **case.params)

    return function


def gradients(op, case):
    def function(inputs, weights):
        y = op.function(*inputs, **case.params)
        by = [x for x in inputs if x is not None and x.requires_grad]
        return parts(y), grad(on_tape(y), by, weights, allow_unused=True)

    return function


def second_derivatives(op, case):
    def function(inputs, weights):
        y = op.function(*inputs, **case.params)
        by = [x for x in inputs if x is not None and x.requires_grad]
        first = grad(on_tape(y), by, weights, allow_unused=True, create_graph=True)
        again = on_tape(first)
        second = grad([(g * g).sum() for g in again], by, allow_unused=True) if again else ()
        return first, second

    return function


def check(op, case, made, differentiated):
    """Calls a compiled function and the function itself with the same values."""
    function = made(op, case)
    compiled = compile(function)
    by = [i for i, varied in enumerate(is_varied(case)) if varied] if differentiated else []
    for seed in range(CALLS):
        arrays = samples(op, case, seed)
        weights = []
        if differentiated:
            weights = [
                tensorgrad.tensor(np.random.default_rng(seed).uniform(0.5, 1.5, y.shape), y.dtype)
                for y in on_tape(op.function(*tensors(arrays, by), **case.params))
            ]
        expected = function(tensors(arrays, by), weights)
        got = compiled(tensors(arrays, by), weights)
        assert bits(got) == bits(expected), f"call {seed}"
    assert all(replay.confirmed for replay in compiled._replays.values())


@pytest.mark.parametrize("op", BUILT_IN, ids=lambda op: op.name)
def test_op(op):
    refused = 0
    for case in op.cases:
        forms = [(forward, False)]
        if op.differentiable and any(is_varied(case)):
            forms += [(gradients, True)] + [(second_derivatives, True)] * op.second
        for made, differentiated in forms:
            try:
                check(op, case, made, differentiated)
            except CaptureError as error:
                if not re.search(REFUSED.get(op.name, "no such op"), str(error)):
                    raise
                refused += 1
            except BaseException as error:
                error.add_note(f"{case!r}: {made.__name__}")
                raise
    assert (refused > 0) == (op.name in REFUSED)
