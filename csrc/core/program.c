/* program.c: replays recorded calls. What they do, and in what memory, was decided before (tensorgrad/compiler); a step costs an
 * indirect call and the loads of its arguments. */
#define _GNU_SOURCE
#include "program.h"

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

static int check(const tg_program *p, void *const *addresses) {
    if (!p || p->steps < 0 || p->patches < 0 || p->slot_count < 0) return TG_BAD_ARGUMENT;
    if (p->steps > 0 && (!p->functions || !p->begins || !p->words)) return TG_BAD_ARGUMENT;
    if (p->patches > 0 && (!p->places || !p->slots || !p->offsets || !addresses)) return TG_BAD_ARGUMENT;
    return TG_OK;
}

static void patch(const tg_program *p, void *const *addresses) {
    for (int64_t i = 0; i < p->patches; i++)
        p->words[p->places[i]] = (int64_t)(intptr_t)addresses[p->slots[i]] + p->offsets[i];
}

int tg_program_run(const tg_program *p, int64_t times, void *const *addresses, int64_t *failed, int64_t *done) {
    int status = check(p, addresses);
    if (status != TG_OK || !failed || !done) return TG_BAD_ARGUMENT;
    for (*done = 0; *done < times; ++*done) {
        patch(p, addresses + *done * p->slot_count);
        for (int64_t i = 0; i < p->steps; i++) {
            status = tg_functions[p->functions[i]].run(p->words + p->begins[i]);
            if (status != TG_OK) {
                *failed = i;
                return status;
            }
        }
    }
    return TG_OK;
}

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
        status = tg_functions[p->functions[i]].run(p->words + p->begins[i]);
        seconds[i] = now() - before;
        if (status != TG_OK) {
            *failed = i;
            return status;
        }
    }
    return TG_OK;
}
