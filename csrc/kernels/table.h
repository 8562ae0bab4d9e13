/* table.h: the kernel table. Every ISA file fills one; the active one is chosen when the library is loaded. Every entry exists
 * in every table. Each family states its part in <family>_table.h and fills it in <family>.h, once per element type; the
 * arrays below are indexed by enum tg_dtype. Kernels run on the calling thread alone: csrc/families checks and splits the work.
 */
#ifndef TG_TABLE_H
#define TG_TABLE_H

#include "../core/core.h"
#include "unary_table.h"
#include "binary_table.h"
#include "block_table.h"
#include "map_types.h"
#include "move_table.h"
#include "reduce_table.h"
#include "softmax_table.h"
#include "norm_table.h"
#include "gemm_table.h"
#include "optimizer_table.h"
#include "random_table.h"
#include "scan_table.h"

typedef struct {
    const char *name;
    const tg_unary_kernels *unary[2];
    const tg_binary_kernels *binary[2];
    const tg_block_kernels *block[2];
    const tg_move_kernels *move[2];
    const tg_reduce_kernels *reduce[2];
    const tg_softmax_kernels *softmax[2];
    const tg_norm_kernels *norm[2];
    const tg_gemm_kernels *gemm[2];
    const tg_optimizer_kernels *optimizer[2];
    const tg_random_kernels *random[2];
    const tg_scan_kernels *scan[2];
} tg_kernels;

extern const tg_kernels *tg_active; /* never NULL */

#if defined(__aarch64__)
extern const tg_kernels tg_kernels_neon;
#else
extern const tg_kernels tg_kernels_baseline;
#endif
#if defined(__x86_64__)
extern const tg_kernels tg_kernels_avx2, tg_kernels_avx512;
#endif

#endif
