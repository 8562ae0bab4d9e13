/* map_types.h: kernels of up to four inputs and four parameters, which only custom ops have. */
#ifndef TG_MAP_TYPES_H
#define TG_MAP_TYPES_H

#include <stdint.h>

#include "cost.h"

enum { TG_MAP_INPUTS = 4, TG_MAP_PARAMETERS = 4 };

/* y[i] = f(in[0][i * step[0]], ...); steps are 0 or 1. params: (TG_MAP_PARAMETERS), y: (n) */
typedef void (*tg_map_fn)(int64_t n, const void *const *in, const int64_t *step, void *y, const double *params);

#endif
