/* threads.c: the thread pool. One call at a time owns it; each worker has a mailbox with one state word.
 *
 * A call posts one range to each worker's mailbox, runs the first range itself, takes back every range whose worker has not
 * begun, and waits for the others. So a worker that is slow to wake (or whose CPU is taken) delays no call, and no allocation
 * or lock is on the way. Ranges are fixed before anything runs: which thread runs one changes no result.
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

enum {
    SPIN_NANOSECONDS = 1000000, /* how long a thread polls before it sleeps */
    YIELD_NANOSECONDS = 20000,  /* from here on it lets others have the CPU between polls */
    STACK_BYTES = 1 << 20
};

enum { IDLE, ASLEEP, POSTED, RUNNING, AWAITED };

typedef struct {
    alignas(128) atomic_uint state; /* 128: CPUs fetch lines of 64 in pairs */
    tg_range_fn fn;
    void *ctx;
    int64_t begin, end;
} mailbox;

static mailbox workers[TG_MAX_THREADS - 1];
static atomic_bool busy;            /* held by the call that owns the pool, with all that follows */
static int started;                 /* workers that run */
static bool fork_handled;           /* pthread_atfork is done */
static atomic_bool creation_failed; /* no more threads to be had; asked again after tg_set_num_threads */
static atomic_int wanted;           /* threads per call, the caller included; 0 until first asked for */
static atomic_int spin_nanoseconds;

/* ---- sleeping --------------------------------------------------------------------------------------------------- */

#if defined(__linux__)
/* Returns when *word != value, or for no reason. */
static void sleep_while(atomic_uint *word, unsigned value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }
static void reset_sleep(void) {}
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

/* Polls until *word != value: true; false when it is time to sleep. */
static bool spin_while(atomic_uint *word, unsigned value) {
    const int64_t limit = atomic_load_explicit(&spin_nanoseconds, memory_order_relaxed);
    if (limit == 0) return atomic_load_explicit(word, memory_order_acquire) != value;
    const int64_t start = now_nanoseconds();
    for (;;) {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
            pause_cpu();
        }
        const int64_t elapsed = now_nanoseconds() - start;
        if (elapsed >= limit) return false;
        if (elapsed >= YIELD_NANOSECONDS) sched_yield();
    }
}

static bool change(atomic_uint *word, unsigned from, unsigned to) {
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acq_rel, memory_order_acquire);
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

static void *work(void *argument) {
    mailbox *w = argument;
    for (;;) {
        if (!spin_while(&w->state, IDLE) && change(&w->state, IDLE, ASLEEP))
            while (atomic_load_explicit(&w->state, memory_order_acquire) == ASLEEP) sleep_while(&w->state, ASLEEP);
        if (!change(&w->state, POSTED, RUNNING)) continue; /* taken back */
        w->fn(w->ctx, w->begin, w->end);
        if (atomic_exchange_explicit(&w->state, IDLE, memory_order_acq_rel) == AWAITED) wake(&w->state);
    }
    return NULL;
}

static void post(mailbox *w, tg_range_fn fn, void *ctx, int64_t begin, int64_t end) {
    w->fn = fn;
    w->ctx = ctx;
    w->begin = begin;
    w->end = end;
    if (atomic_exchange_explicit(&w->state, POSTED, memory_order_acq_rel) == ASLEEP) wake(&w->state);
}

static void take_back(mailbox *w) {
    if (change(&w->state, POSTED, IDLE)) w->fn(w->ctx, w->begin, w->end);
}

static void await(mailbox *w) {
    if (spin_while(&w->state, RUNNING)) return;
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

int tg_set_num_threads(int n) {
    if (n < 1 || n > TG_MAX_THREADS) return TG_BAD_ARGUMENT;
    /* With more threads than CPUs, whoever polls keeps the awaited thread from running. */
    atomic_store(&spin_nanoseconds, n > tg_default_num_threads() ? 0 : SPIN_NANOSECONDS);
    atomic_store(&creation_failed, false);
    atomic_store(&wanted, n);
    return TG_OK;
}

int tg_get_num_threads(void) {
    if (atomic_load_explicit(&wanted, memory_order_relaxed) == 0) tg_set_num_threads(tg_default_num_threads());
    return atomic_load_explicit(&wanted, memory_order_relaxed);
}

void tg_parallel_for(int64_t n, int64_t grain, tg_range_fn fn, void *ctx) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    const int64_t units = n / grain + (n % grain != 0);
    const int threads = units > 1 ? tg_get_num_threads() : 1;
    /* A call from inside a range finds its own outer call in possession. */
    if (threads == 1 || atomic_load_explicit(&busy, memory_order_relaxed) ||
        atomic_exchange_explicit(&busy, true, memory_order_acquire)) {
        fn(ctx, 0, n);
        return;
    }
    const int helpers = start_workers((int)(units < threads ? units : threads) - 1);
    int parts = helpers + 1;
    if (parts > threads) parts = threads;
    if (parts > units) parts = (int)units;
    const int64_t share = units / parts, rest = units % parts; /* the first `rest` parts have one unit more */
    int64_t own_end = n;
    for (int i = 1; i < parts; i++) {
        const int64_t begin = (share * i + (i < rest ? i : rest)) * grain;
        const int64_t end = i == parts - 1 ? n : (share * (i + 1) + (i + 1 < rest ? i + 1 : rest)) * grain;
        if (i == 1) own_end = begin;
        post(&workers[i - 1], fn, ctx, begin, end);
    }
    fn(ctx, 0, own_end);
    for (int i = 1; i < parts; i++) take_back(&workers[i - 1]);
    for (int i = 1; i < parts; i++) await(&workers[i - 1]);
    atomic_store_explicit(&busy, false, memory_order_release);
}
