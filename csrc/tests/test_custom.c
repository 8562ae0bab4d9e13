/* test_custom.c: ops added at run time, their broadcasting and threads, and the fingerprint of memory. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static void doubled(int64_t n, const void *xp, void *yp, double p0, double p1) {
    const float *x = xp;
    float *y = yp;
    for (int64_t i = 0; i < n; i++) y[i] = 2 * x[i] + (float)(p0 - p1);
}
static void doubled_gradient(int64_t n, const void *gp, const void *sp, void *op, double p0, double p1) {
    const float *gy = gp, *s = sp;
    float *gx = op;
    for (int64_t i = 0; i < n; i++) gx[i] = 2 * gy[i] + 0 * s[i] + 0 * (float)(p0 + p1);
}
static void minus(int64_t n, const void *a, int64_t a_step, const void *b, int64_t b_step, void *y) {
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] = ((const float *)a)[i * a_step] - ((const float *)b)[i * b_step];
}
/* a b + c, times the first parameter */
static void mapped(int64_t n, const void *const *in, const int64_t *step, void *y, const double *p) {
    const float *a = in[0], *b = in[1], *c = in[2];
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] = (float)p[0] * (a[i * step[0]] * b[i * step[1]] + c[i * step[2]]);
}

typedef struct {
    tg_unary_fn forward;
    tg_unary_grad_fn gradient;
} unary_pair;
static const unary_pair unary_functions = {doubled, doubled_gradient};
static const tg_binary_fn binary_functions[] = {minus};
static const tg_map_fn map_functions[] = {mapped};

static void check_elementwise(int unary, int binary, int map, int64_t rows, int64_t cols) {
    const int64_t n = rows * cols;
    float *a = malloc((size_t)n * 4), *b = malloc((size_t)n * 4), *y = malloc((size_t)n * 4);
    CHECK(a && b && y);
    if (!a || !b || !y) return;
    uint64_t random = 5;
    test_fill(TG_F32, n, a, &random, -1, 1);
    test_fill(TG_F32, n, b, &random, -1, 1);
    int wrong = 0;
    CHECK(tg_unary(unary, TG_F32, n, a, y, 3, 1) == TG_OK);
    for (int64_t i = 0; i < n; i++) wrong += !test_close((double)y[i], 2 * (double)a[i] + 2, 1e-6);
    CHECK(tg_unary_grad(unary, TG_F32, n, a, b, y, 0, 0) == TG_OK);
    for (int64_t i = 0; i < n; i++) wrong += !test_close((double)y[i], 2 * (double)a[i], 1e-6);
    /* a transposed, b a row */
    const tg_layout layout = {.ndim = 2, .shape = {cols, rows}, .strides = {{1, cols}, {0, 1}, {0, 0}}};
    CHECK(tg_binary(binary, TG_F32, n, a, b, y, &layout) == TG_OK);
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++)
            wrong += !test_close((double)y[c * rows + r], (double)a[r * cols + c] - (double)b[r], 1e-6);
    CHECK(tg_map(map, TG_F32, n, a, b, b, NULL, y, &layout, 0.5, 0, 0, 0) == TG_OK);
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++)
            wrong += !test_close((double)y[c * rows + r], 0.5 * ((double)a[r * cols + c] * (double)b[r] + (double)b[0]),
                                 1e-6);
    CHECK_THAT(wrong == 0, "custom ops on (%d, %d): %d wrong", (int)rows, (int)cols, wrong);
    free(a), free(b), free(y);
}

static void check_refusals(int map) {
    float x[4] = {0}, y[4];
    CHECK(tg_custom_add(TG_REDUCE, TG_CHEAP, 1, map_functions, map_functions) == -TG_BAD_ARGUMENT);
    CHECK(tg_custom_add(TG_MAP, TG_CHEAP, 5, map_functions, map_functions) == -TG_BAD_ARGUMENT);
    CHECK(tg_custom_add(TG_MAP, TG_CHEAP, 1, NULL, map_functions) == -TG_BAD_ARGUMENT);
    CHECK(tg_unary(TG_UNARY_COUNT + 4000, TG_F32, 4, x, y, 0, 0) == TG_BAD_ARGUMENT);
    CHECK(tg_binary(TG_BINARY_COUNT + 4000, TG_F32, 4, x, x, y, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_map(map + 1, TG_F32, 4, x, x, x, NULL, y, NULL, 0, 0, 0, 0) == TG_BAD_ARGUMENT);
    CHECK(tg_map(map, TG_F32, 4, x, x, NULL, NULL, y, NULL, 0, 0, 0, 0) == TG_BAD_ARGUMENT); /* an input is missing */
    CHECK(tg_map(map, TG_F32, -1, x, x, x, NULL, y, NULL, 0, 0, 0, 0) == TG_BAD_SIZE);
    CHECK(tg_map(map, 7, 4, x, x, x, NULL, y, NULL, 0, 0, 0, 0) == TG_BAD_ARGUMENT);
}

/* Every byte counts, and so does the order of words; what lies beside does not. */
static void check_fingerprint(void) {
    unsigned char bytes[1000];
    for (int i = 0; i < 1000; i++) bytes[i] = (unsigned char)(i * 31);
    for (int64_t n = 0; n < 200; n += 7) {
        const uint64_t print = tg_fingerprint(n, bytes + 3);
        CHECK(tg_fingerprint(n, bytes + 3) == print);
        for (int64_t i = 0; i < n; i++) {
            bytes[3 + i] ^= 4;
            CHECK(tg_fingerprint(n, bytes + 3) != print);
            bytes[3 + i] ^= 4;
        }
        bytes[2] ^= 1, bytes[3 + n] ^= 1;
        CHECK(tg_fingerprint(n, bytes + 3) == print);
    }
    uint64_t words[64] = {1, 2};
    const uint64_t print = tg_fingerprint(sizeof words, words);
    words[0] = 2, words[1] = 1;
    CHECK(tg_fingerprint(sizeof words, words) != print);
}

void test_custom(void) {
    const int unary = tg_custom_add(TG_UNARY, TG_CHEAP, 1, &unary_functions, &unary_functions);
    const int binary = tg_custom_add(TG_BINARY, TG_COSTLY, 2, binary_functions, binary_functions);
    const int map = tg_custom_add(TG_MAP, TG_COSTLY, 3, map_functions, map_functions);
    CHECK(unary >= TG_UNARY_COUNT && binary >= TG_BINARY_COUNT && map >= 0);
    for (int threads = 1; threads <= 3; threads++) {
        tg_set_num_threads(threads);
        check_elementwise(unary, binary, map, 3, 5);
        check_elementwise(unary, binary, map, 130, 257);
    }
    tg_set_num_threads(1);
    check_refusals(map);
    check_fingerprint();
    const tg_api *services = tg_services();
    CHECK(services->abi_version == TG_ABI_VERSION && services->size == (int64_t)sizeof(tg_api));
    CHECK(services->gemm == tg_gemm && services->parallel_for == tg_parallel_for);
}
