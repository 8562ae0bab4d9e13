/* tensorgrad.h: the whole C ABI.
 *
 * The part between `cdef: begin` and `cdef: end` is read by csrc/build_ffi.py and is the cffi cdef, so it holds plain
 * declarations only (no macros with values, no inline code).
 *
 * Conventions
 * - A function that can fail returns an int of `enum tg_status`; nothing prints, nothing aborts.
 * - Sizes and strides are int64_t and count elements, never bytes. Arrays are C-contiguous unless strides are given.
 * - `dtype` is one of `enum tg_dtype`. `void *` arrays hold elements of that dtype.
 * - `op` is an index into the family's name table (tg_op_name): adding an op changes no signature.
 * - An output may be exactly the same array as an input of the same shape in elementwise families (unary, unary_grad,
 *   binary, where); partial overlap is undefined. Everywhere else outputs must not overlap inputs.
 * - Results do not depend, bit for bit, on the number of threads: work is split over independent outputs, never inside a sum.
 */
#ifndef TENSORGRAD_H
#define TENSORGRAD_H

#include <stddef.h>
#include <stdint.h>

/* cdef: begin */

enum tg_constants {
    TG_ABI_VERSION = 1,
    TG_MAX_DIMS = 64, /* NumPy's limit */
    TG_ALIGNMENT = 64 /* bytes; of every block from tg_alloc */
};

enum tg_status {
    TG_OK = 0,
    TG_NO_MEMORY = 1,    /* an allocation failed */
    TG_BAD_SIZE = 2,     /* a size is negative or a product of sizes overflows */
    TG_BAD_ARGUMENT = 3, /* unknown op, dtype, flag, or a NULL pointer where data is needed */
    TG_BAD_INDEX = 4,    /* an index (label, gather) is out of range */
    TG_BUSY = 5          /* of tg_program_try: another thread is there */
};

enum tg_dtype { TG_F32 = 0, TG_F64 = 1, TG_I64 = 2 /* of tg_sort and tg_topk only */ };

enum tg_family {
    TG_UNARY = 0,
    TG_BINARY = 1,
    TG_REDUCE = 2,
    TG_ARGREDUCE = 3,
    TG_SOFTMAX = 4,
    TG_RANDOM = 5,
    TG_ACTIVATION = 6,
    TG_SCAN = 7,
    TG_MAP = 8 /* elementwise ops of up to four inputs; all of them custom */
};

/* Dimensions and strides of up to four operands, prepared once and reused (collapsed: adjacent dimensions that every
 * operand walks in one stride are merged). strides[i][d] is operand i's step along dimension d, 0 where it broadcasts.
 * Operand order is the order of the function's array parameters. */
typedef struct {
    int64_t ndim;
    int64_t shape[64];
    int64_t strides[4][64];
} tg_layout;

/* ---- library ---------------------------------------------------------------------------------------------------- */

int tg_abi_version(void);
const char *tg_compiler(void);              /* compiler name and version, e.g. "gcc 12.2.0" */
const char *tg_build_flags(void);           /* what the library was compiled with */
const char *tg_isa(void);                   /* the active kernel table: "baseline", "avx2", "avx512", "neon" */
const char *tg_isa_available(int index);    /* index-th table this machine can run, best first; NULL past the end */
int tg_select_isa(const char *name);        /* TG_BAD_ARGUMENT if unknown or not runnable here; not while kernels run */
const char *tg_op_name(int family, int op); /* NULL past the end of the family's table */
int64_t tg_cache_bytes(int level);          /* data cache size of the CPU, level 1..3, in bytes; 0 if unknown */

/* Adds an elementwise op, whose kernels for each element type are what f32 and f64 point to, in the order of
 * kernels/unary_types.h, binary_types.h or map_types.h; they must stay where they are. cost: 0 for loads and stores, 1 for more.
 * inputs: how many, 1 to 4. Returns the op's id, or a status as a negative number. */
