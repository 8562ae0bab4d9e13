/* test_program.c: steps that run side by side give the bits of steps that run one after another, the first failure in their order
 * is the one that is told, and groups that make no sense are refused; of runs that are tried at the same time one is made. */
#include <pthread.h>
#include <sched.h>
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

/* ---- one run, if nobody else is there ---- */

static void gates(void) {
    static example one, other;
    int32_t gate = TG_OPEN;
    int64_t failed = 0;
    make(&one);
    make(&other);
    CHECK(run(&one, 1, &failed) == TG_OK);
    CHECK(tg_program_try(&other.program, NULL) == TG_BAD_ARGUMENT); /* it has none */
    CHECK(tg_program_status(&failed) == TG_BAD_ARGUMENT && failed == -1);
    other.program.gate = &gate;
    tg_gate_close(&gate);
    CHECK(gate == TG_CLOSED);
    tg_gate_close(&gate); /* a second time does not wait */
    CHECK(tg_program_try(&other.program, NULL) == TG_BUSY && gate == TG_CLOSED);
    CHECK(memcmp(one.x, other.x, sizeof one.x) != 0);
    gate = TG_OPEN;
    CHECK(tg_program_try(&other.program, NULL) == TG_OK && gate == TG_OPEN);
    CHECK(memcmp(one.x, other.x, sizeof one.x) == 0);
    other.words[7 * WORDS + 1] = 99;
    CHECK(tg_program_try(&other.program, NULL) == TG_BAD_ARGUMENT && gate == TG_OPEN);
    CHECK(tg_program_status(&failed) == TG_BAD_ARGUMENT && failed == 7);
    tg_gate_close(NULL);
}

/* y = -x, where x is slot `inputs` - 1 and y the last. */
typedef struct {
    int64_t words[WORDS], offsets[2];
    int32_t function, begin, places[2], slots[2], gate;
    tg_program program;
} call_example;

static void make_call(call_example *e, int inputs) {
    const int64_t words[WORDS] = {TG_UNARY_neg, TG_F32, N};
    memcpy(e->words, words, sizeof words);
    e->function = number_of("tg_unary");
    e->begin = e->gate = 0;
    e->places[0] = 3;
    e->places[1] = 4;
    e->slots[0] = inputs - 1;
    e->slots[1] = inputs;
    e->offsets[0] = e->offsets[1] = 0;
    e->program = (tg_program){.steps = 1,
                              .functions = &e->function,
                              .begins = &e->begin,
                              .words = e->words,
                              .patches = 2,
                              .places = e->places,
                              .slots = e->slots,
                              .offsets = e->offsets,
                              .slot_count = inputs + 1,
                              .gate = &e->gate,
                              .result_bytes = N * 4};
}

static void calls(void) {
    static float x[N];
    uint64_t random = 1;
    int64_t failed;
    test_fill(TG_F32, N, x, &random, -1, 1);
    call_example e;
    for (int inputs = 1; inputs <= 4; inputs++) {
        make_call(&e, inputs);
        void *given[4] = {0};
        given[inputs - 1] = x;
        float *y = tg_program_call(&e.program, given[0], given[1], given[2], given[3]);
        CHECK(y && tg_program_status(NULL) == TG_OK);
        for (int i = 0; y && i < N; i++) CHECK(y[i] == -x[i]);
        tg_free(y);
    }
    tg_memory before, after;
    tg_memory_stats(&before);
    make_call(&e, 1);
    e.gate = TG_CLOSED;
    CHECK(!tg_program_call(&e.program, x, NULL, NULL, NULL) && tg_program_status(NULL) == TG_BUSY);
    e.gate = TG_OPEN;
    CHECK(!tg_program_call(&e.program, NULL, NULL, NULL, NULL));
    CHECK(tg_program_status(&failed) == TG_BAD_ARGUMENT && failed == 0);
    e.program.result_bytes = INT64_MAX;
    CHECK(!tg_program_call(&e.program, x, NULL, NULL, NULL));
    CHECK(tg_program_status(&failed) == TG_NO_MEMORY && failed == -1);
    make_call(&e, 5);
    CHECK(!tg_program_call(&e.program, x, x, x, x) && tg_program_status(NULL) == TG_BAD_ARGUMENT);
    e.program.slot_count = 0;
    CHECK(!tg_program_call(&e.program, x, x, x, x) && tg_program_status(NULL) == TG_BAD_ARGUMENT);
    CHECK(!tg_program_call(NULL, x, x, x, x) && tg_program_status(NULL) == TG_BAD_ARGUMENT);
    tg_memory_stats(&after);
    CHECK(before.bytes_in_use == after.bytes_in_use);
}

/* Threads that try the same program: each run adds 1 to a number, and none is lost. */
enum { CALLERS = 4, CALLS = 2000 };

static void *call_often(void *ctx) {
    const tg_program *p = ctx;
    for (int done = 0; done < CALLS;) {
        const int status = tg_program_try(p, NULL);
        if (status == TG_OK)
            done++;
        else if (status == TG_BUSY)
            sched_yield();
        else
            return p->gate;
    }
    return NULL;
}

static void callers(void) {
    call_example e;
    double sum = 0, unit = 1;
    make_call(&e, 1);
    const int64_t words[WORDS] = {TG_BINARY_add,           TG_F64, 1, (int64_t)(intptr_t)&sum, (int64_t)(intptr_t)&unit,
                                  (int64_t)(intptr_t)&sum, 0};
    memcpy(e.words, words, sizeof words);
    e.function = number_of("tg_binary");
    e.program.patches = 0;
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) CHECK(pthread_create(&threads[i], NULL, call_often, &e.program) == 0);
    for (int i = 0; i < CALLERS; i++) {
        void *failed;
        CHECK(pthread_join(threads[i], &failed) == 0 && !failed);
    }
    CHECK_THAT(sum == CALLERS * CALLS, "%.0f of %d runs", sum, CALLERS * CALLS);
}

void test_program(void) {
    const int before = tg_get_num_threads();
    gates();
    calls();
    callers();
    same_bits();
    failures();
    refusals();
    tg_set_num_threads(before);
}
