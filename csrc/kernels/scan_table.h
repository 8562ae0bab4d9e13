/* scan_table.h: the cumulative ops and their kernels. Every kernel goes along n, forwards or (reverse) from the end. */
#ifndef TG_SCAN_TABLE_H
#define TG_SCAN_TABLE_H

#include <stdint.h>

/* name, identity, combination of the vectors a (what came before) and b. -0 is the identity of addition that keeps a -0. */
#define TG_SCAN_OPS(OP)             \
    OP(sum, -0.0, a + b)            \
    OP(prod, 1.0, a *b)             \
    OP(max, -INFINITY, v_max(a, b)) \
    OP(min, INFINITY, v_min(a, b))  \
    OP(logsumexp, -INFINITY, FN(scan_log_add)(a, b))

#define TG_SCAN_ID(name, ...) TG_SCAN_##name,
enum { TG_SCAN_OPS(TG_SCAN_ID) TG_SCAN_COUNT };

typedef struct {
    /* y[r, j] = op of x[r, 0..j]. x, y: (rows, n) */
    void (*rows[TG_SCAN_COUNT])(int reverse, int64_t rows, int64_t n, const void *x, void *y);
    /* y[j, i] = op of x[0..j, i]. x, y: (n, width) with `stride` between rows */
    void (*columns[TG_SCAN_COUNT])(int reverse, int64_t n, int64_t width, int64_t stride, const void *x, void *y);
    /* position[j, i] = where the largest (sign 1) or smallest (sign -1) of x[0..j, i] is, the last of equals, a NaN before all.
     * x, position: (n, width) with `stride` between rows */
    void (*position)(int sign, int64_t n, int64_t width, int64_t stride, const void *x, int64_t *position);
    /* y[j, i] = b[j, i] + a[j, i] * y[j - 1, i], the one before the first being 0; with reverse y[j + 1, i]. a, b, y: as above */
    void (*recurrence)(int reverse, int64_t n, int64_t width, int64_t stride, const void *a, const void *b, void *y);
} tg_scan_kernels;

#endif
