/* Entry points of the normalisations: check the arguments, split the rows, add up the gradients of weight and bias. */
#include <string.h>

#include "../kernels/table.h"

enum {
    THREAD_ELEMENTS = 1 << 13, /* a thread's share at least */
    NARROW = 64,               /* columns: rows this short are taken in longer blocks */
    PARTIAL_SLOT = 2           /* of the scratch buffers: tg_reduce uses 0 and 1 */
};

/* Rows whose shares of the weight's gradient are added one after the other; bounds the partial sums to 1/16 of x. */
static int64_t block_rows(int64_t cols) { return cols <= NARROW ? 64 : 32; }

static int64_t row_grain(int64_t cols, int64_t block) {
    const int64_t elements = block * (cols > 0 ? cols : 1);
    return block * (elements >= THREAD_ELEMENTS ? 1 : (THREAD_ELEMENTS + elements - 1) / elements);
}

typedef struct {
    tg_norm_fn kernel;
    tg_norm_call call;
} norm_task;

static void norm_range(void *ctx, int64_t begin, int64_t end) {
    const norm_task *task = ctx;
    task->kernel(&task->call, begin, end);
}

static int check_sizes(int dtype, int64_t rows, int64_t cols, int64_t *total) {
    int64_t bytes;
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (tg_mul_overflows(rows, cols, total) || tg_mul_overflows(*total, (int64_t)tg_itemsize(dtype), &bytes))
        return TG_BAD_SIZE;
    return TG_OK;
}

static int forward(int dtype, int64_t rows, tg_norm_call call, void *saved) {
    int64_t total;
    const int status = check_sizes(dtype, rows, call.cols, &total);
    if (status != TG_OK || total == 0) return status;
    if (!call.x || !call.y || !saved) return TG_BAD_ARGUMENT;
    call.mean = saved;
    call.scale = (char *)saved + (call.centered ? (size_t)rows * tg_itemsize(dtype) : 0);
    norm_task task = {tg_active->norm[dtype]->forward, call};
    tg_parallel_for(rows, row_grain(call.cols, 16), norm_range, &task);
    return TG_OK;
}

int tg_layer_norm(int dtype, int64_t rows, int64_t cols, const void *x, const void *weight, const void *bias,
                  double eps, void *y, void *saved) {
    return forward(
        dtype, rows,
        (tg_norm_call){.cols = cols, .centered = 1, .eps = eps, .x = x, .weight = weight, .bias = bias, .y = y}, saved);
}

int tg_rms_norm(int dtype, int64_t rows, int64_t cols, const void *x, const void *weight, double eps, void *y,
                void *saved) {
    return forward(dtype, rows, (tg_norm_call){.cols = cols, .eps = eps, .x = x, .weight = weight, .y = y}, saved);
}

static int gradient(int dtype, int64_t rows, tg_norm_call call, const void *saved, void *gw, void *gb) {
    int64_t total;
    const int64_t cols = call.cols;
    const size_t itemsize = tg_itemsize(dtype);
    const int status = check_sizes(dtype, rows, cols, &total);
    if (status != TG_OK) return status;
    if (total == 0) {
        if (gw && cols) memset(gw, 0, (size_t)cols * itemsize);
        if (gb && cols) memset(gb, 0, (size_t)cols * itemsize);
        return TG_OK;
    }
    if (!call.gy || !call.x || !saved) return TG_BAD_ARGUMENT;
    call.mean = (void *)(uintptr_t)saved; /* the forward writes them, the gradient reads them */
    call.scale = (char *)call.mean + (call.centered ? (size_t)rows * itemsize : 0);
    call.block = block_rows(cols);
    const int64_t blocks = (rows + call.block - 1) / call.block;
    char *sums = NULL; /* (2, cols), behind the partial ones */
    if (gw || gb) {
        call.partial = tg_scratch(PARTIAL_SLOT, (size_t)(blocks + 1) * 2 * (size_t)cols * itemsize);
        if (!call.partial) return TG_NO_MEMORY;
        sums = (char *)call.partial + (size_t)blocks * 2 * (size_t)cols * itemsize;
    }
    norm_task task = {tg_active->norm[dtype]->gradient, call};
    tg_parallel_for(rows, row_grain(cols, call.block), norm_range, &task);
    if (!sums) return TG_OK;
    const int reduced = tg_reduce(TG_REDUCE_sum, dtype, 1, blocks, 2 * cols, call.partial, sums);
    if (reduced != TG_OK) return reduced;
    if (gw) memcpy(gw, sums, (size_t)cols * itemsize);
    if (gb) memcpy(gb, sums + (size_t)cols * itemsize, (size_t)cols * itemsize);
    return TG_OK;
}

int tg_layer_norm_grad(int dtype, int64_t rows, int64_t cols, const void *gy, const void *x, const void *weight,
                       const void *saved, void *gx, void *gw, void *gb) {
    return gradient(dtype, rows,
                    (tg_norm_call){.cols = cols, .centered = 1, .x = x, .weight = weight, .gy = gy, .gx = gx}, saved,
                    gw, gb);
}

int tg_rms_norm_grad(int dtype, int64_t rows, int64_t cols, const void *gy, const void *x, const void *weight,
                     const void *saved, void *gx, void *gw) {
    return gradient(dtype, rows, (tg_norm_call){.cols = cols, .x = x, .weight = weight, .gy = gy, .gx = gx}, saved, gw,
                    NULL);
}
