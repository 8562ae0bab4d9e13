/* test_gemm.c: matrix multiplication in every table against a naive triple loop in double, and bit for bit against itself:
 * with another number of threads, with other neighbours in the batch, cut at other places. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

typedef struct {
    int dtype, flags;
    int64_t m, n, k;
    int64_t pad; /* added to every row step */
    int bias, activation;
} shape;

#define EXPECT(condition, ...) \
    CHECK_THAT(condition, "%s dtype %d flags %d (%d x %d x %d) pad %d bias %d activation %d: " __VA_ARGS__)
#define OF(s) \
    tg_isa(), (s)->dtype, (s)->flags, (int)(s)->m, (int)(s)->n, (int)(s)->k, (int)(s)->pad, (s)->bias, (s)->activation

/* Stored rows and columns of the operands, and the elements they take. */
static int64_t rows_a(const shape *s) { return s->flags & TG_TRANS_A ? s->k : s->m; }
static int64_t columns_a(const shape *s) { return s->flags & TG_TRANS_A ? s->m : s->k; }
static int64_t rows_b(const shape *s) { return s->flags & TG_TRANS_B ? s->n : s->k; }
static int64_t columns_b(const shape *s) { return s->flags & TG_TRANS_B ? s->k : s->n; }

/* Exactly as long as the ABI demands, so that the address sanitizer sees any step beyond. */
static void *matrix(int dtype, int64_t rows, int64_t columns, int64_t pad, uint64_t *random, int64_t *count) {
    *count = rows && columns ? (rows - 1) * (columns + pad) + columns : 0;
    void *data = malloc((size_t)*count * tg_itemsize(dtype) + (*count == 0));
    if (!data) abort();
    test_fill(dtype, *count, data, random, -1, 1);
    return data;
}

static double activated(int activation, double x) {
    switch (activation) {
    case TG_ACTIVATION_relu: return x < 0 ? 0 : x;
    case TG_ACTIVATION_tanh: return tanh(x);
    case TG_ACTIVATION_sigmoid: return 1 / (1 + exp(-x));
    case TG_ACTIVATION_gelu: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case TG_ACTIVATION_gelu_tanh: return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case TG_ACTIVATION_silu: return x / (1 + exp(-x));
    default: return x;
    }
}

/* The oracle. c holds the result, initial what c held before. */
static void compare(const shape *s, const void *a, const void *b, const void *bias, const void *initial,
                    const void *c) {
    const double unit = s->dtype == TG_F32 ? FLT_EPSILON : DBL_EPSILON;
    const int64_t lda = columns_a(s) + s->pad, ldb = columns_b(s) + s->pad, ldc = s->n + s->pad;
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) {
            double sum = 0, size = 1;
            for (int64_t k = 0; k < s->k; k++) {
                const double x = test_element(s->dtype, a, s->flags & TG_TRANS_A ? k * lda + i : i * lda + k);
                const double y = test_element(s->dtype, b, s->flags & TG_TRANS_B ? j * ldb + k : k * ldb + j);
                sum += x * y;
                size += fabs(x * y);
            }
            if (s->flags & TG_ACCUMULATE) sum += test_element(s->dtype, initial, i * ldc + j);
            if (s->bias) sum += test_element(s->dtype, bias, j);
            const double want = activated(s->activation, sum), got = test_element(s->dtype, c, i * ldc + j);
            /* |error| <= k u sum|a b| (Higham 2002, 3.1), and a few units for what follows */
            const double bound = ((double)s->k + 16) * unit * (size + 2);
            EXPECT(fabs(want - got) <= bound, "element %d, %d is %.9g, not %.9g", OF(s), (int)i, (int)j, got, want);
        }
    /* what lies between the rows of c */
    for (int64_t i = 0; i + 1 < s->m; i++)
        for (int64_t j = s->n; j < ldc; j++)
            EXPECT(test_element(s->dtype, c, i * ldc + j) == test_element(s->dtype, initial, i * ldc + j),
                   "wrote past row %d", OF(s), (int)i);
}

static int run(const shape *s, const void *a, const void *b, const void *bias, void *c) {
    return tg_gemm(s->dtype, s->flags, s->m, s->n, s->k, a, columns_a(s) + s->pad, b, columns_b(s) + s->pad, c,
                   s->n + s->pad, s->bias ? bias : NULL, s->activation);
}

