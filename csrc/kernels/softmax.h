/* softmax.h: softmax along contiguous rows and the losses built on it; included once per element type.
 *
 * Wide rows are taken one at a time, a vector holding neighbouring columns. Narrow rows (a classifier's 10 classes) are taken
 * LANES at a time and transposed on the way, so that a vector holds one column of LANES rows: no lane is idle and no sum runs
 * across lanes. The row's maximum is subtracted first, so nothing overflows. A row of -inf alone gives NaN, as a NaN or +inf
 * in the row does.
 *
 * A wide row is walked two or three times, and memory rests in all walks but the first: so the last one, or the one with the
 * exponentials, asks for the next row.
 *
 * Order of a row's sum: narrow rows one column after the other; wide rows in leaves of 128 vectors as in reduce.h (with two
 * accumulators for sums of exponentials), leaf after leaf in double.
 */

enum { FN(NARROW_COLS) = 32 };

/* Up to LANES rows of up to NARROW_COLS columns: t[c] is column c. x: (rows, cols), t: (NARROW_COLS) */
static __attribute__((noinline)) void FN(load_columns)(int64_t rows, int64_t cols, const real *x, vec *t) {
    for (int64_t c = 0; c < cols; c += LANES) {
        vec tile[TG_VECTOR_BYTES * 8 / TG_BITS];
#pragma GCC unroll 16
        for (int64_t r = 0; r < LANES; r++) tile[r] = r < rows ? v_load_upto(x + r * cols + c, cols - c) : v_set(0);
        v_transpose(tile);
#pragma GCC unroll 16
        for (int64_t r = 0; r < LANES; r++) t[c + r] = tile[r];
    }
}

/* The way back; t is left as it was. y: (rows, cols) */
static __attribute__((noinline)) void FN(store_columns)(int64_t rows, int64_t cols, const vec *t, real *y) {
    for (int64_t c = 0; c < cols; c += LANES) {
        vec tile[TG_VECTOR_BYTES * 8 / TG_BITS];
#pragma GCC unroll 16
        for (int64_t r = 0; r < LANES; r++) tile[r] = t[c + r];
        v_transpose(tile);
#pragma GCC unroll 16
        for (int64_t r = 0; r < LANES; r++)
            if (r < rows) v_store_upto(y + r * cols + c, tile[r], cols - c);
    }
}

/* Of every lane's row: the maximum, which is returned, and the sum of t[c] = exp(t[c] - maximum). t: (cols) */
TG_INLINE vec FN(exp_columns)(int64_t cols, vec *t, vec *sum) {
    vec top = v_set(-INFINITY);
    for (int64_t c = 0; c < cols; c++) top = v_max(top, t[c]);
    *sum = v_set(0);
    for (int64_t c = 0; c < cols; c++) {
        t[c] = v_exp(t[c] - top);
        *sum += t[c];
    }
    return top;
}

/* The sum of exp(x - top) over one row, the terms stored in y if that is not NULL. x, y: (cols) */
TG_INLINE real FN(exp_row)(int64_t cols, const real *x, vec top, real *y) {
    const vec fill = v_set(-INFINITY); /* exp makes it 0 */
    double total = 0;
    for (int64_t from = 0; from < cols; from += FN(REDUCE_LEAF) * LANES) {
        const int64_t end = cols - from < FN(REDUCE_LEAF) * LANES ? cols : from + FN(REDUCE_LEAF) * LANES;
        vec sum[2] = {v_set(0), v_set(0)};
        int64_t c = from;
        for (; c + 2 * LANES <= end; c += 2 * LANES)
            for (int k = 0; k < 2; k++) {
                const vec e = v_exp(v_load(x + c + k * LANES) - top);
                __builtin_prefetch(x + cols + c + k * LANES);
                if (y) __builtin_prefetch(y + cols + c + k * LANES, 1);
                if (y) v_store(y + c + k * LANES, e);
                sum[k] += e;
            }
        for (; c < end; c += LANES) {
            const vec e = v_exp(v_load_fill(x + c, end - c, fill) - top);
            if (y) v_store_upto(y + c, e, end - c);
            sum[0] += e;
        }
        total += (double)FN(reduce_lanes)(TG_REDUCE_sum, sum[0] + sum[1])[0];
    }
    return (real)total;
}

