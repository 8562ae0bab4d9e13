/* move.h: transposes and sums in place; included once per element type. */

/* Squares of LANES x LANES in registers; what is left at the edges one by one. */
static void FN(transpose)(int64_t rows, int64_t cols, const void *srcp, int64_t src_stride, void *dstp,
                          int64_t dst_stride) {
    const integer *src = srcp;
    integer *dst = dstp;
    const int64_t full_rows = rows - rows % LANES, full_cols = cols - cols % LANES;
    for (int64_t r = 0; r < full_rows; r += LANES)
        for (int64_t c = 0; c < full_cols; c += LANES) {
            vec t[TG_VECTOR_BYTES / sizeof(real)];
            for (int64_t k = 0; k < LANES; k++) {
                const integer *line = src + (r + k) * src_stride + c;
                t[k] = v_load((const real *)line);
                __builtin_prefetch(line + LANES * src_stride, 0, 2); /* the square below: no CPU foresees such steps */
            }
            v_transpose(t);
            for (int64_t k = 0; k < LANES; k++) v_store((real *)dst + (c + k) * dst_stride + r, t[k]);
        }
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = c < full_cols ? full_rows : 0; r < rows; r++)
            dst[c * dst_stride + r] = src[r * src_stride + c];
}

/* Past the caches, so that the lines of dst are not read first. On x86 only; elsewhere a copy. The
 * caller fences. */
static void FN(stream)(int64_t n, const void *srcp, void *dstp) {
    const real *src = srcp;
    real *dst = dstp;
    int64_t i = 0;
#if defined(__x86_64__)
    for (; n - i >= LANES; i += LANES) TG_MM(stream)(dst + i, (TG_MM_VEC)v_load(src + i));
#endif
    for (; i < n; i += LANES) v_store_upto(dst + i, v_load_upto(src + i, n - i), n - i);
}

static void FN(accumulate)(int64_t n, const void *xp, void *yp) {
    const real *x = xp;
    real *y = yp;
    TG_FOR_VECTORS(CHEAP, n, v_store_upto(y + i, v_load_upto(y + i, count) + v_load_upto(x + i, count), count));
}

static const tg_move_kernels FN(move_kernels) = {FN(transpose), FN(accumulate), FN(stream)};
