/* test_norm.c: layer_norm and rms_norm against plain loops in double, for every table and thread count. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const int64_t shapes[][2] = {{1, 1},    {5, 2},    {33, 3},  {64, 10},  {131, 10}, {700, 10},
                                    {17, 16},  {40, 31},  {19, 32}, {9, 33},   {7, 100},  {50, 257},
                                    {3, 5000}, {200, 64}, {0, 7},   {500, 65}, {2, 70000}};

typedef struct {
    int dtype, centered, weighted;
    int64_t rows, cols;
    double eps;
    void *x, *gy, *w, *b;                  /* (rows, cols), (rows, cols), (cols), (cols) */
    void *y, *saved, *gx, *gw, *gb;        /* results */
    double *want_gw, *want_gb, *magnitude; /* (cols); magnitude: the sum of the sizes of gw's terms */
} fixture;

static void *room(int64_t elements) { return calloc((size_t)elements + 8, 8); }

static void run(fixture *f) {
    const void *w = f->weighted ? f->w : NULL;
    if (f->centered) {
        CHECK(tg_layer_norm(f->dtype, f->rows, f->cols, f->x, w, f->weighted ? f->b : NULL, f->eps, f->y, f->saved) ==
              TG_OK);
        CHECK(tg_layer_norm_grad(f->dtype, f->rows, f->cols, f->gy, f->x, w, f->saved, f->gx, f->gw, f->gb) == TG_OK);
    } else {
        CHECK(tg_rms_norm(f->dtype, f->rows, f->cols, f->x, w, f->eps, f->y, f->saved) == TG_OK);
        CHECK(tg_rms_norm_grad(f->dtype, f->rows, f->cols, f->gy, f->x, w, f->saved, f->gx, f->gw) == TG_OK);
    }
}

static void check_close(const fixture *f, const char *what, double want, double got, double scale) {
    const double tolerance = (f->dtype == TG_F32 ? 1e-6 : 3e-15) * (1 + scale);
    CHECK_THAT(fabs(want - got) <= tolerance * fmax(1, fabs(want)), "%s: %s of %s (%d, %d) dtype %d: %.17g, not %.17g",
               tg_isa(), what, f->centered ? "layer_norm" : "rms_norm", (int)f->rows, (int)f->cols, f->dtype, got,
               want);
}

static void check_row(fixture *f, int64_t r) {
    const int64_t cols = f->cols;
    const double n = (double)cols;
    long double total = 0, square = 0, sum = 0, dot = 0;
    for (int64_t c = 0; c < cols && f->centered; c++) total += test_element(f->dtype, f->x, r * cols + c);
    const double mean = (double)(total / (long double)n);
    for (int64_t c = 0; c < cols; c++) {
        const double d = test_element(f->dtype, f->x, r * cols + c) - mean;
        square += d * d;
    }
    const double scale = 1 / sqrt((double)square / n + f->eps);
    const double rounding = scale * fabs(mean) * 2; /* the mean is rounded to the dtype */
    for (int64_t c = 0; c < cols; c++) {
        const double h = (test_element(f->dtype, f->x, r * cols + c) - mean) * scale;
        const double w = f->weighted ? test_element(f->dtype, f->w, c) : 1;
        const double b = f->weighted && f->centered ? test_element(f->dtype, f->b, c) : 0;
        const double g = test_element(f->dtype, f->gy, r * cols + c);
        check_close(f, "y", h * w + b, test_element(f->dtype, f->y, r * cols + c), 2 + rounding);
        f->want_gw[c] += g * h;
        f->want_gb[c] += g;
        f->magnitude[c] += fabs(g * h) + fabs(g) * (1 + rounding);
        sum += g * w;
        dot += g * w * h;
    }
    for (int64_t c = 0; c < cols; c++) {
        const double h = (test_element(f->dtype, f->x, r * cols + c) - mean) * scale;
        const double g =
            test_element(f->dtype, f->gy, r * cols + c) * (f->weighted ? test_element(f->dtype, f->w, c) : 1);
        const double want = scale * (g - (f->centered ? (double)sum / n : 0) - h * (double)dot / n);
        check_close(f, "gx", want, test_element(f->dtype, f->gx, r * cols + c), scale * (4 + rounding));
    }
}

