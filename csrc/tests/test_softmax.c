/* test_softmax.c: softmax, log_softmax and cross-entropy against plain loops in double, for every table and thread count. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const int64_t shapes[][2] = {{1, 1},    {5, 2},    {33, 3},  {64, 10}, {131, 10}, {700, 10},
                                    {17, 16},  {40, 31},  {19, 32}, {9, 33},  {7, 100},  {50, 257},
                                    {3, 5000}, {200, 64}, {2, 0},   {0, 7},   {1500, 17}};

typedef struct {
    int dtype;
    int64_t rows, cols;
    double *x, *gy;       /* (rows, cols) in double */
    void *xt, *gyt;       /* the same in dtype */
    void *y, *gx, *again; /* (rows, cols) */
    int64_t *labels;      /* (rows) */
    double *want;         /* (cols) of one row */
    double tolerance;
} fixture;

static void *room(int64_t bytes) { return calloc((size_t)bytes + 64, 1); }

/* To dtype and back, so that the reference sees the same numbers. */
static void rounded(int dtype, int64_t n, double *from, void *to) {
    for (int64_t i = 0; i < n; i++) {
        if (dtype == TG_F32) {
            ((float *)to)[i] = (float)from[i];
            from[i] = (double)(float)from[i];
        } else {
            ((double *)to)[i] = from[i];
        }
    }
}

static void open_fixture(fixture *f, double spread, uint64_t *random) {
    const int64_t n = f->rows * f->cols;
    f->x = room(n * 8), f->gy = room(n * 8), f->xt = room(n * 8), f->gyt = room(n * 8);
    f->y = room(n * 8), f->gx = room(n * 8), f->again = room(n * 8), f->want = room(f->cols * 8),
    f->labels = room(f->rows * 8);
    test_fill(TG_F64, n, f->x, random, -spread, spread);
    test_fill(TG_F64, n, f->gy, random, -1, 1);
    for (int64_t i = 0; i < n && spread > 5; i++)
        if (test_random(random) % 16 == 0) f->x[i] = -INFINITY;
    for (int64_t r = 0; r < f->rows; r++)
        f->labels[r] =
            f->cols == 0 || test_random(random) % 8 == 0 ? -100 : (int64_t)(test_random(random) % (uint64_t)f->cols);
    rounded(f->dtype, n, f->x, f->xt);
    rounded(f->dtype, n, f->gy, f->gyt);
    f->tolerance = f->dtype == TG_F32 ? 3e-6 : 1e-14;
}

static void close_fixture(fixture *f) {
    free(f->x), free(f->gy), free(f->xt), free(f->gyt), free(f->y), free(f->gx), free(f->again), free(f->want),
        free(f->labels);
}

static double row_lse(int64_t cols, const double *x) {
    double top = -INFINITY, sum = 0;
    for (int64_t c = 0; c < cols; c++) top = x[c] > top || x[c] != x[c] ? x[c] : top;
    for (int64_t c = 0; c < cols; c++) sum += exp(x[c] - top);
    return top + log(sum);
}

static void check_softmax(fixture *f) {
    const int64_t n = f->rows * f->cols, cols = f->cols;
    for (int op = 0; op < TG_SOFTMAX_COUNT; op++) {
        tg_set_num_threads(1);
        CHECK(tg_softmax(op, f->dtype, f->rows, cols, f->xt, f->y) == TG_OK);
        CHECK(tg_softmax_grad(op, f->dtype, f->rows, cols, f->gyt, f->y, f->gx) == TG_OK);
        for (int64_t r = 0; r < f->rows; r++) {
            const double *x = f->x + r * cols, *gy = f->gy + r * cols, lse = row_lse(cols, x);
            double dot = 0, sum = 0;
            for (int64_t c = 0; c < cols; c++) dot += gy[c] * exp(x[c] - lse), sum += gy[c];
            for (int64_t c = 0; c < cols; c++) {
                const double p = exp(x[c] - lse), got = test_element(f->dtype, f->y, r * cols + c);
                const double gx = test_element(f->dtype, f->gx, r * cols + c);
                const double scale = 1 + fabs(sum);
                CHECK_THAT(test_close(op == TG_SOFTMAX_softmax ? p : x[c] - lse, got, f->tolerance),
                           "%s: op %d of (%d, %d) dtype %d: %.9g, p %.9g", tg_isa(), op, (int)f->rows, (int)cols,
                           f->dtype, got, p);
                CHECK_THAT(test_close(op == TG_SOFTMAX_softmax ? p * (gy[c] - dot) : gy[c] - p * sum, gx,
                                      f->tolerance * scale),
                           "%s: gradient of op %d of (%d, %d) dtype %d", tg_isa(), op, (int)f->rows, (int)cols,
                           f->dtype);
            }
        }
        tg_set_num_threads(3);
        CHECK(tg_softmax(op, f->dtype, f->rows, cols, f->xt, f->again) == TG_OK);
        CHECK(memcmp(f->y, f->again, (size_t)n * tg_itemsize(f->dtype)) == 0);
        CHECK(tg_softmax_grad(op, f->dtype, f->rows, cols, f->gyt, f->y, f->again) == TG_OK);
        CHECK(memcmp(f->gx, f->again, (size_t)n * tg_itemsize(f->dtype)) == 0);
    }
}

