/* binary.h: y = f(a, b) and y = condition ? a : b, element by element; included once per element type. */

#define TG_DEFINE_BINARY(name, cost, expression)                                                                  \
    TG_INLINE vec FN(name##_of)(vec a, vec b) { return (expression); }                                            \
    static void FN(name)(int64_t n, const void *ap, int64_t a_step, const void *bp, int64_t b_step, void *yp) {   \
        const real *as = ap, *bs = bp;                                                                            \
        real *y = yp;                                                                                             \
        const vec a0 = v_set((double)*as), b0 = v_set((double)*bs);                                               \
        for (int64_t i = 0; i < n; i += LANES) {                                                                  \
            const vec a = a_step ? v_load_upto(as + i, n - i) : a0, b = b_step ? v_load_upto(bs + i, n - i) : b0; \
            v_store_upto(y + i, FN(name##_of)(a, b), n - i);                                                      \
        }                                                                                                         \
    }
TG_BINARY_OPS(TG_DEFINE_BINARY)

static void FN(where)(int64_t n, const uint8_t *condition, const void *ap, int64_t a_step, const void *bp,
                      int64_t b_step, void *yp) {
    const real *a = ap, *b = bp;
    real *y = yp;
    for (int64_t i = 0; i < n; i++) y[i] = condition[i] ? a[i * a_step] : b[i * b_step];
}

#define TG_BINARY_FUNCTION(name, ...) FN(name),
static const tg_binary_kernels FN(binary_kernels) = {{TG_BINARY_OPS(TG_BINARY_FUNCTION)}, FN(where)};

#undef TG_BINARY_FUNCTION
#undef TG_DEFINE_BINARY
