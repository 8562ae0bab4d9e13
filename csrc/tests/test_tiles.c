/* test_tiles.c: chains tile by tile give the bits of their steps one by one, in every table and with any number of threads; what
 * is no chain is refused. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { X, ROW, COLUMN, SCALE, SCALED, TANH, SUMMED, RESULT, VALUES };

typedef struct {
    char *x, *row, *column, *scale, *y, *total, *columns; /* y: (rows, cols), the result; columns: (cols) */
} arrays;

static tg_tile_step step_of(int kind, int op, int a, int b, int y) {
    return (tg_tile_step){.kind = kind, .op = op, .in = {a, b, -1, -1}, .y = y};
}

/* y = tanh(x * scale) + row, then - column in place of it; the sum of all and those of the columns of tanh(x * scale) */
static int by_tiles(int dtype, int64_t rows, int64_t cols, const arrays *a) {
    const int64_t n = rows * cols, item = (int64_t)tg_itemsize(dtype);
    const tg_tile_value values[VALUES] = {
        [X] = {a->x, item, 1, n, -1},
        [ROW] = {a->row, item, 1, cols, -1},
        [COLUMN] = {a->column, item, cols, rows, -1},
        [SCALE] = {a->scale, item, 1, 1, -1},
        [SCALED] = {NULL, item, 1, n, 0},
        [TANH] = {NULL, item, 1, n, 1},
        [SUMMED] = {NULL, item, 1, n, 0},
        [RESULT] = {a->y, item, 1, n, 2},
    };
    const tg_tile_step steps[] = {
        step_of(TG_TILE_BINARY, TG_BINARY_mul, X, SCALE, SCALED),
        step_of(TG_TILE_UNARY, TG_UNARY_tanh, SCALED, -1, TANH),
        step_of(TG_TILE_BINARY, TG_BINARY_add, TANH, ROW, SUMMED),
        step_of(TG_TILE_BINARY, TG_BINARY_sub, SUMMED, COLUMN, RESULT),
    };
    tg_tile_sum sums[2];
    int count = 0;
    if (tg_tiles_unit(1, n, 1)) sums[count++] = (tg_tile_sum){TG_REDUCE_mean, RESULT, 1, n, 1, a->total};
    const int64_t unit = count ? tg_tiles_unit(1, n, 1) : 0;
    if (tg_tiles_unit(1, rows, cols) && (!unit || unit == tg_tiles_unit(1, rows, cols)))
        sums[count++] = (tg_tile_sum){TG_REDUCE_sum, TANH, 1, rows, cols, a->columns};
    const int status = tg_tiles(dtype, n, VALUES, values, 4, steps, 0, count, sums);
    return status == TG_OK ? count : -status;
}

static void check_chain(int dtype, int64_t rows, int64_t cols) {
    const int64_t n = rows * cols, item = (int64_t)tg_itemsize(dtype);
    const size_t bytes = (size_t)(n * item);
    char *x = malloc(bytes), *y = malloc(bytes), *t = malloc(bytes), *want = malloc(bytes);
    char *row = malloc((size_t)(cols * item)), *column = malloc((size_t)(rows * item));
    char *columns = calloc(2, (size_t)(cols * item));
    double scale = 0, totals[2] = {0};
    uint64_t random = 7;
    test_fill(dtype, n, x, &random, -3, 3);
    test_fill(dtype, cols, row, &random, -1, 1);
    test_fill(dtype, rows, column, &random, -1, 1);
    test_fill(dtype, 1, &scale, &random, 0.5, 1);
    const arrays a = {x, row, column, (char *)&scale, y, (char *)&totals[0], columns};
    const int sums = by_tiles(dtype, rows, cols, &a);
    CHECK_THAT(sums >= 0, "(%d, %d): status %d", (int)rows, (int)cols, -sums);

    const tg_layout one = {.ndim = 1, .shape = {n}, .strides = {{1}, {0}}};
    const tg_layout by_row = {.ndim = 2, .shape = {rows, cols}, .strides = {{cols, 1}, {0, 1}}};
    const tg_layout by_column = {.ndim = 2, .shape = {rows, cols}, .strides = {{cols, 1}, {1, 0}}};
    CHECK(tg_binary(TG_BINARY_mul, dtype, n, x, &scale, t, &one) == TG_OK);
    CHECK(tg_unary(TG_UNARY_tanh, dtype, n, t, t, 0, 0) == TG_OK);
    CHECK(tg_binary(TG_BINARY_add, dtype, n, t, row, want, &by_row) == TG_OK);
    CHECK(tg_binary(TG_BINARY_sub, dtype, n, want, column, want, &by_column) == TG_OK);
    CHECK_THAT(memcmp(want, y, bytes) == 0, "%s, dtype %d, (%d, %d): other bits", tg_isa(), dtype, (int)rows,
               (int)cols);
    if (tg_tiles_unit(1, n, 1)) {
        CHECK(tg_reduce(TG_REDUCE_mean, dtype, 1, n, 1, want, &totals[1]) == TG_OK);
        CHECK_THAT(totals[0] == totals[1], "%s, dtype %d, (%d, %d): other mean", tg_isa(), dtype, (int)rows, (int)cols);
    }
    if (sums == 2 || (sums == 1 && !tg_tiles_unit(1, n, 1))) {
        char *expected = columns + cols * item;
        CHECK(tg_reduce(TG_REDUCE_sum, dtype, 1, rows, cols, t, expected) == TG_OK);
        CHECK_THAT(memcmp(columns, expected, (size_t)(cols * item)) == 0, "%s, dtype %d, (%d, %d): other column sums",
                   tg_isa(), dtype, (int)rows, (int)cols);
    }
    free(x), free(y), free(t), free(want), free(row), free(column), free(columns);
}

