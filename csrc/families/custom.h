/* custom.h: elementwise ops that were added at run time; their ids follow those of the family's own table. */
#ifndef TG_CUSTOM_H
#define TG_CUSTOM_H

#include "../core/core.h"

typedef struct {
    int cost, inputs;
    const void *const *functions[2]; /* by dtype: as the family's *_types.h orders them */
} tg_custom;

/* The custom op of a family with this number, counted from 0; NULL if there is none. */
const tg_custom *tg_custom_at(int family, int number);

#endif
