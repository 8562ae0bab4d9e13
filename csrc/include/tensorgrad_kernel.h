/* tensorgrad_kernel.h: for C kernels of your own, loaded by tensorgrad.ops.load or shipped in a package.
 *
 *     #include <tensorgrad_kernel.h>
 *     TG_MODULE
 *
 *     // x, y: (n)
 *     TG_EXPORT int doubled(int64_t n, const float *x, float *y) {
 *         for (int64_t i = 0; i < n; i++) y[i] = 2 * x[i];
 *         return TG_OK;
 *     }
 *
 * TG_MODULE stands once in a module. It gives `tg`, the table of the library's services; tensorgrad fills it when it loads the
 * module, after it has seen that both were built for one ABI. A function that can fail returns an int of `enum tg_status`.
 */
#ifndef TENSORGRAD_KERNEL_H
#define TENSORGRAD_KERNEL_H

#include "tensorgrad.h"

#define TG_EXPORT __attribute__((visibility("default")))

typedef void (*tg_range_fn)(void *ctx, int64_t begin, int64_t end);

typedef struct {
    int64_t abi_version, size; /* of this struct, in bytes */
    /* Calls fn(ctx, begin, end) on disjoint ranges that cover [0, n), on several threads if n > grain; returns when all are done.
     * For the same bits with any number of threads a result must not depend on where ranges are cut. */
    void (*parallel_for)(int64_t n, int64_t grain, tg_range_fn fn, void *ctx);
    /* A TG_ALIGNMENT-aligned buffer of the calling thread, slot 0 to 3, valid until the slot is asked for again; NULL: no memory */
    void *(*scratch)(int slot, size_t bytes);
    void *(*alloc)(int64_t bytes); /* see tensorgrad.h */
    void (*free)(void *block);
    int (*num_threads)(void);
    /* tg_gemm of tensorgrad.h */
    int (*gemm)(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                int64_t ldb, void *c, int64_t ldc, const void *bias, int activation);
} tg_api;

#define TG_MODULE                                                                \
    static const tg_api *tg;                                                     \
    TG_EXPORT int tg_module_abi(void);                                           \
    TG_EXPORT void tg_module_bind(const void *api);                              \
    TG_EXPORT int tg_module_abi(void) { return TG_ABI_VERSION; }                 \
    TG_EXPORT void tg_module_bind(const void *api) { tg = (const tg_api *)api; } \
    static inline const tg_api *tg_bound(void) { return tg; } /* so that a module may leave `tg` unused */

#endif
