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
    TG_BINARY_OP(atan2, COSTLY, v_atan2(a, b))                         \
    TG_BINARY_OP(hypot, COSTLY, v_hypot(a, b))                         \
    TG_BINARY_OP(logaddexp, COSTLY, v_logaddexp(a, b))                 \
    TG_BINARY_OP(remainder, COSTLY, v_call2(a, b, tg_remainder))       \
    TG_BINARY_OP(floor_divide, COSTLY, v_call2(a, b, tg_floor_divide)) \
    TG_BINARY_OP(larger_share, CHEAP, v_select(a < b, v_set(0), v_select(a == b, v_set(0.5), v_set(1))))

#include "binary_types.h"

#endif
