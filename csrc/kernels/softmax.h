/* softmax.h: softmax along contiguous rows and the losses built on it; included once per element type. */

/* The maximum and the sum of exp(x - max) of one row. x: (cols) */
TG_INLINE real FN(row_max_sum)(int64_t cols, const real *x, real *sum_out) {
    real top = x[0];
    for (int64_t c = 1; c < cols; c++) top = top > x[c] || top != top ? top : x[c];
    double sum = 0;
    for (int64_t c = 0; c < cols; c++) sum += exp((double)(x[c] - top));
    *sum_out = (real)sum;
    return top;
}

static void FN(softmax_fwd)(int64_t rows, int64_t cols, const void *xp, void *yp) {
    for (int64_t r = 0; r < rows; r++) {
        const real *x = (const real *)xp + r * cols;
        real *y = (real *)yp + r * cols, sum;
        const real top = FN(row_max_sum)(cols, x, &sum);
        for (int64_t c = 0; c < cols; c++) y[c] = (real)exp((double)(x[c] - top)) / sum;
    }
}

static void FN(log_softmax_fwd)(int64_t rows, int64_t cols, const void *xp, void *yp) {
    for (int64_t r = 0; r < rows; r++) {
        const real *x = (const real *)xp + r * cols;
        real *y = (real *)yp + r * cols, sum;
        const real top = FN(row_max_sum)(cols, x, &sum), log_sum = (real)log((double)sum);
        for (int64_t c = 0; c < cols; c++) y[c] = x[c] - top - log_sum;
    }
}

static void FN(softmax_bwd)(int64_t rows, int64_t cols, const void *gyp, const void *yp, void *gxp) {
    for (int64_t r = 0; r < rows; r++) {
        const real *gy = (const real *)gyp + r * cols, *y = (const real *)yp + r * cols;
        real *gx = (real *)gxp + r * cols;
        double dot = 0;
        for (int64_t c = 0; c < cols; c++) dot += (double)gy[c] * (double)y[c];
        for (int64_t c = 0; c < cols; c++) gx[c] = y[c] * (gy[c] - (real)dot);
    }
}

static void FN(log_softmax_bwd)(int64_t rows, int64_t cols, const void *gyp, const void *yp, void *gxp) {
    for (int64_t r = 0; r < rows; r++) {
        const real *gy = (const real *)gyp + r * cols, *y = (const real *)yp + r * cols;
        real *gx = (real *)gxp + r * cols;
        double sum = 0;
        for (int64_t c = 0; c < cols; c++) sum += (double)gy[c];
        for (int64_t c = 0; c < cols; c++) gx[c] = gy[c] - (real)exp((double)y[c]) * (real)sum;
    }
}

static void FN(cross_entropy_fwd)(const tg_cross_entropy_call *call, int64_t begin, int64_t end) {
    const int64_t cols = call->cols;
    const real *weight = call->weight;
    const real s = (real)call->smoothing;
    for (int64_t r = begin; r < end; r++) {
        const real *x = (const real *)call->x + r * cols;
        const int64_t label = call->labels[r];
        real *loss = (real *)call->loss + r, *lse = (real *)call->lse + r, sum;
        *loss = *lse = 0;
        if (label == call->ignore_index) continue;
        const real top = FN(row_max_sum)(cols, x, &sum);
        *lse = top + (real)log((double)sum);
        *loss = (1 - s) * (weight ? weight[label] : 1) * (*lse - x[label]);
        if (s != 0) {
            real smooth = 0;
            for (int64_t c = 0; c < cols; c++) smooth += (weight ? weight[c] : 1) * (*lse - x[c]);
            *loss += s / (real)cols * smooth;
        }
    }
}

static void FN(cross_entropy_bwd)(const tg_cross_entropy_call *call, int64_t begin, int64_t end) {
    const int64_t cols = call->cols;
    const real *weight = call->weight;
    const real s = (real)call->smoothing;
    for (int64_t r = begin; r < end; r++) {
        const real *x = (const real *)call->x + r * cols;
        const int64_t label = call->labels[r];
        real *gx = (real *)call->gx + r * cols;
        if (label == call->ignore_index) {
            memset(gx, 0, (size_t)cols * sizeof(real));
            continue;
        }
        const real lse = ((const real *)call->saved_lse)[r];
        const real g = ((const real *)call->gy)[call->gy_per_row ? r : 0] / (real)call->divisor;
        const real at_label = g * (1 - s) * (weight ? weight[label] : 1);
        const real everywhere = s != 0 ? g * s / (real)cols : 0;
        const real scale = at_label + everywhere * (real)call->weight_total;
        for (int64_t c = 0; c < cols; c++) {
            gx[c] = scale * (real)exp((double)(x[c] - lse));
            if (s != 0) gx[c] -= everywhere * (weight ? weight[c] : 1);
        }
        gx[label] -= at_label;
    }
}

static const tg_softmax_kernels FN(softmax_kernels) = {
    {FN(softmax_fwd), FN(log_softmax_fwd)}, {FN(softmax_bwd), FN(log_softmax_bwd)}, FN(cross_entropy_fwd), FN(cross_entropy_bwd)};
