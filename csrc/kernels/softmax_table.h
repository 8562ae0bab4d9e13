/* softmax_table.h */
#ifndef TG_SOFTMAX_TABLE_H
#define TG_SOFTMAX_TABLE_H

#include <stdint.h>

typedef struct {
    int placeholder;
} tg_softmax_kernels;

#endif
