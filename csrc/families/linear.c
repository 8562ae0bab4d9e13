/* Entry points of the linear layer. Its forward is one product with a fused end; its backward is one call for all that the layer
 * owes: the gradient before the activation is made once, and three results are read from it.
 */
#include "../kernels/table.h"

/* The unary op whose gradient, by its output, is the activation's; -1 if the derivative cannot be had from the output. */
static int output_gradient(int activation) {
    switch (activation) {
    case TG_ACTIVATION_relu: return TG_UNARY_relu;
    case TG_ACTIVATION_tanh: return TG_UNARY_tanh;
    case TG_ACTIVATION_sigmoid: return TG_UNARY_sigmoid;
    default: return -1;
    }
}

int tg_linear(int dtype, int activation, int64_t rows, int64_t in, int64_t out, const void *x, const void *w,
              const void *bias, void *y) {
    return tg_gemm(dtype, TG_TRANS_B, rows, out, in, x, in > 0 ? in : 1, w, in > 0 ? in : 1, y, out > 0 ? out : 1, bias,
                   activation);
}

int tg_linear_grad(int dtype, int activation, int64_t rows, int64_t in, int64_t out, const void *gy, const void *y,
                   const void *x, const void *w, void *gx, void *gw, void *gb) {
    int64_t count, bytes;
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (in < 0 || tg_mul_overflows(rows, out, &count)) return TG_BAD_SIZE;
    if (tg_mul_overflows(count, (int64_t)tg_itemsize(dtype), &bytes)) return TG_BAD_SIZE;
    const void *gz = gy; /* (rows, out): the gradient before the activation */
    void *made = NULL;
    int status = TG_OK;
    if (activation != TG_ACTIVATION_none) {
        const int op = output_gradient(activation);
        if (op < 0) return TG_BAD_ARGUMENT;
        gz = made = tg_alloc(bytes);
        if (!made) return TG_NO_MEMORY;
        status = tg_unary_grad(op, dtype, count, gy, y, made, 0, 0);
    }
    const int64_t in_step = in > 0 ? in : 1, out_step = out > 0 ? out : 1;
    if (status == TG_OK && gb) status = tg_reduce(TG_REDUCE_sum, dtype, 1, rows, out, gz, gb);
    if (status == TG_OK && gw)
        status =
            tg_gemm(dtype, TG_TRANS_A, out, in, rows, gz, out_step, x, in_step, gw, in_step, NULL, TG_ACTIVATION_none);
    if (status == TG_OK && gx)
        status = tg_gemm(dtype, 0, rows, in, out, gz, out_step, w, in_step, gx, in_step, NULL, TG_ACTIVATION_none);
    tg_free(made);
    return status;
}
