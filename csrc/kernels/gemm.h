/* gemm.h: matrix multiplication; included once per element type.
 *
 * Loops from the outside: blocks of k, blocks of rows of c, panels of columns, tiles of rows. A panel of b (steps x width) is
 * used by all tiles of a row block; where a copy of it pays (see packs_panel), the tiles of the panel before make it, a few rows
 * each, so that the loads wait behind multiply-adds. a is read where it lies, or from a copy of its block where that pays (see
 * copies_rows), made just before the first panel needs it.
 */
#include "gemm_tile.h"
#include "gemm_pack.h"
#include "gemm_vector.h"

#define gemm_product FN(gemm_product)
#define gemm_place FN(gemm_place)
#define gemm_plan FN(gemm_plan)

#define GEMM_STEPS 512       /* longest block of k: c is read and written once for each */
#define GEMM_BLOCK (1 << 19) /* bytes of the copy of a's block: half a second-level cache at most */
#define GEMM_LYING (GEMM_GROUP > 1 ? 1 << 19 : 1 << 20) /* and of a block that is read where it lies */
#define GEMM_LEAST 96                                   /* rows of a block at least: each packs b anew */
#define GEMM_TURNED \
    (1 << 22)          /* most bytes of a transposed b that are kept for the next blocks of rows, once turned round */
#define GEMM_KEEP 4    /* row tiles from which a copy of the panel of b pays (one more for a short panel), */
#define GEMM_NEAR 1024 /* if its rows are further apart than so many bytes */
#define GEMM_SHORT 128 /* steps at most of a short panel: it stays in the first-level cache where it lies */

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
    const tg_gemm_steps *steps;
} gemm_product;

