/* gemm_vector.h: products that are bound by reading a matrix: those with a vector (c has one row or one column), and those of few
 * rows with a transposed b; included once per element type.
 *
 * Either c is a combination of the matrix's rows: COMBINED_ROWS rows at a time are one chain of multiply-adds in rising k, and the groups,
 * then the rows that are left, are added one by one. Or every element of c is the dot product of two rows: a vector of sums, each a chain over every
 * LANES-th k, whose lanes are then added by halves. Which rows or columns go together changes no element.
 */

#define gemm_result FN(gemm_result)

#define COMBINED_ROWS 8          /* in a chain */
#define COMBINED_BYTES (1 << 14) /* of c at a time: they stay in a first-level cache beside the rows */
#define STRIP_VECTORS 4          /* of c at a time in registers */
#define DOT_SUMS 16              /* of a tile at most */

/* Where sums go and what becomes of them. */
typedef struct {
    real *c; /* element i at i * step */
    int64_t step;
    int add, relu;
    const real *bias; /* element i at i * bias_step; or NULL */
    int64_t bias_step;
} gemm_result;

static void FN(store_sum)(const gemm_result *r, int64_t i, real sum) {
    real *c = r->c + i * r->step;
    if (r->add) sum = *c + sum;
    if (r->bias) sum += r->bias[i * r->bias_step];
    if (r->relu) sum = 0 > sum ? 0 : sum; /* one instruction, no branch that a sign may mislead */
    *c = sum;
}

TG_INLINE void FN(store_sums)(const gemm_result *r, int64_t i, vec sum, int64_t count) {
    if (r->step != 1 || (r->bias && r->bias_step != 1)) {
        for (int64_t lane = 0; lane < LANES && lane < count; lane++) FN(store_sum)(r, i + lane, sum[lane]);
        return;
    }
    if (r->add) sum = v_load_upto(r->c + i, count) + sum;
    if (r->bias) sum += v_load_upto(r->bias + i, count);
    if (r->relu) sum = v_select(sum < v_set(0), v_set(0), sum);
    v_store_upto(r->c + i, sum, count);
}

/* ---- combinations of rows --------------------------------------------------------------------------------------- */

/* sums += x times `rows` rows, `vectors` vectors of each. matrix: (rows, count) with step ld, count short of whole vectors for
 * one vector only; x: the factors, `rows` vectors; sums: (count) */
TG_INLINE void FN(combine_strip)(const int rows, const int vectors, const real *matrix, int64_t ld, const vec *x,
                                 int64_t count, real *sums) {
    vec chains[STRIP_VECTORS];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) chains[v] = (vec){0};
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++, matrix += ld)
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) chains[v] += x[k] * v_load_upto(matrix + v * LANES, count);
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++)
        v_store_upto(sums + v * LANES, v_load_upto(sums + v * LANES, count) + chains[v], count);
}

/* sums += x times `rows` rows. matrix: (rows, columns) with step ld; x: (rows) with step x_step; sums: (columns) */
TG_INLINE void FN(combine_group)(const int rows, int64_t columns, const real *matrix, int64_t ld, const real *x,
                                 int64_t x_step, real *sums) {
    vec factors[COMBINED_ROWS];
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++) factors[k] = x[k * x_step] - (vec){0};
    int64_t j = 0;
    for (; columns - j >= STRIP_VECTORS * LANES; j += STRIP_VECTORS * LANES)
        FN(combine_strip)(rows, STRIP_VECTORS, matrix + j, ld, factors, LANES, sums + j);
    for (; columns - j >= LANES; j += LANES) FN(combine_strip)(rows, 1, matrix + j, ld, factors, LANES, sums + j);
    if (j < columns) FN(combine_strip)(rows, 1, matrix + j, ld, factors, columns - j, sums + j);
}

/* c[j] = sum over k of x[k] * matrix[k, j]. matrix: (steps, columns) with step ld. Rows are read along their whole length, for
 * then the CPU fetches ahead. */
