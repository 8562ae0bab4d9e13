/* test_binary_grad.c: the gradients of mul and div in one pass have the bits of their steps one by one, in every table and with any
 * number of threads; what does not fit together is refused. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

typedef struct {
    char *gy, *a, *b;                    /* (n) each, of which an operand's period is read */
    char *ga, *gb, *want_a, *want_b, *t; /* (n) */
} arrays;

enum { ARRAYS = 8 };

/* The sum of x over what repeats an operand, in place of its beginning. */
static void sum_repeated(int dtype, int64_t n, const tg_spread *operand, char *x, char *t) {
    const int64_t outer = operand->repeat > 1 ? operand->period : 1, inner = operand->repeat > 1 ? 1 : operand->period;
    CHECK(tg_reduce(TG_REDUCE_sum, dtype, outer, n / outer / inner, inner, x, t) == TG_OK);
    memcpy(x, t, (size_t)(operand->period * (int64_t)tg_itemsize(dtype)));
}

/* How tg_binary walks two operands that fill (rows, cols). */
static tg_layout layout_of(int64_t rows, int64_t cols, const tg_spread *left, const tg_spread *right) {
    tg_layout layout = {.ndim = 2, .shape = {rows, cols}};
    const tg_spread *const both[] = {left, right};
    for (int k = 0; k < 2; k++) {
        layout.strides[k][0] = both[k]->repeat == cols ? 1 : both[k]->period == rows * cols ? cols : 0;
        layout.strides[k][1] = both[k]->repeat == 1 && both[k]->period > 1;
    }
    return layout;
}

static void by_steps(int op, int dtype, const tg_gradient_plan *p, int64_t rows, int64_t cols, const arrays *m) {
    const int64_t n = p->n;
    const tg_layout gy_b = layout_of(rows, cols, &p->gy, &p->b), gy_a = layout_of(rows, cols, &p->gy, &p->a),
                    a_b = layout_of(rows, cols, &p->a, &p->b);
    CHECK(tg_binary(op, dtype, n, m->gy, m->b, m->want_a, &gy_b) == TG_OK);
    if (op == TG_BINARY_mul) {
        CHECK(tg_binary(op, dtype, n, m->gy, m->a, m->want_b, &gy_a) == TG_OK);
    } else {
        CHECK(tg_binary(op, dtype, n, m->a, m->b, m->t, &a_b) == TG_OK);
        CHECK(tg_binary(TG_BINARY_mul, dtype, n, m->want_a, m->t, m->want_b, NULL) == TG_OK);
        CHECK(tg_unary(TG_UNARY_neg, dtype, n, m->want_b, m->want_b, 0, 0) == TG_OK);
    }
    if (p->sums_a) sum_repeated(dtype, n, &p->a, m->want_a, m->t);
    if (p->sums_b) sum_repeated(dtype, n, &p->b, m->want_b, m->t);
}

/* Whether the gradient by an operand can be summed on the way. */
static int sums(const tg_spread *s, int64_t n) {
    if (s->period == n) return 0;
    return (s->repeat == 1 ? tg_tiles_unit(1, n / s->period, s->period) : tg_tiles_unit(s->period, s->repeat, 1)) > 0;
}

static void check_plan(int op, int dtype, tg_gradient_plan p, int64_t rows, int64_t cols, const arrays *m) {
    const int64_t item = (int64_t)tg_itemsize(dtype);
    p.sums_a = sums(&p.a, p.n);
    p.sums_b = sums(&p.b, p.n) && !p.sums_a; /* their units may differ */
    by_steps(op, dtype, &p, rows, cols, m);
    const size_t bytes_a = (size_t)((p.sums_a ? p.a.period : p.n) * item),
                 bytes_b = (size_t)((p.sums_b ? p.b.period : p.n) * item);
    for (int wanted = 1; wanted < 4; wanted++) {
        char *ga = wanted & 1 ? m->ga : NULL, *gb = wanted & 2 ? m->gb : NULL;
        memset(m->ga, 0, (size_t)(p.n * item)), memset(m->gb, 0, (size_t)(p.n * item));
        const int needs_b = ga || op == TG_BINARY_div;
        CHECK(tg_binary_grad(op, dtype, &p, m->gy, gb ? m->a : NULL, needs_b ? m->b : NULL, ga, gb) == TG_OK);
        CHECK_THAT((!ga || !memcmp(ga, m->want_a, bytes_a)) && (!gb || !memcmp(gb, m->want_b, bytes_b)),
                   "%s, op %d, dtype %d, (%d, %d), sums %d %d, wanted %d: other bits", tg_isa(), op, dtype, (int)rows,
                   (int)cols, p.sums_a, p.sums_b, wanted);
    }
}

