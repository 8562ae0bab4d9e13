/* sort.c: sorting along rows, and the first k of the order. No vector code: the work is moving keys about.
 *
 * An element becomes an unsigned integer in the same order (for a float: all bits turned over if it is negative, else the sign
 * bit), or in the opposite order for descending sorts. Where positions are asked for, the key has the position in its low half.
 * A NaN is greater than all numbers; with positions, -0 and 0 are equal, as comparisons have it.
 */
#include <stdatomic.h>
#include <string.h>

#include "../kernels/table.h"

enum {
    RUN = 12,           /* keys that are sorted by insertion */
    MERGE_PER_BYTE = 8, /* keys up to which merging is faster than digits, per byte of a key */
    DIGIT = 8,
    BUCKETS = 1 << DIGIT,
    THREAD_ELEMENTS = 1 << 11, /* a thread's share at least: below this a second one costs more than it brings */
    SPARE_KEYS = 24            /* what the buffer of a selection holds beyond 2 k keys */
};
__extension__ typedef unsigned __int128 u128;

#define KEY uint32_t
#define NAME(x) x##_u32
#include "sort_keys.h"
#define KEY uint64_t
#define NAME(x) x##_u64
#include "sort_keys.h"
#define KEY u128
#define NAME(x) x##_u128
#include "sort_keys.h"

/* ---- elements to keys and back ---------------------------------------------------------------------------------- */

static const uint32_t sign32 = UINT32_C(1) << 31;
static const uint64_t sign64 = UINT64_C(1) << 63;

