"""Ops made from expressions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import ops
from tensorgrad.autograd import registry
from tensorgrad.errors import ArgumentError, CompileError
from tensorgrad.ops import _compiler
from tensorgrad.testing import check_op, gradcheck, gradgradcheck

OPS = {
    "swish": ("x / (1 + exp(-x))", {}),
    "leaky": ("x > 0 ? x : slope * x", {"params": {"slope": 0.1}}),
    "by_result": ("1 / (1 + exp(-2 * x))", {"grad": "2 * gy * y * (1 - y)"}),
    "by_both": ("exp(x) - x", {"grad": "gy * (y + x - 1)"}),
    "three_numbers": ("k * x * x + m * x + n", {"params": {"k": 1.5, "m": 0.5, "n": 2.0}}),
    "distance": ("sqrt(a * a + b * b)", {"grad": ["gy * a / y", "gy * b / y"]}),
    "product_sum": ("a * b + c", {}),
    "gated": ("a * sigmoid(b) * scale", {"params": {"scale": 2.0}}),
    "four": ("a * b + c * d", {}),
    "gradients_of_five": ("sin(a * b * c * d)", {}),  # gy and all inputs: more than a kernel takes
    "names_of_ours": ("extra * result + shape", {"params": {"extra": 2.0}}),
    "step": ("x > 0.25 ? 1 : 0", {"grad": "0"}),
}


@pytest.mark.parametrize("name", OPS)
def test_every_check_of_the_built_ins(name: str) -> None:
    expression, options = OPS[name]
    op = ops.elementwise(name, expression, **options)
    check_op(op)
    assert registry[name].function is op
    assert expression in (op.__doc__ or "")


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(isa: str) -> None:
    script = (
        "import tensorgrad as tg, numpy as np\n"
        "f = tg.ops.elementwise('f', 'x / (1 + exp(-x)) + tanh(x)')\n"
        "x = np.linspace(-9, 9, 1001)\n"
        "np.testing.assert_allclose(f(tg.tensor(x)).numpy(), x / (1 + np.exp(-x)) + np.tanh(x))\n"
    )
    from tensorgrad._native import _available_isas

    if isa not in _available_isas():
        pytest.skip(f"this machine has no {isa}")
    environment = {**os.environ, "TENSORGRAD_ISA": isa}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


def test_parameters_are_keywords() -> None:
    op = ops.elementwise("scaled", "a * x", inputs=["x"], params={"a": 3.0})
    x = tg.ones(2)
    assert op(x).tolist() == [3.0, 3.0]
    assert op(x, a=5.0).tolist() == [5.0, 5.0]


@pytest.mark.parametrize("inputs", ["x", "xz"])
def test_a_parameter_may_be_infinite(inputs: str) -> None:
    op = ops.elementwise("limited", f"min({' + '.join(inputs)}, top)", params={"top": float("inf")})
    x = [tg.full((2,), 3.0)] * len(inputs)
    assert op(*x).tolist() == [3.0 * len(inputs)] * 2
    assert op(*x, top=2.5).tolist() == [2.5] * 2


def test_integers_and_mixed_dtypes() -> None:
    op = ops.elementwise("sum_of_three", "a + b + c")
    y = op(tg.ones(2, dtype="int64"), tg.ones(2), tg.ones(2, dtype="float64"))
    assert y.dtype == tg.float64
    assert y.tolist() == [3.0, 3.0]
    assert op(*[tg.ones(2, dtype="int64")] * 3).dtype == tg.float32


@pytest.mark.parametrize("expression", ["a * b", "a * b * c"])
def test_gradients_have_the_dtypes_of_their_inputs(expression: str) -> None:
    op = ops.elementwise("mixed_product", expression)
    inputs = [tg.full((3,), 2.0, dtype=t, requires_grad=True) for t in ("float32", "float64")]
    whole = [tg.full((3,), 3, dtype="int64")] if "c" in expression else []
    op(*inputs, *whole).sum().backward()
    for x in inputs:
        assert x.grad is not None
        assert x.grad.dtype == x.dtype
        assert x.grad.tolist() == [2.0 * (3.0 if whole else 1.0)] * 3


def test_what_no_gradient_reads_may_be_written() -> None:
    op = ops.elementwise("weighted_sum", "a * b + c")
    a, b, c = (tg.ones(3, requires_grad=True) for _ in range(3))
    shifted = c * 2.0
    y = op(a, b, shifted)
    shifted += 1.0
    y.sum().backward()
    assert c.grad is not None
    assert c.grad.tolist() == [2.0] * 3
    product = a * 2.0
    y = op(product, b, c)
    product += 1.0
    with pytest.raises(tg.errors.InplaceError, match="weighted_sum"):
        y.sum().backward()


def test_a_gradient_that_is_zero_is_none() -> None:
    for name, expression in {
        "stepped": "a + (b > 0.25 ? 1 : 0)",
        "masked": "a + c * (b > 0)",
    }.items():
        inputs = [tg.ones(3, requires_grad=True) for _ in range(3 if "c" in expression else 2)]
        ops.elementwise(name, expression, inputs="abc"[: len(inputs)])(*inputs).sum().backward()
        assert [x.grad is None for x in inputs] == [False, True, False][: len(inputs)]


def test_gradients_of_any_order() -> None:
    op = ops.elementwise("cubed_sine", "sin(x) * x * x")
    x = tg.tensor([0.5, 1.5], dtype="float64", requires_grad=True)
    assert gradcheck(op, x)
    assert gradgradcheck(op, x)
    third = lambda x: tg.autograd.grad(  # noqa: E731
        tg.autograd.grad(op(x).sum(), [x], create_graph=True)[0].sum(), [x], create_graph=True
    )[0]
    assert gradcheck(third, x)


MISTAKES = {
    "an unknown name": (("x * k",), {"inputs": ["x"]}, "reads \\['k'\\]"),
    "no input": (("1 + 2",), {}, "at least one input"),
    "gy missing": (("x * x",), {"grad": "2 * x"}, "with gy.*gy \\* \\(2 \\* x\\)"),
    "gy squared": (("x * x",), {"grad": "gy * gy * x"}, "linear in gy"),
    "too few gradients": (("a * b",), {"grad": ["gy * b"]}, "a gradient for each of"),
    "a gradient of nothing": (("x",), {"grad": "gy * z"}, "it reads \\['z'\\]"),
    "five inputs": (("a + b + c + d + f",), {}, "1 to 4 inputs"),
    "a reserved name": (("gy * 2",), {}, "'gy' cannot be the name"),
    "a word of Python": (
        ("lambda * x",),
        {"params": {"lambda": 1.0}},
        "'lambda' cannot be the name",
    ),
    "a name twice": (("x",), {"inputs": ["x", "x"]}, "different names"),
    "a syntax error": (("x +",), {}, "expected a number"),
    "an unknown fallback": (("x",), {"fallback": "torch"}, "expected fallback"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes(what: str) -> None:
    arguments, options, message = MISTAKES[what]
    with pytest.raises(ArgumentError, match=message):
        ops.elementwise("mistaken", *arguments, **options)
    assert "mistaken" not in registry


def test_a_name_that_exists() -> None:
    with pytest.raises(ValueError, match="op 'relu': an op of this name exists already"):
        ops.elementwise("relu", "x")
    assert registry["relu"].function is tg.relu
    assert tg.relu(tg.tensor([-1.0])).tolist() == [0.0]


# ---- the compiler and its cache ------------------------------------------------------------------


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compiler.shutil, "which", lambda name: None)
    with pytest.raises(CompileError, match='no C compiler was found.*fallback="numpy"'):
        ops.elementwise("uncompiled", "x * x")
    op = ops.elementwise("by_numpy", "x * x * scale", params={"scale": 1.0}, fallback="numpy")
    assert registry["by_numpy"].kernel == "NumPy"
    check_op(op)


def test_a_truncated_object_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("TENSORGRAD_CACHE_DIR", str(tmp_path))
    script = (
        "import tensorgrad as tg\nprint(tg.ops.elementwise('f', 'x + 1')(tg.zeros(2)).tolist())\n"
    )
    run = [sys.executable, "-c", script]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[1.0, 1.0]\n"
    (built,) = tmp_path.glob("f-*.so")
    built.write_bytes(built.read_bytes()[:1000])
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[1.0, 1.0]\n"
    assert built.stat().st_size > 1000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("TENSORGRAD_CACHE_DIR", str(tmp_path / "inner"))
    assert ops.elementwise("homeless", "x + 2")(tg.zeros(1)).tolist() == [2.0]
    tmp_path.chmod(0o700)


def test_a_cache_that_others_can_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("TENSORGRAD_CACHE_DIR", str(tmp_path))
    assert _compiler.cache_folder() != tmp_path
    assert ops.elementwise("careful", "x + 3")(tg.zeros(1)).tolist() == [3.0]
    assert not list(tmp_path.iterdir())


def test_many_processes_compile_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    script = (
        "import tensorgrad as tg\n"
        "print(tg.ops.elementwise('g', 'x * 7 + 1')(tg.ones(2)).tolist())\n"
    )
    environment = {**os.environ, "TENSORGRAD_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(4)
    ]
    assert [run.communicate()[0] for run in runs] == ["[8.0, 8.0]\n"] * 4
    assert len(list(tmp_path.glob("*.so"))) == 1


def test_another_expression_is_another_kernel() -> None:
    first = ops.elementwise("twin", "x + 1")
    del registry["twin"]
    second = ops.elementwise("twin", "x + 2")
    x = tg.zeros(1)
    assert (first(x).item(), second(x).item()) == (1.0, 2.0)


def test_threads_compute_the_same_bits() -> None:
    op = ops.elementwise("heavy", "tanh(x) * exp(-x * x) + b")
    x, b = tg.randn(300, 1000), tg.randn(1000)
    before = tg.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 4):
            tg.set_num_threads(threads)
            results.append(op(x, b).numpy().tobytes())
    finally:
        tg.set_num_threads(before)
    assert len(set(results)) == 1


def test_layouts() -> None:
    op = ops.elementwise("blend", "a * t + b * (1 - t)", inputs=["a", "b", "t"])
    rng = np.random.default_rng(0)
    a, b, t = rng.random((5, 7)), rng.random((7, 5)).T, rng.random((7,))
    got = op(tg.from_numpy(a), tg.from_numpy(b), tg.from_numpy(t))
    np.testing.assert_allclose(got.numpy(), a * t + b * (1 - t))
    assert op(tg.ones((0, 3)), tg.ones(3), tg.ones(())).shape == (0, 3)
    with pytest.raises(tg.errors.ShapeError, match="blend"):
        op(tg.ones(2), tg.ones(3), tg.ones(1))


@pytest.mark.parametrize("name", ["swish", "distance", "product_sum"])
def test_under_vmap(name: str) -> None:
    expression, options = OPS[name]
    op = ops.elementwise(name, expression, **options)
    count = 1 if name == "swish" else 2 if name == "distance" else 3
    inputs = [tg.rand(4, 3) + 0.5 for _ in range(count)]
    got = tg.func.vmap(op)(*inputs)
    np.testing.assert_allclose(got.numpy(), op(*inputs).numpy(), rtol=1e-6)
    slopes = tg.func.vmap(tg.func.grad(lambda *row: op(*row).sum()))(*inputs)
    inputs[0].requires_grad_()
    (expected,) = tg.autograd.grad(op(*inputs).sum(), [inputs[0]])
    np.testing.assert_allclose(slopes.numpy(), expected.numpy(), rtol=1e-6)


def test_signs_in_expressions_of_several_inputs() -> None:
    # the derivative of abs is sign, which the kernels of several inputs need as well
    distance = ops.elementwise("distance_test", "abs(a - b) * p", params={"p": 2.0})
    a = tg.tensor([1.0, -3.0], requires_grad=True)
    distance(a, tg.zeros(2)).sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [2.0, -2.0]
