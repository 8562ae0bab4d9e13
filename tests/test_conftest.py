"""The guard of tests/conftest.py is itself tested: it must name what a test leaks, and undo it."""

from __future__ import annotations

from pathlib import Path

import pytest

LEAKS = {
    "grad mode": "tensorgrad.set_grad_enabled(False)",
    "number of threads": "tensorgrad.set_num_threads(tensorgrad.get_num_threads() + 1)",
    "memory limit": "tensorgrad.set_memory_limit(12345)",
    "registry of ops": "tensorgrad.autograd.registry.popitem()",
    "NumPy's error handling": "np.seterr(over='raise')",
    "NumPy's print options": "np.set_printoptions(precision=3)",
    "NumPy's global random state": "np.random.rand()",
    "Python's random state": "random.random()",
    "environment variables": "os.environ['TENSORGRAD_LEAK'] = '1'",
    "working directory": "os.chdir('/')",
}


def test_every_leak_is_named_and_undone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text(encoding="utf-8"))
    lines = ["import os, random", "import numpy as np", "import tensorgrad"]
    for i, leak in enumerate(LEAKS.values()):
        lines.append(f"def test_{i}_leaks():\n    {leak}")
        lines.append(f"def test_{i}_after():\n    pass")
    pytester.makepyfile("\n".join(lines))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    # each test passes; the teardown of each leaking one is an error, and of no other
    result.assert_outcomes(passed=2 * len(LEAKS), errors=len(LEAKS))
    for name in LEAKS:
        result.stdout.fnmatch_lines([f"*the test leaves another {name} than it found*"])


def test_random_stream_starts_afresh(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import tensorgrad

        def test_one():
            tensorgrad.manual_seed(7)
            tensorgrad.rand(3)

        def test_two():
            assert tensorgrad.default_generator.get_state() == (0, 0)
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
