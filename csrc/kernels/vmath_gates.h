/* vmath_gates.h: sigmoid, silu and gelu with their slopes; part of vmath.h, which has the conventions.
 *
 * Their tails are products of a tiny exponential with a factor. The exponential takes its argument in two parts, because an error
 * there grows with the argument, and its power of two is multiplied in last, so that a subnormal result is rounded once.
 */

/* a + b = sum + *low exactly (Knuth 1969) */
TG_INLINE vec FN(two_sum)(vec a, vec b, vec *low) {
    const vec sum = a + b, shadow = sum - a;
    *low = (a - (sum - shadow)) + (b - shadow);
    return sum;
}

/* a b = product + *low exactly, where neither overflows; without the fused instruction by halves of the mantissa (Dekker 1971) */
TG_INLINE vec FN(two_product)(vec a, vec b, vec *low) {
    vec product = a * b;
    V_OPAQUE(product); /* else it may be fused into a later sum, which would then not be the one that *low belongs to */
#if TG_HAS_FMA
    *low = v_fma(a, b, -product);
#else
    const ivec upper = (ivec){0} - ((integer)1 << (TG_BITS == 32 ? 12 : 27));
    const vec ah = (vec)((ivec)a & upper), al = a - ah, bh = (vec)((ivec)b & upper), bl = b - bh;
    *low = ((ah * bh - product) + (ah * bl + al * bh)) + al * bl;
#endif
    return product;
}

/* exp(x + low) = 2^k (1 + e): returns e and k. p (1 + e) is best summed as p + p e, as 1 + e would round. */
TG_INLINE vec FN(exp_of_sum)(vec x, vec low, vec *k) {
    const vec magic = v_set(INTEGER_MAGIC);
    *k = (x * v_set(0x1.71547652b82fep+0) + magic) - magic;
    return FN(expm1_core)((x - *k * v_set(LN2_HIGH)) - (*k * v_set(LN2_LOW) - low));
}

/* exp(-limit) times the limit is zero; 1 + exp(-top) rounds to 1, even with a factor that grows as x^3 */
#define GATE_LIMIT TG_REAL_PICK(120, 770)
#define GATE_TOP TG_REAL_PICK(25, 50)

/* sigmoid(x + low) = 2^-k / (p + 1 + e), where exp(-x - low) = 2^k (1 + e) and p = 2^-k: one division, nothing overflows, and the
 * power of two, multiplied in last, rounds a subnormal result once. */
typedef struct {
    vec e, inverse_k, divisor;
} FN(gate);

TG_INLINE FN(gate) FN(gate_of)(vec x, vec low) {
    FN(gate) g;
    const vec magic = v_set(INTEGER_MAGIC);
    x = v_clamp(x, v_set(-GATE_LIMIT), v_set(GATE_TOP));
    g.inverse_k = (x * v_set(0x1.71547652b82fep+0) + magic) - magic;
    g.e = FN(expm1_core)((g.inverse_k * v_set(LN2_HIGH) - x) + (g.inverse_k * v_set(LN2_LOW) - low));
    const vec p = FN(scale_by_power)(v_set(1), g.inverse_k), one = v_set(1);
    g.divisor =
        v_at_least(p, one) + (v_at_most(p, one) + g.e); /* the larger of the two last: one rounding that matters */
    return g;
}

/* sigmoid(x + low) times factor, which is at least -GATE_LIMIT and has the sign of x */
TG_INLINE vec FN(gated)(vec factor, vec x, vec low) {
    const FN(gate) g = FN(gate_of)(x, low);
    return FN(scale_by_power)(factor / g.divisor, g.inverse_k);
}

/* 1 / (1 + exp(-x)) */
TG_INLINE vec v_sigmoid(vec x) { return FN(gated)(v_set(1), x, v_set(0)); }

/* x sigmoid(x); -0 at minus infinity */
TG_INLINE vec v_silu(vec x) { return FN(gated)(v_at_least(x, v_set(-GATE_LIMIT)), x, v_set(0)); }

/* s (1 + factor (1 - s)), s = sigmoid(x + low), with 1 - s = (1 + e) / divisor */
TG_INLINE vec FN(gate_slope)(vec x, vec low, vec factor) {
    const FN(gate) g = FN(gate_of)(x, low);
    const vec inverse = v_set(1) / g.divisor, other = inverse + g.e * inverse;
    return FN(scale_by_power)(inverse * (v_set(1) + factor * other), g.inverse_k);
}
TG_INLINE vec v_silu_slope(vec x) {
    return FN(gate_slope)(x, v_set(0), v_clamp(x, v_set(-GATE_LIMIT), v_set(GATE_TOP)));
}

