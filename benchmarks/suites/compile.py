"""Compiled functions: whole training steps, inference, chains of elementwise ops, and what a program
costs: its capture, its replay, its memory. Beside PyTorch eager and with torch.compile, a jitted JAX, and
NumPy by hand; "eager" is tensorgrad without compile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from measure import Row, Setting

import tensorgrad
from suites import mlp, steps
from tensorgrad import func

INFERENCE_ROWS = (1, 64)
SCANNED = ((1, (4, 16, 3), 500), (32, (64, 32, 10), 200))  # rows, layers, steps in one scan
CHAIN = 20
CHAIN_SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
SCAN_SECONDS = 1e-6  # allowed for a step of the smallest network inside scan
CAPTURE_SECONDS = 20e-3  # allowed for the capture of the largest step
RECORD_SECONDS = 5e-9  # allowed for a record beyond its kernel
SPARE_MEMORY = 1.1  # of a program: times the lower bound
EMPTY_RECORDS = 1000


def rows(setting: Setting) -> Iterator[Row]:
    for adam in (False, True):
        yield from _steps(setting, adam)
        yield from _scans(setting, adam)
    yield from _inference(setting)
    yield from _chains(setting)
    yield from _capture(setting)
    yield from _replay(setting)
    yield from _memory(setting)


def ready(function: Callable[..., Any], *args: Any) -> Any:
    """The compiled function, recorded for these arguments."""
    compiled = tensorgrad.compile(function)
    for _ in range(4):
        compiled(*args)
    return compiled


def _torch_compiled(
    setting: Setting, contenders: dict[str, Any], make: Callable[[], Any], what: str
) -> None:
    """Adds torch.compile to the contenders, unless it cannot compile here, which is noted."""
    if not setting.torch:
        return
    if setting.quick:
        setting.skip(f"torch.compile, {what}: takes too long for a quick run")
        return
    try:
        step = make()
        step()
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are still measured
        setting.skip(f"torch.compile, {what}: {type(error).__name__}: {str(error)[:200]}")
        return
    contenders["torch.compile"] = step


def _family(what: str, batch: int, layers: tuple[int, ...], adam: bool) -> str:
    """The rows that have one target."""
    if batch == 1:
        size = "smallest"
    elif batch == 512:
        size = "largest"
    else:
        size = "small" if layers == (64, 32, 10) else "middle"
    return f"compiled {what}, {size}{', Adam' if adam else ''}"


# ---- training --------------------------------------------------------------------------------------


def _steps(setting: Setting, adam: bool) -> Iterator[Row]:
    peak = setting.limits and setting.limits.flops(setting.dtype)
    torch = setting.torch
    for batch, layers in setting.sizes(mlp.SIZES):
        name = f"{batch} x {list(layers)}, {'Adam' if adam else 'SGD'}"
        family = _family("step", batch, layers, adam)
        if setting.only and setting.only not in f"{family}: {name}":
            continue
        x, labels = mlp.inputs(batch, layers, setting.dtype)
        xs, ys = tensorgrad.tensor(x), tensorgrad.tensor(labels)
        eager = steps.tensorgrad_function(layers, setting.dtype, adam)
        step = ready(steps.tensorgrad_function(layers, setting.dtype, adam), xs, ys)
        contenders: dict[str, Any] = {
            "tensorgrad": lambda step=step, xs=xs, ys=ys: step(xs, ys),
            "eager": lambda step=eager, xs=xs, ys=ys: step(xs, ys),
            "numpy": steps.numpy_step(x, labels, layers, adam),
        }
        if torch:
            contenders["torch"] = steps.torch_step(torch, x, labels, layers, adam, False)
        _torch_compiled(
            setting,
            contenders,
            lambda args=(x, labels, layers): steps.torch_step(torch, *args, adam, True),
            name,
        )
        if setting.jax:
            contenders["jax"] = steps.jax_step(setting.jax, x, labels, layers, adam)
        work = mlp.flops(batch, layers)
        yield from setting.row(
            name,
            family,
            contenders,
            limit=peak and peak(work),
            judged=batch in (128, 512) or layers == (64, 32, 10),
            flops=work,
            blas=True,
            turn=0.02,
            rounds=15,
        )


def _scans(setting: Setting, adam: bool) -> Iterator[Row]:
    """Many steps in one call; figures are for one step. JAX has lax.scan for it, the others a loop."""
    peak = setting.limits and setting.limits.flops(setting.dtype)
    for batch, layers, count in SCANNED[:1] if setting.quick else SCANNED:
        name = f"{batch} x {list(layers)}, {'Adam' if adam else 'SGD'}, in scan"
        family = _family("scan", batch, layers, adam)
        if setting.only and setting.only not in f"{family}: {name}":
            continue
        rng = np.random.default_rng(2)
        xs = rng.standard_normal((count, batch, layers[0])).astype(setting.dtype)
        labels = rng.integers(0, layers[-1], (count, batch))
        given = tensorgrad.tensor(xs), tensorgrad.tensor(labels)
        step = ready(
            steps.tensorgrad_function(layers, setting.dtype, adam), given[0][0], given[1][0]
        )
        contenders: dict[str, Any] = {
            "tensorgrad": lambda step=step, given=given: step.scan(*given),
            "numpy": _repeated(steps.numpy_step(xs[0], labels[0], layers, adam), count),
        }
        if setting.torch:
            one = steps.torch_step(setting.torch, xs[0], labels[0], layers, adam, False)
            contenders["torch"] = _repeated(one, count)
        if setting.jax:
            contenders["jax"] = steps.jax_scan(setting.jax, xs, labels, layers, adam)
        flop_seconds = peak and peak(mlp.flops(batch, layers))
        yield from setting.row(
            name,
            family,
            contenders,
            limit=(lambda: SCAN_SECONDS) if batch == 1 else flop_seconds,
            judged=True,
            blas=True,
            turn=0.02,
            per=count,
        )


def _repeated(step: Callable[[], object], count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            step()

    return run


# ---- inference -------------------------------------------------------------------------------------


def _inference(setting: Setting) -> Iterator[Row]:
    torch = setting.torch
    for _, layers in setting.sizes(mlp.SIZES):
        for batch in INFERENCE_ROWS:
            name, family = (
                f"inference, {batch} x {list(layers)}",
                f"compiled inference, batch {batch}",
            )
            if setting.only and setting.only not in f"{family}: {name}":
                continue
            x = mlp.inputs(batch, layers, setting.dtype)[0]
            xs = tensorgrad.tensor(x)
            model = steps.tensorgrad_model(layers, setting.dtype)
            predict = ready(_without_grad(tensorgrad.no_grad, model), xs)
            contenders: dict[str, Any] = {
                "tensorgrad": partial(predict, xs),
                "eager": partial(_without_grad(tensorgrad.no_grad, model), xs),
                "numpy": steps.numpy_model(x, layers),
            }
            if torch:
                given = torch.tensor(x)
                network = steps.torch_model(torch, layers, setting.dtype)
                contenders["torch"] = partial(_without_grad(torch.inference_mode, network), given)
                _torch_compiled(
                    setting,
                    contenders,
                    lambda network=network, given=given: partial(
                        torch.compile(_without_grad(torch.no_grad, network)), given
                    ),
                    name,
                )
            if setting.jax:
                contenders["jax"] = steps.jax_model(setting.jax, x, layers)
            yield from setting.row(name, family, contenders, blas=True, turn=0.01)


def _without_grad(mode: Callable[[], Any], model: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The model, without a tape. What compiles compiles the mode too: it costs nothing then."""

    def predict(x: Any) -> Any:
        with mode():
            return model(x)

    return predict


