/* Entry points of the softmax family: check the arguments, split the rows, call the active table. */
#include "../kernels/table.h"

enum { THREAD_ELEMENTS = 1 << 13 }; /* a thread's share at least: below this a second one costs more than it brings */

/* Rows are handed out in blocks whose size follows from the shape alone: kernels may group the rows of a block, and losses are
 * summed block by block, for any number of threads alike. */
static int64_t block_rows(int64_t cols) {
    const int64_t rows = THREAD_ELEMENTS / (cols > 0 ? cols : 1);
    return rows > TG_SOFTMAX_BLOCK ? TG_SOFTMAX_BLOCK : rows > 0 ? rows : 1;
}
static int64_t row_grain(int64_t cols) {
    const int64_t elements = block_rows(cols) * (cols > 0 ? cols : 1);
    return block_rows(cols) * (elements >= THREAD_ELEMENTS ? 1 : (THREAD_ELEMENTS + elements - 1) / elements);
}

typedef struct {
    tg_softmax_fn forward;       /* either this */
    tg_softmax_grad_fn gradient; /* or this */
    const char *a, *b;           /* (rows, cols): x and nothing, or gy and y */
    char *out;                   /* (rows, cols) */
    int64_t cols;
    size_t row_bytes;
} softmax_call;

static void softmax_range(void *ctx, int64_t begin, int64_t end) {
    const softmax_call *c = ctx;
    const size_t offset = (size_t)begin * c->row_bytes;
    if (c->forward)
        c->forward(end - begin, c->cols, c->a + offset, c->out + offset);
    else
        c->gradient(end - begin, c->cols, c->a + offset, c->b + offset, c->out + offset);
}

static int softmax_run(int dtype, int64_t rows, softmax_call *call) {
    int64_t total;
    if (tg_mul_overflows(rows, call->cols, &total) || tg_mul_overflows(total, (int64_t)tg_itemsize(dtype), &total))
        return TG_BAD_SIZE;
    if (total == 0) return TG_OK;
    if (!call->a || !call->b || !call->out) return TG_BAD_ARGUMENT;
    call->row_bytes = (size_t)call->cols * tg_itemsize(dtype);
    tg_parallel_for(rows, row_grain(call->cols), softmax_range, call);
    return TG_OK;
}

