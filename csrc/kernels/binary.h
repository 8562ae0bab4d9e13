/* binary.h: y = f(a, b) and y = condition ? a : b, element by element; included once per element type. */

/* One loop for each way of stepping, so that a single element stays in its register. */
#define TG_DEFINE_BINARY(name, cost, expression)                                                                    \
    TG_INLINE vec FN(name##_of)(vec a, vec b) { return (expression); }                                              \
    static void FN(name)(int64_t n, const void *ap, int64_t a_step, const void *bp, int64_t b_step, void *yp) {     \
        const real *as = ap, *bs = bp;                                                                              \
        real *y = yp;                                                                                               \
        if (a_step && b_step) {                                                                                     \
            TG_FOR_VECTORS(                                                                                         \
                cost, n,                                                                                            \
                v_store_upto(y + i, FN(name##_of)(v_load_upto(as + i, count), v_load_upto(bs + i, count)), count)); \
        } else if (a_step) {                                                                                        \
            const vec b = v_set((double)*bs);                                                                       \
            TG_FOR_VECTORS(cost, n, v_store_upto(y + i, FN(name##_of)(v_load_upto(as + i, count), b), count));      \
        } else if (b_step) {                                                                                        \
            const vec a = v_set((double)*as);                                                                       \
            TG_FOR_VECTORS(cost, n, v_store_upto(y + i, FN(name##_of)(a, v_load_upto(bs + i, count)), count));      \
        } else {                                                                                                    \
            const vec value = FN(name##_of)(v_set((double)*as), v_set((double)*bs));                                \
            TG_FOR_VECTORS(CHEAP, n, v_store_upto(y + i, value, count));                                            \
        }                                                                                                           \
    }
TG_BINARY_OPS(TG_DEFINE_BINARY)

/* All ones in the lanes whose byte of condition is not 0. condition: (LANES) */
TG_INLINE ivec FN(mask_of_bytes)(const uint8_t *condition) {
#if defined(__x86_64__) && TG_VECTOR_BYTES >= 32 /* GCC 12 makes of the conversion below one move for each lane */
    int64_t bytes[2] = {0};
    memcpy(bytes, condition, LANES);
    const __m128i few = _mm_set_epi64x(bytes[1], bytes[0]);
#if TG_VECTOR_BYTES == 64 && TG_BITS == 32
    return (ivec)_mm512_cvtepu8_epi32(few) != 0;
#elif TG_VECTOR_BYTES == 64
    return (ivec)_mm512_cvtepu8_epi64(few) != 0;
#elif TG_BITS == 32
    return (ivec)_mm256_cvtepu8_epi32(few) != 0;
#else
    return (ivec)_mm256_cvtepu8_epi64(few) != 0;
#endif
#else
    typedef uint8_t bytes __attribute__((vector_size(TG_VECTOR_BYTES / sizeof(real)), aligned(1), may_alias));
    return __builtin_convertvector(*(const bytes *)condition, ivec) != 0;
#endif
}

TG_INLINE ivec FN(mask_upto)(const uint8_t *condition, int64_t count) {
    if (count >= LANES) return FN(mask_of_bytes)(condition);
    uint8_t first[TG_VECTOR_BYTES] = {0};
    for (int64_t i = 0; i < count; i++) first[i] = condition[i];
    return FN(mask_of_bytes)(first);
}

static void FN(where)(int64_t n, const uint8_t *condition, int64_t condition_step, const void *ap, int64_t a_step,
                      const void *bp, int64_t b_step, void *yp) {
    const real *as = ap, *bs = bp;
    real *y = yp;
    const vec a0 = v_set((double)*as), b0 = v_set((double)*bs);
    const ivec mask0 = (ivec){0} - (*condition != 0);
    TG_FOR_VECTORS(
        CHEAP, n,
        v_store_upto(y + i,
                     v_select(condition_step ? FN(mask_upto)(condition + i, count) : mask0,
                              a_step ? v_load_upto(as + i, count) : a0, b_step ? v_load_upto(bs + i, count) : b0),
                     count));
}

#define TG_BINARY_FUNCTION(name, ...) FN(name),
static const tg_binary_kernels FN(binary_kernels) = {{TG_BINARY_OPS(TG_BINARY_FUNCTION)}, FN(where)};

#undef TG_BINARY_FUNCTION
#undef TG_DEFINE_BINARY