/* One shape with 1 to 4 threads, against the oracle, and two of its rows by themselves. */
static void check_shape(const shape *s, uint64_t *random, int oracle) {
    int64_t count, bytes;
    void *a = matrix(s->dtype, rows_a(s), columns_a(s), s->pad, random, &count);
    void *b = matrix(s->dtype, rows_b(s), columns_b(s), s->pad, random, &count);
    void *bias = matrix(s->dtype, 1, s->n, 0, random, &count);
    void *initial = matrix(s->dtype, s->m, s->n, s->pad, random, &count);
    bytes = count * (int64_t)tg_itemsize(s->dtype);
    void *first = malloc((size_t)bytes + 1), *c = malloc((size_t)bytes + 1);
    if (!first || !c) abort();
    for (int threads = 1; threads <= 4; threads++) {
        void *out = threads == 1 ? first : c;
        memcpy(out, initial, (size_t)bytes);
        tg_set_num_threads(threads);
        CHECK(run(s, a, b, bias, out) == TG_OK);
        EXPECT(memcmp(first, out, (size_t)bytes) == 0, "other bits with %d threads", OF(s), threads);
    }
    if (oracle) compare(s, a, b, bias, initial, first);
    /* some rows by themselves are what they were among the others: so many that they take the same path */
    tg_set_num_threads(1);
    const int64_t step = (int64_t)tg_itemsize(s->dtype), dot_rows = tg_active->gemm[s->dtype]->dot_rows;
    const int64_t some = s->flags & TG_TRANS_B && s->m > dot_rows ? dot_rows + 1 : 2;
    if (s->m > some && some > 1 && s->n > 1) {
        const int64_t row = (int64_t)(test_random(random) % (uint64_t)(s->m - some + 1));
        memcpy(c, initial, (size_t)bytes);
        tg_gemm(s->dtype, s->flags, some, s->n, s->k,
                (char *)a + step * row * (s->flags & TG_TRANS_A ? 1 : columns_a(s) + s->pad), columns_a(s) + s->pad, b,
                columns_b(s) + s->pad, (char *)c + step * row * (s->n + s->pad), s->n + s->pad, s->bias ? bias : NULL,
                s->activation);
        for (int64_t i = row; i < row + some; i++)
            EXPECT(memcmp((char *)c + step * i * (s->n + s->pad), (char *)first + step * i * (s->n + s->pad),
                          (size_t)(step * s->n)) == 0,
                   "row %d depends on the others", OF(s), (int)i);
    }
    free(a), free(b), free(bias), free(initial), free(first), free(c);
}

