/* test_memory.c: the allocator: alignment, reuse, statistics, limit, threads, fork, sizes that cannot be. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#if !defined(__APPLE__)
#include <sys/resource.h>
#endif

#include "harness.h"

static tg_memory now(void) {
    tg_memory m;
    tg_memory_stats(&m);
    return m;
}

static void sizes(void) {
    for (int64_t bytes = 0; bytes < INT64_C(40) << 20; bytes = bytes * 5 / 4 + 1) {
        const tg_memory before = now();
        unsigned char *p = tg_alloc(bytes);
        CHECK(p && (uintptr_t)p % TG_ALIGNMENT == 0);
        if (!p) continue;
        memset(p, 0xa5, (size_t)bytes);
        const int64_t rounded = now().bytes_in_use - before.bytes_in_use;
        CHECK_THAT(rounded >= bytes && rounded <= bytes + bytes / 4 + 64, "%lld bytes rounded to %lld",
                   (long long)bytes, (long long)rounded);
        tg_free(p);
        CHECK(now().bytes_in_use == before.bytes_in_use);
        void *again = tg_alloc(bytes);
        CHECK(again == p); /* the cache hands out what came last */
        tg_free(again);
    }
}

static void impossible_sizes(void) {
    const tg_memory before = now();
    CHECK(tg_alloc(-1) == NULL && tg_alloc(INT64_MIN) == NULL);
    CHECK(tg_alloc(INT64_MAX) == NULL && tg_alloc(INT64_MAX - 64) == NULL && tg_alloc((INT64_C(1) << 47) + 1) == NULL);
    tg_free(NULL);
    tg_memory_stats(NULL);
    CHECK(now().bytes_in_use == before.bytes_in_use && now().system_allocs == before.system_allocs);
}

static void statistics(void) {
    tg_memory_release();
    const tg_memory start = now();
    CHECK(start.bytes_cached == 0 && start.cache_limit > 0);
    void *a = tg_alloc(1000), *b = tg_alloc(100000);
    tg_memory m = now();
    CHECK(m.system_allocs == start.system_allocs + 2 && m.bytes_in_use >= start.bytes_in_use + 101000);
    CHECK(m.peak_in_use >= m.bytes_in_use);
    tg_free(a);
    tg_free(b);
    m = now();
    CHECK(m.bytes_in_use == start.bytes_in_use && m.bytes_cached >= 101000 && m.system_frees == start.system_frees);
    tg_memory_release();
    m = now();
    CHECK(m.bytes_cached == 0 && m.system_frees == start.system_frees + 2);
    CHECK(m.peak_in_use >= m.bytes_in_use + 101000); /* a peak stays */
}

static void limit(void) {
    tg_memory_release();
    const tg_memory start = now();
    CHECK(tg_memory_set_limit(-1) == TG_BAD_SIZE);
    CHECK(tg_memory_set_limit(1 << 20) == TG_OK && now().cache_limit == 1 << 20);
    void *blocks[64];
    for (int i = 0; i < 64; i++) CHECK((blocks[i] = tg_alloc(40000 + 1000 * i)) != NULL);
    for (int i = 0; i < 64; i++) {
        tg_free(blocks[i]);
        CHECK(now().bytes_cached <= 1 << 20);
    }
    CHECK(now().bytes_cached > 1 << 19); /* bounded, not emptied */
    void *larger = tg_alloc(2 << 20);    /* a block above the limit drives out no other */
    const int64_t cached = now().bytes_cached;
    tg_free(larger);
    CHECK(now().bytes_cached == cached);
    CHECK(tg_memory_set_limit(1000) == TG_OK && now().bytes_cached <= 1000);
    CHECK(tg_memory_set_limit(0) == TG_OK && now().bytes_cached == 0);
    tg_free(tg_alloc(100));
    CHECK(now().bytes_cached == 0);
    CHECK(now().bytes_in_use == start.bytes_in_use);
    CHECK(tg_memory_set_limit(start.cache_limit) == TG_OK);
}

enum { SHELF = 32 };
static _Atomic(unsigned char *) shelf[SHELF]; /* where the threads leave blocks for each other */

static void *barter(void *argument) {
    uint64_t state = (uint64_t)(uintptr_t)argument;
    for (int i = 0; i < 20000; i++) {
        const uint64_t draw = test_random(&state);
        const int64_t bytes = (int64_t)(draw % 5000) + 1;
        unsigned char *p = tg_alloc(bytes);
        CHECK(p != NULL);
        if (!p) continue;
        p[0] = 1;
        p[bytes - 1] = 2;
        tg_free(atomic_exchange(&shelf[(draw >> 32) % SHELF], p)); /* mostly another thread's */
        if (i % 1000 == 0) tg_memory_release();
    }
    return NULL;
}

static void several_threads(void) {
    const tg_memory start = now();
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, barter, (void *)(i + 1)) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < SHELF; i++) tg_free(atomic_exchange(&shelf[i], NULL));
    CHECK(now().bytes_in_use == start.bytes_in_use);
}

static void in_child(void) {
    for (int i = 0; i < 1000; i++) {
        unsigned char *p = tg_alloc(100 + i);
        CHECK(p != NULL);
        if (p) p[0] = 1;
        tg_free(p);
    }
}

static atomic_bool stop;

static void *alloc_until_stopped(void *argument) {
    (void)argument;
    while (!atomic_load(&stop)) tg_free(tg_alloc(500));
    return NULL;
}

static void forks(void) {
    atomic_store(&stop, false);
    pthread_t other; /* is mostly under the lock when the fork comes */
    CHECK(pthread_create(&other, NULL, alloc_until_stopped, NULL) == 0);
    for (int i = 0; i < 20; i++) CHECK(test_in_child(in_child));
    atomic_store(&stop, true);
    CHECK(pthread_join(other, NULL) == 0);
}

#if !defined(TEST_SANITIZED) && !defined(__APPLE__) /* a sanitizer needs the address space for itself */
static void address_space_full(void) {
    const int64_t gib = INT64_C(1) << 30;
    const struct rlimit room = {(rlim_t)(4 * gib), (rlim_t)(4 * gib)};
    CHECK(setrlimit(RLIMIT_AS, &room) == 0);
    CHECK(tg_memory_set_limit(8 * gib) == TG_OK);
    CHECK(tg_alloc(1024 * gib) == NULL);
    void *first = tg_alloc(2 * gib); /* address space only: nothing touches it */
    CHECK(first != NULL);
    tg_free(first);
    CHECK(now().bytes_cached >= 2 * gib);
    void *second = tg_alloc(3 * gib); /* fits only once the cache has given back the first */
    CHECK(second != NULL && now().bytes_cached == 0);
    tg_free(second);
}
#endif

static void out_of_memory(void) {
#if !defined(TEST_SANITIZED) && !defined(__APPLE__)
    if (test_emulated("a full address space")) return;
    tg_memory_release();
    CHECK(test_in_child(address_space_full));
#endif
}

void test_memory(void) {
    sizes();
    impossible_sizes();
    statistics();
    limit();
    several_threads();
    forks();
    out_of_memory();
    tg_memory_release();
}
