/* Entry points of the unary family: check the arguments, split the work, call the active table. */
#include "custom.h"
#include "elementwise.h"
#include "streaming.h"

#define TG_UNARY_GRAIN(name, cost, ...) TG_##cost == TG_CHEAP ? TG_CHEAP_GRAIN : TG_COSTLY_GRAIN,
static const int64_t grain_of[] = {TG_UNARY_OPS(TG_UNARY_GRAIN)};

typedef struct {
    tg_unary_fn forward;
    tg_unary_grad_fn gradient;
    const char *gy; /* (n), of a gradient */
    const char *s;  /* (n) */
    char *out;      /* (n) */
    size_t itemsize;
    double p0, p1;
    const tg_move_kernels *streaming; /* not NULL: the result goes to memory past the caches */
} unary_call;

static void apply(const unary_call *c, int64_t n, int64_t begin, void *out) {
    const size_t offset = (size_t)begin * c->itemsize;
    if (c->forward)
        c->forward(n, c->s + offset, out, c->p0, c->p1);
    else
        c->gradient(n, c->gy + offset, c->s + offset, out, c->p0, c->p1);
}

static void unary_range(void *ctx, int64_t begin, int64_t end) {
    const unary_call *c = ctx;
    if (!c->streaming) {
        apply(c, end - begin, begin, c->out + (size_t)begin * c->itemsize);
        return;
    }
    _Alignas(TG_ALIGNMENT) char block[TG_STREAM_BLOCK * sizeof(double)];
    for (int64_t n; begin < end; begin += n) {
        n = end - begin < TG_STREAM_BLOCK ? end - begin : TG_STREAM_BLOCK;
        tg_stream_fetch(c->s + (size_t)begin * c->itemsize, n * (int64_t)c->itemsize);
        if (c->gy) tg_stream_fetch(c->gy + (size_t)begin * c->itemsize, n * (int64_t)c->itemsize);
        apply(c, n, begin, block);
        c->streaming->stream(n, block, c->out + (size_t)begin * c->itemsize);
    }
    tg_stream_fence();
}

int tg_find_unary(int op, int dtype, tg_unary_fn *forward, tg_unary_grad_fn *gradient, int64_t *grain) {
    if (op < 0 || !tg_is_dtype(dtype)) return 0;
    if (op < TG_UNARY_COUNT) {
        *forward = tg_active->unary[dtype]->forward[op];
        *gradient = tg_active->unary[dtype]->gradient[op];
        *grain = grain_of[op];
        return 1;
    }
    const tg_custom *custom = tg_custom_at(TG_UNARY, op - TG_UNARY_COUNT);
    if (!custom) return 0;
    *forward = (tg_unary_fn)custom->functions[dtype][0];
    *gradient = (tg_unary_grad_fn)custom->functions[dtype][1];
    *grain = custom->cost == TG_CHEAP ? TG_CHEAP_GRAIN : TG_COSTLY_GRAIN;
    return 1;
}

static void run(unary_call *c, int64_t grain, int dtype, int64_t n) {
    c->itemsize = tg_itemsize(dtype);
    if (tg_streams(n * (int64_t)c->itemsize, c->out) && c->out != c->s && c->out != c->gy)
        c->streaming = tg_active->move[dtype];
    tg_parallel_for(n, grain, unary_range, c);
}

int tg_unary(int op, int dtype, int64_t n, const void *x, void *y, double p0, double p1) {
    tg_unary_fn forward;
    tg_unary_grad_fn gradient;
    int64_t grain;
    if (!tg_find_unary(op, dtype, &forward, &gradient, &grain)) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    if (n == 0) return TG_OK;
    if (!x || !y) return TG_BAD_ARGUMENT;
    unary_call call = {.forward = forward, .s = x, .out = y, .p0 = p0, .p1 = p1};
    run(&call, grain, dtype, n);
    return TG_OK;
}

int tg_unary_grad(int op, int dtype, int64_t n, const void *gy, const void *s, void *gx, double p0, double p1) {
    tg_unary_fn forward;
    tg_unary_grad_fn gradient;
    int64_t grain;
    if (!tg_find_unary(op, dtype, &forward, &gradient, &grain)) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    if (n == 0) return TG_OK;
    if (!gy || !s || !gx) return TG_BAD_ARGUMENT;
    unary_call call = {.gradient = gradient, .gy = gy, .s = s, .out = gx, .p0 = p0, .p1 = p1};
    run(&call, grain, dtype, n);
    return TG_OK;
}
