"""bench_op measures what it says."""

from __future__ import annotations

import pytest

from tensorgrad.autograd import Case
from tensorgrad.errors import ArgumentError
from tensorgrad.testing import bench_op


def test_its_own_cases_are_enlarged(capsys: pytest.CaptureFixture[str]) -> None:
    timings = bench_op("relu")
    assert [t.nbytes // 8 for t in timings] == sorted(t.nbytes // 8 for t in timings)
    assert timings[-1].nbytes > 8_000_000
    for t in timings:
        assert t.forward > 0
        assert t.backward is not None
        assert t.backward > 0
        assert t.reference is not None
        assert t.copy > 0
    printed = capsys.readouterr().out
    assert "op relu, float32" in printed
    assert "of a copy" in printed
    assert "GFLOP/s" not in printed


def test_a_rate_of_operations(capsys: pytest.CaptureFixture[str]) -> None:
    (t,) = bench_op("matmul", [Case((32, 32), (32, 32))], flops=lambda a, b: 2 * 32**3)
    assert t.flops == 65536
    assert t.rate == pytest.approx(65536 / t.forward / 1e3)
    assert "GFLOP/s" in capsys.readouterr().out


def test_without_gradient() -> None:
    (t,) = bench_op("less", [Case((10,), (10,))], show=False)
    assert t.backward is None


def test_what_is_no_op() -> None:
    with pytest.raises(ArgumentError, match="expected a declared op"):
        bench_op("no such op")
