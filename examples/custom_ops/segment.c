/* Sums of the rows of x that belong to one segment (the neighbours of a graph's node, the words of a sentence), and the gather that
 * is its gradient. Rows are added in their order and threads share the columns, so the bits depend neither on the number of threads
 * nor on luck, which atomic additions would. The file includes itself, once per element type.
 */
#ifndef TG_SUFFIX
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
#include <string.h>
TG_MODULE

typedef struct {
    int64_t rows, cols, segments;
    const int64_t *ids;
    const void *x;
    void *y;
} segment_call;

#define TG_SUFFIX f32
#include "segment.c"
#undef TG_SUFFIX
#define TG_SUFFIX f64
#include "segment.c"
#undef TG_SUFFIX

static int refused(int dtype, int64_t rows, int64_t cols, int64_t segments, const int64_t *ids) {
    if (dtype != TG_F32 && dtype != TG_F64) return TG_BAD_ARGUMENT;
    if (rows < 0 || cols < 0 || segments < 0) return TG_BAD_SIZE;
    for (int64_t i = 0; i < rows; i++)
        if (ids[i] < 0 || ids[i] >= segments) return TG_BAD_INDEX;
    return TG_OK;
}

/* y[s] = the sum of x[i] over all i with ids[i] = s. x: (rows, cols), ids: (rows), y: (segments, cols) */
TG_EXPORT int segment_sum_forward(int dtype, int64_t rows, int64_t cols, int64_t segments, const void *x,
                                  const int64_t *ids, void *y) {
    const int status = refused(dtype, rows, cols, segments, ids);
    if (status != TG_OK) return status;
    segment_call c = {rows, cols, segments, ids, x, y};
    const int64_t line = dtype == TG_F32 ? 16 : 8; /* columns that share a cache line; small inputs are one range */
    const int64_t lines = (cols + line - 1) / line, grain = 32768 / ((rows + segments) * line + 1) + 1;
    tg->parallel_for(lines, grain, dtype == TG_F32 ? sum_lines_f32 : sum_lines_f64, &c);
    return TG_OK;
}

/* y[i] = x[ids[i]]. x: (segments, cols), ids: (rows), y: (rows, cols) */
TG_EXPORT int gather_forward(int dtype, int64_t rows, int64_t cols, int64_t segments, const void *x, const int64_t *ids,
                             void *y) {
    const int status = refused(dtype, rows, cols, segments, ids);
    if (status != TG_OK) return status;
    segment_call c = {rows, cols, segments, ids, x, y};
    tg->parallel_for(rows, 32768 / (cols + 1) + 1, dtype == TG_F32 ? gather_rows_f32 : gather_rows_f64, &c);
    return TG_OK;
}

/* scales[s] = 1 / the number of ids that are s, or 1 where there are none. ids: (rows), scales: (segments) */
TG_EXPORT int mean_scales(int dtype, int64_t rows, int64_t segments, const int64_t *ids, void *scales) {
    const int status = refused(dtype, rows, 1, segments, ids);
    if (status != TG_OK) return status;
    segment_call c = {rows, 1, segments, ids, NULL, scales};
    if (dtype == TG_F32)
        invert_counts_f32(&c);
    else
        invert_counts_f64(&c);
    return TG_OK;
}

#else

/* Columns of the cache lines from begin to end. */
static void FN(sum_lines)(void *context, int64_t begin, int64_t end) {
    const segment_call *c = context;
    const int64_t line = 64 / (int64_t)sizeof(real), from = begin * line;
    const int64_t cols = (end * line < c->cols ? end * line : c->cols) - from;
    for (int64_t s = 0; s < c->segments; s++) memset((real *)c->y + s * c->cols + from, 0, (size_t)cols * sizeof(real));
    for (int64_t i = 0; i < c->rows; i++) {
        const real *x = (const real *)c->x + i * c->cols + from;
        real *y = (real *)c->y + c->ids[i] * c->cols + from;
        for (int64_t j = 0; j < cols; j += LANES)
            v_store_upto(y + j, v_load_upto(y + j, cols - j) + v_load_upto(x + j, cols - j), cols - j);
    }
}

static void FN(gather_rows)(void *context, int64_t begin, int64_t end) {
    const segment_call *c = context;
    for (int64_t i = begin; i < end; i++)
        memcpy((real *)c->y + i * c->cols, (const real *)c->x + c->ids[i] * c->cols, (size_t)c->cols * sizeof(real));
}

/* Counts as integers, where the results will be. */
static void FN(invert_counts)(const segment_call *c) {
    integer *counts = c->y;
    real *scales = c->y;
    memset(counts, 0, (size_t)c->segments * sizeof(real));
    for (int64_t i = 0; i < c->rows; i++) counts[c->ids[i]]++;
    for (int64_t s = 0; s < c->segments; s++) {
        const integer count = counts[s];
        scales[s] = count > 0 ? 1 / (real)count : 1;
    }
}
#endif
