/* reduce.h: sums, products, extremes and their positions; included once per element type.
 *
 * The order of a sum (and of every other reduction here), which depends on the vector width but on nothing else:
 * - A contiguous row is cut into leaves of 128 vectors. In a leaf accumulator k (of 8) takes the vectors k, k + 8, ... one after
 *   the other, then the accumulators are combined in pairs. Leaves are combined in pairs, pairs of pairs, and so on, as a binary
 *   counter carries. The shorter leaf at the end comes last. At the very end the lanes are combined in pairs.
 * - Of columns every 8 rows are combined in pairs, and these leaves in the same way as above. Narrow columns are read as rows
 *   of LANES rows each, and those LANES partial results are combined in pairs.
 * - families/reduce.c cuts long sums into blocks, whose results it reduces again.
 * So the error grows with log2(n), not with n.
 */

enum { FN(REDUCE_LEAF) = 128, FN(REDUCE_TILE) = 256, FN(REDUCE_NARROW) = 64 }; /* vectors; elements; elements */

#define TG_REDUCE_MAP(name, map, combine, identity, again) \
    case TG_REDUCE_##name: return (map);
#define TG_REDUCE_COMBINE(name, map, combine, identity, again) \
    case TG_REDUCE_##name: return (combine);
#define TG_REDUCE_IDENTITY(name, map, combine, identity, again) \
    case TG_REDUCE_##name: return v_set(identity);
/* op is a constant in every caller below: the switches vanish. */
TG_INLINE vec FN(reduce_map)(int op, vec x) {
    switch (op) { TG_REDUCE_OPS(TG_REDUCE_MAP) }
    return x;
}
TG_INLINE vec FN(reduce_pair)(int op, vec a, vec b) {
    switch (op) { TG_REDUCE_OPS(TG_REDUCE_COMBINE) }
    return a;
}
TG_INLINE vec FN(reduce_identity)(int op) {
    switch (op) { TG_REDUCE_OPS(TG_REDUCE_IDENTITY) }
    return v_set(0);
}
#undef TG_REDUCE_MAP
#undef TG_REDUCE_COMBINE
#undef TG_REDUCE_IDENTITY

/* All lanes hold the result. */
TG_INLINE vec FN(reduce_lanes)(int op, vec a) {
    if (LANES > 8) a = FN(reduce_pair)(op, a, v_exchange(a, 8));
    if (LANES > 4) a = FN(reduce_pair)(op, a, v_exchange(a, 4));
    if (LANES > 2) a = FN(reduce_pair)(op, a, v_exchange(a, 2));
    return FN(reduce_pair)(op, a, v_exchange(a, 1));
}

/* At most a leaf. x: (n) */
TG_INLINE vec FN(reduce_leaf)(int op, int64_t n, const real *x) {
    vec a[8];
    int64_t i = 0;
    a[0] = FN(reduce_identity)(op);
    if (n >= 8 * LANES) {
        for (int k = 0; k < 8; k++) a[k] = FN(reduce_map)(op, v_load(x + k * LANES));
        for (i = 8 * LANES; i + 8 * LANES <= n; i += 8 * LANES)
            for (int k = 0; k < 8; k++) a[k] = FN(reduce_pair)(op, a[k], FN(reduce_map)(op, v_load(x + i + k * LANES)));
        for (int half = 4; half; half /= 2)
            for (int k = 0; k < half; k++) a[k] = FN(reduce_pair)(op, a[k], a[k + half]);
    }
    for (; i < n; i += LANES)
        a[0] = FN(reduce_pair)(op, a[0], FN(reduce_map)(op, v_load_fill(x + i, n - i, FN(reduce_identity)(op))));
    return a[0];
}

/* x: (n) */
TG_INLINE real FN(reduce_row)(int op, int64_t n, const real *x) {
    const int64_t leaf = FN(REDUCE_LEAF) * LANES;
    if (n <= leaf) return FN(reduce_lanes)(op, FN(reduce_leaf)(op, n, x))[0];
    vec partial[64]; /* a binary counter of leaves: partial[t] covers fewer leaves than partial[t - 1] */
    int top = 0;
    int64_t i = 0;
    for (uint64_t count = 1; i + leaf <= n; i += leaf, count++) {
        partial[top++] = FN(reduce_leaf)(op, leaf, x + i);
        for (uint64_t bits = count; bits % 2 == 0; bits /= 2, top--)
            partial[top - 2] = FN(reduce_pair)(op, partial[top - 2], partial[top - 1]);
    }
    vec total = FN(reduce_leaf)(op, n - i, x + i);
    while (top) total = FN(reduce_pair)(op, partial[--top], total);
    return FN(reduce_lanes)(op, total)[0];
}