# ---- a chain of elementwise ops ------------------------------------------------------------------------


def _chain(x: Any, relu: Callable[[Any], Any]) -> Any:
    """20 operations, and their sum."""
    h = x
    for _ in range(CHAIN // 5):
        h = relu(h * x + 0.5) * 0.9 - x
    return h.sum()


def _numpy_chain(x: np.ndarray) -> Callable[[], object]:
    """Forward and backward by hand: what backward needs is kept, all else is in place."""
    rounds = CHAIN // 5
    inputs = [x] + [np.empty_like(x) for _ in range(rounds)]
    masks = [np.empty(x.shape, bool) for _ in range(rounds)]
    g, gx, work = (np.empty_like(x) for _ in range(3))

    def run() -> object:
        for i in range(rounds):
            h = inputs[i + 1]
            np.multiply(inputs[i], x, out=h)
            h += 0.5
            np.greater(h, 0, out=masks[i])
            np.maximum(h, 0, out=h)
            h *= 0.9
            h -= x
        value = inputs[-1].sum()
        g.fill(1)
        gx.fill(0)
        for i in reversed(range(rounds)):
            np.subtract(gx, g, out=gx)
            np.multiply(g, 0.9, out=g)
            np.multiply(g, masks[i], out=g)
            np.multiply(g, inputs[i], out=work)
            np.add(gx, work, out=gx)
            np.multiply(g, x, out=g)
        np.add(gx, g, out=gx)
        return value

    return run


def _torch_chain(torch: Any, x: Any, compiled: bool) -> Callable[[], object]:
    def value(t: Any) -> Any:
        return _chain(t, torch.relu)

    value = torch.compile(value) if compiled else value
    given = torch.tensor(x, requires_grad=True)

    def run() -> object:
        y = value(given)
        return y, torch.autograd.grad(y, given)

    return run


def _chains(setting: Setting) -> Iterator[Row]:
    torch, jax = setting.torch, setting.jax
    for n in setting.sizes(CHAIN_SIZES):
        name, family = f"{CHAIN} ops, forward and backward, {n:g} elements", "compiled chain"
        if setting.only and setting.only not in f"{family}: {name}":
            continue
        x = np.random.default_rng(3).standard_normal(n).astype(setting.dtype)
        xs = tensorgrad.tensor(x)
        eager = func.value_and_grad(lambda t: _chain(t, tensorgrad.relu))
        step = ready(eager, xs)
        contenders: dict[str, Any] = {
            "tensorgrad": lambda step=step, xs=xs: step(xs),
            "eager": lambda step=eager, xs=xs: step(xs),
            "numpy": _numpy_chain(x),
        }
        if torch:
            contenders["torch"] = _torch_chain(torch, x, compiled=False)
        _torch_compiled(setting, contenders, lambda x=x: _torch_chain(torch, x, True), name)
        if jax:
            jitted = jax.jit(jax.value_and_grad(lambda t: _chain(t, jax.nn.relu)))
            given = jax.numpy.asarray(x)
            contenders["jax"] = lambda f=jitted, x=given: jax.block_until_ready(f(x))
        nbytes = float(x.nbytes)
        yield from setting.row(
            name,
            family,
            contenders,
            limit=setting.limits and setting.limits.stream(nbytes, 1, 1),
            judged=True,
            nbytes=2 * nbytes,
            flops=2.0 * CHAIN * n,
            turn=0.01,
        )


# ---- programs ----------------------------------------------------------------------------------------


def _largest(setting: Setting) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    batch, layers = mlp.SIZES[0] if setting.quick else mlp.SIZES[-1]
    return layers, *mlp.inputs(batch, layers, setting.dtype)


def _capture(setting: Setting) -> Iterator[Row]:
    """How much longer a call takes that records."""
    layers, x, labels = _largest(setting)
    name = f"capture of {len(x)} x {list(layers)}, beyond the call itself (limit: what is allowed)"
    if setting.only and setting.only not in f"compiled program: {name}":
        return
    xs, ys = tensorgrad.tensor(x), tensorgrad.tensor(labels)
    extra = []
    for _ in range(3 if setting.quick else 9):
        function = steps.tensorgrad_function(layers, setting.dtype, False)
        step = tensorgrad.compile(function)
        function(xs, ys)
        step(xs, ys)
        alone = min(_seconds(lambda f=function: f(xs, ys)) for _ in range(3))
        extra.append(
            _seconds(lambda step=step: step(xs, ys)) - alone
        )  # the second is like the first
    yield _judged(name, {"tensorgrad": max(median(extra), 1e-9) * 1e6}, CAPTURE_SECONDS * 1e6)


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _replay(setting: Setting) -> Iterator[Row]:
    """The time of a record whose kernel has nothing to do."""
    from tensorgrad._native import UNARY
    from tensorgrad.compiler._effects import BY_NAME, Access, Pointer
    from tensorgrad.compiler._program import Program
    from tensorgrad.compiler._recorder import Buffer, Record

    name = "replay of a record without work (limit: what is allowed)"
    if setting.only and setting.only not in f"compiled program: {name}":
        return
    buffer = Buffer("local", 0, 64)
    place = Pointer(buffer, 0)
    record = Record(
        BY_NAME["tg_unary"],
        (UNARY["relu"], 0, 0, place, place, 0.0, 0.0),
        accesses=[Access(buffer, 0, 64, "rw")],
    )
    program = Program([record] * EMPTY_RECORDS, [])
    calls = 3 if setting.quick else 100
    seconds = min(_seconds(lambda: program.run(calls)) for _ in range(9))
    each = seconds / calls / EMPTY_RECORDS
    yield _judged(name, {"tensorgrad": each * 1e6}, RECORD_SECONDS * 1e6)


_EAGER_PEAK = """
import sys
sys.path.insert(0, {folder!r})
import peers
peers.limit_threads({threads})
import tensorgrad
from suites import mlp, steps
x, labels = mlp.inputs({batch}, {layers}, {dtype!r})
step = steps.tensorgrad_function({layers}, {dtype!r}, False)
xs, ys = tensorgrad.tensor(x), tensorgrad.tensor(labels)
before = tensorgrad.memory_stats()["bytes_in_use"]
for _ in range(3):
    step(xs, ys)
print(tensorgrad.memory_stats()["peak_in_use"] - before)
"""


def _memory(setting: Setting) -> Iterator[Row]:
    """Of a program and of the same step without compile, beside parameters and batch."""
    layers, x, labels = _largest(setting)
    name = f"memory of {len(x)} x {list(layers)}, MB (limit: {SPARE_MEMORY} of the lower bound)"
    if setting.only and setting.only not in f"compiled program: {name}":
        return
    xs, ys = tensorgrad.tensor(x), tensorgrad.tensor(labels)
    step = ready(steps.tensorgrad_function(layers, setting.dtype, False), xs, ys)
    found = step.explain()
    program = _EAGER_PEAK.format(
        folder=mlp.__file__.rsplit("suites", 1)[0],
        threads=setting.threads,
        batch=len(x),
        layers=layers,
        dtype=setting.dtype,
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    megabytes = {"tensorgrad": found.arena / 1e6, "eager": float(done.stdout) / 1e6}
    yield _judged(name, megabytes, SPARE_MEMORY * found.bound / 1e6)


def _judged(name: str, figures: dict[str, float], allowed: float) -> Row:
    """A row whose limit is what is allowed. Its family is the name's first word."""
    print(f"  compiled program: {name}", file=sys.stderr, flush=True)
    return Row(name, name.split()[0], figures, figures, allowed, judged=True)
