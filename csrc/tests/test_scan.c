/* test_scan.c: cumulative ops against a loop in long double, for every table, direction and thread count. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const int64_t shapes[][3] = {{1, 1, 1},     {3, 2, 1},    {7, 17, 1},  {200, 31, 1}, {2, 1000, 1},
                                    {1, 40000, 1}, {1, 7, 5},    {2, 33, 10}, {3, 9, 17},   {1, 300, 64},
                                    {2, 5, 700},   {1, 4000, 3}, {0, 5, 3},   {2, 1, 4}};

static long double combine(int op, long double a, long double b) {
    switch (op) {
    case TG_SCAN_sum: return a + b;
    case TG_SCAN_prod: return a * b;
    case TG_SCAN_max: return isnan(a) || a > b ? a : b;
    case TG_SCAN_min: return isnan(a) || a < b ? a : b;
    default: return (a > b ? a : b) + (a == b ? logl(2) : log1pl(expl(-fabsl(a - b))));
    }
}

static void check_scan(const int64_t *s, int op, int dtype, int reverse, uint64_t *random) {
    const int64_t outer = s[0], n = s[1], inner = s[2], total = outer * n * inner;
    const size_t bytes = (size_t)total * tg_itemsize(dtype);
    void *x = malloc(bytes + 1), *y = malloc(bytes + 1), *again = malloc(bytes + 1);
    test_fill(dtype, total, x, random, op == TG_SCAN_prod ? 0.99 : -1, op == TG_SCAN_prod ? 1.01 : 1);
    for (int threads = 1; threads <= 4; threads++) {
        tg_set_num_threads(threads);
        CHECK(tg_scan(op, dtype, reverse, outer, n, inner, x, threads == 1 ? y : again) == TG_OK);
        CHECK(threads == 1 || memcmp(y, again, bytes) == 0);
    }
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i += 1 + inner / 5) {
            long double running = 0;
            for (int64_t k = 0; k < n; k++) {
                const int64_t j = reverse ? n - 1 - k : k, at = (o * n + j) * inner + i;
                const long double v = test_element(dtype, x, at);
                running = k == 0 ? v : combine(op, running, v);
                CHECK_THAT(test_close(test_element(dtype, y, at), (double)running, dtype == TG_F32 ? 1e-4 : 1e-11),
                           "%s: scan %s dtype %d reverse %d of (%d, %d, %d) at %d: %.17g, not %.17g", tg_isa(),
                           tg_op_name(TG_SCAN, op), dtype, reverse, (int)outer, (int)n, (int)inner, (int)at,
                           test_element(dtype, y, at), (double)running);
            }
        }
    free(x), free(y), free(again);
}

static void check_recurrence(const int64_t *s, int dtype, int reverse, uint64_t *random) {
    const int64_t outer = s[0], n = s[1], inner = s[2], total = outer * n * inner;
    const size_t bytes = (size_t)total * tg_itemsize(dtype);
    void *a = malloc(bytes + 1), *b = malloc(bytes + 1), *y = malloc(bytes + 1);
    test_fill(dtype, total, a, random, -1, 1);
    test_fill(dtype, total, b, random, -1, 1);
    CHECK(tg_recurrence(dtype, reverse, outer, n, inner, a, b, y) == TG_OK);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double running = 0;
            for (int64_t k = 0; k < n; k++) {
                const int64_t j = reverse ? n - 1 - k : k, at = (o * n + j) * inner + i;
                running = test_element(dtype, b, at) + (k ? test_element(dtype, a, at) * running : 0);
                CHECK(test_close(test_element(dtype, y, at), running, dtype == TG_F32 ? 1e-5 : 1e-13));
            }
        }
    free(a), free(b), free(y);
}

static void check_positions(void) {
    const double x[7] = {1, 3, 3, 2, NAN, 5, NAN};
    const int64_t largest[7] = {0, 1, 2, 2, 4, 4, 6}, smallest[7] = {0, 0, 0, 0, 4, 4, 6};
    int64_t y[7];
    CHECK(tg_argscan(TG_SCAN_max, TG_F64, 1, 7, 1, x, y) == TG_OK && memcmp(y, largest, sizeof y) == 0);
    CHECK(tg_argscan(TG_SCAN_min, TG_F64, 1, 7, 1, x, y) == TG_OK && memcmp(y, smallest, sizeof y) == 0);
    CHECK(tg_argscan(TG_SCAN_sum, TG_F64, 1, 7, 1, x, y) == TG_BAD_ARGUMENT);
}

static void check_special(void) {
    const double x[4] = {-0.0, 1, NAN, 2}, infinite[3] = {-INFINITY, -INFINITY, INFINITY};
    double y[4];
    CHECK(tg_scan(TG_SCAN_sum, TG_F64, 0, 1, 4, 1, x, y) == TG_OK && signbit(y[0]) && y[1] == 1 && isnan(y[3]));
    CHECK(tg_scan(TG_SCAN_max, TG_F64, 0, 1, 4, 1, x, y) == TG_OK && y[1] == 1 && isnan(y[2]) && isnan(y[3]));
    CHECK(tg_scan(TG_SCAN_logsumexp, TG_F64, 0, 1, 3, 1, infinite, y) == TG_OK);
    CHECK(y[0] == -INFINITY && y[1] == -INFINITY && y[2] == INFINITY);
    CHECK(tg_scan(TG_SCAN_COUNT, TG_F64, 0, 1, 4, 1, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_scan(0, 2, 0, 1, 4, 1, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_scan(0, TG_F64, 0, 1, -4, 1, x, y) == TG_BAD_SIZE);
    CHECK(tg_scan(0, TG_F64, 0, 1, 4, 1, NULL, y) == TG_BAD_ARGUMENT);
    CHECK(tg_scan(0, TG_F64, 0, INT64_MAX, 4, 1, x, y) == TG_BAD_SIZE);
}

void test_scan(void) {
    const char *const best = tg_isa();
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int i = 0; tg_isa_available(i); i++) {
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int dtype = TG_F32; dtype <= TG_F64; dtype++)
            for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
                for (int reverse = 0; reverse < 2; reverse++) {
                    for (int op = 0; op < TG_SCAN_COUNT; op++) check_scan(shapes[k], op, dtype, reverse, &random);
                    check_recurrence(shapes[k], dtype, reverse, &random);
                }
        check_positions();
        check_special();
    }
    CHECK(tg_select_isa(best) == TG_OK);
    tg_set_num_threads(threads);
}
