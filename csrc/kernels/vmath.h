/* vmath.h: exp, log and their kind on vectors; included once per element type. */

#define TG_LANEWISE(name, function)                                                                                            \
    static __attribute__((noinline, unused)) vec name(vec x) {                                                                 \
        for (int i = 0; i < (int)LANES; i++) x[i] = (real)function((double)x[i]);                                              \
        return x;                                                                                                              \
    }
TG_INLINE double FN(sigmoid_scalar)(double x) { return 1 / (1 + exp(-x)); }
TG_LANEWISE(v_exp, exp)
TG_LANEWISE(v_exp2, exp2)
TG_LANEWISE(v_expm1, expm1)
TG_LANEWISE(v_log, log)
TG_LANEWISE(v_log2, log2)
TG_LANEWISE(v_log10, log10)
TG_LANEWISE(v_log1p, log1p)
TG_LANEWISE(v_tanh, tanh)
TG_LANEWISE(v_sigmoid, FN(sigmoid_scalar))
TG_LANEWISE(v_erf, erf)
TG_LANEWISE(v_sin, sin)
TG_LANEWISE(v_cos, cos)
TG_LANEWISE(v_tan, tan)
static __attribute__((noinline, unused)) vec v_pow(vec a, vec b) {
    for (int i = 0; i < (int)LANES; i++) a[i] = (real)pow((double)a[i], (double)b[i]);
    return a;
}
#undef TG_LANEWISE
