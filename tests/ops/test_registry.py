"""Every op of the registry through every check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tensorgrad
import tensorgrad.fft
import tensorgrad.linalg
from tensorgrad import Tensor, testing
from tensorgrad.autograd import registry

BUILT_IN = [op for op in registry.values() if op.function.__module__.startswith("tensorgrad.")]


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op.cases], ids=lambda op: op.name)
def test_op(op):
    testing.check_op(op)


@pytest.mark.parametrize("op", BUILT_IN, ids=lambda op: op.name)
def test_declaration_is_complete(op):
    assert op.reference is not None
    assert op.cases
    assert ">>>" in op.function.__doc__
    assert op.kernel in ("C", "NumPy")
    for method in op.methods:
        assert getattr(Tensor, method) is op.function


@pytest.mark.parametrize("op", BUILT_IN, ids=lambda op: op.name)
def test_takes_arrays(op):
    case = op.cases[0]
    arrays = testing.sample_inputs(case)
    results, expected = (
        op.function(*inputs, **case.params)
        for inputs in (arrays, [a if a is None else tensorgrad.tensor(a) for a in arrays])
    )
    several = isinstance(expected, (tuple, list))
    for got, want in zip(
        *((results, expected) if several else ([results], [expected])), strict=True
    ):
        assert type(got) is Tensor
        np.testing.assert_array_equal(got.numpy(), want.numpy())


UNARY = [op for op in BUILT_IN if op.family == "unary" and op.name != "power"]
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], np.float64)
# the references of these are formulas that lose the special values; what they must give is known
EXPECTED = {
    "gelu": [np.nan, np.inf, 0.0, 0.0, 0.0],
    "gelu_tanh": [np.nan, np.inf, 0.0, 0.0, 0.0],
    "silu": [np.nan, np.inf, 0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
def test_special_values(op, dtype):
    x = SPECIAL.astype(dtype)
    got = op.function(tensorgrad.tensor(x)).numpy()
    if op.name in EXPECTED:
        limits = got[:5]
        finite = [0, 1, 3, 4]
        np.testing.assert_array_equal(limits[finite], np.array(EXPECTED[op.name], dtype)[finite])
        assert limits[2] == 0 or np.isnan(limits[2])
        return
    with np.errstate(all="ignore"):
        expected = op.reference(x)
    np.testing.assert_allclose(got, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum", "pow_tensors"])
def test_special_values_of_pairs(name):
    a, b = (m.ravel().astype(np.float32) for m in np.meshgrid(SPECIAL, SPECIAL))
    op = registry[name]
    with np.errstate(all="ignore"):
        expected = op.reference(a, b)
    got = op.function(tensorgrad.tensor(a), tensorgrad.tensor(b)).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_type_stub_is_current():
    script = Path(__file__).parents[2] / "scripts" / "make_stubs.py"
    result = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_table_of_ops_is_current():
    script = Path(__file__).parents[2] / "scripts" / "make_ops_table.py"
    result = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
