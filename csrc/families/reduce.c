/* Entry points of the reduction family: check the arguments, split the work, call the active table. */
#include "../kernels/table.h"

int tg_reduce(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y) {
    int64_t total;
    if (op < 0 || op >= TG_REDUCE_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (tg_mul_overflows(outer, n, &total) || tg_mul_overflows(total, inner, &total)) return TG_BAD_SIZE;
    if (tg_mul_overflows(outer, inner, &total)) return TG_BAD_SIZE;
    if (total == 0) return TG_OK;
    if (!y || (n > 0 && !x)) return TG_BAD_ARGUMENT;
    const tg_reduce_kernels *kernels = tg_active->reduce[dtype];
    const size_t itemsize = tg_itemsize(dtype);
    if (inner == 1) {
        kernels->rows[op](outer, n, x, y);
    } else {
        for (int64_t o = 0; o < outer; o++)
            kernels->columns[op](n, inner, inner, (const char *)x + (size_t)(o * n * inner) * itemsize,
                                 (char *)y + (size_t)(o * inner) * itemsize);
    }
    if (op == TG_REDUCE_mean) kernels->divide(outer * inner, y, (double)n);
    return TG_OK;
}

int tg_argreduce(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, int64_t *y) {
    int64_t total;
    if (op < 0 || op >= TG_ARGREDUCE_COUNT || !tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (tg_mul_overflows(outer, n, &total) || tg_mul_overflows(total, inner, &total)) return TG_BAD_SIZE;
    if (n < 1) return TG_BAD_SIZE;
    if (total == 0) return TG_OK;
    if (!x || !y) return TG_BAD_ARGUMENT;
    for (int64_t o = 0; o < outer; o++)
        tg_active->reduce[dtype]->arg[op](n, inner, inner, (const char *)x + (size_t)(o * n * inner) * tg_itemsize(dtype), y + o * inner);
    return TG_OK;
}
