"""vmap of every op equals the loop over the batch."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad import Tensor, func
from tensorgrad.autograd import grad, registry
from tensorgrad.testing import sample_inputs

BUILT_IN = [
    op
    for op in registry.values()
    if op.function.__module__.startswith("tensorgrad.")
    and op.cases
    and "values decide the shape" not in op.tags
]
BATCH = 3


def parts(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def batches(case):
    """For each input an array of BATCH of them, or None."""
    samples = [sample_inputs(case, np.float64, seed) for seed in range(BATCH)]
    return [None if s[0] is None else np.stack(s) for s in zip(*samples)]


def tensors(arrays, by=()):
    return [
        None if a is None else tensorgrad.tensor(a, requires_grad=i in by)
        for i, a in enumerate(arrays)
    ]


def assert_same(got, expected):
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)


def check(op, case, batched):
    """The op over a batch in the inputs `batched`, against the loop; its gradients too."""
    arrays = batches(case)
    arrays = [a if i in batched or a is None else a[0] for i, a in enumerate(arrays)]
    in_axes = tuple(0 if i in batched and a is not None else None for i, a in enumerate(arrays))
    by = [
        i
        for i, a in enumerate(arrays)
        if a is not None and a.dtype.kind == "f" and op.differentiable
    ]

    def function(*inputs):
        return op.function(*inputs, **case.params)

    inputs = tensors(arrays, by)
    got = parts(func.vmap(function, in_axes)(*inputs))
    again = tensors(arrays, by)
    loops = [
        parts(function(*(x[i] if a == 0 else x for x, a in zip(again, in_axes))))
        for i in range(BATCH)
    ]
    expected = [tensorgrad.stack(results) for results in zip(*loops, strict=True)]
    assert len(got) == len(expected)
    for y, want in zip(got, expected, strict=True):
        assert type(y) is Tensor
        assert_same(y.detach().numpy(), want.detach().numpy())
    on = [(y, want) for y, want in zip(got, expected) if y.requires_grad]
    assert len(on) == sum(want.requires_grad for want in expected)
    if not on:
        return
    results = []
    for ys, xs in (([y for y, _ in on], inputs), ([want for _, want in on], again)):
        gys = [
            tensorgrad.tensor(np.random.default_rng(1).uniform(0.5, 1.5, y.shape).astype(y.dtype))
            for y in ys
        ]
        results.append(grad(list(ys), [xs[i] for i in by], gys, allow_unused=True))
    for g, want in zip(*results):
        assert (g is None) == (want is None)
        if g is not None:
            assert_same(g.numpy(), want.numpy())


@pytest.mark.parametrize("op", BUILT_IN, ids=lambda op: op.name)
def test_vmap_is_the_loop(op):
    for case in op.cases:
        present = [i for i, a in enumerate(batches(case)) if a is not None]
        for batched in {tuple(present), *((i,) for i in present)}:
            try:
                check(op, case, batched)
            except Exception as error:
                error.add_note(f"{case!r}, batch in the inputs {batched}")
                raise


@pytest.mark.parametrize(
    "op",
    [op for op in BUILT_IN if any(len(c.inputs) > 1 for c in op.cases)],
    ids=lambda op: op.name,
)
def test_nested_vmap_is_two_loops(op):
    """One input in the batch of the outer vmap, another in that of the inner one, or in both."""
    for case in op.cases:
        arrays = batches(case)
        present = [i for i, a in enumerate(arrays) if a is not None]
        if len(present) < 2:
            continue
        for first, second in (present[:2], present[1::-1]):
            inputs = tensors(
                [a if a is None or i in (first, second) else a[0] for i, a in enumerate(arrays)]
            )

            def function(*inputs, case=case):
                return tuple(parts(op.function(*inputs, **case.params)))

            outer = tuple(0 if i == first else None for i in range(len(arrays)))
            inner = tuple(0 if i == second else None for i in range(len(arrays)))
            got = func.vmap(func.vmap(function, inner), outer)(*inputs)
            for i in range(BATCH):
                for j in range(BATCH):
                    want = function(
                        *(
                            x[i] if k == first else x[j] if k == second else x
                            for k, x in enumerate(inputs)
                        )
                    )
                    for y, z in zip(got, want, strict=True):
                        assert_same(y[i, j].numpy(), z.numpy())


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op.differentiable], ids=lambda op: op.name)
def test_jacobians(op):
    """Backward and forward derivatives of all results at once are those one by one."""
    case = min(
        (c for c in op.cases if any(isinstance(v, tuple) for v in c.inputs)),
        key=lambda c: sum(np.prod(v) if isinstance(v, tuple) else 0 for v in c.inputs) or 1000,
        default=None,
    )
    if case is None:
        pytest.skip("no case to differentiate")
    arrays = sample_inputs(case, np.float64)
    at = next(i for i, v in enumerate(case.inputs) if isinstance(v, tuple))
    rest = tensors(arrays)

    def function(x):
        results = op.function(*(x if i == at else r for i, r in enumerate(rest)), **case.params)
        return tuple(y for y in parts(results) if y.dtype.kind == "f")

    expected = tensorgrad.autograd.functional.jacobian(function, rest[at])
    for transformed in (func.jacrev, func.jacfwd) if op.second else (func.jacrev,):
        for got, want in zip(transformed(function)(rest[at]), expected, strict=True):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-7, atol=1e-9)
