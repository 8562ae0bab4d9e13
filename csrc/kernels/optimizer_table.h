/* optimizer_table.h */
#ifndef TG_OPTIMIZER_TABLE_H
#define TG_OPTIMIZER_TABLE_H

#include <stdint.h>

typedef struct {
    int placeholder;
} tg_optimizer_kernels;

#endif
