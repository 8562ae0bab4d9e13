#include "core.h"
void tg_parallel_for(int64_t n, int64_t grain, tg_range_fn fn, void *ctx) { (void)grain; if (n > 0) fn(ctx, 0, n); }
