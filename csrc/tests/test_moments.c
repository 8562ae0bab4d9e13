/* test_moments.c: mean and variance against two passes in long double, for every table and thread count. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const int64_t shapes[][3] = {
    {1, 1, 1},      {3, 2, 1},    {7, 10, 1},     {129, 31, 1},   {700, 3, 1},    {2, 1000, 1},  {3, 4999, 1},
    {1, 70000, 1},  {1, 9000, 1}, {2, 100003, 1}, {1, 300001, 1}, {1, 7, 5},      {2, 33, 10},   {1, 512, 10},
    {1, 100000, 3}, {2, 40, 64},  {1, 129, 100},  {3, 17, 257},   {1, 300, 1030}, {2, 700, 513}, {1, 3, 7000},
    {1, 5000, 40},  {5, 2, 2},    {1, 1, 9},      {0, 5, 3},      {1, 200000, 2},
};

static void set(int dtype, void *x, int64_t i, double v) {
    if (dtype == TG_F32)
        ((float *)x)[i] = (float)v;
    else
        ((double *)x)[i] = v;
}

/* Kinds: around 0, around a mean 10^4 times the deviation, rising along j, a first row far from all the others. */
static void check_shape(const int64_t *s, int dtype, int kind, uint64_t *random) {
    const int64_t outer = s[0], n = s[1], inner = s[2], outputs = outer * inner, total = outputs * n;
    const size_t itemsize = tg_itemsize(dtype);
    void *x = malloc((size_t)total * itemsize + 1), *var = malloc((size_t)outputs * itemsize + 1);
    void *mean = malloc((size_t)outputs * itemsize + 1), *again = malloc((size_t)outputs * itemsize + 1);
    test_fill(dtype, total, x, random, -1, 1);
    for (int64_t i = 0; i < total; i++) {
        const double v = test_element(dtype, x, i);
        const int64_t j = i / inner % n;
        set(dtype, x, i, kind == 1 ? 1e4 + v : kind == 2 ? (double)j + v : kind == 3 && j == 0 ? 1e4 : v);
    }
    const double epsilon = dtype == TG_F32 ? 6e-8 : 1.2e-16, correction = kind % 2;
    for (int threads = 1; threads <= 5; threads += threads) {
        tg_set_num_threads(threads);
        CHECK(tg_variance(dtype, outer, n, inner, x, correction, mean, threads == 1 ? var : again) == TG_OK);
        CHECK_THAT(threads == 1 || memcmp(var, again, (size_t)outputs * itemsize) == 0,
                   "variance of (%d, %d, %d): %d threads differ", (int)outer, (int)n, (int)inner, threads);
    }
    for (int64_t k = 0; k < outputs; k += 1 + outputs / 20) {
        long double sum = 0, squares = 0;
        for (int64_t j = 0; j < n; j++) sum += test_element(dtype, x, (k / inner * n + j) * inner + k % inner);
        const long double m = sum / (long double)n;
        for (int64_t j = 0; j < n; j++) {
            const long double d = test_element(dtype, x, (k / inner * n + j) * inner + k % inner) - m;
            squares += d * d;
        }
        const double want = n > correction ? (double)(squares / ((long double)n - correction)) : NAN;
        const double got = test_element(dtype, var, k), got_mean = test_element(dtype, mean, k);
        /* relative to the variance, whatever the mean; the mean to the largest element */
        CHECK_THAT((isnan(want) && isnan(got)) ||
                       fabs(got - want) <= epsilon * (16 + 4 * log2((double)n + 1)) * fabs(want),
                   "%s: variance of (%d, %d, %d) dtype %d kind %d at %d: %.17g, not %.17g", tg_isa(), (int)outer,
                   (int)n, (int)inner, dtype, kind, (int)k, got, want);
        CHECK_THAT(fabs(got_mean - (double)m) <= epsilon * (kind == 3 ? 4e4 : 16 * (1 + fabs((double)m))),
                   "%s: mean of (%d, %d, %d) dtype %d kind %d at %d: %.17g, not %.17g", tg_isa(), (int)outer, (int)n,
                   (int)inner, dtype, kind, (int)k, got_mean, (double)m);
    }
    free(x), free(var), free(mean), free(again);
}

static void check_arguments(void) {
    double x[4] = {1, 2, 3, NAN}, y[2];
    CHECK(tg_variance(TG_F64, 1, 3, 1, x, 1, NULL, y) == TG_OK && y[0] == 1);
    CHECK(tg_variance(TG_F64, 2, 2, 1, x, 0, NULL, y) == TG_OK && y[0] == 0.25 && isnan(y[1]));
    CHECK(tg_variance(TG_F64, 1, 0, 2, NULL, 0, NULL, y) == TG_OK && isnan(y[0]) && isnan(y[1]));
    CHECK(tg_variance(TG_F64, 1, 2, 1, x, 2, NULL, y) == TG_OK && isnan(y[0]));
    CHECK(tg_variance(2, 1, 2, 1, x, 0, NULL, y) == TG_BAD_ARGUMENT);
    CHECK(tg_variance(TG_F64, 1, -1, 1, x, 0, NULL, y) == TG_BAD_SIZE);
    CHECK(tg_variance(TG_F64, INT64_MAX, INT64_MAX, 1, x, 0, NULL, y) == TG_BAD_SIZE);
    CHECK(tg_variance(TG_F64, 1, 2, 1, NULL, 0, NULL, y) == TG_BAD_ARGUMENT);
    CHECK(tg_variance(TG_F64, 1, 2, 1, x, 0, NULL, NULL) == TG_BAD_ARGUMENT);
}

void test_moments(void) {
    const char *const best = tg_isa();
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int i = 0; tg_isa_available(i); i++) {
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int dtype = TG_F32; dtype <= TG_F64; dtype++)
            for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
                for (int kind = 0; kind < 4; kind++) check_shape(shapes[k], dtype, kind, &random);
    }
    CHECK(tg_select_isa(best) == TG_OK);
    tg_set_num_threads(threads);
    check_arguments();
}
