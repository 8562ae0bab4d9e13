/* test_threads.c: the pool: every index once, nesting, several callers, fork, changes of the thread count. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"

enum { LONGEST = 1000, MANY_CPUS = 64 };

typedef struct {
    int64_t n, grain;
    atomic_int calls;
    unsigned char seen[LONGEST]; /* ranges are disjoint, so plain bytes do */
} coverage;

static void mark(void *ctx, int64_t begin, int64_t end) {
    coverage *c = ctx;
    atomic_fetch_add(&c->calls, 1);
    CHECK(begin < end && begin % c->grain == 0 && (end % c->grain == 0 || end == c->n));
    for (int64_t i = begin; i < end; i++) c->seen[i]++;
}

static void check_coverage(int64_t n, int64_t grain, int most_calls) {
    coverage c = {.n = n, .grain = grain};
    tg_parallel_for(n, grain, mark, &c);
    const int calls = atomic_load(&c.calls);
    CHECK_THAT(calls <= (n <= grain ? 1 : most_calls), "n %d grain %d: %d calls", (int)n, (int)grain, calls);
    for (int64_t i = 0; i < n; i++)
        CHECK_THAT(c.seen[i] == 1, "index %d of %d ran %d times", (int)i, (int)n, c.seen[i]);
}

static void ranges(void) {
    static const int threads[] = {1, 2, 3, 7, 64, 2};
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        CHECK(tg_set_num_threads(threads[t]) == TG_OK && tg_get_num_threads() == threads[t]);
        for (int64_t n = 0; n <= LONGEST; n += n < 40 ? 1 : 97)
            for (int64_t grain = 1; grain <= 64; grain *= 4) check_coverage(n, grain, threads[t]);
    }
    coverage c = {.n = 10, .grain = 10};
    tg_parallel_for(-5, 1, mark, &c); /* nothing to do */
    CHECK(atomic_load(&c.calls) == 0);
    tg_parallel_for(10, INT64_MAX, mark, &c);
    CHECK(atomic_load(&c.calls) == 1);
}

static void arguments(void) {
    const int before = tg_get_num_threads();
    CHECK(tg_set_num_threads(0) == TG_BAD_ARGUMENT && tg_set_num_threads(-1) == TG_BAD_ARGUMENT);
    CHECK(tg_set_num_threads(TG_MAX_THREADS + 1) == TG_BAD_ARGUMENT);
    CHECK(tg_get_num_threads() == before);
    CHECK(tg_default_num_threads() >= 1 && tg_default_num_threads() <= TG_MAX_THREADS);
}

/* A range far beyond memory: only its arithmetic is looked at. */
static void add_length(void *ctx, int64_t begin, int64_t end) { atomic_fetch_add((_Atomic int64_t *)ctx, end - begin); }

static void huge(void) {
    _Atomic int64_t total = 0;
    tg_parallel_for(INT64_MAX, 1, add_length, &total);
    CHECK(atomic_load(&total) == INT64_MAX);
    atomic_store(&total, 0);
    tg_parallel_for(INT64_MAX, INT64_C(1) << 40, add_length, &total);
    CHECK(atomic_load(&total) == INT64_MAX);
}

static void nest(void *ctx, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) tg_parallel_for(100, 1, add_length, ctx);
}

static void nested(void) {
    _Atomic int64_t total = 0;
    tg_parallel_for(50, 1, nest, &total);
    CHECK(atomic_load(&total) == 5000);
}

static void *call_often(void *argument) {
    (void)argument;
    for (int i = 0; i < 500; i++) check_coverage(1 + i % 200, 8, 4);
    return NULL;
}

static void several_callers(void) {
    pthread_t callers[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&callers[i], NULL, call_often, NULL) == 0);
    for (int i = 1; i <= 200; i++) tg_set_num_threads(1 + i % 4); /* at the same time */
    for (int i = 0; i < 4; i++) CHECK(pthread_join(callers[i], NULL) == 0);
}

static void in_child(void) {
    for (int i = 0; i < 100; i++) check_coverage(200, 8, 4);
}

static atomic_bool stop;

static void *call_until_stopped(void *argument) {
    (void)argument;
    while (!atomic_load(&stop)) check_coverage(200, 8, 4);
    return NULL;
}

