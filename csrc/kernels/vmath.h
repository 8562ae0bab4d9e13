/* vmath.h: exp, log and their kind on vectors, without branches; included once per element type.
 *
 * Errors stay below 2 ulp over the whole range (csrc/tests/test_vmath.c measures them); 0, infinities, NaN, subnormal inputs
 * and results are those of IEEE. A lane's result depends on nothing but its own input. The polynomials are minimax fits
 * (Remez exchange), relative to the function that they end in.
 */
#if TG_BITS == 32
#define TG_REAL_PICK(single, twofold) (single)
#else
#define TG_REAL_PICK(single, twofold) (twofold)
#endif
#define TG_TABLES (TG_VECTOR_BYTES == 64 && TG_BITS == 32) /* float32's functions by tables in registers */
#define MANTISSA_BITS TG_REAL_PICK(23, 52)
#define EXPONENT_BIAS TG_REAL_PICK(127, 1023)
#define INTEGER_MAGIC TG_REAL_PICK(0x1.8p23, 0x1.8p52) /* x + magic holds round(x) in its low bits */
/* ln 2 and log10 2 in two parts, the first so short that its product with an exponent is exact */
#define LN2_HIGH TG_REAL_PICK(0x1.62e4p-1, 0x1.62e42fefa38p-1)
#define LN2_LOW TG_REAL_PICK(0x1.7f7d1cf79abcap-20, 0x1.ef35793c7673p-45)
#define LOG10_E TG_REAL_PICK(0x1.bcb7b20000000p-2, 0x1.bcb7b1526e50ep-2)
#define LOG10_E_REST TG_REAL_PICK(-0x1.5b235e39ab2a9p-27, 0x1.95355baaafad3p-57)
#define LOG10_2_HIGH TG_REAL_PICK(0x1.3442p-2, 0x1.34413509f78p-2)
#define LOG10_2_LOW TG_REAL_PICK(-0x1.95ec10c0219dcp-19, 0x1.fef311f12b358p-46)

/* c[0] + c[1] x + ... + c[n-1] x^(n-1): even and odd powers apart, which halves the chain of dependent operations. */
TG_INLINE vec FN(polynomial)(vec x, const real *c, int n) {
    const vec x2 = x * x;
    vec high = (vec){0} + c[n - 1], low = (vec){0} + c[n - 2];
#pragma GCC unroll 16
    for (int i = n - 3; i > 0; i -= 2) {
        high = high * x2 + c[i];
        low = low * x2 + c[i - 1];
    }
    return n % 2 ? (high * x2 + c[0]) + low * x : high * x + low;
}
#define v_polynomial(x, c) FN(polynomial)(x, c, (int)(sizeof(c) / sizeof(c)[0]))

/* ---- exponentials ----------------------------------------------------------------------------------------------- */

/* p 2^k for integral k, rounded once even where the result is subnormal: two factors of 2^(k/2) reach every exponent. */
TG_INLINE vec FN(scale_by_power)(vec p, vec k) {
#if TG_VECTOR_BYTES == 64
    return (vec)TG_MM(scalef)((TG_MM_VEC)p, (TG_MM_VEC)k);
#else
    const int offset = 2 * (EXPONENT_BIAS + 1);
    const uvec biased = (uvec)(k + v_set(INTEGER_MAGIC + offset)), half = biased >> 1;
    const vec s1 = (vec)((half - 1) << MANTISSA_BITS), s2 = (vec)((biased - half - 1) << MANTISSA_BITS);
    return p * s1 * s2;
#endif
}

/* expm1(r) - r for r in [-ln2/2, ln2/2] */
TG_INLINE vec FN(expm1_tail)(vec r) {
#if TG_BITS == 32
    static const real c[] = {0.49999997f, 0.16666539f, 0.0416672342f, 0.00836718176f, 0.0013881484f};
#else
    static const real c[] = {0.5,
                             0.16666666666666677,
                             0.04166666666666649,
                             0.008333333333320737,
                             0.001388888888896839,
                             0.0001984126988868521,
                             2.480158716469661e-05,
                             2.755724136721521e-06,
                             2.755740598230701e-07,
                             2.5110110532221797e-08,
                             2.0875305283244987e-09};
#endif
    return r * r * v_polynomial(r, c);
}
TG_INLINE vec FN(expm1_core)(vec r) { return r + FN(expm1_tail)(r); }

