/* binary_table.h: one line per binary op; the line's position is the op's id.
 *
 * TG_BINARY_OP(name, cost, expression in the vectors a and b); cost as in unary_table.h.
 */
#ifndef TG_BINARY_TABLE_H
#define TG_BINARY_TABLE_H

#include <stdint.h>

#define TG_BINARY_OPS(TG_BINARY_OP)                                    \
    TG_BINARY_OP(add, CHEAP, a + b)                                    \
    TG_BINARY_OP(sub, CHEAP, a - b)                                    \
    TG_BINARY_OP(mul, CHEAP, a *b)                                     \
    TG_BINARY_OP(div, CHEAP, a / b)                                    \
    TG_BINARY_OP(maximum, CHEAP, v_max(a, b))                          \
    TG_BINARY_OP(minimum, CHEAP, v_min(a, b))                          \
    TG_BINARY_OP(pow, COSTLY, v_pow(a, b))                             \
    TG_BINARY_OP(copysign, CHEAP, v_copysign(a, b))                    \
    TG_BINARY_OP(atan2, COSTLY, v_call2(a, b, atan2))                  \
    TG_BINARY_OP(hypot, COSTLY, v_call2(a, b, hypot))                  \
    TG_BINARY_OP(logaddexp, COSTLY, v_logaddexp(a, b))                 \
    TG_BINARY_OP(remainder, COSTLY, v_call2(a, b, tg_remainder))       \
    TG_BINARY_OP(floor_divide, COSTLY, v_call2(a, b, tg_floor_divide))

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
