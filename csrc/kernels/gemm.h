/* gemm.h: matrix multiplication; included once per element type. */

static int FN(gemm)(const tg_gemm_problem *p) {
    const real *a = p->a, *b = p->b, *bias = p->bias;
    const int64_t a_row = p->flags & TG_TRANS_A ? 1 : p->lda, a_step = p->flags & TG_TRANS_A ? p->lda : 1;
    const int64_t b_step = p->flags & TG_TRANS_B ? 1 : p->ldb, b_col = p->flags & TG_TRANS_B ? p->ldb : 1;
    for (int64_t i = 0; i < p->m; i++) {
        real *c = (real *)p->c + i * p->ldc;
        for (int64_t j = 0; j < p->n; j++) {
            real sum = p->flags & TG_ACCUMULATE ? c[j] : 0;
            for (int64_t k = 0; k < p->k; k++) sum += a[i * a_row + k * a_step] * b[k * b_step + j * b_col];
            if (bias) sum += bias[j];
            c[j] = p->relu && sum < 0 ? 0 : sum;
        }
        if (p->activate) p->activate(p->n, c, c, 0, 0);
    }
    return TG_OK;
}

static const tg_gemm_kernels FN(gemm_kernels) = {FN(gemm)};
