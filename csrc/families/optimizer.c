/* Entry points of the optimizer family. The arrays of a call are seen as one row of elements, in which each begins at a multiple
 * of ALIGNED; it is cut at multiples of GRAIN, whatever the number of threads, and threads take runs of pieces: the work is
 * shared by elements, however many arrays they are in, and no cut but an array's end falls inside a vector. */
#include <math.h>

#include "../kernels/table.h"

/* Elements; a row of at most ALONE is not worth a second thread. */
enum { ALIGNED = TG_ALIGNMENT, GRAIN = 1 << 13, ALONE = 1 << 15 };

typedef struct {
    const tg_optimizer_kernels *kernels;
    size_t itemsize;
    int64_t count;
    const int64_t *sizes;         /* (count) */
    void *const *arrays;          /* (count): parameters, or what is scaled */
    const void *const *inputs;    /* (count): gradients, or what is squared */
    void *const *first;           /* (count) or NULL: momenta, or averages of gradients */
    void *const *second;          /* (count) or NULL: averages of squares */
    void *const *top;             /* (count) or NULL: the largest of these */
    uint8_t *const *started;      /* (count) or NULL */
    const double *const *factors; /* (count) or NULL */
    const double *const *hyper;   /* (count) */
    const tg_adam_step *steps;    /* (count) */
    double factor;
    double *sums; /* (pieces) */
} optimizer_call;

/* Works on the elements [begin, begin + size) of one array. */
typedef void (*piece_fn)(const optimizer_call *call, int64_t array, int64_t begin, int64_t size, double *sum);

static int64_t aligned(int64_t size) { return (size + ALIGNED - 1) / ALIGNED * ALIGNED; }

/* Calls fn on all that lies in [first, last) of the row. */
static void each_piece(const optimizer_call *call, int64_t first, int64_t last, piece_fn fn, double *sum) {
    int64_t start = 0; /* of array a in the row */
    for (int64_t a = 0; a < call->count && start < last; a++) {
        const int64_t size = call->sizes[a];
        const int64_t begin = first > start ? first - start : 0, end = last - start < size ? last - start : size;
        if (begin < end) fn(call, a, begin, end - begin, sum);
        start += aligned(size);
    }
}

static void run(int64_t length, tg_range_fn fn, optimizer_call *call) {
    tg_parallel_for(length, length <= ALONE ? length : GRAIN, fn, call);
}

/* The length of the row, or a negated status. */
static int64_t check(int dtype, int64_t count, const int64_t *sizes, const void *arrays) {
    if (!tg_is_dtype(dtype)) return -TG_BAD_ARGUMENT;
    if (count < 0) return -TG_BAD_SIZE;
    if (count > 0 && (!sizes || !arrays)) return -TG_BAD_ARGUMENT;
    int64_t length = 0;
    for (int64_t a = 0; a < count; a++) {
        if (sizes[a] < 0 || sizes[a] > INT64_MAX - ALIGNED ||
            __builtin_add_overflow(length, aligned(sizes[a]), &length))
            return -TG_BAD_SIZE;
        if (sizes[a] > 0 && !((void *const *)arrays)[a]) return -TG_BAD_ARGUMENT;
    }
    return length;
}

/* Whether buffers has one for every parameter with a gradient. */
static int complete(int64_t count, const int64_t *sizes, const void *const *grads, void *const *buffers) {
    for (int64_t a = 0; a < count; a++)
        if (grads[a] && sizes[a] > 0 && !buffers[a]) return 0;
    return 1;
}

static void *at(const optimizer_call *c, void *const *arrays, int64_t a, int64_t begin) {
    return arrays && arrays[a] ? (char *)arrays[a] + (size_t)begin * c->itemsize : NULL;
}
static const void *input_at(const optimizer_call *c, int64_t a, int64_t begin) {
    return (const char *)c->inputs[a] + (size_t)begin * c->itemsize;
}

static double factor_of(const double *const *factors, int64_t a) { return factors && factors[a] ? *factors[a] : 1; }

/* ---- SGD --------------------------------------------------------------------------------------------------------- */

static int has_momentum(const optimizer_call *c, int64_t a) { return c->first && c->hyper[a][1] != 0; }