TG_INLINE int64_t FN(gemm_divide_up)(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* How many vectors wide the next panel is: the fewest panels, then as even as can be; for a grouped copy of a's rows 3, at the
 * end 2. */
static int FN(gemm_panel)(int64_t columns, int grouped) {
    const int64_t vectors = FN(gemm_divide_up)(columns, LANES);
    if (grouped) return vectors == 4 ? 2 : vectors < 3 ? (int)vectors : 3;
    if (vectors <= GEMM_MAX_VECTORS) return (int)vectors;
    return GEMM_MAX_VECTORS < 4 ? GEMM_MAX_VECTORS : vectors % 3 == 0 || vectors > 16 ? 3 : 4;
}

/* Whether to bring the block of a together first: where many panels read it and it is scattered over memory. */
static int FN(copies_rows)(const gemm_product *p) {
    if (p->a_step != 1) return p->n >= 8 * LANES && p->k >= 256;
    if (GEMM_GROUP == 1 && p->a_row <= GEMM_STEPS) return 0; /* a is one block of k, and all together as it lies */
    return p->n >= 16 * LANES && p->m >= 128;
}

/* Whether that copy is of groups of GEMM_GROUP rows, interleaved: for a wide c, whose panels are 3 vectors wide. */
static int FN(groups_rows)(const gemm_product *p) { return GEMM_GROUP > 1 && p->n > 16 * LANES && FN(copies_rows)(p); }

/* A panel of columns for a block of rows and of k: where the loops stand. */
typedef struct {
    int64_t k, steps, i, rows, j, columns;
    int vectors;
} gemm_place;

typedef struct {
    int64_t most_steps, most_rows; /* of a block */
    int64_t block_step;            /* between rows of the copy of a's block, or between groups of GEMM_GROUP rows */
    real *block;    /* (most_rows, most_steps), the rows of a group interleaved; NULL: a is read where it lies */
    int grouped;    /* groups_rows */
    int64_t copied; /* rows of the block that are there */
    real *panels;   /* two panels of b in turn, or with kept all those of a block of k; NULL: b is read where it lies */
    int64_t panel_size;
    int kept;
} gemm_plan;

static void FN(set_panel)(const gemm_product *p, int64_t j, gemm_place *place) {
    place->j = j;
    place->vectors = FN(gemm_panel)(p->n - j, FN(groups_rows)(p));
    place->columns = p->n - j < place->vectors * LANES ? p->n - j : place->vectors * LANES;
}

/* Moves on by one panel; 0 past the end. */
static int FN(advance)(const gemm_product *p, gemm_plan *plan, gemm_place *place) {
    int64_t j = place->j + place->columns;
    if (j >= p->n) {
        j = 0;
        place->i += place->rows;
        if (place->i >= p->m) {
            place->i = 0;
            place->k += place->steps;
            if (place->k >= p->k) return 0;
            place->steps = p->k - place->k < plan->most_steps ? p->k - place->k : plan->most_steps;
        }
        place->rows = p->m - place->i < plan->most_rows ? p->m - place->i : plan->most_rows;
    }
    FN(set_panel)(p, j, place);
    return 1;
}

/* Whether the panel of b is copied: where it cannot be read as it lies, or where many tiles read it and its rows lie so far
 * apart that the caches and the prefetchers lose them. */
static int FN(packs_panel)(const gemm_product *p, const gemm_place *place) {
    if (p->b_transposed || (!GEMM_MASKED && place->columns < place->vectors * LANES)) return 1;
    const int64_t tiles = place->steps > GEMM_SHORT ? GEMM_KEEP - 1 : GEMM_KEEP;
    return p->ldb * (int64_t)sizeof(real) > GEMM_NEAR && place->rows > tiles * GEMM_MAX_ROWS(place->vectors);
}

static const real *FN(panel_at)(const gemm_product *p, const gemm_place *place, int64_t step) {
    return p->b_transposed ? p->b + place->j * p->ldb + place->k + step : p->b + (place->k + step) * p->ldb + place->j;
}

static const real *FN(rows_at)(const gemm_product *p, const gemm_place *place, int64_t row) {
    return p->a + (place->i + row) * p->a_row + place->k * p->a_step;
}

/* Steps begin..end of a panel. panel: (steps, vectors * LANES) */
static void FN(pack_panel)(const gemm_product *p, const gemm_place *place, int64_t begin, int64_t end, real *panel) {
    const int64_t width = place->vectors * LANES, steps = end - begin;
    const real *from = FN(panel_at)(p, place, begin);
    panel += begin * width;
    if (p->b_transposed) {
        FN(pack_transposed)(steps, place->columns, from, p->ldb, panel, width);
    } else {
        FN(pack_cut)(steps, place->columns, from, p->ldb, panel, width);
    }
}

/* How many rows of a's block are copied at a time: those of a tile, or whole cache lines of a transposed a. */
static int64_t FN(copy_group)(const gemm_product *p, int64_t most) { return p->a_step == 1 ? most : 3 * LANES; }

/* The next rows of a's block. */
static void FN(copy_rows)(const gemm_product *p, const gemm_place *place, int64_t group, gemm_plan *plan) {
    const int64_t rows = place->rows - plan->copied < group ? place->rows - plan->copied : group;
    const real *from = FN(rows_at)(p, place, plan->copied);
#if GEMM_GROUP > 1
    if (plan->grouped) {
        real *groups = plan->block + plan->copied / GEMM_GROUP * plan->block_step;
        if (p->a_step == 1)
            FN(pack_group)(place->steps, rows, from, p->a_row, groups);
        else
            FN(pack_groups)(place->steps, rows, from, p->a_step, groups, plan->block_step);
        plan->copied += rows;
        return;
    }
#endif
    real *to = plan->block + plan->copied * plan->block_step;
    if (p->a_step == 1)
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * plan->block_step, from + r * p->a_row, (size_t)place->steps * sizeof(real));
    else
        FN(pack_transposed)(rows, place->steps, from, p->a_step, to, plan->block_step);
    plan->copied += rows;
}

/* What is read after the next tile: the rows of a that will be copied then, else the slice of b that will be turned round (with
 * AVX-512 only: elsewhere the tiles have no turns to spare). */
