/* memory.c: the caching allocator. Freed blocks are kept in a free list per size class and handed out again, since a fresh
 * page costs more than most kernels spend on it. Every block is preceded by a header of one cache line, so that the lists do
 * not touch the data and tg_free needs only the pointer. One spin lock guards everything; it is never held over a call to
 * the system.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#endif
#if defined(POISONING) /* AddressSanitizer then sees reads and writes past the size asked for, and after tg_free */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

/* Size classes: 64, 128, 192, 256, then four per power of two (320, 384, 448, 512, 640, ...): at most a fifth of a block above
 * 256 bytes is unused. */
enum {
    SMALL_CLASSES = 4,
    SMALL_LOG2 = 8,
    LARGEST_LOG2 = 47, /* what an x86-64 process can address */
    CLASS_COUNT = SMALL_CLASSES + 4 * (LARGEST_LOG2 - SMALL_LOG2),
    MAPPED_BYTES = 4 << 20,    /* from here blocks are mapped, on huge pages where the system has them */
    HUGE_PAGE_BYTES = 2 << 20, /* x86-64's, and aarch64's with 4 KiB pages */
    HEADER_PAGE_BYTES = 65536  /* before a mapped block: a multiple of every page size in use */
};

typedef struct block {
    alignas(TG_ALIGNMENT) struct block *next; /* in its free list */
    int size_class;
} block; /* the data follows */

typedef struct {
    block *free;
    uint64_t last_use; /* value of `tick` when a block was last taken from or put into the list */
} size_class;

static atomic_flag lock = ATOMIC_FLAG_INIT;
static size_class classes[CLASS_COUNT];
static uint64_t tick;
static tg_memory stats = {.cache_limit = -1}; /* -1: not yet known */

static void acquire(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) sched_yield();
}
static void release(void) { atomic_flag_clear_explicit(&lock, memory_order_release); }

static int class_of(int64_t bytes) {
    const uint64_t last = bytes > 0 ? (uint64_t)bytes - 1 : 0;
    if (last < 1 << SMALL_LOG2) return (int)(last / 64);
    const int log2 = 63 - __builtin_clzll(last);
    return SMALL_CLASSES + 4 * (log2 - SMALL_LOG2) + (int)(last >> (log2 - 2) & 3);
}

static int64_t class_bytes(int c) {
    if (c < SMALL_CLASSES) return 64 * (c + 1);
    const int log2 = SMALL_LOG2 + (c - SMALL_CLASSES) / 4, quarter = (c - SMALL_CLASSES) % 4;
    return (INT64_C(5) + quarter) << (log2 - 2);
}

/* ---- the system ------------------------------------------------------------------------------------------------- */

/* The data begins on a huge page and the header just before it, so that a power of two bytes fills whole huge pages. */
static block *map_block(size_t bytes) {
    const size_t whole = HEADER_PAGE_BYTES + bytes + HUGE_PAGE_BYTES;
    char *base = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
    const uintptr_t data_at =
        ((uintptr_t)base + HEADER_PAGE_BYTES + HUGE_PAGE_BYTES - 1) & ~(uintptr_t)(HUGE_PAGE_BYTES - 1);
    char *data = base + (data_at - (uintptr_t)base);
    char *begin = data - HEADER_PAGE_BYTES, *end = data + bytes;
    if (begin > base) munmap(base, (size_t)(begin - base));
    if (end < base + whole) munmap(end, (size_t)(base + whole - end));
#if defined(MADV_HUGEPAGE)
    madvise(data, bytes, MADV_HUGEPAGE);
#endif
    return (block *)(void *)data - 1;
}

static block *system_alloc(int c) {
    const size_t bytes = (size_t)class_bytes(c);
    block *b = NULL;
    void *p;
    if (bytes >= MAPPED_BYTES)
        b = map_block(bytes);
    else if (posix_memalign(&p, TG_ALIGNMENT, sizeof(block) + bytes) == 0)
        b = p;
    if (b) b->size_class = c;
    return b;
}

static void system_free(block *b) {
    const size_t bytes = (size_t)class_bytes(b->size_class);
    ASAN_UNPOISON_MEMORY_REGION(b + 1, bytes);
    if (bytes >= MAPPED_BYTES)
        munmap((char *)(b + 1) - HEADER_PAGE_BYTES, HEADER_PAGE_BYTES + bytes);
    else
        free(b);
}

