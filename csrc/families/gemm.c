/* Entry points of matrix multiplication: check the arguments, split the work, call the active table. */
#include <stdatomic.h>

#include "elementwise.h"

enum {
    GEMM_FLAGS = TG_TRANS_A | TG_TRANS_B | TG_ACCUMULATE,
    GEMM_GRAIN = 1 << 16, /* multiply-adds for each thread at least: less costs more than it brings */
    SMALL_STEPS = 256,
    SMALL_BYTES = 1 << 14,
    PIECE = 1 << 11, /* elements that go through all steps before the next: they stay in a first-level cache */
    DOT_STEPS = 64   /* from so long a k on, dot products of few rows cost less than turning an operand round */
};

/* ---- arguments -------------------------------------------------------------------------------------------------- */

/* The elements that a matrix of rows x cols with row step ld spans, in *span; a status. */
static int matrix_span(int64_t rows, int64_t cols, int64_t ld, int64_t *span) {
    *span = 0;
    if (rows < 0 || cols < 0 || ld < cols) return TG_BAD_SIZE;
    if (rows == 0 || cols == 0) return TG_OK;
    if (tg_mul_overflows(rows - 1, ld, span) || *span > INT64_MAX - cols) return TG_BAD_SIZE;
    *span += cols;
    return *span > INT64_MAX / 8 ? TG_BAD_SIZE : TG_OK;
}

/* Also points a and b at memory where nothing of them is read. */
static int check(int dtype, tg_gemm_problem *p) {
    if (!tg_is_dtype(dtype) || p->flags & ~GEMM_FLAGS) return TG_BAD_ARGUMENT;
    if (p->m < 0 || p->n < 0 || p->k < 0) return TG_BAD_SIZE;
    const int ta = p->flags & TG_TRANS_A, tb = p->flags & TG_TRANS_B;
    int64_t a_span, b_span, c_span;
    if (matrix_span(ta ? p->k : p->m, ta ? p->m : p->k, p->lda, &a_span) != TG_OK ||
        matrix_span(tb ? p->n : p->k, tb ? p->k : p->n, p->ldb, &b_span) != TG_OK ||
        matrix_span(p->m, p->n, p->ldc, &c_span) != TG_OK)
        return TG_BAD_SIZE;
    if (c_span && (!p->c || (p->k && (!p->a || !p->b)))) return TG_BAD_ARGUMENT;
    if (p->k == 0) {
        p->a = p->b = p->c;
        p->lda = p->ldb = 0;
    }
    return TG_OK;
}

/* ---- one product ------------------------------------------------------------------------------------------------ */

/* c is cut into a grid of cells; a cell is a problem of its own. */
typedef struct {
    const tg_gemm_problem *problem;
    tg_gemm_fn multiply;
    int64_t itemsize;
    int64_t row_parts, column_parts;
    int64_t row_unit, column_unit; /* cells begin at multiples of these */
    atomic_int status;
} grid;

/* Whether b stays in a first-level cache as it lies, and packing it would not pay: c is narrow or has few rows, or is made
 * in few steps. */
static int is_small(int64_t itemsize, const tg_gemm_problem *p) {
    const int64_t most = SMALL_BYTES / itemsize;
    if (p->m < 8 || p->k > SMALL_STEPS || p->n > most || p->k * p->n > most) return 0;
    return p->m <= 64 || p->k <= 32 || (p->n * itemsize <= 128 && !(p->flags & TG_TRANS_A));
}

static tg_gemm_fn choose(int dtype, const tg_gemm_problem *p) {
    const tg_gemm_kernels *kernels = tg_active->gemm[dtype];
    if (p->m == 1) return kernels->row;
    if (p->n == 1) return kernels->column;
    const int only_b_turned = (p->flags & (TG_TRANS_A | TG_TRANS_B)) == TG_TRANS_B;
    if (only_b_turned && p->m <= kernels->dot_rows && p->k >= DOT_STEPS) return kernels->dots;
    return is_small((int64_t)tg_itemsize(dtype), p) ? kernels->small : kernels->multiply;
}

