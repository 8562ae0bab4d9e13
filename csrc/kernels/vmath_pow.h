/* vmath_pow.h: pow; part of vmath.h, which has the conventions. The logarithm is carried in two parts, high + low: an exponent as
 * large as the range allows multiplies its error by up to 1000, so it must be better than the type by 10 bits and more.
 */

/* a + b exactly as the rounded sum and the rest, for |a| >= |b| or a = 0 (Dekker 1971). */
TG_INLINE vec FN(fast_two_sum)(vec a, vec b, vec *rest) {
    const vec sum = a + b;
    *rest = b - (sum - a);
    return sum;
}

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

/* exp(b log a); zeros, infinities, NaN and negative a as C's Annex F has them. */
TG_INLINE vec v_pow(vec a, vec b) {
    vec low, rest, k;
    const vec one = v_set(1), zero = v_set(0), infinity = v_set(INFINITY), x = v_abs(a);
    const ivec plain = (x > zero) & (x < infinity) & (v_abs(b) < infinity);
    /* a surrogate with the logarithm's sign where the result is 0, 1, infinite or NaN anyway */
    const vec edge = v_select(x == zero, -infinity, v_select(x < infinity, x - one, x));
    const vec high = FN(log_two_parts)(v_select(plain, x, one), &low);
    const vec limit = v_set(TG_REAL_PICK(110, 760));
    const vec product = FN(two_product)(b, v_select(plain, high, edge), &rest);
    const vec t = v_clamp(product, -limit, limit);
    rest = v_select(plain & (product == t), rest + b * low, zero);
    k = (t * v_set(0x1.71547652b82fep+0) + v_set(INTEGER_MAGIC)) - v_set(INTEGER_MAGIC);
    const vec r = ((t - k * v_set(LN2_HIGH)) - k * v_set(LN2_LOW)) + rest;
    vec y = FN(scale_by_power)(one + FN(expm1_core)(r), k);

    const ivec whole = b == v_trunc(b), odd = whole & (b * v_set(0.5) != v_trunc(b * v_set(0.5)));
    const ivec negative = (ivec)a < 0; /* -0 too */
    y = v_select(negative & odd, -y, y);
    y = v_select((a < zero) & (x < infinity) & ~whole, v_set(NAN), y);
    return v_select((a == one) | (b == zero) | ((x == one) & (v_abs(b) == infinity)), one, y);
}
