/* vmath_special.h: inverse hyperbolic, gamma and error functions; included once per element type.
 *
 * Lane by lane through double precision: the C library's functions where it has them (below 1 ulp), those of special.h else.
 * float32 results are the double ones rounded. A lane's result depends on nothing but its own input.
 */
static __attribute__((noinline)) vec FN(by_lane)(vec x, double (*f)(double)) {
    for (int i = 0; i < (int)LANES; i++) x[i] = (real)f((double)x[i]);
    return x;
}
static __attribute__((noinline)) vec FN(by_lanes)(vec a, vec b, double (*f)(double, double)) {
    for (int i = 0; i < (int)LANES; i++) a[i] = (real)f((double)a[i], (double)b[i]);
    return a;
}
#define v_call FN(by_lane)
#define v_call2 FN(by_lanes)
#define v_log1mexp FN(v_log1mexp)
#define v_logaddexp FN(v_logaddexp)

/* log(1 - exp(-x)) (Maechler 2012): each form where it does not cancel */
TG_INLINE vec v_log1mexp(vec x) {
    return v_select(x < v_set(0.6931471805599453), v_log(-v_expm1(-x)), v_log1p(-v_exp(-x)));
}

/* equal infinities have no difference */
TG_INLINE vec v_logaddexp(vec a, vec b) {
    const vec distance = v_select(a == b, v_set(0), v_abs(a - b));
    return v_max(a, b) + v_log1p(v_exp(-distance));
}