/* Where part i of `parts` begins in 0..n, in whole units. */
static int64_t boundary(int64_t n, int64_t unit, int64_t parts, int64_t i) {
    const int64_t units = n / unit + (n % unit != 0), share = units / parts, rest = units % parts;
    const int64_t begin = (share * i + (i < rest ? i : rest)) * unit;
    return begin < n ? begin : n;
}

static void multiply_cells(void *ctx, int64_t begin, int64_t end) {
    grid *g = ctx;
    const tg_gemm_problem *whole = g->problem;
    for (int64_t cell = begin; cell < end; cell++) {
        const int64_t i = cell / g->column_parts, j = cell % g->column_parts;
        const int64_t row = boundary(whole->m, g->row_unit, g->row_parts, i);
        const int64_t column = boundary(whole->n, g->column_unit, g->column_parts, j);
        tg_gemm_problem part = *whole;
        part.m = boundary(whole->m, g->row_unit, g->row_parts, i + 1) - row;
        part.n = boundary(whole->n, g->column_unit, g->column_parts, j + 1) - column;
        if (part.m == 0 || part.n == 0) continue;
        part.a = (const char *)whole->a + g->itemsize * row * (whole->flags & TG_TRANS_A ? 1 : whole->lda);
        part.b = (const char *)whole->b + g->itemsize * column * (whole->flags & TG_TRANS_B ? whole->ldb : 1);
        part.c = (char *)whole->c + g->itemsize * (row * whole->ldc + column);
        if (whole->bias) part.bias = (const char *)whole->bias + g->itemsize * column;
        const int status = g->multiply(&part);
        if (status != TG_OK) atomic_store_explicit(&g->status, status, memory_order_relaxed);
    }
}

/* Of the grids with `parts` cells, the one whose cells read least: a row of a is broadcast from where it lies, a column of b is
 * often copied first and so counts twice. */
static void shape_grid(grid *g, int64_t parts) {
    const tg_gemm_problem *p = g->problem;
    double least = 0;
    g->row_parts = g->column_parts = 1;
    for (int64_t columns = 1; columns <= parts; columns++) {
        const int64_t rows = parts / columns;
        if (rows * columns != parts || (rows > 1 && p->m / g->row_unit < rows) ||
            (columns > 1 && p->n / g->column_unit < columns))
            continue;
        const double reads = (double)p->m / (double)rows + 2 * (double)p->n / (double)columns;
        if (least > 0 && reads >= least) continue;
        least = reads;
        g->row_parts = rows;
        g->column_parts = columns;
    }
}

/* The arguments have been checked, m and n are positive. */
static int multiply(int dtype, const tg_gemm_problem *problem) {
    const tg_gemm_fn kernel = choose(dtype, problem);
    const double steps = (double)(problem->k + (problem->steps ? problem->steps->work : 0));
    const double work = (double)problem->m * (double)problem->n * steps;
    if (work < 2 * GEMM_GRAIN) return kernel(problem);
    const double most = work / GEMM_GRAIN;
    const int threads = tg_get_num_threads();
    const int64_t parts = most < threads ? (int64_t)most : threads;
    if (parts == 1) return kernel(problem);
    grid g = {.problem = problem, .multiply = kernel, .itemsize = (int64_t)tg_itemsize(dtype), .row_unit = 4};
    g.column_unit = TG_ALIGNMENT / g.itemsize; /* no cache line of c is written by two threads where rows are aligned */
    for (int64_t cells = parts; cells > 1 && (cells == parts || g.row_parts * g.column_parts == 1); cells--)
        shape_grid(&g, cells);
    if (g.row_parts * g.column_parts <= 1) return kernel(problem);
    tg_parallel_for(g.row_parts * g.column_parts, 1, multiply_cells, &g);
    return atomic_load(&g.status);
}

