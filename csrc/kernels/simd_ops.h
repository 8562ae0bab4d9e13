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

TG_INLINE vec v_set(double value) { return (vec){0} + (real)value; }

/* mask ? a : b, lane by lane; a comparison of two vec gives the mask (all ones or all zeros). */
TG_INLINE vec v_select(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