int tg_custom_add(int family, int cost, int inputs, const void *f32, const void *f64);
int tg_custom_inputs(int family, int op); /* how many inputs an op added so has; -1 for no such op */
const void *tg_services(void);            /* the tg_api of tensorgrad_kernel.h, for modules of kernels */

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* 1..256; TG_BAD_ARGUMENT otherwise. Work is cut for n threads; no more of them run than tg_default_num_threads(). */
int tg_set_num_threads(int n);
int tg_get_num_threads(void);
int tg_default_num_threads(
    void); /* from CPU affinity and the cgroup quota, at least 1; the environment is Python's business */

/* ---- memory ----------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t bytes_in_use; /* handed out and not yet freed, as rounded up to size classes */
    int64_t bytes_cached; /* free, kept for reuse */
    int64_t cache_limit;  /* bytes_cached never exceeds this */
    int64_t peak_in_use;
    int64_t system_allocs; /* calls that went to the system since start */
    int64_t system_frees;
} tg_memory;

void *tg_alloc(
    int64_t bytes);        /* TG_ALIGNMENT-aligned, uninitialised; NULL if out of memory or bytes < 0; bytes may be 0 */
void tg_free(void *block); /* from any thread; NULL is allowed */
int64_t tg_block_bytes(const void *block); /* what a block from tg_alloc can hold: at least what was asked for */
void tg_memory_stats(tg_memory *out);
void tg_memory_release(void); /* returns every cached block to the system */
int tg_memory_set_limit(int64_t bytes);
uint64_t tg_fingerprint(int64_t bytes, const void *memory); /* a hash: tells, all but surely, whether memory changed */

/* ---- gradients that are several calls of what follows ------------------------------------------------------------ */

/* How an operand fills n elements: element i is data[i / repeat % period]. */
typedef struct {
    int64_t repeat, period; /* 1 and n if it is not repeated, 1 and 1 if it is a single element */
} tg_spread;

typedef struct {
    int64_t n;
    tg_spread gy, a, b;
    /* Whether the gradient is summed over what repeats the operand: then that is its beginning or its end, not both, and there is
     * a tg_tiles_unit, the same for all sums. */
    int sums_a, sums_b;
} tg_gradient_plan;

/* The gradients of y = op(a, b), for mul and div: ga = gy b and gb = gy a; ga = gy / b and gb = -(ga (a / b)). Each is (n), or
 * as long as its operand where that is summed; NULL: not wanted. With the bits of the steps by tg_binary, tg_unary and
 * tg_reduce, in one pass. */
int tg_binary_grad(int op, int dtype, const tg_gradient_plan *plan, const void *gy, const void *a, const void *b,
                   void *ga, void *gb);

/* calls: begin */

/* ---- elementwise ------------------------------------------------------------------------------------------------ */

/* y[i] = op(x[i]); p0 and p1 are the op's parameters (slope, exponent, ...), ignored where it has none. x, y: (n) */
int tg_unary(int op, int dtype, int64_t n, const void *x, void *y, double p0, double p1);

/* gx[i] = gy[i] * op'(s[i]), where s is the op's input or its output, as its row in kernels/unary_table.h says. (n) each */
int tg_unary_grad(int op, int dtype, int64_t n, const void *gy, const void *s, void *gx, double p0, double p1);

/* y = op(a, b) with broadcasting. layout: strides of a, b (y is contiguous), n its element count; NULL: all are (n) */
int tg_binary(int op, int dtype, int64_t n, const void *a, const void *b, void *y, const tg_layout *layout);

/* y = condition ? a : b. condition holds bytes 0 or 1; layout: strides of condition, a, b; NULL: all are (n) */
int tg_where(int dtype, int64_t n, const uint8_t *condition, const void *a, const void *b, void *y,
             const tg_layout *layout);

/* y = op(a, b, c, d) with broadcasting and parameters p0 to p3, for a custom op; what it has fewer of is ignored.
 * layout: strides of its inputs; NULL: all are (n). */
int tg_map(int op, int dtype, int64_t n, const void *a, const void *b, const void *c, const void *d, void *y,
           const tg_layout *layout, double p0, double p1, double p2, double p3);

