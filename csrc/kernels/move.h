/* move.h: transposes and sums in place; included once per element type. */

static void FN(transpose)(int64_t rows, int64_t cols, const void *srcp, int64_t src_stride, void *dstp,
                          int64_t dst_stride) {
    const integer *src = srcp;
    integer *dst = dstp;
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++) dst[c * dst_stride + r] = src[r * src_stride + c];
}

static void FN(accumulate)(int64_t n, const void *xp, void *yp) {
    const real *x = xp;
    real *y = yp;
    for (int64_t i = 0; i < n; i += LANES)
        v_store_upto(y + i, v_load_upto(y + i, n - i) + v_load_upto(x + i, n - i), n - i);
}

static const tg_move_kernels FN(move_kernels) = {FN(transpose), FN(accumulate)};
