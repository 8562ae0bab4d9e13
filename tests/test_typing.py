"""What a type checker sees of the public functions: a file that calls each is strictly typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import Op, registry

pytest.importorskip("mypy")

HEADER = """from __future__ import annotations

from typing import Any

import numpy as np
import tensorgrad as tg
from tensorgrad import Tensor
from typing_extensions import assert_type

x: Tensor = tg.ones((2, 3), requires_grad=True)
"""
# an annotated way through what has no op
TYPES = "".join(
    f"assert_type({expression}, Tensor)\n"
    for expression in (
        *("tg.exp(x)", "tg.add(x, x)", "tg.sum(x)", "tg.zeros(2)", "tg.concat([x, x])", "x * x"),
        *(
            "1 / x",
            "x[0]",
            "x.T",
            "tg.matmul(x, x)",
            "tg.sort(x)",
            "tg.roll(x, 1)",
            "x.reshape(-1)",
        ),
        *("tg.einsum('ij->i', x)", "tg.linalg.inv(x)", "tg.fft.irfft(x)", "tg.where(x > 0, x, x)"),
        *("tg.softmax(x)", "tg.cumsum(x)", "tg.pad(x, 1)", "tg.gather(x, 0, x)", "x.exp()", "-x"),
    )
)
PROGRAM = """
def loss(model: tg.nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    return tg.nn.functional.cross_entropy(model(inputs), labels)


def train() -> float:
    model = tg.nn.Sequential(tg.nn.Linear(3, 8), tg.nn.ReLU(), tg.nn.Linear(8, 2))
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)
    total = 0.0
    for _ in range(2):
        optimizer.zero_grad()
        value = loss(model, x, tg.tensor([0, 1]))
        value.backward()
        optimizer.step()
        total += float(value)
    with tg.no_grad():
        x[0] = 2.0
    (slope,) = tg.autograd.grad((x * x).sum(), [x], allow_unused=True)
    array: np.ndarray[Any, Any] = x.detach().numpy()
    shape: tuple[int, ...] = x.shape
    number: Any = x.sum().item()
    part: Tensor = x[0, ::2] + x.T[1:, 0] @ tg.ones(2) - 1.0 / (x[0, :2] ** 2)
    return float(total + array.sum() + len(shape) + number + part.size + slope.ndim)
"""


def written(value: Any) -> str:
    """A parameter as a literal, or as something of any type."""
    simple = value is None or isinstance(value, (bool, int, float, str))
    if simple and value == value and value not in (float("inf"), -float("inf")):
        return repr(value)
    if isinstance(value, tuple) and all(isinstance(v, int) for v in value):
        return repr(value)
    return "anything"


def call(op: Op) -> str | None:
    """A call of the op by its public name."""
    found: Any = tg
    for part in op.name.split("."):
        found = getattr(found, part, None)
    if found is None or getattr(found, "op", op) is not op:
        return None
    case = op.cases[0]
    listed = op.name in ("concat", "stack")
    inputs = ["[x, x]" if listed or isinstance(v, list) else "x" for v in case.inputs]
    params = [f"{name}={written(value)}" for name, value in case.params.items()]
    return f"tg.{op.name}({', '.join([*inputs, *params])})\n"


def test_every_function(tmp_path: Path) -> None:
    calls = [text for op in registry.values() if op.cases and (text := call(op)) is not None]
    assert len(calls) > 150
    methods = [
        f"x.{name}\n"
        for op in registry.values()
        for name in op.methods
        if not name.startswith("__")
    ]
    names = [
        f"tg.{name}\n" for name in tg.__all__ if not name.startswith("_") and hasattr(tg, name)
    ]
    path = tmp_path / "every_function.py"
    text = HEADER + "anything: Any = None\n" + "".join(calls + methods + names) + TYPES + PROGRAM
    path.write_text(text, encoding="utf-8")
    run = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--no-error-summary",
                "--follow-imports=silent",
            ),
            *("--cache-dir", str(tmp_path / "cache"), str(path)),
        ],
        capture_output=True,
        text=True,
        cwd=Path(tg.__file__).parents[1],
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_program_runs() -> None:
    names: dict[str, Any] = {}
    header = HEADER.replace("from typing_extensions import assert_type\n", "")
    exec(compile(header + PROGRAM, "typed", "exec"), names)
    assert np.isfinite(names["train"]())
