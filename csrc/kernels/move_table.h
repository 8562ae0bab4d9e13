/* move_table.h */
#ifndef TG_MOVE_TABLE_H
#define TG_MOVE_TABLE_H

#include <stdint.h>

typedef struct {
    int placeholder;
} tg_move_kernels;

#endif
