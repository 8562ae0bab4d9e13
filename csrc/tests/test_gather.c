/* test_gather.c: gathering and adding along an axis against plain loops, with several numbers of threads, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

typedef struct {
    int64_t outer, length, inner, count;
} sizes;

static int64_t *make_index(const sizes *s, uint64_t *random) {
    const int64_t n = s->outer * s->count * s->inner;
    int64_t *index = calloc((size_t)n, sizeof *index);
    for (int64_t i = 0; index && i < n; i++)
        index[i] = (int64_t)(test_random(random) % (uint64_t)s->length) - i % 2 * s->length;
    return index;
}

/* Where element e of the index points to in (outer, length, inner). */
static int64_t target(const sizes *s, const int64_t *index, int64_t e) {
    const int64_t j = e % s->inner, o = e / s->inner / s->count;
    return (o * s->length + index[e] + (index[e] < 0 ? s->length : 0)) * s->inner + j;
}

static void check_gather(const sizes *s, int itemsize, uint64_t *random) {
    const int64_t whole = s->outer * s->length * s->inner, n = s->outer * s->count * s->inner;
    int64_t *index = make_index(s, random);
    char *src = malloc((size_t)(whole * itemsize)), *dst = malloc((size_t)(n * itemsize));
    CHECK(index && src && dst);
    if (!index || !src || !dst) return;
    for (int64_t i = 0; i < whole * itemsize; i++) src[i] = (char)(i * 7 + i / 251);
    CHECK(tg_gather(itemsize, s->outer, s->length, s->inner, s->count, index, src, dst) == TG_OK);
    int wrong = 0;
    for (int64_t e = 0; e < n; e++)
        wrong += memcmp(dst + e * itemsize, src + target(s, index, e) * itemsize, (size_t)itemsize) != 0;
    CHECK_THAT(wrong == 0, "gather (%d, %d, %d), %d bytes each: %d wrong", (int)s->outer, (int)s->length, (int)s->inner,
               itemsize, wrong);
    index[n - 1] = s->length;
    CHECK(tg_gather(itemsize, s->outer, s->length, s->inner, s->count, index, src, dst) == TG_BAD_INDEX);
    index[n - 1] = -s->length - 1;
    CHECK(tg_gather(itemsize, s->outer, s->length, s->inner, s->count, index, src, dst) == TG_BAD_INDEX);
    free(index), free(src), free(dst);
}

static void check_scatter_add(const sizes *s, int dtype, uint64_t *random) {
    const int64_t whole = s->outer * s->length * s->inner, n = s->outer * s->count * s->inner;
    const size_t bytes = (size_t)whole * tg_itemsize(dtype);
    int64_t *index = make_index(s, random);
    void *gy = malloc((size_t)n * tg_itemsize(dtype)), *gx = malloc(bytes), *expected = malloc(bytes);
    CHECK(index && gy && gx && expected);
    if (!index || !gy || !gx || !expected) return;
    test_fill(dtype, n, gy, random, -1, 1);
    test_fill(dtype, whole, expected, random, -1, 1);
    memcpy(gx, expected, bytes);
    for (int64_t e = 0; e < n; e++) { /* in rising i for every place: the same bits */
        const int64_t t = target(s, index, e);
        if (dtype == TG_F32)
            ((float *)expected)[t] += ((float *)gy)[e];
        else
            ((double *)expected)[t] += ((double *)gy)[e];
    }
    CHECK(tg_scatter_add(dtype, s->outer, s->length, s->inner, s->count, index, gy, gx) == TG_OK);
    CHECK_THAT(memcmp(gx, expected, bytes) == 0, "scatter_add (%d, %d, %d), dtype %d, %d threads: other bits",
               (int)s->outer, (int)s->length, (int)s->inner, dtype, tg_get_num_threads());
    index[0] = s->length;
    CHECK(tg_scatter_add(dtype, s->outer, s->length, s->inner, s->count, index, gy, gx) == TG_BAD_INDEX);
    free(index), free(gy), free(gx), free(expected);
}

/* tg_take_grad, whose index is the same for all outer and inner. */
static void check_take_grad(const sizes *s, int dtype, uint64_t *random) {
    const int64_t whole = s->outer * s->length * s->inner, n = s->outer * s->count * s->inner;
    const size_t bytes = (size_t)whole * tg_itemsize(dtype);
    int64_t *index = make_index(s, random);
    void *gy = malloc((size_t)n * tg_itemsize(dtype)), *gx = calloc(1, bytes), *expected = calloc(1, bytes);
    CHECK(index && gy && gx && expected);
    if (!index || !gy || !gx || !expected) return;
    test_fill(dtype, n, gy, random, -1, 1);
    for (int64_t e = 0; e < n; e++) {
        const int64_t at = index[e / s->inner % s->count];
        const int64_t t =
            (e / s->inner / s->count * s->length + at + (at < 0 ? s->length : 0)) * s->inner + e % s->inner;
        if (dtype == TG_F32)
            ((float *)expected)[t] += ((float *)gy)[e];
        else
            ((double *)expected)[t] += ((double *)gy)[e];
    }
    CHECK(tg_take_grad(dtype, s->outer, s->length, s->inner, s->count, index, gy, gx) == TG_OK);
    CHECK_THAT(memcmp(gx, expected, bytes) == 0, "take_grad (%d, %d, %d), dtype %d, %d threads: other bits",
               (int)s->outer, (int)s->length, (int)s->inner, dtype, tg_get_num_threads());
    free(index), free(gy), free(gx), free(expected);
}

static void check_refusals(void) {
    const int64_t index[2] = {0, 1};
    float x[2] = {1, 2}, y[2];
    CHECK(tg_gather(3, 1, 2, 1, 2, index, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_gather(4, -1, 2, 1, 2, index, x, y) == TG_BAD_SIZE);
    CHECK(tg_gather(4, INT64_MAX, 2, 2, 2, index, x, y) == TG_BAD_SIZE);
    CHECK(tg_gather(4, 1, 2, 1, 2, NULL, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_gather(4, 1, 0, 1, 2, index, x, y) == TG_BAD_INDEX);
    CHECK(tg_gather(4, 1, 2, 1, 0, NULL, NULL, NULL) == TG_OK);
    CHECK(tg_scatter_add(2, 1, 2, 1, 2, index, x, y) == TG_BAD_ARGUMENT);
    CHECK(tg_scatter_add(TG_F32, 1, 2, -1, 2, index, x, y) == TG_BAD_SIZE);
    CHECK(tg_scatter_add(TG_F32, 0, 2, 1, 2, NULL, NULL, NULL) == TG_OK);
}

void test_gather(void) {
    static const sizes cases[] = {{1, 5, 1, 7},      {3, 4, 5, 2},     {2, 1, 3, 4},
                                  {70, 300, 1, 900}, {5, 30, 700, 40}, {1, 1000, 33, 2000}};
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int count = 1; count <= 4; count += 3) {
        tg_set_num_threads(count);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            for (int itemsize = 1; itemsize <= 16; itemsize *= 2) check_gather(&cases[i], itemsize, &random);
            for (int dtype = TG_F32; dtype <= TG_F64; dtype++) {
                check_scatter_add(&cases[i], dtype, &random);
                check_take_grad(&cases[i], dtype, &random);
            }
        }
    }
    tg_set_num_threads(threads);
    check_refusals();
}