/* ---- elementwise chains ----------------------------------------------------------------------------------------- */

/* One of the arrays that a chain works with. All have the chain's n elements, as far as they are looked at: element i is
 * data[i / repeat % period]. */
typedef struct {
    void *data;             /* NULL: only needed on the way, and never stored as a whole */
    int64_t itemsize;       /* of the dtype; 1: a condition of where */
    int64_t repeat, period; /* of what a step makes 1 and n */
    int64_t slot;           /* of what a step makes: where in the cache its elements are, from 0; else -1 */
} tg_tile_value;

enum tg_tile_kind {
    TG_TILE_UNARY = 0,
    TG_TILE_UNARY_GRAD = 1,
    TG_TILE_BINARY = 2,
    TG_TILE_WHERE = 3,
    TG_TILE_MAP = 4,
    TG_TILE_COPY = 5 /* of one input, of the dtype's width */
};

/* The call of the function of that name on values: `in` in the order of its parameters, -1 for none. */
typedef struct {
    int64_t kind, op;
    int64_t in[4], y;
    double p[4]; /* p0 and p1, or params */
} tg_tile_step;

/* tg_reduce of a value that is (outer, n, inner) */
typedef struct {
    int64_t op, value, outer, n, inner;
    void *y;
} tg_tile_sum;

/* Runs the steps one after another, each on n elements, and then the sums, with the same bits as one call for each would give: a
 * tile at a time, all steps on it while it is in the first cache. A slot may take the place of one whose value is not read any
 * more. The first `once` steps give the same for every tile, and are run for one only. What is stored must not overlap what is
 * read, unless it is the same whole array, and then every step that reads it comes before the one that stores it. All sums must
 * have the same tg_tiles_unit, other than 0. At most 256 values and steps, and 8 sums. */
int tg_tiles(int dtype, int64_t n, int64_t values_count, const tg_tile_value *values, int64_t steps_count,
             const tg_tile_step *steps, int64_t once, int64_t sums_count, const tg_tile_sum *sums);

/* ---- moving data ------------------------------------------------------------------------------------------------ */

/* dst = src, element size in bytes 1, 2, 4, 8 or 16. layout: strides of src, dst (negative and zero src strides allowed) */
int tg_copy(int itemsize, const void *src, void *dst, const tg_layout *layout);

/* dst[o, i, :] = src[o, index[i], :]. src: (outer, length, inner), index: (count) in [-length, length), dst: (outer, count, inner) */
int tg_take(int itemsize, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
            const void *src, void *dst);

/* gx[o, index[i], :] += gy[o, i, :], in rising i. gx: (outer, length, inner), gy: (outer, count, inner) */
int tg_take_grad(int dtype, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
                 const void *gy, void *gx);

/* dst[o, i, j] = src[o, index[o, i, j], j]. src: (outer, length, inner); index: (outer, count, inner) in [-length, length), dst:
 * the same. After TG_BAD_INDEX dst is unspecified. */
int tg_gather(int itemsize, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
              const void *src, void *dst);

/* gx[o, index[o, i, j], j] += gy[o, i, j], in rising i. gx: (outer, length, inner); index, gy: (outer, count, inner). After
 * TG_BAD_INDEX gx is unspecified. */
int tg_scatter_add(int dtype, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
                   const void *gy, void *gx);

/* ---- reductions ------------------------------------------------------------------------------------------------- */

/* y[o, i] = op over j of x[o, j, i]. x: (outer, n, inner), y: (outer, inner). Sums are pairwise. n = 0 gives the op's identity
 * (sum 0, prod 1, max -inf, min inf, mean NaN). NaN propagates through max and min. */
int tg_reduce(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);

/* y[o, i] = position of the first maximum (minimum) over j, a NaN counting as the extreme. n must be >= 1 */
int tg_argreduce(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, int64_t *y);