static int FN(combine_rows)(int64_t steps, int64_t columns, const real *matrix, int64_t ld, const real *x,
                            int64_t x_step, const gemm_result *r) {
    const int64_t most = COMBINED_BYTES / (int64_t)sizeof(real);
    real *sums = tg_scratch(0, COMBINED_BYTES);
    if (!sums) return TG_NO_MEMORY;
    for (int64_t from = 0; from < columns; from += most) {
        const int64_t count = columns - from < most ? columns - from : most;
        memset(sums, 0, (size_t)count * sizeof(real));
        int64_t k = 0;
        for (; k + COMBINED_ROWS <= steps; k += COMBINED_ROWS)
            FN(combine_group)(COMBINED_ROWS, count, matrix + k * ld + from, ld, x + k * x_step, x_step, sums);
        for (; k < steps; k++) FN(combine_group)(1, count, matrix + k * ld + from, ld, x + k * x_step, x_step, sums);
        for (int64_t j = 0; j < count; j += LANES) {
            const int64_t left = count - j;
            FN(store_sums)(r, from + j, v_load_upto(sums + j, left), left);
        }
    }
    return TG_OK;
}

/* ---- dot products ----------------------------------------------------------------------------------------------- */

/* Lane i of the result is the sum of the lanes of sums[i], i < count, by halves as v_reduce_add does it. */
#define TG_FIRST_OF_TWO(lane, s) \
    ((lane & s ? TG_VECTOR_BYTES * 8 / TG_BITS + lane - s : lane) % (TG_VECTOR_BYTES * 16 / TG_BITS))
#define TG_SECOND_OF_TWO(lane, s) \
    ((lane & s ? TG_VECTOR_BYTES * 8 / TG_BITS + lane : lane + s) % (TG_VECTOR_BYTES * 16 / TG_BITS))
#define TG_HALVE(s)                                                                                                   \
    if (LANES > s) {                                                                                                  \
        _Pragma("GCC unroll 8") for (int i = 0; i < s && i < count; i++) {                                            \
            const vec a = sums[i];                                                                                    \
            if (i + s < count)                                                                                        \
                sums[i] =                                                                                             \
                    TG_SHUFFLE(a, sums[i + s], TG_FIRST_OF_TWO, s) + TG_SHUFFLE(a, sums[i + s], TG_SECOND_OF_TWO, s); \
            else                                                                                                      \
                sums[i] = a + v_exchange(a, s);                                                                       \
        }                                                                                                             \
    }
TG_INLINE vec FN(add_lanes)(vec *sums, const int count) {
    TG_HALVE(8) TG_HALVE(4) TG_HALVE(2) TG_HALVE(1) return sums[0];
}
#undef TG_FIRST_OF_TWO
#undef TG_SECOND_OF_TWO
#undef TG_HALVE

/* One vector of each of the rows of x and y. */
TG_INLINE void FN(dot_step)(const int m, const int n, const real *x, int64_t x_row, const real *y, int64_t y_row,
                            int64_t count, vec *sums) {
    vec of_x[8];
#pragma GCC unroll 8
    for (int i = 0; i < m; i++) {
        of_x[i] = v_load_upto(x + i * x_row, count);
        if (n > 1) GEMM_IN_REGISTER(of_x[i]);
    }
#pragma GCC unroll 16
    for (int j = 0; j < n; j++) {
        const vec of_y = v_load_upto(y + j * y_row, count);
#pragma GCC unroll 8
        for (int i = 0; i < m; i++) sums[i * n + j] += of_x[i] * of_y;
    }
}

/* Dot products of m rows of x with n rows of y, m * n <= DOT_SUMS. out: (m, n), room for whole vectors */
TG_INLINE void FN(dot_tile)(const int m, const int n, int64_t steps, const real *x, int64_t x_row, const real *y,
                            int64_t y_row, real *out) {
    vec sums[DOT_SUMS];
#pragma GCC unroll 16
    for (int i = 0; i < m * n; i++) sums[i] = (vec){0};
    int64_t k = 0;
    for (; k + LANES <= steps; k += LANES) FN(dot_step)(m, n, x + k, x_row, y + k, y_row, LANES, sums);
    if (k < steps) FN(dot_step)(m, n, x + k, x_row, y + k, y_row, steps - k, sums);
#pragma GCC unroll 16
    for (int i = 0; i < m * n; i += (int)LANES)
        v_store(out + i, FN(add_lanes)(sums + i, m * n - i < (int)LANES ? m * n - i : (int)LANES));
}

/* c[i] = sum over k of matrix[i, k] * x[k]. matrix: (rows, steps) with step ld; x: (steps) */
static void FN(dot_rows)(int64_t rows, int64_t steps, const real *matrix, int64_t ld, const real *x,
                         const gemm_result *r) {
    real out[8 + 16];
    int64_t i = 0;
    for (; rows - i >= 8; i += 8) {
        FN(dot_tile)(1, 8, steps, x, 0, matrix + i * ld, ld, out);
        for (int64_t j = 0; j < 8; j += LANES) FN(store_sums)(r, i + j, v_load(out + j), 8 - j);
    }
    for (; i < rows; i++) {
        FN(dot_tile)(1, 1, steps, x, 0, matrix + i * ld, ld, out);
        FN(store_sum)(r, i, out[0]);
    }
}

