"""Benchmarks of the custom ops in examples/custom_ops against the same made of built-ins, and against
PyTorch where it is installed.

    python benchmarks/custom_ops.py [--threads N] [--quick] [--only TEXT] [--no-memory]

Medians of interleaved turns in one process, in microseconds; a ratio above 1 means that the custom op
is faster. Peak memory is that of a process of its own, above what importing takes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peers

FOLDER = Path(__file__).resolve().parent
EXAMPLES = FOLDER.parent / "examples" / "custom_ops"
LENGTH = 4096  # of the sequence whose memory is measured
_MEMORY = """
import sys
sys.path[:0] = [{folder!r}, {examples!r}]
import peers
peers.limit_threads(1)
torch = peers.load_torch(1) if {who!r} == "torch" else None
if torch is None:
    import tensorgrad as library
    import attention
    function = attention.attention if {who!r} == "custom" else attention.in_ops
else:
    library, function = torch, torch.nn.functional.scaled_dot_product_attention
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
def run(n):
    q, k, v = (library.randn(1, 1, n, 64, requires_grad=True) for _ in range(3))
    function(q, k, v).sum().backward()
run(300)
before = peak()
run({length})
print(peak() - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows whose name has TEXT")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory")
    options = parser.parse_args()
    peers.limit_threads(options.threads)
    sys.path.insert(0, str(EXAMPLES))

    from measure import Setting
    from report import machine, render

    warnings.filterwarnings("ignore", "index_reduce")  # of PyTorch: it is in beta
    setting = Setting(threads=options.threads, quick=options.quick, only=options.only)
    setting.torch = peers.load_torch(options.threads)
    lines = []
    for rows in (attention_rows, dropout_rows, segment_rows, laplacian_rows, call_rows, speed_rows):
        for row in rows(setting):
            cells = [row.name, f"{row.medians['tensorgrad']:.4g}"]
            for who in ("built-ins", "torch"):
                there = who in row.medians
                cells += [f"{row.medians[who]:.4g}", f"{row.ratio(who):.2f}"] if there else ["", ""]
            lines.append(cells)
    versions = ", ".join(f"{name} {version}" for name, version in peers.versions().items())
    print(f"{machine()}, {options.threads} threads, float32, us; {versions}\n")
    header = ["", "custom op", "built-ins", "ratio", "PyTorch", "ratio"]
    print("\n".join(render(header, lines)))
    if not options.no_memory and Path("/proc/self/status").exists():
        contenders = ["custom", "built-ins", *(["torch"] if setting.torch else [])]
        found = {who: _peak(who) for who in contenders}
        print(f"\npeak memory of attention, forward + backward, {LENGTH} x 64, MiB: ", end="")
        print(", ".join(f"{who} {value:.0f}" for who, value in found.items()))


def _peak(who: str) -> float:
    program = _MEMORY.format(folder=str(FOLDER), examples=str(EXAMPLES), who=who, length=LENGTH)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def both_ways(
    setting: Any,
    name: str,
    custom: Callable[..., Any],
    built_in: Callable[..., Any],
    torch: Callable[..., Any] | None,
    shapes: list[tuple[int, ...]],
    *,
    turn: float = 0.02,
) -> Iterator[Any]:
    """A row for the forward and one for forward + backward, on random inputs of the shapes."""
    if setting.only not in f"{name}, forward + backward":
        return
    import numpy as np

    import tensorgrad

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]

    def contender(library: Any, function: Callable[..., Any], backward: bool) -> Any:
        leaves = [library.tensor(a, requires_grad=backward) for a in arrays]
        if not backward:
            return lambda: function(*leaves)
        gy = library.tensor(np.ones(tuple(function(*leaves).shape), np.float32))

        def run() -> None:
            function(*leaves).backward(gy)
            for leaf in leaves:
                leaf.grad = None

        return run

    for backward in (False, True):
        contenders = {
            "tensorgrad": contender(tensorgrad, custom, backward),
            "built-ins": contender(tensorgrad, built_in, backward),
        }
        if setting.torch and torch:
            contenders["torch"] = contender(setting.torch, torch, backward)
        what = f"{name}, forward + backward" if backward else f"{name}, forward"
        yield from setting.row(what, "custom ops", contenders, turn=turn)


def attention_rows(setting: Any) -> Iterator[Any]:
    import attention as example

    torch = setting.torch
    fused = torch and torch.nn.functional.scaled_dot_product_attention
    for shape in ((1, 8, 512, 64), (1, 2, 2048, 64), (8, 8, 64, 32)):
        for causal in (False, True):
            name = f"attention {' x '.join(map(str, shape))}" + (", causal" if causal else "")
            yield from both_ways(
                setting,
                name,
                lambda q, k, v, causal=causal: example.attention(q, k, v, causal),
                lambda q, k, v, causal=causal: example.in_ops(q, k, v, causal),
                fused and (lambda q, k, v, causal=causal: fused(q, k, v, is_causal=causal)),
                [shape] * 3,
            )


