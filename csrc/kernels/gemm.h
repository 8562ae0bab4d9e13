/* gemm.h: matrix multiplication; included once per element type.
 *
 * Loops from the outside: blocks of k, blocks of rows of c, panels of columns, tiles of rows. A panel of b (steps x width) is
 * used by all tiles of a row block; where there are enough of them to pay, the first one copies it to a buffer as it goes.
 * a is read where it lies, or from a copy of its block where that pays (see copies_rows).
 */
#include "gemm_tile.h"
#include "gemm_pack.h"
#include "gemm_vector.h"

#define gemm_product FN(gemm_product)

#define GEMM_STEPS 320       /* longest block of k: a panel of 3 vectors then about fills a first-level cache */
#define GEMM_BLOCK (1 << 20) /* bytes of a's block: half of a second-level cache */
#define GEMM_KEEP 4          /* row tiles from which a copy of the panel of b pays */

/* c = finish(a b). a: (m, k), element (i, p) at i * a_row + p * a_step. b: (k, n) with row step ldb, or (n, k) if b_transposed */
typedef struct {
    int64_t m, n, k;
    const real *a;
    int64_t a_row, a_step;
    const real *b;
    int64_t ldb;
    int b_transposed;
    real *c; /* (m, n), step ldc */
    int64_t ldc;
    int add, relu;
    const real *bias; /* (n) or NULL */
    tg_unary_fn activate;
} gemm_product;

