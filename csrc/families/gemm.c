/* Entry points of matrix multiplication: check the arguments, split the work, call the active table. */
#include <stdatomic.h>

#include "../kernels/table.h"

enum {
    GEMM_FLAGS = TG_TRANS_A | TG_TRANS_B | TG_ACCUMULATE,
    GEMM_GRAIN = 1 << 17 /* multiply-adds; below this a second thread costs more than it brings */
};

/* ---- arguments -------------------------------------------------------------------------------------------------- */

/* The elements that a matrix of rows x cols with row step ld spans, in *span; a status. */
static int matrix_span(int64_t rows, int64_t cols, int64_t ld, int64_t *span) {
    *span = 0;
    if (rows < 0 || cols < 0 || ld < cols) return TG_BAD_SIZE;
    if (rows == 0 || cols == 0) return TG_OK;
    if (tg_mul_overflows(rows - 1, ld, span) || *span > INT64_MAX - cols) return TG_BAD_SIZE;
    *span += cols;
    return *span > INT64_MAX / 8 ? TG_BAD_SIZE : TG_OK;
}

static int check(int dtype, int flags, const tg_gemm_problem *p) {
    if (!tg_is_dtype(dtype) || flags & ~GEMM_FLAGS) return TG_BAD_ARGUMENT;
    if (p->m < 0 || p->n < 0 || p->k < 0) return TG_BAD_SIZE;
    const int ta = flags & TG_TRANS_A, tb = flags & TG_TRANS_B;
    int64_t a_span, b_span, c_span;
    if (matrix_span(ta ? p->k : p->m, ta ? p->m : p->k, p->lda, &a_span) != TG_OK ||
        matrix_span(tb ? p->n : p->k, tb ? p->k : p->n, p->ldb, &b_span) != TG_OK ||
        matrix_span(p->m, p->n, p->ldc, &c_span) != TG_OK)
        return TG_BAD_SIZE;
    if ((c_span && !p->c) || (c_span && p->k && (!p->a || !p->b))) return TG_BAD_ARGUMENT;
    return TG_OK;
}

/* ---- one product ------------------------------------------------------------------------------------------------ */

typedef struct {
    const tg_gemm_problem *problem;
    const tg_gemm_kernels *kernels;
    size_t itemsize;
    int by_rows; /* ranges are of c's rows, else of its columns */
    atomic_int status;
} gemm_call;

static void gemm_range(void *ctx, int64_t begin, int64_t end) {
    gemm_call *call = ctx;
    tg_gemm_problem part = *call->problem;
    const int64_t itemsize = (int64_t)call->itemsize;
    if (call->by_rows) {
        part.m = end - begin;
        part.a = (const char *)part.a + itemsize * begin * (part.flags & TG_TRANS_A ? 1 : part.lda);
        part.c = (char *)part.c + itemsize * begin * part.ldc;
    } else {
        part.n = end - begin;
        part.b = (const char *)part.b + itemsize * begin * (part.flags & TG_TRANS_B ? part.ldb : 1);
        part.c = (char *)part.c + itemsize * begin;
        if (part.bias) part.bias = (const char *)part.bias + itemsize * begin;
    }
    const int status = call->kernels->multiply(&part);
    if (status != TG_OK) atomic_store(&call->status, status);
}

int tg_gemm(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
            void *c, int64_t ldc, const void *bias, int activation) {
    if (activation < 0 || activation >= TG_ACTIVATION_COUNT) return TG_BAD_ARGUMENT;
    tg_gemm_problem problem = {flags, 0, m, n, k, a, lda, b, ldb, c, ldc, bias, NULL};
    const int status = check(dtype, flags, &problem);
    if (status != TG_OK) return status;
    if (m == 0 || n == 0) return TG_OK;
    static const int unary_of[] = {-1, TG_UNARY_relu, TG_UNARY_tanh, TG_UNARY_sigmoid, TG_UNARY_gelu, TG_UNARY_gelu_tanh,
                                   TG_UNARY_silu};
    problem.relu = activation == TG_ACTIVATION_relu;
    if (activation != TG_ACTIVATION_none && !problem.relu)
        problem.activate = tg_active->unary[dtype]->forward[unary_of[activation]];
    gemm_call call = {&problem, tg_active->gemm[dtype], tg_itemsize(dtype), n < m, TG_OK};
    tg_parallel_for(call.by_rows ? m : n, 64, gemm_range, &call);
    return atomic_load(&call.status);
}

/* ---- a batch ---------------------------------------------------------------------------------------------------- */

int tg_gemm_batched(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
                    void *c, int64_t ldc, const tg_layout *batch) {
    tg_gemm_problem problem = {flags, 0, m, n, k, a, lda, b, ldb, c, ldc, NULL, NULL};
    if (!batch || batch->ndim < 0 || batch->ndim > TG_MAX_DIMS) return TG_BAD_ARGUMENT;
    int64_t count = 1;
    for (int64_t d = 0; d < batch->ndim; d++)
        if (tg_mul_overflows(count, batch->shape[d], &count)) return TG_BAD_SIZE;
    const int status = check(dtype, flags, &problem);
    if (status != TG_OK) return status;
    if (m == 0 || n == 0) return TG_OK;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, offset[3] = {0, 0, 0};
        for (int64_t d = batch->ndim; d-- > 0; rest /= batch->shape[d])
            for (int o = 0; o < 3; o++) offset[o] += rest % batch->shape[d] * batch->strides[o][d];
        const int64_t itemsize = (int64_t)tg_itemsize(dtype);
        tg_gemm_problem one = problem;
        one.a = (const char *)a + itemsize * offset[0];
        one.b = (const char *)b + itemsize * offset[1];
        one.c = (char *)c + itemsize * offset[2];
        const int failed = tg_active->gemm[dtype]->multiply(&one);
        if (failed) return failed;
    }
    return TG_OK;
}