static void system_free_list(block *b) {
    while (b) {
        block *next = b->next;
        system_free(b);
        b = next;
    }
}

/* ---- the cache, all under the lock ------------------------------------------------------------------------------ */

/* Takes blocks out of the cache until at most `keep` bytes are in it, least recently used classes first; returns their list. */
static block *evict(int64_t keep) {
    block *evicted = NULL;
    while (stats.bytes_cached > keep) {
        size_class *oldest = NULL;
        for (size_class *c = classes; c < classes + CLASS_COUNT; c++)
            if (c->free && (!oldest || c->last_use < oldest->last_use)) oldest = c;
        while (oldest->free && stats.bytes_cached > keep) {
            block *b = oldest->free;
            oldest->free = b->next;
            stats.bytes_cached -= class_bytes(b->size_class);
            stats.system_frees++;
            b->next = evicted;
            evicted = b;
        }
    }
    return evicted;
}

static void count_out(int64_t bytes) {
    stats.bytes_in_use += bytes;
    if (stats.bytes_in_use > stats.peak_in_use) stats.peak_in_use = stats.bytes_in_use;
}

/* An eighth of the memory, 4 GiB at most: enough to hold what a training step frees, little enough to leave others alone. */
static void find_limit(void) {
    acquire();
    const bool known = stats.cache_limit >= 0;
    release();
    if (known) return;
    const int64_t eighth = tg_granted_memory() / 8, most = INT64_C(4) << 30;
    acquire();
    if (stats.cache_limit < 0) stats.cache_limit = eighth < most ? eighth : most;
    release();
}

/* The slow way to a block, without the lock. */
static block *fresh_block(int c) {
    block *b = system_alloc(c);
    if (!b) {
        tg_memory_release();
        if (!(b = system_alloc(c))) return NULL;
    }
    find_limit();
    acquire();
    stats.system_allocs++;
    count_out(class_bytes(c));
    release();
    return b;
}

/* ---- entry points ----------------------------------------------------------------------------------------------- */

void *tg_alloc(int64_t bytes) {
    if (bytes < 0 || bytes > INT64_C(1) << LARGEST_LOG2) return NULL;
    const int c = class_of(bytes);
    acquire();
    block *b = classes[c].free;
    if (b) {
        classes[c].free = b->next;
        classes[c].last_use = ++tick;
        stats.bytes_cached -= class_bytes(c);
        count_out(class_bytes(c));
    }
    release();
    if (!b && !(b = fresh_block(c))) return NULL;
    ASAN_UNPOISON_MEMORY_REGION(b + 1, (size_t)bytes);
    ASAN_POISON_MEMORY_REGION((char *)(b + 1) + bytes, (size_t)(class_bytes(c) - bytes));
    return b + 1;
}

void tg_free(void *data) {
    if (!data) return;
    block *b = (block *)data - 1, *evicted = NULL;
    const int c = b->size_class;
    const int64_t bytes = class_bytes(c);
    ASAN_POISON_MEMORY_REGION(data, (size_t)bytes);
    acquire();
    stats.bytes_in_use -= bytes;
    if (bytes > stats.cache_limit) {
        stats.system_frees++;
        b->next = NULL;
        evicted = b;
    } else {
        b->next = classes[c].free;
        classes[c].free = b;
        classes[c].last_use = ++tick;
        stats.bytes_cached += bytes;
        if (stats.bytes_cached > stats.cache_limit) evicted = evict(stats.cache_limit);
    }
    release();
    system_free_list(evicted);
}

int64_t tg_block_bytes(const void *data) { return data ? class_bytes(((const block *)data - 1)->size_class) : 0; }

void tg_memory_stats(tg_memory *out) {
    if (!out) return;
    find_limit();
    acquire();
    *out = stats;
    release();
}

void tg_memory_release(void) {
    acquire();
    block *evicted = evict(0);
    release();
    system_free_list(evicted);
}

int tg_memory_set_limit(int64_t bytes) {
    if (bytes < 0) return TG_BAD_SIZE;
    acquire();
    stats.cache_limit = bytes;
    block *evicted = evict(bytes);
    release();
    system_free_list(evicted);
    return TG_OK;
}

/* A child forked while another thread is in here would inherit a lock that nobody opens. */
__attribute__((constructor)) static void handle_fork(void) { (void)pthread_atfork(acquire, release, release); }
