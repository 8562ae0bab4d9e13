"""How fast an op is, beside its NumPy reference and the machine's memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from tensorgrad import autograd
from tensorgrad._tensor import Tensor, copy_into, empty_raw
from tensorgrad.autograd import Case, Op
from tensorgrad.dtypes import F32, float32
from tensorgrad.testing._checks import all_cases, enlarged_to, find_op
from tensorgrad.testing._compare import to_array
from tensorgrad.testing._samples import is_varied, sample_inputs, to_tensor

_TURN = 0.003  # seconds that one turn of a contender should last
_ROUNDS = 9
_SIZES = (1_000, 100_000, 4_000_000)


class Timing(NamedTuple):
    """What `bench_op` measured of one case. Times are medians, in microseconds.

    backward: forward and backward together, None without a gradient. copy: a copy of as many bytes
    as the op's inputs and results have, the least that memory allows. flops: floating-point
    operations, as they were given, or 0."""

    case: Case
    forward: float
    backward: float | None
    reference: float | None
    copy: float
    nbytes: int
    flops: float

    @property
    def bandwidth(self) -> float:
        """Gigabytes per second that the forward reads and writes at least."""
        return self.nbytes / self.forward / 1e3

    @property
    def rate(self) -> float:
        """Billions of floating-point operations per second."""
        return self.flops / self.forward / 1e3


def bench_op(
    op: Op | str | Callable[..., Any],
    cases: Sequence[Case] | None = None,
    *,
    flops: Callable[..., float] | None = None,
    show: bool = True,
) -> list[Timing]:
    """Times an op, built-in or yours, in float32: forward, forward and backward, its NumPy reference,
    and a copy of as many bytes, which is what memory allows. The contenders take turns.

    op: the function, its name, or the Op of the registry. cases: by default its own, enlarged to about
    1,000, 100,000 and 4,000,000 elements where that is possible. flops: the number of floating-point
    operations of a case, a function of its inputs' arrays; then their rate is shown as well. show:
    whether to print the table. Raises ArgumentError for what is no op.

    >>> from tensorgrad.testing import bench_op
    >>> timings = bench_op("relu", [__import__("tensorgrad").autograd.Case((100,))], show=False)
    >>> timings[0].nbytes
    800
    """
    declared = find_op(op)
    chosen = list(cases) if cases is not None else _cases(declared)
    timings = [_measure(declared, case, flops) for case in chosen]
    if show:
        _print(declared, timings)
    return timings


def _cases(op: Op) -> list[Case]:
    """The first case that can be enlarged, in several sizes, or else the first."""
    for case in all_cases(op):
        large = [enlarged_to(op, case, size) for size in _SIZES]
        found = [case for case in large if case is not None]
        if found:
            return found
    return list(op.cases[:1])


def _measure(op: Op, case: Case, flops: Callable[..., float] | None) -> Timing:
    arrays = sample_inputs(case, float32)
    inputs = [to_tensor(a) for a in arrays]
    leaves = [to_tensor(a, "", v) for a, v in zip(arrays, is_varied(case), strict=True)]

    def forward() -> Any:
        return op.function(*inputs, **case.params)

    result = forward()
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    contenders: dict[str, Callable[[], object]] = {"forward": forward}
    if op.differentiable and any(is_varied(case)):
        first = op.function(*leaves, **case.params)
        ys = [
            y for y in (first if isinstance(first, (tuple, list)) else [first]) if y.requires_grad
        ]
        gradients = [to_tensor(np.ones(y.shape, y.dtype)) for y in ys]
        wanted = [x for x in leaves if x is not None and x.requires_grad]

        def backward() -> Any:
            made = op.function(*leaves, **case.params)
            parts = made if isinstance(made, (tuple, list)) else [made]
            recorded = [y for y in parts if y.requires_grad]
            return autograd.grad(recorded, wanted, gradients)

        contenders["backward"] = backward
    if op.reference is not None:
        reference = op.reference

        def by_numpy() -> Any:
            with np.errstate(all="ignore"):
                return reference(*arrays, **case.params)

        contenders["reference"] = by_numpy
    nbytes = sum(t.nbytes for t in [*inputs, *outputs] if isinstance(t, Tensor))
    contenders["copy"] = _copy(nbytes)
    times = _medians(contenders)
    return Timing(
        case,
        times["forward"],
        times.get("backward"),
        times.get("reference"),
        times["copy"],
        nbytes,
        0.0 if flops is None else float(flops(*[to_array(a) for a in arrays if a is not None])),
    )


def _copy(nbytes: int) -> Callable[[], object]:
    """A copy that reads and writes `nbytes` in all."""
    count = max(1, nbytes // 8)
    source, target = empty_raw((count,), count, F32), empty_raw((count,), count, F32)
    copy_into(source, target, "bench_op")
    return lambda: copy_into(target, source, "bench_op")


def _medians(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds per call, the contenders taking turns."""
    counts = {}
    for name, function in contenders.items():
        function()
        begin = time.perf_counter()
        function()
        counts[name] = max(1, int(_TURN / max(time.perf_counter() - begin, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(_ROUNDS):
        for name, function in contenders.items():
            begin = time.perf_counter()
            for _ in range(counts[name]):
                function()
            times[name].append((time.perf_counter() - begin) / counts[name] * 1e6)
    return {name: median(measured) for name, measured in times.items()}


def _print(op: Op, timings: Sequence[Timing]) -> None:
    rate = any(t.flops for t in timings)
    print(f"op {op.name}, float32, medians of {_ROUNDS} turns, in microseconds")
    columns = ["forward", "fwd + bwd", "NumPy", "NumPy / ours", "GB/s", "of a copy"]
    print(f"{'case':40}" + "".join(f"{c:>13}" for c in [*columns, *(["GFLOP/s"] if rate else [])]))
    for t in timings:
        cells = [
            f"{t.forward:.2f}",
            "" if t.backward is None else f"{t.backward:.2f}",
            "" if t.reference is None else f"{t.reference:.2f}",
            "" if t.reference is None else f"{t.reference / t.forward:.2f}",
            f"{t.bandwidth:.1f}",
            f"{t.copy / t.forward:.0%}",
        ]
        if rate:
            cells.append(f"{t.rate:.1f}")
        print(f"{t.case!r:40}" + "".join(f"{cell:>13}" for cell in cells))


__all__ = ["Timing", "bench_op"]
