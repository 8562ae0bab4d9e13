/* reduce.h: sums, products, extremes and their positions; included once per element type. */

TG_INLINE real FN(larger)(real a, real b) { return a > b || a != a ? a : b; }
TG_INLINE real FN(smaller)(real a, real b) { return a < b || a != a ? a : b; }

#define TG_DEFINE_REDUCE(name, map, combine, identity, stage2)                                                                 \
    TG_INLINE real FN(name##_pair)(real a, real b) { return (combine); }                                                       \
    static real FN(name##_fold)(int64_t n, int64_t stride, const real *xs) {                                                \
        if (n > 8) {                                                                                                           \
            const int64_t half = n / 2;                                                                                        \
            return FN(name##_pair)(FN(name##_fold)(half, stride, xs),                                                       \
                                   FN(name##_fold)(n - half, stride, xs + half * stride));                                  \
        }                                                                                                                      \
        real a = (real)(identity);                                                                                             \
        for (int64_t j = 0; j < n; j++) {                                                                                      \
            const real x = xs[j * stride];                                                                                     \
            a = FN(name##_pair)(a, (map));                                                                                     \
        }                                                                                                                      \
        return a;                                                                                                              \
    }                                                                                                                          \
    static void FN(name##_rows)(int64_t rows, int64_t n, const void *x, void *y) {                                             \
        for (int64_t r = 0; r < rows; r++) ((real *)y)[r] = FN(name##_fold)(n, 1, (const real *)x + r * n);                 \
    }                                                                                                                          \
    static void FN(name##_columns)(int64_t n, int64_t width, int64_t stride, const void *x, void *y) {                         \
        for (int64_t i = 0; i < width; i++) ((real *)y)[i] = FN(name##_fold)(n, stride, (const real *)x + i);               \
    }

TG_REDUCE_OPS(TG_DEFINE_REDUCE)

#define TG_DEFINE_ARGREDUCE(name, beats)                                                                                       \
    static void FN(name##_strided)(int64_t n, int64_t width, int64_t stride, const void *xp, int64_t *y) {                     \
        const real *xs = xp;                                                                                                   \
        for (int64_t i = 0; i < width; i++) {                                                                                  \
            real best = xs[i];                                                                                                 \
            int64_t at = 0;                                                                                                    \
            for (int64_t j = 1; j < n && best == best; j++) {                                                                  \
                const real x = xs[j * stride + i];                                                                             \
                if ((beats) || x != x) best = x, at = j;                                                                       \
            }                                                                                                                  \
            y[i] = at;                                                                                                         \
        }                                                                                                                      \
    }

TG_ARGREDUCE_OPS(TG_DEFINE_ARGREDUCE)

static void FN(reduce_divide)(int64_t n, void *y, double divisor) {
    for (int64_t i = 0; i < n; i++) ((real *)y)[i] /= (real)divisor;
}

#define TG_REDUCE_ROWS(name, ...) FN(name##_rows),
#define TG_REDUCE_COLUMNS(name, ...) FN(name##_columns),
#define TG_ARGREDUCE_STRIDED(name, ...) FN(name##_strided),
static const tg_reduce_kernels FN(reduce_kernels) = {
    {TG_REDUCE_OPS(TG_REDUCE_ROWS)}, {TG_REDUCE_OPS(TG_REDUCE_COLUMNS)}, {TG_ARGREDUCE_OPS(TG_ARGREDUCE_STRIDED)}, FN(reduce_divide)};

#undef TG_REDUCE_ROWS
#undef TG_REDUCE_COLUMNS
#undef TG_ARGREDUCE_STRIDED
#undef TG_DEFINE_REDUCE
#undef TG_DEFINE_ARGREDUCE
