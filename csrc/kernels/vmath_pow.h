/* vmath_pow.h: pow; part of vmath.h, which has the conventions. The logarithm is carried in two parts, high + low: an exponent as
 * large as the range allows multiplies its error by up to 1000, so it must be better than the type by 10 bits and more.
 */

/* a + b exactly as the rounded sum and the rest, for |a| >= |b| or a = 0 (Dekker 1971). */
TG_INLINE vec FN(fast_two_sum)(vec a, vec b, vec *rest) {
    const vec sum = a + b;
    *rest = b - (sum - a);
    return sum;
}

#if !TG_TABLES
/* log(x) for 0 < x < inf as the returned part and *low: with s = (m - 1) / (m + 1), 2 s + 2/3 s^3 in two parts each, and from s^5 on
 * in one, which is 2^-12 of the whole. */
TG_INLINE vec FN(log_two_parts)(vec x, vec *low) {
#if TG_BITS == 32
    static const real c[] = {0.399999999f, 0.2857153182f, 0.2220476209f, 0.1912045481f};
#else
    static const real c[] = {0.4,
                             0.28571428571428564,
                             0.2222222222222843,
                             0.18181818179656925,
                             0.15384615761170173,
                             0.13333296534432942,
                             0.11766813121034213,
                             0.10456327269484514,
                             0.107624244195648};
#endif
    const vec third_high = v_set(TG_REAL_PICK(0x1.555556p-1, 0x1.5555555555555p-1)); /* 2/3 */
    const vec third_low = v_set(TG_REAL_PICK(-0x1.555556p-26, 0x1.5555555555555p-55));
    vec k, rest, s2_low, s3_low, c_low, e1, e2;
    const vec m = FN(log_parts)(x, &k), f = m - v_set(1);
    const vec g = m + v_set(1), g_low = m - (g - v_set(1)), inverse = v_set(1) / g;
    vec s = f * inverse;
    V_OPAQUE(s);
    const vec product = FN(two_product)(s, g, &rest);
    const vec s_low = (((f - product) - rest) - s * g_low) * inverse;
    const vec s2 = FN(two_product)(s, s, &s2_low);
    s2_low += v_set(2) * s * s_low;
    const vec s3 = FN(two_product)(s2, s, &s3_low);
    s3_low += s2_low * s + s2 * s_low;
    const vec cube = FN(two_product)(third_high, s3, &c_low);
    c_low += third_high * s3_low + third_low * s3;
    const vec sum = FN(fast_two_sum)(k * v_set(LN2_HIGH), v_set(2) * s, &e1);
    const vec high = FN(fast_two_sum)(sum, cube, &e2);
    const vec rests = (e1 + e2) + ((v_set(2) * s_low + c_low) + (k * v_set(LN2_LOW) + s3 * s2 * v_polynomial(s2, c)));
    return FN(fast_two_sum)(high, rests, low);
}
#else
/* The same by tables, as v_log: k ln 2 + log(1 / c) is exact in its first part, and so is r + r_low = c m - 1. */
TG_INLINE vec FN(log_two_parts)(vec x, vec *low) {
    static const real inverses[2 * LANES] = {
        1.0e+00f,       9.5522386e-01f, 9.2753625e-01f, 9.0140843e-01f, 8.767123e-01f,  8.5333335e-01f, 8.3116883e-01f,
        8.101266e-01f,  7.9012346e-01f, 7.710843e-01f,  7.529412e-01f,  7.356322e-01f,  7.1910113e-01f, 7.032967e-01f,
        6.8817204e-01f, 6.7368424e-01f, 1.3195876e+00f, 1.2929293e+00f, 1.2673267e+00f, 1.2427185e+00f, 1.2190477e+00f,
        1.1962616e+00f, 1.1743119e+00f, 1.1531532e+00f, 1.1327434e+00f, 1.1130434e+00f, 1.0940171e+00f, 1.0756303e+00f,
        1.0578512e+00f, 1.0406504e+00f, 1.024e+00f,     1.0e+00f};
    static const real logs[2 * LANES] = {
        0.0e+00f,        4.5806885e-02f,  7.522583e-02f,   1.0379028e-01f,  1.3157654e-01f,  1.5859985e-01f,
        1.8492126e-01f,  2.1057129e-01f,  2.3556519e-01f,  2.59964e-01f,    2.837677e-01f,   3.070221e-01f,
        3.297577e-01f,   3.519745e-01f,   3.7371826e-01f,  3.94989e-01f,    -2.7731323e-01f, -2.5691223e-01f,
        -2.3690796e-01f, -2.1730042e-01f, -1.9807434e-01f, -1.7919922e-01f, -1.6067505e-01f, -1.4250183e-01f,
        -1.2464905e-01f, -1.0710144e-01f, -8.985901e-02f,  -7.2906494e-02f, -5.6243896e-02f, -3.98407e-02f,
        -2.3712158e-02f, 0.0e+00f};
    static const real logs_low[2 * LANES] = {
        0.0e+00f,        2.6745488e-06f,  -2.427467e-06f,  6.529105e-06f,   -1.7284664e-07f, 5.1524466e-06f,
        1.074777e-06f,   -6.545101e-06f,  8.783153e-07f,   -6.4275678e-06f, 4.5337757e-07f,  2.9442936e-06f,
        -4.4143017e-06f, 1.9107067e-06f,  -1.8509938e-06f, 4.7517283e-06f,  -6.0222605e-06f, 1.8185916e-06f,
        -1.7722615e-06f, -8.6996414e-07f, 4.388874e-06f,   -2.1790427e-06f, -7.2900216e-06f, 1.744233e-06f,
        6.6063694e-06f,  3.3505082e-06f,  2.630307e-06f,   -3.278902e-07f,  4.220071e-06f,   -5.173052e-06f,
        -4.4159115e-06f, 0.0e+00f};
    static const real c[] = {3.3333334e-01f, -2.5e-01f, 2.0000145e-01f, -1.6668345e-01f, 1.3824382e-01f};
    vec r_low, r2_low, e1, e2;
    const vec m = (vec)TG_MM(getmant)((TG_MM_VEC)x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
    const vec k = (vec)TG_MM(getexp)((TG_MM_VEC)x) - (vec)TG_MM(getexp)((TG_MM_VEC)m);
    const ivec index = (ivec)((uvec)m >> (MANTISSA_BITS - 5));
    const vec r = FN(two_product)(m, FN(lookup)(inverses, index), &r_low) - v_set(1);
    const vec r2 = FN(two_product)(r, r, &r2_low);
    const vec sum = FN(fast_two_sum)(k * v_set(LN2_HIGH) + FN(lookup)(logs, index), r, &e1);
    const vec high = FN(fast_two_sum)(sum, v_set(-0.5) * r2, &e2);
    const vec small = (FN(lookup)(logs_low, index) + k * v_set(LN2_LOW)) + ((r_low - r * r_low) - v_set(0.5) * r2_low);
    return FN(fast_two_sum)(high, (e1 + e2) + (small + r * r2 * v_polynomial(r, c)), low);
}
#endif

/* exp(b log x) for 0 < x < inf and finite b */
TG_INLINE vec FN(pow_inside)(vec x, vec b) {
    vec low, rest;
    const vec high = FN(log_two_parts)(x, &low), limit = v_set(TG_REAL_PICK(110, 760));
    const vec product = FN(two_product)(b, high, &rest), t = v_clamp(product, -limit, limit);
    rest = v_select(product == t, rest + b * low, v_set(0));
    const vec k = (t * v_set(0x1.71547652b82fep+0) + v_set(INTEGER_MAGIC)) - v_set(INTEGER_MAGIC);
    const vec r = ((t - k * v_set(LN2_HIGH)) - k * v_set(LN2_LOW)) + rest;
    return FN(scale_by_power)(v_set(1) + FN(expm1_core)(r), k);
}

/* Zeros, infinities, NaN and negative a as C's Annex F has them; noinline, because most vectors have none. */
static __attribute__((noinline)) vec FN(pow_anywhere)(vec a, vec b) {
    const vec one = v_set(1), zero = v_set(0), infinity = v_set(INFINITY), x = v_abs(a);
    const ivec inside = (x > zero) & (x < infinity) & (v_abs(b) < infinity);
    vec base = v_select(inside, x, one), exponent = v_select(inside, b, zero);
    V_OPAQUE(base);
    V_OPAQUE(exponent);
    /* the sign of the exponent times the logarithm decides between zero and infinity; NaN stays */
    const vec limit = b * v_select(x == zero, -infinity, v_select(x < infinity, x - one, x));
    const vec outside = v_select(limit > zero, infinity, v_select(limit < zero, zero, limit));
    vec y = v_select(inside, FN(pow_inside)(base, exponent), outside);
    const ivec whole = b == v_trunc(b), odd = whole & (b * v_set(0.5) != v_trunc(b * v_set(0.5)));
    const ivec negative = (ivec)a < 0; /* -0 too */
    y = v_select(negative & odd, -y, y);
    y = v_select((a < zero) & (x < infinity) & ~whole, v_set(NAN), y);
    return v_select((a == one) | (b == zero) | ((x == one) & (v_abs(b) == infinity)), one, y);
}

/* exp(b log a) */
TG_INLINE vec v_pow(vec a, vec b) {
    const vec zero_or_nan = (a - a) + (b - b);
    return v_all_above(a, zero_or_nan) ? FN(pow_inside)(a, b) : FN(pow_anywhere)(a, b);
}
