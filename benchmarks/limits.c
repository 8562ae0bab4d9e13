/* limits.c: what the machine can do at best, for benchmarks/limits.py: multiply-adds in registers, and loads and stores over arrays.
 *
 * isa: 0 baseline, 1 AVX2 + FMA, 2 AVX-512 on x86-64; anything else is the compiler's default. Every function repeats its work on
 * `threads` threads at once and returns the seconds from the common start to the last one's end.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef float f32x4 __attribute__((vector_size(16), may_alias));
typedef float f32x8 __attribute__((vector_size(32), may_alias));
typedef float f32x16 __attribute__((vector_size(64), may_alias));
typedef double f64x2 __attribute__((vector_size(16), may_alias));
typedef double f64x4 __attribute__((vector_size(32), may_alias));
typedef double f64x8 __attribute__((vector_size(64), may_alias));

#if defined(__x86_64__)
#define BASELINE
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,fma")))
#define PIN(v) __asm__ volatile("" : "+v"(v))
#else
#define BASELINE
#define AVX2
#define AVX512
#define PIN(v) __asm__ volatile("" : "+w"(v))
#endif

enum { CHAINS = 12 }; /* independent accumulators: more than latency times ports, and they fit 16 registers */

/* rounds x CHAINS multiply-adds of one vector each */
#define FMA_LOOP(name, target, vec)                                                     \
    target static void name(int64_t rounds) {                                           \
        vec sums[CHAINS] = {{0}}, x = {0}, y = {0};                                     \
        PIN(x);                                                                         \
        PIN(y);                                                                         \
        for (int64_t r = 0; r < rounds; r++) {                                          \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sums[i] += x * y; \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) PIN(sums[i]);     \
        }                                                                               \
    }
FMA_LOOP(fma_f32_base, BASELINE, f32x4)
FMA_LOOP(fma_f64_base, BASELINE, f64x2)
#if defined(__x86_64__)
FMA_LOOP(fma_f32_avx2, AVX2, f32x8)
FMA_LOOP(fma_f64_avx2, AVX2, f64x4)
FMA_LOOP(fma_f32_avx512, AVX512, f32x16)
FMA_LOOP(fma_f64_avx512, AVX512, f64x8)
#endif

/* One pass over `n` vectors (n a multiple of 8): c = a, c = a + b, c += a, or the sum of a alone. */
#define STREAM_LOOPS(suffix, target, vec)                                                                           \
    target static void copy_##suffix(int64_t n, const vec *a, vec *c) {                                             \
        for (int64_t i = 0; i < n; i += 8) _Pragma("GCC unroll 8") for (int k = 0; k < 8; k++) c[i + k] = a[i + k]; \
    }                                                                                                               \
    target static void add_##suffix(int64_t n, const vec *a, const vec *b, vec *c) {                                \
        for (int64_t i = 0; i < n; i += 8)                                                                          \
            _Pragma("GCC unroll 8") for (int k = 0; k < 8; k++) c[i + k] = a[i + k] + b[i + k];                     \
    }                                                                                                               \
    target static void update_##suffix(int64_t n, const vec *a, vec *c) {                                           \
        for (int64_t i = 0; i < n; i++) c[i] += a[i];                                                               \
    }                                                                                                               \
    target static void read_##suffix(int64_t n, const vec *a) {                                                     \
        vec sums[8] = {{0}};                                                                                        \
        for (int64_t i = 0; i < n; i += 8) _Pragma("GCC unroll 8") for (int k = 0; k < 8; k++) sums[k] += a[i + k]; \
        _Pragma("GCC unroll 8") for (int k = 0; k < 8; k++) PIN(sums[k]);                                           \
    }
STREAM_LOOPS(base, BASELINE, f32x4)
#if defined(__x86_64__)
STREAM_LOOPS(avx2, AVX2, f32x8)
STREAM_LOOPS(avx512, AVX512, f32x16)
#include <immintrin.h>
/* The same past the caches: stores that do not read the line first. */
AVX2 static void copy_past(int64_t n, const f32x8 *a, f32x8 *c) {
    for (int64_t i = 0; i < n; i++) _mm256_stream_ps((float *)(c + i), (__m256)a[i]);
    _mm_sfence();
}
AVX2 static void add_past(int64_t n, const f32x8 *a, const f32x8 *b, f32x8 *c) {
    for (int64_t i = 0; i < n; i++) _mm256_stream_ps((float *)(c + i), (__m256)(a[i] + b[i]));
    _mm_sfence();
}
#endif

typedef struct {
    int kind, isa, past, number, threads; /* kind: 0 fma f32, 1 fma f64, 2 read, 3 copy, 4 add, 5 update */
    int64_t count;                        /* rounds, or bytes of each array */
    int64_t repeats;
    const char *a, *b;
    char *c;
    pthread_barrier_t *start;
    struct timespec begin, end;
} job;

