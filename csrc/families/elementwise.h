/* elementwise.h: the kernels of elementwise ops, the library's own and those that were added, for whoever runs them. */
#ifndef TG_ELEMENTWISE_H
#define TG_ELEMENTWISE_H

#include "../kernels/table.h"

/* Elements below which a second thread costs more than it brings. */
enum { TG_CHEAP_GRAIN = 1 << 15, TG_COSTLY_GRAIN = 1 << 12 };

/* The active table's kernels of an op, and its grain; 0 if there is no such op. */
int tg_find_unary(int op, int dtype, tg_unary_fn *forward, tg_unary_grad_fn *gradient, int64_t *grain);
/* NULL if there is no such op. */
tg_binary_fn tg_find_binary(int op, int dtype, int64_t *grain);
tg_map_fn tg_find_map(int op, int dtype, int *inputs, int64_t *grain);

#endif
