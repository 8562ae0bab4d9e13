/* gemm_small.h: products whose operands all stay in a first-level cache; included once per element type.
 *
 * Nothing is planned, and nothing copied but a b that is transposed: b is read where it lies, its last vector masked, by tiles of
 * SMALL_SUMS accumulators, as many as keep the multiply-add units busy. The order of the sums is that of gemm_tile.h.
 */

#define SMALL_SUMS (TG_VECTOR_BYTES == 64 ? 24 : TG_VECTOR_BYTES == 32 ? 12 : 8)
#define SMALL_BLOCK 24 /* rows of a wide c that are written together: so few that the stores go along them */
#define SMALL_MASKED (TG_VECTOR_BYTES > 16) /* where a masked load costs no more than a whole one */

/* One step: sums += column of a times row of b. Row i of a is at a[i / 4] + within[i % 4]: few enough addresses for the registers
 * there are. cut: the last vector holds `last` columns. */
TG_INLINE void FN(small_step)(const int vectors, const int rows, const int cut, const char *const *a,
                              const int64_t *within, const real *b, int64_t last, vec *sums) {
    vec row[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        row[v] = cut && SMALL_MASKED && v == vectors - 1 ? v_load_part(b + v * LANES, last) : v_load(b + v * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        vec x = *(const real *)(a[i / 4] + within[i % 4]) - (vec){0};
        if (vectors > 1) GEMM_IN_REGISTER(x);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sums[i * vectors + v] += x * row[v];
    }
}

TG_INLINE void FN(small_store)(const int vectors, const int rows, const int cut, vec *sums, real *c, int64_t ldc,
                               const gemm_finish *finish, int64_t last) {
#define COUNT(v) (cut && (v) == vectors - 1 ? last : LANES)
    real *p = c;
    if (finish->add) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, p += ldc) {
            GEMM_OPAQUE(p);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sums[i * vectors + v] = v_load_upto(p + v * LANES, COUNT(v)) + sums[i * vectors + v];
        }
    }
    if (finish->bias) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const vec bias = v_load_upto(finish->bias + v * LANES, COUNT(v));
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) sums[i * vectors + v] += bias;
        }
    }
    if (finish->relu) {
#pragma GCC unroll 24
        for (int i = 0; i < rows * vectors; i++) sums[i] = v_select(sums[i] < v_set(0), v_set(0), sums[i]);
    }
    p = c;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++, p += ldc) {
        GEMM_OPAQUE(p);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) v_store_upto(p + v * LANES, sums[i * vectors + v], COUNT(v));
    }
#undef COUNT
}

TG_INLINE void FN(small_tile)(const int vectors, const int rows, const int cut, const gemm_product *p, const real *a,
                              const real *b, real *c, const gemm_finish *finish, int64_t last) {
    vec sums[SMALL_SUMS];
    const int64_t row = p->a_row * (int64_t)sizeof(real);
    const char *at[4];
    int64_t within[4] = {0, row, 2 * row, 3 * row};
#pragma GCC unroll 4
    for (int i = 0; i < rows && i < 4; i++) GEMM_OPAQUE(within[i]);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i += 4) {
        at[i / 4] = (const char *)a + i * row;
        GEMM_OPAQUE(at[i / 4]);
    }
#pragma GCC unroll 24
    for (int i = 0; i < rows * vectors; i++) sums[i] = (vec){0};
    const int64_t a_bytes = p->a_step * (int64_t)sizeof(real), b_step = p->ldb, steps = p->k;
    for (int64_t k = 0; k < steps; k++, b += b_step) {
        FN(small_step)(vectors, rows, cut, at, within, b, last, sums);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i += 4) at[i / 4] += a_bytes;
    }
    FN(small_store)(vectors, rows, cut, sums, c, p->ldc, finish, last);
}

/* All rows of a panel of columns. */
TG_INLINE void FN(small_panel)(const int vectors, const int cut, const gemm_product *p, int64_t j, int64_t columns) {
    const gemm_finish finish = {p->add, p->relu, p->bias ? p->bias + j : NULL, columns};
    const int64_t last = columns - (vectors - 1) * LANES;
    const real *a = p->a, *b = p->b + j;
    real *c = p->c + j;
    int64_t left = p->m;
#define SMALL_ROWS(rows)                                                                     \
    if ((rows) * vectors <= SMALL_SUMS)                                                      \
        for (; left >= (rows); left -= (rows), a += (rows) * p->a_row, c += (rows) * p->ldc) \
            FN(small_tile)(vectors, rows, cut, p, a, b, c, &finish, last);
    SMALL_ROWS(16)
    SMALL_ROWS(8) if (TG_VECTOR_BYTES == 32 || vectors == 4) SMALL_ROWS(6) SMALL_ROWS(4) SMALL_ROWS(2) SMALL_ROWS(1)
#undef SMALL_ROWS
}

#if TG_VECTOR_BYTES == 64
static __attribute__((noinline)) void FN(small_panel_4)(const gemm_product *p, int64_t j) {
    FN(small_panel)(4, 0, p, j, 4 * LANES);
}
#endif
static __attribute__((noinline)) void FN(small_panel_2)(const gemm_product *p, int64_t j) {
    FN(small_panel)(2, 0, p, j, 2 * LANES);
}
static __attribute__((noinline)) void FN(small_panel_1)(const gemm_product *p, int64_t j) {
    FN(small_panel)(1, 0, p, j, LANES);
}
static __attribute__((noinline)) void FN(small_panel_cut_2)(const gemm_product *p, int64_t j) {
    FN(small_panel)(2, 1, p, j, p->n - j);
}
static __attribute__((noinline)) void FN(small_panel_cut_1)(const gemm_product *p, int64_t j) {
    FN(small_panel)(1, 1, p, j, p->n - j);
}

/* All columns. */
static void FN(small_rows)(const gemm_product *p) {
    int64_t j = 0;
#if TG_VECTOR_BYTES == 64
    for (; p->n - j >= 4 * LANES; j += 4 * LANES) FN(small_panel_4)(p, j);
#endif
    for (; p->n - j >= 2 * LANES; j += 2 * LANES) FN(small_panel_2)(p, j);
    if (p->n - j > LANES)
        FN(small_panel_cut_2)(p, j);
    else if (p->n - j == LANES)
        FN(small_panel_1)(p, j);
    else if (p->n > j)
        FN(small_panel_cut_1)(p, j);
}

static int FN(gemm_small)(const tg_gemm_problem *g) {
    gemm_product p = FN(product_of)(g);
    if (!p.b_transposed && FN(swaps)(&p)) return FN(multiply_swapped)(&p);
    if (p.b_transposed || (p.n % LANES && !SMALL_MASKED)) {
        const int64_t width = FN(gemm_divide_up)(p.n, LANES) * LANES;
        real *copy = tg_scratch(0, (size_t)(p.k * width) * sizeof(real));
        if (!copy) return TG_NO_MEMORY;
        if (p.b_transposed)
            FN(pack_transposed)(p.k, p.n, p.b, p.ldb, copy, width);
        else
            FN(pack_cut)(p.k, p.n, p.b, p.ldb, copy, width);
        p.b = copy;
        p.ldb = width;
    }
    const int64_t block = g->n > 4 * LANES ? SMALL_BLOCK : g->m;
    for (int64_t i = 0; i < g->m; i += block) {
        p.m = g->m - i < block ? g->m - i : block;
        FN(small_rows)(&p);
        if (p.steps) tg_gemm_finish(p.steps, p.m, p.n, p.ldc, p.c);
        p.a += block * p.a_row;
        p.c += block * p.ldc;
    }
    return TG_OK;
}
