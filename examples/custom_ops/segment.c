/* Sums of the rows of x that belong to one segment (the neighbours of a graph's node, the words of a sentence), and the gather that
 * is its gradient. Each segment is summed by one thread in the order of its rows, so the bits depend neither on the number of
 * threads nor on luck, which atomic additions would. The file includes itself, once per element type.
 */
#ifndef TG_SUFFIX
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
#include <string.h>
TG_MODULE

typedef struct {
    int64_t cols;
    const int64_t *ids, *starts, *order; /* order: NULL where the ids rise */
    const void *x;
    void *y;
} segment_call;

#define TG_SUFFIX f32
#include "segment.c"
#undef TG_SUFFIX
#define TG_SUFFIX f64
#include "segment.c"
#undef TG_SUFFIX

/* starts[s] becomes the number of rows in the segments before s; a status. starts: (segments + 1), ids: (rows) */
static int count_rows(int64_t rows, int64_t segments, const int64_t *ids, int64_t *starts, int *rising) {
    memset(starts, 0, (size_t)(segments + 1) * sizeof *starts);
    *rising = 1;
    for (int64_t i = 0; i < rows; i++) {
        if (ids[i] < 0 || ids[i] >= segments) return TG_BAD_INDEX;
        if (i && ids[i] < ids[i - 1]) *rising = 0;
        starts[ids[i] + 1]++;
    }
    for (int64_t s = 0; s < segments; s++) starts[s + 1] += starts[s];
    return TG_OK;
}

/* y[s] = the sum of x[i] over all i with ids[i] = s. x: (rows, cols), ids: (rows), y: (segments, cols) */
TG_EXPORT int segment_sum_forward(int dtype, int64_t rows, int64_t cols, int64_t segments, const void *x,
                                  const int64_t *ids, void *y) {
    if (dtype != TG_F32 && dtype != TG_F64) return TG_BAD_ARGUMENT;
    if (rows < 0 || cols < 0 || segments < 0 || segments > INT64_MAX / 32) return TG_BAD_SIZE;
    int64_t *starts = tg->alloc((segments + 1) * 8);
    if (!starts) return TG_NO_MEMORY;
    int64_t *order = NULL, *next = NULL;
    int rising, status = count_rows(rows, segments, ids, starts, &rising);
    if (status == TG_OK && !rising) { /* a counting sort, which keeps the rows of a segment in their order */
        order = tg->alloc(rows * 8);
        next = tg->alloc(segments * 8);
        status = order && next ? TG_OK : TG_NO_MEMORY;
        if (status == TG_OK) {
            memcpy(next, starts, (size_t)segments * 8);
            for (int64_t i = 0; i < rows; i++) order[next[ids[i]]++] = i;
        }
    }
    if (status == TG_OK) {
        segment_call c = {cols, ids, starts, order, x, y};
        const int64_t work = (rows / (segments + 1) + 1) * (cols + 1); /* of an average segment */
        tg->parallel_for(segments, 32768 / work + 1, dtype == TG_F32 ? sum_segments_f32 : sum_segments_f64, &c);
    }
    if (next) tg->free(next);
    if (order) tg->free(order);
    tg->free(starts);
    return status;
}

/* y[i] = x[ids[i]]. x: (segments, cols), ids: (rows), y: (rows, cols) */
TG_EXPORT int gather_forward(int dtype, int64_t rows, int64_t cols, int64_t segments, const void *x, const int64_t *ids,
                             void *y) {
    if (dtype != TG_F32 && dtype != TG_F64) return TG_BAD_ARGUMENT;
    if (rows < 0 || cols < 0 || segments < 0) return TG_BAD_SIZE;
    for (int64_t i = 0; i < rows; i++)
        if (ids[i] < 0 || ids[i] >= segments) return TG_BAD_INDEX;
    segment_call c = {cols, ids, NULL, NULL, x, y};
    tg->parallel_for(rows, 32768 / (cols + 1) + 1, dtype == TG_F32 ? gather_rows_f32 : gather_rows_f64, &c);
    return TG_OK;
}

/* counts[s] = how many ids are s, or 1 where there are none. ids: (rows), counts: (segments) */
TG_EXPORT int segment_counts(int64_t rows, int64_t segments, const int64_t *ids, double *counts) {
    for (int64_t s = 0; s < segments; s++) counts[s] = 0;
    for (int64_t i = 0; i < rows; i++) {
        if (ids[i] < 0 || ids[i] >= segments) return TG_BAD_INDEX;
        counts[ids[i]]++;
    }
    for (int64_t s = 0; s < segments; s++)
        if (counts[s] < 1) counts[s] = 1;
    return TG_OK;
}

#else

static void FN(sum_segments)(void *context, int64_t begin, int64_t end) {
    const segment_call *c = context;
    for (int64_t s = begin; s < end; s++) {
        real *y = (real *)c->y + s * c->cols;
        for (int64_t j = 0; j < c->cols; j += 4 * LANES) { /* four sums at a time stay in registers */
            vec sum[4] = {{0}};
            for (int64_t i = c->starts[s]; i < c->starts[s + 1]; i++) {
                const real *x = (const real *)c->x + (c->order ? c->order[i] : i) * c->cols + j;
                for (int64_t part = 0; part < 4; part++) {
                    const int64_t count = c->cols - j - part * LANES;
                    if (count > 0) sum[part] += v_load_upto(x + part * LANES, count);
                }
            }
            for (int64_t part = 0; part < 4; part++) {
                const int64_t count = c->cols - j - part * LANES;
                if (count > 0) v_store_upto(y + j + part * LANES, sum[part], count);
            }
        }
    }
}

static void FN(gather_rows)(void *context, int64_t begin, int64_t end) {
    const segment_call *c = context;
    for (int64_t i = begin; i < end; i++)
        memcpy((real *)c->y + i * c->cols, (const real *)c->x + c->ids[i] * c->cols, (size_t)c->cols * sizeof(real));
}
#endif
