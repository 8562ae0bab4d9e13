/* bench_core.c: what the core costs. Medians; run it on an idle machine, more than once. */
#include <stdlib.h>
#include <time.h>

#include "../core/core.h"
#include <stdio.h>

enum { REPEATS = 300 };

static double microseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void wait_microseconds(double duration) {
    const double end = microseconds() + duration;
    while (microseconds() < end) {
    }
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void nothing(void *ctx, int64_t begin, int64_t end) { (void)ctx, (void)begin, (void)end; }

/* Work of a known length per index, in microseconds. */
static void compute(void *ctx, int64_t begin, int64_t end) {
    wait_microseconds(*(double *)ctx * (double)(end - begin));
}

/* Median and ninth decile of one call on two ranges, each `work` microseconds long, after an idle gap. */
static void fork_join(double gap, double work) {
    static double times[REPEATS];
    for (int i = -10; i < REPEATS; i++) {
        wait_microseconds(gap);
        const double begin = microseconds();
        if (work > 0)
            tg_parallel_for(2, 1, compute, &work);
        else
            tg_parallel_for(2, 1, nothing, NULL);
        if (i >= 0) times[i] = microseconds() - begin;
    }
    qsort(times, REPEATS, sizeof times[0], ascending);
    printf("%8.2f %8.2f", times[REPEATS / 2], times[REPEATS * 9 / 10]);
}

static double pair_nanoseconds(int64_t bytes) {
    enum { PAIRS = 20000, ROUNDS = 31 };
    double times[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        const double begin = microseconds();
        for (int i = 0; i < PAIRS; i++) {
            char *volatile p = tg_alloc(bytes);
            tg_free(p);
        }
        times[r] = (microseconds() - begin) * 1e3 / PAIRS;
    }
    qsort(times, ROUNDS, sizeof times[0], ascending);
    return times[ROUNDS / 2];
}

int main(void) {
    static const double gaps[] = {0, 2, 20, 200, 1000}, works[] = {0, 5, 100};
    tg_set_num_threads(2);
    printf("one call on two threads, microseconds: median and 90%%, by work per range\n%8s", "gap");
    for (int w = 0; w < 3; w++) printf("%14.0f us", works[w]);
    for (int g = 0; g < 5; g++) {
        printf("\n%8.0f", gaps[g]);
        for (int w = 0; w < 3; w++) fork_join(gaps[g], works[w]);
    }
    printf("\n\ntg_alloc + tg_free, nanoseconds per pair\n");
    for (int64_t bytes = 64; bytes <= 16 << 20; bytes *= 8)
        printf("%10lld bytes %8.1f\n", (long long)bytes, pair_nanoseconds(bytes));
    return 0;
}
