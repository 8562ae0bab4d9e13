/* program.c: replays recorded calls. What they do, and in what memory, was decided before (tensorgrad/compiler); a step costs an
 * indirect call and the loads of its arguments. */
#define _GNU_SOURCE
#include "program.h"

#include <sched.h>
#include <stdbool.h>
#include <time.h>

const char *tg_function_name(int function) {
    return function >= 0 && function < tg_function_count ? tg_functions[function].name : NULL;
}

int tg_function_words(int function) {
    return function >= 0 && function < tg_function_count ? tg_functions[function].words : -1;
}

int tg_call_back(void *function, int64_t id) {
    return function ? ((int (*)(int64_t))(uintptr_t)function)(id) : TG_BAD_ARGUMENT;
}

int tg_call_foreign(void *function, int has_status, const int64_t *i, const double *r) {
    typedef int (*any)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double, double, double, double, double,
                       double, double, double);
    if (!function || !i || !r) return TG_BAD_ARGUMENT;
    const int status =
        ((any)(uintptr_t)function)(i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12],
                                   i[13], i[14], i[15], r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]);
    return has_status ? status : TG_OK;
}

static int is_group(const tg_group *g, int64_t begin, int64_t steps) {
    if (g->first < begin || g->lanes < 1 || g->lanes > TG_MOST_LANES || !g->ends || !g->work) return 0;
    int64_t end = g->first, work = 0;
    for (int64_t i = 0; i < g->lanes; end = g->ends[i++])
        if (g->ends[i] <= end || g->work[i] < 1 || __builtin_add_overflow(work, g->work[i], &work)) return 0;
    return end <= steps;
}

static int check(const tg_program *p, void *const *addresses) {
    if (!p || p->steps < 0 || p->patches < 0 || p->slot_count < 0 || p->group_count < 0) return TG_BAD_ARGUMENT;
    if (p->group_count > 0 && !p->groups) return TG_BAD_ARGUMENT;
    int64_t begin = 0;
    for (int64_t i = 0; i < p->group_count; i++) {
        const tg_group *g = &p->groups[i];
        if (!is_group(g, begin, p->steps)) return TG_BAD_ARGUMENT;
        begin = g->ends[g->lanes - 1];
    }
    if (p->steps > 0 && (!p->functions || !p->begins || !p->words)) return TG_BAD_ARGUMENT;
    if (p->patches > 0 && (!p->places || !p->slots || !p->offsets || !addresses)) return TG_BAD_ARGUMENT;
    return TG_OK;
}

static void patch(const tg_program *p, void *const *addresses) {
    for (int64_t i = 0; i < p->patches; i++)
        p->words[p->places[i]] = (int64_t)(intptr_t)addresses[p->slots[i]] + p->offsets[i];
}

static int run_step(const tg_program *p, int64_t i) {
    return tg_functions[p->functions[i]].run(p->words + p->begins[i]);
}

/* Runs the steps [begin, end); *failed: the one whose status is returned, if it is not TG_OK. */
static int run_steps(const tg_program *p, int64_t begin, int64_t end, int64_t *failed) {
    for (int64_t i = begin; i < end; i++) {
        const int status = run_step(p, i);
        if (status != TG_OK) {
            *failed = i;
            return status;
        }
    }
    return TG_OK;
}

/* ---- side by side ------------------------------------------------------------------------------------------------- */

typedef struct {
    const tg_program *program;
    const tg_group *group;
    int status[TG_MOST_LANES];
    int64_t failed[TG_MOST_LANES];
} group_call;

/* Lanes lie one after another on a line, each as long as its work: here run those whose middle is in [begin, end). What a
 * kernel would share among threads runs on this one, as the pool is taken. */
static void run_lanes(void *ctx, int64_t begin, int64_t end) {
    group_call *c = ctx;
    const tg_group *g = c->group;
    int64_t at = 0;
    for (int64_t i = 0; i < g->lanes; at += g->work[i++]) {
        const int64_t middle = at + g->work[i] / 2;
        if (middle < begin || middle >= end) continue;
        const int64_t first = i == 0 ? g->first : g->ends[i - 1];
        c->status[i] = run_steps(c->program, first, g->ends[i], &c->failed[i]);
    }
}

