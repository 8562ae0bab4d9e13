/* Entry points of the unary family: check the arguments, split the work, call the active table. */
#include "../kernels/table.h"

enum { UNARY_GRAIN = 1 << 15 }; /* elements; below this a second thread costs more than it brings */

typedef struct {
    tg_unary_fn kernel;
    const char *x; /* (n) */
    char *y;       /* (n) */
    size_t itemsize;
    double p0, p1;
} unary_call;

static void unary_range(void *ctx, int64_t begin, int64_t end) {
    const unary_call *c = ctx;
    const size_t offset = (size_t)begin * c->itemsize;
    c->kernel(end - begin, c->x + offset, c->y + offset, c->p0, c->p1);
}

int tg_unary(int op, int dtype, int64_t n, const void *x, void *y, double p0, double p1) {
    if (op < 0 || op >= TG_UNARY_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    if (n == 0) return TG_OK;
    if (!x || !y) return TG_BAD_ARGUMENT;
    unary_call call = {tg_active->unary[dtype]->forward[op], x, y, tg_itemsize(dtype), p0, p1};
    tg_parallel_for(n, UNARY_GRAIN, unary_range, &call);
    return TG_OK;
}
