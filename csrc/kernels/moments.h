/* moments.h: mean and sum of squared deviations from it; included once per element type, by reduce.h.
 *
 * Nothing is summed that is not first made small by subtracting something near it, so the result does not suffer from a large
 * mean, and its error grows with log n as that of a pairwise sum does. Means are kept as distances from the first element of the
 * row or column, the origin: differences of means would not be better than the means themselves.
 * - A contiguous row is cut into leaves of 16 KB. Of a leaf, the mean is found first and then, while the leaf is in the cache,
 *   the squares around it, corrected for the mean's own rounding (Chan, Golub, LeVeque 1983, eq. 1.7).
 * - Of columns every 8 rows, less the origins, are a leaf that fits into registers.
 * - Leaves are combined in pairs, pairs of pairs, and so on (Chan, Golub, LeVeque 1979), as in reduce.h; those of rows in double.
 */

enum { FN(MOMENTS_LEAF) = (1 << 14) / (TG_BITS / 8), FN(MOMENTS_TILE) = (1 << 12) / (TG_BITS / 8) }; /* elements */
enum { FN(MOMENTS_LEVELS) = TG_REDUCE_LEVELS + 2 }; /* its leaves are of a quarter as many rows as reduce.h's */

/* At most a leaf. x: (n), n >= 1 */
TG_INLINE tg_moments FN(moments_leaf)(int64_t n, const real *x, real origin) {
    const double sum = (double)FN(reduce_lanes)(TG_REDUCE_sum, FN(reduce_leaf)(TG_REDUCE_sum, n, x))[0];
    const vec center = v_set(sum / (double)n);
    vec square[4] = {v_set(0), v_set(0), v_set(0), v_set(0)}, rest[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int k = 0; k < 4; k++) {
            const vec d = v_load(x + i + k * LANES) - center;
            square[k] = v_fma(d, d, square[k]);
            rest[k] += d;
        }
    for (; i < n; i += LANES) {
        const vec d = v_load_fill(x + i, n - i, center) - center;
        square[0] = v_fma(d, d, square[0]);
        rest[0] += d;
    }
    const double off =
        (double)FN(reduce_lanes)(TG_REDUCE_sum, (rest[0] + rest[2]) + (rest[1] + rest[3]))[0] / (double)n;
    const double around = (double)FN(reduce_lanes)(TG_REDUCE_sum, (square[0] + square[2]) + (square[1] + square[3]))[0];
    const double corrected = around - (double)n * off * off;
    return (tg_moments){(double)n, ((double)center[0] - (double)origin) + off, corrected < 0 ? 0 : corrected};
}

/* x: (n), n >= 1 */
TG_INLINE tg_moments FN(moments_row)(int64_t n, const real *x, real origin) {
    const int64_t leaf = FN(MOMENTS_LEAF);
    if (n <= leaf) return FN(moments_leaf)(n, x, origin);
    tg_moments partial[64]; /* a binary counter of leaves */
    int top = 0;
    for (uint64_t count = 1; n > leaf; n -= leaf, x += leaf, count++) {
        partial[top++] = FN(moments_leaf)(leaf, x, origin);
        for (uint64_t bits = count; bits % 2 == 0; bits /= 2, top--)
            partial[top - 2] = tg_moments_merge(partial[top - 2], partial[top - 1]);
    }
    tg_moments total = FN(moments_leaf)(n, x, origin);
    while (top) total = tg_moments_merge(partial[--top], total);
    return total;
}

static void FN(moments_rows)(int64_t rows, int64_t n, const void *xp, const void *originp, double *mean,
                             double *squares) {
    const real *x = xp, *origin = originp;
    for (int64_t r = 0; r < rows; r++) {
        const tg_moments m = FN(moments_row)(n, x + r * n, origin[r * n]);
        mean[r] = m.mean;
        squares[r] = m.squares;
    }
}

/* Of 1 to 8 rows of a tile. x: (rows, stride), origin: (width), mean, squares: (width rounded up to vectors) */
TG_INLINE void FN(moments_tile_leaf)(int rows, int64_t width, int64_t stride, const real *x, const real *origin,
                                     real *mean, real *squares) {
    const vec share = v_set(1 / (double)rows);
    for (int64_t i = 0; i < width; i += LANES) {
        vec a[8], s[8];
        const vec base = v_load_upto(origin + i, width - i);
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            a[k] = v_set(0);
            if (k < rows) a[k] = v_load_upto(x + k * stride + i, width - i) - base;
        }
        const vec m = (((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]))) * share;
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            s[k] = v_set(0);
            if (k < rows) s[k] = a[k] - m;
        }
#pragma GCC unroll 4
        for (int k = 0; k < 8; k += 2) s[k] = v_fma(s[k], s[k], s[k + 1] * s[k + 1]);
        v_store(mean + i, m);
        v_store(squares + i, (s[0] + s[2]) + (s[4] + s[6]));
    }
}

/* The moments a of na rows become those of a and b, of nb rows, together. (width rounded up to vectors) each */
TG_INLINE void FN(moments_tile_merge)(int64_t width, double na, real *mean_a, real *squares_a, double nb,
                                      const real *mean_b, const real *squares_b) {
    const vec part = v_set(nb / (na + nb)), weight = v_set(na * nb / (na + nb));
    for (int64_t i = 0; i < width; i += LANES) {
        const vec m = v_load(mean_a + i), delta = v_load(mean_b + i) - m;
        v_store(mean_a + i, v_fma(delta, part, m));
        v_store(squares_a + i, (v_load(squares_a + i) + v_load(squares_b + i)) + delta * delta * weight);
    }
}

static void FN(moments_columns)(int64_t n, int64_t width, int64_t stride, const void *xp, const void *originp,
                                double *mean, double *squares) {
    real means[FN(MOMENTS_LEVELS)][FN(MOMENTS_TILE)] __attribute__((aligned(64)));
    real around[FN(MOMENTS_LEVELS)][FN(MOMENTS_TILE)] __attribute__((aligned(64)));
    double counts[FN(MOMENTS_LEVELS)]; /* rows in each level of the binary counter */
    for (int64_t from = 0; from < width; from += FN(MOMENTS_TILE)) {
        const int64_t some = width - from < FN(MOMENTS_TILE) ? width - from : FN(MOMENTS_TILE);
        const real *x = (const real *)xp + from, *origin = (const real *)originp + from;
        int top = 0;
        for (int64_t j = 0; j < n; j += 8, x += 8 * stride) {
            const int rows = n - j < 8 ? (int)(n - j) : 8;
            counts[top] = rows;
            if (rows == 8)
                FN(moments_tile_leaf)(8, some, stride, x, origin, means[top], around[top]);
            else
                FN(moments_tile_leaf)(rows, some, stride, x, origin, means[top], around[top]);
            /* equal halves merge at once; whatever is left, at the end */
            for (top++; top > 1 && (counts[top - 2] <= counts[top - 1] || j + 8 >= n); top--) {
                FN(moments_tile_merge)(some, counts[top - 2], means[top - 2], around[top - 2], counts[top - 1],
                                       means[top - 1], around[top - 1]);
                counts[top - 2] += counts[top - 1];
            }
        }
        for (int64_t i = 0; i < some; i++) {
            mean[from + i] = (double)means[0][i];
            squares[from + i] = (double)around[0][i];
        }
    }
}
