/* test_tables.c: every elementwise kernel of every table this machine can run, against the baseline table. */
#include <string.h>

#include "harness.h"

enum { LONGEST = 130 };

typedef struct {
    const tg_kernels *table, *base;
    int dtype;
    double tolerance;
    uint64_t random;
} comparison;

/* Inputs and outputs have a guard on either side, which no kernel may touch. Sized for double. */
enum { GUARD = 8 };
static double a[LONGEST], b[LONGEST], expected[LONGEST + 2 * GUARD], actual[LONGEST + 2 * GUARD];
static uint8_t condition[LONGEST];

static void *data_of(double *guarded) { return guarded + GUARD; }

static void reset_outputs(void) {
    memset(expected, 0x5a, sizeof expected);
    memset(actual, 0x5a, sizeof actual);
}

static void compare(const comparison *c, const char *family, const char *name, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double want = test_element(c->dtype, data_of(expected), i),
                     got = test_element(c->dtype, data_of(actual), i);
        CHECK_THAT(test_close(want, got, c->tolerance),
                   "%s %s of %s, dtype %d, element %d of %d (inputs %.17g, %.17g): %.17g, baseline %.17g",
                   c->table->name, family, name, c->dtype, (int)i, (int)n, test_element(c->dtype, a, i),
                   test_element(c->dtype, b, i), got, want);
    }
    const unsigned char *bytes = (const unsigned char *)actual;
    const size_t begin = GUARD * sizeof(double), end = begin + (size_t)n * tg_itemsize(c->dtype);
    for (size_t i = 0; i < sizeof actual; i++)
        CHECK_THAT((i >= begin && i < end) || bytes[i] == 0x5a, "%s %s of %s, dtype %d, n %d: wrote outside its output",
                   c->table->name, family, name, c->dtype, (int)n);
}

/* Two kinds of data: around zero, and positive for the ops that need it. */
static void fill_inputs(comparison *c, int kind) {
    test_fill(c->dtype, LONGEST, a, &c->random, kind ? 0.05 : -4, 4);
    test_fill(c->dtype, LONGEST, b, &c->random, kind ? 0.05 : -4, 4);
    for (int i = 0; i < LONGEST; i++) condition[i] = test_random(&c->random) & 1;
}

static void compare_unary(comparison *c, int64_t n) {
    const tg_unary_kernels *base = c->base->unary[c->dtype], *table = c->table->unary[c->dtype];
    for (int op = 0; op < TG_UNARY_COUNT; op++) {
        reset_outputs();
        base->forward[op](n, a, data_of(expected), 0.75, 1.5);
        table->forward[op](n, a, data_of(actual), 0.75, 1.5);
        compare(c, "unary", tg_op_name(TG_UNARY, op), n);
        reset_outputs();
        base->gradient[op](n, b, a, data_of(expected), 0.75, 1.5);
        table->gradient[op](n, b, a, data_of(actual), 0.75, 1.5);
        compare(c, "unary gradient", tg_op_name(TG_UNARY, op), n);
    }
}

static void compare_binary(comparison *c, int64_t n) {
    const tg_binary_kernels *base = c->base->binary[c->dtype], *table = c->table->binary[c->dtype];
    for (int steps = 0; steps < 4; steps++) {
        for (int op = 0; op < TG_BINARY_COUNT; op++) {
            reset_outputs();
            base->op[op](n, a, steps & 1, b, steps >> 1, data_of(expected));
            table->op[op](n, a, steps & 1, b, steps >> 1, data_of(actual));
            compare(c, "binary", tg_op_name(TG_BINARY, op), n);
        }
        for (int step = 0; step < 2; step++) {
            reset_outputs();
            base->where(n, condition, step, a, steps & 1, b, steps >> 1, data_of(expected));
            table->where(n, condition, step, a, steps & 1, b, steps >> 1, data_of(actual));
            compare(c, "binary", "where", n);
        }
    }
}

void test_tables(void) {
    const char *const best = tg_isa();
    int last = 0;
    while (tg_isa_available(last + 1)) last++;
    CHECK(tg_select_isa(tg_isa_available(last)) == TG_OK);
    const tg_kernels *const base = tg_active;
    for (int i = 0; i <= last; i++) { /* the baseline too: against itself it checks the guards */
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int dtype = TG_F32; dtype <= TG_F64; dtype++) {
            comparison c = {tg_active, base, dtype, dtype == TG_F32 ? 4e-6 : 1e-14, 1};
            for (int64_t n = 0; n <= LONGEST; n++) {
                fill_inputs(&c, (int)(n % 2));
                compare_unary(&c, n);
                compare_binary(&c, n);
            }
        }
    }
    CHECK(tg_select_isa(best) == TG_OK);
}
