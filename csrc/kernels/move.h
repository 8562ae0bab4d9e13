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
            for (int64_t k = 0; k < LANES; k++) t[k] = v_load((const real *)src + (r + k) * src_stride + c);
            v_transpose(t);
            for (int64_t k = 0; k < LANES; k++) v_store((real *)dst + (c + k) * dst_stride + r, t[k]);
        }
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = c < full_cols ? full_rows : 0; r < rows; r++)
            dst[c * dst_stride + r] = src[r * src_stride + c];
}

static void FN(accumulate)(int64_t n, const void *xp, void *yp) {
    const real *x = xp;
    real *y = yp;
    TG_FOR_VECTORS(CHEAP, n, v_store_upto(y + i, v_load_upto(y + i, count) + v_load_upto(x + i, count), count));
}

static const tg_move_kernels FN(move_kernels) = {FN(transpose), FN(accumulate)};
