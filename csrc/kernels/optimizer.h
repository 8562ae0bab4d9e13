/* optimizer.h; included once per element type. */

static const tg_optimizer_kernels FN(optimizer_kernels) = {0};
