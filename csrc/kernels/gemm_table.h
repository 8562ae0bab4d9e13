/* gemm_table.h: what a matrix multiplication kernel is told, and the activations it may end with. */
#ifndef TG_GEMM_TABLE_H
#define TG_GEMM_TABLE_H

#include <stdint.h>

#include "binary_table.h"
#include "unary_table.h"

/* One line per activation; the line's position is its id. Each but `none` is the unary op of that name. */
#define TG_ACTIVATION_OPS(TG_ACTIVATION_OP) \
    TG_ACTIVATION_OP(none)                  \
    TG_ACTIVATION_OP(relu)                  \
    TG_ACTIVATION_OP(tanh)                  \
    TG_ACTIVATION_OP(sigmoid)               \
    TG_ACTIVATION_OP(gelu)                  \
    TG_ACTIVATION_OP(gelu_tanh)             \
    TG_ACTIVATION_OP(silu)

#define TG_ACTIVATION_ID(name) TG_ACTIVATION_##name,
enum { TG_ACTIVATION_OPS(TG_ACTIVATION_ID) TG_ACTIVATION_COUNT };

enum { TG_GEMM_STEPS = 9 }; /* an activation and 8 ends */

/* y = op(a, b), element by element, on arrays that are laid out as c is; with a step of 0 a single element */
typedef struct {
    tg_unary_fn forward; /* one of these three */
    tg_unary_grad_fn gradient;
    tg_binary_fn binary;
    const char *a, *b;
    int64_t a_step, b_step;
    char *y;
    double p[2];
} tg_gemm_step;

/* What becomes of the rows of c that are done. */
typedef struct {
    const char *c; /* where the whole of it begins */
    int64_t itemsize, count;
    int64_t work; /* of an element, in multiply-adds */
    tg_gemm_step steps[TG_GEMM_STEPS];
} tg_gemm_steps;

/* Takes rows of c through the steps. c: (rows, n), step ldc, in the whole of c */
void tg_gemm_finish(const tg_gemm_steps *steps, int64_t rows, int64_t n, int64_t ldc, const void *c);

/* c = steps(relu(op(a) @ op(b) [+ c] [+ bias])), as tg_gemm and tg_gemm_ended have it. The kernel trusts these. */
typedef struct {
    int flags; /* enum tg_gemm_flags */
    int relu;  /* nonzero: the activation is relu */
    int64_t m, n, k;
    const void *a; /* (m, k), step lda; with TG_TRANS_A (k, m) */
    int64_t lda;
    const void *b; /* (k, n), step ldb; with TG_TRANS_B (n, k) */
    int64_t ldb;
    void *c; /* (m, n), step ldc */
    int64_t ldc;
    const void *bias;           /* (n) or NULL */
    const tg_gemm_steps *steps; /* any other activation and the ends, or NULL */
} tg_gemm_problem;

typedef int (*tg_gemm_fn)(const tg_gemm_problem *problem); /* TG_OK or TG_NO_MEMORY */

/* A problem may be cut into parts along m and n, and the parts computed by the same function, without changing a bit; so which
 * one is chosen for the whole problem. */
typedef struct {
    tg_gemm_fn multiply;
    tg_gemm_fn row;    /* m == 1 */
    tg_gemm_fn column; /* n == 1, m != 1 */
    tg_gemm_fn dots;   /* a as it is, b transposed: faster than `multiply` up to dot_rows rows where k is long */
    tg_gemm_fn small;  /* whatever fits a first-level cache */
    int64_t dot_rows;
} tg_gemm_kernels;

#endif