/* The mean, and the sum of squared deviations from it divided by n - correction (NaN unless that is > 0), over j. x: (outer, n,
 * inner); mean, var: (outer, inner), mean may be NULL. One pass over x; moments are combined pairwise, so that neither a large
 * mean nor a large n costs accuracy; the mean is as exact as the largest element is. */
int tg_variance(int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, double correction, void *mean,
                void *var);

/* ---- cumulative ops --------------------------------------------------------------------------------------------- */

/* y[o, j, i] = op over x[o, 0..j, i], or with reverse over x[o, j..n-1, i]. x, y: (outer, n, inner). NaN propagates. Sums of rows
 * (inner = 1) are made of the prefixes of vectors, those of columns one after another. */
int tg_scan(int op, int dtype, int reverse, int64_t outer, int64_t n, int64_t inner, const void *x, void *y);

/* y[o, j, i] = position of the largest (op max) or smallest (min) of x[o, 0..j, i]: the last of equals, and of NaNs if there is
 * one. */
int tg_argscan(int op, int dtype, int64_t outer, int64_t n, int64_t inner, const void *x, int64_t *y);

/* y[o, j, i] = b[o, j, i] + a[o, j, i] * y[o, j - 1, i], with reverse y[o, j + 1, i]; the one before the first is 0, and its
 * factor not used. a, b, y: (outer, n, inner) */
int tg_recurrence(int dtype, int reverse, int64_t outer, int64_t n, int64_t inner, const void *a, const void *b,
                  void *y);

/* ---- sorting ---------------------------------------------------------------------------------------------------- */

/* Each row sorted, stably; a NaN is greater than all numbers. x: (rows, n), n < 2^32; values: (rows, n), or NULL; positions: where
 * each came from, (rows, n), or NULL. */
int tg_sort(int dtype, int descending, int64_t rows, int64_t n, const void *x, void *values, int64_t *positions);

/* The first k of each row sorted so (largest: descending), of equals those that come first in x. values, positions: (rows, k) */
int tg_topk(int dtype, int largest, int64_t rows, int64_t n, int64_t k, const void *x, void *values,
            int64_t *positions);

/* ---- softmax and losses ----------------------------------------------------------------------------------------- */

/* softmax or log_softmax along the last axis. x, y: (rows, cols) */
int tg_softmax(int op, int dtype, int64_t rows, int64_t cols, const void *x, void *y);
int tg_softmax_grad(int op, int dtype, int64_t rows, int64_t cols, const void *gy, const void *y, void *gx);

/* y[r] = log(sum_c exp(x[r, c])) without overflow: -inf over nothing or -inf alone. x: (rows, cols), y: (rows) */
int tg_logsumexp(int dtype, int64_t rows, int64_t cols, const void *x, void *y);
/* gx = gy * exp(x - y). gy, y: (rows), x, gx: (rows, cols) */
int tg_logsumexp_grad(int dtype, int64_t rows, int64_t cols, const void *gy, const void *x, const void *y, void *gx);

enum tg_reduction { TG_NONE = 0, TG_MEAN = 1, TG_SUM = 2 };

/* Softmax cross-entropy with class indices, one pass over the logits.
 * x: (rows, cols); labels: (rows), in [0, cols) or ignore_index; weight: (cols) or NULL; loss: (rows) for TG_NONE, else (1);
 * saved: (rows + 1) or NULL: the log-sum-exp of each row, then the sum of the weights of the labels that count;
 * gx: (rows, cols) or NULL: the gradient of x for gy = 1, written in the same visit of the rows.
 * loss_row = (1 - s) * w[label] * (lse - x[label]) + s / cols * sum_c w[c] * (lse - x[c]); mean divides by that sum of weights. */
int tg_cross_entropy(int dtype, int64_t rows, int64_t cols, const void *x, const int64_t *labels, const void *weight,
                     int64_t ignore_index, double label_smoothing, int reduction, void *loss, void *saved, void *gx);
/* gy: (rows) for TG_NONE, else (1); gx: (rows, cols) */
int tg_cross_entropy_grad(int dtype, int64_t rows, int64_t cols, const void *x, const int64_t *labels,
                          const void *weight, int64_t ignore_index, double label_smoothing, int reduction,
                          const void *saved, const void *gy, void *gx);

