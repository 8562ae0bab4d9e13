/* reduce.h: sums, products, extremes and their positions; included once per element type.
 *
 * The order of a sum (and of every other reduction here), which depends on the vector width but on nothing else:
 * - A contiguous row is cut into leaves of 128 vectors. In a leaf accumulator k (of 8) takes every 4th vector from k % 4 on, k < 4
 *   in the first half and the others in the second (two streams: a CPU fetches ahead within a page of each), then the
 *   accumulators are combined in pairs. In the shorter leaf at the end, which comes last, accumulator k takes the vectors k, k + 8,
 *   ... Leaves are combined in pairs, pairs of pairs, and so on, as a binary counter carries. At the very end the lanes are
 *   combined in pairs.
 * - Of columns every 32 rows are combined in pairs, and these leaves in the same way as above. Rows are read as far along as the
 *   partial results fit into the first cache, so that memory is read nearly in order. Narrow columns are read as rows of LANES
 *   rows each, and those LANES partial results are combined in pairs.
 * - families/reduce.c cuts long sums into blocks, whose results it reduces again.
 * So the error grows with log2(n), not with n.
 */

enum {
    FN(REDUCE_LEAF) = 128,                       /* vectors */
    FN(REDUCE_TILE) = (1 << 14) / (TG_BITS / 8), /* elements */
    FN(REDUCE_NARROW) = 64                       /* elements */
};

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
    if (n == FN(REDUCE_LEAF) * LANES) {
        const int64_t half = n / 2;
        for (int k = 0; k < 8; k++) a[k] = FN(reduce_map)(op, v_load(x + k / 4 * half + k % 4 * LANES));
        for (i = 4 * LANES; i < half; i += 4 * LANES)
            for (int k = 0; k < 8; k++)
                a[k] = FN(reduce_pair)(op, a[k], FN(reduce_map)(op, v_load(x + k / 4 * half + i + k % 4 * LANES)));
        i = n;
    } else if (n >= 8 * LANES) {
        for (int k = 0; k < 8; k++) a[k] = FN(reduce_map)(op, v_load(x + k * LANES));
        for (i = 8 * LANES; i + 8 * LANES <= n; i += 8 * LANES)
            for (int k = 0; k < 8; k++) a[k] = FN(reduce_pair)(op, a[k], FN(reduce_map)(op, v_load(x + i + k * LANES)));
    }
    if (n >= 8 * LANES)
        for (int half = 4; half; half /= 2)
            for (int k = 0; k < half; k++) a[k] = FN(reduce_pair)(op, a[k], a[k + half]);
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

/* Eight rows of min(count, LANES) columns. x: (8, stride) */
TG_INLINE vec FN(reduce_eight)(int op, int64_t count, int64_t stride, const real *x) {
    vec a[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) a[k] = FN(reduce_map)(op, v_load_upto(x + k * stride, count));
    return FN(reduce_pair)(op, FN(reduce_pair)(op, FN(reduce_pair)(op, a[0], a[1]), FN(reduce_pair)(op, a[2], a[3])),
                           FN(reduce_pair)(op, FN(reduce_pair)(op, a[4], a[5]), FN(reduce_pair)(op, a[6], a[7])));
}

/* As many columns of up to TG_REDUCE_LEAF_ROWS rows. x: (rows, stride) */
TG_INLINE vec FN(reduce_rest)(int op, int64_t rows, int64_t count, int64_t stride, const real *x) {
    vec a = FN(reduce_identity)(op);
    for (; rows >= 8; rows -= 8, x += 8 * stride) a = FN(reduce_pair)(op, a, FN(reduce_eight)(op, count, stride, x));
    for (; rows > 0; rows--, x += stride) a = FN(reduce_pair)(op, a, FN(reduce_map)(op, v_load_upto(x, count)));
    return a;
}

/* At most TG_REDUCE_LEAF_ROWS rows of a tile. x: (rows, stride), out: (width rounded up to vectors) */
TG_INLINE void FN(reduce_tile_leaf)(int op, int64_t rows, int64_t width, int64_t stride, const real *x, real *out) {
    int64_t i = 0;
    if (rows == TG_REDUCE_LEAF_ROWS)
        for (; i + LANES <= width; i += LANES) {
            vec a[TG_REDUCE_LEAF_ROWS / 8];
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) a[k] = FN(reduce_eight)(op, LANES, stride, x + k * 8 * stride + i);
            v_store(out + i, FN(reduce_pair)(op, FN(reduce_pair)(op, a[0], a[1]), FN(reduce_pair)(op, a[2], a[3])));
        }
    for (; i < width; i += LANES) v_store(out + i, FN(reduce_rest)(op, rows, width - i, stride, x + i));
}