/* y[c] *= scale. y: (cols) */
TG_INLINE void FN(scale_row)(int64_t cols, real *y, vec scale) {
    int64_t c = 0;
    for (; c + 2 * LANES <= cols; c += 2 * LANES)
        for (int k = 0; k < 2; k++) v_store(y + c + k * LANES, v_load(y + c + k * LANES) * scale);
    for (; c < cols; c += LANES) v_store_upto(y + c, v_load_upto(y + c, cols - c) * scale, cols - c);
}

/* The sum of a[c] b[c]. a, b: (cols) */
TG_INLINE real FN(dot_row)(int64_t cols, const real *a, const real *b) {
    double total = 0;
    for (int64_t from = 0; from < cols; from += FN(REDUCE_LEAF) * LANES) {
        const int64_t end = cols - from < FN(REDUCE_LEAF) * LANES ? cols : from + FN(REDUCE_LEAF) * LANES;
        vec sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
        int64_t c = from;
        for (; c + 4 * LANES <= end; c += 4 * LANES)
            for (int k = 0; k < 4; k++) sum[k] += v_load(a + c + k * LANES) * v_load(b + c + k * LANES);
        for (; c < end; c += LANES) sum[0] += v_load_upto(a + c, end - c) * v_load_upto(b + c, end - c);
        total += (double)FN(reduce_lanes)(TG_REDUCE_sum, (sum[0] + sum[2]) + (sum[1] + sum[3]))[0];
    }
    return (real)total;
}

/* What the gradient of the next row reads and writes. */
TG_INLINE void FN(fetch_gradient)(const real *a, const real *b, const real *gx) {
    __builtin_prefetch(a);
    __builtin_prefetch(b);
    __builtin_prefetch(gx, 1);
}

/* ---- softmax and log_softmax ------------------------------------------------------------------------------------ */

