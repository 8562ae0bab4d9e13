/* gemm_pack.h: operands rearranged for the micro-kernels; included once per element type. */

/* Elements in 128 bits: transposition works in 128-bit pieces, since loading those needs no shuffle. */
#define QUAD ((int64_t)(16 / sizeof(real)))

/* Every 128-bit piece p of the result is the QUAD elements at `from` + (p * QUAD + row) * step, `count` rows existing: the
 * last one stands in for those beyond it. If `wrap` is less than LANES the pieces past so many rows are of the columns that
 * follow. */
TG_INLINE vec FN(gather_quads)(const real *from, int64_t step, int64_t row, int64_t count, const int64_t wrap) {
    const int64_t last = count - 1;
#define QUAD_ROW(piece) (((piece) * QUAD + row) % wrap)
#define QUAD_AT(piece) \
    (from + (QUAD_ROW(piece) < last ? QUAD_ROW(piece) : last) * step + ((piece) * QUAD + row) / wrap * QUAD)
#if TG_VECTOR_BYTES == 64
#if TG_BITS == 32
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(QUAD_AT(0)));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(QUAD_AT(1)), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(QUAD_AT(2)), 2);
    return (vec)_mm512_insertf32x4(v, _mm_loadu_ps(QUAD_AT(3)), 3);
#else
    __m512d v = _mm512_castpd128_pd512(_mm_loadu_pd(QUAD_AT(0)));
    v = _mm512_insertf64x2(v, _mm_loadu_pd(QUAD_AT(1)), 1);
    v = _mm512_insertf64x2(v, _mm_loadu_pd(QUAD_AT(2)), 2);
    return (vec)_mm512_insertf64x2(v, _mm_loadu_pd(QUAD_AT(3)), 3);
#endif
#elif TG_VECTOR_BYTES == 32
#if TG_BITS == 32
    return (vec)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(QUAD_AT(0))), _mm_loadu_ps(QUAD_AT(1)), 1);
#else
    return (vec)_mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(QUAD_AT(0))), _mm_loadu_pd(QUAD_AT(1)), 1);
#endif
#else
    return v_load(QUAD_AT(0));
#endif
#undef QUAD_AT
#undef QUAD_ROW
}

/* Interleaves the low or high halves of the 128-bit pieces of a and b, in units of 32 or 64 bits. */
#if TG_VECTOR_BYTES == 64
#define ZIP_LOW_32(a, b) ((vec)_mm512_unpacklo_ps((__m512)(a), (__m512)(b)))
#define ZIP_HIGH_32(a, b) ((vec)_mm512_unpackhi_ps((__m512)(a), (__m512)(b)))
#define ZIP_LOW_64(a, b) ((vec)_mm512_unpacklo_pd((__m512d)(a), (__m512d)(b)))
#define ZIP_HIGH_64(a, b) ((vec)_mm512_unpackhi_pd((__m512d)(a), (__m512d)(b)))
#elif TG_VECTOR_BYTES == 32
#define ZIP_LOW_32(a, b) ((vec)_mm256_unpacklo_ps((__m256)(a), (__m256)(b)))
#define ZIP_HIGH_32(a, b) ((vec)_mm256_unpackhi_ps((__m256)(a), (__m256)(b)))
#define ZIP_LOW_64(a, b) ((vec)_mm256_unpacklo_pd((__m256d)(a), (__m256d)(b)))
#define ZIP_HIGH_64(a, b) ((vec)_mm256_unpackhi_pd((__m256d)(a), (__m256d)(b)))
#elif defined(__aarch64__)
#define ZIP_LOW_32(a, b) ((vec)vzip1q_f32((float32x4_t)(a), (float32x4_t)(b)))
#define ZIP_HIGH_32(a, b) ((vec)vzip2q_f32((float32x4_t)(a), (float32x4_t)(b)))
#define ZIP_LOW_64(a, b) ((vec)vzip1q_f64((float64x2_t)(a), (float64x2_t)(b)))
#define ZIP_HIGH_64(a, b) ((vec)vzip2q_f64((float64x2_t)(a), (float64x2_t)(b)))
#elif defined(__x86_64__)
#define ZIP_LOW_32(a, b) ((vec)_mm_unpacklo_ps((__m128)(a), (__m128)(b)))
#define ZIP_HIGH_32(a, b) ((vec)_mm_unpackhi_ps((__m128)(a), (__m128)(b)))
#define ZIP_LOW_64(a, b) ((vec)_mm_unpacklo_pd((__m128d)(a), (__m128d)(b)))
#define ZIP_HIGH_64(a, b) ((vec)_mm_unpackhi_pd((__m128d)(a), (__m128d)(b)))
#else
#define ZIP_PORTABLE
#endif

