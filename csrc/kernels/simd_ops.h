/* simd_ops.h: the elementary vector operations; included once per element type. + - * / and comparisons are the language's. */
#undef TG_FOR_VECTORS

TG_INLINE vec v_load(const real *p) { return *(const vec_unaligned *)p; }
TG_INLINE void v_store(real *p, vec v) { *(vec_unaligned *)p = v; }

/* value - 0, not 0 + value: the latter would make +0 of -0, and so no plain broadcast. */
TG_INLINE vec v_set(double value) { return (real)value - (vec){0}; }

/* The first `count` lanes, 0 <= count < LANES; the others read as zero and are not written. */
#if TG_VECTOR_BYTES == 64
TG_INLINE vec v_load_part(const real *p, int64_t count) {
    return (vec)TG_MM(maskz_loadu)((TG_MASK)((1u << count) - 1), p);
}
TG_INLINE void v_store_part(real *p, vec v, int64_t count) {
    TG_MM(mask_storeu)(p, (TG_MASK)((1u << count) - 1), (TG_MM_VEC)v);
}
#elif TG_VECTOR_BYTES == 32
TG_INLINE __m256i FN(first_lanes)(int64_t count) {
#if TG_BITS == 32
    return (__m256i)((ivec){0, 1, 2, 3, 4, 5, 6, 7} < (integer)count);
#else
    return (__m256i)((ivec){0, 1, 2, 3} < (integer)count);
#endif
}
TG_INLINE vec v_load_part(const real *p, int64_t count) { return (vec)TG_MM(maskload)(p, FN(first_lanes)(count)); }
TG_INLINE void v_store_part(real *p, vec v, int64_t count) {
    TG_MM(maskstore)(p, FN(first_lanes)(count), (TG_MM_VEC)v);
}
#else
TG_INLINE vec v_load_part(const real *p, int64_t count) {
    vec v = {0};
    for (int i = 0; i < (int)LANES - 1; i++)
        if (i < count) v[i] = p[i];
    return v;
}
TG_INLINE void v_store_part(real *p, vec v, int64_t count) {
    for (int i = 0; i < (int)LANES - 1; i++)
        if (i < count) p[i] = v[i];
}
#endif

/* A full vector when count >= LANES, else the first `count` lanes: one loop body serves the tail as well. */
TG_INLINE vec v_load_upto(const real *p, int64_t count) { return count >= LANES ? v_load(p) : v_load_part(p, count); }
TG_INLINE void v_store_upto(real *p, vec v, int64_t count) {
    if (count >= LANES)
        v_store(p, v);
    else
        v_store_part(p, v, count);
}

/* Runs `step` for every vector of n elements; it reads `i`, the first element, and `count`, how many there are from there. Cheap
 * steps go four at a time, with a constant count, so that what is tested per vector vanishes beside them; costly ones hide it. */