/* 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016): returns 2u and low */
#define GELU_LIMIT TG_REAL_PICK(15.5, 40) /* gelu(-limit) is zero */
#define GELU_LINEAR TG_REAL_PICK(0x1.9884540000000p+0, 0x1.9884533d43651p+0)
#define GELU_LINEAR_REST TG_REAL_PICK(-0x1.857935ee5e06ap-25, -0x1.cbc0d30ebfd15p-54)
#define GELU_CUBIC TG_REAL_PICK(0x1.2444f20000000p-4, 0x1.2444f2a4d8b4bp-4)
#define GELU_CUBIC_REST TG_REAL_PICK(0x1.49b1695e937bcp-29, -0x1.6c843a29d1c70p-61)
TG_INLINE vec FN(gelu_argument)(vec x, vec *low) {
    vec square_low, cubic_low, sum_low, product_low;
    const vec square = FN(two_product)(x, x, &square_low);
    const vec cubic = FN(two_product)(square, v_set(GELU_CUBIC), &cubic_low);
    const vec sum = FN(two_sum)(v_set(GELU_LINEAR), cubic, &sum_low);
    sum_low +=
        cubic_low + (square_low * v_set(GELU_CUBIC) + (square * v_set(GELU_CUBIC_REST) + v_set(GELU_LINEAR_REST)));
    const vec product = FN(two_product)(x, sum, &product_low);
    *low = product_low + x * sum_low;
    return product;
}
TG_INLINE vec v_gelu_tanh(vec x) {
    vec low;
    const vec limit = v_set(GELU_LIMIT), argument = FN(gelu_argument)(v_clamp(x, -limit, limit), &low);
    return FN(gated)(v_at_least(x, -limit), argument, low);
}
TG_INLINE vec v_gelu_tanh_slope(vec x) {
    vec low;
    const vec limit = v_set(GELU_LIMIT), held = v_clamp(x, -limit, limit);
    const vec argument = FN(gelu_argument)(held, &low);
    const vec slope = v_set(GELU_LINEAR) + v_set(3 * GELU_CUBIC) * (held * held);
    return FN(gate_slope)(argument, low, held * slope);
}

/* exp(-a^2 / 2) = 2^k (1 + e): returns e and k */
TG_INLINE vec FN(exp_half_square)(vec a, vec *k) {
    vec low;
    const vec square = FN(two_product)(a, v_set(-0.5) * a, &low);
    return FN(exp_of_sum)(square, low, k);
}

/* Mills' ratio, exp(a^2 / 2) Phi(-a), as the returned part and *low. Without tables it is S(v) / (a + 4), v = a / (a + 4), S a
 * polynomial about a point where its terms cancel nowhere in v's range, its last step in two parts. */
TG_INLINE vec FN(mills)(vec a, vec *low) {
#if TG_TABLES
    *low = v_set(0);
    return FN(mills_ratio)(a);
#else
#if TG_BITS == 32
    static const real c[] = {5.2830356e-01f, -6.6656476e-01f, 7.453108e-01f,  -7.1796983e-01f,  5.684087e-01f,
                             -3.082822e-01f, 1.1794799e-01f,  1.4188375e-01f, -1.04064256e-01f, -6.662262e-02f};
#else
    static const real c[] = {0.5283035372354326,    -0.6665643853131282,  0.7453154260278605,    -0.7180914114448645,
                             0.5661299885337185,    -0.32287290264169205, 0.07372238845167552,   0.0832670302374754,
                             -0.10075481318722941,  0.021744926183758177, 0.050869074356357936,  -0.04441603501181685,
                             -0.016155116074045586, 0.04315069058572115,  -0.003465038353036442, -0.029117560901425376,
                             0.058186706740323994,  0.12562724716523638,  0.07080349197080574,   -0.02005132834240177,
                             -0.045954820911699654, -0.02306833547673385, -0.004190371487688227};
#endif
    const real first_rest = TG_REAL_PICK(-2.6359385785212908e-08, 3.5840427978406305e-18);
    vec p_low, q_low;
    const vec sum = a + v_set(4), lost = a - (sum - v_set(4)), quotient = v_set(1) / sum;
    const vec product = FN(two_product)(sum, quotient, &q_low);
    const vec rest = ((v_set(1) - product) - q_low) - lost * quotient; /* 1 / (a + 4) = quotient (1 + rest) */
    const vec t = v_set(0.25) - v_set(4) * quotient;                   /* exact; M' = a M - 1 / sqrt(2 pi) below */
    const vec p = FN(two_product)(t, FN(polynomial)(t, c + 1, (int)(sizeof(c) / sizeof(c)[0]) - 1), &p_low);
    const vec s = v_set(c[0]) + p, s_low = (p - (s - v_set(c[0]))) + (p_low + v_set(first_rest));
    const vec ratio = FN(two_product)(s, quotient, low);
    *low += s_low * quotient + rest * sum * (v_set(0.3989422804014327) - a * ratio);
    return ratio;
#endif
}