/* `rows` rows of c from as many of a and all of b. A tile has `wide` columns, or one where no more are left. */
TG_INLINE void FN(dot_block)(const tg_gemm_problem *g, const int rows, const int wide, int64_t row) {
    real out[DOT_SUMS + 16];
    const real *a = (const real *)g->a + row * g->lda;
    const int plain = !(g->flags & TG_ACCUMULATE) && !g->relu && !g->bias;
    for (int64_t j = 0; j < g->n;) {
        const int columns = g->n - j >= wide ? wide : 1;
        const real *b = (const real *)g->b + j * g->ldb;
        if (columns == wide)
            FN(dot_tile)(rows, wide, g->k, a, g->lda, b, g->ldb, out);
        else
            FN(dot_tile)(rows, 1, g->k, a, g->lda, b, g->ldb, out);
        for (int i = 0; i < rows; i++) {
            if (plain) {
                real *c = (real *)g->c + (row + i) * g->ldc + j;
                if (columns == wide)
                    memcpy(c, out + i * wide, (size_t)wide * sizeof(real));
                else
                    *c = out[i];
                continue;
            }
            const gemm_result r = {(real *)g->c + (row + i) * g->ldc + j,      1, g->flags & TG_ACCUMULATE, g->relu,
                                   g->bias ? (const real *)g->bias + j : NULL, 1};
            for (int column = 0; column < columns; column++) FN(store_sum)(&r, column, out[i * columns + column]);
        }
        j += columns;
    }
}

/* a (m, k) and b (n, k), both read along k */
static int FN(gemm_dots)(const tg_gemm_problem *g) {
    enum {
        MOST = TG_VECTOR_BYTES == 64 ? 8 : 4,
        SUMS = 2 * MOST
    }; /* sums, and the vectors of MOST rows, in registers */
    int64_t row = 0;
    for (; g->m - row >= MOST; row += MOST) FN(dot_block)(g, MOST, SUMS / MOST, row);
    if (MOST > 4 && g->m - row >= 4) FN(dot_block)(g, 4, SUMS / 4, row), row += 4;
    if (g->m - row >= 2) FN(dot_block)(g, 2, SUMS / 2, row), row += 2;
    if (g->m - row == 1) FN(dot_block)(g, 1, 8, row);
    if (g->steps) tg_gemm_finish(g->steps, g->m, g->n, g->ldc, g->c);
    return TG_OK;
}

/* ---- entries of the table --------------------------------------------------------------------------------------- */

/* The results from a matrix that holds them along its rows (by_rows: (count, k)) or across ((k, count)), and a vector (k). */
static int FN(multiply_vector)(const tg_gemm_problem *g, int64_t count, const real *matrix, int64_t ld, int by_rows,
                               const real *x, int64_t x_step, const gemm_result *r) {
    const int64_t k = g->k;
    if (by_rows) {
        if (x_step != 1 && k > 1) {
            real *copy = tg_scratch(0, (size_t)k * sizeof(real));
            if (!copy) return TG_NO_MEMORY;
            for (int64_t i = 0; i < k; i++) copy[i] = x[i * x_step];
            x = copy;
        }
        FN(dot_rows)(count, k, matrix, ld, x, r);
    } else if (FN(combine_rows)(k, count, matrix, ld, x, x_step, r) != TG_OK) {
        return TG_NO_MEMORY;
    }
    if (g->steps) tg_gemm_finish(g->steps, g->m, g->n, g->ldc, g->c);
    return TG_OK;
}

/* m == 1 */
static int FN(gemm_row)(const tg_gemm_problem *g) {
    const gemm_result r = {g->c, 1, g->flags & TG_ACCUMULATE, g->relu, g->bias, 1};
    return FN(multiply_vector)(g, g->n, g->b, g->ldb, g->flags & TG_TRANS_B, g->a, g->flags & TG_TRANS_A ? g->lda : 1,
                               &r);
}

/* n == 1 */
static int FN(gemm_column)(const tg_gemm_problem *g) {
    const gemm_result r = {g->c, g->ldc, g->flags & TG_ACCUMULATE, g->relu, g->bias, 0};
    return FN(multiply_vector)(g, g->m, g->a, g->lda, !(g->flags & TG_TRANS_A), g->b,
                               g->flags & TG_TRANS_B ? 1 : g->ldb, &r);
}
