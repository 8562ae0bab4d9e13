/* Entry points of the reductions to one value: check the arguments, cut the work as cut.h says, call the active table. */
#include "cut.h"

/* x: (outer, n, inner), y: (outer, blocks, inner) */
typedef struct {
    tg_cut cut;
    tg_reduce_rows_fn rows;
    tg_reduce_columns_fn columns;
    tg_argreduce_rows_fn arg_rows;
    tg_argreduce_columns_fn arg_columns;
    int64_t itemsize;
    const char *x;
    char *y;
    int64_t *positions; /* of argreduce, in the place of y */
} reduce_call;

static void reduce_range(void *ctx, int64_t begin, int64_t end) {
    const reduce_call *c = ctx;
    if (c->cut.inner == 1 && c->cut.blocks == 1) { /* whole rows: one call for all of them */
        c->rows(end - begin, c->cut.n, c->x + begin * c->cut.n * c->itemsize, c->y + begin * c->itemsize);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        const tg_place p = tg_unit_place(&c->cut, unit);
        const char *x = c->x + p.x * c->itemsize;
        char *y = c->y + p.y * c->itemsize;
        if (c->cut.inner == 1)
            c->rows(1, p.length, x, y);
        else
            c->columns(p.length, p.width, c->cut.inner, x, y);
    }
}

static const int combining_op[TG_REDUCE_COUNT] = {
#define COMBINING(name, map, combine, identity, again) TG_REDUCE_##again,
    TG_REDUCE_OPS(COMBINING)};

/* slot: of the scratch buffer for partial results; each level of blocks takes the one that the level before it does not read */
static int reduce(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y, int slot) {
    const int64_t itemsize = (int64_t)tg_itemsize(dtype);
    const tg_reduce_kernels *kernels = tg_active->reduce[dtype];
    reduce_call call = {.cut = tg_cut_work(n, inner),
                        .rows = kernels->rows[op],
                        .columns = kernels->columns[op],
                        .itemsize = itemsize,
                        .x = x,
                        .y = y};
    if (call.cut.blocks > 1) {
        call.y = tg_scratch(slot, (size_t)(outer * call.cut.blocks * inner * itemsize));
        if (!call.y) return TG_NO_MEMORY;
    }
    tg_parallel_for(outer * call.cut.blocks * call.cut.tiles, tg_cut_grain(&call.cut), reduce_range, &call);
    if (call.cut.blocks == 1) return TG_OK;
    return reduce(combining_op[op], dtype, outer, call.cut.blocks, inner, call.y, y, !slot);
}

/* What is left to do when the n elements of each of the outputs have been combined. */
static void finish(int op, int dtype, int64_t outputs, int64_t n, void *y) {
    if (op == TG_REDUCE_mean) tg_active->reduce[dtype]->divide(outputs, y, (double)n);
    if (op == TG_REDUCE_norm) tg_active->reduce[dtype]->root(outputs, y);
}

/* What both entry points demand of their sizes. *outputs: outer * inner */
static int check_sizes(int dtype, int64_t outer, int64_t n, int64_t inner, int64_t *outputs) {
    int64_t bytes;
    if (tg_mul_overflows(outer, inner, outputs) || tg_mul_overflows(*outputs, (int64_t)sizeof(int64_t), &bytes))
        return TG_BAD_SIZE;
    if (tg_mul_overflows(*outputs, n, &bytes) || tg_mul_overflows(bytes, (int64_t)tg_itemsize(dtype), &bytes))
        return TG_BAD_SIZE;
    return TG_OK;
}

int tg_reduce(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
    int64_t outputs;
    if (op < 0 || op >= TG_REDUCE_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    int status = check_sizes(dtype, outer, n, inner, &outputs);
    if (status != TG_OK || outputs == 0) return status;
    if (!y || (n > 0 && !x)) return TG_BAD_ARGUMENT;
    status = reduce(op, dtype, outer, n, inner, x, y, 0);
    if (status == TG_OK) finish(op, dtype, outputs, n, y);
    return status;
}

int tg_reduce_blocks(int op, int dtype, int64_t outer, int64_t n, int64_t inner, int64_t blocks, const void *partial,
                     void *y) {
    const int status = blocks == 1 ? TG_OK : reduce(combining_op[op], dtype, outer, blocks, inner, partial, y, 0);
    if (status == TG_OK) finish(op, dtype, outer * inner, n, y);
    return status;
}

static void argreduce_range(void *ctx, int64_t begin, int64_t end) {
    const reduce_call *c = ctx;
    if (c->cut.inner == 1 && c->cut.blocks == 1) {
        c->arg_rows(end - begin, c->cut.n, c->x + begin * c->cut.n * c->itemsize, c->positions + begin);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        const tg_place p = tg_unit_place(&c->cut, unit);
        const char *x = c->x + p.x * c->itemsize;
        if (c->cut.inner == 1)
            c->arg_rows(1, p.length, x, c->positions + p.y);
        else
            c->arg_columns(p.length, p.width, c->cut.inner, x, c->positions + p.y);
    }
}

static double element(int dtype, const void *array, int64_t i) {
    return dtype == TG_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

/* Whether a value met later takes the place of best. */
static int beats(int op, double x, double best) {
    if (best != best) return 0;
    return x != x || (op == TG_ARGREDUCE_argmax ? x > best : x < best);
}

int tg_argreduce(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, int64_t *y) {
    int64_t outputs;
    if (op < 0 || op >= TG_ARGREDUCE_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    const int status = check_sizes(dtype, outer, n, inner, &outputs);
    if (status != TG_OK) return status;
    if (n < 1) return TG_BAD_SIZE;
    if (outputs == 0) return TG_OK;
    if (!x || !y) return TG_BAD_ARGUMENT;
    const tg_reduce_kernels *kernels = tg_active->reduce[dtype];
    reduce_call call = {.cut = tg_cut_work(n, inner),
                        .arg_rows = kernels->arg_rows[op],
                        .arg_columns = kernels->arg_columns[op],
                        .itemsize = (int64_t)tg_itemsize(dtype),
                        .x = x,
                        .positions = y};
    const tg_cut *c = &call.cut;
    if (c->blocks > 1) {
        call.positions = tg_scratch(0, (size_t)(outputs * c->blocks) * sizeof(int64_t)); /* (outer, blocks, inner) */
        if (!call.positions) return TG_NO_MEMORY;
    }
    tg_parallel_for(outer * c->blocks * c->tiles, tg_cut_grain(c), argreduce_range, &call);
    for (int64_t k = 0; c->blocks > 1 && k < outputs; k++) {
        const int64_t o = k / inner, i = k % inner;
        double best = 0;
        for (int64_t b = 0; b < c->blocks; b++) {
            const int64_t at = call.positions[(o * c->blocks + b) * inner + i] + b * c->length;
            const double value = element(dtype, x, (o * n + at) * inner + i);
            if (b == 0 || beats(op, value, best)) best = value, y[k] = at;
        }
    }
    return TG_OK;
}