/* The unary op that an activation is, by its id; -1 for none, and for relu, which the products do themselves. */
static int activation_op(int activation) {
    static const int ops[] = {[TG_ACTIVATION_tanh] = TG_UNARY_tanh,
                              [TG_ACTIVATION_sigmoid] = TG_UNARY_sigmoid,
                              [TG_ACTIVATION_gelu] = TG_UNARY_gelu,
                              [TG_ACTIVATION_gelu_tanh] = TG_UNARY_gelu_tanh,
                              [TG_ACTIVATION_silu] = TG_UNARY_silu};
    return activation == TG_ACTIVATION_none || activation == TG_ACTIVATION_relu ? -1 : ops[activation];
}

int tg_gemm(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
            int64_t ldb, void *c, int64_t ldc, const void *bias, int activation) {
    return tg_gemm_ended(dtype, flags, m, n, k, a, lda, b, ldb, c, ldc, bias, activation, 0, NULL);
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

void tg_gemm_finish(const tg_gemm_steps *steps, int64_t rows, int64_t n, int64_t ldc, const void *c) {
    if (ldc == n) {
        n *= rows;
        rows = 1;
    }
    const int64_t piece = steps->count > 1 ? PIECE : n;
    int64_t row = (const char *)c - steps->c; /* bytes from where c and what is laid out like it begins */
    for (; rows > 0; rows--, row += ldc * steps->itemsize)
        for (int64_t j = 0; j < n; j += piece) {
            const int64_t count = n - j < piece ? n - j : piece, at = row + j * steps->itemsize;
            for (const tg_gemm_step *s = steps->steps; s < steps->steps + steps->count; s++) {
                if (s->forward)
                    s->forward(count, s->a + at, s->y + at, s->p[0], s->p[1]);
                else if (s->gradient)
                    s->gradient(count, s->a + at, s->b + at, s->y + at, s->p[0], s->p[1]);
                else
                    s->binary(count, s->a + at * s->a_step, s->a_step, s->b + at * s->b_step, s->b_step, s->y + at);
            }
        }
}

/* Adds the step that an end is; 0 if there is none. */
static int add_step(int dtype, const tg_gemm_end *end, tg_gemm_steps *steps) {
    tg_gemm_step *s = &steps->steps[steps->count++];
    *s = (tg_gemm_step){.a = end->a, .a_step = end->a_step, .b = end->b, .b_step = end->b_step, .y = end->y};
    s->p[0] = end->p[0], s->p[1] = end->p[1];
    if (!s->a || !s->y || (!s->b && end->kind != TG_TILE_UNARY) || (s->a_step | s->b_step) & ~1) return 0;
    const int op = end->op == (int)end->op ? (int)end->op : -1;
    int64_t grain;
    if (end->kind == TG_TILE_BINARY)
        s->binary = tg_find_binary(op, dtype, &grain);
    else if (!tg_find_unary(op, dtype, &s->forward, &s->gradient, &grain))
        return 0;
    if (end->kind != TG_TILE_UNARY) s->forward = NULL;
    if (end->kind != TG_TILE_UNARY_GRAD) s->gradient = NULL;
    if (!s->forward && !s->gradient && !s->binary) return 0;
    steps->work += GEMM_GRAIN / grain;
    return 1;
}

int tg_gemm_ended(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                  int64_t ldb, void *c, int64_t ldc, const void *bias, int activation, int64_t ends_count,
                  const tg_gemm_end *ends) {
    if (activation < 0 || activation >= TG_ACTIVATION_COUNT) return TG_BAD_ARGUMENT;
    if (ends_count < 0 || ends_count >= TG_GEMM_STEPS) return TG_BAD_SIZE;
    tg_gemm_problem problem = {flags, activation == TG_ACTIVATION_relu, m, n, k, a, lda, b, ldb, c, ldc, bias, NULL};
    const int status = check(dtype, &problem);
    if (status != TG_OK || m == 0 || n == 0) return status;
    const tg_gemm_end activate = {.kind = TG_TILE_UNARY, .op = activation_op(activation), .a = c, .y = c};
    if (activate.op < 0 && ends_count == 0) return multiply(dtype, &problem);
    tg_gemm_steps steps; /* large, and most of it unused: not cleared */
    steps.c = c, steps.itemsize = (int64_t)tg_itemsize(dtype), steps.count = steps.work = 0;
    if (activate.op >= 0 && !add_step(dtype, &activate, &steps)) return TG_BAD_ARGUMENT;
    for (int64_t i = 0; i < ends_count; i++)
        if (!ends || !add_step(dtype, &ends[i], &steps)) return TG_BAD_ARGUMENT;
    problem.steps = &steps;
    return multiply(dtype, &problem);
}

/* ---- a batch ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const tg_gemm_problem *problem; /* at the first index */
    const tg_layout *layout;
    int dtype;
    int alone; /* each product on one thread */
    atomic_int status;
} batch_call;

