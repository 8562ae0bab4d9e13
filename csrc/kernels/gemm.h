/* gemm.h; included once per element type. */

static const tg_gemm_kernels FN(gemm_kernels) = {0};
