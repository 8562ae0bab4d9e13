/* norm.h: layer_norm (Ba, Kiros, Hinton 2016) and rms_norm (Zhang, Sennrich 2019) of contiguous rows; included once per element
 * type. With h = (x - mean) scale (mean 0 for rms_norm) and g = gy w:
 *     y = h w + b     gx = scale (g - mean(g) - h mean(g h)), without mean(g) for rms_norm     gw = sum gy h     gb = sum gy
 *
 * Narrow rows are transposed LANES at a time as in softmax.h. Order of sums: mean and variance of wide rows as in moments.h; the
 * two means of a gradient in leaves of 128 vectors, then in double; narrow rows one column after the other. The sums over rows
 * that gw and gb are go through groups of 4 rows (1 where rows are long) within a block (narrow: lane by lane, then across
 * lanes), whose size follows from the shape alone; families/norm.c reduces the blocks in pairs. The last walk over a row asks for
 * the next one, as in softmax.h.
 */

enum {
    FN(NORM_GROUP) = 4,            /* rows whose shares of gw and gb meet in a register */
    FN(NORM_GROUP_BYTES) = 1 << 12 /* of a row, at most: the x, gy and gx of a group then stay in the L1 cache */
};

TG_INLINE void FN(norm_forward)(const tg_norm_call *call, int centered, int64_t begin, int64_t end) {
    const int64_t cols = call->cols;
    const real *weight = call->weight, *bias = call->bias;
    real *means = call->mean, *scales = call->scale;
    const double share = 1 / (double)cols;
    if (cols <= FN(NARROW_COLS)) {
        for (int64_t r = begin; r < end; r += LANES) {
            vec t[FN(NARROW_COLS)], mean = v_set(0), square = v_set(0);
            FN(load_columns)(end - r, cols, (const real *)call->x + r * cols, t);
            for (int64_t c = 0; c < cols && centered; c++) mean += t[c];
            mean *= v_set(share);
            for (int64_t c = 0; c < cols; c++) {
                if (centered) t[c] -= mean;
                square += t[c] * t[c];
            }
            const vec scale = v_set(1) / v_sqrt(square * v_set(share) + v_set(call->eps));
            for (int64_t c = 0; c < cols; c++) {
                t[c] *= scale;
                if (weight) t[c] *= v_set((double)weight[c]);
                if (bias) t[c] += v_set((double)bias[c]);
            }
            FN(store_columns)(end - r, cols, t, (real *)call->y + r * cols);
            if (centered) v_store_upto(means + r, mean, end - r);
            v_store_upto(scales + r, scale, end - r);
        }
        return;
    }
    for (int64_t r = begin; r < end; r++) {
        const real *x = (const real *)call->x + r * cols;
        real *y = (real *)call->y + r * cols;
        double mean = 0, square;
        if (centered) {
            const tg_moments m = FN(moments_row)(cols, x, x[0]);
            mean = (double)x[0] + m.mean;
            square = m.squares;
            means[r] = (real)mean;
        } else {
            square = (double)FN(reduce_row)(TG_REDUCE_sumsq, cols, x);
        }
        scales[r] = (real)(1 / sqrt(square * share + call->eps));
        const vec center = v_set(mean), scale = v_set((double)scales[r]);
        for (int64_t c = 0; c < cols; c += LANES) {
            vec h = v_load_upto(x + c, cols - c);
            __builtin_prefetch(x + cols + c);
            __builtin_prefetch(y + cols + c, 1);
            if (centered) h -= center;
            h *= scale;
            if (weight) h *= v_load_upto(weight + c, cols - c);
            if (bias) h += v_load_upto(bias + c, cols - c);
            v_store_upto(y + c, h, cols - c);
        }
    }
}

static void FN(norm_fwd)(const tg_norm_call *call, int64_t begin, int64_t end) {
    if (call->centered)
        FN(norm_forward)(call, 1, begin, end);
    else
        FN(norm_forward)(call, 0, begin, end);
}

