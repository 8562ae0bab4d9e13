/* unary_table.h: one line per unary op; the line's position is the op's id.
 *
 * TG_UNARY_OP(name, forward, saved, gradient)
 *   forward    y from the vector x; parameters are the vectors p0, p1
 *   saved      X or Y: whether the gradient is written in the op's input (x) or in its output (y)
 *   gradient   gx from gy and the saved vector, which the expression calls x or y accordingly
 * The expressions see generic vectors (float32 and float64 lanes) and the functions of simd.h and vmath.h.
 */
#ifndef TG_UNARY_TABLE_H
#define TG_UNARY_TABLE_H

#include <stdint.h>

#define TG_UNARY_OPS(TG_UNARY_OP)                                                                                              \
    TG_UNARY_OP(relu, v_select(x < v_set(0), v_set(0), x), Y, v_select(y > v_set(0), gy, v_set(0)))                            \
    TG_UNARY_OP(neg, -x, X, -gy)

#define TG_UNARY_ID(name, forward, saved, gradient) TG_UNARY_##name,
enum { TG_UNARY_OPS(TG_UNARY_ID) TG_UNARY_COUNT };

typedef void (*tg_unary_fn)(int64_t n, const void *x, void *y, double p0, double p1);
typedef void (*tg_unary_grad_fn)(int64_t n, const void *gy, const void *s, void *gx, double p0, double p1);

typedef struct {
    tg_unary_fn forward[TG_UNARY_COUNT];
    tg_unary_grad_fn gradient[TG_UNARY_COUNT];
} tg_unary_kernels;

#endif