TG_INLINE void FN(choose_fetch)(const gemm_product *p, const gemm_plan *plan, const gemm_place *place,
                                const gemm_place *next, int64_t packed, int64_t slice, gemm_copy *copy) {
    int64_t columns = 0;
    copy->soon_rows = 0;
    if (plan->grouped && p->a_step == 1 && plan->copied < place->rows) {
        copy->soon = FN(rows_at)(p, place, plan->copied);
        copy->soon_step = p->a_row;
        copy->soon_rows = place->rows - plan->copied < GEMM_GROUP ? place->rows - plan->copied : GEMM_GROUP;
        columns = place->steps;
    } else if (GEMM_GROUP > 1 && p->b_transposed && slice) {
        copy->soon = FN(panel_at)(p, next, packed);
        copy->soon_step = p->ldb;
        copy->soon_rows = next->columns;
        columns = slice;
    }
    copy->soon_pieces = FN(gemm_divide_up)(columns * (int64_t)sizeof(real), GEMM_PIECE);
}

/* Has the rows of c that a tile will add to brought near while it runs. c: (rows, columns) with step ldc */
TG_INLINE void FN(fetch_sums)(int64_t rows, int64_t columns, const real *c, int64_t ldc) {
    for (int64_t i = 0; i < rows; i++, c += ldc)
        for (int64_t j = 0; j < columns; j += 64 / (int64_t)sizeof(real)) __builtin_prefetch(c + j, 1, 3);
}

/* One panel. While its tiles run, the next one is packed, a slice with each tile; a's rows are copied before their first use. */
static void FN(multiply_panel)(const gemm_product *p, gemm_plan *plan, const gemm_place *place, const real *panel,
                               const gemm_place *next, real *next_panel) {
    const int grouped = plan->grouped; /* then a group is a tile, which fetches its rows of c itself */
    const int64_t most = grouped ? GEMM_GROUP : GEMM_MAX_ROWS(place->vectors);
    const int64_t tiles = FN(gemm_divide_up)(place->rows, most);
    const int last = place->k + place->steps >= p->k;
    const gemm_finish finish = {p->add || place->k > 0, last && p->relu, last && p->bias ? p->bias + place->j : NULL,
                                place->columns};
    const real *b = panel ? panel : FN(panel_at)(p, place, 0);
    const int64_t b_step = panel ? place->vectors * LANES : p->ldb;
    const int64_t unit = p->b_transposed ? 16 : 1; /* a cache line of a row of b */
    const int64_t share = next ? FN(gemm_divide_up)(FN(gemm_divide_up)(next->steps, tiles), unit) * unit : 0;
    const gemm_tile_fn *kernels = FN(gemm_tiles)[place->vectors];
    int64_t packed = 0;
    /* its fields are set one by one: a struct is put down in wide stores, and the load of a field from one that crosses a line waits
     * until the stores of c before it are through */
    gemm_copy copy = {.from = p->a, .to = p->c}; /* nothing */
    /* the rows are dealt out evenly: many tiles one row short rather than one with few */
    const int64_t few = place->rows / tiles, with_more = place->rows % tiles;
    const int64_t a_row = grouped ? 1 : plan->block ? plan->block_step : p->a_row;
    const int64_t a_step = grouped ? GEMM_GROUP : plan->block ? 1 : p->a_step;
    for (int64_t i = 0, tile = 0; tile < tiles; tile++) {
        const int64_t left = place->rows - i;
        const int64_t count = !grouped ? few + (tile < with_more) : left < most ? left : most;
        if (plan->block)
            while (plan->copied < i + count) FN(copy_rows)(p, place, FN(copy_group)(p, most), plan);
        const real *a = plan->block ? plan->block + (grouped ? tile : i) * plan->block_step : FN(rows_at)(p, place, i);
        gemm_tile_fn kernel = kernels[count];
#if GEMM_GROUP > 1
        if (grouped && panel && count == GEMM_GROUP && place->columns == 3 * LANES) kernel = FN(gemm_packed_tile);
#endif
        const int64_t slice = !next ? 0 : packed + share < next->steps ? share : next->steps - packed;
        copy.rows = 0;
        if (slice && !p->b_transposed && next->vectors == place->vectors && next->columns == place->vectors * LANES) {
            copy.from = FN(panel_at)(p, next, packed);
            copy.step = p->ldb;
            copy.rows = slice;
            copy.to = next_panel + packed * place->vectors * LANES;
        }
        FN(choose_fetch)(p, plan, place, next, packed, slice, &copy);
        const int64_t left_over = slice - copy.rows;
        real *c = p->c + (place->i + i) * p->ldc + place->j;
        if (finish.add && !grouped) FN(fetch_sums)(count, place->columns, c, p->ldc);
        kernel(place->steps, a, a_row, a_step, b, b_step, c, p->ldc, &finish,
               copy.rows || copy.soon_rows ? &copy : NULL);
        packed += slice;
        if (copy.rows + left_over) FN(pack_panel)(p, next, packed - copy.rows - left_over, packed, next_panel);
        i += count;
    }
}

