/* simd.h: vectors of TG_VECTOR_BYTES through the GCC/clang vector extension, for float32 and float64 from one source.
 *
 * A family's body is written in the generic names below and included once with TG_SUFFIX f32 and once with f64 (all.h);
 * each generic name resolves through TG_SUFFIX at the point of use.
 */
#define TG_CAT_(a, b) a##b
#define TG_CAT(a, b) TG_CAT_(a, b)
#define FN(name) TG_CAT(name##_, TG_SUFFIX) /* a function of the current element type */

typedef float real_f32;
typedef double real_f64;
typedef int32_t integer_f32; /* the integer as wide as the real */
typedef int64_t integer_f64;
typedef float vec_f32 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias));
typedef double vec_f64 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias));
typedef int32_t ivec_f32 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias));
typedef int64_t ivec_f64 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias));
typedef uint32_t uvec_f32 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias));
typedef uint64_t uvec_f64 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias));
typedef float vec_unaligned_f32 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias, aligned(4)));
typedef double vec_unaligned_f64 __attribute__((vector_size(TG_VECTOR_BYTES), may_alias, aligned(8)));

#define real TG_CAT(real_, TG_SUFFIX)
#define integer TG_CAT(integer_, TG_SUFFIX)
#define vec TG_CAT(vec_, TG_SUFFIX)
#define ivec TG_CAT(ivec_, TG_SUFFIX)
#define uvec TG_CAT(uvec_, TG_SUFFIX)
#define vec_unaligned TG_CAT(vec_unaligned_, TG_SUFFIX)
#define LANES ((int64_t)(TG_VECTOR_BYTES / sizeof(real)))

#define v_load TG_CAT(v_load_, TG_SUFFIX)
#define v_store TG_CAT(v_store_, TG_SUFFIX)
#define v_load_part TG_CAT(v_load_part_, TG_SUFFIX)
#define v_store_part TG_CAT(v_store_part_, TG_SUFFIX)
#define v_set TG_CAT(v_set_, TG_SUFFIX)
#define v_load_upto TG_CAT(v_load_upto_, TG_SUFFIX)
#define v_store_upto TG_CAT(v_store_upto_, TG_SUFFIX)
#define v_select TG_CAT(v_select_, TG_SUFFIX)
#define v_any TG_CAT(v_any_, TG_SUFFIX)
#define v_abs TG_CAT(v_abs_, TG_SUFFIX)
#define v_copysign TG_CAT(v_copysign_, TG_SUFFIX)
#define v_sqrt TG_CAT(v_sqrt_, TG_SUFFIX)
#define v_floor TG_CAT(v_floor_, TG_SUFFIX)
#define v_ceil TG_CAT(v_ceil_, TG_SUFFIX)
#define v_round TG_CAT(v_round_, TG_SUFFIX)
#define v_trunc TG_CAT(v_trunc_, TG_SUFFIX)
#define v_max TG_CAT(v_max_, TG_SUFFIX)
#define v_min TG_CAT(v_min_, TG_SUFFIX)
#define v_clamp TG_CAT(v_clamp_, TG_SUFFIX)
#define v_at_least TG_CAT(v_at_least_, TG_SUFFIX)
#define v_at_most TG_CAT(v_at_most_, TG_SUFFIX)
#define v_all_above TG_CAT(v_all_above_, TG_SUFFIX)
#define v_fma TG_CAT(v_fma_, TG_SUFFIX)
#define v_reduce_add TG_CAT(v_reduce_add_, TG_SUFFIX)
#define v_reduce_max TG_CAT(v_reduce_max_, TG_SUFFIX)
#define v_reduce_min TG_CAT(v_reduce_min_, TG_SUFFIX)
#define v_exchange TG_CAT(v_exchange_, TG_SUFFIX)
#define v_transpose TG_CAT(v_transpose_, TG_SUFFIX)
#define v_lane_index TG_CAT(v_lane_index_, TG_SUFFIX)
#define v_load_fill TG_CAT(v_load_fill_, TG_SUFFIX)

