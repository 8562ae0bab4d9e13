/* binary_types.h: the kernels of the ops that TG_BINARY_OPS lists: the library's own, or those of a custom op. */
#ifndef TG_BINARY_TYPES_H
#define TG_BINARY_TYPES_H

#include <stdint.h>

#include "cost.h"

#define TG_BINARY_ID(name, ...) TG_BINARY_##name,
enum { TG_BINARY_OPS(TG_BINARY_ID) TG_BINARY_COUNT };

/* y[i] = op(a[i * a_step], b[i * b_step]); steps are 0 or 1. y: (n) */
typedef void (*tg_binary_fn)(int64_t n, const void *a, int64_t a_step, const void *b, int64_t b_step, void *y);
/* y[i] = condition[i * condition_step] ? a[i * a_step] : b[i * b_step]; steps are 0 or 1, bytes of condition true where not 0 */
typedef void (*tg_where_fn)(int64_t n, const uint8_t *condition, int64_t condition_step, const void *a, int64_t a_step,
                            const void *b, int64_t b_step, void *y);

typedef struct {
    tg_binary_fn op[TG_BINARY_COUNT];
    tg_where_fn where;
} tg_binary_kernels;

#endif