TG_INLINE int64_t FN(gemm_divide_up)(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* How many vectors wide the next panel is: the fewest panels, then as even as can be. */
static int FN(gemm_panel)(int64_t columns) {
    const int64_t vectors = FN(gemm_divide_up)(columns, LANES);
    if (vectors <= GEMM_MAX_VECTORS) return (int)vectors;
    return GEMM_MAX_VECTORS < 4 ? GEMM_MAX_VECTORS : vectors % 3 == 0 || vectors > 16 ? 3 : 4;
}

/* Whether to bring the block of a together first: where many panels read it and it is scattered over memory. */
static int FN(copies_rows)(const gemm_product *p) {
    if (p->a_step != 1) return p->n >= 8 * LANES && p->k >= 256;
    return p->n >= 16 * LANES && p->m >= 128;
}

/* One panel of columns for one block of rows and of k: a at the block's first row and step, b at the panel's first element. */
static void FN(multiply_panel)(const gemm_product *p, int64_t rows, int64_t steps, int vectors, const real *a,
                               int64_t a_row, int64_t a_step, const real *b, real *c, const gemm_finish *finish,
                               real *panel) {
    const int64_t width = vectors * LANES, most = GEMM_MAX_ROWS(vectors), tiles = FN(gemm_divide_up)(rows, most);
    int64_t b_step = p->ldb;
    real *packed = NULL;
    if (p->b_transposed || finish->columns < width) {
        if (p->b_transposed)
            FN(pack_transposed)(steps, finish->columns, b, p->ldb, panel, width);
        else
            FN(pack_cut)(steps, finish->columns, b, p->ldb, panel, width);
        b = panel;
        b_step = width;
    } else if (tiles >= GEMM_KEEP) {
        packed = panel;
    }
    /* With a panel to make, full tiles come first; else the rows are dealt out evenly. */
    for (int64_t i = 0, left = tiles; i < rows; left--) {
        const int64_t count = packed || rows - i >= most * left ? most : FN(gemm_divide_up)(rows - i, left);
        FN(gemm_tiles)[vectors][count](steps, a, a_row, a_step, b, b_step, packed, c, p->ldc, finish);
        if (packed) {
            b = packed;
            b_step = width;
            packed = NULL;
        }
        i += count;
        a += count * a_row;
        c += count * p->ldc;
    }
}

static void FN(activate_rows)(const gemm_product *p, int64_t rows, real *c) {
    if (p->ldc == p->n)
        p->activate(rows * p->n, c, c, 0, 0);
    else
        for (int64_t i = 0; i < rows; i++, c += p->ldc) p->activate(p->n, c, c, 0, 0);
}

static int FN(multiply)(const gemm_product *p) {
    const int64_t blocks = p->k > GEMM_STEPS ? FN(gemm_divide_up)(p->k, GEMM_STEPS) : 1;
    const int64_t most_steps =
        FN(gemm_divide_up)(FN(gemm_divide_up)(p->k, blocks), 8) * 8; /* of k alone: it sets the order */
    const int copies = FN(copies_rows)(p);
    int64_t most_rows = p->m;
    real *panel = NULL, *block = NULL;
    const int64_t padded = most_steps + LANES; /* rows of the copy do not fall on the same cache set */
    if (p->b_transposed || p->n % LANES || p->m > GEMM_KEEP) {
        panel = tg_scratch(0, (size_t)(most_steps * GEMM_MAX_VECTORS * LANES) * sizeof(real));
        if (!panel) return TG_NO_MEMORY;
    }
    if (p->m > 1 && most_rows * padded * (int64_t)sizeof(real) > GEMM_BLOCK) {
        most_rows = GEMM_BLOCK / (padded * (int64_t)sizeof(real));
        most_rows = FN(gemm_divide_up)(p->m, FN(gemm_divide_up)(p->m, most_rows));
        most_rows = FN(gemm_divide_up)(most_rows, 24) * 24;
    }
    if (copies) {
        block = tg_scratch(1, (size_t)(most_rows * padded) * sizeof(real));
        if (!block) return TG_NO_MEMORY;
    }
    for (int64_t block_k = 0; block_k < blocks; block_k++) { /* one even if k is 0: it writes the zeros */
        const int64_t k = block_k * most_steps;
        const int64_t steps = p->k - k < most_steps ? p->k - k : most_steps;
        const int last = block_k == blocks - 1;
        for (int64_t i = 0; i < p->m; i += most_rows) {
            const int64_t rows = p->m - i < most_rows ? p->m - i : most_rows;
            const real *a = p->a + i * p->a_row + k * p->a_step;
            int64_t a_row = p->a_row, a_step = p->a_step;
            if (copies) {
                if (a_step == 1)
                    for (int64_t r = 0; r < rows; r++)
                        memcpy(block + r * padded, a + r * a_row, (size_t)steps * sizeof(real));
                else
                    FN(pack_transposed)(rows, steps, a, a_step, block, padded);
                a = block;
                a_row = padded;
                a_step = 1;
            }
            for (int64_t j = 0; j < p->n;) {
                const int vectors = FN(gemm_panel)(p->n - j);
                const int64_t width = vectors * LANES, columns = p->n - j < width ? p->n - j : width;
                const gemm_finish finish = {p->add || k > 0, last && p->relu, last && p->bias ? p->bias + j : NULL,
                                            columns};
                const real *b = p->b_transposed ? p->b + j * p->ldb + k : p->b + k * p->ldb + j;
                FN(multiply_panel)(p, rows, steps, vectors, a, a_row, a_step, b, p->c + i * p->ldc + j, &finish, panel);
                j += columns;
            }
            if (last && p->activate) FN(activate_rows)(p, rows, p->c + i * p->ldc);
        }
    }
    return TG_OK;
}

/* With b transposed, b or a must be turned round before the tiles can read them. cᵀ = bᵀ aᵀ reads b where it lies; what is
 * then turned is a (unless it is stored so already) and c. The sums are the same ones: only the factors change places. */
static int FN(multiply_swapped)(const gemm_product *p) {
    const int64_t step = FN(gemm_divide_up)(p->m, LANES) * LANES;
    real *turned = tg_scratch(2, (size_t)(p->n * step) * sizeof(real));
    if (!turned) return TG_NO_MEMORY;
    const gemm_product swapped = {.m = p->n,
                                  .n = p->m,
                                  .k = p->k,
                                  .a = p->b,
                                  .a_row = p->ldb,
                                  .a_step = 1,
                                  .b = p->a,
                                  .ldb = p->a_step == 1 ? p->a_row : p->a_step,
                                  .b_transposed = p->a_step == 1,
                                  .c = turned,
                                  .ldc = step};
    const int status = FN(multiply)(&swapped);
    if (status != TG_OK) return status;
    FN(store_transposed)(p->m, p->n, turned, step, p->c, p->ldc, p->bias, p->relu);
    if (p->activate) FN(activate_rows)(p, p->m, p->c);
    return TG_OK;
}

static int FN(gemm)(const tg_gemm_problem *g) {
    const int a_transposed = g->flags & TG_TRANS_A;
    const gemm_product p = {.m = g->m,
                            .n = g->n,
                            .k = g->k,
                            .a = g->a,
                            .a_row = a_transposed ? 1 : g->lda,
                            .a_step = a_transposed ? g->lda : 1,
                            .b = g->b,
                            .ldb = g->ldb,
                            .b_transposed = (g->flags & TG_TRANS_B) != 0,
                            .c = g->c,
                            .ldc = g->ldc,
                            .add = (g->flags & TG_ACCUMULATE) != 0,
                            .relu = g->relu,
                            .bias = g->bias,
                            .activate = g->activate};
    /* elements to turn either way, those of c counting twice: written and read once more */
    const double straight = (double)p.n * (double)p.k;
    const double swapped = (a_transposed ? 0 : (double)p.m * (double)p.k) + 2 * (double)p.m * (double)p.n;
    if (p.b_transposed && !p.add && p.k > 0 && swapped < straight) return FN(multiply_swapped)(&p);
    return FN(multiply)(&p);
}

#include "gemm_small.h"

static const tg_gemm_kernels FN(gemm_kernels) = {FN(gemm), FN(gemm_row), FN(gemm_column), FN(gemm_dots), FN(gemm_small), LANES / 2};
