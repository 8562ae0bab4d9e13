/* test_reduce.c: reductions against plain loops in long double, for every table and thread count. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

typedef struct {
    int64_t outer, n, inner;
} shape;

static const shape shapes[] = {
    {1, 0, 1},    {3, 0, 4},      {0, 5, 3},     {1, 1, 1},      {1, 5, 1},      {7, 10, 1},
    {129, 3, 1},  {2, 1000, 1},   {3, 4999, 1},  {1, 70000, 1},  {1, 300001, 1}, {2, 100003, 1},
    {1, 7, 5},    {2, 33, 10},    {1, 512, 10},  {1, 100000, 3}, {2, 40, 64},    {1, 129, 100},
    {3, 17, 257}, {1, 300, 1030}, {2, 700, 513}, {1, 3, 70000},  {1, 5000, 40},  {5, 2, 2},
};

/* The result of one output. */
static double reference(int op, int dtype, shape s, int64_t o, int64_t i, const void *x) {
    long double a = op == TG_REDUCE_prod ? 1 : op == TG_REDUCE_max ? -INFINITY : op == TG_REDUCE_min ? INFINITY : 0;
    for (int64_t j = 0; j < s.n; j++) {
        const long double v = test_element(dtype, x, (o * s.n + j) * s.inner + i);
        switch (op) {
        case TG_REDUCE_max: a = v != v || a != a ? NAN : v > a ? v : a; break;
        case TG_REDUCE_min: a = v != v || a != a ? NAN : v < a ? v : a; break;
        case TG_REDUCE_prod: a *= v; break;
        case TG_REDUCE_norm:
        case TG_REDUCE_sumsq: a += v * v; break;
        default: a += v;
        }
    }
    return (double)(op == TG_REDUCE_mean ? a / (long double)s.n : op == TG_REDUCE_norm ? sqrtl(a) : a);
}

static int64_t arg_reference(int op, int dtype, shape s, int64_t o, int64_t i, const void *x) {
    int64_t at = 0;
    for (int64_t j = 1; j < s.n; j++) {
        const double best = test_element(dtype, x, (o * s.n + at) * s.inner + i);
        const double v = test_element(dtype, x, (o * s.n + j) * s.inner + i);
        if (best == best && (v != v || (op == TG_ARGREDUCE_argmax ? v > best : v < best))) at = j;
    }
    return at;
}

/* Few distinct values, so that extremes occur more than once; near 1 for products; some NaN and infinities at last. */
static void fill(int kind, int dtype, int64_t n, void *x, uint64_t *random) {
    test_fill(dtype, n, x, random, kind == 1 ? 0.999 : -1, kind == 1 ? 1.001 : 1);
    for (int64_t i = 0; kind != 1 && i < n; i++) {
        double v = test_element(dtype, x, i);
        v = rint(v * 64) / 64;
        if (kind == 2 && test_random(random) % 64 == 0) v = NAN;
        if (kind == 3 && test_random(random) % 16 == 0) v = INFINITY;
        if (dtype == TG_F32)
            ((float *)x)[i] = (float)v;
        else
            ((double *)x)[i] = v;
    }
}