static void check_shape(int dtype, int64_t rows, int64_t cols) {
    const int64_t n = rows * cols, item = (int64_t)tg_itemsize(dtype);
    const tg_spread spreads[] = {{1, n}, {1, cols}, {cols, rows}, {1, 1}};
    enum { SPREADS = sizeof spreads / sizeof spreads[0] };
    char *memory = calloc((size_t)(ARRAYS * n), (size_t)item), *at[ARRAYS];
    for (int k = 0; k < ARRAYS; k++) at[k] = memory + k * n * item;
    const arrays m = {at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]};
    uint64_t random = 11;
    test_fill(dtype, 3 * n, memory, &random, 0.5, 2);
    for (int gy = 0; gy < SPREADS; gy++)
        for (int a = 0; a < SPREADS; a++)
            for (int b = 0; b < SPREADS; b++) {
                const tg_gradient_plan plan = {.n = n, .gy = spreads[gy], .a = spreads[a], .b = spreads[b]};
                check_plan(TG_BINARY_mul, dtype, plan, rows, cols, &m);
                check_plan(TG_BINARY_div, dtype, plan, rows, cols, &m);
            }
    free(memory);
}

static void check_refusals(void) {
    float x[6] = {0}, y[6], z[6];
    const tg_gradient_plan good = {.n = 6, .gy = {1, 6}, .a = {1, 6}, .b = {3, 2}};
    tg_gradient_plan bad = good;
    const int mul = TG_BINARY_mul, div = TG_BINARY_div;
    CHECK(tg_binary_grad(mul, TG_F32, &good, x, x, x, y, z) == TG_OK);
    CHECK(tg_binary_grad(TG_BINARY_add, TG_F32, &good, x, x, x, y, z) == TG_BAD_ARGUMENT);
    CHECK(tg_binary_grad(mul, 7, &good, x, x, x, y, z) == TG_BAD_ARGUMENT);
    CHECK(tg_binary_grad(mul, TG_F32, NULL, x, x, x, y, z) == TG_BAD_ARGUMENT);
    CHECK(tg_binary_grad(mul, TG_F32, &good, NULL, x, x, y, z) == TG_BAD_ARGUMENT);
    CHECK(tg_binary_grad(mul, TG_F32, &good, x, NULL, x, y, z) == TG_BAD_ARGUMENT);
    CHECK(tg_binary_grad(mul, TG_F32, &good, x, x, NULL, y, z) == TG_BAD_ARGUMENT);
    CHECK(tg_binary_grad(div, TG_F32, &good, x, x, NULL, NULL, z) == TG_BAD_ARGUMENT);
    CHECK(tg_binary_grad(mul, TG_F32, &good, x, x, x, NULL, NULL) == TG_OK);
    bad.n = -1;
    CHECK(tg_binary_grad(mul, TG_F32, &bad, x, x, x, y, z) == TG_BAD_SIZE);
    bad.n = 0;
    CHECK(tg_binary_grad(mul, TG_F32, &bad, NULL, NULL, NULL, NULL, NULL) == TG_OK);
    const tg_spread wrong[] = {{0, 6}, {1, 0}, {4, 1}, {1, 12}, {INT64_MAX, 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        bad = good, bad.a = wrong[i];
        CHECK_THAT(tg_binary_grad(mul, TG_F32, &bad, x, x, x, y, z) == TG_BAD_SIZE, "spread %d", (int)i);
    }
}

void test_binary_grad(void) {
    const int64_t shapes[][2] = {{1, 1}, {3, 5}, {40, 50}, {300, 70}, {9, 4000}, {4000, 9}, {700, 130}};
    for (int k = 0; tg_isa_available(k); k++) {
        tg_select_isa(tg_isa_available(k));
        for (int threads = 1; threads <= 3; threads += 2) {
            tg_set_num_threads(threads);
            for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
                for (int dtype = TG_F32; dtype <= TG_F64; dtype++) check_shape(dtype, shapes[i][0], shapes[i][1]);
        }
    }
    tg_select_isa(tg_isa_available(0));
    check_refusals();
}
