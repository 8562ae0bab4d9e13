/* random.h; included once per element type. */

static const tg_random_kernels FN(random_kernels) = {0};
