/* vmath_pow.h: a to the power b; part of vmath.h, which has the conventions.
 *
 * |a|^b = 2^(b log2 |a|). The logarithm is multiplied by up to a thousand before it is exponentiated, so it needs ten more bits
 * than the result: float32 takes both through double lanes, float64 keeps the logarithm in two parts.
 */
#define v_pow_magnitude FN(pow_magnitude)

#if TG_BITS == 32

typedef double FN(wide) __attribute__((vector_size(TG_VECTOR_BYTES)));
typedef int64_t FN(wide_integer) __attribute__((vector_size(TG_VECTOR_BYTES)));
typedef uint64_t FN(wide_unsigned) __attribute__((vector_size(TG_VECTOR_BYTES)));
typedef float FN(half) __attribute__((vector_size(TG_VECTOR_BYTES / 2)));

/* 2^(b log2 a) for normal a > 0 in double, to about 2^-30 */
TG_INLINE FN(wide) FN(pow_wide)(FN(wide) a, FN(wide) b) {
    static const double l[] = {1.4426950408862034,  -0.7213475203430864,  0.4808983490727961,  -0.36067378977100695,
                               0.28853876232996745, -0.24044662677727305, 0.20610869528306625, -0.18043268521020117,
                               0.16018226130296026, -0.14252340755410017, 0.13062890256021095, -0.13478928738366042,
                               0.13113743753686682, -0.06806287590390596};
    static const double e[] = {1.0,
                               0.6931472067028326,
                               0.24022650922288757,
                               0.05550327226670302,
                               0.009618056678524637,
                               0.0013400428177615838,
                               0.0001546144469856913};
    const FN(wide) zero = {0};
    const FN(wide_unsigned) bits = (FN(wide_unsigned))a + UINT64_C(0x3ff0000000000000) - UINT64_C(0x3fe6a09e667f3bcd);
    const FN(wide) power = (FN(wide))((bits >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023);
    const FN(wide) f = (FN(wide))((bits & UINT64_C(0x000fffffffffffff)) + UINT64_C(0x3fe6a09e667f3bcd)) - 1.0;
    const FN(wide) f2 = f * f;
    FN(wide) odd = zero + l[13], even = zero + l[12];
#pragma GCC unroll 8
    for (int i = 11; i > 0; i -= 2) {
        odd = odd * f2 + l[i];
        even = even * f2 + l[i - 1];
    }
    FN(wide) t = b * (power + f * (even + odd * f));
    /* held where a float result is 0 or infinite anyway; NaN goes through */
    t = (FN(wide))(((FN(wide_integer))t & ~(t > 200.0)) | ((FN(wide_integer))(zero + 200.0) & (t > 200.0)));
    t = (FN(wide))(((FN(wide_integer))t & ~(t < -200.0)) | ((FN(wide_integer))(zero - 200.0) & (t < -200.0)));
    const FN(wide) shifted = t + 0x1.8p52, r = t - (shifted - 0x1.8p52);
    FN(wide) y = zero + e[6];
#pragma GCC unroll 8
    for (int i = 5; i >= 0; i--) y = y * r + e[i];
    return (FN(wide))((FN(wide_unsigned))y + ((FN(wide_unsigned))shifted << 52)); /* y 2^k */
}

/* |a|^b for 0 < a < inf */
TG_INLINE vec v_pow_magnitude(vec a, vec b) {
    FN(half) ah[2], bh[2], yh[2];
    vec y;
    memcpy(ah, &a, sizeof a);
    memcpy(bh, &b, sizeof b);
    for (int i = 0; i < 2; i++)
        yh[i] = __builtin_convertvector(
            FN(pow_wide)(__builtin_convertvector(ah[i], FN(wide)), __builtin_convertvector(bh[i], FN(wide))), FN(half));
    memcpy(&y, yh, sizeof y);
    return y;
}

#else

/* log2 of 0 < x < inf in two parts, to about 2^-66: with s = (m - 1) / (m + 1), log m = 2 (s + s^3/3 + s^5 P(s^2)) */
TG_INLINE vec FN(log2_split)(vec x, vec *low) {
    static const real c[] = {0.2,
                             0.14285714285714682,
                             0.11111111110828116,
                             0.0909090916765723,
                             0.07692297485445389,
                             0.06667402119216778,
                             0.05853124268102264,
                             0.05861525535427698};
    vec k, s_low, square_low, cube_low, third_low, sum_low, product_low, log_low, whole_low;
    const vec m = FN(log_parts)(x, &k), above = m + v_set(1), f = m - v_set(1);
    const vec above_low = m - (above - v_set(1));
    const vec s = f / above, product = FN(two_product)(s, above, &product_low);
    s_low = (((f - product) - product_low) - s * above_low) / above;
    const vec square = FN(two_product)(s, s, &square_low);
    square_low += v_set(2) * s * s_low;
    const vec cube = FN(two_product)(square, s, &cube_low);
    cube_low += square_low * s + square * s_low;
    const vec third = FN(two_product)(cube, v_set(0x1.5555555555555p-2), &third_low);
    third_low += cube * v_set(0x1.5555555555555p-56) + cube_low * v_set(0x1.5555555555555p-2);
    const vec sum = FN(two_sum)(s, third, &sum_low);
    sum_low += s_low + third_low + cube * square * v_polynomial(square, c);
    /* times 2 / ln 2 */
    const vec log = FN(two_product)(sum, v_set(0x1.71547652b82fep+1), &log_low);
    log_low += sum_low * v_set(0x1.71547652b82fep+1) + sum * v_set(0x1.777d0ffda0d24p-55);
    const vec whole = FN(two_sum)(k, log, &whole_low);
    return FN(two_sum)(whole, whole_low + log_low, low);
}

TG_INLINE vec v_pow_magnitude(vec a, vec b) {
    vec low, t_low;
    const vec log = FN(log2_split)(a, &low);
    /* exponents past 2^70 overflow, vanish or give 1 as 2^70 does, and their products stay exact */
    b = v_clamp(b, v_set(-0x1p70), v_set(0x1p70));
    vec t = FN(two_product)(b, log, &t_low);
    t_low += b * low;
    const ivec inside = v_abs(t) < v_set(1100);
    t = v_clamp(t, v_set(-1100), v_set(1100));
    t_low = v_select(inside, t_low, v_set(0));
    const vec magic = v_set(INTEGER_MAGIC), k = (t + magic) - magic, r = t - k;
    vec product_low;
    const vec product = FN(two_product)(r, v_set(0x1.62e42fefa39efp-1), &product_low);
    const vec tail = product_low + (t_low * v_set(0x1.62e42fefa39efp-1) + r * v_set(0x1.abc9e3b39803fp-56));
    /* 1 + e = exp(product + tail) = exp(product) (1 + tail) */
    const vec bent = FN(expm1_tail)(product), e = product + (bent + (tail + tail * (product + bent)));
    return FN(scale_by_power)(v_set(1) + e, k);
}

#endif

/* C's pow, special cases included (C11 F.10.4.4). Not inlined: it is long and has four users. */
static __attribute__((noinline, unused)) vec v_pow(vec a, vec b) {
    const vec zero = v_set(0), one = v_set(1), infinity = v_set(INFINITY), magnitude = v_abs(a);
    const ivec ordinary = (magnitude > zero) & (magnitude < infinity);
    vec y = v_pow_magnitude(v_select(ordinary, magnitude, one), b);
    /* 0 or infinite a: 0 or infinity by the sign of b; an infinite b: by whether |a| is above 1 */
    const vec edge = v_select((magnitude > one) ^ (b < zero), infinity, zero);
    y = v_select((~ordinary & (a == a)) | ((v_abs(b) == infinity) & (magnitude != one)), edge, y);
    y = v_select(magnitude == one, one, y);
    const vec half = b * v_set(0.5);
    const ivec integral = v_trunc(b) == b, odd = integral & (v_trunc(half) != half);
    const ivec below = (ivec)a < 0; /* -0 too */
    y = v_select(below & odd, -y, y);
    y = v_select((a < zero) & ordinary & ~integral, v_set(NAN), y);
    y = v_select((a != a) | (b != b), a + b, y);
    return v_select((b == zero) | (a == one), one, y);
}
#undef v_pow_magnitude
