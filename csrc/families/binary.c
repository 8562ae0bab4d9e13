/* Entry points of the binary family: check the arguments, split the work, call the active table. */
#include "../kernels/table.h"

enum { CHEAP_GRAIN = 1 << 15 };

typedef struct {
    int op, dtype;
    const uint8_t *condition; /* of a where, else NULL */
    const char *a, *b;
    char *y;                 /* (n), contiguous */
    const tg_layout *layout; /* NULL: every operand is (n) */
} binary_call;

/* One element or one contiguous range at offsets that count elements. */
static void apply(const binary_call *c, int64_t n, int64_t condition, int64_t a, int64_t b, int64_t y) {
    const int64_t size = (int64_t)tg_itemsize(c->dtype);
    const tg_binary_kernels *kernels = tg_active->binary[c->dtype];
    if (c->condition)
        kernels->where(n, c->condition + condition, c->a + a * size, 1, c->b + b * size, 1, c->y + y * size);
    else
        kernels->op[c->op](n, c->a + a * size, 1, c->b + b * size, 1, c->y + y * size);
}

static void binary_range(void *ctx, int64_t begin, int64_t end) {
    const binary_call *c = ctx;
    if (!c->layout) {
        apply(c, end - begin, begin, begin, begin, begin);
        return;
    }
    const tg_layout *l = c->layout;
    const int first = c->condition ? 1 : 0;
    for (int64_t i = begin; i < end; i++) {
        int64_t offset[3] = {0, 0, 0};
        for (int64_t d = l->ndim - 1, rest = i; d >= 0; rest /= l->shape[d], d--)
            for (int k = 0; k < 3; k++) offset[k] += rest % l->shape[d] * l->strides[k][d];
        apply(c, 1, offset[0], offset[first], offset[first + 1], i);
    }
}

static int run(binary_call *call, int64_t n) {
    if (!tg_is_dtype(call->dtype)) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    if (call->layout) {
        if (call->layout->ndim < 0 || call->layout->ndim > TG_MAX_DIMS) return TG_BAD_ARGUMENT;
        int64_t count = 1;
        for (int64_t d = 0; d < call->layout->ndim; d++)
            if (tg_mul_overflows(count, call->layout->shape[d], &count)) return TG_BAD_SIZE;
        if (count != n) return TG_BAD_SIZE;
    }
    if (n == 0) return TG_OK;
    if (!call->a || !call->b || !call->y) return TG_BAD_ARGUMENT;
    tg_parallel_for(n, CHEAP_GRAIN, binary_range, call);
    return TG_OK;
}

int tg_binary(int op, int dtype, int64_t n, const void *a, const void *b, void *y, const tg_layout *layout) {
    if (op < 0 || op >= TG_BINARY_COUNT) return TG_BAD_ARGUMENT;
    binary_call call = {.op = op, .dtype = dtype, .a = a, .b = b, .y = y, .layout = layout};
    return run(&call, n);
}

int tg_where(int dtype, int64_t n, const uint8_t *condition, const void *a, const void *b, void *y,
             const tg_layout *layout) {
    if (!condition && n > 0) return TG_BAD_ARGUMENT;
    binary_call call = {.dtype = dtype, .condition = condition, .a = a, .b = b, .y = y, .layout = layout};
    return run(&call, n);
}
