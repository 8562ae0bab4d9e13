/* reduce_table.h: one line per reduction; the line's position is the op's id.
 *
 * TG_REDUCE_OP(name, map, combine, identity, again)
 *   map        what happens to each element x, a vector, before it is combined
 *   combine    of the vectors a and b
 *   identity   the result for no elements; map must leave it as it is
 *   again      the op that combines the results of blocks
 * A mean is a sum that the entry point divides, a norm a sum of squares whose root it takes.
 */
#ifndef TG_REDUCE_TABLE_H
#define TG_REDUCE_TABLE_H

#include <stdint.h>

#define TG_REDUCE_OPS(TG_REDUCE_OP)                   \
    TG_REDUCE_OP(sum, x, a + b, 0, sum)               \
    TG_REDUCE_OP(mean, x, a + b, 0, sum)              \
    TG_REDUCE_OP(max, x, v_max(a, b), -INFINITY, max) \
    TG_REDUCE_OP(min, x, v_min(a, b), INFINITY, min)  \
    TG_REDUCE_OP(prod, x, a *b, 1, prod)              \
    TG_REDUCE_OP(sumsq, x *x, a + b, 0, sum)          \
    TG_REDUCE_OP(norm, x *x, a + b, 0, sum)

#define TG_REDUCE_ID(name, ...) TG_REDUCE_##name,
enum { TG_REDUCE_OPS(TG_REDUCE_ID) TG_REDUCE_COUNT };

/* TG_ARGREDUCE_OP(name, beats, extreme): beats is whether x takes the place of best, extreme the reduction that finds the value */
#define TG_ARGREDUCE_OPS(TG_ARGREDUCE_OP)  \
    TG_ARGREDUCE_OP(argmax, x > best, max) \
    TG_ARGREDUCE_OP(argmin, x < best, min)

#define TG_ARGREDUCE_ID(name, ...) TG_ARGREDUCE_##name,
enum { TG_ARGREDUCE_OPS(TG_ARGREDUCE_ID) TG_ARGREDUCE_COUNT };

/* The columns kernels keep one partial result for each power of two of LEAF_ROWS rows. */
enum {
    TG_REDUCE_LEVELS = 12,
    TG_REDUCE_LEAF_ROWS = 32,
    TG_REDUCE_MOST_ROWS = TG_REDUCE_LEAF_ROWS << (TG_REDUCE_LEVELS - 2)
};

/* y[r] = op over j of x[r, j]. x: (rows, n), y: (rows) */
typedef void (*tg_reduce_rows_fn)(int64_t rows, int64_t n, const void *x, void *y);
/* y[i] = op over j of x[j * stride + i], i < width. x: (n, stride), n <= TG_REDUCE_MOST_ROWS, y: (width) */
typedef void (*tg_reduce_columns_fn)(int64_t n, int64_t width, int64_t stride, const void *x, void *y);
/* The same for positions; n >= 1, of columns n <= TG_REDUCE_MOST_ROWS. */
typedef void (*tg_argreduce_rows_fn)(int64_t rows, int64_t n, const void *x, int64_t *y);
typedef void (*tg_argreduce_columns_fn)(int64_t n, int64_t width, int64_t stride, const void *x, int64_t *y);

/* Count, mean, and sum of squared deviations from the mean. */
typedef struct {
    double n, mean, squares;
} tg_moments;

/* Of both together; a.n > 0. */
static inline tg_moments tg_moments_merge(tg_moments a, tg_moments b) {
    const double n = a.n + b.n, delta = b.mean - a.mean;
    return (tg_moments){n, a.mean + delta * (b.n / n), (a.squares + b.squares) + delta * delta * (a.n * b.n / n)};
}

/* The moments of x over j, as above; n >= 1. Means are less the origin: of row r origin[r * n], of column i origin[i]. mean,
 * squares: (rows) or (width) */
typedef void (*tg_moments_rows_fn)(int64_t rows, int64_t n, const void *x, const void *origin, double *mean,
                                   double *squares);
typedef void (*tg_moments_columns_fn)(int64_t n, int64_t width, int64_t stride, const void *x, const void *origin,
                                      double *mean, double *squares);

typedef struct {
    tg_reduce_rows_fn rows[TG_REDUCE_COUNT];
    tg_reduce_columns_fn columns[TG_REDUCE_COUNT];
    tg_argreduce_rows_fn arg_rows[TG_ARGREDUCE_COUNT];
    tg_argreduce_columns_fn arg_columns[TG_ARGREDUCE_COUNT];
    void (*divide)(int64_t n, void *y, double divisor); /* y[i] /= divisor. y: (n) */
    void (*root)(int64_t n, void *y);                   /* y[i] = sqrt(y[i]). y: (n) */
    tg_moments_rows_fn moments_rows;
    tg_moments_columns_fn moments_columns;
} tg_reduce_kernels;

#endif