/* At most 8 rows of a tile. x: (rows, stride), out: (width rounded up to vectors) */
TG_INLINE void FN(reduce_tile_leaf)(int op, int64_t rows, int64_t width, int64_t stride, const real *x, real *out) {
    for (int64_t i = 0; i < width; i += LANES) {
        vec a[8];
        if (rows == 8 && i + LANES <= width) {
            for (int k = 0; k < 8; k++) a[k] = FN(reduce_map)(op, v_load(x + k * stride + i));
            for (int half = 1; half < 8; half *= 2)
                for (int k = 0; k < 8; k += 2 * half) a[k] = FN(reduce_pair)(op, a[k], a[k + half]);
        } else {
            a[0] = FN(reduce_identity)(op);
            for (int64_t k = 0; k < rows; k++)
                a[0] = FN(reduce_pair)(op, a[0], FN(reduce_map)(op, v_load_upto(x + k * stride + i, width - i)));
        }
        v_store(out + i, a[0]);
    }
}

/* a[i] = a[i] op b[i]. a, b: (n) */
TG_INLINE void FN(reduce_merge)(int op, int64_t n, real *a, const real *b) {
    for (int64_t i = 0; i < n; i += LANES)
        v_store_upto(a + i, FN(reduce_pair)(op, v_load_upto(a + i, n - i), v_load_upto(b + i, n - i)), n - i);
}

/* As tg_reduce_columns_fn. */
TG_INLINE void FN(reduce_tiles)(int op, int64_t n, int64_t all, int64_t stride, const real *x, real *y) {
    real partial[TG_REDUCE_LEVELS][FN(REDUCE_TILE)]
        __attribute__((aligned(64))); /* a binary counter, as in reduce_row */
    for (int64_t from = 0; from < all; from += FN(REDUCE_TILE)) {
        const int64_t width = all - from < FN(REDUCE_TILE) ? all - from : FN(REDUCE_TILE);
        const int64_t padded = (width + LANES - 1) / LANES * LANES;
        int top = 0;
        int64_t j = 0;
        for (uint64_t count = 1; j + 8 <= n; j += 8, count++) {
            FN(reduce_tile_leaf)(op, 8, width, stride, x + j * stride + from, partial[top++]);
            for (uint64_t bits = count; bits % 2 == 0; bits /= 2, top--)
                FN(reduce_merge)(op, padded, partial[top - 2], partial[top - 1]);
        }
        if (j < n || top == 0) FN(reduce_tile_leaf)(op, n - j, width, stride, x + j * stride + from, partial[top++]);
        while (--top) FN(reduce_merge)(op, padded, partial[top - 1], partial[top]);
        memcpy(y + from, partial[0], (size_t)width * sizeof(real));
    }
}

/* Narrow contiguous columns: LANES rows are read as one. x: (n, width), y: (width); n >= LANES, width < REDUCE_NARROW */
TG_INLINE void FN(reduce_narrow)(int op, tg_reduce_columns_fn columns, int64_t n, int64_t width, const real *x,
                                 real *y) {
    real folded[FN(REDUCE_NARROW) * (TG_VECTOR_BYTES * 8 / TG_BITS)];
    const int64_t together = width * LANES, left = n % LANES * width;
    columns(n / LANES, together, together, x, folded);
    const real *rest = x + n / LANES * together;
    for (int64_t i = 0; i < left; i += LANES) {
        const vec more = FN(reduce_map)(op, v_load_upto(rest + i, left - i));
        v_store_upto(folded + i, FN(reduce_pair)(op, v_load_upto(folded + i, left - i), more), left - i);
    }
    for (int64_t half = LANES / 2; half; half /= 2) FN(reduce_merge)(op, half * width, folded, folded + half * width);
    memcpy(y, folded, (size_t)width * sizeof(real));
}