/* a[i] = a[i] op b[i]. a, b: (n), n a multiple of LANES */
TG_INLINE void FN(reduce_merge)(int op, int64_t n, real *a, const real *b) {
    for (int64_t i = 0; i < n; i += LANES) v_store(a + i, FN(reduce_pair)(op, v_load(a + i), v_load(b + i)));
}

/* As tg_reduce_columns_fn. */
TG_INLINE void FN(reduce_tiles)(int op, int64_t n, int64_t all, int64_t stride, const real *x, real *y) {
    real partial[TG_REDUCE_LEVELS * FN(REDUCE_TILE)]
        __attribute__((aligned(64))); /* a binary counter, as in reduce_row */
    for (int64_t from = 0; from < all; from += FN(REDUCE_TILE)) {
        const int64_t width = all - from < FN(REDUCE_TILE) ? all - from : FN(REDUCE_TILE);
        const int64_t padded = (width + LANES - 1) / LANES * LANES;
        real *top = partial; /* the first that is free; each is (padded) */
        int64_t j = 0;
        for (uint64_t count = 1; j + TG_REDUCE_LEAF_ROWS <= n; j += TG_REDUCE_LEAF_ROWS, count++) {
            FN(reduce_tile_leaf)(op, TG_REDUCE_LEAF_ROWS, width, stride, x + j * stride + from, top);
            top += padded;
            for (uint64_t bits = count; bits % 2 == 0; bits /= 2, top -= padded)
                FN(reduce_merge)(op, padded, top - 2 * padded, top - padded);
        }
        if (j < n || top == partial) {
            FN(reduce_tile_leaf)(op, n - j, width, stride, x + j * stride + from, top);
            top += padded;
        }
        while ((top -= padded) > partial) FN(reduce_merge)(op, padded, top - padded, top);
        memcpy(y + from, partial, (size_t)width * sizeof(real));
    }
}