#define v_square_root TG_CAT(v_square_root_, TG_SUFFIX)
#define v_inverse_root TG_CAT(v_inverse_root_, TG_SUFFIX)
#define v_exp TG_CAT(v_exp_, TG_SUFFIX)
#define v_expm1 TG_CAT(v_expm1_, TG_SUFFIX)
#define v_log TG_CAT(v_log_, TG_SUFFIX)
#define v_log2 TG_CAT(v_log2_, TG_SUFFIX)
#define v_log10 TG_CAT(v_log10_, TG_SUFFIX)
#define v_log1p TG_CAT(v_log1p_, TG_SUFFIX)
#define v_tanh TG_CAT(v_tanh_, TG_SUFFIX)
#define v_sigmoid TG_CAT(v_sigmoid_, TG_SUFFIX)
#define v_erf TG_CAT(v_erf_, TG_SUFFIX)
#define v_erf_slope TG_CAT(v_erf_slope_, TG_SUFFIX)
#define v_softplus TG_CAT(v_softplus_, TG_SUFFIX)
#define v_silu TG_CAT(v_silu_, TG_SUFFIX)
#define v_silu_slope TG_CAT(v_silu_slope_, TG_SUFFIX)
#define v_gelu TG_CAT(v_gelu_, TG_SUFFIX)
#define v_gelu_slope TG_CAT(v_gelu_slope_, TG_SUFFIX)
#define v_gelu_tanh TG_CAT(v_gelu_tanh_, TG_SUFFIX)
#define v_gelu_tanh_slope TG_CAT(v_gelu_tanh_slope_, TG_SUFFIX)
#define v_sin TG_CAT(v_sin_, TG_SUFFIX)
#define v_cos TG_CAT(v_cos_, TG_SUFFIX)
#define v_tan TG_CAT(v_tan_, TG_SUFFIX)
#define v_asin TG_CAT(v_asin_, TG_SUFFIX)
#define v_acos TG_CAT(v_acos_, TG_SUFFIX)
#define v_atan TG_CAT(v_atan_, TG_SUFFIX)
#define v_atan2 TG_CAT(v_atan2_, TG_SUFFIX)
#define v_sinh TG_CAT(v_sinh_, TG_SUFFIX)
#define v_cosh TG_CAT(v_cosh_, TG_SUFFIX)
#define v_hypot TG_CAT(v_hypot_, TG_SUFFIX)
#define v_pow TG_CAT(v_pow_, TG_SUFFIX)

/* TG_MM(max) is the intrinsic of that name for the vector's width and element type. */
#if defined(__x86_64__)
#define TG_PS_f32 _ps
#define TG_PS_f64 _pd
#define TG_PS TG_CAT(TG_PS_, TG_SUFFIX)
#if TG_VECTOR_BYTES == 64
#define TG_MM_(op) _mm512_##op
#define TG_MM_VEC_f32 __m512
#define TG_MM_VEC_f64 __m512d
#define TG_MASK_f32 __mmask16
#define TG_MASK_f64 __mmask8
#define TG_MASK TG_CAT(TG_MASK_, TG_SUFFIX)
#define TG_ROUND_OP roundscale
#elif TG_VECTOR_BYTES == 32
#define TG_MM_(op) _mm256_##op
#define TG_MM_VEC_f32 __m256
#define TG_MM_VEC_f64 __m256d
#define TG_ROUND_OP round
#else
#define TG_MM_(op) _mm_##op
#define TG_MM_VEC_f32 __m128
#define TG_MM_VEC_f64 __m128d
#endif
#define TG_MM(op) TG_CAT(TG_MM_(op), TG_PS)
#define TG_MM_VEC TG_CAT(TG_MM_VEC_, TG_SUFFIX)
#endif

/* Whether v_fma rounds once. */
#if (defined(__x86_64__) && TG_VECTOR_BYTES >= 32) || defined(__aarch64__)
#define TG_HAS_FMA 1
#else
#define TG_HAS_FMA 0
#endif

/* The compiler must take v for a value it knows nothing of. */
#if defined(__x86_64__)
#define V_OPAQUE(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define V_OPAQUE(v) __asm__("" : "+w"(v))
#else
#define V_OPAQUE(v) (void)(v)
#endif

#define TG_INLINE static inline __attribute__((always_inline, unused))