static void FN(softmax_fwd)(int64_t rows, int64_t cols, const void *xp, void *yp) {
    const real *x = xp;
    real *y = yp;
    if (cols <= FN(NARROW_COLS)) {
        for (int64_t r = 0; r < rows; r += LANES) {
            vec t[FN(NARROW_COLS)], sum;
            FN(load_columns)(rows - r, cols, x + r * cols, t);
            FN(exp_columns)(cols, t, &sum);
            const vec scale = v_set(1) / sum;
            for (int64_t c = 0; c < cols; c++) t[c] *= scale;
            FN(store_columns)(rows - r, cols, t, y + r * cols);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++, x += cols, y += cols) {
        const vec top = v_set((double)FN(reduce_row)(TG_REDUCE_max, cols, x));
        FN(scale_row)(cols, y, v_set(1 / (double)FN(exp_row)(cols, x, top, y)));
    }
}

static void FN(log_softmax_fwd)(int64_t rows, int64_t cols, const void *xp, void *yp) {
    const real *x = xp;
    real *y = yp;
    if (cols <= FN(NARROW_COLS)) {
        for (int64_t r = 0; r < rows; r += LANES) {
            vec t[FN(NARROW_COLS)], shifted[FN(NARROW_COLS)], sum;
            FN(load_columns)(rows - r, cols, x + r * cols, t);
            for (int64_t c = 0; c < cols; c++) shifted[c] = t[c];
            const vec top = FN(exp_columns)(cols, t, &sum), log_sum = v_log(sum);
            for (int64_t c = 0; c < cols; c++) t[c] = (shifted[c] - top) - log_sum;
            FN(store_columns)(rows - r, cols, t, y + r * cols);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++, x += cols, y += cols) {
        const vec top = v_set((double)FN(reduce_row)(TG_REDUCE_max, cols, x));
        const vec log_sum = v_log(v_set((double)FN(exp_row)(cols, x, top, NULL)));
        for (int64_t c = 0; c < cols; c += LANES) {
            __builtin_prefetch(y + cols + c, 1);
            v_store_upto(y + c, (v_load_upto(x + c, cols - c) - top) - log_sum, cols - c);
        }
    }
}

/* gx = y (gy - sum gy y) */
static void FN(softmax_bwd)(int64_t rows, int64_t cols, const void *gyp, const void *yp, void *gxp) {
    const real *gy = gyp, *y = yp;
    real *gx = gxp;
    if (cols <= FN(NARROW_COLS)) {
        for (int64_t r = 0; r < rows; r += LANES) {
            vec g[FN(NARROW_COLS)], t[FN(NARROW_COLS)], dot = v_set(0);
            FN(load_columns)(rows - r, cols, gy + r * cols, g);
            FN(load_columns)(rows - r, cols, y + r * cols, t);
            for (int64_t c = 0; c < cols; c++) dot += g[c] * t[c];
            for (int64_t c = 0; c < cols; c++) t[c] *= g[c] - dot;
            FN(store_columns)(rows - r, cols, t, gx + r * cols);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++, gy += cols, y += cols, gx += cols) {
        const vec dot = v_set((double)FN(dot_row)(cols, gy, y));
        for (int64_t c = 0; c < cols; c += LANES) {
            FN(fetch_gradient)(gy + cols + c, y + cols + c, gx + cols + c);
            v_store_upto(gx + c, v_load_upto(y + c, cols - c) * (v_load_upto(gy + c, cols - c) - dot), cols - c);
        }
    }
}

/* gx = gy - exp(y) sum gy */
static void FN(log_softmax_bwd)(int64_t rows, int64_t cols, const void *gyp, const void *yp, void *gxp) {
    const real *gy = gyp, *y = yp;
    real *gx = gxp;
    if (cols <= FN(NARROW_COLS)) {
        for (int64_t r = 0; r < rows; r += LANES) {
            vec g[FN(NARROW_COLS)], t[FN(NARROW_COLS)], sum = v_set(0);
            FN(load_columns)(rows - r, cols, gy + r * cols, g);
            FN(load_columns)(rows - r, cols, y + r * cols, t);
            for (int64_t c = 0; c < cols; c++) sum += g[c];
            for (int64_t c = 0; c < cols; c++) t[c] = g[c] - v_exp(t[c]) * sum;
            FN(store_columns)(rows - r, cols, t, gx + r * cols);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++, gy += cols, y += cols, gx += cols) {
        const vec sum = v_set((double)FN(reduce_row)(TG_REDUCE_sum, cols, gy));
        for (int64_t c = 0; c < cols; c += LANES) {
            FN(fetch_gradient)(gy + cols + c, y + cols + c, gx + cols + c);
            v_store_upto(gx + c, v_load_upto(gy + c, cols - c) - v_exp(v_load_upto(y + c, cols - c)) * sum, cols - c);
        }
    }
}

/* ---- logsumexp -------------------------------------------------------------------------------------------------- */

/* The maximum, or 0 where that is infinite: nothing has to be kept from overflowing there, and inf - inf is NaN. */
TG_INLINE vec FN(finite_top)(vec top) { return v_select(v_abs(top) == v_set(INFINITY), v_set(0), top); }

static void FN(logsumexp_fwd)(int64_t rows, int64_t cols, const void *xp, void *yp) {
    const real *x = xp;
    real *y = yp;
    if (cols <= FN(NARROW_COLS)) {
        for (int64_t r = 0; r < rows; r += LANES) {
            vec t[FN(NARROW_COLS)], top = v_set(-INFINITY), sum = v_set(0);
            FN(load_columns)(rows - r, cols, x + r * cols, t);
            for (int64_t c = 0; c < cols; c++) top = v_max(top, t[c]);
            top = FN(finite_top)(top);
            for (int64_t c = 0; c < cols; c++) sum += v_exp(t[c] - top);
            v_store_upto(y + r, top + v_log(sum), rows - r);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++, x += cols) {
        const vec top = FN(finite_top)(v_set((double)FN(reduce_row)(TG_REDUCE_max, cols, x)));
        y[r] = (top + v_log(v_set((double)FN(exp_row)(cols, x, top, NULL))))[0];
    }
}

/* gx = gy exp(x - y). gy, y: (rows) */
static void FN(logsumexp_bwd)(int64_t rows, int64_t cols, const void *gyp, const void *xp, const void *yp, void *gxp) {
    const real *gy = gyp, *x = xp, *y = yp;
    real *gx = gxp;
    for (int64_t r = 0; r < rows; r++, x += cols, gx += cols) {
        const vec lse = v_set((double)y[r]), g = v_set((double)gy[r]);
        for (int64_t c = 0; c < cols; c += LANES)
            v_store_upto(gx + c, g * v_exp(v_load_upto(x + c, cols - c) - lse), cols - c);
    }
}

/* ---- cross-entropy ---------------------------------------------------------------------------------------------- */

/* The maximum and log sum exp(x - maximum) of a block's rows; and in y, if that is not NULL, scale times their softmax.
 * x, y: (rows, cols), top, log_sum, scale: (rows rounded up to LANES); scale is not read without y */
static void FN(row_log_sums)(int64_t rows, int64_t cols, const real *x, real *top, real *log_sum, const real *scale,
                             real *y) {
    if (cols <= FN(NARROW_COLS)) {
        for (int64_t r = 0; r < rows; r += LANES) {
            vec t[FN(NARROW_COLS)], sum;
            FN(load_columns)(rows - r, cols, x + r * cols, t);
            v_store(top + r, FN(exp_columns)(cols, t, &sum));
            v_store(log_sum + r, v_log(sum));
            if (!y) continue;
            const vec factor = v_load(scale + r) / sum;
            for (int64_t c = 0; c < cols; c++) t[c] *= factor;
            FN(store_columns)(rows - r, cols, t, y + r * cols);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++, x += cols) {
        top[r] = FN(reduce_row)(TG_REDUCE_max, cols, x);
        const real sum = FN(exp_row)(cols, x, v_set((double)top[r]), y ? y + r * cols : NULL);
        log_sum[r] = v_log(v_set((double)sum))[0];
        if (y) FN(scale_row)(cols, y + r * cols, v_set((double)(scale[r] / sum)));
    }
}

/* sum_c w[c] ((top - x[c]) + log_sum): x, weight: (cols); weight may be NULL */
static real FN(smoothing_loss)(int64_t cols, const real *x, const real *weight, real top, real log_sum) {
    vec sum = v_set(0);
    for (int64_t c = 0; c < cols; c += LANES) {
        const vec w = weight ? v_load_upto(weight + c, cols - c) : v_set(1);
        const vec term = w * ((v_set((double)top) - v_load_upto(x + c, cols - c)) + v_set((double)log_sum));
        sum += cols - c >= LANES ? term : v_select(v_lane_index() < (integer)(cols - c), term, v_set(0));
    }
    return FN(reduce_lanes)(TG_REDUCE_sum, sum)[0];
}

/* gx[c] -= everywhere w[c]: gx, weight: (cols); weight may be NULL */
static void FN(smoothing_gradient)(int64_t cols, const real *weight, real everywhere, real *gx) {
    for (int64_t c = 0; c < cols; c += LANES) {
        const vec w = weight ? v_load_upto(weight + c, cols - c) : v_set(1);
        v_store_upto(gx + c, v_load_upto(gx + c, cols - c) - v_set((double)everywhere) * w, cols - c);
    }
}

/* With gx, also the gradient for gy = 1, in the same visit of the rows: see cross_entropy_bwd. */
static void FN(cross_entropy_fwd)(const tg_cross_entropy_call *call, int64_t begin, int64_t end) {
    const int64_t cols = call->cols;
    const real *weight = call->weight;
    const real s = (real)call->smoothing, total = (real)call->weight_total;
    const real g = 1 / (real)call->divisor, everywhere = g * s / (real)cols;
    for (int64_t from = begin; from < end; from += call->block) {
        const int64_t rows = end - from < call->block ? end - from : call->block, *labels = call->labels + from;
        const real *x = (const real *)call->x + from * cols;
        real *gx = call->gx ? (real *)call->gx + from * cols : NULL;
        real top[TG_SOFTMAX_BLOCK + 16], log_sum[TG_SOFTMAX_BLOCK + 16], scale[TG_SOFTMAX_BLOCK + 16];
        real loss[TG_SOFTMAX_BLOCK], label_weight[TG_SOFTMAX_BLOCK];
        for (int64_t r = 0; r < rows; r++) {
            label_weight[r] = labels[r] == call->ignore_index ? 0 : weight ? weight[labels[r]] : 1;
            scale[r] = g * (1 - s) * label_weight[r] + everywhere * total;
        }
        for (int64_t r = rows; r < (rows + LANES - 1) / LANES * LANES; r++) scale[r] = 0;
        FN(row_log_sums)(rows, cols, x, top, log_sum, scale, gx);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t label = labels[r];
            const real *row = x + r * cols;
            if (call->lse) ((real *)call->lse)[from + r] = top[r] + log_sum[r];
            loss[r] = 0;
            if (label == call->ignore_index) {
                if (gx) memset(gx + r * cols, 0, (size_t)cols * sizeof(real));
                continue;
            }
            /* not lse - x: top - x is exact where it matters, lse is rounded */
            loss[r] = (1 - s) * label_weight[r] * ((top[r] - row[label]) + log_sum[r]);
            if (s != 0) loss[r] += s / (real)cols * FN(smoothing_loss)(cols, row, weight, top[r], log_sum[r]);
            if (!gx) continue;
            if (s != 0) FN(smoothing_gradient)(cols, weight, everywhere, gx + r * cols);
            gx[r * cols + label] -= g * (1 - s) * label_weight[r];
        }
        if (call->loss) memcpy((real *)call->loss + from, loss, (size_t)rows * sizeof(real));
        call->sums[from / call->block] = (double)FN(reduce_row)(TG_REDUCE_sum, rows, loss);
    }
}

/* With p = softmax(x) and W = sum w: gx[c] = g ((1 - s) w[label] (p[c] - [c = label]) + s / cols (W p[c] - w[c])) */
static void FN(cross_entropy_bwd)(const tg_cross_entropy_call *call, int64_t begin, int64_t end) {
    const int64_t cols = call->cols;
    const real *weight = call->weight, *gy = call->gy;
    const real s = (real)call->smoothing, total = (real)call->weight_total;
    for (int64_t r = begin; r < end; r++) {
        const real *x = (const real *)call->x + r * cols;
        const int64_t label = call->labels[r];
        real *gx = (real *)call->gx + r * cols;
        if (label == call->ignore_index) {
            memset(gx, 0, (size_t)cols * sizeof(real));
            continue;
        }
        const vec lse = v_set((double)((const real *)call->saved_lse)[r]);
        const real g = gy[call->gy_per_row ? r : 0] / (real)call->divisor;
        const real at_label = g * (1 - s) * (weight ? weight[label] : 1), everywhere = g * s / (real)cols;
        const vec scale = v_set((double)(at_label + everywhere * total));
        if (s != 0) {
            for (int64_t c = 0; c < cols; c += LANES) {
                const vec w = weight ? v_load_upto(weight + c, cols - c) : v_set(1);
                const vec p = v_exp(v_load_upto(x + c, cols - c) - lse);
                v_store_upto(gx + c, scale * p - v_set((double)everywhere) * w, cols - c);
            }
        } else {
            for (int64_t c = 0; c < cols; c += LANES)
                v_store_upto(gx + c, scale * v_exp(v_load_upto(x + c, cols - c) - lse), cols - c);
        }
        gx[label] -= at_label;
    }
}

static const tg_softmax_kernels FN(softmax_kernels) = {{FN(softmax_fwd), FN(log_softmax_fwd)},
                                                       {FN(softmax_bwd), FN(log_softmax_bwd)},
                                                       FN(logsumexp_fwd),
                                                       FN(logsumexp_bwd),
                                                       FN(cross_entropy_fwd),
                                                       FN(cross_entropy_bwd)};