static void forks(void) {
    if (test_emulated("threads of a forked child")) return;
    tg_set_num_threads(3);
    check_coverage(200, 8, 4);
    CHECK(test_in_child(in_child));
    atomic_store(&stop, false);
    pthread_t caller; /* is mostly inside the pool when the fork comes */
    CHECK(pthread_create(&caller, NULL, call_until_stopped, NULL) == 0);
    for (int i = 0; i < 20; i++) CHECK(test_in_child(in_child));
    atomic_store(&stop, true);
    CHECK(pthread_join(caller, NULL) == 0);
    check_coverage(200, 8, 4);
}

static pthread_t test_thread;
static atomic_int strangers; /* signals handled outside the test's own thread */

static void on_signal(int signal_number) {
    (void)signal_number;
    if (!pthread_equal(pthread_self(), test_thread)) atomic_fetch_add(&strangers, 1);
}

/* A signal to the process, while its own thread holds it back, stays pending: no worker takes it. */
static void signals(void) {
    test_thread = pthread_self();
    struct sigaction action = {.sa_handler = on_signal}, previous;
    sigset_t set, previous_set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigaction(SIGUSR1, &action, &previous) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, &previous_set) == 0);
    raise(SIGUSR1);
    for (int i = 0; i < 100; i++) check_coverage(200, 8, 4);
    CHECK(pthread_sigmask(SIG_SETMASK, &previous_set, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &previous, NULL) == 0);
    CHECK(atomic_load(&strangers) == 0);
}

/* Workers asleep for long wake up again, and idle ones use next to no CPU time. */
static void idling(void) {
    tg_set_num_threads(2);
    struct timespec pause = {.tv_nsec = 20000000}, before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (int i = 0; i < 10; i++) {
        check_coverage(200, 8, 4);
        nanosleep(&pause, NULL);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const double busy = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
    CHECK_THAT(busy < 0.1, "%.3f s of CPU time in 0.2 s of idling", busy);
}

static void *use_scratch(void *argument) {
    (void)argument;
    void *seen[TG_SCRATCH_SLOTS];
    for (int slot = 0; slot < TG_SCRATCH_SLOTS; slot++) {
        seen[slot] = tg_scratch(slot, 1000);
        CHECK(seen[slot] && (uintptr_t)seen[slot] % TG_ALIGNMENT == 0);
        if (seen[slot]) memset(seen[slot], slot, 1000);
    }
    for (int slot = 0; slot < TG_SCRATCH_SLOTS; slot++) {
        CHECK(tg_scratch(slot, 10) == seen[slot] && *(char *)seen[slot] == slot); /* not touched by the other slots */
        char *larger = tg_scratch(slot, 100000);
        CHECK(larger && (uintptr_t)larger % TG_ALIGNMENT == 0);
        if (larger) memset(larger, 0, 100000);
    }
    CHECK(tg_scratch(0, 0) != NULL);
    CHECK(tg_scratch(-1, 1) == NULL && tg_scratch(TG_SCRATCH_SLOTS, 1) == NULL);
    return NULL;
}

static void scratch(void) {
    use_scratch(NULL);
    pthread_t thread; /* its buffers go with it: the leak check of the address sanitizer looks */
    CHECK(pthread_create(&thread, NULL, use_scratch, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Where there are fewer CPUs than threads asked for, each runs several of the ranges, which are cut as ever. */
static void few_cpus(void) {
    static const int threads[] = {1, 2, 3, 7};
    for (int cpus = 1; cpus <= 3; cpus++) {
        tg_assume_cpus(cpus);
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            tg_set_num_threads(threads[t]);
            for (int64_t n = 0; n <= 40; n++) check_coverage(n, 4, threads[t]);
            coverage c = {.n = LONGEST, .grain = 1};
            tg_parallel_for(LONGEST, 1, mark, &c);
            CHECK(atomic_load(&c.calls) == threads[t]);
        }
    }
    tg_assume_cpus(MANY_CPUS);
}

void test_threads(void) {
    const int before = tg_get_num_threads();
    tg_assume_cpus(MANY_CPUS);
    arguments();
    ranges();
    huge();
    nested();
    several_callers();
    forks();
    signals();
    few_cpus();
    idling();
    scratch();
    tg_assume_cpus(tg_default_num_threads());
    CHECK(tg_set_num_threads(before) == TG_OK);
}
