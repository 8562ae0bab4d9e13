"""Custom ops of every depth in compiled functions."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad import op
from tensorgrad.autograd import Function, grad

SOURCE = """
#include <tensorgrad_kernel.h>
TG_MODULE
/* many parameters of both kinds, in any order */
TG_EXPORT int mix(int64_t n, const float *a, float p, const double *b, double q, int32_t r, float *y,
                  int64_t s, int64_t t, int64_t u, float v) {
    if (s != 7 || t != -8 || u != 9) return TG_BAD_ARGUMENT;
    for (int64_t i = 0; i < n; i++) y[i] = a[i] * p + (float)(b[i] * q) + (float)r + v;
    return TG_OK;
}
TG_EXPORT int failing(int64_t n, const float *x) { return x[0] > 100 ? TG_BAD_SIZE : TG_OK; }
"""


def names(compiled):
    (replay,) = compiled._replays.values()
    assert replay.confirmed
    return [record.name for record in replay.program.records]


def assert_equal_runs(function, compiled, make, calls=5):
    for i in range(calls):
        eager, replayed = function(*make(i)), compiled(*make(i))
        for a, b in zip(eager, replayed, strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def numbers(i, *shape):
    return tensorgrad.tensor(np.random.default_rng(i).standard_normal(shape).astype(np.float32))


def test_kernels_of_a_file_are_called_by_the_program(tmp_path):
    path = tmp_path / "mix.c"
    path.write_text(SOURCE)
    kernels = tensorgrad.ops.load(path)

    def function(a):
        y = tensorgrad.empty(a.shape)
        kernels.mix(a.size, a, 0.1, a.astype("float64") * 3, 0.3, -5, y, 7, -8, 9, 2.5)
        return (y * 2,)

    compiled = tensorgrad.compile(function)
    assert_equal_runs(function, compiled, lambda i: (numbers(i, 33),))
    assert "tg_call_foreign" in names(compiled)


def test_a_status_of_a_kernel_is_an_error_on_replay(tmp_path):
    path = tmp_path / "mix.c"
    path.write_text(SOURCE)
    kernels = tensorgrad.ops.load(path)

    @tensorgrad.compile
    def function(x):
        kernels.failing(x.size, x)
        return x + 1

    for _ in range(4):
        function(tensorgrad.ones(3))
    with pytest.raises(tensorgrad.errors.ShapeError, match="failing"):
        function(tensorgrad.full((3,), 200.0))


def test_expressions_are_kernels_like_built_ins():
    swish = tensorgrad.ops.elementwise("swish_compiled", "x / (1 + exp(-x))")
    scaled = tensorgrad.ops.elementwise("scaled_compiled", "a * exp(-b) + k", params={"k": 0.5})

    def function(x):
        x = x.requires_grad_()
        y = (swish(x) + scaled(x, x * 2, k=0.25)).sum()
        return y, *grad(y, [x])

    try:
        compiled = tensorgrad.compile(function)
        assert_equal_runs(function, compiled, lambda i: (numbers(i, 4, 7),))
        assert "tg_call_back" not in names(compiled)
    finally:
        for name in ("swish_compiled", "scaled_compiled"):
            tensorgrad.autograd.registry.pop(name, None)


def test_ops_in_python_become_steps_in_python():
    @op(
        gradient=lambda gy, y, x: gy * tensorgrad.tensor(np.sign(x.detach().numpy())),
        saves=("x",),
        reference=np.abs,
        kernel="NumPy",
        method=False,
    )
    def absolute_in_python(x: tensorgrad.Tensor) -> tensorgrad.Tensor:
        """|x|"""
        return tensorgrad.tensor(np.abs(x.detach().numpy()))

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return tensorgrad.tensor(np.square(x.detach().numpy()))

        @staticmethod
        def backward(ctx, gy):
            (x,) = ctx.saved_tensors
            return gy * 2 * x

    def function(x):
        x = x.requires_grad_()
        y = (absolute_in_python(x) + Square.apply(x)).sum()
        return y, *grad(y, [x])

    try:
        compiled = tensorgrad.compile(function)
        assert_equal_runs(function, compiled, lambda i: (numbers(i, 5),))
        assert "tg_call_back" in names(compiled)
    finally:
        tensorgrad.autograd.registry.pop("absolute_in_python", None)