/* ---- normalisation of rows -------------------------------------------------------------------------------------- */

/* y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over each row. x, y: (rows, cols); weight, bias: (cols) or NULL;
 * saved: (2, rows): the means, then 1 / sqrt(var + eps). */
int tg_layer_norm(int dtype, int64_t rows, int64_t cols, const void *x, const void *weight, const void *bias,
                  double eps, void *y, void *saved);
/* gy, gx: (rows, cols), gw, gb: (cols); each of gx, gw, gb may be NULL and is then not computed. gw and gb are sums over rows in
 * blocks of 32 (64 where cols <= 64), which are added in pairs. */
int tg_layer_norm_grad(int dtype, int64_t rows, int64_t cols, const void *gy, const void *x, const void *weight,
                       const void *saved, void *gx, void *gw, void *gb);

/* y = x / sqrt(mean(x^2) + eps) * weight. saved: (rows): 1 / sqrt(mean(x^2) + eps) */
int tg_rms_norm(int dtype, int64_t rows, int64_t cols, const void *x, const void *weight, double eps, void *y,
                void *saved);
int tg_rms_norm_grad(int dtype, int64_t rows, int64_t cols, const void *gy, const void *x, const void *weight,
                     const void *saved, void *gx, void *gw);

/* ---- matrix multiplication -------------------------------------------------------------------------------------- */

enum tg_gemm_flags { TG_TRANS_A = 1, TG_TRANS_B = 2, TG_ACCUMULATE = 4 };

/* c = activation(op(a) @ op(b) [+ c] [+ bias]). op(a): (m, k), op(b): (k, n), c: (m, n), bias: (n) or NULL.
 * a is stored (m, k), or (k, m) with TG_TRANS_A; b (k, n), or (n, k) with TG_TRANS_B; lda, ldb, ldc are the steps between
 * stored rows. activation indexes TG_ACTIVATION (0 = none). Each element of c is summed over k in rising order of blocks. */
int tg_gemm(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
            int64_t ldb, void *c, int64_t ldc, const void *bias, int activation);

/* What becomes of a product's result while it is in the cache: the call of the function of that name (kind: TG_TILE_UNARY,
 * TG_TILE_UNARY_GRAD or TG_TILE_BINARY) on arrays that are laid out as c is. a, b: its inputs in the order of its parameters, b NULL
 * where it has one; with a step of 0 a single element, for TG_TILE_BINARY only. */
typedef struct {
    int64_t kind, op;
    const void *a;
    int64_t a_step;
    const void *b;
    int64_t b_step;
    void *y;
    double p[2];
} tg_gemm_end;

/* tg_gemm and then its ends, in order, each for some rows at a time: with the bits that one call after the other would give. A y may
 * be c, or exactly one of the inputs; else it must overlap nothing that is read. At most 8 ends. */
int tg_gemm_ended(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                  int64_t ldb, void *c, int64_t ldc, const void *bias, int activation, int64_t ends_count,
                  const tg_gemm_end *ends);

/* tg_gemm for every index of batch, whose strides are the steps of a, b and c between matrices (0 broadcasts a or b). */
int tg_gemm_batched(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                    int64_t ldb, void *c, int64_t ldc, const tg_layout *batch);

/* The linear layer on contiguous arrays: y = activation(x @ w^T + bias), activation as in tg_gemm.
 * x: (rows, in), w: (out, in), bias: (out) or NULL, y: (rows, out). */
int tg_linear(int dtype, int activation, int64_t rows, int64_t in, int64_t out, const void *x, const void *w,
              const void *bias, void *y);

/* All its gradients from gz = gy * activation'(y): gx = gz @ w, gw = gz^T @ x, gb = the sums of gz's columns, pairwise; each of
 * the three may be NULL and is then not computed. activation: none, relu, tanh or sigmoid, whose derivatives read y; y is not read
 * for none. gy, y: (rows, out), x, gx: (rows, in), w, gw: (out, in), gb: (out). */