/* ---- runs of cheap steps, at random ----------------------------------------------------------------------------- */

enum { GIVEN = 3, MADE = 24, RANDOM_VALUES = GIVEN + MADE }; /* given: an array, a row, a single element */

static const int binary_ops[] = {TG_BINARY_add,     TG_BINARY_sub,     TG_BINARY_mul, TG_BINARY_div,
                                 TG_BINARY_maximum, TG_BINARY_minimum, TG_BINARY_pow};
static const int unary_ops[] = {TG_UNARY_relu, TG_UNARY_leaky_relu, TG_UNARY_scale, TG_UNARY_neg,
                                TG_UNARY_abs,  TG_UNARY_square,     TG_UNARY_sqrt,  TG_UNARY_sin};
static const int gradient_ops[] = {TG_UNARY_relu, TG_UNARY_leaky_relu, TG_UNARY_tanh, TG_UNARY_sigmoid,
                                   TG_UNARY_exp,  TG_UNARY_square,     TG_UNARY_log};
#define ONE_OF(ops, random) ops[test_random(random) % (sizeof(ops) / sizeof(ops)[0])]

/* A value that may be read by a step that makes value `made`: mostly a late one. whole: not a row or a single element. */
static int64_t operand(int64_t made, int whole, uint64_t *random) {
    if (made > GIVEN && test_random(random) % 4) return made - 1 - (int64_t)(test_random(random) % (made > 5 ? 3 : 1));
    const int64_t found = (int64_t)(test_random(random) % (uint64_t)made);
    return whole && (found == 1 || found == 2) ? 0 : found;
}

static tg_tile_step random_step(int64_t y, uint64_t *random) {
    const uint64_t kind = test_random(random) % 8;
    tg_tile_step s;
    if (kind < 4)
        s = step_of(TG_TILE_BINARY, ONE_OF(binary_ops, random), (int)operand(y, 0, random), (int)operand(y, 0, random),
                    (int)y);
    else if (kind < 6)
        s = step_of(TG_TILE_UNARY, ONE_OF(unary_ops, random), (int)operand(y, 1, random), -1, (int)y);
    else if (kind < 7)
        s = step_of(TG_TILE_UNARY_GRAD, ONE_OF(gradient_ops, random), (int)operand(y, 1, random),
                    (int)operand(y, 1, random), (int)y);
    else
        s = step_of(TG_TILE_COPY, 0, (int)operand(y, 0, random), -1, (int)y);
    s.p[0] = 0.5, s.p[1] = -0.25;
    return s;
}

/* The step as a call of its own on whole arrays. */
static int by_call(int dtype, int64_t n, int64_t cols, const tg_tile_step *s, char *const *at) {
    tg_layout layout = {.ndim = 2, .shape = {n / cols, cols}};
    for (int k = 0; k < 2; k++) {
        layout.strides[k][0] = s->in[k] == 1 || s->in[k] == 2 ? 0 : cols;
        layout.strides[k][1] = s->in[k] != 2;
    }
    const int64_t *in = s->in;
    switch (s->kind) {
    case TG_TILE_UNARY: return tg_unary((int)s->op, dtype, n, at[in[0]], at[s->y], s->p[0], s->p[1]);
    case TG_TILE_UNARY_GRAD:
        return tg_unary_grad((int)s->op, dtype, n, at[in[0]], at[in[1]], at[s->y], s->p[0], s->p[1]);
    case TG_TILE_BINARY: return tg_binary((int)s->op, dtype, n, at[in[0]], at[in[1]], at[s->y], &layout);
    default:
        layout.strides[1][0] = cols, layout.strides[1][1] = 1;
        return tg_copy((int)tg_itemsize(dtype), at[in[0]], at[s->y], &layout);
    }
}