/* x Phi(x): for negative x from the tail, else x (1 - Phi(-x)); -0 at minus infinity */
TG_INLINE vec v_gelu(vec x) {
    vec k, mills_low, low;
    const vec a = v_at_most(v_abs(x), v_set(GELU_LIMIT)), e = FN(exp_half_square)(a, &k);
    const vec mills = FN(mills)(a, &mills_low), ratio = FN(two_product)(a, mills, &low);
    const vec tail = ratio + (ratio * e + (low + a * mills_low));
    const vec y = v_copysign(v_at_least(x, v_set(0)) - FN(scale_by_power)(tail, k), x);
#if !TG_TABLES
#if TG_BITS == 32
    static const real c[] = {3.989423e-01f, -6.648995e-02f, 9.964856e-03f, -1.131179e-03f};
#else
    static const real c[] = {0.3989422804014327,     -0.06649038006690544,   0.0099735570100356,
                             -0.0011873282154715498, 0.00011543468743284483, -9.444654138442577e-06,
                             6.659549200513156e-07,  -4.116933068457908e-08, 2.150040764247082e-09};
#endif
    return v_select(a < v_set(0.5), x * (v_set(0.5) + x * v_polynomial(x * x, c)), y);
#else
    return y;
#endif
}

/* Phi(x) + x phi(x) */
TG_INLINE vec v_gelu_slope(vec x) {
    vec k, low;
    const vec a = v_at_most(v_abs(x), v_set(GELU_LIMIT)), e = FN(exp_half_square)(a, &k);
    const vec mills = FN(mills)(a, &low), factor = (mills - a * v_set(0.3989422804014327)) + low;
    const vec tail = FN(scale_by_power)(factor + factor * e, k);
    const vec y = v_select(x < v_set(0), tail, v_set(1) - tail);
#if !TG_TABLES
#if TG_BITS == 32
    static const real c[] = {7.978845e-01f, -2.659572e-01f, 5.975497e-02f, -8.940252e-03f};
#else
    static const real c[] = {0.7978845608028654,    -0.26596152026762176,   0.059841342060210585,
                             -0.009498625723666426, 0.0011543468725131296,  -0.00011333583289127479,
                             9.32328356134322e-06,  -6.584844112498224e-07, 3.8461003175262645e-08};
#endif
    return v_select(a < v_set(0.5), v_set(0.5) + x * v_polynomial(x * x, c), y);
#else
    return y;
#endif
}

/* log(1 + z) / z for 0 <= z <= 1, as the returned part and *low */
TG_INLINE vec FN(log1p_ratio)(vec z, vec *low) {
#if TG_TABLES
    *low = v_set(0);
    return FN(log1p_ratio_pieces)(z);
#else
    /* about a center where the function happens to be close to a number of the type */
#if TG_BITS == 32
    const real center = 0.5095089077949524f;
    static const real c[] = {8.081986e-01f,   -2.8602338e-01f, 1.3069825e-01f,  -6.631392e-02f, 3.5663895e-02f,
                             -1.9904036e-02f, 1.1197302e-02f,  -6.4562117e-03f, 4.862359e-03f,  -3.081826e-03f};
#else
    const real center = 0.4917361143208201;
    static const real c[] = {0.8133236657102924,      -0.2907327936588188,    0.13430298592451365,
                             -0.06891303589896533,    0.03747318050262742,    -0.021145663338338425,
                             0.01224359246767444,     -0.007225072387862967,  0.004326254528449429,
                             -0.002620634637517554,   0.0016024607206251047,  -0.0009875941420801955,
                             0.0006125803395947992,   -0.0003816253814929392, 0.0002395592807430537,
                             -0.00015372145352693923, 9.582507558060141e-05,  -5.076329324812771e-05,
                             3.50563027917355e-05,    -4.131518523459549e-05, 2.392382035428143e-05};
#endif
    const vec t = z - center, p = t * FN(polynomial)(t, c + 1, (int)(sizeof(c) / sizeof(c)[0]) - 1), sum = c[0] + p;
    *low = p - (sum - c[0]);
    return sum;
#endif
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + z), z = exp(-|x|) */
TG_INLINE vec v_softplus(vec x) {
    vec k, low;
    const vec a = v_at_most(v_abs(x), v_set(GATE_LIMIT)), e = FN(exp_of_sum)(-a, v_set(0), &k);
    const vec ratio = FN(log1p_ratio)(FN(scale_by_power)(v_set(1) + e, k), &low);
    return v_at_least(x, v_set(0)) + FN(scale_by_power)(ratio + (ratio * e + low), k);
}

/* 2 / sqrt(pi) exp(-x^2) */
TG_INLINE vec v_erf_slope(vec x) {
    vec low, k;
    const vec a = v_at_most(v_abs(x), v_set(TG_REAL_PICK(11, 28))), square = FN(two_product)(-a, a, &low);
    const vec e = FN(exp_of_sum)(square, low, &k), scale = v_set(1.1283791670955126);
    return FN(scale_by_power)(scale + scale * e, k);
}

#undef GATE_LIMIT
#undef GATE_TOP
#undef GELU_LIMIT
#undef GELU_LINEAR
#undef GELU_LINEAR_REST
#undef GELU_CUBIC
#undef GELU_CUBIC_REST