static void check_logsumexp(fixture *f) {
    const int64_t rows = f->rows, cols = f->cols;
    void *y = room(rows * 8), *again = room(rows * 8);
    for (int threads = 1; threads <= 3; threads += 2) {
        tg_set_num_threads(threads);
        CHECK(tg_logsumexp(f->dtype, rows, cols, f->xt, threads == 1 ? y : again) == TG_OK);
        /* gy: the first rows of the fixture's, read as (rows) */
        CHECK(tg_logsumexp_grad(f->dtype, rows, cols, f->gyt, f->xt, y, threads == 1 ? f->gx : f->again) == TG_OK);
    }
    CHECK(memcmp(y, again, (size_t)rows * tg_itemsize(f->dtype)) == 0);
    CHECK(memcmp(f->gx, f->again, (size_t)(rows * cols) * tg_itemsize(f->dtype)) == 0);
    for (int64_t r = 0; r < rows; r++) {
        const double got = test_element(f->dtype, y, r);
        double lse = row_lse(cols, f->x + r * cols);
        if (isnan(lse)) lse = -INFINITY; /* a row of -inf alone */
        CHECK_THAT(test_close(lse, got, f->tolerance), "%s: logsumexp of (%d, %d) dtype %d: %.9g, not %.9g", tg_isa(),
                   (int)rows, (int)cols, f->dtype, got, lse);
        for (int64_t c = 0; c < cols; c++)
            CHECK_THAT(test_close(f->gy[r] * exp(f->x[r * cols + c] - lse), test_element(f->dtype, f->gx, r * cols + c),
                                  f->tolerance * 4),
                       "%s: gradient of logsumexp of (%d, %d) dtype %d", tg_isa(), (int)rows, (int)cols, f->dtype);
    }
    free(y), free(again);
}