/* exp(x) = 2^k (1 + e) with |x - k ln 2| <= ln2/2: returns e and k. */
TG_INLINE vec FN(exp_parts)(vec x, vec *k) {
    const vec magic = v_set(INTEGER_MAGIC);
    *k = (x * v_set(0x1.71547652b82fep+0) + magic) - magic;
    return FN(expm1_core)((x - *k * v_set(LN2_HIGH)) - *k * v_set(LN2_LOW));
}

TG_INLINE vec v_exp(vec x) {
    vec k;
    x = v_clamp(x, v_set(TG_REAL_PICK(-104, -746)), v_set(TG_REAL_PICK(89, 710)));
    const vec e = FN(exp_parts)(x, &k);
    return FN(scale_by_power)(v_set(1) + e, k);
}

/* 2^k e + (2^k - 1), in halves so that the largest k does not overflow early; e itself where k is 0 keeps tiny x exact. */
TG_INLINE vec v_expm1(vec x) {
    vec k;
    const vec clamped = v_clamp(x, v_set(TG_REAL_PICK(-30, -60)), v_set(TG_REAL_PICK(89, 710)));
    const vec e = FN(exp_parts)(clamped, &k);
    const vec half = FN(scale_by_power)(v_set(0.5), k);
    const vec y = v_select(k == v_set(0), e, v_set(2) * (half * e + (half - v_set(0.5))));
    return v_copysign(y, x); /* -0 gives -0 */
}

#if !TG_TABLES
/* x + x^3 P(x^2) near zero; from there 1 - 2 / (exp(2|x|) + 1) with the sign of x */
TG_INLINE vec v_tanh(vec x) {
#if TG_BITS == 32
    static const real c[] = {-3.3333334e-01f, 1.3333309e-01f, -5.3960487e-02f,
                             2.1779114e-02f,  -8.378016e-03f, 2.3321453e-03f};
#else
    static const real c[] = {-0.33333333333333326,   0.13333333333328753,    -0.053968253963354355,
                             0.02186948833111761,    -0.008863231115030682,  0.00359207234078515,
                             -0.0014553936305847204, 0.0005877655490511628,  -0.00023154597190158216,
                             8.059632646928314e-05,  -1.7792071986281213e-05};
#endif
    vec k;
    const vec a = v_abs(x), square = x * x, limit = v_set(TG_REAL_PICK(10, 20)); /* tanh(limit) rounds to 1 */
    const vec near_zero = x + x * square * v_polynomial(square, c);
    const vec e = FN(exp_parts)(v_at_most(a + a, limit + limit), &k);
    const vec far = v_set(1) - v_set(2) / (FN(scale_by_power)(v_set(1) + e, k) + v_set(1));
    return v_copysign(v_select(square < v_set(0.375), near_zero, far), x); /* -0 gives -0 */
}
#endif

/* ---- logarithms ------------------------------------------------------------------------------------------------- */

