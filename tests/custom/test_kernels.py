"""C kernels from files, from built modules and from pointers."""

from __future__ import annotations

from pathlib import Path

import cffi
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import Tensor, ops
from tensorgrad.errors import (
    ABIError,
    ArgumentError,
    CompileError,
    DTypeError,
    IndexOutOfRangeError,
    InplaceError,
    KernelError,
    OutOfMemoryError,
    ShapeError,
)
from tensorgrad.ops import modules

SOURCE = """
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
TG_MODULE

typedef struct { const float *x; float *y; float a; } work;

static void range(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t i = begin; i < end; i += TG_VECTOR_BYTES / 4) {
        const int64_t count = end - i;
        v_store_upto_f32(w->y + i, v_set_f32(w->a) * v_exp_f32(v_load_upto_f32(w->x + i, count)), count);
    }
}

/* y = a exp(x). x, y: (n) */
TG_EXPORT int scaled_exp(int64_t n, float a, const float *x, float *y) {
    work w = {x, y, a};
    tg->parallel_for(n, 4096, range, &w);
    return TG_OK;
}

TG_EXPORT int product(int64_t n, const double *a, const double *b, double *c) {
    return tg->gemm(TG_F64, 0, n, n, n, a, n, b, n, c, n, NULL, 0);
}

TG_EXPORT int failing(int status) { return status; }
TG_EXPORT double mean(int64_t n, const double *x) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}
TG_EXPORT int64_t first(const int64_t *index) { return index ? index[0] : -1; }
TG_EXPORT void nothing(void) {}
// TG_EXPORT int commented_out(int n) { return 0; }
static int hidden(int n) { return n; }
TG_EXPORT int uses_scratch(int64_t bytes) { return tg->scratch(0, (size_t)bytes) && !hidden(0) ? TG_OK : TG_NO_MEMORY; }
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> modules.Module:
    path = tmp_path_factory.mktemp("kernels") / "mine.c"
    path.write_text(SOURCE)
    return ops.load(path)


def test_a_kernel_with_vectors_and_threads(kernels: modules.Module) -> None:
    x = tg.randn(10001)
    y = tg.empty(10001)
    assert kernels.scaled_exp(10001, 2.0, x, y) is None
    np.testing.assert_allclose(y.numpy(), 2 * np.exp(x.numpy()), rtol=1e-6)


def test_the_librarys_services(kernels: modules.Module) -> None:
    a, b = tg.randn(7, 7, dtype="float64"), tg.randn(7, 7, dtype="float64")
    c = tg.empty((7, 7), dtype="float64")
    kernels.product(7, a, b, c)
    np.testing.assert_allclose(c.numpy(), a.numpy() @ b.numpy())
    kernels.uses_scratch(1000)


def test_numbers_and_pointers(kernels: modules.Module) -> None:
    assert kernels.mean(4, tg.arange(4, dtype="float64")) == 1.5
    assert kernels.mean(2, tg.arange(4, dtype="float64")[::2]) == 1.0  # a copy is made
    assert kernels.first(tg.tensor([5, 6])) == 5
    assert kernels.first(None) == -1
    assert kernels.nothing() is None
    assert "scaled_exp" in repr(kernels)
    assert repr(kernels.mean) == "<kernel double mean(int64_t n, const double *x)>"
    for absent in ("commented_out", "hidden"):
        with pytest.raises(AttributeError, match=f"no kernel '{absent}'; it has .*scaled_exp"):
            getattr(kernels, absent)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (1, OutOfMemoryError),
        (2, ShapeError),
        (3, ArgumentError),
        (4, IndexOutOfRangeError),
        (77, KernelError),
    ],
)
def test_statuses_are_errors(kernels: modules.Module, status: int, error: type) -> None:
    with pytest.raises(error, match=f"failing: the kernel returned {status}"):
        kernels.failing(status)
    assert kernels.failing(0) is None


def test_arguments_that_do_not_fit(kernels: modules.Module) -> None:
    x, y = tg.ones(4), tg.zeros(4)
    with pytest.raises(ArgumentError, match="expected 4 arguments, int scaled_exp"):
        kernels.scaled_exp(4, x, y)
    with pytest.raises(DTypeError, match="expected a Tensor of float32 for x, got float64"):
        kernels.scaled_exp(4, 1.0, x.astype("float64"), y)
    with pytest.raises(DTypeError, match="expected a Tensor for x, got ndarray"):
        kernels.scaled_exp(4, 1.0, np.ones(4, np.float32), y)
    with pytest.raises(DTypeError, match="expected int64_t for n, got 4.5"):
        kernels.scaled_exp(4.5, 1.0, x, y)
    with pytest.raises(DTypeError, match="expected float for a, got None"):
        kernels.scaled_exp(4, None, x, y)
    with pytest.raises(ArgumentError, match="y is written, so it must be contiguous"):
        kernels.scaled_exp(2, 1.0, x, y[::2])


def test_a_write_is_noticed_by_the_tape(kernels: modules.Module) -> None:
    w = tg.ones(4, requires_grad=True)
    x = tg.zeros(4)
    loss = (w * x).sum()
    kernels.scaled_exp(4, 1.0, tg.ones(4), x)
    with pytest.raises(InplaceError, match="modified in place by scaled_exp"):
        loss.backward()


def test_an_op_made_of_kernels(kernels: modules.Module) -> None:
    @tg.op(
        gradient=lambda gy, y, x: gy * y,
        saves=("y",),
        reference=lambda x: 2 * np.exp(x),
        cases=(tg.autograd.Case((3, 4), low=0.0, high=1.0),),
        method=False,
    )
    def twice_exp(x: Tensor) -> Tensor:
        """2 exp(x)."""
        source = x.contiguous().astype("float32")
        y = tg.empty(x.shape)
        kernels.scaled_exp(x.size, 2.0, source, y)
        return y.astype(x.dtype)

    x = tg.zeros(3, requires_grad=True)
    twice_exp(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


# ---- what is refused -----------------------------------------------------------------------------


def test_a_syntax_error_is_shown_with_the_users_line(folder: Path) -> None:
    path = folder / "broken.c"
    path.write_text(
        "#include <tensorgrad_kernel.h>\nTG_MODULE\n\nTG_EXPORT int f(int n) {\n    return n +;\n}\n"
    )
    with pytest.raises(CompileError, match=r"broken.c:5:\d+: error"):
        ops.load(path)


def test_a_file_without_kernels(folder: Path) -> None:
    path = folder / "empty.c"
    path.write_text("int f(int n) { return n; }\n")
    with pytest.raises(CompileError, match="no function marked TG_EXPORT"):
        ops.load(path)
    with pytest.raises(CompileError, match=r"missing.c cannot be read: No such file"):
        ops.load(folder / "missing.c")


def test_a_file_without_the_modules_mark(folder: Path) -> None:
    path = folder / "unmarked.c"
    path.write_text(
        "#include <tensorgrad_kernel.h>\nTG_EXPORT int f(int n);\nTG_EXPORT int f(int n) { return n; }\n"
    )
    with pytest.raises(ABIError, match="has no TG_MODULE"):
        ops.load(path)


def test_a_module_of_another_abi(folder: Path) -> None:
    path = folder / "old.c"
    path.write_text(
        '#define TG_EXPORT __attribute__((visibility("default")))\n'
        "TG_EXPORT int tg_module_abi(void);\n"
        "TG_EXPORT void tg_module_bind(const void *api);\n"
        "TG_EXPORT int f(int n);\n"
        "TG_EXPORT int tg_module_abi(void) { return 999; }\n"
        "TG_EXPORT void tg_module_bind(const void *api) { (void)api; }\n"
        "TG_EXPORT int f(int n) { return n; }\n"
    )
    with pytest.raises(ABIError, match="version 999 of tensorgrad's C interface, .* has version 1"):
        ops.load(path)


def test_a_changed_file_and_a_changed_header_are_compiled_again(folder: Path) -> None:
    header, path = folder / "number.h", folder / "changing.c"
    text = (
        '#include <tensorgrad_kernel.h>\n#include "number.h"\nTG_MODULE\n'
        "TG_EXPORT int64_t number(void) { return NUMBER + %d; }\n"
    )
    header.write_text("#define NUMBER 1\n")
    path.write_text(text % 0)
    assert ops.load(path).number() == 1
    path.write_text(text % 10)
    assert ops.load(path).number() == 11
    header.write_text("#define NUMBER 2\n")
    assert ops.load(path).number() == 12


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("float *f(int n)", "expected it to return a number"),
        ("int f(struct thing *t)", "cannot take a parameter"),
        ("int f(float **x)", "cannot take a parameter"),
        ("nonsense", "expected a C declaration"),
        ("int f(char c)", "cannot take a parameter"),
    ],
)
def test_signatures_that_are_not_understood(signature: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ops.from_pointer(1, signature)


# ---- somebody else's library ---------------------------------------------------------------------


def test_a_function_of_another_library() -> None:
    ffi = cffi.FFI()
    ffi.cdef("double hypot(double, double); void *memcpy(void *, const void *, size_t);")
    library = ffi.dlopen(None)
    hypot = ops.from_pointer(
        int(ffi.cast("uintptr_t", ffi.addressof(library, "hypot"))),
        "double hypot(double x, double y)",
    )
    assert hypot(3.0, 4.0) == 5.0


def test_a_callback_as_a_kernel() -> None:
    ffi = cffi.FFI()

    @ffi.callback("int(int64_t, const double *, double *)")
    def negate(n, x, y):  # type: ignore[no-untyped-def]
        for i in range(n):
            y[i] = -x[i]
        return 0

    kernel = ops.from_pointer(negate, "int negate(int64_t n, const double *x, double *y)")
    y = tg.zeros(3, dtype="float64")
    kernel(3, tg.tensor([1.0, 2.0, 3.0], dtype="float64"), y)
    assert y.tolist() == [-1.0, -2.0, -3.0]


def test_pointers_that_are_none() -> None:
    with pytest.raises(ArgumentError, match="NULL"):
        ops.from_pointer(0, "int f(int n)")
    with pytest.raises(DTypeError, match="expected a cffi function pointer"):
        ops.from_pointer("f", "int f(int n)")


def test_a_write_into_a_view_is_noticed_too(kernels: modules.Module) -> None:
    w, x = tg.ones(4, requires_grad=True), tg.zeros(8)
    loss = (w * x[:4]).sum()
    kernels.scaled_exp(4, 1.0, tg.ones(4), x[4:])
    with pytest.raises(InplaceError, match="modified in place by scaled_exp"):
        loss.backward()
    with pytest.raises(InplaceError, match="a leaf that requires grad"):
        kernels.scaled_exp(4, 1.0, tg.ones(4), w)


def test_a_write_into_a_view_whose_base_became_a_leaf_is_refused(kernels: modules.Module) -> None:
    x = tg.ones(4)
    v = x[:2]
    kernels.scaled_exp(2, 1.0, tg.zeros(2), v)
    x.requires_grad_()
    with pytest.raises(tg.errors.InplaceError, match="a view of one"):
        kernels.scaled_exp(2, 1.0, tg.zeros(2), v)