int tg_linear_grad(int dtype, int activation, int64_t rows, int64_t in, int64_t out, const void *gy, const void *y,
                   const void *x, const void *w, void *gx, void *gw, void *gb);

/* A chain of linear layers, layer i reading the output of layer i - 1. w: (out, in), bias: (out) or NULL. */
typedef struct {
    int activation; /* as in tg_linear_grad */
    int64_t in, out;
    const void *w, *bias;
} tg_layer;

/* x: (rows, in of the first layer), y: (rows, out of the last). hidden receives the outputs of the layers before the last, one
 * after another, each beginning at a multiple of TG_ALIGNMENT bytes; NULL for a single layer. */
int tg_linear_chain(int dtype, int64_t rows, int64_t count, const tg_layer *layers, const void *x, void *hidden,
                    void *y);

/* gradients[2 i] and gradients[2 i + 1] receive those of layer i's weight and bias, gx that of x; any may be NULL. */
int tg_linear_chain_grad(int dtype, int64_t rows, int64_t count, const tg_layer *layers, const void *x,
                         const void *hidden, const void *y, const void *gy, void *gx, void *const *gradients);

/* ---- optimizers: one call over all parameters ------------------------------------------------------------------- */

/* Every argument is a table of what belongs to each parameter, so that those with options of their own take no call of their
 * own; grads[i] NULL skips parameter i. factors, or factors[i], may be NULL; else gradient i is multiplied by factors[i][0],
 * rounded, as it is read: what tg_multi_scale would have left in it. */

/* hyper[i][0..5]: learning rate, momentum, dampening, weight decay, nesterov (0 or 1), maximize (0 or 1): read from memory, so
 * that a recorded call sees their current values. momenta: buffers, zeros at first; started[i][0] is 0 until buffer i holds a
 * value (in the first step it takes the gradient as it is), then 1; neither is needed for parameters without momentum.
 * As in Sutskever et al. 2013 with PyTorch's conventions: g += decay * w; v = momentum * v + (1 - dampening) * g;
 * g = nesterov ? g + momentum * v : v; w -= lr * g. */
int tg_sgd(int dtype, int64_t count, const int64_t *sizes, void *const *params, const void *const *grads,
           const double *const *factors, void *const *momenta, uint8_t *const *started, const double *const *hyper);

/* Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019). hyper[i][0..6]: learning rate, beta1, beta2, eps, weight
 * decay, decoupled (0 or 1), maximize (0 or 1), read from memory like the steps done[i][0], to which the call adds 1. means,
 * squares: buffers, zeros at first; top, or top[i], may be NULL: the largest squares so far (amsgrad, Reddi et al. 2018).
 * g += decay * w, or decoupled: w -= lr * decay * w; m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g * g;
 * w -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps), with top instead of v where it is given. */
int tg_adam(int dtype, int64_t count, const int64_t *sizes, void *const *params, const void *const *grads,
            const double *const *factors, void *const *means, void *const *squares, void *const *top,
            float *const *done, const double *const *hyper);

/* total[0] = sum over all arrays of the sum of squares, accumulated in double */
int tg_multi_sumsq(int dtype, int64_t count, const int64_t *sizes, const void *const *arrays, double *total);
/* every array *= factor[0] */
int tg_multi_scale(int dtype, int64_t count, const int64_t *sizes, void *const *arrays, const double *factor);

/* ---- random numbers: Philox4x32-10 (Salmon et al. 2011), the same for any number of threads --------------------- */

/* Element i of a draw is a function of (key, counter, i) alone; a draw then advances counter. */
typedef struct {
    uint64_t key;
    uint64_t counter;
} tg_generator;

/* uniform: [a, b); normal: mean a, standard deviation b; bernoulli: 1 with probability a, else 0. out: (n) */
int tg_random(int op, int dtype, int64_t n, double a, double b, tg_generator *generator, void *out);
int tg_permutation(int64_t n, tg_generator *generator, int64_t *out); /* a uniformly random order of 0..n-1 */