/* Ends give the bits of the calls one by one: a sum with another matrix, kept; an activation, and its gradient over the product. */
static void check_ends(const shape *s, uint64_t *random) {
    enum { ARRAYS = 3 }; /* c and what two ends make */
    int64_t count;
    void *a = matrix(s->dtype, rows_a(s), columns_a(s), s->pad, random, &count);
    void *b = matrix(s->dtype, rows_b(s), columns_b(s), s->pad, random, &count);
    void *bias = matrix(s->dtype, 1, s->n, 0, random, &count);
    void *other = matrix(s->dtype, s->m, s->n, s->pad, random, &count);
    const int64_t item = (int64_t)tg_itemsize(s->dtype), ldc = s->n + s->pad;
    char *want[ARRAYS], *got[ARRAYS];
    const size_t bytes = (size_t)(count * item);
    for (int i = 0; i < ARRAYS; i++) {
        want[i] = malloc(bytes + 1), got[i] = malloc(bytes + 1);
        if (!want[i] || !got[i]) abort();
        memcpy(want[i], other, bytes);
    }
    const double half = 0.5;
    const float half_f32 = 0.5f;
    const void *factor = s->dtype == TG_F32 ? (const void *)&half_f32 : &half;
    tg_set_num_threads(1);
    CHECK(run(s, a, b, bias, want[0]) == TG_OK);
    const tg_layout alone = {1, {s->n}, {{0}, {1}}};
    for (int64_t at = 0; at < s->m * ldc * item; at += ldc * item) {
        tg_binary(TG_BINARY_sub, s->dtype, s->n, (char *)other + at, want[0] + at, want[1] + at, NULL);
        tg_unary(TG_UNARY_elu, s->dtype, s->n, want[1] + at, want[2] + at, 0.7, 0);
        tg_unary_grad(TG_UNARY_tanh, s->dtype, s->n, want[0] + at, want[2] + at, want[0] + at, 0, 0);
        tg_binary(TG_BINARY_mul, s->dtype, s->n, factor, want[0] + at, want[0] + at, &alone);
    }
    for (int threads = 1; threads <= 3; threads++) {
        const tg_gemm_end ends[] = {{TG_TILE_BINARY, TG_BINARY_sub, other, 1, got[0], 1, got[1], {0}},
                                    {TG_TILE_UNARY, TG_UNARY_elu, got[1], 1, NULL, 0, got[2], {0.7, 0}},
                                    {TG_TILE_UNARY_GRAD, TG_UNARY_tanh, got[0], 1, got[2], 1, got[0], {0}},
                                    {TG_TILE_BINARY, TG_BINARY_mul, factor, 0, got[0], 1, got[0], {0}}};
        for (int i = 0; i < ARRAYS; i++) memcpy(got[i], other, bytes);
        tg_set_num_threads(threads);
        CHECK(tg_gemm_ended(s->dtype, s->flags, s->m, s->n, s->k, a, columns_a(s) + s->pad, b, columns_b(s) + s->pad,
                            got[0], ldc, s->bias ? bias : NULL, s->activation, 4, ends) == TG_OK);
        for (int i = 0; i < ARRAYS; i++)
            EXPECT(memcmp(want[i], got[i], bytes) == 0, "array %d of the ends with %d threads", OF(s), i, threads);
    }
    free(a), free(b), free(bias), free(other);
    for (int i = 0; i < ARRAYS; i++) free(want[i]), free(got[i]);
}

static void check_batch(int dtype, int flags, int64_t m, int64_t n, int64_t k, uint64_t *random) {
    enum { OUTER = 3, INNER = 2 };
    const shape s = {dtype, flags, m, n, k, 0, 0, 0};
    int64_t count;
    /* a varies along the outer index, b along the inner one */
    void *a = matrix(dtype, OUTER * rows_a(&s), columns_a(&s), 0, random, &count);
    void *b = matrix(dtype, INNER * rows_b(&s), columns_b(&s), 0, random, &count);
    void *initial = matrix(dtype, OUTER * INNER * m, n, 0, random, &count);
    const size_t bytes = (size_t)count * tg_itemsize(dtype);
    void *c = malloc(bytes + 1), *one = malloc(bytes + 1);
    if (!c || !one) abort();
    const tg_layout layout = {2, {OUTER, INNER}, {{m * k, 0}, {0, k * n}, {INNER * m * n, m * n}}};
    for (int threads = 1; threads <= 3; threads++) {
        tg_set_num_threads(threads);
        memcpy(c, initial, bytes);
        memcpy(one, initial, bytes);
        CHECK(tg_gemm_batched(dtype, flags, m, n, k, a, columns_a(&s), b, columns_b(&s), c, n, &layout) == TG_OK);
        const int64_t step = (int64_t)tg_itemsize(dtype);
        for (int64_t o = 0; o < OUTER; o++)
            for (int64_t i = 0; i < INNER; i++)
                CHECK(tg_gemm(dtype, flags, m, n, k, (char *)a + step * o * m * k, columns_a(&s),
                              (char *)b + step * i * k * n, columns_b(&s), (char *)one + step * (o * INNER + i) * m * n,
                              n, NULL, 0) == TG_OK);
        EXPECT(memcmp(c, one, bytes) == 0, "a batch with %d threads differs from its products", OF(&s), threads);
    }
    /* one b for all: folded into a taller product */
    const tg_layout shared = {1, {OUTER}, {{m * k}, {0}, {m * n}}};
    memcpy(c, initial, bytes);
    CHECK(tg_gemm_batched(dtype, flags & ~TG_TRANS_A, m, n, k, a, k, b, columns_b(&s), c, n, &shared) == TG_OK);
    const shape tall = {dtype, flags & ~TG_TRANS_A, OUTER * m, n, k, 0, 0, 0};
    compare(&tall, a, b, NULL, initial, c);
    free(a), free(b), free(initial), free(c), free(one);
}