#define TG_FOR_VECTORS(cost, n, step)                                     \
    do {                                                                  \
        int64_t begin = 0;                                                \
        if (TG_##cost == TG_CHEAP)                                        \
            for (; (n) - begin >= 4 * LANES; begin += 4 * LANES) {        \
                _Pragma("GCC unroll 4") for (int64_t k = 0; k < 4; k++) { \
                    const int64_t i = begin + k * LANES, count = LANES;   \
                    step;                                                 \
                }                                                         \
            }                                                             \
        for (int64_t i = begin; i < (n); i += LANES) {                    \
            const int64_t count = (n) - i;                                \
            step;                                                         \
        }                                                                 \
    } while (0)

/* mask ? a : b, lane by lane; a comparison of two vec gives the mask (all ones or all zeros). */
TG_INLINE vec v_select(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

/* Nonzero if any lane of a mask is set. */
TG_INLINE int v_any(ivec mask) {
#if TG_VECTOR_BYTES == 64 && TG_BITS == 32
    return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif TG_VECTOR_BYTES == 64
    return _mm512_movepi64_mask((__m512i)mask) != 0;
#elif defined(__x86_64__)
    return TG_MM(movemask)((TG_MM_VEC)mask) != 0;
#else
    integer bits = 0;
    for (int i = 0; i < (int)LANES; i++) bits |= mask[i];
    return bits != 0;
#endif
}

TG_INLINE vec v_copysign(vec magnitude, vec sign) {
    const ivec top = (ivec)v_set(-0.0);
    return (vec)(((ivec)magnitude & ~top) | ((ivec)sign & top));
}
TG_INLINE vec v_abs(vec x) { return (vec)((ivec)x & ~(ivec)v_set(-0.0)); }
/* -1, 0, 1; NaN for NaN */
TG_INLINE vec v_sign(vec x) { return v_select(x > v_set(0), v_set(1), v_select(x < v_set(0), v_set(-1), x)); }

/* NaN in either gives NaN. x86's own max and min return the second operand where either is NaN. */
#if defined(__x86_64__)
#if TG_VECTOR_BYTES == 64 /* a where it is a NaN: the masked instruction costs no blend */
#define TG_NUMBERS(a) TG_CAT(TG_MM(cmp), _mask)((TG_MM_VEC)a, (TG_MM_VEC)a, _CMP_ORD_Q)
TG_INLINE vec v_max(vec a, vec b) {
    return (vec)TG_MM(mask_max)((TG_MM_VEC)a, TG_NUMBERS(a), (TG_MM_VEC)a, (TG_MM_VEC)b);
}
TG_INLINE vec v_min(vec a, vec b) {
    return (vec)TG_MM(mask_min)((TG_MM_VEC)a, TG_NUMBERS(a), (TG_MM_VEC)a, (TG_MM_VEC)b);
}
#undef TG_NUMBERS
#else
TG_INLINE vec v_max(vec a, vec b) { return v_select(a != a, a, (vec)TG_MM(max)((TG_MM_VEC)a, (TG_MM_VEC)b)); }
TG_INLINE vec v_min(vec a, vec b) { return v_select(a != a, a, (vec)TG_MM(min)((TG_MM_VEC)a, (TG_MM_VEC)b)); }
#endif
/* x held at or above low, at or below high; NaN stays NaN, and a zero keeps its sign */
TG_INLINE vec v_at_least(vec x, vec low) { return (vec)TG_MM(max)((TG_MM_VEC)low, (TG_MM_VEC)x); }
TG_INLINE vec v_at_most(vec x, vec high) { return (vec)TG_MM(min)((TG_MM_VEC)high, (TG_MM_VEC)x); }
TG_INLINE vec v_sqrt(vec x) { return (vec)TG_MM(sqrt)((TG_MM_VEC)x); }
#else
TG_INLINE vec v_max(vec a, vec b) { return v_select((a > b) | (a != a), a, b); }
TG_INLINE vec v_min(vec a, vec b) { return v_select((a < b) | (a != a), a, b); }
TG_INLINE vec v_at_least(vec x, vec low) { return v_select(x < low, low, x); }
TG_INLINE vec v_at_most(vec x, vec high) { return v_select(x > high, high, x); }
TG_INLINE vec v_sqrt(vec x) {
    for (int i = 0; i < (int)LANES; i++) x[i] = (real)__builtin_sqrt((double)x[i]); /* correctly rounded in float too */
    return x;
}
#endif

/* x held inside [low, high]; NaN stays NaN */
TG_INLINE vec v_clamp(vec x, vec low, vec high) { return v_at_most(v_at_least(x, low), high); }

/* Whether every lane of a is above b's; NaN is not. */
TG_INLINE int v_all_above(vec a, vec b) {
#if TG_VECTOR_BYTES == 64
    return TG_CAT(TG_MM(cmp), _mask)((TG_MM_VEC)a, (TG_MM_VEC)b, _CMP_GT_OQ) == (TG_MASK)-1;
#else
    return !v_any(~(a > b));
#endif
}

/* a * b + c, rounded once where the machine has the instruction */
TG_INLINE vec v_fma(vec a, vec b, vec c) {
#if defined(__x86_64__) && TG_HAS_FMA
    return (vec)TG_MM(fmadd)((TG_MM_VEC)a, (TG_MM_VEC)b, (TG_MM_VEC)c);
#elif defined(__aarch64__) && TG_BITS == 32
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__aarch64__)
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

#if TG_VECTOR_BYTES >= 32
#define TG_ROUND(x, mode) (vec) TG_MM(TG_ROUND_OP)((TG_MM_VEC)x, (mode) | _MM_FROUND_NO_EXC)
TG_INLINE vec v_round(vec x) { return TG_ROUND(x, _MM_FROUND_TO_NEAREST_INT); } /* half to even */
TG_INLINE vec v_trunc(vec x) { return TG_ROUND(x, _MM_FROUND_TO_ZERO); }
TG_INLINE vec v_floor(vec x) { return TG_ROUND(x, _MM_FROUND_TO_NEG_INF); }
TG_INLINE vec v_ceil(vec x) { return TG_ROUND(x, _MM_FROUND_TO_POS_INF); }
#undef TG_ROUND
#else
/* Half to even. Adding 2^(mantissa bits) leaves no room for a fraction; whatever is as large has none. */
TG_INLINE vec v_round(vec x) {
    const vec big = v_set(TG_BITS == 32 ? 0x1p23 : 0x1p52), a = v_abs(x);
    return v_select(a < big, v_copysign((a + big) - big, x), x);
}
TG_INLINE vec v_trunc(vec x) {
    const vec a = v_abs(x), r = v_round(a);
    return v_copysign(v_select(r > a, r - v_set(1), r), x);
}
TG_INLINE vec v_floor(vec x) {
    const vec r = v_round(x);
    return v_copysign(v_select(r > x, r - v_set(1), r), x);
}
TG_INLINE vec v_ceil(vec x) {
    const vec r = v_round(x);
    return v_copysign(v_select(r < x, r + v_set(1), r), x);
}
#endif

/* Over all lanes, always in the same order: halves are combined until one lane is left. NaN propagates. */
TG_INLINE real v_reduce_add(vec x) {
    for (int half = (int)LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
}
TG_INLINE real v_reduce_max(vec x) {
    for (int half = (int)LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) x[i] = x[i] > x[i + half] || x[i] != x[i] ? x[i] : x[i + half];
    return x[0];
}
TG_INLINE real v_reduce_min(vec x) {
    for (int half = (int)LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) x[i] = x[i] < x[i + half] || x[i] != x[i] ? x[i] : x[i + half];
    return x[0];
}
