/* Entry points of the cumulative ops: check the arguments, split rows or columns, call the active table. */
#include "../kernels/table.h"

enum {
    THREAD_ELEMENTS = 1 << 14, /* a thread's share at least: below this a second one costs more than it brings */
    TILE = 256                 /* columns that one unit of work takes */
};

/* x: (outer, n, inner); units are rows where inner is 1, else tiles of columns */
typedef struct {
    const tg_scan_kernels *kernels;
    int op, reverse; /* op: of TG_SCAN_OPS, or one of those below */
    int64_t n, inner, tiles, itemsize;
    const char *x, *a;
    char *y;
} scan_call;

enum { POSITION = TG_SCAN_COUNT, RECURRENCE };

static void scan_range(void *ctx, int64_t begin, int64_t end) {
    const scan_call *c = ctx;
    if (c->inner == 1 && c->op < TG_SCAN_COUNT) {
        const int64_t offset = begin * c->n * c->itemsize;
        c->kernels->rows[c->op](c->reverse, end - begin, c->n, c->x + offset, c->y + offset);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t column = unit % c->tiles * TILE, at = unit / c->tiles * c->n * c->inner + column;
        const int64_t width = c->inner - column < TILE ? c->inner - column : TILE;
        const char *x = c->x + at * c->itemsize;
        if (c->op == POSITION)
            c->kernels->position(c->reverse, c->n, width, c->inner, x, (int64_t *)(void *)c->y + at);
        else if (c->op == RECURRENCE)
            c->kernels->recurrence(c->reverse, c->n, width, c->inner, c->a + at * c->itemsize, x,
                                   c->y + at * c->itemsize);
        else
            c->kernels->columns[c->op](c->reverse, c->n, width, c->inner, x, c->y + at * c->itemsize);
    }
}

static int scan_run(scan_call *call, int dtype, int64_t outer) {
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    int64_t elements, bytes;
    if (tg_mul_overflows(outer, call->n, &elements) || tg_mul_overflows(elements, call->inner, &elements) ||
        tg_mul_overflows(elements, (int64_t)sizeof(int64_t), &bytes))
        return TG_BAD_SIZE;
    if (elements == 0) return TG_OK;
    if (!call->x || !call->y || (call->op == RECURRENCE && !call->a)) return TG_BAD_ARGUMENT;
    call->kernels = tg_active->scan[dtype];
    call->itemsize = (int64_t)tg_itemsize(dtype);
    call->tiles = call->inner / TILE + (call->inner % TILE != 0);
    const int64_t unit = call->n * (call->inner < TILE ? call->inner : TILE);
    tg_parallel_for(outer * call->tiles, unit < THREAD_ELEMENTS ? THREAD_ELEMENTS / unit : 1, scan_range, call);
    return TG_OK;
}

int tg_scan(int op, int dtype, int reverse, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
    if (op < 0 || op >= TG_SCAN_COUNT) return TG_BAD_ARGUMENT;
    scan_call call = {.op = op, .reverse = reverse != 0, .n = n, .inner = inner, .x = x, .y = y};
    return scan_run(&call, dtype, outer);
}

int tg_argscan(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, int64_t *y) {
    if (op != TG_SCAN_max && op != TG_SCAN_min) return TG_BAD_ARGUMENT;
    scan_call call = {
        .op = POSITION, .reverse = op == TG_SCAN_max ? 1 : -1, .n = n, .inner = inner, .x = x, .y = (char *)y};
    return scan_run(&call, dtype, outer);
}

int tg_recurrence(int dtype, int reverse, int64_t outer, int64_t n, int64_t inner, const void *a, const void *b,
                  void *y) {
    scan_call call = {.op = RECURRENCE, .reverse = reverse != 0, .n = n, .inner = inner, .x = b, .a = a, .y = y};
    return scan_run(&call, dtype, outer);
}
