/* optimizer.h: parameter updates and gradient norms; included once per element type. Every update is one pass that reads and
 * writes each element once. The numbers of a step become vectors before its loop: inside, they would be read anew for every
 * vector, since for all the compiler knows a store to a parameter changes them. A gradient times its factor is multiplied by the
 * sign before anything is added: so no compiler makes it part of a multiply-add, and it is rounded as if it had been stored. */

/* ---- SGD: Sutskever et al. 2013, with PyTorch's conventions ------------------------------------------------------ */

typedef struct {
    vec factor, lr, sign, decay, momentum, fresh;
} FN(sgd_vectors);

/* The first `count` elements, at most LANES. momentum and nesterov are constants in each caller: no branch is left. */
TG_INLINE void FN(sgd_at)(int64_t count, real *w, const real *g, real *v, int momentum, int nesterov,
                          const FN(sgd_vectors) * s) {
    const vec old = v_load_upto(w, count);
    vec gradient = s->sign * (s->factor * v_load_upto(g, count)) + s->decay * old;
    if (momentum) {
        const vec buffer = s->momentum * v_load_upto(v, count) + s->fresh * gradient;
        v_store_upto(v, buffer, count);
        if (nesterov)
            gradient += s->momentum * buffer;
        else
            gradient = buffer;
    }
    v_store_upto(w, old - s->lr * gradient, count);
}

TG_INLINE void FN(sgd_loop)(int64_t n, real *w, const real *g, real *v, int momentum, int nesterov,
                            const tg_sgd_step *step) {
    const FN(sgd_vectors) s = {v_set(step->factor),       v_set(step->lr),       v_set(step->sign),
                               v_set(step->weight_decay), v_set(step->momentum), v_set(step->fresh)};
    int64_t i = 0;
    for (; n - i >= LANES; i += LANES) FN(sgd_at)(LANES, w + i, g + i, momentum ? v + i : v, momentum, nesterov, &s);
    if (i < n) FN(sgd_at)(n - i, w + i, g + i, momentum ? v + i : v, momentum, nesterov, &s);
}

static void FN(sgd)(int64_t n, void *w, const void *g, void *v, const tg_sgd_step *step) {
    if (!v)
        FN(sgd_loop)(n, w, g, v, 0, 0, step);
    else if (step->nesterov)
        FN(sgd_loop)(n, w, g, v, 1, 1, step);
    else
        FN(sgd_loop)(n, w, g, v, 1, 0, step);
}

/* ---- Adam and AdamW: Kingma and Ba 2015; Loshchilov and Hutter 2019; amsgrad: Reddi et al. 2018 ------------------ */

typedef struct {
    vec factor, beta1, fresh1, beta2, fresh2, eps, sign, decay, keep, rate, scale;
} FN(adam_vectors);

/* The first `count` elements, at most LANES; amsgrad is a constant in each caller. */
TG_INLINE void FN(adam_at)(int64_t count, real *w, const real *g, real *m, real *v, real *top, int amsgrad,
                           const FN(adam_vectors) * s) {
    const vec old = v_load_upto(w, count);
    const vec gradient = s->sign * (s->factor * v_load_upto(g, count)) + s->decay * old;
    const vec mean = s->beta1 * v_load_upto(m, count) + s->fresh1 * gradient;
    vec square = s->beta2 * v_load_upto(v, count) + s->fresh2 * (gradient * gradient);
    v_store_upto(m, mean, count);
    v_store_upto(v, square, count);
    if (amsgrad) {
        square = v_max(square, v_load_upto(top, count));
        v_store_upto(top, square, count);
    }
    v_store_upto(w, s->keep * old - s->rate * mean / (v_sqrt(square) * s->scale + s->eps), count);
}

TG_INLINE void FN(adam_loop)(int64_t n, real *w, const real *g, real *m, real *v, real *top, int amsgrad,
                             const tg_adam_step *step) {
    const FN(adam_vectors) s = {.factor = v_set(step->factor),
                                .beta1 = v_set(step->beta1),
                                .fresh1 = v_set(1 - step->beta1),
                                .beta2 = v_set(step->beta2),
                                .fresh2 = v_set(1 - step->beta2),
                                .eps = v_set(step->eps),
                                .sign = v_set(step->sign),
                                .decay = v_set(step->decay),
                                .keep = v_set(step->keep),
                                .rate = v_set(step->rate),
                                .scale = v_set(step->scale)};
    int64_t i = 0;
    for (; n - i >= LANES; i += LANES)
        FN(adam_at)(LANES, w + i, g + i, m + i, v + i, amsgrad ? top + i : top, amsgrad, &s);
    if (i < n) FN(adam_at)(n - i, w + i, g + i, m + i, v + i, amsgrad ? top + i : top, amsgrad, &s);
}

static void FN(adam)(int64_t n, void *w, const void *g, void *m, void *v, void *top, const tg_adam_step *step) {
    if (top)
        FN(adam_loop)(n, w, g, m, v, top, 1, step);
    else
        FN(adam_loop)(n, w, g, m, v, top, 0, step);
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

/* As many elements as a vector has doubles. */
typedef real FN(few)
    __attribute__((vector_size(TG_VECTOR_BYTES / sizeof(double) * sizeof(real)), may_alias, aligned(sizeof(real))));

/* In double, where the square of a float is exact; over 4 vectors of partial sums, which are then added pairwise. */
static double FN(sumsq)(int64_t n, const void *xp) {
    enum { DOUBLES = TG_VECTOR_BYTES / sizeof(double), STEP = 4 * DOUBLES };
    const real *x = xp;
    vec_f64 sums[4] = {{0}, {0}, {0}, {0}};
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        for (int k = 0; k < 4; k++) {
            const vec_f64 few = __builtin_convertvector(*(const FN(few) *)(x + i + k * DOUBLES), vec_f64);
            sums[k] += few * few;
        }
    }
    const vec_f64 sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    double lanes[DOUBLES];
    memcpy(lanes, &sum, sizeof lanes);
    for (int64_t k = 0; i < n; i++, k = (k + 1) % DOUBLES) lanes[k] += (double)x[i] * (double)x[i];
    for (int half = DOUBLES / 2; half; half /= 2)
        for (int k = 0; k < half; k++) lanes[k] += lanes[k + half];
    return lanes[0];
}

static void FN(scale)(int64_t n, void *xp, double factor) {
    real *x = xp;
    const vec f = v_set(factor);
    int64_t i = 0;
    for (; n - i >= LANES; i += LANES) v_store(x + i, v_load(x + i) * f);
    if (i < n) v_store_part(x + i, v_load_part(x + i, n - i) * f, n - i);
}

static const tg_optimizer_kernels FN(optimizer_kernels) = {FN(sgd), FN(adam), FN(sumsq), FN(scale)};
