/* simd_ops.h: the elementary vector operations; included once per element type. + - * / and comparisons are the language's. */

TG_INLINE vec v_load(const real *p) { return *(const vec_unaligned *)p; }
TG_INLINE void v_store(real *p, vec v) { *(vec_unaligned *)p = v; }

/* The first `count` lanes, 0 <= count < LANES; the others read as zero and are not written. */
TG_INLINE vec v_load_part(const real *p, int64_t count) {
    vec v = {0};
    __builtin_memcpy(&v, p, (size_t)count * sizeof(real));
    return v;
}
TG_INLINE void v_store_part(real *p, vec v, int64_t count) { __builtin_memcpy(p, &v, (size_t)count * sizeof(real)); }

/* value - 0, not 0 + value: the latter would make +0 of -0, and so no plain broadcast. */
TG_INLINE vec v_set(double value) { return (real)value - (vec){0}; }

/* mask ? a : b, lane by lane; a comparison of two vec gives the mask (all ones or all zeros). */
TG_INLINE vec v_select(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

/* A full vector when count >= LANES, else the first `count` lanes: one loop body serves the tail as well. */
TG_INLINE vec v_load_upto(const real *p, int64_t count) { return count >= LANES ? v_load(p) : v_load_part(p, count); }
TG_INLINE void v_store_upto(real *p, vec v, int64_t count) {
    if (count >= LANES)
        v_store(p, v);
    else
        v_store_part(p, v, count);
}

TG_INLINE int v_any(ivec mask) {
    integer bits = 0;
    for (int i = 0; i < (int)LANES; i++) bits |= mask[i];
    return bits != 0;
}

TG_INLINE vec v_copysign(vec magnitude, vec sign) {
    const ivec top = (ivec)v_set(-0.0);
    return (vec)(((ivec)magnitude & ~top) | ((ivec)sign & top));
}
TG_INLINE vec v_abs(vec x) { return (vec)((ivec)x & ~(ivec)v_set(-0.0)); }

/* NaN in either gives NaN. */
TG_INLINE vec v_max(vec a, vec b) { return v_select((a > b) | (a != a), a, b); }
TG_INLINE vec v_min(vec a, vec b) { return v_select((a < b) | (a != a), a, b); }

/* a * b + c, rounded once where the machine has the instruction */
TG_INLINE vec v_fma(vec a, vec b, vec c) { return a * b + c; }

/* Round half to even; everything from 2^(mantissa bits) up is an integer already. */
TG_INLINE vec v_round(vec x) {
    const vec big = v_set(TG_BITS == 32 ? 0x1p23 : 0x1p52), a = v_abs(x);
    const vec r = v_copysign((a + big) - big, x);
    return v_select(a < big, r, x);
}
TG_INLINE vec v_trunc(vec x) {
    const vec a = v_abs(x), r = v_abs(v_round(x));
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

TG_INLINE vec v_sqrt(vec x) {
    vec y;
    for (int i = 0; i < (int)LANES; i++) y[i] = (real)__builtin_sqrt((double)x[i]);
    return y;
}

/* Over all lanes, always in the same order: halves are combined until one lane is left. */
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
