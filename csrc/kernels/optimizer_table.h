/* optimizer_table.h: updates of one contiguous piece of a parameter. */
#ifndef TG_OPTIMIZER_TABLE_H
#define TG_OPTIMIZER_TABLE_H

#include <stdint.h>

/* One step of tg_sgd for one parameter. */
typedef struct {
    double factor; /* on the gradient as it is read */
    double lr, momentum, weight_decay;
    double fresh; /* the gradient's share of the buffer: 1 - dampening, in the first step 1 */
    double sign;  /* of the gradient: -1 to ascend */
    int nesterov;
} tg_sgd_step;

/* One step of tg_adam for one parameter. */
typedef struct {
    double factor;                  /* as above */
    double beta1, beta2, eps, sign; /* the betas as rounded to the dtype */
    double decay;                   /* share of the parameter added to the gradient */
    double keep;                    /* factor on the parameter */
    double rate;                    /* lr / (1 - beta1^t) */
    double scale;                   /* 1 / sqrt(1 - beta2^t) */
} tg_adam_step;

typedef struct {
    /* w: (n) updated; g: (n); v: (n) updated, or NULL without momentum */
    void (*sgd)(int64_t n, void *w, const void *g, void *v, const tg_sgd_step *step);
    /* w: (n) updated; g: (n); m, v: (n) updated, averages of the gradient and of its square; top: (n) updated, the largest v
     * so far, or NULL */
    void (*adam)(int64_t n, void *w, const void *g, void *m, void *v, void *top, const tg_adam_step *step);
    double (*sumsq)(int64_t n, const void *x);        /* the sum of squares, in double. x: (n) */
    void (*scale)(int64_t n, void *x, double factor); /* x[i] *= factor. x: (n) */
} tg_optimizer_kernels;

#endif