static void check_arguments(void) {
    float x[4] = {1, 2, 3, 4}, y[4] = {0};
    const tg_layout none = {1, {0}, {{0}}}, negative = {1, {-1}, {{0}}}, huge = {2, {INT64_MAX, 3}, {{0}}};
    CHECK(tg_gemm(7, 0, 2, 2, 2, x, 2, x, 2, y, 2, NULL, 0) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm(TG_F32, 8, 2, 2, 2, x, 2, x, 2, y, 2, NULL, 0) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, NULL, 2, x, 2, y, 2, NULL, 0) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, x, 2, NULL, 2, y, 2, NULL, 0) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, x, 2, x, 2, NULL, 2, NULL, 0) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 2, NULL, -1) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 2, NULL, TG_ACTIVATION_COUNT) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm(TG_F32, 0, -1, 2, 2, x, 2, x, 2, y, 2, NULL, 0) == TG_BAD_SIZE);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, x, 1, x, 2, y, 2, NULL, 0) == TG_BAD_SIZE);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, x, 2, x, 1, y, 2, NULL, 0) == TG_BAD_SIZE);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 1, NULL, 0) == TG_BAD_SIZE);
    CHECK(tg_gemm(TG_F32, 0, INT64_MAX / 2, 2, 2, x, INT64_MAX / 2, x, 2, y, 2, NULL, 0) == TG_BAD_SIZE);
    CHECK(tg_gemm(TG_F32, 0, 0, 2, 2, NULL, 2, x, 2, NULL, 2, NULL, 0) == TG_OK);
    CHECK(tg_gemm(TG_F32, 0, 2, 0, 2, x, 2, NULL, 0, NULL, 0, NULL, 0) == TG_OK);
    CHECK(tg_gemm(TG_F32, 0, 2, 2, 0, NULL, 0, NULL, 2, y, 2, x, TG_ACTIVATION_relu) == TG_OK);
    CHECK(y[0] == 1 && y[1] == 2 && y[2] == 1 && y[3] == 2);
    const tg_gemm_end good = {TG_TILE_BINARY, TG_BINARY_add, y, 1, x, 1, y, {0}};
    tg_gemm_end bad[7];
    for (int i = 0; i < 7; i++) bad[i] = good;
    bad[0].kind = TG_TILE_WHERE, bad[1].op = -1, bad[2].op = 1 << 20, bad[3].a = NULL, bad[4].b = NULL;
    bad[5].y = NULL, bad[6].b_step = 2;
#define ENDED(count, ends) tg_gemm_ended(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 2, NULL, 0, count, ends)
    for (int i = 0; i < 7; i++) CHECK(ENDED(1, &bad[i]) == TG_BAD_ARGUMENT);
    CHECK(ENDED(1, NULL) == TG_BAD_ARGUMENT);
    CHECK(ENDED(-1, NULL) == TG_BAD_SIZE);
    CHECK(ENDED(TG_GEMM_STEPS, bad) == TG_BAD_SIZE);
    CHECK(ENDED(1, &good) == TG_OK && y[0] == 8 && y[3] == 26);
#undef ENDED
    CHECK(tg_gemm_batched(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 2, NULL) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm_batched(TG_F32, 0, 2, 2, 2, NULL, 2, NULL, 2, NULL, 2, &none) == TG_BAD_ARGUMENT);
    CHECK(tg_gemm_batched(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 2, &none) == TG_OK);
    CHECK(tg_gemm_batched(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 2, &negative) == TG_BAD_SIZE);
    CHECK(tg_gemm_batched(TG_F32, 0, 2, 2, 2, x, 2, x, 2, y, 2, &huge) == TG_BAD_SIZE);
}