static void check_shape(fixture f, double mean, uint64_t *random) {
    const int64_t total = f.rows * f.cols, cols = f.cols;
    const size_t itemsize = tg_itemsize(f.dtype);
    f.x = room(total), f.gy = room(total), f.w = room(cols), f.b = room(cols), f.y = room(total), f.gx = room(total);
    f.saved = room(2 * f.rows), f.gw = room(cols), f.gb = room(cols);
    f.want_gw = room(cols), f.want_gb = room(cols), f.magnitude = room(cols);
    test_fill(f.dtype, total, f.x, random, mean - 2, mean + 2);
    test_fill(f.dtype, total, f.gy, random, -1, 1);
    test_fill(f.dtype, cols, f.w, random, -2, 2);
    test_fill(f.dtype, cols, f.b, random, -2, 2);
    tg_set_num_threads(1);
    run(&f);
    for (int64_t r = 0; r < f.rows; r++) check_row(&f, r);
    for (int64_t c = 0; c < cols; c++) {
        check_close(&f, "gw", f.want_gw[c], test_element(f.dtype, f.gw, c), f.magnitude[c]);
        if (f.centered) check_close(&f, "gb", f.want_gb[c], test_element(f.dtype, f.gb, c), f.magnitude[c]);
    }
    fixture again = f;
    again.y = room(total), again.gx = room(total), again.gw = room(cols), again.gb = room(cols);
    tg_set_num_threads(3);
    run(&again);
    CHECK(memcmp(f.y, again.y, (size_t)total * itemsize) == 0);
    CHECK(memcmp(f.gx, again.gx, (size_t)total * itemsize) == 0);
    CHECK(memcmp(f.gw, again.gw, (size_t)cols * itemsize) == 0);
    CHECK(memcmp(f.gb, again.gb, (size_t)cols * itemsize) == 0);
    void *const all[] = {f.x,  f.gy,      f.w,       f.b,         f.y,     f.gx,     f.saved,  f.gw,
                         f.gb, f.want_gw, f.want_gb, f.magnitude, again.y, again.gx, again.gw, again.gb};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void check_arguments(void) {
    double x[4] = {1, 2, 3, 4}, y[4], saved[4], gw[2] = {5, 5}, gb[2] = {5, 5};
    CHECK(tg_layer_norm(2, 2, 2, x, NULL, NULL, 0, y, saved) == TG_BAD_ARGUMENT);
    CHECK(tg_layer_norm(TG_F64, -1, 2, x, NULL, NULL, 0, y, saved) == TG_BAD_SIZE);
    CHECK(tg_layer_norm(TG_F64, INT64_MAX, 2, x, NULL, NULL, 0, y, saved) == TG_BAD_SIZE);
    CHECK(tg_layer_norm(TG_F64, 2, 2, NULL, NULL, NULL, 0, y, saved) == TG_BAD_ARGUMENT);
    CHECK(tg_rms_norm(TG_F64, 2, 2, x, NULL, 0, NULL, saved) == TG_BAD_ARGUMENT);
    CHECK(tg_rms_norm(TG_F64, 2, 2, x, NULL, 0, y, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_layer_norm_grad(TG_F64, 2, 2, NULL, x, NULL, saved, y, NULL, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_layer_norm_grad(TG_F64, 0, 2, NULL, NULL, NULL, NULL, NULL, gw, gb) == TG_OK);
    CHECK(gw[0] == 0 && gw[1] == 0 && gb[0] == 0 && gb[1] == 0);
    CHECK(tg_layer_norm(TG_F64, 2, 2, x, NULL, NULL, 0, y, saved) == TG_OK && y[0] == -1 && y[3] == 1);
    /* each gradient alone is what it is with the others */
    CHECK(tg_layer_norm_grad(TG_F64, 2, 2, x, x, NULL, saved, NULL, gw, NULL) == TG_OK && gw[0] == -4 && gw[1] == 6);
    CHECK(tg_layer_norm_grad(TG_F64, 2, 2, x, x, NULL, saved, NULL, NULL, gb) == TG_OK && gb[0] == 4 && gb[1] == 6);
    CHECK(tg_layer_norm_grad(TG_F64, 2, 2, x, x, NULL, saved, y, NULL, NULL) == TG_OK && y[0] == 0 && y[3] == 0);
}

void test_norm(void) {
    const char *const best = tg_isa();
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int i = 0; tg_isa_available(i); i++) {
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int dtype = TG_F32; dtype <= TG_F64; dtype++)
            for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
                for (int kind = 0; kind < 4; kind++)
                    check_shape((fixture){.dtype = dtype,
                                          .rows = shapes[k][0],
                                          .cols = shapes[k][1],
                                          .centered = kind & 1,
                                          .weighted = kind >> 1,
                                          .eps = kind & 1 ? 1e-5 : 1e-3},
                                kind, &random);
        check_arguments();
    }
    CHECK(tg_select_isa(best) == TG_OK);
    tg_set_num_threads(threads);
}
