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
        }
    }
    tg_select_isa(first);
    tg_set_num_threads(1);
    check_refusals();
}
