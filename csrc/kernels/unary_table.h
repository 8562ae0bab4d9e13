/* unary_table.h: one line per unary op; the line's position is the op's id.
 *
 * TG_UNARY_OP(name, cost, forward, saved, gradient)
 *   cost       CHEAP (bound by loads and stores) or COSTLY: how far to unroll, and from what size a thread pays
 *   forward    y from the vector x; parameters are the vectors p0, p1
 *   saved      X or Y: whether the gradient is written in the op's input (x) or in its output (y)
 *   gradient   gx from gy and the saved vector, which the expression calls x or y accordingly
 * The expressions see generic vectors (float32 and float64 lanes) and the functions of simd_ops.h and vmath.h.
 */
#ifndef TG_UNARY_TABLE_H
#define TG_UNARY_TABLE_H

#include <stdint.h>

/* clang-format off */
#define TG_UNARY_OPS(TG_UNARY_OP)                                                                                              \
    TG_UNARY_OP(relu, CHEAP, v_at_least(x, v_set(0))      , Y, v_select(y <= v_set(0), v_set(0), gy))                  \
    TG_UNARY_OP(leaky_relu, CHEAP, v_select(x > v_set(0), x, p0 * x), X, v_select(x > v_set(0), gy, p0 * gy))                  \
    TG_UNARY_OP(elu, COSTLY, v_select(x > v_set(0), x, p0 * v_expm1(x)), X, v_select(x > v_set(0), gy, p0 * gy * v_exp(x)))    \
    TG_UNARY_OP(tanh, COSTLY, v_tanh(x), Y, gy * (v_set(1) - y * y))                                                           \
    TG_UNARY_OP(sigmoid, COSTLY, v_sigmoid(x), Y, gy * (y * (v_set(1) - y)))                                                   \
    TG_UNARY_OP(gelu, COSTLY, v_gelu(x), X, gy * v_gelu_slope(x))                                                              \
    TG_UNARY_OP(gelu_tanh, COSTLY, v_gelu_tanh(x), X, gy * v_gelu_tanh_slope(x))                                               \
    TG_UNARY_OP(silu, COSTLY, v_silu(x), X, gy * v_silu_slope(x))                                                              \
    TG_UNARY_OP(softplus, COSTLY, v_softplus(x), X, gy * v_sigmoid(x))                        \
    TG_UNARY_OP(exp, COSTLY, v_exp(x), Y, gy * y)                                                                              \
    TG_UNARY_OP(expm1, COSTLY, v_expm1(x), Y, gy * (y + v_set(1)))                                                             \
    TG_UNARY_OP(log, COSTLY, v_log(x), X, gy / x)                                                                              \
    TG_UNARY_OP(log1p, COSTLY, v_log1p(x), X, gy / (x + v_set(1)))                                                             \
    TG_UNARY_OP(log2, COSTLY, v_log2(x), X, gy / (x * v_set(0.6931471805599453)))                                              \
    TG_UNARY_OP(log10, COSTLY, v_log10(x), X, gy / (x * v_set(2.302585092994046)))                                             \
    TG_UNARY_OP(sqrt, CHEAP, v_square_root(x), Y, gy / (y + y))                                                                       \
    TG_UNARY_OP(rsqrt, CHEAP, v_inverse_root(x), Y, v_set(-0.5) * gy * (y * y * y))                                         \
    TG_UNARY_OP(reciprocal, CHEAP, v_set(1) / x, Y, -gy * (y * y))                                                             \
    TG_UNARY_OP(square, CHEAP, x * x, X, gy * (x + x))                                                                         \
    TG_UNARY_OP(abs, CHEAP, v_abs(x), X, gy * v_sign(x))                                                                       \
    TG_UNARY_OP(neg, CHEAP, -x, X, -gy)                                                                                        \
    TG_UNARY_OP(sign, CHEAP, v_sign(x), X, v_set(0))                                                                           \
    TG_UNARY_OP(floor, CHEAP, v_floor(x), X, v_set(0))                                                                         \
    TG_UNARY_OP(ceil, CHEAP, v_ceil(x), X, v_set(0))                                                                           \
    TG_UNARY_OP(round, CHEAP, v_round(x), X, v_set(0))                                                                         \
    TG_UNARY_OP(trunc, CHEAP, v_trunc(x), X, v_set(0))                                                                         \
    TG_UNARY_OP(sin, COSTLY, v_sin(x), X, gy * v_cos(x))                                                                       \
    TG_UNARY_OP(cos, COSTLY, v_cos(x), X, -gy * v_sin(x))                                                                      \
    TG_UNARY_OP(tan, COSTLY, v_tan(x), Y, gy * (v_set(1) + y * y))                                                             \
    TG_UNARY_OP(erf, COSTLY, v_erf(x), X, gy * v_erf_slope(x))                                                                 \
    TG_UNARY_OP(power, COSTLY, v_pow(x, p0), X, v_power_grad(gy, x, p0))                                                       \
    TG_UNARY_OP(scale, CHEAP, p0 * x + p1, X, p0 * gy)                                                                         \
    TG_UNARY_OP(fill, CHEAP, p0, X, v_set(0))                                                                                  \
    TG_UNARY_OP(asin, COSTLY, v_asin(x), X, gy / v_sqrt((v_set(1) - x) * (v_set(1) + x)))                                \
    TG_UNARY_OP(acos, COSTLY, v_acos(x), X, -gy / v_sqrt((v_set(1) - x) * (v_set(1) + x)))                               \
    TG_UNARY_OP(atan, COSTLY, v_atan(x), X, gy / (v_set(1) + x * x))                                                     \
    TG_UNARY_OP(sinh, COSTLY, v_sinh(x), X, gy * v_cosh(x))                                                        \
    TG_UNARY_OP(cosh, COSTLY, v_cosh(x), X, gy * v_sinh(x))                                                        \
    TG_UNARY_OP(asinh, COSTLY, v_call(x, asinh), X, gy / v_sqrt(v_set(1) + x * x))                                             \
    TG_UNARY_OP(acosh, COSTLY, v_call(x, acosh), X, gy / v_sqrt((x - v_set(1)) * (x + v_set(1))))                              \
    TG_UNARY_OP(atanh, COSTLY, v_call(x, atanh), X, gy / ((v_set(1) - x) * (v_set(1) + x)))                                    \
    TG_UNARY_OP(erfc, COSTLY, v_call(x, erfc), X, -gy * v_erf_slope(x))                                                        \
    TG_UNARY_OP(erfinv, COSTLY, v_call(x, tg_erfinv), Y, gy * v_set(0.8862269254527580) * v_exp(y * y))                        \
    TG_UNARY_OP(lgamma, COSTLY, v_call(x, tg_lgamma), X, gy * v_call(x, tg_digamma))                                           \
    TG_UNARY_OP(digamma, COSTLY, v_call(x, tg_digamma), X, gy * v_call2(x, v_set(1), tg_polygamma))                            \
    TG_UNARY_OP(polygamma, COSTLY, v_call2(x, p0, tg_polygamma), X, gy * v_call2(x, p0 + v_set(1), tg_polygamma))              \
    TG_UNARY_OP(log1mexp, COSTLY, v_log1mexp(x), X, gy / v_expm1(x))
/* clang-format on */

#include "unary_types.h"

#endif
