/* threads.c: the thread pool. One call at a time owns it; each worker has a mailbox with one state word.
 *
 * A call cuts its work into a range per thread asked for, posts ranges to the workers' mailboxes, runs the first itself, takes
 * back those whose worker has not begun, and waits for the others. So a worker that is slow to wake (or whose CPU is taken)
 * delays no call, and no allocation or lock is on the way. Ranges are fixed before anything runs: which thread runs one changes
 * no result. No more threads run than there are CPUs, since whoever polls would keep the awaited one from running: where more
 * are asked for, each runs several ranges.
 *
 *     worker:  IDLE -> ASLEEP (after spinning), POSTED -> RUNNING, RUNNING or AWAITED -> IDLE
 *     caller:  IDLE or ASLEEP -> POSTED, POSTED -> IDLE (taken back), RUNNING -> AWAITED (before it sleeps)
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core.h"

/* What the one who wakes a sleeping worker needs to know of it. */
typedef struct {
#if defined(__linux__)
    pid_t thread;
    bool moved; /* it was sent away from the caller's CPU, and may then go back to any CPU of `allowed` */
    cpu_set_t allowed;
#else
    char none;
#endif
} thread_place;

enum {
    SPIN_NANOSECONDS = 1000000, /* how long a thread polls before it sleeps */
    /* From here on it lets others have the CPU between polls: a worker without work soon, for another process may have use for
     * it; a caller, whose worker may be on the other CPU and nearly done, late. */
    IDLE_PATIENCE = 2000,
    AWAIT_PATIENCE = 200000,
    STACK_BYTES = 1 << 20
};

enum { IDLE, ASLEEP, POSTED, RUNNING, AWAITED };

typedef struct {
    tg_range_fn fn;
    void *ctx;
    int64_t n, grain;
    int64_t share, rest; /* each range has `share` grains, the first `rest` of them one more */
    int ranges;
} job;

typedef struct {
    alignas(128) atomic_uint state; /* 128: CPUs fetch lines of 64 in pairs */
    const job *job;                 /* on the caller's stack */
    int first, last;                /* the ranges to run are first .. last - 1 */
    thread_place place;
} mailbox;

static mailbox workers[TG_MAX_THREADS - 1];
static atomic_bool busy;            /* held by the call that owns the pool, with all that follows */
static int started;                 /* workers that run */
static bool fork_handled;           /* pthread_atfork is done */
static atomic_bool creation_failed; /* no more threads to be had; asked again after tg_set_num_threads */
static atomic_int wanted;           /* ranges per call; 0 until first asked for */
static atomic_int cpus;             /* threads per call at most, the caller included */

/* ---- sleeping --------------------------------------------------------------------------------------------------- */

#if defined(__linux__)
/* Returns when *word != value, or for no reason. */
static void sleep_while(atomic_uint *word, unsigned value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }
static void reset_sleep(void) {}

/* A worker is often woken on the caller's CPU, where it waits for the caller, which waits for nobody: a burst of calls after a
 * pause would run on one CPU. So it is sent elsewhere first. */
static void before_sleep(thread_place *place) { place->thread = (pid_t)syscall(SYS_gettid); }
static void before_wake(thread_place *place) {
    const int here = sched_getcpu();
    if (here < 0 || sched_getaffinity(place->thread, sizeof place->allowed, &place->allowed) != 0) return;
    cpu_set_t others = place->allowed;
    CPU_CLR((size_t)here, &others);
    place->moved = CPU_COUNT(&others) > 0 && sched_setaffinity(place->thread, sizeof others, &others) == 0;
}
static void after_sleep(thread_place *place) {
    if (place->moved) sched_setaffinity(0, sizeof place->allowed, &place->allowed);
    place->moved = false;
}
#else
static pthread_mutex_t sleep_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_condition = PTHREAD_COND_INITIALIZER;

static void sleep_while(atomic_uint *word, unsigned value) {
    pthread_mutex_lock(&sleep_mutex);
    while (atomic_load(word) == value) pthread_cond_wait(&sleep_condition, &sleep_mutex);
    pthread_mutex_unlock(&sleep_mutex);
}
/* The word has changed already; taking the mutex means that a sleeper has either seen that or is in pthread_cond_wait. */
static void wake(atomic_uint *word) {
    (void)word;
    pthread_mutex_lock(&sleep_mutex);
    pthread_cond_broadcast(&sleep_condition);
    pthread_mutex_unlock(&sleep_mutex);
}
static void reset_sleep(void) {
    sleep_mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    sleep_condition = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
}
static void before_sleep(thread_place *place) { (void)place; }
static void before_wake(thread_place *place) { (void)place; }
static void after_sleep(thread_place *place) { (void)place; }
#endif

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Polls until *word != value: true; false when it is time to sleep. patience: nanoseconds until it yields. */
static bool spin_while(atomic_uint *word, unsigned value, int64_t patience) {
    const int64_t start = now_nanoseconds();
    for (;;) {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
            pause_cpu();
        }
        const int64_t elapsed = now_nanoseconds() - start;
        if (elapsed >= SPIN_NANOSECONDS) return false;
        if (elapsed >= patience) sched_yield();
    }
}

