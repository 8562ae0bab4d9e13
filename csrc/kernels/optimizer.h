/* optimizer.h: parameter updates and gradient norms; included once per element type. */

/* One vector of the update (Sutskever et al. 2013, with PyTorch's conventions); the flags are compile-time constants in each
 * caller, so that every variant is one pass without branches. */
TG_INLINE vec FN(sgd_step)(vec w, vec g, vec *v, int momentum, int started, vec sign, const tg_sgd_hyper *hyper) {
    g = sign * g + v_set(hyper->weight_decay) * w;
    if (momentum) {
        if (started)
            *v = v_set(hyper->momentum) * *v + v_set(1 - hyper->dampening) * g;
        else
            *v = g;
        if (hyper->nesterov)
            g = g + v_set(hyper->momentum) * *v;
        else
            g = *v;
    }
    return w - v_set(hyper->lr) * g;
}

static void FN(sgd)(int64_t n, void *wp, const void *gp, void *vp, int started, const tg_sgd_hyper *hyper) {
    real *w = wp, *vs = vp;
    const real *g = gp;
    const vec sign = v_set(hyper->maximize ? -1 : 1);
    for (int64_t i = 0; i < n; i += LANES) {
        vec v = vs && started ? v_load_upto(vs + i, n - i) : v_set(0);
        const vec next =
            FN(sgd_step)(v_load_upto(w + i, n - i), v_load_upto(g + i, n - i), &v, vs != NULL, started, sign, hyper);
        v_store_upto(w + i, next, n - i);
        if (vs) v_store_upto(vs + i, v, n - i);
    }
}

static double FN(multi_sumsq)(int64_t n, const void *xp) {
    const real *x = xp;
    double sums[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) sums[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) sums[i % 8] += (double)x[i] * (double)x[i];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

static void FN(multi_scale)(int64_t n, void *xp, double factor) {
    real *x = xp;
    for (int64_t i = 0; i < n; i += LANES) v_store_upto(x + i, v_load_upto(x + i, n - i) * v_set(factor), n - i);
}

static const tg_optimizer_kernels FN(optimizer_kernels) = {FN(sgd), FN(multi_sumsq), FN(multi_scale)};
