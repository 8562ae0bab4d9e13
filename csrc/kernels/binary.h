/* binary.h; included once per element type. */

static const tg_binary_kernels FN(binary_kernels) = {0};