static bool change(atomic_uint *word, unsigned from, unsigned to) {
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acq_rel, memory_order_acquire);
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

static int64_t begin_of(const job *j, int range) {
    if (range == j->ranges) return j->n;
    return (j->share * range + (range < j->rest ? range : j->rest)) * j->grain;
}

static void run(const job *j, int first, int last) {
    for (int i = first; i < last; i++) j->fn(j->ctx, begin_of(j, i), begin_of(j, i + 1));
}

static void *work(void *argument) {
    mailbox *w = argument;
    for (;;) {
        if (!spin_while(&w->state, IDLE, IDLE_PATIENCE)) {
            before_sleep(&w->place);
            if (change(&w->state, IDLE, ASLEEP)) {
                while (atomic_load_explicit(&w->state, memory_order_acquire) == ASLEEP) sleep_while(&w->state, ASLEEP);
                after_sleep(&w->place);
            }
        }
        if (!change(&w->state, POSTED, RUNNING)) continue; /* taken back */
        run(w->job, w->first, w->last);
        if (atomic_exchange_explicit(&w->state, IDLE, memory_order_acq_rel) == AWAITED) wake(&w->state);
    }
    return NULL;
}

static void post(mailbox *w, const job *j, int first, int last) {
    w->job = j;
    w->first = first;
    w->last = last;
    /* as long as the state is ASLEEP, its place is the caller's */
    if (atomic_load_explicit(&w->state, memory_order_acquire) == ASLEEP) before_wake(&w->place);
    if (atomic_exchange_explicit(&w->state, POSTED, memory_order_acq_rel) == ASLEEP) wake(&w->state);
}

static void take_back(mailbox *w) {
    if (change(&w->state, POSTED, IDLE)) run(w->job, w->first, w->last);
}

static void await(mailbox *w) {
    if (spin_while(&w->state, RUNNING, AWAIT_PATIENCE)) return;
    change(&w->state, RUNNING, AWAITED);
    while (atomic_load_explicit(&w->state, memory_order_acquire) == AWAITED) sleep_while(&w->state, AWAITED);
}

/* In a forked child no worker lives and any state may have been copied half way: begin anew. */
static void forget_workers(void) {
    for (int i = 0; i < TG_MAX_THREADS - 1; i++) atomic_store(&workers[i].state, IDLE);
    started = 0;
    reset_sleep();
    atomic_store(&creation_failed, false);
    atomic_store(&busy, false);
}

/* Signals are the business of the program's own threads; those that a fault raises in the worker itself stay open, so that
 * a crash handler can report it. */
static void block_signals(sigset_t *previous) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, previous);
}

/* Starts workers until `count` run or no more can be had; returns how many run. The caller holds `busy`. */
static int start_workers(int count) {
    if (started >= count || atomic_load_explicit(&creation_failed, memory_order_relaxed)) return started;
    if (!fork_handled && pthread_atfork(NULL, NULL, forget_workers) != 0) return 0;
    fork_handled = true;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return started;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t previous;
    block_signals(&previous);
    while (started < count) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, work, &workers[started]) != 0) {
            atomic_store(&creation_failed, true);
            break;
        }
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* ---- entry points ----------------------------------------------------------------------------------------------- */

void tg_assume_cpus(int n) { atomic_store(&cpus, n); }

int tg_set_num_threads(int n) {
    if (n < 1 || n > TG_MAX_THREADS) return TG_BAD_ARGUMENT;
    if (atomic_load(&cpus) == 0) tg_assume_cpus(tg_default_num_threads());
    atomic_store(&creation_failed, false);
    atomic_store(&wanted, n);
    return TG_OK;
}

int tg_get_num_threads(void) {
    if (atomic_load_explicit(&wanted, memory_order_relaxed) == 0) tg_set_num_threads(tg_default_num_threads());
    return atomic_load_explicit(&wanted, memory_order_relaxed);
}

static int min_int(int a, int b) { return a < b ? a : b; }

void tg_parallel_for(int64_t n, int64_t grain, tg_range_fn fn, void *ctx) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    const int64_t units = n / grain + (n % grain != 0);
    const int asked = units > 1 ? tg_get_num_threads() : 1;
    /* A call from inside a range finds its own outer call in possession. */
    if (asked == 1 || atomic_load_explicit(&busy, memory_order_relaxed) ||
        atomic_exchange_explicit(&busy, true, memory_order_acquire)) {
        fn(ctx, 0, n);
        return;
    }
    const int ranges = units < asked ? (int)units : asked;
    const job j = {fn, ctx, n, grain, units / ranges, units % ranges, ranges};
    const int most = min_int(ranges, atomic_load_explicit(&cpus, memory_order_relaxed));
    const int threads = min_int(most, start_workers(most - 1) + 1);
    for (int i = 1; i < threads; i++) post(&workers[i - 1], &j, ranges * i / threads, ranges * (i + 1) / threads);
    run(&j, 0, ranges / threads);
    for (int i = 1; i < threads; i++) take_back(&workers[i - 1]);
    for (int i = 1; i < threads; i++) await(&workers[i - 1]);
    atomic_store_explicit(&busy, false, memory_order_release);
}
