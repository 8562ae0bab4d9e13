/* random_table.h */
#ifndef TG_RANDOM_TABLE_H
#define TG_RANDOM_TABLE_H

#include <stdint.h>

typedef struct {
    int placeholder;
} tg_random_kernels;

#endif
