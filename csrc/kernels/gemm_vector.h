/* gemm_vector.h: products of a matrix and a vector (c has one row or one column); included once per element type.
 *
 * Either c is a combination of the matrix's rows, each element one chain of multiply-adds in rising k, or c is a dot product per
 * row of the matrix: two vectors of partial sums over alternate vectors of k, added, then halved (v_reduce_add). How many rows or
 * columns go together changes no element.
 */

#define gemm_result FN(gemm_result)

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
    *c = r->relu && sum < 0 ? 0 : sum;
}

TG_INLINE void FN(store_sums)(const gemm_result *r, int64_t i, vec sum, int64_t count) {
    if (r->step != 1 || r->bias_step != 1) {
        for (int64_t lane = 0; lane < LANES && lane < count; lane++) FN(store_sum)(r, i + lane, sum[lane]);
        return;
    }
    if (r->add) sum = v_load_upto(r->c + i, count) + sum;
    if (r->bias) sum += v_load_upto(r->bias + i, count);
    if (r->relu) sum = v_select(sum < v_set(0), v_set(0), sum);
    v_store_upto(r->c + i, sum, count);
}

/* `vectors` vectors of columns of the combination, from column j on. */
TG_INLINE void FN(combine_strip)(const int vectors, int64_t steps, int64_t j, const real *matrix, int64_t ld,
                                 const real *x, int64_t x_step, const gemm_result *r) {
    vec sums[16];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) sums[v] = (vec){0};
    const real *row = matrix + j;
    for (int64_t k = 0; k < steps; k++, row += ld, x += x_step) {
        const vec factor = *x - (vec){0};
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) sums[v] += factor * v_load(row + v * LANES);
    }
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) FN(store_sums)(r, j + v * LANES, sums[v], LANES);
}

/* c[j] = sum over k of x[k] * matrix[k, j]. matrix: (steps, columns) with step ld */
static void FN(combine_rows)(int64_t steps, int64_t columns, const real *matrix, int64_t ld, const real *x,
                             int64_t x_step, const gemm_result *r) {
    enum { WIDE = TG_VECTOR_BYTES == 64 ? 16 : 8 };
    int64_t j = 0;
    for (; columns - j >= WIDE * LANES; j += WIDE * LANES) FN(combine_strip)(WIDE, steps, j, matrix, ld, x, x_step, r);
    for (; columns - j >= 4 * LANES; j += 4 * LANES) FN(combine_strip)(4, steps, j, matrix, ld, x, x_step, r);
    for (; columns - j >= LANES; j += LANES) FN(combine_strip)(1, steps, j, matrix, ld, x, x_step, r);
    if (j == columns) return;
    vec sum = {0};
    for (int64_t k = 0; k < steps; k++)
        sum += (x[k * x_step] - (vec){0}) * v_load_part(matrix + k * ld + j, columns - j);
    FN(store_sums)(r, j, sum, columns - j);
}

TG_INLINE void FN(dot_strip)(const int rows, int64_t steps, int64_t i, const real *matrix, int64_t ld, const real *x,
                             const gemm_result *r) {
    vec even[4], odd[4];
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++) even[row] = odd[row] = (vec){0};
    const real *from = matrix + i * ld;
    int64_t k = 0;
    for (; k + 2 * LANES <= steps; k += 2 * LANES) {
        const vec x0 = v_load(x + k), x1 = v_load(x + k + LANES);
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++) {
            even[row] += x0 * v_load(from + row * ld + k);
            odd[row] += x1 * v_load(from + row * ld + k + LANES);
        }
    }
    if (k + LANES <= steps) {
        const vec x0 = v_load(x + k);
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++) even[row] += x0 * v_load(from + row * ld + k);
        k += LANES;
    }
    if (k < steps) {
        const vec x1 = v_load_part(x + k, steps - k);
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++) odd[row] += x1 * v_load_part(from + row * ld + k, steps - k);
    }
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++) FN(store_sum)(r, i + row, v_reduce_add(even[row] + odd[row]));
}

/* c[i] = sum over k of matrix[i, k] * x[k]. matrix: (rows, steps) with step ld; x: (steps) */
static void FN(dot_rows)(int64_t rows, int64_t steps, const real *matrix, int64_t ld, const real *x,
                         const gemm_result *r) {
    int64_t i = 0;
    for (; rows - i >= 4; i += 4) FN(dot_strip)(4, steps, i, matrix, ld, x, r);
    for (; i < rows; i++) FN(dot_strip)(1, steps, i, matrix, ld, x, r);
}

/* count results from a matrix that holds them along its rows (by_rows: (count, k)) or across ((k, count)), and a vector (k). */
static int FN(multiply_vector)(int64_t count, int64_t k, const real *matrix, int64_t ld, int by_rows, const real *x,
                               int64_t x_step, const gemm_result *r, tg_unary_fn activate) {
    if (by_rows) {
        if (x_step != 1 && k > 1) {
            real *copy = tg_scratch(0, (size_t)k * sizeof(real));
            if (!copy) return TG_NO_MEMORY;
            for (int64_t i = 0; i < k; i++) copy[i] = x[i * x_step];
            x = copy;
        }
        FN(dot_rows)(count, k, matrix, ld, x, r);
    } else {
        FN(combine_rows)(k, count, matrix, ld, x, x_step, r);
    }
    if (activate && r->step == 1) activate(count, r->c, r->c, 0, 0);
    if (activate && r->step != 1)
        for (int64_t i = 0; i < count; i++) activate(1, r->c + i * r->step, r->c + i * r->step, 0, 0);
    return TG_OK;
}

/* m == 1 */
static int FN(gemm_row)(const tg_gemm_problem *g) {
    const gemm_result r = {g->c, 1, g->flags & TG_ACCUMULATE, g->relu, g->bias, 1};
    return FN(multiply_vector)(g->n, g->k, g->b, g->ldb, g->flags & TG_TRANS_B, g->a,
                               g->flags & TG_TRANS_A ? g->lda : 1, &r, g->activate);
}

/* n == 1 */
static int FN(gemm_column)(const tg_gemm_problem *g) {
    const gemm_result r = {g->c, g->ldc, g->flags & TG_ACCUMULATE, g->relu, g->bias, 0};
    return FN(multiply_vector)(g->m, g->k, g->a, g->lda, !(g->flags & TG_TRANS_A), g->b,
                               g->flags & TG_TRANS_B ? 1 : g->ldb, &r, g->activate);
}
