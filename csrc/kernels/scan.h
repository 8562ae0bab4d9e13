/* scan.h: cumulative sums and their kind; included once per element type.
 *
 * A contiguous row goes a vector at a time: log2(LANES) shifted combinations make the prefixes of the vector (Hillis and Steele
 * 1986), and one more joins what came before. So a chain of n dependent operations becomes one of n / LANES, which is also what
 * the rounding error of a sum grows with. Columns are independent of each other: a vector holds LANES of them.
 */

/* log(exp(a) + exp(b)) without overflow, also where both are the same infinity */
TG_INLINE vec FN(scan_log_add)(vec a, vec b) {
    const vec difference = v_select(a == b, v_set(0), -v_abs(a - b));
    return v_max(a, b) + v_log1p(v_exp(difference));
}

/* Lane i of the result is lane i - s of x, or i + s; lanes that come from outside are those of `fill`. */
#undef TG_SHIFT_UP
#undef TG_SHIFT_DOWN
#define TG_SHIFT_UP(lane, s) ((TG_VECTOR_BYTES * 72 / TG_BITS + lane - s) % (TG_VECTOR_BYTES * 16 / TG_BITS))
#define TG_SHIFT_DOWN(lane, s) ((lane + s) % (TG_VECTOR_BYTES * 16 / TG_BITS))

#undef TG_SCAN_STEP
#define TG_SCAN_STEP(name, s)        \
    if (LANES > s)                   \
        v = FN(scan_combine_##name)( \
            reverse ? TG_SHUFFLE(v, fill, TG_SHIFT_DOWN, s) : TG_SHUFFLE(fill, v, TG_SHIFT_UP, s), v);

#undef TG_SCAN_KERNELS
#define TG_SCAN_KERNELS(name, identity, combination)                                                           \
    TG_INLINE vec FN(scan_combine_##name)(vec a, vec b) { return combination; }                                \
    TG_INLINE vec FN(scan_vector_##name)(int reverse, vec v) {                                                 \
        const vec fill = v_set(identity);                                                                      \
        TG_SCAN_STEP(name, 1) TG_SCAN_STEP(name, 2) TG_SCAN_STEP(name, 4) TG_SCAN_STEP(name, 8) return v;      \
    }                                                                                                          \
    static void FN(scan_rows_##name)(int reverse, int64_t rows, int64_t n, const void *xp, void *yp) {         \
        const vec fill = v_set(identity);                                                                      \
        for (int64_t r = 0; r < rows; r++) {                                                                   \
            const real *x = (const real *)xp + r * n;                                                          \
            real *y = (real *)yp + r * n;                                                                      \
            vec before = fill;                                                                                 \
            if (!reverse) {                                                                                    \
                for (int64_t i = 0; i < n; i += LANES) {                                                       \
                    const vec v = FN(scan_vector_##name)(0, v_load_fill(x + i, n - i, fill));                  \
                    const vec joined = FN(scan_combine_##name)(before, v);                                     \
                    v_store_upto(y + i, joined, n - i);                                                        \
                    before = v_set((double)joined[LANES - 1]);                                                 \
                }                                                                                              \
                continue;                                                                                      \
            }                                                                                                  \
            for (int64_t i = n; i > 0; i -= LANES) {                                                           \
                const int64_t from = i > LANES ? i - LANES : 0, count = i - from;                              \
                const vec v = FN(scan_vector_##name)(1, v_load_fill(x + from, count, fill));                   \
                const vec joined = FN(scan_combine_##name)(before, v);                                         \
                v_store_upto(y + from, joined, count);                                                         \
                before = v_set((double)joined[0]);                                                             \
            }                                                                                                  \
        }                                                                                                      \
    }                                                                                                          \
    static void FN(scan_columns_##name)(int reverse, int64_t n, int64_t width, int64_t stride, const void *xp, \
                                        void *yp) {                                                            \
        const int64_t step = reverse ? -stride : stride, first = reverse ? (n - 1) * stride : 0;               \
        for (int64_t i = 0; i < width; i += LANES) {                                                           \
            const real *x = (const real *)xp + first + i;                                                      \
            real *y = (real *)yp + first + i;                                                                  \
            vec before = v_set(identity);                                                                      \
            for (int64_t j = 0; j < n; j++, x += step, y += step) {                                            \
                before = FN(scan_combine_##name)(before, v_load_upto(x, width - i));                           \
                v_store_upto(y, before, width - i);                                                            \
            }                                                                                                  \
        }                                                                                                      \
    }

TG_SCAN_OPS(TG_SCAN_KERNELS)

static void FN(scan_position)(int sign, int64_t n, int64_t width, int64_t stride, const void *xp, int64_t *position) {
    for (int64_t i = 0; i < width; i++) {
        const real *x = (const real *)xp + i;
        int64_t *p = position + i, at = 0;
        real best = x[0];
        for (int64_t j = 0; j < n; j++, x += stride, p += stride) {
            const real v = *x;
            const int wins = v != v || (sign > 0 ? v >= best : v <= best); /* nothing but a NaN passes a NaN */
            best = wins ? v : best;
            at = wins ? j : at;
            *p = at;
        }
    }
}

static void FN(scan_recurrence)(int reverse, int64_t n, int64_t width, int64_t stride, const void *ap, const void *bp,
                                void *yp) {
    const int64_t step = reverse ? -stride : stride, first = reverse ? (n - 1) * stride : 0;
    int64_t i = 0;
    for (; width - i >= LANES / 2 && i < width; i += LANES) {
        const real *a = (const real *)ap + first + i, *b = (const real *)bp + first + i;
        real *y = (real *)yp + first + i;
        vec before = v_load_upto(b, width - i);
        v_store_upto(y, before, width - i);
        for (int64_t j = 1; j < n; j++) {
            a += step, b += step, y += step;
            before = v_load_upto(b, width - i) + v_load_upto(a, width - i) * before;
            v_store_upto(y, before, width - i);
        }
    }
    for (; i < width; i++) { /* few columns, or a row */
        const real *a = (const real *)ap + first + i, *b = (const real *)bp + first + i;
        real *y = (real *)yp + first + i, before = *b;
        *y = before;
        for (int64_t j = 1; j < n; j++) {
            a += step, b += step, y += step;
            *y = before = *b + *a * before;
        }
    }
}

#define TG_SCAN_ROWS(name, ...) FN(scan_rows_##name),
#define TG_SCAN_COLUMNS(name, ...) FN(scan_columns_##name),
static const tg_scan_kernels FN(scan_kernels) = {
    {TG_SCAN_OPS(TG_SCAN_ROWS)}, {TG_SCAN_OPS(TG_SCAN_COLUMNS)}, FN(scan_position), FN(scan_recurrence)};
#undef TG_SCAN_ROWS
#undef TG_SCAN_COLUMNS