static void check_shape(shape s, int dtype, int kind, uint64_t *random) {
    const int64_t outputs = s.outer * s.inner, total = outputs * s.n;
    const size_t itemsize = tg_itemsize(dtype);
    void *x = malloc((size_t)total * itemsize + 1), *y = malloc((size_t)outputs * itemsize + 1);
    void *again = malloc((size_t)outputs * itemsize + 1);
    int64_t *at = malloc((size_t)outputs * sizeof(int64_t) + 1),
            *at_again = malloc((size_t)outputs * sizeof(int64_t) + 1);
    fill(kind, dtype, total, x, random);
    const double tolerance = (dtype == TG_F32 ? 1e-7 : 2e-16) * (16 + 4 * log2((double)s.n + 1));
    for (int op = 0; op < TG_REDUCE_COUNT; op++) {
        tg_set_num_threads(1);
        CHECK(tg_reduce(op, dtype, s.outer, s.n, s.inner, x, y) == TG_OK);
        /* a product's error grows with the number of factors, a sum of n terms up to 1 in size may cancel */
        const double scale = op == TG_REDUCE_prod  ? (double)s.n / 8 + 1
                             : op == TG_REDUCE_sum ? sqrt((double)s.n) + 1
                                                   : 1;
        for (int64_t k = 0; k < outputs; k += 1 + outputs / 20) {
            const double want = reference(op, dtype, s, k / s.inner, k % s.inner, x), got = test_element(dtype, y, k);
            CHECK_THAT(test_close(want, got, tolerance * scale),
                       "%s: %s of (%d, %d, %d) dtype %d kind %d at %d: %.17g, not %.17g", tg_isa(),
                       tg_op_name(TG_REDUCE, op), (int)s.outer, (int)s.n, (int)s.inner, dtype, kind, (int)k, got, want);
        }
        for (int threads = 2; threads <= 5; threads += 3) {
            tg_set_num_threads(threads);
            CHECK(tg_reduce(op, dtype, s.outer, s.n, s.inner, x, again) == TG_OK);
            CHECK_THAT(kind >= 2 || memcmp(y, again, (size_t)outputs * itemsize) == 0,
                       "%s of (%d, %d, %d): %d threads differ", tg_op_name(TG_REDUCE, op), (int)s.outer, (int)s.n,
                       (int)s.inner, threads);
        }
    }
    for (int op = 0; op < TG_ARGREDUCE_COUNT && s.n > 0; op++) {
        tg_set_num_threads(1);
        CHECK(tg_argreduce(op, dtype, s.outer, s.n, s.inner, x, at) == TG_OK);
        for (int64_t k = 0; k < outputs; k += 1 + outputs / 20) {
            const int64_t want = arg_reference(op, dtype, s, k / s.inner, k % s.inner, x);
            CHECK_THAT(at[k] == want, "%s: %s of (%d, %d, %d) dtype %d kind %d at %d: %d, not %d", tg_isa(),
                       tg_op_name(TG_ARGREDUCE, op), (int)s.outer, (int)s.n, (int)s.inner, dtype, kind, (int)k,
                       (int)at[k], (int)want);
        }
        tg_set_num_threads(2);
        CHECK(tg_argreduce(op, dtype, s.outer, s.n, s.inner, x, at_again) == TG_OK);
        CHECK(memcmp(at, at_again, (size_t)outputs * sizeof(int64_t)) == 0);
    }
    free(x), free(y), free(again), free(at), free(at_again);
}

/* 2^24 + 1 ones: a plain float32 sum would stop at 2^24. */
static void check_accuracy(void) {
    const int64_t n = (1 << 24) + 1;
    float *x = malloc((size_t)n * sizeof(float)), y;
    if (!x) return;
    for (int64_t i = 0; i < n; i++) x[i] = 0.1f;
    CHECK(tg_reduce(TG_REDUCE_sum, TG_F32, 1, n, 1, x, &y) == TG_OK);
    CHECK_THAT(fabs((double)y - (double)n * (double)0.1f) < 1, "sum of 2^24 + 1 times 0.1: %.9g", (double)y);
    free(x);
}

static void check_arguments(void) {
    double x[4] = {1, 2, 3, 4}, y[4];
    int64_t at[4];
    CHECK(tg_reduce(-1, TG_F64, 1, 4, 1, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_reduce(TG_REDUCE_COUNT, TG_F64, 1, 4, 1, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_reduce(0, 2, 1, 4, 1, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_reduce(0, TG_F64, -1, 4, 1, x, y) == TG_BAD_SIZE);
    CHECK(tg_reduce(0, TG_F64, INT64_MAX, INT64_MAX, 1, x, y) == TG_BAD_SIZE);
    CHECK(tg_reduce(0, TG_F64, 1, 4, 1, NULL, y) == TG_BAD_ARGUMENT);
    CHECK(tg_reduce(0, TG_F64, 1, 4, 1, x, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_reduce(0, TG_F64, 0, 4, 1, NULL, NULL) == TG_OK);
    CHECK(tg_argreduce(0, TG_F64, 1, 0, 1, x, at) == TG_BAD_SIZE);
    CHECK(tg_argreduce(2, TG_F64, 1, 4, 1, x, at) == TG_BAD_ARGUMENT);
    CHECK(tg_argreduce(0, TG_F64, 1, 4, 1, x, NULL) == TG_BAD_ARGUMENT);
}

void test_reduce(void) {
    const char *const best = tg_isa();
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int i = 0; tg_isa_available(i); i++) {
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int dtype = TG_F32; dtype <= TG_F64; dtype++)
            for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
                for (int kind = 0; kind < 4; kind++) check_shape(shapes[k], dtype, kind, &random);
        check_accuracy();
    }
    CHECK(tg_select_isa(best) == TG_OK);
    tg_set_num_threads(threads);
    check_arguments();
}