static int FN(multiply)(const gemm_product *p) {
    const int64_t blocks = p->k > GEMM_STEPS ? FN(gemm_divide_up)(p->k, GEMM_STEPS) : 1;
    gemm_plan plan = {.most_rows = p->m};
    plan.most_steps = FN(gemm_divide_up)(FN(gemm_divide_up)(p->k, blocks), 8) * 8; /* of k alone: it sets the order */
    plan.block_step = plan.most_steps + LANES; /* rows of the copy do not fall on the same cache set */
    const int64_t row_bytes = plan.most_steps * (int64_t)sizeof(real);
    const int64_t block_bytes = FN(copies_rows)(p) ? GEMM_BLOCK : GEMM_LYING;
    if (p->m > 1 && p->m * row_bytes > block_bytes) {
        plan.most_rows = FN(gemm_divide_up)(p->m, FN(gemm_divide_up)(p->m * row_bytes, block_bytes));
        plan.most_rows = FN(gemm_divide_up)(plan.most_rows, 24) * 24;
    }
    /* rows of c go through the steps while they are in that cache too; with more blocks of k it would be read too often */
    if (p->steps && blocks == 1 && p->m * p->n * (int64_t)sizeof(real) > 2 * GEMM_BLOCK) {
        int64_t rows = GEMM_BLOCK / (p->n * (int64_t)sizeof(real)) / 24 * 24;
        if (rows < GEMM_LEAST) rows = GEMM_LEAST;
        if (rows < plan.most_rows) plan.most_rows = rows;
    }
    plan.panel_size = plan.most_steps * GEMM_MAX_VECTORS * LANES;
    if (p->b_transposed || (!GEMM_MASKED && p->n % LANES) || p->ldb * (int64_t)sizeof(real) > GEMM_NEAR) {
        const int64_t all = FN(gemm_divide_up)(p->n, LANES) * LANES * plan.most_steps;
        plan.kept =
            p->b_transposed && p->m > plan.most_rows && all > plan.panel_size &&
            all * (int64_t)sizeof(real) <= GEMM_TURNED; /* two panels at least: one is used, the next one made */
        plan.panels = tg_scratch(0, (size_t)(plan.kept ? all : 2 * plan.panel_size) * sizeof(real));
        if (!plan.panels) return TG_NO_MEMORY;
    }
    if (FN(copies_rows)(p)) {
        int64_t copies = plan.most_rows; /* rows, or groups of them */
        plan.grouped = FN(groups_rows)(p);
        if (plan.grouped) {
            copies = FN(gemm_divide_up)(plan.most_rows, GEMM_GROUP);
            plan.block_step = GEMM_GROUP * plan.most_steps;
        }
        plan.block = tg_scratch(1, (size_t)(copies * plan.block_step) * sizeof(real));
        if (!plan.block) return TG_NO_MEMORY;
    }
    gemm_place place = {.steps = p->k < plan.most_steps ? p->k : plan.most_steps, .rows = plan.most_rows};
    FN(set_panel)(p, 0, &place);
    real *panel = FN(packs_panel)(p, &place) ? plan.panels : NULL;
    if (panel) FN(pack_panel)(p, &place, 0, place.steps, panel);
    for (int more = 1, turn = 1; more; turn = !turn) { /* one panel even if k is 0: it writes the zeros */
        gemm_place next = place;
        more = FN(advance)(p, &plan, &next);
        real *next_panel = NULL;
        if (more && FN(packs_panel)(p, &next))
            next_panel = plan.panels + (plan.kept ? next.j * plan.most_steps : turn * plan.panel_size);
        const int packs_next = next_panel && !(plan.kept && next.i > 0);
        FN(multiply_panel)(p, &plan, &place, panel, packs_next ? &next : NULL, next_panel);
        if (next.i != place.i || next.k != place.k) plan.copied = 0;
        const int block_done = !more || next.i != place.i || next.k != place.k;
        if (block_done && p->steps && place.k + place.steps >= p->k)
            tg_gemm_finish(p->steps, place.rows, p->n, p->ldc, p->c + place.i * p->ldc);
        panel = next_panel;
        place = next;
    }
    return TG_OK;
}

