/* core.h: what kernels and family entry points may use from the core. No ISA flags apply to csrc/core. */
#ifndef TG_CORE_H
#define TG_CORE_H

#include "../include/tensorgrad_kernel.h"

/* Calls fn(ctx, begin, end) on disjoint ranges that cover [0, n), on up to tg_get_num_threads() threads, and returns when all
 * are done. Range boundaries are multiples of `grain` (but for n itself); n <= grain runs inline, as does a call from inside
 * a kernel and a call that finds the pool busy with another thread's call. fn must not depend on how the range was cut. */
void tg_parallel_for(int64_t n, int64_t grain, tg_range_fn fn, void *ctx);
enum { TG_MAX_THREADS = 256 };
void tg_assume_cpus(int n); /* for tests: from now on up to n threads run at once, however many CPUs there are */

/* A reusable TG_ALIGNMENT-aligned buffer of this thread, one per slot, valid until the slot is asked for again on this thread.
 * Contents are not kept when it grows. NULL if out of memory. */
enum { TG_SCRATCH_SLOTS = 4 };
void *tg_scratch(int slot, size_t bytes);

int64_t tg_granted_memory(
    void); /* bytes of memory this process may use: the machine's, or its cgroup's limit if lower */

/* *out = a * b or a + b; nonzero on overflow or a negative operand. */
static inline int tg_mul_overflows(int64_t a, int64_t b, int64_t *out) {
    return a < 0 || b < 0 || __builtin_mul_overflow(a, b, out);
}

static inline int tg_is_dtype(int dtype) { return dtype == TG_F32 || dtype == TG_F64; }
static inline size_t tg_itemsize(int dtype) { return dtype == TG_F32 ? sizeof(float) : sizeof(double); }

#endif
