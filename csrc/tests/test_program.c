/* test_program.c: steps that run side by side give the bits of steps that run one after another, the first failure in their order
 * is the one that is told, and groups that make no sense are refused. */
#include <string.h>

#include "../core/program.h"
#include "harness.h"

enum { LANES = 4, STEPS_EACH = 3, STEPS = LANES * STEPS_EACH + 1, WORDS = 8, N = 1000 };

/* In each lane STEPS_EACH functions of one array; then a step alone. */
typedef struct {
    float x[LANES][N];
    int32_t functions[STEPS], begins[STEPS];
    int64_t words[STEPS * WORDS], ends[LANES], work[LANES];
    tg_group group;
    tg_program program;
} example;

static int32_t number_of(const char *name) {
    for (int i = 0; i < tg_function_count; i++)
        if (strcmp(tg_function_name(i), name) == 0) return i;
    return -1;
}

static void make(example *e) {
    uint64_t random = 1;
    test_fill(TG_F32, LANES * N, e->x, &random, -1, 1);
    const int32_t unary = number_of("tg_unary");
    for (int i = 0; i < STEPS; i++) {
        float *x = e->x[i / STEPS_EACH % LANES];
        const int64_t words[WORDS] = {
            i % 2 ? TG_UNARY_exp : TG_UNARY_tanh, TG_F32, N, (int64_t)(intptr_t)x, (int64_t)(intptr_t)x, 0, 0};
        memcpy(&e->words[i * WORDS], words, sizeof words);
        e->functions[i] = unary;
        e->begins[i] = i * WORDS;
    }
    for (int i = 0; i < LANES; i++) {
        e->ends[i] = (i + 1) * STEPS_EACH;
        e->work[i] = 1 + i;
    }
    e->group = (tg_group){.first = 0, .lanes = LANES, .ends = e->ends, .work = e->work, .threads = TG_MAX_THREADS};
    e->program = (tg_program){.steps = STEPS,
                              .functions = e->functions,
                              .begins = e->begins,
                              .words = e->words,
                              .group_count = 1,
                              .groups = &e->group};
}

static int run(example *e, int threads, int64_t *failed) {
    int64_t done;
    tg_set_num_threads(threads);
    return tg_program_run(&e->program, 1, NULL, failed, &done);
}

static void same_bits(void) {
    static example one, other;
    int64_t failed;
    make(&one);
    CHECK(run(&one, 1, &failed) == TG_OK);
    for (int threads = 2; threads <= 5; threads++) {
        for (int most = 1; most <= 5; most += 2) {
            make(&other);
            other.group.threads = most;
            CHECK(run(&other, threads, &failed) == TG_OK);
            CHECK(memcmp(one.x, other.x, sizeof one.x) == 0);
        }
    }
}

static void failures(void) {
    static example e;
    for (int threads = 1; threads <= 4; threads++) {
        int64_t failed = -1;
        make(&e);
        e.words[10 * WORDS + 1] = e.words[4 * WORDS + 1] = e.words[5 * WORDS + 1] = 99; /* no dtype */
        CHECK(run(&e, threads, &failed) == TG_BAD_ARGUMENT);
        CHECK(failed == 4);
    }
}

static void refusals(void) {
    static example e;
    int64_t failed;
    tg_group two[2];
    for (int i = 0; i < 9; i++) {
        make(&e);
        if (i == 0) e.group.first = -1;
        if (i == 1) e.group.lanes = 0;
        if (i == 2) e.group.lanes = TG_MOST_LANES + 1;
        if (i == 3) e.ends[1] = e.ends[0];
        if (i == 4) e.ends[LANES - 1] = STEPS + 1;
        if (i == 5) e.work[2] = 0;
        if (i == 6) e.work[0] = e.work[1] = INT64_MAX;
        if (i == 7) e.group.ends = NULL;
        if (i == 8) { /* groups that overlap */
            two[0] = two[1] = e.group;
            e.program.groups = two;
            e.program.group_count = 2;
        }
        CHECK_THAT(run(&e, 2, &failed) == TG_BAD_ARGUMENT, "case %d is not refused", i);
    }
}

void test_program(void) {
    const int before = tg_get_num_threads();
    same_bits();
    failures();
    refusals();
    tg_set_num_threads(before);
}