/* Whether cᵀ = bᵀ aᵀ is the cheaper product. With b transposed, if fewer elements are turned round: a's (unless they lie so already)
 * and c's, which count twice, being written and read once more, for b's. With a alone transposed nothing but c needs turning: worth
 * it where c is so narrow that lanes stand idle or a broadcast serves one multiply-add only. */
static int FN(swaps)(const gemm_product *p) {
    const int a_transposed = p->a_step != 1;
    if (p->add || p->k == 0) return 0;
    if (!p->b_transposed) return a_transposed && 2 * p->n <= 3 * LANES && p->m >= 32 && p->k >= 32;
    const double straight = (double)p->n * (double)p->k;
    return (a_transposed ? 0 : (double)p->m * (double)p->k) + 2 * (double)p->m * (double)p->n < straight;
}

/* The sums are the same ones: only the factors change places. */
static int FN(multiply_swapped)(const gemm_product *p) {
    const int64_t step = FN(gemm_divide_up)(p->m, LANES) * LANES;
    real *turned = tg_scratch(2, (size_t)(p->n * step) * sizeof(real));
    if (!turned) return TG_NO_MEMORY;
    const gemm_product swapped = {.m = p->n,
                                  .n = p->m,
                                  .k = p->k,
                                  .a = p->b,
                                  .a_row = p->b_transposed ? p->ldb : 1,
                                  .a_step = p->b_transposed ? 1 : p->ldb,
                                  .b = p->a,
                                  .ldb = p->a_step == 1 ? p->a_row : p->a_step,
                                  .b_transposed = p->a_step == 1,
                                  .c = turned,
                                  .ldc = step};
    const int status = FN(multiply)(&swapped);
    if (status != TG_OK) return status;
    FN(store_transposed)(p->m, p->n, turned, step, p->c, p->ldc, p->bias, p->relu);
    if (p->steps) tg_gemm_finish(p->steps, p->m, p->n, p->ldc, p->c);
    return TG_OK;
}

static gemm_product FN(product_of)(const tg_gemm_problem *g) {
    const int a_transposed = g->flags & TG_TRANS_A;
    return (gemm_product){.m = g->m,
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
                          .steps = g->steps};
}

static int FN(gemm)(const tg_gemm_problem *g) {
    const gemm_product p = FN(product_of)(g);
    return FN(swaps)(&p) ? FN(multiply_swapped)(&p) : FN(multiply)(&p);
}

#include "gemm_small.h"

static const tg_gemm_kernels FN(gemm_kernels) = {FN(gemm),      FN(gemm_row),   FN(gemm_column),
                                                 FN(gemm_dots), FN(gemm_small), LANES / 2};
