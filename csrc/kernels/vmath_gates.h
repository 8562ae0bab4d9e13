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

/* exp(x + low) = 2^k (m + rest), rest being what the rounding of m lost: returns m, k and rest. */
TG_INLINE vec FN(exp_split)(vec x, vec low, vec *k, vec *rest) {
    const vec magic = v_set(INTEGER_MAGIC);
    *k = (x * v_set(0x1.71547652b82fep+0) + magic) - magic;
    const vec high = x - *k * v_set(LN2_HIGH), subtracted = *k * v_set(LN2_LOW) - low, r = high - subtracted;
    const vec tail = FN(expm1_tail)(r) + ((high - r) - subtracted), m = v_set(1) + (r + tail);
    *rest = ((v_set(1) - m) + r) + tail;
    return m;
}

#define GATE_LIMIT TG_REAL_PICK(120, 770) /* exp(-limit) times the limit is zero */

/* The parts of sigmoid(x + low): with z = exp(-|x + low|) = 2^k m, the reciprocal of 1 + z. */
typedef struct {
    ivec negative;
    vec m, k, z, reciprocal;
} FN(gate);

TG_INLINE FN(gate) FN(gate_of)(vec x, vec low) {
    FN(gate) g;
    vec rest;
    g.negative = x < v_set(0);
    const vec a = v_clamp(v_abs(x), v_set(0), v_set(GATE_LIMIT));
    g.m = FN(exp_split)(-a, v_select(g.negative, low, -low), &g.k, &rest);
    g.z = FN(scale_by_power)(g.m, g.k);
    const vec sum = v_set(1) + g.z, lost = g.z - (sum - v_set(1));
    g.reciprocal = v_set(1) / sum;
    /* 1 - z/2 is 1 / (1 + z), near enough for a correction, and so is 2 - m for 1 / m */
    g.reciprocal = g.reciprocal - g.reciprocal * (lost * (v_set(1) - v_set(0.5) * g.z));
    g.m = g.m + rest;
    return g;
}

/* sigmoid(x + low) times factor, which is at least -GATE_LIMIT and has the sign of x. The product is kept in two parts over the
 * division, whose divisor's rounding is made good after it. */
TG_INLINE vec FN(gated)(vec factor, vec x, vec low) {
    vec k, rest, product_low;
    const ivec negative = x < v_set(0);
    const vec a = v_clamp(v_abs(x), v_set(0), v_set(GATE_LIMIT));
    const vec m = FN(exp_split)(-a, v_select(negative, low, -low), &k, &rest), z = FN(scale_by_power)(m, k);
    const vec sum = v_set(1) + z, lost = z - (sum - v_set(1));
    const vec product = FN(two_product)(factor, v_select(negative, m, v_set(1)), &product_low), q = product / sum;
    const vec inverse = v_set(1) - v_set(0.5) * z;                      /* 1 / (1 + z), near enough for a correction */
    const vec held = v_clamp(q, v_set(-GATE_LIMIT), v_set(GATE_LIMIT)); /* so that infinity stays what it is */
    const vec y = q + (v_select(negative, product_low + factor * rest, v_set(0)) - held * lost) * inverse;
    return v_copysign(FN(scale_by_power)(y, v_select(negative, k, v_set(0))), factor);
}

/* 1 / (1 + exp(-x)), through exp(-|x|), which cannot overflow */
TG_INLINE vec v_sigmoid(vec x) {
    vec k, rest;
    const vec a = v_clamp(v_abs(x), v_set(0), v_set(GATE_LIMIT));
    const vec m = FN(exp_split)(-a, v_set(0), &k, &rest), z = FN(scale_by_power)(m, k);
    const vec sum = v_set(1) + z, q = v_select(x < v_set(0), z, v_set(1)) / sum;
    return q -
           q * (z - (sum - v_set(1))) * (v_set(1) - v_set(0.5) * z); /* the rounding of sum made good, as in gated */
}

/* x sigmoid(x); -0 at minus infinity */
TG_INLINE vec v_silu(vec x) { return FN(gated)(v_clamp(x, v_set(-GATE_LIMIT), v_set(INFINITY)), x, v_set(0)); }

/* s (1 + x (1 - s)), s = sigmoid(x), with 1 - s = sigmoid(-x) */
TG_INLINE vec FN(gate_slope)(vec x, vec low, vec factor) {
    const FN(gate) g = FN(gate_of)(x, low);
    const vec s = v_select(g.negative, g.m, v_set(1)) * g.reciprocal;
    const vec other = v_select(g.negative, v_set(1), g.z) * g.reciprocal;
    return FN(scale_by_power)(s * (v_set(1) + factor * other), v_select(g.negative, g.k, v_set(0)));
}
TG_INLINE vec v_silu_slope(vec x) {
    return FN(gate_slope)(x, v_set(0), v_clamp(x, v_set(-GATE_LIMIT), v_set(GATE_LIMIT)));
}

