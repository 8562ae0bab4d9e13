"""Every transcendental against mpmath on a small sample, in every kernel table;
scripts/measure_accuracy.py takes more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

import tensorgrad as tg
from tensorgrad.autograd import registry

SCRIPTS = str(Path(__file__).resolve().parents[2] / "scripts")
sys.path.insert(0, SCRIPTS)
try:
    import measure_accuracy as accuracy
finally:
    sys.path.remove(SCRIPTS)


@pytest.mark.parametrize("dtype", accuracy.DTYPES, ids=str)
@pytest.mark.parametrize("function", accuracy.FUNCTIONS, ids=lambda f: f.title)
def test_error_in_ulp(function: accuracy.Function, dtype: np.dtype[Any]) -> None:
    x = accuracy.points(dtype, 150, seed=1)
    exact = accuracy.exact_values(function, x)
    assert sum(e is not None for e in exact) > 40
    for table in accuracy.tables():
        error, where = accuracy.largest_error(function, x, exact)
        assert error <= function.limit, f"{table}: {error} ulp at {where!r}"


@pytest.mark.parametrize("dtype", accuracy.DTYPES, ids=str)
@pytest.mark.parametrize("name", ["atan2", "hypot"])
def test_error_of_pairs_in_ulp(name: str, dtype: np.dtype[Any]) -> None:
    a, b = accuracy.points(dtype, 450, seed=1), accuracy.points(dtype, 450, seed=2)
    random = np.random.default_rng(3)
    random.shuffle(b)
    with np.errstate(all="ignore"):
        near = (a * random.choice([0.1, 0.499, 0.501, 1.0, 3.0], len(a))).astype(dtype)
    b = np.where(random.random(len(a)) < 0.4, near, b)
    kept = np.isfinite(a) & np.isfinite(b) & (a != 0) & (b != 0)
    a, b = a[kept], b[kept]
    with mp.workprec(200):
        exact = [getattr(mp, name)(mpf(x), mpf(y)) for x, y in zip(a.tolist(), b.tolist())]
        for table in accuracy.tables():
            got = registry[name].function(tg.tensor(a), tg.tensor(b)).tolist()
            for x, y, g, e in zip(a.tolist(), b.tolist(), got, exact):
                error = accuracy.ulps(g, e, dtype)
                assert error <= 2.0, f"{table}: {error} ulp at {x!r}, {y!r}"


@pytest.mark.parametrize(
    ("got", "exact", "expected"),
    [
        (1.0, mpf(1) + mpf(2) ** -25, 0.25),
        (1.0 - 2.0**-24, mpf(1) - mpf(2) ** -25, 0.5),
        (0.0, mpf(2) ** -149, 1.0),  # subnormal: the unit stays that of the smallest normal number
        (np.inf, mpf(2) ** 128 - mpf(2) ** 104, 1.0),
        (np.inf, mpf(2) ** 200, 0.0),
        (-np.inf, mpf(2) ** 200, np.inf),
        (np.nan, mpf(1), np.inf),
    ],
)
def test_ulps(got: float, exact: Any, expected: float) -> None:
    assert accuracy.ulps(got, exact, np.dtype(np.float32)) == expected
