/* Entry points of the unary family: check the arguments, split the work, call the active table. */
#include "../kernels/table.h"

/* Elements below which a second thread costs more than it brings. */
enum { CHEAP_GRAIN = 1 << 15, COSTLY_GRAIN = 1 << 12 };

#define TG_UNARY_GRAIN(name, cost, ...) TG_##cost == TG_CHEAP ? CHEAP_GRAIN : COSTLY_GRAIN,
static const int64_t forward_grain[] = {TG_UNARY_OPS(TG_UNARY_GRAIN)};

typedef struct {
    tg_unary_fn forward;
    tg_unary_grad_fn gradient;
    const char *gy; /* (n), of a gradient */
    const char *s;  /* (n) */
    char *out;      /* (n) */
    size_t itemsize;
    double p0, p1;
} unary_call;

static void forward_range(void *ctx, int64_t begin, int64_t end) {
    const unary_call *c = ctx;
    const size_t offset = (size_t)begin * c->itemsize;
    c->forward(end - begin, c->s + offset, c->out + offset, c->p0, c->p1);
}

static void gradient_range(void *ctx, int64_t begin, int64_t end) {
    const unary_call *c = ctx;
    const size_t offset = (size_t)begin * c->itemsize;
    c->gradient(end - begin, c->gy + offset, c->s + offset, c->out + offset, c->p0, c->p1);
}

int tg_unary(int op, int dtype, int64_t n, const void *x, void *y, double p0, double p1) {
    if (op < 0 || op >= TG_UNARY_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    if (n == 0) return TG_OK;
    if (!x || !y) return TG_BAD_ARGUMENT;
    const tg_unary_fn kernel = tg_active->unary[dtype]->forward[op];
    unary_call call = {.forward = kernel, .s = x, .out = y, .itemsize = tg_itemsize(dtype), .p0 = p0, .p1 = p1};
    tg_parallel_for(n, forward_grain[op], forward_range, &call);
    return TG_OK;
}

int tg_unary_grad(int op, int dtype, int64_t n, const void *gy, const void *s, void *gx, double p0, double p1) {
    if (op < 0 || op >= TG_UNARY_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    if (n == 0) return TG_OK;
    if (!gy || !s || !gx) return TG_BAD_ARGUMENT;
    const tg_unary_grad_fn kernel = tg_active->unary[dtype]->gradient[op];
    unary_call call = {
        .gradient = kernel, .gy = gy, .s = s, .out = gx, .itemsize = tg_itemsize(dtype), .p0 = p0, .p1 = p1};
    tg_parallel_for(n, forward_grain[op], gradient_range, &call);
    return TG_OK;
}