static void multiply_batch(void *ctx, int64_t begin, int64_t end) {
    batch_call *call = ctx;
    const tg_layout *layout = call->layout;
    const int64_t itemsize = (int64_t)tg_itemsize(call->dtype);
    const tg_gemm_fn kernel = choose(call->dtype, call->problem);
    tg_gemm_problem one = *call->problem;
    int64_t index[TG_MAX_DIMS], offset[3] = {0, 0, 0};
    for (int64_t d = layout->ndim, rest = begin; d-- > 0; rest /= layout->shape[d]) {
        index[d] = rest % layout->shape[d];
        for (int operand = 0; operand < 3; operand++) offset[operand] += index[d] * layout->strides[operand][d];
    }
    for (int64_t i = begin; i < end; i++) {
        one.a = (const char *)call->problem->a + itemsize * offset[0];
        one.b = (const char *)call->problem->b + itemsize * offset[1];
        one.c = (char *)call->problem->c + itemsize * offset[2];
        const int status = call->alone ? kernel(&one) : multiply(call->dtype, &one);
        if (status != TG_OK) atomic_store_explicit(&call->status, status, memory_order_relaxed);
        for (int64_t d = layout->ndim; d-- > 0;) { /* the next index */
            const int wraps = ++index[d] == layout->shape[d];
            const int64_t steps = wraps ? 1 - index[d] : 1;
            if (wraps) index[d] = 0;
            for (int operand = 0; operand < 3; operand++) offset[operand] += steps * layout->strides[operand][d];
            if (!wraps) break;
        }
    }
}

/* One b for all of the batch, and matrices a and c that follow upon one another: a single taller product. */
static int is_one_product(const tg_gemm_problem *p, const tg_layout *batch) {
    return batch->ndim == 1 && !(p->flags & TG_TRANS_A) && batch->strides[1][0] == 0 &&
           batch->strides[0][0] == p->m * p->lda && batch->strides[2][0] == p->m * p->ldc;
}

int tg_gemm_batched(int dtype, int flags, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                    int64_t ldb, void *c, int64_t ldc, const tg_layout *batch) {
    if (!batch || batch->ndim < 0 || batch->ndim > TG_MAX_DIMS) return TG_BAD_ARGUMENT;
    int64_t count = 1;
    for (int64_t d = 0; d < batch->ndim; d++)
        if (tg_mul_overflows(count, batch->shape[d], &count)) return TG_BAD_SIZE;
    tg_gemm_problem problem = {flags, 0, m, n, k, a, lda, b, ldb, c, ldc, NULL, NULL};
    const int status = check(dtype, &problem);
    if (status != TG_OK || m == 0 || n == 0 || count == 0) return status;
    if (is_one_product(&problem, batch) && !tg_mul_overflows(m, count, &problem.m)) return multiply(dtype, &problem);
    problem.m = m;
    batch_call call = {&problem, batch, dtype, 1, TG_OK};
    const double work = (double)m * (double)n * (double)k;
    if (work >= 2 * GEMM_GRAIN && count < tg_get_num_threads()) {
        call.alone = 0;
        multiply_batch(&call, 0, count);
    } else {
        const double grain = GEMM_GRAIN / (work < 1 ? 1 : work);
        tg_parallel_for(count, grain < 1 ? 1 : (int64_t)grain, multiply_batch, &call);
    }
    return atomic_load(&call.status);
}