def dropout_rows(setting: Any) -> Iterator[Any]:
    from bias_gelu_dropout import bias_gelu_dropout

    import tensorgrad
    from tensorgrad.nn import functional

    torch = setting.torch
    own = torch and torch.nn.functional
    for rows, cols in ((64, 256), (512, 1024), (4096, 1024)):
        yield from both_ways(
            setting,
            f"bias + GELU + dropout {rows} x {cols}",
            lambda x, b: bias_gelu_dropout(x, b, 0.1, 1),
            lambda x, b: functional.dropout(tensorgrad.gelu(x + b), 0.1),
            own and (lambda x, b: own.dropout(own.gelu(x + b), 0.1)),
            [(rows, cols), (cols,)],
        )


def segment_rows(setting: Any) -> Iterator[Any]:
    import numpy as np
    from segment import segment_mean, segment_sum

    import tensorgrad

    torch = setting.torch
    rng = np.random.default_rng(0)
    for rows, segments, cols in ((2000, 200, 32), (200_000, 20_000, 64)):
        for order in ("sorted", "unsorted"):
            ids = rng.integers(0, segments, rows)
            ids = np.sort(ids) if order == "sorted" else ids
            index = tensorgrad.tensor(ids)
            at = torch and torch.tensor(ids)
            counts = np.maximum(np.bincount(ids, minlength=segments), 1).astype(np.float32)[:, None]
            scale = tensorgrad.tensor(1 / counts)

            def scattered(x: Any, index: Any = index, shape: Any = (segments, cols)) -> Any:
                return tensorgrad.ops.take_gradient(x, index, shape, 0)

            def added(x: Any, at: Any = at, shape: Any = (segments, cols)) -> Any:
                return torch.zeros(shape).index_add(0, at, x)

            name = f"{rows} x {cols} in {segments} segments, {order}"
            yield from both_ways(
                setting,
                f"segment sum {name}",
                lambda x, index=index, n=segments: segment_sum(x, index, n),
                scattered,
                torch and added,
                [(rows, cols)],
            )
            if order == "unsorted":
                yield from both_ways(
                    setting,
                    f"segment mean {name}",
                    lambda x, index=index, n=segments: segment_mean(x, index, n),
                    lambda x, scale=scale: scattered(x) * scale,
                    torch
                    and (
                        lambda x, at=at, shape=(segments, cols): torch.zeros(shape).index_reduce(
                            0, at, x, "mean", include_self=False
                        )
                    ),
                    [(rows, cols)],
                )


def laplacian_rows(setting: Any) -> Iterator[Any]:
    from laplacian import laplacian

    import tensorgrad

    torch = setting.torch

    def composed(x: Any) -> Any:
        row, column = tensorgrad.zeros((1, x.shape[1])), tensorgrad.zeros((x.shape[0] + 2, 1))
        p = tensorgrad.concat([column, tensorgrad.concat([row, x, row]), column], 1)
        return stencil(p, x)

    def padded(x: Any) -> Any:  # conv2d with a kernel of 3 x 3 takes several times as long
        return stencil(torch.nn.functional.pad(x, (1, 1, 1, 1)), x)

    def stencil(p: Any, x: Any) -> Any:
        return p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4.0 * x

    for n in (64, 512, 2048):
        yield from both_ways(
            setting,
            f"Laplacian {n} x {n}",
            laplacian,
            composed,
            torch and padded,
            [(n, n)],
        )


def call_rows(setting: Any) -> Iterator[Any]:
    """What a call costs: 16 elements, against a built-in of the same family."""
    from depth4_c_kernel import unit

    import tensorgrad

    product = tensorgrad.ops.elementwise("product_benchmark", "a * b")
    yield from both_ways(
        setting, "call: a * b as an expression", product, lambda a, b: a * b, None, [(16,)] * 2
    )
    yield from both_ways(
        setting,
        "call: rows normalised, C file (built-in: rms_norm)",
        unit,
        tensorgrad.rms_norm,
        None,
        [(2, 8)],
    )


def speed_rows(setting: Any) -> Iterator[Any]:
    """Expressions against the built-in of the same function."""
    import tensorgrad

    silu = tensorgrad.ops.elementwise(
        "silu_benchmark",
        "x / (1 + exp(-x))",
    )
    gelu = tensorgrad.ops.elementwise(
        "gelu_benchmark", "0.5 * x * (1 + erf(x * 0.7071067811865476))"
    )
    for exponent in range(2, 8):
        n = 10**exponent
        for name, custom in (("silu", silu), ("gelu", gelu)):
            own = setting.torch and getattr(setting.torch.nn.functional, name)
            yield from both_ways(
                setting, f"{name} as an expression, 1e{exponent}", custom, getattr(tensorgrad, name), own, [(n,)]
            )  # fmt: skip


if __name__ == "__main__":
    main()