static void check_cross_entropy(fixture *f, int weighted, double s, int reduction, uint64_t *random) {
    const int64_t rows = f->rows, cols = f->cols, outputs = reduction == TG_NONE ? rows : 1;
    double *w = room(cols * 8), *g = room(outputs * 8), total = 0, weights = 0, sum = 0;
    void *wt = room(cols * 8), *gt = room(outputs * 8), *loss = room(outputs * 8), *saved = room(rows * 8 + 8),
         *loss2 = room(outputs * 8);
    test_fill(TG_F64, cols, w, random, 0.5, 2);
    for (int64_t c = 0; c < cols && !weighted; c++) w[c] = 1;
    test_fill(TG_F64, outputs, g, random, -1, 1);
    rounded(f->dtype, cols, w, wt);
    rounded(f->dtype, outputs, g, gt);
    for (int64_t c = 0; c < cols; c++) total += w[c];
    tg_set_num_threads(1);
    CHECK(tg_cross_entropy(f->dtype, rows, cols, f->xt, f->labels, weighted ? wt : NULL, -100, s, reduction, loss,
                           saved, NULL) == TG_OK);
    CHECK(tg_cross_entropy_grad(f->dtype, rows, cols, f->xt, f->labels, weighted ? wt : NULL, -100, s, reduction, saved,
                                gt, f->gx) == TG_OK);
    for (int64_t r = 0; r < rows; r++)
        if (f->labels[r] >= 0) weights += w[f->labels[r]];
    for (int64_t r = 0; r < rows; r++) {
        const double *x = f->x + r * cols, lse = row_lse(cols, x);
        const int64_t label = f->labels[r];
        const double gr = reduction == TG_NONE ? g[r] : reduction == TG_MEAN ? g[0] / weights : g[0];
        double want = 0, smooth = 0;
        for (int64_t c = 0; c < cols && s != 0; c++) smooth += w[c] * (lse - x[c]);
        if (label >= 0) want = (1 - s) * w[label] * (lse - x[label]) + (s != 0 ? s / (double)cols * smooth : 0);
        sum += want;
        if (reduction == TG_NONE)
            CHECK_THAT(test_close(want, test_element(f->dtype, loss, r), f->tolerance * 2),
                       "%s: loss of (%d, %d): %.9g, not %.9g", tg_isa(), (int)rows, (int)cols,
                       test_element(f->dtype, loss, r), want);
        for (int64_t c = 0; c < cols; c++) {
            const double p = exp(x[c] - lse);
            const double gx =
                label < 0 ? 0 : gr * ((1 - s) * w[label] * (p - (c == label)) + s / (double)cols * (total * p - w[c]));
            CHECK_THAT(test_close(gx, test_element(f->dtype, f->gx, r * cols + c), f->tolerance * 8),
                       "%s: loss gradient of (%d, %d) dtype %d: %.9g, not %.9g", tg_isa(), (int)rows, (int)cols,
                       f->dtype, test_element(f->dtype, f->gx, r * cols + c), gx);
        }
    }
    CHECK(test_close(weights, test_element(f->dtype, saved, rows), f->tolerance));
    if (reduction != TG_NONE)
        CHECK_THAT(
            test_close(reduction == TG_MEAN ? sum / weights : sum, test_element(f->dtype, loss, 0), f->tolerance * 4),
            "%s: reduction %d of (%d, %d): %.9g", tg_isa(), reduction, (int)rows, (int)cols,
            test_element(f->dtype, loss, 0));
    tg_set_num_threads(2);
    CHECK(tg_cross_entropy(f->dtype, rows, cols, f->xt, f->labels, weighted ? wt : NULL, -100, s, reduction, loss2,
                           saved, NULL) == TG_OK);
    CHECK(tg_cross_entropy_grad(f->dtype, rows, cols, f->xt, f->labels, weighted ? wt : NULL, -100, s, reduction, saved,
                                gt, f->again) == TG_OK);
    CHECK(memcmp(loss, loss2, (size_t)outputs * tg_itemsize(f->dtype)) == 0);
    CHECK(memcmp(f->gx, f->again, (size_t)(rows * cols) * tg_itemsize(f->dtype)) == 0);
    /* the gradient that the forward makes is that of the backward for gy = 1, for any number of threads */
    for (int64_t i = 0; i < outputs; i++) g[i] = 1;
    rounded(f->dtype, outputs, g, gt);
    CHECK(tg_cross_entropy_grad(f->dtype, rows, cols, f->xt, f->labels, weighted ? wt : NULL, -100, s, reduction, saved,
                                gt, f->again) == TG_OK);
    CHECK(tg_cross_entropy(f->dtype, rows, cols, f->xt, f->labels, weighted ? wt : NULL, -100, s, reduction, loss2,
                           NULL, f->gx) == TG_OK);
    CHECK(memcmp(loss, loss2, (size_t)outputs * tg_itemsize(f->dtype)) == 0);
    for (int64_t i = 0; i < rows * cols; i++)
        CHECK_THAT(test_close(test_element(f->dtype, f->again, i), test_element(f->dtype, f->gx, i), f->tolerance * 8),
                   "%s: loss and gradient of (%d, %d) dtype %d at %d: %.9g, not %.9g", tg_isa(), (int)rows, (int)cols,
                   f->dtype, (int)i, test_element(f->dtype, f->gx, i), test_element(f->dtype, f->again, i));
    tg_set_num_threads(1);
    CHECK(tg_cross_entropy(f->dtype, rows, cols, f->xt, f->labels, weighted ? wt : NULL, -100, s, reduction, loss2,
                           NULL, f->again) == TG_OK);
    CHECK(memcmp(f->gx, f->again, (size_t)(rows * cols) * tg_itemsize(f->dtype)) == 0);
    free(w), free(g), free(wt), free(gt), free(loss), free(saved), free(loss2);
}

