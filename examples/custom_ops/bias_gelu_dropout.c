/* dropout(gelu(x + bias)) in one pass over the rows of x, and its gradient in another. What is dropped is a function of the seed
 * and the element's position (a counter-based generator), so the backward finds it again and nothing is stored. The file includes
 * itself, once per element type.
 */
#ifndef TG_SUFFIX
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
#include <string.h>
TG_MODULE

enum {
    ROWS = 32 /* whose bias gradients are summed before those of other rows: fixed, so that threads change no bit */
};

typedef struct {
    int64_t rows, cols;
    uint64_t seed;
    double p;
    const void *x, *bias, *gy;
    void *y, *partial, *gbias;
} dropout_call;

/* A bijection of 32 bits in which every input bit changes about half of the output bits: the finaliser of MurmurHash3. */
static uint32_t mixed(uint32_t h) {
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

/* The key of a row: element j of it is mixed(mixed(key ^ j) + key). */
static uint32_t row_key(uint64_t seed, int64_t row) {
    const uint32_t low = mixed((uint32_t)seed ^ (uint32_t)row), high = (uint32_t)(seed >> 32) ^ (uint32_t)(row >> 32);
    return mixed(low + 0x9e3779b9u * (high + 1));
}

#define TG_SUFFIX f32
#include "bias_gelu_dropout.c"
#undef TG_SUFFIX
#define TG_SUFFIX f64
#include "bias_gelu_dropout.c"
#undef TG_SUFFIX

static int refused(int dtype, int64_t rows, int64_t cols, double p) {
    if (dtype != TG_F32 && dtype != TG_F64) return TG_BAD_ARGUMENT;
    if (!(p >= 0 && p < 1)) return TG_BAD_ARGUMENT;
    return rows < 0 || cols < 0 || cols > INT32_MAX ? TG_BAD_SIZE : TG_OK;
}

/* x, y: (rows, cols), bias: (cols) */
TG_EXPORT int bias_gelu_dropout_forward(int dtype, int64_t rows, int64_t cols, double p, uint64_t seed, const void *x,
                                        const void *bias, void *y) {
    const int status = refused(dtype, rows, cols, p);
    if (status != TG_OK) return status;
    dropout_call c = {.rows = rows, .cols = cols, .seed = seed, .p = p, .x = x, .bias = bias, .y = y};
    tg->parallel_for(rows, 16384 / (cols + 1) + 1, dtype == TG_F32 ? forward_rows_f32 : forward_rows_f64, &c);
    return TG_OK;
}

/* gx: (rows, cols), gbias: (cols), from gy: (rows, cols) */
TG_EXPORT int bias_gelu_dropout_backward(int dtype, int64_t rows, int64_t cols, double p, uint64_t seed, const void *x,
                                         const void *bias, const void *gy, void *gx, void *gbias) {
    const int status = refused(dtype, rows, cols, p);
    if (status != TG_OK) return status;
    const int64_t blocks = (rows + ROWS - 1) / ROWS, itemsize = dtype == TG_F32 ? 4 : 8;
    dropout_call c = {.rows = rows, .cols = cols, .seed = seed, .p = p, .x = x, .bias = bias, .gy = gy, .y = gx};
    c.gbias = gbias;
    c.partial = tg->alloc(blocks * cols * itemsize + 1);
    if (!c.partial) return TG_NO_MEMORY;
    tg->parallel_for(blocks, 1, dtype == TG_F32 ? backward_blocks_f32 : backward_blocks_f64, &c);
    tg->parallel_for(cols, 1024, dtype == TG_F32 ? sum_columns_f32 : sum_columns_f64, &c);
    tg->free(c.partial);
    return TG_OK;
}

/* What each element is multiplied with: 0 or 1 / (1 - p). y: (rows, cols) */
TG_EXPORT int dropout_factors(int dtype, int64_t rows, int64_t cols, double p, uint64_t seed, void *y) {
    const int status = refused(dtype, rows, cols, p);
    if (status != TG_OK) return status;
    dropout_call c = {.rows = rows, .cols = cols, .seed = seed, .p = p, .y = y};
    tg->parallel_for(rows, 16384 / (cols + 1) + 1, dtype == TG_F32 ? factor_rows_f32 : factor_rows_f64, &c);
    return TG_OK;
}

#else

/* mixed() on every lane; the lanes of float64 are twice as wide, and keep the upper half at zero */
TG_INLINE uvec FN(mixed_lanes)(uvec h) {
    const uvec low = (uvec){0} + 0xffffffffu;
    h = ((h ^ (h >> 16)) * ((uvec){0} + 0x85ebca6bu)) & low;
    h = ((h ^ (h >> 13)) * ((uvec){0} + 0xc2b2ae35u)) & low;
    return h ^ (h >> 16);
}

/* 1 / (1 - p) for what is kept of the elements from column j on, else 0. The upper 24 bits are compared with p, as numbers. */
TG_INLINE vec FN(factor)(uint32_t key, int64_t j, double p) {
    const uvec column = (uvec)v_lane_index() + (uint32_t)j, keys = (uvec){0} + key;
    const uvec low = (uvec){0} + 0xffffffffu;
    const uvec h = FN(mixed_lanes)((FN(mixed_lanes)(keys ^ column) + keys) & low);
    const ivec dropped = (ivec)(h >> 8) < (integer)(p * 0x1p24);
    return v_select(dropped, v_set(0), v_set(1 / (1 - p)));
}

static void FN(factor_rows)(void *context, int64_t begin, int64_t end) {
    const dropout_call *c = context;
    for (int64_t r = begin; r < end; r++) {
        real *y = (real *)c->y + r * c->cols;
        const uint32_t key = row_key(c->seed, r);
        for (int64_t j = 0; j < c->cols; j += LANES) v_store_upto(y + j, FN(factor)(key, j, c->p), c->cols - j);
    }
}

static void FN(forward_rows)(void *context, int64_t begin, int64_t end) {
    const dropout_call *c = context;
    const real *bias = c->bias;
    for (int64_t r = begin; r < end; r++) {
        const real *x = (const real *)c->x + r * c->cols;
        real *y = (real *)c->y + r * c->cols;
        const uint32_t key = row_key(c->seed, r);
        for (int64_t j = 0; j < c->cols; j += LANES) {
            const int64_t count = c->cols - j;
            const vec h = v_load_upto(x + j, count) + v_load_upto(bias + j, count);
            v_store_upto(y + j, v_gelu(h) * FN(factor)(key, j, c->p), count);
        }
    }
}

static void FN(backward_blocks)(void *context, int64_t begin, int64_t end) {
    const dropout_call *c = context;
    const real *bias = c->bias;
    for (int64_t block = begin; block < end; block++) {
        real *sum = (real *)c->partial + block * c->cols;
        memset(sum, 0, (size_t)c->cols * sizeof(real));
        const int64_t first = block * ROWS, last = first + ROWS < c->rows ? first + ROWS : c->rows;
        for (int64_t r = first; r < last; r++) {
            const real *x = (const real *)c->x + r * c->cols, *gy = (const real *)c->gy + r * c->cols;
            real *gx = (real *)c->y + r * c->cols;
            const uint32_t key = row_key(c->seed, r);
            for (int64_t j = 0; j < c->cols; j += LANES) {
                const int64_t count = c->cols - j;
                const vec h = v_load_upto(x + j, count) + v_load_upto(bias + j, count);
                const vec g = v_load_upto(gy + j, count) * v_gelu_slope(h) * FN(factor)(key, j, c->p);
                v_store_upto(gx + j, g, count);
                v_store_upto(sum + j, g + v_load_upto(sum + j, count), count);
            }
        }
    }
}

/* The blocks' sums, added in the order of the blocks. */
static void FN(sum_columns)(void *context, int64_t begin, int64_t end) {
    const dropout_call *c = context;
    const real *partial = c->partial;
    real *gbias = c->gbias;
    const int64_t blocks = (c->rows + ROWS - 1) / ROWS;
    for (int64_t j = begin; j < end; j += LANES) {
        vec sum = v_set(0);
        for (int64_t b = 0; b < blocks; b++) sum += v_load_upto(partial + b * c->cols + j, end - j);
        v_store_upto(gbias + j, sum, end - j);
    }
}
#endif
