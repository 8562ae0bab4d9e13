/* unary.h: y = f(x) and its gradient, element by element; included once per element type. */

/* The functions that only the op table uses. */
#define v_sign FN(v_sign)
#define v_gelu FN(v_gelu)
#define v_gelu_slope FN(v_gelu_slope)
#define v_gelu_tanh FN(v_gelu_tanh)
#define v_gelu_tanh_slope FN(v_gelu_tanh_slope)
#define v_silu_slope FN(v_silu_slope)
#define v_power_grad FN(v_power_grad)

/* -1, 0, 1; NaN for NaN */
TG_INLINE vec v_sign(vec x) { return v_select(x > v_set(0), v_set(1), v_select(x < v_set(0), v_set(-1), x)); }

TG_INLINE vec v_gelu(vec x) { return v_set(0.5) * x * (v_set(1) + v_erf(x * v_set(0.7071067811865476))); }
/* Phi(x) + x phi(x) */
TG_INLINE vec v_gelu_slope(vec x) {
    const vec cdf = v_set(0.5) * (v_set(1) + v_erf(x * v_set(0.7071067811865476)));
    return cdf + x * v_set(0.3989422804014327) * v_exp(v_set(-0.5) * x * x);
}

/* 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016) */
TG_INLINE vec v_gelu_tanh(vec x) {
    return x * v_sigmoid(v_set(1.5957691216057308) * x * (v_set(1) + v_set(0.044715) * (x * x)));
}
TG_INLINE vec v_gelu_tanh_slope(vec x) {
    const vec x2 = x * x, s = v_sigmoid(v_set(1.5957691216057308) * x * (v_set(1) + v_set(0.044715) * x2));
    return s + x * s * (v_set(1) - s) * v_set(1.5957691216057308) * (v_set(1) + v_set(3 * 0.044715) * x2);
}

TG_INLINE vec v_silu_slope(vec x) {
    const vec s = v_sigmoid(x);
    return s * (v_set(1) + x * (v_set(1) - s));
}

/* gy p x^(p-1); zero where p is zero, whatever x is */
TG_INLINE vec v_power_grad(vec gy, vec x, vec p) {
    return v_select(p == v_set(0), v_set(0), gy * (p * v_pow(x, p - v_set(1))));
}

#define TG_DEFINE_UNARY(name, cost, forward, saved, gradient)                                                      \
    TG_INLINE vec FN(name##_value)(vec x, vec p0, vec p1) {                                                        \
        (void)x, (void)p0, (void)p1;                                                                               \
        return (forward);                                                                                          \
    }                                                                                                              \
    static void FN(name##_fwd)(int64_t n, const void *xp, void *yp, double p0_, double p1_) {                      \
        const real *x = xp;                                                                                        \
        real *y = yp;                                                                                              \
        const vec p0 = v_set(p0_), p1 = v_set(p1_);                                                                \
        TG_FOR_VECTORS(cost, n, v_store_upto(y + i, FN(name##_value)(v_load_upto(x + i, count), p0, p1), count)); \
    }                                                                                                              \
    TG_INLINE vec FN(name##_derive)(vec gy, vec TG_SAVED_##saved, vec p0, vec p1) {                                \
        (void)gy, (void)TG_SAVED_##saved, (void)p0, (void)p1;                                                      \
        return (gradient);                                                                                         \
    }                                                                                                              \
    static void FN(name##_bwd)(int64_t n, const void *gp, const void *sp, void *op, double p0_, double p1_) {      \
        const real *gy = gp, *s = sp;                                                                              \
        real *gx = op;                                                                                             \
        const vec p0 = v_set(p0_), p1 = v_set(p1_);                                                                \
        TG_FOR_VECTORS(cost, n, v_store_upto(gx + i, FN(name##_derive)(v_load_upto(gy + i, count), v_load_upto(s + i, count), p0, p1), count)); \
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
#undef v_sign
#undef v_gelu
#undef v_gelu_slope
#undef v_gelu_tanh
#undef v_gelu_tanh_slope
#undef v_silu_slope
#undef v_power_grad
