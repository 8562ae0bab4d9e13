/* binary_table.h */
#ifndef TG_BINARY_TABLE_H
#define TG_BINARY_TABLE_H

#include <stdint.h>

typedef struct {
    int placeholder;
} tg_binary_kernels;

#endif