/* Every third value is stored, one of them where no vector is aligned; the others are in slots, all different. */
static void check_random(int dtype, int64_t n, int64_t cols, uint64_t seed) {
    const int64_t item = (int64_t)tg_itemsize(dtype);
    uint64_t random = seed;
    char *memory = aligned_alloc(
             TG_ALIGNMENT, (size_t)(n * item) * (2 * RANDOM_VALUES + 1) / TG_ALIGNMENT * TG_ALIGNMENT + TG_ALIGNMENT),
         *at[RANDOM_VALUES], *stored[RANDOM_VALUES];
    tg_tile_value values[RANDOM_VALUES];
    tg_tile_step steps[MADE];
    for (int64_t v = 0; v < RANDOM_VALUES; v++) {
        at[v] = memory + v * n * item;
        stored[v] = memory + (RANDOM_VALUES + v) * n * item + (v > 20 ? item : 0);
        const int64_t period = v == 1 ? cols : v == 2 ? 1 : n;
        const int is_stored = v % 3 == 0 || v == RANDOM_VALUES - 1;
        if (v < GIVEN) {
            test_fill(dtype, period, at[v], &random, 0.5, 2);
            values[v] = (tg_tile_value){at[v], item, 1, period, -1};
        } else {
            values[v] = (tg_tile_value){is_stored ? stored[v] : NULL, item, 1, n, v};
            steps[v - GIVEN] = random_step(v, &random);
            CHECK(by_call(dtype, n, cols, &steps[v - GIVEN], at) == TG_OK);
        }
    }
    CHECK(tg_tiles(dtype, n, RANDOM_VALUES, values, MADE, steps, 0, 0, NULL) == TG_OK);
    for (int64_t v = GIVEN; v < RANDOM_VALUES; v++)
        for (int64_t i = 0; values[v].data && i < n; i++) {
            const double want = test_element(dtype, at[v], i), got = test_element(dtype, stored[v], i);
            if (want == got || (want != want && got != got)) continue;
            test_failed(__FILE__, __LINE__, "%s, dtype %d, n %d, seed %d: value %d [%d] is %g, not %g", tg_isa(), dtype,
                        (int)n, (int)seed, (int)v, (int)i, got, want);
            break;
        }
    free(memory);
}