static int run_group(const tg_program *p, const tg_group *g, int64_t *failed) {
    group_call call = {.program = p, .group = g};
    int64_t work = 0;
    for (int64_t i = 0; i < g->lanes; i++) work += g->work[i];
    tg_parallel_for(work, 1, run_lanes, &call);
    for (int64_t i = 0; i < g->lanes; i++) {
        if (call.status[i] == TG_OK) continue;
        *failed = call.failed[i]; /* the first, as if they had run one after another */
        return call.status[i];
    }
    return TG_OK;
}

static int run_once(const tg_program *p, int64_t *failed) {
    const int threads = p->group_count > 0 ? tg_get_num_threads() : 1;
    int64_t at = 0;
    for (int64_t i = 0; threads > 1 && i < p->group_count; i++) {
        const tg_group *g = &p->groups[i];
        if (threads > g->threads) continue;
        int status = run_steps(p, at, g->first, failed);
        if (status == TG_OK) status = run_group(p, g, failed);
        if (status != TG_OK) return status;
        at = g->ends[g->lanes - 1];
    }
    return run_steps(p, at, p->steps, failed);
}

/* ---- entry points ------------------------------------------------------------------------------------------------- */

int tg_program_run(const tg_program *p, int64_t times, void *const *addresses, int64_t *failed, int64_t *done) {
    int status = check(p, addresses);
    if (status != TG_OK || !failed || !done) return TG_BAD_ARGUMENT;
    for (*done = 0; *done < times; ++*done) {
        patch(p, addresses + *done * p->slot_count);
        status = run_once(p, failed);
        if (status != TG_OK) return status;
    }
    return TG_OK;
}

/* ---- one run, if nobody else is there ------------------------------------------------------------------------------- */

enum { TRIES = 100 }; /* before a thread sleeps between looks at a gate */
static const struct timespec a_while = {.tv_nsec = 50000};

static _Thread_local struct {
    int status;
    int64_t failed;
} last;

static int ended(int status, int64_t failed) {
    last.status = status;
    last.failed = failed;
    return status;
}

static bool change(int32_t *gate, int32_t from, int32_t to) {
    return __atomic_compare_exchange_n(gate, &from, to, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void tg_gate_close(int32_t *gate) {
    if (!gate) return;
    for (int tries = 0; __atomic_load_n(gate, __ATOMIC_ACQUIRE) != TG_CLOSED && !change(gate, TG_OPEN, TG_CLOSED);
         tries++)
        if (tries < TRIES)
            sched_yield();
        else
            nanosleep(&a_while, NULL);
}

int tg_program_try(const tg_program *p, void *const *addresses) {
    int64_t failed = -1;
    int status = check(p, addresses);
    if (status != TG_OK || !p->gate) return ended(TG_BAD_ARGUMENT, failed);
    if (!change(p->gate, TG_OPEN, TG_RUNS)) return ended(TG_BUSY, failed);
    patch(p, addresses);
    status = run_once(p, &failed);
    __atomic_store_n(p->gate, TG_OPEN, __ATOMIC_RELEASE);
    return ended(status, failed);
}

void *tg_program_call(const tg_program *p, void *a, void *b, void *c, void *d) {
    enum { MOST_INPUTS = 4 };
    void *addresses[MOST_INPUTS + 1] = {a, b, c, d};
    if (!p || p->slot_count < 1 || p->slot_count > MOST_INPUTS + 1) {
        ended(TG_BAD_ARGUMENT, -1);
        return NULL;
    }
    void *result = addresses[p->slot_count - 1] = tg_alloc(p->result_bytes);
    if (!result) {
        ended(TG_NO_MEMORY, -1);
        return NULL;
    }
    if (tg_program_try(p, addresses) == TG_OK) return result;
    tg_free(result);
    return NULL;
}

int tg_program_status(int64_t *failed) {
    if (failed) *failed = last.failed;
    return last.status;
}

/* ---- times ---------------------------------------------------------------------------------------------------------- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int tg_program_time(const tg_program *p, void *const *addresses, double *seconds, int64_t *failed) {
    int status = check(p, addresses);
    if (status != TG_OK || !seconds || !failed) return TG_BAD_ARGUMENT;
    patch(p, addresses);
    for (int64_t i = 0; i < p->steps; i++) {
        const double before = now();
        status = run_step(p, i);
        seconds[i] = now() - before;
        if (status != TG_OK) {
            *failed = i;
            return status;
        }
    }
    return TG_OK;
}
