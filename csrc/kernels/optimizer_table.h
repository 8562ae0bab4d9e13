/* optimizer_table.h: updates of one contiguous piece of a parameter. */
#ifndef TG_OPTIMIZER_TABLE_H
#define TG_OPTIMIZER_TABLE_H

#include <stdint.h>

typedef struct {
    double lr, momentum, dampening, weight_decay;
    int nesterov, maximize;
} tg_sgd_hyper;

typedef struct {
    /* w: (n) updated; g: (n); v: (n) updated, or NULL without momentum; started: whether v holds a value */
    void (*sgd)(int64_t n, void *w, const void *g, void *v, int started, const tg_sgd_hyper *hyper);
    double (*sumsq)(int64_t n, const void *x);        /* the sum of squares, in double. x: (n) */
    void (*scale)(int64_t n, void *x, double factor); /* x[i] *= factor. x: (n) */
} tg_optimizer_kernels;

#endif
