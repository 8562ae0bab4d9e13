/* norm_table.h: layer and root-mean-square normalisation of rows. */
#ifndef TG_NORM_TABLE_H
#define TG_NORM_TABLE_H

#include <stdint.h>

/* What one call of the kernels works on; a kernel does the rows [begin, end). */
typedef struct {
    int64_t cols;
    int centered; /* layer_norm subtracts the mean; rms_norm does not, and has neither `mean` nor `bias` */
    double eps;
    const void *x;      /* (rows, cols) */
    const void *weight; /* (cols) or NULL: all one */
    const void *bias;   /* (cols) or NULL: all zero */
    void *y;            /* forward: (rows, cols) */
    void *mean;         /* (rows), forward: written, gradient: read */
    void *scale;        /* (rows), in the same way: 1 / sqrt(var + eps), or 1 / sqrt(mean of squares + eps) */
    const void *gy;     /* gradient: (rows, cols) */
    void *gx;           /* gradient: (rows, cols) or NULL if not wanted */
    int64_t block;      /* gradient: begin is a multiple of it */
    void *
        partial; /* gradient: (blocks, 2, cols): each block's share of the weight's and bias's gradients; NULL: not wanted */
} tg_norm_call;
typedef void (*tg_norm_fn)(const tg_norm_call *call, int64_t begin, int64_t end);

typedef struct {
    tg_norm_fn forward;
    tg_norm_fn gradient;
} tg_norm_kernels;

#endif