/* 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016): returns 2u and low */
#define GELU_LIMIT TG_REAL_PICK(16, 40) /* gelu(-limit) is zero */
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
    return FN(gated)(v_clamp(x, -limit, v_set(INFINITY)), argument, low);
}
TG_INLINE vec v_gelu_tanh_slope(vec x) {
    vec low;
    const vec limit = v_set(GELU_LIMIT), held = v_clamp(x, -limit, limit);
    const vec argument = FN(gelu_argument)(held, &low);
    const vec slope = v_set(GELU_LINEAR) + v_set(3 * GELU_CUBIC) * (held * held);
    return FN(gate_slope)(argument, low, held * slope);
}

/* exp(-a^2 / 2) = 2^k (m + rest) for 0 <= a <= GELU_LIMIT */
TG_INLINE vec FN(exp_half_square)(vec a, vec *k, vec *rest) {
    vec low;
    const vec square = FN(two_product)(a, a, &low);
    return FN(exp_split)(v_set(-0.5) * square, v_set(-0.5) * low, k, rest);
}

/* exp(a^2 / 2) Phi(-a) (Mills' ratio, scaled) is S(v) / (a + 4) with v = a / (a + 4), S a polynomial about a point where its
 * terms cancel nowhere in v's range. Returns S, v and what the roundings of v lost. */
TG_INLINE vec FN(mills)(vec a, vec *v, vec *lost) {
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
    vec sum_low, product_low;
    const vec sum = FN(two_sum)(a, v_set(4), &sum_low);
    *v = a / sum;
    const vec product = FN(two_product)(*v, sum, &product_low);
    const vec t = *v - v_set(0.75), w = v_set(1) - *v; /* w / 4 is 1 / (a + 4) */
    *lost = (((a - product) - product_low) - *v * sum_low) * (v_set(0.25) * w);
    return c[0] + t * (c[1] + t * (c[2] + t * FN(polynomial)(t, c + 3, (int)(sizeof(c) / sizeof(c)[0]) - 3)));
}

/* x Phi(x): for negative x from the tail, else x (1 - Phi(-x)); -0 at minus infinity */
TG_INLINE vec v_gelu(vec x) {
    vec k, rest, v, lost, low;
    const vec a = v_clamp(v_abs(x), v_set(0), v_set(GELU_LIMIT)), m = FN(exp_half_square)(a, &k, &rest);
    const vec s = FN(mills)(a, &v, &lost), ratio = FN(two_product)(v, s, &low); /* a times Mills' ratio */
    const vec w = v_set(1) - v;                                                 /* (v S)' is about w^2 S */
    const vec tail = ratio * m + ((low + lost * s * (w * w)) * m + ratio * rest);
    const vec scaled = FN(scale_by_power)(tail, k);
    const vec y = v_select(x < v_set(0), -scaled, x - scaled);
    return v_select(x == v_set(0), x, y); /* -0 gives -0 */
}

/* Phi(x) + x phi(x) */
TG_INLINE vec v_gelu_slope(vec x) {
    vec k, rest, v, lost;
    const vec a = v_clamp(v_abs(x), v_set(0), v_set(GELU_LIMIT)), m = FN(exp_half_square)(a, &k, &rest);
    const vec s = FN(mills)(a, &v, &lost), factor = s / (a + v_set(4)) - a * v_set(0.3989422804014327);
    const vec tail = FN(scale_by_power)(m * factor + rest * factor, k);
    return v_select(x < v_set(0), tail, v_set(1) - tail);
}

/* 2 / sqrt(pi) exp(-x^2) */
TG_INLINE vec v_erf_slope(vec x) {
    vec low, k, rest;
    const vec a = v_clamp(v_abs(x), v_set(0), v_set(TG_REAL_PICK(11, 28))), square = FN(two_product)(a, a, &low);
    const vec m = FN(exp_split)(-square, -low, &k, &rest), scale = v_set(1.1283791670955126);
    return FN(scale_by_power)(m * scale + rest * scale, k);
}

#undef GATE_LIMIT
#undef GELU_LIMIT
#undef GELU_LINEAR
#undef GELU_LINEAR_REST
#undef GELU_CUBIC
#undef GELU_CUBIC_REST
