/* unary_types.h: the kernels of the ops that TG_UNARY_OPS lists: the library's own, or those of a custom op. */
#ifndef TG_UNARY_TYPES_H
#define TG_UNARY_TYPES_H

#include <stdint.h>

#include "cost.h"

#define TG_UNARY_ID(name, ...) TG_UNARY_##name,
enum { TG_UNARY_OPS(TG_UNARY_ID) TG_UNARY_COUNT };

typedef void (*tg_unary_fn)(int64_t n, const void *x, void *y, double p0, double p1);
typedef void (*tg_unary_grad_fn)(int64_t n, const void *gy, const void *s, void *gx, double p0, double p1);

typedef struct {
    tg_unary_fn forward[TG_UNARY_COUNT];       /* x, y: (n) */
    tg_unary_grad_fn gradient[TG_UNARY_COUNT]; /* gy, s, gx: (n) */
} tg_unary_kernels;

#endif