/* y = x * 0.5 + x, then z = y - x: stored past the caches, z where no vector is aligned. */
static void check_streamed(void) {
    const int64_t n = (9 << 20) + 11;
    const size_t bytes = (size_t)n * sizeof(float) / TG_ALIGNMENT * TG_ALIGNMENT + 2 * TG_ALIGNMENT;
    float *x = aligned_alloc(TG_ALIGNMENT, bytes), *y = aligned_alloc(TG_ALIGNMENT, bytes);
    float *z = aligned_alloc(TG_ALIGNMENT, bytes), half = 0.5f;
    uint64_t random = 5;
    test_fill(TG_F32, n, x, &random, -2, 2);
    for (int shift = 0; shift < 2; shift++) {
        const tg_tile_value values[] = {
            {x, 4, 1, n, -1}, {&half, 4, 1, 1, -1}, {NULL, 4, 1, n, 0}, {y, 4, 1, n, 1}, {z + shift, 4, 1, n, 2}};
        const tg_tile_step steps[] = {step_of(TG_TILE_BINARY, TG_BINARY_mul, 0, 1, 2),
                                      step_of(TG_TILE_BINARY, TG_BINARY_add, 2, 0, 3),
                                      step_of(TG_TILE_BINARY, TG_BINARY_sub, 3, 0, 4)};
        CHECK(tg_tiles(TG_F32, n, 5, values, 3, steps, 0, 0, NULL) == TG_OK);
        for (int64_t i = 0; i < n; i++) {
            const float product = x[i] * half, sum = product + x[i];
            if (y[i] == sum && z[shift + i] == sum - x[i]) continue;
            test_failed(__FILE__, __LINE__, "%s: [%d] of results past the caches", tg_isa(), (int)i);
            break;
        }
    }
    free(x), free(y), free(z);
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void check_refused(int status, int got, const char *what) { CHECK_THAT(status == got, "%s: %d", what, got); }

static void check_refusals(void) {
    float x[8] = {0}, y[8];
    const tg_tile_value values[] = {
        {x, 4, 1, 8, -1}, {y, 4, 1, 8, 0}, {NULL, 4, 1, 8, 1}, {x, 1, 1, 8, -1}, {x, 4, 1, 1, -1}};
    const tg_tile_value no_data = {NULL, 4, 1, 8, -1}, narrow = {y, 4, 1, 4, 0};
    const tg_tile_step good = step_of(TG_TILE_UNARY, TG_UNARY_relu, 0, -1, 1);
    const struct {
        tg_tile_step step;
        const char *what;
    } bad[] = {
        {step_of(TG_TILE_UNARY, TG_UNARY_COUNT + 4000, 0, -1, 1), "no such op"},
        {step_of(TG_TILE_UNARY, -1, 0, -1, 1), "a negative op"},
        {step_of(9, 0, 0, -1, 1), "no such kind"},
        {step_of(TG_TILE_BINARY, 0, 0, -1, 1), "an operand is missing"},
        {step_of(TG_TILE_BINARY, 0, 0, 5, 1), "no such operand"},
        {step_of(TG_TILE_UNARY, 0, 0, -1, 0), "an input is written"},
        {step_of(TG_TILE_UNARY, 0, 0, -1, 5), "no such result"},
        {step_of(TG_TILE_UNARY, 0, 2, -1, 1), "read before it is made"},
        {step_of(TG_TILE_UNARY, 0, 3, -1, 1), "bytes where numbers are needed"},
        {step_of(TG_TILE_UNARY, 0, 4, -1, 1), "one number where all are needed"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(TG_BAD_ARGUMENT, tg_tiles(TG_F32, 8, 5, values, 1, &bad[i].step, 0, 0, NULL), bad[i].what);
    check_refused(TG_BAD_ARGUMENT, tg_tiles(7, 8, 5, values, 1, &good, 0, 0, NULL), "dtype");
    check_refused(TG_BAD_SIZE, tg_tiles(TG_F32, -1, 5, values, 1, &good, 0, 0, NULL), "n");
    check_refused(TG_BAD_SIZE, tg_tiles(TG_F32, 8, 257, values, 1, &good, 0, 0, NULL), "too many values");
    check_refused(TG_BAD_SIZE, tg_tiles(TG_F32, 8, 5, values, 1, &good, 2, 0, NULL), "once");
    check_refused(TG_BAD_ARGUMENT, tg_tiles(TG_F32, 8, 5, NULL, 1, &good, 0, 0, NULL), "no values");
    check_refused(TG_BAD_ARGUMENT, tg_tiles(TG_F32, 8, 5, values, 1, &good, 1, 0, NULL), "stored once");
    check_refused(TG_BAD_ARGUMENT, tg_tiles(TG_F32, 8, 1, &no_data, 0, NULL, 0, 0, NULL), "an input without data");
    check_refused(TG_BAD_ARGUMENT, tg_tiles(TG_F32, 8, 1, &narrow, 0, NULL, 0, 0, NULL), "a result of another size");
    const tg_tile_sum sum = {0, 0, 1, 7, 1, y}, unknown = {99, 0, 1, 8, 1, y};
    check_refused(TG_BAD_ARGUMENT, tg_tiles(TG_F32, 8, 5, values, 1, &good, 0, 1, &sum), "a sum of another size");
    check_refused(TG_BAD_ARGUMENT, tg_tiles(TG_F32, 8, 5, values, 1, &good, 0, 1, &unknown), "no such sum");
    CHECK(tg_tiles(TG_F32, 0, 5, values, 1, &good, 0, 0, NULL) == TG_OK);
    CHECK(tg_tiles(TG_F32, 8, 5, values, 1, &good, 0, 0, NULL) == TG_OK);
    CHECK(tg_tiles_unit(1, 0, 1) == 0 && tg_tiles_unit(2, 1 << 20, 1) == 0 && tg_tiles_unit(1, INT64_MAX, 2) == 0);
}

void test_tiles(void) {
    static const int64_t shapes[][2] = {{1, 1},    {3, 5},      {40, 33},   {500, 10},
                                        {3, 5000}, {1000, 784}, {66000, 2}, {2, 70000}};
    const char *first = tg_isa();
    const char *name;
    for (int i = 0; (name = tg_isa_available(i)); i++) {
        CHECK(tg_select_isa(name) == TG_OK);
        for (int threads = 1; threads <= 3; threads++) {
            tg_set_num_threads(threads);
            for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
                for (int dtype = TG_F32; dtype <= TG_F64; dtype++) check_chain(dtype, shapes[s][0], shapes[s][1]);
            for (uint64_t seed = 1; seed <= 12; seed++)
                for (int dtype = TG_F32; dtype <= TG_F64; dtype++) {
                    check_random(dtype, 48 * (1 + (int64_t)seed * 17), 16, seed);
                    check_random(dtype, 3 * (701 + (int64_t)seed), 3, seed + 100);
                }
        }
        check_streamed();
    }
    tg_select_isa(first);
    tg_set_num_threads(1);
    check_refusals();
}
