/* test_sort.c: the order, its stability, and the first k of it, at lengths around the changes of method. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const int64_t lengths[] = {1, 2, 11, 12, 13, 24, 25, 100, 255, 256, 257, 512, 513, 1024, 1025, 5000};

static bool before(int descending, double a, double b) { /* strictly, a NaN being the greatest */
    if (descending) return isnan(a) ? !isnan(b) : a > b;
    return isnan(b) ? !isnan(a) : a < b;
}

static double element(int dtype, const void *x, int64_t i) {
    return dtype == TG_I64 ? (double)((const int64_t *)x)[i] : test_element(dtype, x, i);
}

/* distinct: how many different values there are, 0 for any */
static void check_length(int dtype, int64_t rows, int64_t n, int distinct, int descending, uint64_t *random) {
    const size_t itemsize = dtype == TG_F32 ? 4 : 8, bytes = (size_t)(rows * n) * itemsize;
    void *x = malloc(bytes), *values = malloc(bytes), *alone = malloc(bytes), *again = malloc(bytes);
    int64_t *positions = malloc((size_t)(rows * n) * 8), *first = malloc((size_t)(rows * n) * 8);
    for (int64_t i = 0; i < rows * n; i++) {
        const uint64_t z = test_random(random);
        const double v =
            distinct ? (double)(z % (uint64_t)distinct) - 1 : test_uniform(random, -1, 1) * exp2((double)(z % 60));
        if (dtype == TG_I64)
            ((int64_t *)x)[i] = distinct ? (int64_t)v : (int64_t)z >> 12;
        else if (dtype == TG_F32)
            ((float *)x)[i] = z % 50 == 7 ? NAN : z % 50 == 8 ? -0.0F : (float)v;
        else
            ((double *)x)[i] = z % 50 == 7 ? NAN : z % 50 == 8 ? -0.0 : v;
    }
    CHECK(tg_sort(dtype, descending, rows, n, x, values, positions) == TG_OK);
    CHECK(tg_sort(dtype, descending, rows, n, x, alone, NULL) == TG_OK);
    CHECK(tg_sort(dtype, descending, rows, n, x, NULL, first) == TG_OK);
    CHECK(memcmp(first, positions, (size_t)(rows * n) * 8) == 0);
    for (int64_t i = 0; i < rows * n; i++) {
        const int64_t row = i / n * n;
        const double v = element(dtype, values, i), same = element(dtype, alone, i);
        CHECK(positions[i] >= 0 && positions[i] < n);
        CHECK(memcmp((char *)values + (size_t)i * itemsize, (char *)x + (size_t)(row + positions[i]) * itemsize,
                     itemsize) == 0);
        CHECK(v == same || (isnan(v) && isnan(same)));
        if (i == row) continue;
        const double last = element(dtype, values, i - 1);
        CHECK_THAT(before(descending, last, v) || (!before(descending, v, last) && positions[i - 1] < positions[i]),
                   "sort dtype %d, %d of %d: %g after %g", dtype, (int)i, (int)n, v, last);
    }
    const int64_t ks[] = {1, n / 20, n / 8, n / 2, n};
    for (int q = 0; q < 5; q++) {
        const int64_t k = ks[q];
        CHECK(tg_topk(dtype, descending, rows, n, k, x, again, first) == TG_OK);
        for (int64_t r = 0; r < rows; r++)
            CHECK(memcmp(first + r * k, positions + r * n, (size_t)k * 8) == 0 &&
                  memcmp((char *)again + (size_t)(r * k) * itemsize, (char *)values + (size_t)(r * n) * itemsize,
                         (size_t)k * itemsize) == 0);
    }
    free(x), free(values), free(alone), free(again), free(positions), free(first);
}

static void check_arguments(void) {
    double x[3] = {3, 1, 2}, y[3];
    int64_t p[3];
    CHECK(tg_sort(TG_F64, 0, 1, 3, x, y, NULL) == TG_OK && y[0] == 1 && y[2] == 3);
    CHECK(tg_sort(3, 0, 1, 3, x, y, p) == TG_BAD_ARGUMENT);
    CHECK(tg_sort(TG_F64, 0, 1, -3, x, y, p) == TG_BAD_SIZE);
    CHECK(tg_sort(TG_F64, 0, 1, (int64_t)1 << 32, x, y, p) == TG_BAD_SIZE);
    CHECK(tg_sort(TG_F64, 0, 1, 3, NULL, y, p) == TG_BAD_ARGUMENT);
    CHECK(tg_sort(TG_F64, 0, 1, 3, x, NULL, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_sort(TG_F64, 0, 0, 3, NULL, NULL, NULL) == TG_OK);
    CHECK(tg_topk(TG_F64, 1, 1, 3, 4, x, y, p) == TG_BAD_ARGUMENT);
    CHECK(tg_topk(TG_F64, 1, 1, 3, -1, x, y, p) == TG_BAD_ARGUMENT);
    CHECK(tg_topk(TG_F64, 1, 1, 3, 2, x, y, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_topk(TG_F64, 1, 1, 3, 2, x, y, p) == TG_OK && y[0] == 3 && p[1] == 2);
}

void test_sort(void) {
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int dtype = TG_F32; dtype <= TG_I64; dtype++)
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
            for (int descending = 0; descending < 2; descending++)
                for (int distinct = 0; distinct <= 6; distinct += 3) {
                    tg_set_num_threads(1 + (int)(k % 3));
                    check_length(dtype, 3, lengths[k], distinct, descending, &random);
                }
    tg_set_num_threads(threads);
    check_arguments();
}