static void sgd_piece(const optimizer_call *c, int64_t a, int64_t begin, int64_t size, double *sum) {
    (void)sum;
    if (!c->inputs[a]) return;
    const double *hyper = c->hyper[a];
    const int momentum = has_momentum(c, a);
    const tg_sgd_step step = {.factor = factor_of(c->factors, a),
                              .lr = hyper[0],
                              .momentum = hyper[1],
                              .fresh = momentum && *c->started[a] ? 1 - hyper[2] : 1,
                              .weight_decay = hyper[3],
                              .nesterov = hyper[4] != 0,
                              .sign = hyper[5] != 0 ? -1 : 1};
    c->kernels->sgd(size, at(c, c->arrays, a, begin), input_at(c, a, begin),
                    momentum ? at(c, c->first, a, begin) : NULL, &step);
}
static void sgd_range(void *ctx, int64_t begin, int64_t end) { each_piece(ctx, begin, end, sgd_piece, NULL); }

int tg_sgd(int dtype, int64_t count, const int64_t *sizes, void *const *params, const void *const *grads,
           const double *const *factors, void *const *momenta, uint8_t *const *started, const double *const *hyper) {
    const int64_t length = check(dtype, count, sizes, params);
    if (length < 0) return (int)-length;
    if (count == 0) return TG_OK;
    if (!grads || !hyper || (momenta && !started)) return TG_BAD_ARGUMENT;
    optimizer_call call = {
        .kernels = tg_active->optimizer[dtype],
        .itemsize = tg_itemsize(dtype),
        .count = count,
        .sizes = sizes,
        .arrays = params,
        .inputs = grads,
        .first = momenta,
        .started = started,
        .factors = factors,
        .hyper = hyper,
    };
    for (int64_t a = 0; a < count; a++) {
        if (!grads[a]) continue;
        if (!hyper[a]) return TG_BAD_ARGUMENT;
        if (has_momentum(&call, a) && ((sizes[a] > 0 && !momenta[a]) || !started[a])) return TG_BAD_ARGUMENT;
    }
    run(length, sgd_range, &call);
    for (int64_t a = 0; a < count; a++)
        if (grads[a] && has_momentum(&call, a)) *started[a] = 1;
    return TG_OK;
}

/* ---- Adam -------------------------------------------------------------------------------------------------------- */

static void adam_piece(const optimizer_call *c, int64_t a, int64_t begin, int64_t size, double *sum) {
    (void)sum;
    if (!c->inputs[a]) return;
    c->kernels->adam(size, at(c, c->arrays, a, begin), input_at(c, a, begin), at(c, c->first, a, begin),
                     at(c, c->second, a, begin), at(c, c->top, a, begin), &c->steps[a]);
}
static void adam_range(void *ctx, int64_t begin, int64_t end) { each_piece(ctx, begin, end, adam_piece, NULL); }

/* The numbers of step t. As rounded, a beta and the 1 - beta computed from it add up to 1, so the averages have no bias. */
static tg_adam_step adam_step(int dtype, const double *hyper, float t) {
    const double lr = hyper[0], decay = hyper[4];
    const double beta1 = dtype == TG_F32 ? (double)(float)hyper[1] : hyper[1];
    const double beta2 = dtype == TG_F32 ? (double)(float)hyper[2] : hyper[2];
    const int decoupled = hyper[5] != 0;
    return (tg_adam_step){.beta1 = beta1,
                          .beta2 = beta2,
                          .eps = hyper[3],
                          .sign = hyper[6] != 0 ? -1 : 1,
                          .decay = decoupled ? 0 : decay,
                          .keep = decoupled ? 1 - lr * decay : 1,
                          .rate = lr / (1 - pow(beta1, (double)t)),
                          .scale = 1 / sqrt(1 - pow(beta2, (double)t))};
}

/* Counts the step of every parameter that has a gradient and derives its numbers. steps: (count) */
static void count_steps(int dtype, int64_t count, const void *const *grads, const double *const *factors,
                        float *const *done, const double *const *hyper, tg_adam_step *steps) {
    int64_t last = -1; /* most often parameters are at the same step as the one before, and pow is slow */
    for (int64_t a = 0; a < count; a++) {
        if (!grads[a]) continue;
        *done[a] += 1;
        steps[a] = last >= 0 && hyper[a] == hyper[last] && *done[a] == *done[last]
                       ? steps[last]
                       : adam_step(dtype, hyper[a], *done[a]);
        steps[a].factor = factor_of(factors, a);
        last = a;
    }
}