static inline uint32_t key32(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    const uint32_t key = bits ^ (bits & sign32 ? UINT32_MAX : sign32);
    return v != v ? UINT32_MAX : key;
}
static inline float element32(uint32_t key) {
    const uint32_t bits = key ^ (key & sign32 ? sign32 : UINT32_MAX);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
static inline uint64_t key64(int dtype, const void *x, int64_t i) {
    if (dtype == TG_I64) return (uint64_t)((const int64_t *)x)[i] ^ sign64;
    const double v = ((const double *)x)[i];
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    const uint64_t key = bits ^ (bits & sign64 ? UINT64_MAX : sign64);
    return v != v ? UINT64_MAX : key;
}
static inline void set_element64(int dtype, void *y, int64_t i, uint64_t key) {
    const uint64_t bits = key ^ (dtype == TG_I64 || key & sign64 ? sign64 : UINT64_MAX);
    memcpy((char *)y + i * 8, &bits, sizeof bits);
}

/* With the position: adding 0 makes +0 of -0. turn: all ones to sort descending, else 0 */
static inline uint64_t placed32(const float *x, int64_t i, uint32_t turn) {
    return (uint64_t)(key32(x[i] + 0.0F) ^ turn) << 32 | (uint64_t)i;
}
static inline u128 placed64(int dtype, const void *x, int64_t i, uint64_t turn) {
    uint64_t key = key64(dtype, x, i);
    if (dtype == TG_F64 && key == ~sign64) key = sign64; /* -0 */
    return (u128)(key ^ turn) << 64 | (u128)i;
}

/* ---- sort ------------------------------------------------------------------------------------------------------- */

typedef struct {
    int dtype, descending;
    int64_t n, k, itemsize;
    const char *x;
    char *values;
    int64_t *positions;
    atomic_int status;
} sort_call;

/* Two buffers of `count` keys and the digit counts, of this thread. */
static int buffers(sort_call *c, int64_t count, size_t key_bytes, void **a, void **b, uint32_t (**counts)[BUCKETS]) {
    const size_t bytes = (size_t)count * key_bytes;
    *a = tg_scratch(0, bytes);
    *b = tg_scratch(1, bytes);
    *counts = tg_scratch(2, sizeof(uint32_t) * BUCKETS * 16);
    if (*a && *b && *counts) return 1;
    atomic_store(&c->status, TG_NO_MEMORY);
    return 0;
}

/* x, values: (n) */
static void sort_values(const sort_call *c, const char *xp, char *yp, void *a, void *b, uint32_t (*counts)[BUCKETS]) {
    const int64_t n = c->n;
    if (c->dtype == TG_F32) {
        const float *x = (const float *)(const void *)xp;
        const uint32_t turn = c->descending ? UINT32_MAX : 0;
        for (int64_t i = 0; i < n; i++) ((uint32_t *)a)[i] = key32(x[i]) ^ turn;
        const uint32_t *s = sort_u32(n, a, b, 0, counts);
        for (int64_t i = 0; i < n; i++) ((float *)(void *)yp)[i] = element32(s[i] ^ turn);
    } else {
        const uint64_t turn = c->descending ? UINT64_MAX : 0;
        for (int64_t i = 0; i < n; i++) ((uint64_t *)a)[i] = key64(c->dtype, xp, i) ^ turn;
        const uint64_t *s = sort_u64(n, a, b, 0, counts);
        for (int64_t i = 0; i < n; i++) set_element64(c->dtype, yp, i, s[i] ^ turn);
    }
}

/* The positions and, if values is not NULL, the elements at them. x: (n), positions, values: (k) */
static void write_placed32(int64_t k, const uint64_t *s, const char *x, char *values, int64_t *positions) {
    for (int64_t i = 0; i < k; i++) {
        const int64_t at = (int64_t)(s[i] & UINT32_MAX);
        positions[i] = at;
        if (values) ((float *)(void *)values)[i] = ((const float *)(const void *)x)[at];
    }
}
static void write_placed64(int64_t k, const u128 *s, const char *x, char *values, int64_t *positions) {
    for (int64_t i = 0; i < k; i++) {
        const int64_t at = (int64_t)(uint64_t)s[i];
        positions[i] = at;
        if (values) memcpy(values + i * 8, x + at * 8, 8);
    }
}

static void sort_placed(const sort_call *c, const char *x, char *values, int64_t *positions, void *a, void *b,
                        uint32_t (*counts)[BUCKETS]) {
    if (c->dtype == TG_F32) {
        const uint32_t turn = c->descending ? UINT32_MAX : 0;
        for (int64_t i = 0; i < c->n; i++) ((uint64_t *)a)[i] = placed32((const float *)(const void *)x, i, turn);
        write_placed32(c->k, sort_u64(c->n, a, b, 32, counts), x, values, positions);
    } else {
        const uint64_t turn = c->descending ? UINT64_MAX : 0;
        for (int64_t i = 0; i < c->n; i++) ((u128 *)a)[i] = placed64(c->dtype, x, i, turn);
        write_placed64(c->k, sort_u128(c->n, a, b, 64, counts), x, values, positions);
    }
}

static void sort_range(void *ctx, int64_t begin, int64_t end) {
    sort_call *c = ctx;
    void *a, *b;
    uint32_t (*counts)[BUCKETS];
    const size_t key_bytes = (size_t)c->itemsize * (c->positions ? 2 : 1);
    if (!buffers(c, c->n, key_bytes, &a, &b, &counts)) return;
    for (int64_t r = begin; r < end; r++) {
        const int64_t in = r * c->n * c->itemsize, out = r * c->k;
        if (c->positions)
            sort_placed(c, c->x + in, c->values ? c->values + out * c->itemsize : NULL, c->positions + out, a, b,
                        counts);
        else
            sort_values(c, c->x + in, c->values + in, a, b, counts);
    }
}

/* ---- the first k ------------------------------------------------------------------------------------------------ */

/* Elements that come before the k-th of those seen so far are collected; a full buffer is sorted, and its first k stay. Each
 * sort follows on as many accepted elements as it sorts, but for a factor; of a random row few are accepted. */
static void select_range(void *ctx, int64_t begin, int64_t end) {
    sort_call *c = ctx;
    void *buffer_a, *buffer_b;
    uint32_t (*counts)[BUCKETS];
    const int64_t room = 2 * c->k + SPARE_KEYS, k = c->k;
    if (!buffers(c, room, (size_t)c->itemsize * 2, &buffer_a, &buffer_b, &counts)) return;
    for (int64_t r = begin; r < end; r++) {
        const char *x = c->x + r * c->n * c->itemsize;
        char *values = c->values + r * k * c->itemsize;
        int64_t *positions = c->positions + r * k, held = 0;
        if (c->dtype == TG_F32) {
            const uint32_t turn = c->descending ? UINT32_MAX : 0;
            uint64_t *a = buffer_a, *b = buffer_b, limit = UINT64_MAX;
            for (int64_t i = 0; i <= c->n; i++) {
                if (i == c->n || held == room) {
                    uint64_t *const s = sort_u64(held, a, b, 32, counts);
                    b = s == a ? b : a, a = s;
                    held = held < k ? held : k;
                    if (held == k) limit = a[k - 1];
                    if (i == c->n) break;
                }
                const uint64_t key = placed32((const float *)(const void *)x, i, turn);
                if (key < limit) a[held++] = key;
            }
            write_placed32(k, a, x, values, positions);
        } else {
            const uint64_t turn = c->descending ? UINT64_MAX : 0;
            u128 *a = buffer_a, *b = buffer_b, limit = ~(u128)0;
            for (int64_t i = 0; i <= c->n; i++) {
                if (i == c->n || held == room) {
                    u128 *const s = sort_u128(held, a, b, 64, counts);
                    b = s == a ? b : a, a = s;
                    held = held < k ? held : k;
                    if (held == k) limit = a[k - 1];
                    if (i == c->n) break;
                }
                const u128 key = placed64(c->dtype, x, i, turn);
                if (key < limit) a[held++] = key;
            }
            write_placed64(k, a, x, values, positions);
        }
    }
}

/* ---- entry points ----------------------------------------------------------------------------------------------- */

static int sort_run(sort_call *call, int64_t rows, tg_range_fn range) {
    if (call->dtype != TG_F32 && call->dtype != TG_F64 && call->dtype != TG_I64) return TG_BAD_ARGUMENT;
    int64_t elements, bytes;
    if (tg_mul_overflows(rows, call->n, &elements) || tg_mul_overflows(elements, 8, &bytes) || call->n > UINT32_MAX)
        return TG_BAD_SIZE;
    if (call->k < 0 || call->k > call->n) return TG_BAD_ARGUMENT;
    if (elements == 0 || call->k == 0) return TG_OK;
    if (!call->x || (!call->values && !call->positions)) return TG_BAD_ARGUMENT;
    call->itemsize = call->dtype == TG_F32 ? 4 : 8;
    atomic_init(&call->status, TG_OK);
    tg_parallel_for(rows, call->n < THREAD_ELEMENTS ? THREAD_ELEMENTS / call->n : 1, range, call);
    return atomic_load(&call->status);
}

int tg_sort(int dtype, int descending, int64_t rows, int64_t n, const void *x, void *values, int64_t *positions) {
    sort_call call = {.dtype = dtype, .descending = descending != 0, .n = n, .k = n, .x = x, .values = values};
    call.positions = positions;
    return sort_run(&call, rows, sort_range);
}

int tg_topk(int dtype, int largest, int64_t rows, int64_t n, int64_t k, const void *x, void *values,
            int64_t *positions) {
    if (!positions || !values) return k == 0 ? TG_OK : TG_BAD_ARGUMENT;
    sort_call call = {.dtype = dtype, .descending = largest != 0, .n = n, .k = k, .x = x, .values = values};
    call.positions = positions;
    return sort_run(&call, rows, k < n / 8 ? select_range : sort_range);
}