/* Narrow contiguous columns: LANES rows are read as one. x: (n, width), y: (width); n >= LANES, width < REDUCE_NARROW */
TG_INLINE void FN(reduce_narrow)(int op, tg_reduce_columns_fn columns, int64_t n, int64_t width, const real *x,
                                 real *y) {
    real folded[(FN(REDUCE_NARROW) + 1) * (TG_VECTOR_BYTES * 8 / TG_BITS)]; /* a vector more: read, never used */
    const int64_t together = width * LANES, left = n % LANES * width;
    columns(n / LANES, together, together, x, folded);
    const real *rest = x + n / LANES * together;
    for (int64_t i = 0; i < left; i += LANES) {
        const vec more = FN(reduce_map)(op, v_load_upto(rest + i, left - i));
        v_store_upto(folded + i, FN(reduce_pair)(op, v_load_upto(folded + i, left - i), more), left - i);
    }
    for (int64_t half = LANES / 2; half; half /= 2)
        for (int64_t i = 0; i < half * width; i += LANES) {
            const vec more = v_load(folded + half * width + i);
            v_store_upto(folded + i, FN(reduce_pair)(op, v_load(folded + i), more), half * width - i);
        }
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
 * place: without a branch, so that the CPU begins with the next row meanwhile. */

/* The first place of `best`, or of a NaN if it is one. x: (n), n <= ARG_BLOCK */
TG_INLINE int64_t FN(first_place)(int64_t n, const real *x, real best) {
    if (best != best) {
        int64_t at = 0;
        while (x[at] == x[at]) at++;
        return at;
    }
    const vec wanted = (vec){0} + best;
    ivec at = (ivec){0} + (integer)n; /* per lane: the vector that holds it, as its first element's index */
    int64_t i = (n - 1) / LANES * LANES;
    at = (ivec)v_select((v_load_upto(x + i, n - i) == wanted) & (v_lane_index() < (integer)(n - i)),
                        (vec)((ivec){0} + (integer)i), (vec)at);
    for (i -= LANES; i >= 0; i -= LANES)
        at = (ivec)v_select(v_load(x + i) == wanted, (vec)((ivec){0} + (integer)i), (vec)at);
    at += v_lane_index();
#pragma GCC unroll 4
    for (int step = (int)LANES / 2; step; step /= 2) {
        const ivec other = (ivec)v_exchange((vec)at, step);
        at = (ivec)v_select(at < other, (vec)at, (vec)other);
    }
    return at[0];
}

enum { FN(ARG_BLOCK) = 1024 }; /* elements */

/* The comparison `beats` serves scalars and vectors alike. */
#define TG_DEFINE_ARGREDUCE(name, beats, extreme)                                                                     \
    TG_INLINE real FN(name##_extreme)(int64_t n, const real *xs) {                                                    \
        return FN(reduce_lanes)(TG_REDUCE_##extreme, FN(reduce_leaf)(TG_REDUCE_##extreme, n, xs))[0];                 \
    }                                                                                                                 \
    TG_INLINE int64_t FN(name##_row)(int64_t n, const real *xs) {                                                     \
        const int64_t block = FN(ARG_BLOCK);                                                                          \
        if (n <= block) return FN(first_place)(n, xs, FN(name##_extreme)(n, xs));                                     \
        real best = FN(name##_extreme)(block, xs);                                                                    \
        int64_t at = 0;                                                                                               \
        for (int64_t j = block; j < n && best == best; j += block) {                                                  \
            const real x = FN(name##_extreme)(n - j < block ? n - j : block, xs + j);                                 \
            if ((beats) || x != x) best = x, at = j;                                                                  \
        }                                                                                                             \
        return at + FN(first_place)(n - at < block ? n - at : block, xs + at, best);                                  \
    }                                                                                                                 \
    static void FN(name##_rows)(int64_t rows, int64_t n, const void *x, int64_t *y) {                                 \
        for (int64_t r = 0; r < rows; r++) y[r] = FN(name##_row)(n, (const real *)x + r * n);                         \
    }                                                                                                                 \
    /* Rows [j, j + rows) of min(count, LANES) columns. xs: (rows, stride), best, at: (LANES) */                      \
    TG_INLINE void FN(name##_some)(int rows, integer j, int64_t count, int64_t stride, const real *xs, real *best_at, \
                                   integer *at_at) {                                                                  \
        vec best = v_load(best_at), at = v_load((const real *)at_at);                                                 \
        _Pragma("GCC unroll 8") for (int k = 0; k < rows; k++) {                                                      \
            const vec x = v_load_upto(xs + k * stride, count);                                                        \
            const ivec take = ((beats) | (x != x)) & (best == best);                                                  \
            best = v_select(take, x, best);                                                                           \
            at = v_select(take, (vec)((ivec){0} + (j + k)), at);                                                      \
        }                                                                                                             \
        v_store(best_at, best);                                                                                       \
        v_store((real *)at_at, at);                                                                                   \
    }                                                                                                                 \
    static void FN(name##_columns)(int64_t n, int64_t all, int64_t stride, const void *xp, int64_t *y) {              \
        real best[FN(REDUCE_TILE)] __attribute__((aligned(64)));                                                      \
        integer at[FN(REDUCE_TILE)] __attribute__((aligned(64)));                                                     \
        for (int64_t from = 0; from < all; from += FN(REDUCE_TILE)) {                                                 \
            const real *xs = (const real *)xp + from;                                                                 \
            const int64_t width = all - from < FN(REDUCE_TILE) ? all - from : FN(REDUCE_TILE);                        \
            memcpy(best, xs, (size_t)width * sizeof(real));                                                           \
            memset(at, 0, (size_t)width * sizeof(integer));                                                           \
            int64_t j = 1;                                                                                            \
            for (; j + 8 <= n; j += 8) {                                                                              \
                int64_t i = 0;                                                                                        \
                for (; i + LANES <= width; i += LANES)                                                                \
                    FN(name##_some)(8, (integer)j, LANES, stride, xs + j * stride + i, best + i, at + i);             \
                if (i < width)                                                                                        \
                    FN(name##_some)(8, (integer)j, width - i, stride, xs + j * stride + i, best + i, at + i);         \
            }                                                                                                         \
            for (; j < n; j++)                                                                                        \
                for (int64_t i = 0; i < width; i += LANES)                                                            \
                    FN(name##_some)(1, (integer)j, width - i, stride, xs + j * stride + i, best + i, at + i);         \
            for (int64_t i = 0; i < width; i++) y[from + i] = at[i];                                                  \
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
