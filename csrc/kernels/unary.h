/* unary.h: y = f(x) and its gradient, element by element; included once per element type. */

/* The function that only the op table uses. */
#define v_power_grad FN(v_power_grad)

/* gy p x^(p-1); zero where p is zero, whatever x is */
TG_INLINE vec v_power_grad(vec gy, vec x, vec p) {
    return v_select(p == v_set(0), v_set(0), gy * (p * v_pow(x, p - v_set(1))));
}

#define TG_DEFINE_UNARY(name, cost, forward, saved, gradient)                                                         \
    TG_INLINE vec FN(name##_value)(vec x, vec p0, vec p1) {                                                           \
        (void)x, (void)p0, (void)p1;                                                                                  \
        return (forward);                                                                                             \
    }                                                                                                                 \
    static void FN(name##_fwd)(int64_t n, const void *xp, void *yp, double p0_, double p1_) {                         \
        const real *x = xp;                                                                                           \
        real *y = yp;                                                                                                 \
        const vec p0 = v_set(p0_), p1 = v_set(p1_);                                                                   \
        TG_FOR_VECTORS(cost, n, v_store_upto(y + i, FN(name##_value)(v_load_upto(x + i, count), p0, p1), count));     \
    }                                                                                                                 \
    TG_INLINE vec FN(name##_derive)(vec gy, vec TG_SAVED_##saved, vec p0, vec p1) {                                   \
        (void)gy, (void)TG_SAVED_##saved, (void)p0, (void)p1;                                                         \
        return (gradient);                                                                                            \
    }                                                                                                                 \
    static void FN(name##_bwd)(int64_t n, const void *gp, const void *sp, void *op, double p0_, double p1_) {         \
        const real *gy = gp, *s = sp;                                                                                 \
        real *gx = op;                                                                                                \
        const vec p0 = v_set(p0_), p1 = v_set(p1_);                                                                   \
        TG_FOR_VECTORS(cost, n,                                                                                       \
                       v_store_upto(gx + i,                                                                           \
                                    FN(name##_derive)(v_load_upto(gy + i, count), v_load_upto(s + i, count), p0, p1), \
                                    count));                                                                          \
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
#undef v_power_grad