/* NaN and infinities arrive where they must and nowhere else. */
static void check_special_values(int m, int n, int k) {
    enum { MOST = 50 };
    static float a[MOST * MOST], b[MOST * MOST], c[MOST * MOST];
    uint64_t random = 5;
    for (int flags = 0; flags < 4; flags++) {
        test_fill(TG_F32, m * k, a, &random, 1, 2);
        test_fill(TG_F32, k * n, b, &random, 1, 2);
        a[flags & TG_TRANS_A ? 7 * m + 5 : 5 * k + 7] = NAN;
        b[flags & TG_TRANS_B ? 9 * k + 3 : 3 * n + 9] = INFINITY;
        CHECK(tg_gemm(TG_F32, flags, m, n, k, a, flags & TG_TRANS_A ? m : k, b, flags & TG_TRANS_B ? k : n, c, n, NULL,
                      TG_ACTIVATION_relu) == TG_OK);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                CHECK(i == 5 ? isnan(c[i * n + j]) : j == 9 ? isinf(c[i * n + j]) : isfinite(c[i * n + j]));
    }
}

/* Every m and n up to 40, so that every tile and every cut of a vector has its turn. */
static void check_edges(uint64_t *random) {
    for (int m = 1; m <= 40; m++)
        for (int n = 1; n <= 40; n++)
            for (int flags = 0; flags < 8; flags++) {
                const int turn = m + n + flags;
                const shape s = {turn % 2, flags,        m,       n, 1 + (7 * m + 11 * n + 5 * flags) % 40,
                                 turn % 3, turn / 2 % 2, turn % 7};
                check_shape(&s, random, 1);
            }
}

void test_gemm(void) {
    static const int64_t sizes[][3] = {
        {1, 1, 1},     {1, 3, 10},    {1, 300, 40},   {5, 1, 33},     {300, 1, 70}, {2, 2, 2},      {3, 5, 7},
        {4, 10, 784},  {7, 17, 9},    {8, 48, 16},    {13, 31, 65},   {16, 16, 16}, {17, 49, 33},   {32, 10, 64},
        {33, 65, 129}, {64, 256, 30}, {70, 100, 324}, {100, 70, 650}, {129, 63, 5}, {31, 257, 321}, {9, 33, 0},
        {1, 9, 0},     {9, 1, 0},     {2, 37, 64},    {3, 20, 65},    {4, 33, 100}, {7, 21, 127},   {8, 64, 200},
        {784, 10, 64}, {300, 3, 90},  {45, 24, 300},  {129, 16, 650}, {32, 2, 32},  {200, 12, 70},  {33, 300, 129}};
    static const int64_t large[][3] = {{1, 4099, 300},  {4099, 1, 300},  {130, 515, 333}, {515, 130, 333},
                                       {1000, 67, 100}, {67, 1000, 100}, {300, 300, 700}, {2, 3000, 400},
                                       {3000, 2, 400},  {1300, 40, 330}, {8, 300, 500},   {3, 901, 700},
                                       {5, 60000, 9}}; /* few rows, and ends on a c that no cache holds */
    const int threads = tg_get_num_threads();
    const char *const isa = tg_isa();
    check_arguments();
    uint64_t random = 1;
    for (int table = 0; tg_isa_available(table); table++) {
        CHECK(tg_select_isa(tg_isa_available(table)) == TG_OK);
        check_special_values(19, 37, 23);
        check_special_values(43, 10, 47);
        check_edges(&random);
        for (int dtype = 0; dtype < 2; dtype++)
            for (int flags = 0; flags < 8; flags++) {
                for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                    const shape s = {dtype,        flags,
                                     sizes[i][0],  sizes[i][1],
                                     sizes[i][2],  (int64_t)(i % 3),
                                     (int)(i % 2), (int)((i + (size_t)flags) % TG_ACTIVATION_COUNT)};
                    check_shape(&s, &random, 1);
                    check_ends(&s, &random);
                }
                for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
                    const shape s = {dtype, flags,       large[i][0], large[i][1], large[i][2], (int64_t)(i % 2),
                                     1,     (int)(i % 2)};
                    check_shape(&s, &random, flags == (int)(i % 8));
                    if (flags == (int)(i % 8)) check_ends(&s, &random);
                }
                check_batch(dtype, flags, 5, 7, 9, &random);
                check_batch(dtype, flags, 1, 40, 9, &random);
                check_batch(dtype, flags, 40, 1, 9, &random);
                check_batch(dtype, flags, 16, 16, 16, &random);
                check_batch(dtype, flags, 65, 70, 80, &random);
                check_batch(dtype, flags, 40, 10, 50, &random);
            }
    }
    CHECK(tg_select_isa(isa) == TG_OK);
    tg_set_num_threads(threads);
}
