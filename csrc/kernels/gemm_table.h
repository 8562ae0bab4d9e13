/* gemm_table.h */
#ifndef TG_GEMM_TABLE_H
#define TG_GEMM_TABLE_H

#include <stdint.h>

typedef struct {
    int placeholder;
} tg_gemm_kernels;

#endif
