/* softmax_table.h: softmax and log_softmax of rows, and softmax cross-entropy. */
#ifndef TG_SOFTMAX_TABLE_H
#define TG_SOFTMAX_TABLE_H

#include <stdint.h>

/* TG_SOFTMAX_OP(name) */
#define TG_SOFTMAX_OPS(TG_SOFTMAX_OP) \
    TG_SOFTMAX_OP(softmax)            \
    TG_SOFTMAX_OP(log_softmax)

#define TG_SOFTMAX_ID(name) TG_SOFTMAX_##name,
enum { TG_SOFTMAX_OPS(TG_SOFTMAX_ID) TG_SOFTMAX_COUNT };

typedef void (*tg_softmax_fn)(int64_t rows, int64_t cols, const void *x, void *y); /* x, y: (rows, cols) */
typedef void (*tg_softmax_grad_fn)(int64_t rows, int64_t cols, const void *gy, const void *y,
                                   void *gx); /* (rows, cols) each */

/* Rows are handled in blocks of at most this many; losses are summed block by block. */
enum { TG_SOFTMAX_BLOCK = 64 };

/* What one call of the cross-entropy kernels works on; a kernel does the rows [begin, end). */
typedef struct {
    int64_t cols;
    const void *x;         /* (rows, cols) logits */
    const int64_t *labels; /* (rows), each in [0, cols) or ignore_index */
    const void *weight;    /* (cols) or NULL: all one */
    int64_t ignore_index;
    double smoothing;      /* s */
    double weight_total;   /* the sum of weight over all classes */
    void *loss;            /* forward: (rows), or NULL if only the sums are wanted */
    void *lse;             /* forward: (rows), or NULL if not wanted */
    int64_t block;         /* forward: begin is a multiple of it; at most TG_SOFTMAX_BLOCK */
    double *sums;          /* forward: (blocks): the block's loss */
    const void *saved_lse; /* gradient: (rows) */
    const void *gy;        /* gradient: (rows) if gy_per_row, else (1) */
    int gy_per_row;
    double divisor; /* gy is divided by it */
    void *gx;       /* (rows, cols); forward: the gradient for gy = 1, or NULL if not wanted */
} tg_cross_entropy_call;
typedef void (*tg_cross_entropy_fn)(const tg_cross_entropy_call *call, int64_t begin, int64_t end);

typedef struct {
    tg_softmax_fn forward[TG_SOFTMAX_COUNT];
    tg_softmax_grad_fn gradient[TG_SOFTMAX_COUNT];
    void (*logsumexp)(int64_t rows, int64_t cols, const void *x, void *y); /* x: (rows, cols), y: (rows) */
    void (*logsumexp_grad)(int64_t rows, int64_t cols, const void *gy, const void *x, const void *y,
                           void *gx); /* gy, y: (rows), x, gx: (rows, cols) */
    tg_cross_entropy_fn cross_entropy;
    tg_cross_entropy_fn cross_entropy_grad;
} tg_softmax_kernels;

#endif
