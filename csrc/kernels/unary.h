/* unary.h: y = f(x) and its gradient, element by element; included once per element type. */

#define TG_DEFINE_UNARY(name, forward, saved, gradient)                                                                        \
    static void FN(name##_fwd)(int64_t n, const void *xp, void *yp, double p0_, double p1_) {                                  \
        const real *xs = xp;                                                                                                   \
        real *ys = yp;                                                                                                         \
        const vec p0 = v_set(p0_), p1 = v_set(p1_);                                                                            \
        (void)p0, (void)p1;                                                                                                    \
        int64_t i = 0;                                                                                                         \
        for (; i + LANES <= n; i += LANES) {                                                                                   \
            const vec x = v_load(xs + i);                                                                                      \
            v_store(ys + i, (forward));                                                                                        \
        }                                                                                                                      \
        if (i < n) {                                                                                                           \
            const vec x = v_load_part(xs + i, n - i);                                                                          \
            v_store_part(ys + i, (forward), n - i);                                                                            \
        }                                                                                                                      \
    }                                                                                                                          \
    TG_INLINE vec FN(name##_derive)(vec gy, vec TG_SAVED_##saved, vec p0, vec p1) {                                            \
        (void)TG_SAVED_##saved, (void)p0, (void)p1;                                                                            \
        return (gradient);                                                                                                     \
    }                                                                                                                          \
    static void FN(name##_bwd)(int64_t n, const void *gp, const void *sp, void *op, double p0_, double p1_) {                  \
        const real *gs = gp, *ss = sp;                                                                                         \
        real *os = op;                                                                                                         \
        const vec p0 = v_set(p0_), p1 = v_set(p1_);                                                                            \
        int64_t i = 0;                                                                                                         \
        for (; i + LANES <= n; i += LANES)                                                                                     \
            v_store(os + i, FN(name##_derive)(v_load(gs + i), v_load(ss + i), p0, p1));                                        \
        if (i < n)                                                                                                             \
            v_store_part(os + i, FN(name##_derive)(v_load_part(gs + i, n - i), v_load_part(ss + i, n - i), p0, p1), n - i);    \
    }
#define TG_SAVED_X x
#define TG_SAVED_Y y

TG_UNARY_OPS(TG_DEFINE_UNARY)

#define TG_UNARY_FORWARD(name, ...) FN(name##_fwd),
#define TG_UNARY_GRADIENT(name, ...) FN(name##_bwd),
static const tg_unary_kernels FN(unary_kernels) = {{TG_UNARY_OPS(TG_UNARY_FORWARD)}, {TG_UNARY_OPS(TG_UNARY_GRADIENT)}};

#undef TG_UNARY_FORWARD
#undef TG_UNARY_GRADIENT
#undef TG_DEFINE_UNARY
#undef TG_SAVED_X
#undef TG_SAVED_Y