/* Turns round 128-bit pieces of QUAD rows: piece p of out[q] is element q of piece p of rows 0..QUAD - 1. */
TG_INLINE void FN(zip_quads)(const vec *rows, vec *out) {
#ifdef ZIP_PORTABLE
    for (int64_t q = 0; q < QUAD; q++)
        for (int64_t r = 0; r < LANES; r++) out[q][r] = rows[r % QUAD][r / QUAD * QUAD + q];
#elif TG_BITS == 32
    const vec low01 = ZIP_LOW_32(rows[0], rows[1]), high01 = ZIP_HIGH_32(rows[0], rows[1]);
    const vec low23 = ZIP_LOW_32(rows[2], rows[3]), high23 = ZIP_HIGH_32(rows[2], rows[3]);
    out[0] = ZIP_LOW_64(low01, low23);
    out[1] = ZIP_HIGH_64(low01, low23);
    out[2] = ZIP_LOW_64(high01, high23);
    out[3] = ZIP_HIGH_64(high01, high23);
#else
    out[0] = ZIP_LOW_64(rows[0], rows[1]);
    out[1] = ZIP_HIGH_64(rows[0], rows[1]);
#endif
}
#undef ZIP_LOW_32
#undef ZIP_HIGH_32
#undef ZIP_LOW_64
#undef ZIP_HIGH_64
#undef ZIP_PORTABLE

/* out[q] lane r = from[r * step + q], r < LANES, q < QUAD. Of the rows, `count` exist. With wrap < LANES lane r is
 * from[(r % wrap) * step + r / wrap * QUAD + q]. */
TG_INLINE void FN(transpose_quads)(const real *from, int64_t step, int64_t count, const int64_t wrap, vec *out) {
    vec rows[16 / sizeof(real)];
#pragma GCC unroll 4
    for (int64_t r = 0; r < QUAD; r++) rows[r] = FN(gather_quads)(from, step, r, count, wrap);
    FN(zip_quads)(rows, out);
}

/* One column of up to LANES rows. */
TG_INLINE vec FN(gather_column)(const real *from, int64_t step, int64_t count) {
    vec v = {0};
    for (int64_t r = 0; r < count; r++) v[r] = from[r * step];
    return v;
}

#if TG_VECTOR_BYTES == 64
/* to[k, j] = from[j, k], j and k < LANES. Each cache line of `from` is read in one go: rows a page apart share a cache set, and
 * would drive each other out. from: (LANES, LANES) with step `step`; to: (LANES, LANES) with step `width` */
TG_INLINE void FN(transpose_square)(const real *from, int64_t step, real *to, int64_t width) {
    vec rows[LANES], out[16 / sizeof(real)];
#pragma GCC unroll 4
    for (int64_t r = 0; r < QUAD; r++)
#pragma GCC unroll 4
        for (int64_t k = 0; k < LANES; k += QUAD) rows[k + r] = FN(gather_quads)(from + k, step, r, LANES, LANES);
#pragma GCC unroll 4
    for (int64_t k = 0; k < LANES; k += QUAD) {
        FN(zip_quads)(rows + k, out);
#pragma GCC unroll 4
        for (int64_t q = 0; q < QUAD; q++) v_store(to + (k + q) * width, out[q]);
    }
}
#endif

/* packed[k, j] = from[j, k]: the panel of `columns` rows of a transposed b, cut to whole vectors; what fills the last vector
 * up is never stored by a tile. from: (columns, steps) with step `from_step`; packed: (steps, width) */
static void FN(pack_transposed)(int64_t steps, int64_t columns, const real *from, int64_t from_step, real *packed,
                                int64_t width) {
    for (int64_t j = 0; j < columns; j += LANES, from += LANES * from_step, packed += LANES) {
        const int64_t count = columns - j < LANES ? columns - j : LANES;
        int64_t k = 0;
        vec out[16 / sizeof(real)];
        if (count == LANES) {
#if TG_VECTOR_BYTES == 64
            for (; k + LANES <= steps; k += LANES) FN(transpose_square)(from + k, from_step, packed + k * width, width);
#endif
            for (; k + QUAD <= steps; k += QUAD) {
                FN(transpose_quads)(from + k, from_step, LANES, LANES, out);
                for (int64_t q = 0; q < QUAD; q++) v_store(packed + (k + q) * width, out[q]);
            }
        } else {
            for (; k + QUAD <= steps; k += QUAD) {
                FN(transpose_quads)(from + k, from_step, count, LANES, out);
                for (int64_t q = 0; q < QUAD; q++) v_store(packed + (k + q) * width, out[q]);
            }
        }
        for (; k < steps; k++) v_store(packed + k * width, FN(gather_column)(from + k, from_step, count));
    }
}