#define TG_DEFINE_REDUCE(name, ...)                                                                    \
    static void FN(name##_rows)(int64_t rows, int64_t n, const void *x, void *y) {                     \
        for (int64_t r = 0; r < rows; r++)                                                             \
            ((real *)y)[r] = FN(reduce_row)(TG_REDUCE_##name, n, (const real *)x + r * n);             \
    }                                                                                                  \
    static void FN(name##_tiles)(int64_t n, int64_t width, int64_t stride, const void *x, void *y) {   \
        FN(reduce_tiles)(TG_REDUCE_##name, n, width, stride, x, y);                                    \
    }                                                                                                  \
    static void FN(name##_columns)(int64_t n, int64_t width, int64_t stride, const void *x, void *y) { \
        if (width == stride && width < FN(REDUCE_NARROW) && n >= 2 * LANES)                            \
            FN(reduce_narrow)(TG_REDUCE_##name, FN(name##_tiles), n, width, x, y);                     \
        else                                                                                           \
            FN(name##_tiles)(n, width, stride, x, y);                                                  \
    }

TG_REDUCE_OPS(TG_DEFINE_REDUCE)

/* Positions. A row is searched a block at a time: first the block's extreme, then, in the first block that has the row's, its
 * place. The comparison `beats` serves scalars and vectors alike. */
#define TG_DEFINE_ARGREDUCE(name, beats, extreme)                                                                     \
    static int64_t FN(name##_row)(int64_t n, const real *xs) {                                                        \
        enum { BLOCK = 1024, SHORT = 64 };                                                                            \
        real best = xs[0];                                                                                            \
        int64_t at = 0;                                                                                               \
        if (n <= SHORT) {                                                                                             \
            for (int64_t j = 1; j < n && best == best; j++) {                                                         \
                const real x = xs[j];                                                                                 \
                if ((beats) || x != x) best = x, at = j;                                                              \
            }                                                                                                         \
            return at;                                                                                                \
        }                                                                                                             \
        for (int64_t j = 0; j < n && best == best; j += BLOCK) {                                                      \
            const real x = FN(reduce_lanes)(                                                                          \
                TG_REDUCE_##extreme, FN(reduce_leaf)(TG_REDUCE_##extreme, n - j < BLOCK ? n - j : BLOCK, xs + j))[0]; \
            if ((beats) || x != x) best = x, at = j;                                                                  \
        }                                                                                                             \
        while (best == best ? xs[at] != best : xs[at] == xs[at]) at++;                                                \
        return at;                                                                                                    \
    }                                                                                                                 \
    static void FN(name##_rows)(int64_t rows, int64_t n, const void *x, int64_t *y) {                                 \
        for (int64_t r = 0; r < rows; r++) y[r] = FN(name##_row)(n, (const real *)x + r * n);                         \
    }                                                                                                                 \
    static void FN(name##_columns)(int64_t n, int64_t width, int64_t stride, const void *xp, int64_t *y) {            \
        enum { MOST = 1 << 30 }; /* rows whose position a lane of 32 bits can hold */                                 \
        for (int64_t i = 0; i < width; i += LANES) {                                                                  \
            const real *xs = (const real *)xp + i;                                                                    \
            const int64_t count = width - i < LANES ? width - i : LANES;                                              \
            vec best = v_load_upto(xs, count);                                                                        \
            for (int64_t l = 0; l < count; l++) y[i + l] = 0;                                                         \
            for (int64_t from = 0; from < n; from += MOST) {                                                          \
                const integer end = (integer)(n - from < MOST ? n - from : MOST);                                     \
                ivec at = (ivec){0} - 1; /* none in these rows */                                                     \
                for (integer j = 0; j < end; j++) {                                                                   \
                    const vec x = v_load_upto(xs + (from + j) * stride, count);                                       \
                    const ivec take = ((beats) | (x != x)) & (best == best);                                          \
                    best = v_select(take, x, best);                                                                   \
                    at = (take & j) | (~take & at);                                                                   \
                }                                                                                                     \
                for (int64_t l = 0; l < count; l++)                                                                   \
                    if (at[l] >= 0) y[i + l] = from + at[l];                                                          \
            }                                                                                                         \
        }                                                                                                             \
    }

TG_ARGREDUCE_OPS(TG_DEFINE_ARGREDUCE)

static void FN(reduce_divide)(int64_t n, void *yp, double divisor) {
    real *y = yp;
    for (int64_t i = 0; i < n; i += LANES) v_store_upto(y + i, v_load_upto(y + i, n - i) / v_set(divisor), n - i);
}

static void FN(reduce_root)(int64_t n, void *yp) {
    real *y = yp;
    for (int64_t i = 0; i < n; i += LANES) v_store_upto(y + i, v_sqrt(v_load_upto(y + i, n - i)), n - i);
}

#include "moments.h"

#define TG_REDUCE_ROWS(name, ...) FN(name##_rows),
#define TG_REDUCE_COLUMNS(name, ...) FN(name##_columns),
static const tg_reduce_kernels FN(reduce_kernels) = {{TG_REDUCE_OPS(TG_REDUCE_ROWS)},
                                                     {TG_REDUCE_OPS(TG_REDUCE_COLUMNS)},
                                                     {TG_ARGREDUCE_OPS(TG_REDUCE_ROWS)},
                                                     {TG_ARGREDUCE_OPS(TG_REDUCE_COLUMNS)},
                                                     FN(reduce_divide),
                                                     FN(reduce_root),
                                                     FN(moments_rows),
                                                     FN(moments_columns)};

#undef TG_REDUCE_ROWS
#undef TG_REDUCE_COLUMNS
#undef TG_DEFINE_REDUCE
#undef TG_DEFINE_ARGREDUCE