/* The sums of all columns' lanes are added to out. t: (cols rounded up to LANES), overwritten; out: (cols) */
static __attribute__((noinline)) void FN(add_column_sums)(int64_t cols, vec *t, real *out) {
    for (int64_t c = 0; c < cols; c += LANES) {
        v_transpose(t + c);
        for (int64_t half = LANES / 2; half; half /= 2)
            for (int64_t k = 0; k < half; k++) t[c + k] += t[c + k + half];
        v_store_upto(out + c, v_load_upto(out + c, cols - c) + t[c], cols - c);
    }
}

/* Rows of one block. gw, gb: (cols), added to, or NULL */
TG_INLINE void FN(norm_narrow_gradient)(const tg_norm_call *call, int centered, int64_t begin, int64_t end, real *gw,
                                        real *gb) {
    const int64_t cols = call->cols;
    const real *weight = call->weight;
    vec sum_w[FN(NARROW_COLS)], sum_b[FN(NARROW_COLS)];
    for (int64_t c = 0; c < FN(NARROW_COLS); c++) sum_w[c] = sum_b[c] = v_set(0);
    for (int64_t r = begin; r < end; r += LANES) {
        vec g[FN(NARROW_COLS)], h[FN(NARROW_COLS)], sum = v_set(0), dot = v_set(0);
        const vec scale = v_load_upto((const real *)call->scale + r, end - r); /* 0 in lanes without a row */
        const vec mean = centered ? v_load_upto((const real *)call->mean + r, end - r) : v_set(0);
        FN(load_columns)(end - r, cols, (const real *)call->gy + r * cols, g);
        FN(load_columns)(end - r, cols, (const real *)call->x + r * cols, h);
        for (int64_t c = 0; c < cols; c++) {
            h[c] = (h[c] - mean) * scale;
            if (gw) sum_w[c] += g[c] * h[c];
            if (gw) sum_b[c] += g[c];
            if (weight) g[c] *= v_set((double)weight[c]);
            if (centered) sum += g[c];
            dot += g[c] * h[c];
        }
        if (!call->gx) continue;
        const vec share = v_set(1 / (double)cols), mean_g = sum * share, mean_gh = dot * share;
        for (int64_t c = 0; c < cols; c++) g[c] = scale * ((g[c] - mean_g) - h[c] * mean_gh);
        FN(store_columns)(end - r, cols, g, (real *)call->gx + r * cols);
    }
    if (gw) FN(add_column_sums)(cols, sum_w, gw);
    if (gw) FN(add_column_sums)(cols, sum_b, gb);
}