/* ---- what a program calls that is not in this library ------------------------------------------------------------ */

/* Calls function(id), which returns a status. */
int tg_call_back(void *function, int64_t id);

/* Calls a function of any parameters: the integers and pointers among them in `integers` (16), in order, the numbers of float and
 * double in `reals` (8), a float as its bits in the lower half. What it does not take is not looked at. Where it returns a status,
 * has_status; else TG_OK is returned. Good for the System V ABI of x86-64 and the AAPCS64 of Linux, which pass the two kinds
 * independently of each other. */
int tg_call_foreign(void *function, int has_status, const int64_t *integers, const double *reals);

/* calls: end */

/* How many elements of (outer, n, inner) a reduction takes at a time, when it is one of tg_tiles; 0: it cannot be. */
int64_t tg_tiles_unit(int64_t outer, int64_t n, int64_t inner);

/* ---- programs: recorded calls that one call replays -------------------------------------------------------------------- */

/* The functions between `calls: begin` and `calls: end` can be recorded (csrc/build_ffi.py makes a runner for each). A step of a
 * program is one call of such a function; its arguments lie in `words`, one after another: integers as they are, doubles by their
 * bits, pointers as addresses. */
const char *tg_function_name(int function); /* NULL past the end */
int tg_function_words(int function);        /* how many arguments it takes */

/* Steps that may run at the same time: a lane is some steps that follow one another, the lanes of a group follow one another and
 * have nothing to do with each other. */
enum { TG_MOST_LANES = 16 };
typedef struct {
    int64_t first;       /* the step with which the first lane begins */
    int64_t lanes;       /* at most TG_MOST_LANES */
    const int64_t *ends; /* (lanes): the step behind the last of each */
    const int64_t *work; /* (lanes): how long each takes, in any unit, > 0 */
    int64_t threads;     /* with more than these its steps run one after another, each on all threads */
} tg_group;

typedef struct {
    int64_t steps;
    const int32_t *functions; /* (steps) */
    const int32_t *begins;    /* (steps): where the arguments of a step begin in words */
    int64_t *words;
    int64_t patches;
    const int32_t *places;  /* (patches): words that hold an address in what a slot points to */
    const int32_t *slots;   /* (patches): which slot */
    const int64_t *offsets; /* (patches): bytes from there */
    int64_t slot_count;
    int64_t group_count;
    const tg_group *groups; /* (group_count), by their first steps */
    int32_t *gate;          /* of tg_program_try: TG_OPEN at first */
    int64_t result_bytes;   /* of tg_program_call */
} tg_program;

/* Runs the program `times` times. addresses: (times, slot_count), what the slots are in each run. *failed: the step that gave a
 * status other than TG_OK, which is returned; *done: how many runs were completed. */
int tg_program_run(const tg_program *program, int64_t times, void *const *addresses, int64_t *failed, int64_t *done);
/* Programs that share a gate run one at a time, without waiting: a run for which the gate is not open gives TG_BUSY and does
 * nothing. tg_gate_close waits for the run that is under way, and keeps others out until the word is set to TG_OPEN again. */
enum tg_gate { TG_OPEN = 0, TG_RUNS = 1, TG_CLOSED = 2 };
int tg_program_try(const tg_program *program, void *const *addresses);
void tg_gate_close(int32_t *gate);
/* The same for a program whose last slot is one result, of result_bytes, and whose slots before it, at most four, are a to d (NULL
 * for those that it has not). Allocates the result and returns it, or NULL. */
void *tg_program_call(const tg_program *program, void *a, void *b, void *c, void *d);
/* The status of the last of these two that this thread called; *failed as for tg_program_run, -1 if no step had run. */
int tg_program_status(int64_t *failed);
/* One run, and the seconds that each step took. seconds: (steps) */
int tg_program_time(const tg_program *program, void *const *addresses, double *seconds, int64_t *failed);

/* cdef: end */

#endif
