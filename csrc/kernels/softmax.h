/* softmax.h; included once per element type. */

static const tg_softmax_kernels FN(softmax_kernels) = {0};