int tg_softmax(int op, int dtype, int64_t rows, int64_t cols, const void *x, void *y) {
    if (op < 0 || op >= TG_SOFTMAX_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    softmax_call call = {tg_active->softmax[dtype]->forward[op], NULL, x, x, y, cols, 0};
    return softmax_run(dtype, rows, &call);
}

int tg_softmax_grad(int op, int dtype, int64_t rows, int64_t cols, const void *gy, const void *y, void *gx) {
    if (op < 0 || op >= TG_SOFTMAX_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    softmax_call call = {NULL, tg_active->softmax[dtype]->gradient[op], gy, y, gx, cols, 0};
    return softmax_run(dtype, rows, &call);
}

/* ---- logsumexp -------------------------------------------------------------------------------------------------- */

typedef struct {
    const tg_softmax_kernels *kernels;
    const char *gy, *x, *y; /* gy, y: of the gradient */
    char *out;
    int64_t cols, itemsize;
} logsumexp_call;

static void logsumexp_range(void *ctx, int64_t begin, int64_t end) {
    const logsumexp_call *c = ctx;
    const int64_t row = begin * c->itemsize, matrix = row * c->cols;
    if (c->gy)
        c->kernels->logsumexp_grad(end - begin, c->cols, c->gy + row, c->x + matrix, c->y + row, c->out + matrix);
    else
        c->kernels->logsumexp(end - begin, c->cols, c->x + matrix, c->out + row);
}

static int logsumexp_sizes(int dtype, int64_t rows, int64_t cols, int64_t *bytes) {
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (tg_mul_overflows(rows, cols, bytes) || tg_mul_overflows(*bytes, (int64_t)tg_itemsize(dtype), bytes))
        return TG_BAD_SIZE;
    return TG_OK;
}

int tg_logsumexp(int dtype, int64_t rows, int64_t cols, const void *x, void *y) {
    int64_t bytes;
    const int status = logsumexp_sizes(dtype, rows, cols, &bytes);
    if (status != TG_OK || rows == 0) return status;
    if (!y || (bytes > 0 && !x)) return TG_BAD_ARGUMENT;
    logsumexp_call call = {tg_active->softmax[dtype], NULL, x, NULL, y, cols, (int64_t)tg_itemsize(dtype)};
    tg_parallel_for(rows, row_grain(cols), logsumexp_range, &call);
    return TG_OK;
}

int tg_logsumexp_grad(int dtype, int64_t rows, int64_t cols, const void *gy, const void *x, const void *y, void *gx) {
    int64_t bytes;
    const int status = logsumexp_sizes(dtype, rows, cols, &bytes);
    if (status != TG_OK || bytes == 0) return status;
    if (!gy || !x || !y || !gx) return TG_BAD_ARGUMENT;
    logsumexp_call call = {tg_active->softmax[dtype], gy, x, y, gx, cols, (int64_t)tg_itemsize(dtype)};
    tg_parallel_for(rows, row_grain(cols), logsumexp_range, &call);
    return TG_OK;
}

/* ---- cross-entropy ---------------------------------------------------------------------------------------------- */

static double element(int dtype, const void *array, int64_t i) {
    return dtype == TG_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void set_element(int dtype, void *array, int64_t i, double value) {
    if (dtype == TG_F32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

typedef struct {
    tg_cross_entropy_fn kernel;
    tg_cross_entropy_call call;
} cross_entropy_task;

static void cross_entropy_range(void *ctx, int64_t begin, int64_t end) {
    const cross_entropy_task *task = ctx;
    task->kernel(&task->call, begin, end);
}

/* What both directions check and prepare. */
static int cross_entropy_prepare(int dtype, int64_t rows, int64_t cols, const void *x, const int64_t *labels,
                                 const void *weight, int64_t ignore_index, double label_smoothing, int reduction,
                                 cross_entropy_task *task) {
    int64_t total;
    if (!tg_is_dtype(dtype) || reduction < TG_NONE || reduction > TG_SUM) return TG_BAD_ARGUMENT;
    if (!(label_smoothing >= 0 && label_smoothing <= 1)) return TG_BAD_ARGUMENT;
    if (tg_mul_overflows(rows, cols, &total) || tg_mul_overflows(total, (int64_t)tg_itemsize(dtype), &total))
        return TG_BAD_SIZE;
    if (rows > 0 && (!labels || (total > 0 && !x))) return TG_BAD_ARGUMENT;
    int64_t bad = 0;
    for (int64_t r = 0; r < rows; r++) bad |= ((uint64_t)labels[r] >= (uint64_t)cols) & (labels[r] != ignore_index);
    if (bad) return TG_BAD_INDEX;
    double weight_total = (double)cols;
    if (weight && label_smoothing != 0) {
        weight_total = 0;
        for (int64_t c = 0; c < cols; c++) weight_total += element(dtype, weight, c);
    }
    task->call = (tg_cross_entropy_call){.cols = cols,
                                         .x = x,
                                         .labels = labels,
                                         .weight = weight,
                                         .ignore_index = ignore_index,
                                         .smoothing = label_smoothing,
                                         .weight_total = weight_total,
                                         .block = block_rows(cols)};
    return TG_OK;
}

/* The sum of the weights of the labels that count, in the labels' order. */
static double labels_weight(int dtype, int64_t rows, const tg_cross_entropy_call *call) {
    double sum = 0;
    for (int64_t r = 0; r < rows; r++)
        if (call->labels[r] != call->ignore_index)
            sum += call->weight ? element(dtype, call->weight, call->labels[r]) : 1;
    return sum;
}

int tg_cross_entropy(int dtype, int64_t rows, int64_t cols, const void *x, const int64_t *labels, const void *weight,
                     int64_t ignore_index, double label_smoothing, int reduction, void *loss, void *saved, void *gx) {
    cross_entropy_task task;
    const int status =
        cross_entropy_prepare(dtype, rows, cols, x, labels, weight, ignore_index, label_smoothing, reduction, &task);
    if (status != TG_OK) return status;
    if (!loss && (rows > 0 || reduction != TG_NONE)) return TG_BAD_ARGUMENT;
    const int64_t blocks = rows / task.call.block + (rows % task.call.block != 0);
    const double weights = labels_weight(dtype, rows, &task.call);
    task.kernel = tg_active->softmax[dtype]->cross_entropy;
    task.call.lse = saved;
    task.call.loss = reduction == TG_NONE ? loss : NULL;
    task.call.divisor = reduction == TG_MEAN ? weights : 1;
    task.call.gx = gx;
    task.call.sums = tg_scratch(0, (size_t)blocks * sizeof(double));
    if (!task.call.sums && blocks > 0) return TG_NO_MEMORY;
    tg_parallel_for(rows, row_grain(cols), cross_entropy_range, &task);
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += task.call.sums[b];
    if (saved) set_element(dtype, saved, rows, weights);
    if (reduction != TG_NONE) set_element(dtype, loss, 0, reduction == TG_MEAN ? sum / weights : sum);
    return TG_OK;
}

int tg_cross_entropy_grad(int dtype, int64_t rows, int64_t cols, const void *x, const int64_t *labels,
                          const void *weight, int64_t ignore_index, double label_smoothing, int reduction,
                          const void *saved, const void *gy, void *gx) {
    cross_entropy_task task;
    const int status =
        cross_entropy_prepare(dtype, rows, cols, x, labels, weight, ignore_index, label_smoothing, reduction, &task);
    if (status != TG_OK) return status;
    if (rows == 0 || cols == 0) return TG_OK;
    if (!saved || !gy || !gx) return TG_BAD_ARGUMENT;
    task.kernel = tg_active->softmax[dtype]->cross_entropy_grad;
    task.call.saved_lse = saved;
    task.call.gy = gy;
    task.call.gy_per_row = reduction == TG_NONE;
    task.call.divisor = reduction == TG_MEAN ? element(dtype, saved, rows) : 1;
    task.call.gx = gx;
    tg_parallel_for(rows, row_grain(cols), cross_entropy_range, &task);
    return TG_OK;
}