/* x = 2^k m with m in [sqrt(1/2), sqrt(2)), for 0 < x < inf, subnormal x included. */
TG_INLINE vec FN(log_parts)(vec x, vec *k) {
#if TG_VECTOR_BYTES == 64
    const TG_MM_VEC e = TG_MM(getexp)((TG_MM_VEC)x), one = (TG_MM_VEC)v_set(1);
    const TG_MM_VEC m = TG_MM(getmant)((TG_MM_VEC)x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    const TG_MASK high = TG_CAT(TG_MM(cmp), _mask)(m, (TG_MM_VEC)v_set(1.4142135623730951), _CMP_GE_OQ);
    *k = (vec)TG_MM(mask_add)(e, high, e, one);
    return (vec)TG_MM(mask_mul)(m, high, m, (TG_MM_VEC)v_set(0.5));
#else
    const uvec one = (uvec)v_set(1), root = (uvec)v_set(0.7071067811865476);
    const ivec tiny = x < v_set(TG_REAL_PICK(0x1p-126, 0x1p-1022));
    const vec lift = v_set(TG_REAL_PICK(0x1p24, 0x1p54));
    const uvec bits = (uvec)v_select(tiny, x * lift, x) + (one - root);
    /* the biased exponent as the low bits of 2^(mantissa bits) is a float without a conversion */
    const vec shift = v_set(TG_REAL_PICK(0x1p23, 0x1p52) + EXPONENT_BIAS);
    const vec shift_tiny = v_set(TG_REAL_PICK(0x1p23 + 24, 0x1p52 + 54) + EXPONENT_BIAS);
    *k = (vec)((bits >> MANTISSA_BITS) | (uvec)v_set(TG_REAL_PICK(0x1p23, 0x1p52))) - v_select(tiny, shift_tiny, shift);
    return (vec)((bits & ((((uvec){0} + 1) << MANTISSA_BITS) - 1)) + root);
#endif
}

/* log(1 + f) - f for 1 + f in [sqrt(1/2), sqrt(2)) */
TG_INLINE vec FN(log_tail)(vec f) {
#if TG_BITS == 32
    static const real c[] = {0.333333135f,  -0.250000089f, 0.200021163f,  -0.166679829f, 0.142195821f,
                             -0.124057584f, 0.118881784f,  -0.116749957f, 0.0674592331f};
#else
    static const real c[] = {0.33333333333333454, -0.2499999999999892,  0.19999999999946128, -0.16666666666914415,
                             0.14285714293842042, -0.12499999982016974, 0.11111110516007139, -0.10000000383322054,
                             0.09090933507140413, -0.0833334576089995,  0.07691714443576933, -0.07142000014244339,
                             0.06675148590695507, -0.06269802196547496, 0.05817778477468822, -0.05326769984352141,
                             0.05415971029317164, -0.06275069328460818, 0.05696881768761065, -0.024276093226755086};
#endif
    const vec square = f * f;
    return f * square * v_polynomial(f, c) - v_set(0.5) * square;
}

/* The logarithm's value at 0, inf, NaN and negative x; `inside` elsewhere. */
TG_INLINE vec FN(log_edges)(vec x, vec inside) {
    const vec infinity = v_set(INFINITY);
    const vec outside = v_select(x == v_set(0), -infinity, v_select(x < v_set(0), v_set(NAN), x));
    return v_select((x > v_set(0)) & (x < infinity), inside, outside);
}

#if TG_VECTOR_BYTES < 64
TG_INLINE vec v_log(vec x) {
    vec k;
    const vec f = FN(log_parts)(x, &k) - v_set(1);
    return FN(log_edges)(x, k * v_set(LN2_HIGH) + (f + (FN(log_tail)(f) + k * v_set(LN2_LOW))));
}
#endif

TG_INLINE vec v_log2(vec x) {
    vec k;
    const vec f = FN(log_parts)(x, &k) - v_set(1);
    return FN(log_edges)(x, k + (f + FN(log_tail)(f)) * v_set(0x1.71547652b82fep+0));
}

TG_INLINE vec v_log10(vec x) {
    vec k;
    const vec f = FN(log_parts)(x, &k) - v_set(1);
    const vec tail = FN(log_tail)(f), sum = f + tail, rest = (f - sum) + tail;
    const vec low =
        sum * v_set(LOG10_E) + (sum * v_set(LOG10_E_REST) + (rest * v_set(LOG10_E) + k * v_set(LOG10_2_LOW)));
    return FN(log_edges)(x, k * v_set(LOG10_2_HIGH) + low);
}

/* log(u + c), u + c = 1 + x exactly: what rounding u lost comes back as c / u, c being at most half an ulp of u. */
TG_INLINE vec v_log1p(vec x) {
    vec k;
    const vec u = v_set(1) + x, lost = x - (u - v_set(1));
    const vec m = FN(log_parts)(u, &k), f = m - v_set(1);
    const vec inverse_power = (vec)((uvec)v_set(1) + ((uvec)m - (uvec)u)); /* 2^-k = m / u */
    /* 1 / m by its series, a few percent off at the ends, is plenty for a correction */
    const vec inverse = v_set(1) - f * (v_set(1) - f * (v_set(1) - f));
    const vec correction =
        v_select(v_abs(x) < v_set(TG_REAL_PICK(0x1p25, 0x1p54)), lost * inverse_power * inverse, v_set(0));
    const vec low = FN(log_tail)(f) + (correction + k * v_set(LN2_LOW));
    const vec y = v_copysign(k * v_set(LN2_HIGH) + (f + low), x); /* -0 gives -0 */
    return FN(log_edges)(u, y);
}

#if TG_VECTOR_BYTES == 64
#include "vmath_table.h"
#else
TG_INLINE vec v_square_root(vec x) { return v_sqrt(x); }
TG_INLINE vec v_inverse_root(vec x) { return v_set(1) / v_sqrt(x); }
#endif
#include "vmath_more.h"
#include "vmath_angles.h"
#include "vmath_gates.h"
#include "vmath_pow.h"

#undef TG_TABLES
#undef TG_REAL_PICK
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef INTEGER_MAGIC
#undef LN2_HIGH
#undef LN2_LOW
#undef LOG10_E
#undef LOG10_E_REST
#undef LOG10_2_HIGH
#undef LOG10_2_LOW