int tg_adam(int dtype, int64_t count, const int64_t *sizes, void *const *params, const void *const *grads,
            const double *const *factors, void *const *means, void *const *squares, void *const *top,
            float *const *done, const double *const *hyper) {
    const int64_t length = check(dtype, count, sizes, params);
    if (length < 0) return (int)-length;
    if (count == 0) return TG_OK;
    if (!grads || !means || !squares || !done || !hyper) return TG_BAD_ARGUMENT;
    if (!complete(count, sizes, grads, means) || !complete(count, sizes, grads, squares)) return TG_BAD_ARGUMENT;
    for (int64_t a = 0; a < count; a++)
        if (grads[a] && (!done[a] || !hyper[a])) return TG_BAD_ARGUMENT;
    tg_adam_step *steps = tg_scratch(0, (size_t)count * sizeof *steps); /* (count) */
    if (!steps) return TG_NO_MEMORY;
    count_steps(dtype, count, grads, factors, done, hyper, steps);
    optimizer_call call = {
        .kernels = tg_active->optimizer[dtype],
        .itemsize = tg_itemsize(dtype),
        .count = count,
        .sizes = sizes,
        .arrays = params,
        .inputs = grads,
        .first = means,
        .second = squares,
        .top = top,
        .steps = steps,
    };
    run(length, adam_range, &call);
    return TG_OK;
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

static void sumsq_piece(const optimizer_call *c, int64_t a, int64_t begin, int64_t size, double *sum) {
    *sum += c->kernels->sumsq(size, input_at(c, a, begin));
}
static void sumsq_range(void *ctx, int64_t begin, int64_t end) {
    const optimizer_call *call = ctx;
    for (int64_t at = begin; at < end; at += GRAIN) {
        double *sum = &call->sums[at / GRAIN];
        *sum = 0;
        each_piece(call, at, end - at < GRAIN ? end : at + GRAIN, sumsq_piece, sum);
    }
}

int tg_multi_sumsq(int dtype, int64_t count, const int64_t *sizes, const void *const *arrays, double *total) {
    const int64_t length = check(dtype, count, sizes, arrays);
    if (length < 0) return (int)-length;
    if (!total) return TG_BAD_ARGUMENT;
    *total = 0;
    if (length == 0) return TG_OK;
    const int64_t pieces = (length - 1) / GRAIN + 1;
    double *sums = tg_scratch(0, (size_t)pieces * sizeof(double)); /* (pieces) */
    if (!sums) return TG_NO_MEMORY;
    optimizer_call call = {.kernels = tg_active->optimizer[dtype],
                           .itemsize = tg_itemsize(dtype),
                           .count = count,
                           .sizes = sizes,
                           .inputs = arrays,
                           .sums = sums};
    run(length, sumsq_range, &call);
    double sum = 0;
    for (int64_t i = 0; i < pieces; i++) sum += sums[i];
    *total = sum;
    return TG_OK;
}

static void scale_piece(const optimizer_call *c, int64_t a, int64_t begin, int64_t size, double *sum) {
    (void)sum;
    c->kernels->scale(size, at(c, c->arrays, a, begin), c->factor);
}
static void scale_range(void *ctx, int64_t begin, int64_t end) { each_piece(ctx, begin, end, scale_piece, NULL); }

int tg_multi_scale(int dtype, int64_t count, const int64_t *sizes, void *const *arrays, const double *factor) {
    const int64_t length = check(dtype, count, sizes, arrays);
    if (length < 0) return (int)-length;
    if (!factor) return TG_BAD_ARGUMENT;
    optimizer_call call = {.kernels = tg_active->optimizer[dtype],
                           .itemsize = tg_itemsize(dtype),
                           .count = count,
                           .sizes = sizes,
                           .arrays = arrays,
                           .factor = *factor};
    run(length, scale_range, &call);
    return TG_OK;
}
