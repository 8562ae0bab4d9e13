/* reduce.h; included once per element type. */

static const tg_reduce_kernels FN(reduce_kernels) = {0};