static void check_extremes(int dtype, int64_t cols) {
    fixture f = {.dtype = dtype, .rows = 4, .cols = cols};
    uint64_t random = 3;
    open_fixture(&f, 1, &random);
    for (int64_t c = 0; c < cols; c++) {
        f.x[c] = c % 2 ? 1e4 : -1e4;
        f.x[cols + c] = -INFINITY;
        f.x[2 * cols + c] = c == 1 ? NAN : 0;
        f.x[3 * cols + c] = c == 1 ? INFINITY : 0;
    }
    rounded(dtype, 4 * cols, f.x, f.xt);
    for (int op = 0; op < TG_SOFTMAX_COUNT; op++) {
        CHECK(tg_softmax(op, dtype, 4, cols, f.xt, f.y) == TG_OK);
        for (int64_t c = 0; c < cols; c++) CHECK(isfinite(test_element(dtype, f.y, c)));
        for (int64_t i = cols; i < 3 * cols; i++) CHECK(isnan(test_element(dtype, f.y, i)));
        CHECK(isnan(test_element(dtype, f.y, 3 * cols + 1)));
    }
    double lse[4];
    CHECK(tg_logsumexp(dtype, 4, cols, f.xt, lse) == TG_OK);
    CHECK(test_close(test_element(dtype, lse, 0), 1e4 + log((double)(cols / 2)), 1e-6));
    CHECK(test_element(dtype, lse, 1) == -INFINITY && isnan(test_element(dtype, lse, 2)));
    CHECK(test_element(dtype, lse, 3) == INFINITY);
    CHECK(tg_logsumexp(dtype, 4, 0, NULL, lse) == TG_OK && test_element(dtype, lse, 0) == -INFINITY);
    CHECK(tg_logsumexp(dtype, 4, -1, f.xt, lse) == TG_BAD_SIZE && tg_logsumexp(2, 4, 1, f.xt, lse) == TG_BAD_ARGUMENT);
    int64_t labels[4] = {0, -1, -1, -1};
    double loss, saved[5], gy = 1;
    const float gy32 = 1;
    CHECK(tg_cross_entropy(dtype, 4, cols, f.xt, labels, NULL, -1, 0, TG_MEAN, &loss, saved, NULL) == TG_OK);
    CHECK(test_close(test_element(dtype, &loss, 0), 2e4 + log((double)(cols / 2)), 1e-6));
    CHECK(tg_cross_entropy_grad(dtype, 4, cols, f.xt, labels, NULL, -1, 0, TG_MEAN, saved,
                                dtype == TG_F32 ? (const void *)&gy32 : &gy, f.gx) == TG_OK);
    for (int64_t c = 0; c < cols; c++) CHECK(isfinite(test_element(dtype, f.gx, c)));
    for (int64_t i = cols; i < 4 * cols; i++) CHECK(test_element(dtype, f.gx, i) == 0);
    labels[2] = cols;
    CHECK(tg_cross_entropy(dtype, 4, cols, f.xt, labels, NULL, -1, 0, TG_MEAN, &loss, saved, NULL) == TG_BAD_INDEX);
    CHECK(tg_cross_entropy(dtype, 0, cols, NULL, NULL, NULL, -1, 0, TG_MEAN, &loss, saved, NULL) == TG_OK);
    CHECK(isnan(test_element(dtype, &loss, 0)));
    CHECK(tg_cross_entropy(dtype, 0, cols, NULL, NULL, NULL, -1, 0, TG_SUM, &loss, saved, NULL) == TG_OK);
    CHECK(test_element(dtype, &loss, 0) == 0);
    CHECK(tg_cross_entropy(dtype, 4, cols, f.xt, labels, NULL, -1, 1.5, TG_SUM, &loss, saved, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_cross_entropy(dtype, 4, cols, f.xt, labels, NULL, -1, 0, 3, &loss, saved, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_cross_entropy(dtype, 4, cols, NULL, labels, NULL, -1, 0, TG_SUM, &loss, saved, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_softmax(0, dtype, -1, cols, f.xt, f.y) == TG_BAD_SIZE);
    CHECK(tg_softmax(0, dtype, INT64_MAX, 4, f.xt, f.y) == TG_BAD_SIZE);
    CHECK(tg_softmax(2, dtype, 1, cols, f.xt, f.y) == TG_BAD_ARGUMENT);
    close_fixture(&f);
}

void test_softmax(void) {
    const char *const best = tg_isa();
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int i = 0; tg_isa_available(i); i++) {
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int dtype = TG_F32; dtype <= TG_F64; dtype++) {
            for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
                for (int spread = 1; spread <= 11; spread += 10) {
                    fixture f = {.dtype = dtype, .rows = shapes[k][0], .cols = shapes[k][1]};
                    open_fixture(&f, spread, &random);
                    if (f.cols > 2 || spread == 1) check_softmax(&f);
                    if (f.cols > 2) check_logsumexp(&f);
                    for (int kind = 0; kind < 12 && spread == 1; kind++)
                        check_cross_entropy(&f, kind & 1, kind & 2 ? 0.1 : 0, kind / 4, &random);
                    close_fixture(&f);
                }
            }
            check_extremes(dtype, 10);
            check_extremes(dtype, 100);
        }
    }
    CHECK(tg_select_isa(best) == TG_OK);
    tg_set_num_threads(threads);
}
