/* binary_table.h: one line per binary op; the line's position is the op's id.
 *
 * TG_BINARY_OP(name, cost, expression in the vectors a and b); cost as in unary_table.h.
 */
#ifndef TG_BINARY_TABLE_H
#define TG_BINARY_TABLE_H

#include <stdint.h>

#define TG_BINARY_OPS(TG_BINARY_OP)           \
    TG_BINARY_OP(add, CHEAP, a + b)           \
    TG_BINARY_OP(sub, CHEAP, a - b)           \
    TG_BINARY_OP(mul, CHEAP, a *b)            \
    TG_BINARY_OP(div, CHEAP, a / b)           \
    TG_BINARY_OP(maximum, CHEAP, v_max(a, b)) \
    TG_BINARY_OP(minimum, CHEAP, v_min(a, b)) \
    TG_BINARY_OP(pow, COSTLY, v_pow(a, b))

#include "binary_types.h"

#endif
