/* Entry points of the optimizer family. All arrays of a call are seen as one list of blocks of at most BLOCK elements, cut the
 * same way for any number of threads; threads take runs of blocks. */
#include "../kernels/table.h"

enum { BLOCK = 1 << 12, GRAIN = 8 }; /* elements; blocks per thread at least */

typedef struct {
    const tg_optimizer_kernels *kernels;
    size_t itemsize;
    int64_t count;
    const int64_t *sizes;      /* (count) */
    void *const *arrays;       /* (count): parameters, or what is scaled */
    const void *const *inputs; /* (count): gradients, or what is squared */
    void *const *momenta;      /* (count) or NULL */
    const uint8_t *started;    /* (count) or NULL */
    tg_sgd_hyper hyper;
    double factor;
    double *sums; /* (blocks) */
} optimizer_call;

typedef void (*block_fn)(const optimizer_call *call, int64_t array, int64_t begin, int64_t size, int64_t block);

static int64_t blocks_of(int64_t size) { return size / BLOCK + (size % BLOCK != 0); }

/* Calls fn on every block in [first, last). */
static void each_block(const optimizer_call *call, int64_t first, int64_t last, block_fn fn) {
    int64_t block = 0;
    for (int64_t a = 0; a < call->count && block < last; a++) {
        const int64_t end = block + blocks_of(call->sizes[a]);
        for (int64_t b = first > block ? first : block; b < last && b < end; b++) {
            const int64_t begin = (b - block) * BLOCK, rest = call->sizes[a] - begin;
            fn(call, a, begin, rest < BLOCK ? rest : BLOCK, b);
        }
        block = end;
    }
}

/* The number of blocks, or a negated status. */
static int64_t check(int dtype, int64_t count, const int64_t *sizes, const void *arrays) {
    if (!tg_is_dtype(dtype)) return -TG_BAD_ARGUMENT;
    if (count < 0) return -TG_BAD_SIZE;
    if (count > 0 && (!sizes || !arrays)) return -TG_BAD_ARGUMENT;
    int64_t blocks = 0;
    for (int64_t a = 0; a < count; a++) {
        if (sizes[a] < 0 || __builtin_add_overflow(blocks, blocks_of(sizes[a]), &blocks)) return -TG_BAD_SIZE;
        if (sizes[a] > 0 && !((void *const *)arrays)[a]) return -TG_BAD_ARGUMENT;
    }
    return blocks;
}

static void sgd_block(const optimizer_call *c, int64_t a, int64_t begin, int64_t size, int64_t block) {
    (void)block;
    if (!c->inputs[a]) return;
    const size_t offset = (size_t)begin * c->itemsize;
    c->kernels->sgd(size, (char *)c->arrays[a] + offset, (const char *)c->inputs[a] + offset,
                    c->momenta ? (char *)c->momenta[a] + offset : NULL, c->momenta && c->started[a], &c->hyper);
}
static void sgd_range(void *ctx, int64_t begin, int64_t end) { each_block(ctx, begin, end, sgd_block); }

int tg_sgd(int dtype, int64_t count, const int64_t *sizes, void *const *params, const void *const *grads,
           void *const *momenta, uint8_t *started, const double *hyper) {
    const int64_t blocks = check(dtype, count, sizes, params);
    if (blocks < 0) return (int)-blocks;
    if (count == 0) return TG_OK;
    if (!grads || !hyper || (momenta && !started)) return TG_BAD_ARGUMENT;
    const int momentum = momenta && hyper[1] != 0;
    for (int64_t a = 0; a < count; a++)
        if (momentum && grads[a] && sizes[a] > 0 && !momenta[a]) return TG_BAD_ARGUMENT;
    optimizer_call call = {
        .kernels = tg_active->optimizer[dtype],
        .itemsize = tg_itemsize(dtype),
        .count = count,
        .sizes = sizes,
        .arrays = params,
        .inputs = grads,
        .momenta = momentum ? momenta : NULL,
        .started = started,
        .hyper = {hyper[0], hyper[1], hyper[2], hyper[3], hyper[4] != 0, hyper[5] != 0},
    };
    tg_parallel_for(blocks, GRAIN, sgd_range, &call);
    for (int64_t a = 0; momentum && a < count; a++)
        if (grads[a]) started[a] = 1;
    return TG_OK;
}

static void sumsq_block(const optimizer_call *c, int64_t a, int64_t begin, int64_t size, int64_t block) {
    c->sums[block] = c->kernels->sumsq(size, (const char *)c->inputs[a] + (size_t)begin * c->itemsize);
}
static void sumsq_range(void *ctx, int64_t begin, int64_t end) { each_block(ctx, begin, end, sumsq_block); }

int tg_multi_sumsq(int dtype, int64_t count, const int64_t *sizes, const void *const *arrays, double *total) {
    const int64_t blocks = check(dtype, count, sizes, arrays);
    if (blocks < 0) return (int)-blocks;
    if (!total) return TG_BAD_ARGUMENT;
    *total = 0;
    if (blocks == 0) return TG_OK;
    double *sums = tg_scratch(0, (size_t)blocks * sizeof(double)); /* (blocks) */
    if (!sums) return TG_NO_MEMORY;
    optimizer_call call = {.kernels = tg_active->optimizer[dtype],
                           .itemsize = tg_itemsize(dtype),
                           .count = count,
                           .sizes = sizes,
                           .inputs = arrays,
                           .sums = sums};
    tg_parallel_for(blocks, GRAIN, sumsq_range, &call);
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += sums[b];
    *total = sum;
    return TG_OK;
}

static void scale_block(const optimizer_call *c, int64_t a, int64_t begin, int64_t size, int64_t block) {
    (void)block;
    c->kernels->scale(size, (char *)c->arrays[a] + (size_t)begin * c->itemsize, c->factor);
}
static void scale_range(void *ctx, int64_t begin, int64_t end) { each_block(ctx, begin, end, scale_block); }

int tg_multi_scale(int dtype, int64_t count, const int64_t *sizes, void *const *arrays, const double *factor) {
    const int64_t blocks = check(dtype, count, sizes, arrays);
    if (blocks < 0) return (int)-blocks;
    if (!factor) return TG_BAD_ARGUMENT;
    optimizer_call call = {.kernels = tg_active->optimizer[dtype],
                           .itemsize = tg_itemsize(dtype),
                           .count = count,
                           .sizes = sizes,
                           .arrays = arrays,
                           .factor = *factor};
    tg_parallel_for(blocks, GRAIN, scale_range, &call);
    return TG_OK;
}