#if GEMM_GROUP > 1
/* packed[k, r] = from[r, k], r < rows <= GEMM_GROUP. from: (rows, steps) with step `from_step`; packed: (steps, GEMM_GROUP) */
static void FN(pack_group)(int64_t steps, int64_t rows, const real *from, int64_t from_step, real *packed) {
    enum { PARTS = LANES / GEMM_GROUP }; /* blocks of QUAD steps that fill a vector */
    int64_t k = 0;
    vec out[16 / sizeof(real)];
    if (rows == GEMM_GROUP)
        for (; k + PARTS * QUAD <= steps; k += PARTS * QUAD) {
            FN(transpose_quads)(from + k, from_step, GEMM_GROUP, GEMM_GROUP, out);
            for (int64_t q = 0; q < QUAD; q++)
                for (int64_t part = 0; part < PARTS; part++)
                    memcpy(packed + (k + part * QUAD + q) * GEMM_GROUP, (const real *)&out[q] + part * GEMM_GROUP,
                           GEMM_GROUP * sizeof(real));
        }
    for (; k < steps; k++)
        for (int64_t r = 0; r < rows; r++) packed[k * GEMM_GROUP + r] = from[r * from_step + k];
}

/* packed[g, k, r] = from[k, g * GEMM_GROUP + r]. from: (steps, rows) with step `from_step`; packed: groups, group_step apart, of
 * (steps, GEMM_GROUP) */
static void FN(pack_groups)(int64_t steps, int64_t rows, const real *from, int64_t from_step, real *packed,
                            int64_t group_step) {
    const int64_t whole = rows / GEMM_GROUP;
    for (int64_t k = 0; k < steps; k++, from += from_step, packed += GEMM_GROUP) {
        for (int64_t g = 0; g < whole; g++)
            memcpy(packed + g * group_step, from + g * GEMM_GROUP, GEMM_GROUP * sizeof(real));
        for (int64_t r = whole * GEMM_GROUP; r < rows; r++)
            packed[whole * group_step + r - whole * GEMM_GROUP] = from[r];
    }
}
#endif

/* packed[k, j] = from[k, j], for a panel that does not fill its vectors. from: (steps, columns), packed: (steps, width) */
static void FN(pack_cut)(int64_t steps, int64_t columns, const real *from, int64_t from_step, real *packed,
                         int64_t width) {
    const int64_t whole = columns - columns % LANES;
    for (int64_t k = 0; k < steps; k++, from += from_step, packed += width) {
        for (int64_t j = 0; j < whole; j += LANES) v_store(packed + j, v_load(from + j));
        if (whole < columns) v_store(packed + whole, v_load_part(from + whole, columns - whole));
    }
}

/* c = finish(fromᵀ), the last step of a product that was computed transposed. from: (columns, rows) with step `from_step`;
 * c: (rows, columns) with step ldc */
static void FN(store_transposed)(int64_t rows, int64_t columns, const real *from, int64_t from_step, real *c,
                                 int64_t ldc, const real *bias, int relu) {
    for (int64_t j = 0; j < columns; j += LANES, from += LANES * from_step) {
        const int64_t count = columns - j < LANES ? columns - j : LANES;
        const vec add = bias ? v_load_upto(bias + j, count) : v_set(0);
        vec out[16 / sizeof(real)];
        for (int64_t i = 0; i < rows; i += QUAD) {
            const int64_t there = rows - i < QUAD ? rows - i : QUAD;
            if (there == QUAD)
                FN(transpose_quads)(from + i, from_step, count, LANES, out);
            else
                for (int64_t q = 0; q < there; q++) out[q] = FN(gather_column)(from + i + q, from_step, count);
            for (int64_t q = 0; q < there; q++) {
                vec sum = out[q];
                if (bias) sum += add;
                if (relu) sum = v_select(sum < v_set(0), v_set(0), sum);
                v_store_upto(c + (i + q) * ldc + j, sum, count);
            }
        }
    }
}
