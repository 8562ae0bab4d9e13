/* Entry point of the variance: the work is cut as cut.h says, moments of blocks are combined in pairs, in double. */
#include <math.h>
#include <string.h>

#include "cut.h"

enum {
    MOST_BLOCKS = 16, /* the kernels combine pairwise themselves: blocks are for threads */
    CHUNK = 1024,     /* results that a thread holds before it writes them */
    NARROW = 64       /* columns: fewer are read as rows of several rows each */
};

/* x: (outer, n, inner) */
typedef struct {
    tg_cut cut;
    int dtype;
    const tg_reduce_kernels *kernels;
    const char *x;
    void *mean, *var; /* (outer, inner) if there is one block; mean may be NULL */
    double divisor;
    double *partial; /* (outer, blocks, 2, inner) if there are more: means and squares */
} moments_call;

static double element(int dtype, const void *array, int64_t i) {
    return dtype == TG_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void set_element(int dtype, void *array, int64_t i, double value) {
    if (dtype == TG_F32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

/* Results [at, at + count) from their moments. mean, squares: (count) */
static void finish(const moments_call *c, int64_t at, int64_t count, const double *mean, const double *squares) {
    const double divisor = c->divisor > 0 ? c->divisor : NAN;
    for (int64_t i = 0; i < count; i++) set_element(c->dtype, c->var, at + i, squares[i] / divisor);
    if (!c->mean) return;
    for (int64_t i = 0; i < count; i++) {
        const int64_t k = at + i, o = k / c->cut.inner;
        set_element(c->dtype, c->mean, k,
                    element(c->dtype, c->x, o * c->cut.n * c->cut.inner + k % c->cut.inner) + mean[i]);
    }
}

/* Moments a, of na elements each, become those of a and b together. (count) each */
static void merge(int64_t count, double na, double *mean_a, double *squares_a, double nb, const double *mean_b,
                  const double *squares_b) {
    const double part = nb / (na + nb), weight = na * nb / (na + nb);
    for (int64_t i = 0; i < count; i++) {
        const double delta = mean_b[i] - mean_a[i];
        mean_a[i] += delta * part;
        squares_a[i] = (squares_a[i] + squares_b[i]) + delta * delta * weight;
    }
}

/* The moments of columns: x: (n, stride), origin, mean, squares: (width), width <= CHUNK. Narrow contiguous ones are read `together` rows
 * at a time, and those partial results combined in pairs. */
static void columns(const moments_call *c, int64_t n, int64_t width, int64_t stride, const char *x, const char *origin,
                    double *mean, double *squares) {
    int64_t together = 1;
    while (width == stride && 2 * together * width <= CHUNK && together * width < NARROW && 4 * together <= n)
        together *= 2;
    if (together == 1) {
        c->kernels->moments_columns(n, width, stride, x, origin, mean, squares);
        return;
    }
    double means[CHUNK], around[CHUNK], origins[CHUNK]; /* origins: elements of dtype */
    const size_t row = (size_t)width * tg_itemsize(c->dtype);
    for (int64_t k = 0; k < together; k++) memcpy((char *)origins + (size_t)k * row, origin, row);
    const int64_t whole = n / together, rest = n % together;
    c->kernels->moments_columns(whole, together * width, together * width, x, origins, means, around);
    double count = (double)whole;
    for (int64_t half = together / 2; half; half /= 2, count *= 2)
        merge(half * width, count, means, around, count, means + half * width, around + half * width);
    for (int64_t i = 0; i < width; i++) mean[i] = means[i], squares[i] = around[i];
    if (rest) {
        c->kernels->moments_columns(rest, width, width, x + (size_t)(whole * together) * row, origin, means, around);
        merge(width, count, mean, squares, (double)rest, means, around);
    }
}

static void moments_range(void *ctx, int64_t begin, int64_t end) {
    const moments_call *c = ctx;
    const int64_t inner = c->cut.inner, n = c->cut.n, itemsize = (int64_t)tg_itemsize(c->dtype);
    double mean[CHUNK], squares[CHUNK];
    if (inner == 1 && c->cut.blocks == 1) { /* whole rows: one call for many of them */
        for (int64_t r = begin; r < end; r += CHUNK) {
            const int64_t rows = end - r < CHUNK ? end - r : CHUNK;
            const char *x = c->x + r * n * itemsize;
            c->kernels->moments_rows(rows, n, x, x, mean, squares);
            finish(c, r, rows, mean, squares);
        }
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        const tg_place p = tg_unit_place(&c->cut, unit);
        for (int64_t i = 0; i < p.width; i += CHUNK) {
            const int64_t width = p.width - i < CHUNK ? p.width - i : CHUNK;
            const char *x = c->x + (p.x + i) * itemsize;
            const int64_t block = p.y / inner, column = p.y % inner + i;
            const char *origin = c->x + (block / c->cut.blocks * n * inner + column) * itemsize;
            double *to_mean = c->partial ? c->partial + block * 2 * inner + column : mean;
            double *to_squares = c->partial ? to_mean + inner : squares;
            if (inner == 1)
                c->kernels->moments_rows(1, p.length, x, origin, to_mean, to_squares);
            else
                columns(c, p.length, width, inner, x, origin, to_mean, to_squares);
            if (!c->partial) finish(c, p.y + i, width, mean, squares);
        }
    }
}

/* Blocks [first, first + count) of one o, combined in pairs into the first. partial: (blocks, 2, inner) */
static double combine(const tg_cut *c, double *partial, int64_t first, int64_t count) {
    if (count == 1) return (double)(first == c->blocks - 1 ? c->n - first * c->length : c->length);
    const int64_t half = (count + 1) / 2;
    const double na = combine(c, partial, first, half), nb = combine(c, partial, first + half, count - half);
    double *a = partial + first * 2 * c->inner, *b = partial + (first + half) * 2 * c->inner;
    merge(c->inner, na, a, a + c->inner, nb, b, b + c->inner);
    return na + nb;
}

/* Fewer and longer blocks than other reductions have, whose kernels leave the combining to a second reduction. */
static tg_cut cut_moments(int64_t n, int64_t inner) {
    tg_cut c = tg_cut_work(n, inner);
    if (c.blocks == 1 && n <= TG_REDUCE_MOST_ROWS) return c;
    const int64_t long_enough = tg_divide_up(n, MOST_BLOCKS);
    if (c.length < long_enough) c.length = long_enough;
    if (inner > 1 && c.length > TG_REDUCE_MOST_ROWS) c.length = TG_REDUCE_MOST_ROWS;
    c.blocks = tg_divide_up(n, c.length);
    c.unit = c.length * c.width;
    return c;
}

int tg_variance(int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, double correction, void *mean,
                void *var) {
    int64_t outputs, bytes;
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (tg_mul_overflows(outer, inner, &outputs) || tg_mul_overflows(outputs, n, &bytes)) return TG_BAD_SIZE;
    if (tg_mul_overflows(bytes, (int64_t)sizeof(double), &bytes)) return TG_BAD_SIZE;
    if (outputs == 0) return TG_OK;
    if (!var || (n > 0 && !x)) return TG_BAD_ARGUMENT;
    moments_call c = {.dtype = dtype,
                      .kernels = tg_active->reduce[dtype],
                      .x = x,
                      .mean = mean,
                      .var = var,
                      .divisor = (double)n - correction};
    if (n == 0) {
        for (int64_t i = 0; i < outputs; i++) set_element(dtype, var, i, NAN);
        for (int64_t i = 0; mean && i < outputs; i++) set_element(dtype, mean, i, NAN);
        return TG_OK;
    }
    c.cut = cut_moments(n, inner);
    if (c.cut.blocks > 1) {
        c.partial = tg_scratch(0, (size_t)(outputs * c.cut.blocks) * 2 * sizeof(double));
        if (!c.partial) return TG_NO_MEMORY;
    }
    tg_parallel_for(outer * c.cut.blocks * c.cut.tiles, tg_cut_grain(&c.cut), moments_range, &c);
    for (int64_t o = 0; c.partial && o < outer; o++) {
        double *partial = c.partial + o * c.cut.blocks * 2 * inner;
        combine(&c.cut, partial, 0, c.cut.blocks);
        finish(&c, o * inner, inner, partial, partial + inner);
    }
    return TG_OK;
}