static void run(const job *j, int64_t repeats) {
    for (int64_t r = 0; r < repeats; r++) {
        switch (j->kind * 4 + j->isa) {
        case 0: fma_f32_base(j->count); break;
        case 4: fma_f64_base(j->count); break;
        case 8: read_base(j->count / 16, (const f32x4 *)j->a); break;
        case 12: copy_base(j->count / 16, (const f32x4 *)j->a, (f32x4 *)j->c); break;
        case 20: update_base(j->count / 16, (const f32x4 *)j->a, (f32x4 *)j->c); break;
        case 16: add_base(j->count / 16, (const f32x4 *)j->a, (const f32x4 *)j->b, (f32x4 *)j->c); break;
#if defined(__x86_64__)
        case 1: fma_f32_avx2(j->count); break;
        case 2: fma_f32_avx512(j->count); break;
        case 5: fma_f64_avx2(j->count); break;
        case 6: fma_f64_avx512(j->count); break;
        case 9: read_avx2(j->count / 32, (const f32x8 *)j->a); break;
        case 10: read_avx512(j->count / 64, (const f32x16 *)j->a); break;
        case 21: update_avx2(j->count / 32, (const f32x8 *)j->a, (f32x8 *)j->c); break;
        case 22: update_avx512(j->count / 64, (const f32x16 *)j->a, (f32x16 *)j->c); break;
        case 13:
        case 14:
            if (j->past)
                copy_past(j->count / 32, (const f32x8 *)j->a, (f32x8 *)j->c);
            else if (j->isa == 2)
                copy_avx512(j->count / 64, (const f32x16 *)j->a, (f32x16 *)j->c);
            else
                copy_avx2(j->count / 32, (const f32x8 *)j->a, (f32x8 *)j->c);
            break;
        case 17:
        case 18:
            if (j->past)
                add_past(j->count / 32, (const f32x8 *)j->a, (const f32x8 *)j->b, (f32x8 *)j->c);
            else if (j->isa == 2)
                add_avx512(j->count / 64, (const f32x16 *)j->a, (const f32x16 *)j->b, (f32x16 *)j->c);
            else
                add_avx2(j->count / 32, (const f32x8 *)j->a, (const f32x8 *)j->b, (f32x8 *)j->c);
            break;
#endif
        }
        __asm__ volatile("" ::: "memory");
    }
}

/* To a CPU of its own: a new thread may begin on that of the first and share it for longer than a measurement takes. */
static void to_cpu(int t) {
#if defined(__linux__)
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    for (int cpu = 0, left = t; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || left-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)sched_setaffinity(0, sizeof one, &one);
        return;
    }
#endif
}

static void *run_at_once(void *argument) {
    job *j = argument;
    if (j->threads > 1) to_cpu(j->number);
    /* the data comes as near as it fits; and a CPU takes a while until it has power for wide multiply-adds */
    if (j->kind < 2 || j->repeats > 1) run(j, 1);
    pthread_barrier_wait(j->start);
    clock_gettime(CLOCK_MONOTONIC, &j->begin);
    run(j, j->repeats);
    clock_gettime(CLOCK_MONOTONIC, &j->end);
    return NULL;
}

static double seconds(struct timespec t) { return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec; }

/* a, b, c: (bytes), aligned to 64, or NULL where the kind does not use them; each thread takes an equal part of them, and `rounds`
 * whole. -1 if a thread cannot be had. */
double limit_run(int kind, int isa, int past, int threads, int64_t repeats, int64_t rounds, int64_t bytes,
                 const char *a, const char *b, char *c) {
    enum { MOST = 256 };
    static job jobs[MOST];
    pthread_t ids[MOST];
    pthread_barrier_t start;
    if (threads < 1 || threads > MOST || isa < 0 || isa > 2 || kind < 0 || kind > 5) return -1;
    if (pthread_barrier_init(&start, NULL, (unsigned)threads) != 0) return -1;
    const int64_t share = kind < 2 ? rounds : bytes / threads / 512 * 512;
    for (int t = 0; t < threads; t++) {
        const int64_t from = kind < 2 ? 0 : t * share;
        jobs[t] = (job){.kind = kind,
                        .number = t,
                        .threads = threads,
                        .isa = isa,
                        .past = past,
                        .count = share,
                        .repeats = repeats,
                        .a = a ? a + from : a,
                        .b = b ? b + from : b,
                        .c = c ? c + from : c,
                        .start = &start};
        if (t > 0 && pthread_create(&ids[t], NULL, run_at_once, &jobs[t]) != 0)
            exit(1); /* the others would wait for ever */
    }
#if defined(__linux__)
    cpu_set_t before;
    const int known = sched_getaffinity(0, sizeof before, &before) == 0;
#endif
    run_at_once(&jobs[0]);
#if defined(__linux__)
    if (known) (void)sched_setaffinity(0, sizeof before, &before);
#endif
    double begin = seconds(jobs[0].begin), end = seconds(jobs[0].end);
    for (int t = 1; t < threads; t++) {
        pthread_join(ids[t], NULL);
        if (seconds(jobs[t].begin) < begin) begin = seconds(jobs[t].begin);
        if (seconds(jobs[t].end) > end) end = seconds(jobs[t].end);
    }
    pthread_barrier_destroy(&start);
    return end - begin;
}

/* Multiply-adds of one round, each two floating-point operations. */
int64_t limit_fmas_per_round(int isa, int is_f64) {
    const int bytes = isa == 2 ? 64 : isa == 1 ? 32 : 16;
    return CHAINS * bytes / (is_f64 ? 8 : 4);
}