/* sum g and sum g h over one row. x, gy, weight: (cols); weight may be NULL */
TG_INLINE void FN(norm_row_sums)(int64_t cols, int centered, const real *x, const real *gy, const real *weight,
                                 vec mean, vec scale, double *sum, double *dot) {
    *sum = *dot = 0;
    for (int64_t from = 0; from < cols; from += FN(REDUCE_LEAF) * LANES) {
        const int64_t end = cols - from < FN(REDUCE_LEAF) * LANES ? cols : from + FN(REDUCE_LEAF) * LANES;
        vec s[4] = {v_set(0), v_set(0), v_set(0), v_set(0)}, d[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
        int64_t c = from;
        for (; c + 4 * LANES <= end; c += 4 * LANES)
            for (int k = 0; k < 4; k++) {
                vec g = v_load(gy + c + k * LANES), h = v_load(x + c + k * LANES);
                if (weight) g *= v_load(weight + c + k * LANES);
                if (centered) h -= mean, s[k] += g;
                d[k] = v_fma(g, h, d[k]);
            }
        for (; c < end; c += LANES) {
            vec g = v_load_upto(gy + c, end - c), h = v_load_upto(x + c, end - c);
            if (weight) g *= v_load_upto(weight + c, end - c);
            if (centered) h -= mean, s[0] += g;
            d[0] = v_fma(g, h, d[0]); /* g is 0 beyond the end */
        }
        if (centered) *sum += (double)FN(reduce_lanes)(TG_REDUCE_sum, (s[0] + s[2]) + (s[1] + s[3]))[0];
        *dot += (double)FN(reduce_lanes)(TG_REDUCE_sum, (d[0] + d[2]) + (d[1] + d[3]))[0];
    }
    *dot *= (double)scale[0];
}

/* `count` rows, whose shares of gw and gb are added up on the way. gw, gb: (cols) or NULL */
TG_INLINE void FN(norm_rows_gradient)(const tg_norm_call *call, int centered, int64_t r, int count, real *gw,
                                      real *gb) {
    const int64_t cols = call->cols;
    const real *x = (const real *)call->x + r * cols, *gy = (const real *)call->gy + r * cols, *weight = call->weight;
    real *gx = call->gx ? (real *)call->gx + r * cols : NULL;
    vec mean[FN(NORM_GROUP)], scale[FN(NORM_GROUP)], mean_g[FN(NORM_GROUP)], mean_gh[FN(NORM_GROUP)];
    for (int k = 0; k < count; k++) {
        double sum = 0, dot = 0;
        scale[k] = v_set((double)((const real *)call->scale)[r + k]);
        mean[k] = v_set(centered ? (double)((const real *)call->mean)[r + k] : 0);
        if (gx) FN(norm_row_sums)(cols, centered, x + k * cols, gy + k * cols, weight, mean[k], scale[k], &sum, &dot);
        mean_g[k] = v_set(sum / (double)cols);
        mean_gh[k] = v_set(dot / (double)cols);
    }
    for (int64_t c = 0; c < cols; c += LANES) {
        vec sum_w = v_set(0), sum_b = v_set(0), w = v_set(1);
        if (weight) w = v_load_upto(weight + c, cols - c);
#pragma GCC unroll 4
        for (int k = 0; k < count; k++) {
            const int64_t at = k * cols + c;
            const vec up = v_load_upto(gy + at, cols - c);
            vec h = v_load_upto(x + at, cols - c);
            FN(fetch_gradient)(gy + at + count * cols, x + at + count * cols, gx + at + count * cols);
            if (centered) h -= mean[k];
            h *= scale[k];
            sum_w = v_fma(up, h, sum_w);
            sum_b += up;
            if (!gx) continue;
            vec g = up * w;
            if (centered) g -= mean_g[k];
            v_store_upto(gx + at, scale[k] * (g - h * mean_gh[k]), cols - c);
        }
        if (!gw) continue;
        v_store_upto(gw + c, v_load_upto(gw + c, cols - c) + sum_w, cols - c);
        v_store_upto(gb + c, v_load_upto(gb + c, cols - c) + sum_b, cols - c);
    }
}

TG_INLINE void FN(norm_gradient)(const tg_norm_call *call, int centered, int64_t begin, int64_t end) {
    const int64_t cols = call->cols;
    for (int64_t from = begin; from < end; from += call->block) {
        const int64_t to = end - from < call->block ? end : from + call->block;
        real *gw = call->partial ? (real *)call->partial + from / call->block * 2 * cols : NULL,
             *gb = gw ? gw + cols : NULL;
        if (gw) memset(gw, 0, (size_t)cols * 2 * sizeof(real));
        if (cols <= FN(NARROW_COLS))
            FN(norm_narrow_gradient)(call, centered, from, to, gw, gb);
        else {
            int64_t r = from;
            if (gw && cols * (int64_t)sizeof(real) <= FN(NORM_GROUP_BYTES))
                for (; r + FN(NORM_GROUP) <= to; r += FN(NORM_GROUP))
                    FN(norm_rows_gradient)(call, centered, r, FN(NORM_GROUP), gw, gb);
            for (; r < to; r++) FN(norm_rows_gradient)(call, centered, r, 1, gw, gb);
        }
    }
}

static void FN(norm_bwd)(const tg_norm_call *call, int64_t begin, int64_t end) {
    if (call->centered)
        FN(norm_gradient)(call, 1, begin, end);
    else
        FN(norm_gradient)(call, 0, begin, end);
}

static const tg_norm_kernels FN(norm_kernels) = {FN(norm_fwd), FN(norm_bwd)};
