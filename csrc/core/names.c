/* names.c: the names of every family's ops, in the order of its table. */
#include "../kernels/table.h"

#define NAME(name, ...) #name,

#define FAMILY(id, OPS)                                                       \
    case id: {                                                                \
        static const char *const names[] = {OPS(NAME)};                       \
        return op < (int)(sizeof names / sizeof names[0]) ? names[op] : NULL; \
    }

const char *tg_op_name(int family, int op) {
    if (op < 0) return NULL;
    switch (family) {
        FAMILY(TG_UNARY, TG_UNARY_OPS)
#ifdef TG_BINARY_OPS
        FAMILY(TG_BINARY, TG_BINARY_OPS)
#endif
#ifdef TG_REDUCE_OPS
        FAMILY(TG_REDUCE, TG_REDUCE_OPS)
#endif
#ifdef TG_ARGREDUCE_OPS
        FAMILY(TG_ARGREDUCE, TG_ARGREDUCE_OPS)
#endif
#ifdef TG_SOFTMAX_OPS
        FAMILY(TG_SOFTMAX, TG_SOFTMAX_OPS)
#endif
#ifdef TG_RANDOM_OPS
        FAMILY(TG_RANDOM, TG_RANDOM_OPS)
#endif
#ifdef TG_ACTIVATION_OPS
        FAMILY(TG_ACTIVATION, TG_ACTIVATION_OPS)
#endif
#ifdef TG_SCAN_OPS
        FAMILY(TG_SCAN, TG_SCAN_OPS)
#endif
    default: return NULL;
    }
}
