/* Entry points that gather and scatter along an axis with an index for every element (moving lines by one index: move.c). */
#include <stdatomic.h>

#include "../kernels/table.h"

enum {
    GATHER_ELEMENTS = 1 << 14, /* per thread at least */
    SCATTER_COLUMNS = 16       /* of a piece at least, so that threads share no cache line */
};

typedef struct {
    int64_t length, inner, count;
    const int64_t *index; /* (outer, count, inner) in [-length, length) */
    const void *src;
    void *dst;
    int itemsize;
    atomic_int bad; /* set when an index is out of range */
} along_call;

/* The place that an index means, or -1. */
static inline int64_t place_of(int64_t index, int64_t length) {
    const int64_t place = index + (index < 0 ? length : 0);
    return place < length ? place : -1; /* below -length it is negative already */
}

typedef struct {
    uint64_t half[2];
} item16;

/* Elements [begin, end) of dst. Where inner is 1 a stretch is all of an outer's elements, else a line. Returns 0 if an index is out
 * of range. */
#define TG_GATHER(type, suffix)                                                                          \
    static int gather_##suffix(const along_call *c, int64_t begin, int64_t end) {                        \
        const int64_t inner = c->inner, step = inner != 1;                                               \
        type *dst = c->dst;                                                                              \
        while (begin < end) {                                                                            \
            const int64_t line = begin / inner, o = line / c->count;                                     \
            const int64_t next = step ? (line + 1) * inner : (o + 1) * c->count;                         \
            const int64_t stop = next < end ? next : end;                                                \
            const type *src = (const type *)c->src + o * c->length * inner + (step ? begin % inner : 0); \
            for (; begin < stop; begin++, src += step) {                                                 \
                const int64_t place = place_of(c->index[begin], c->length);                              \
                if (place < 0) return 0;                                                                 \
                dst[begin] = src[place * inner];                                                         \
            }                                                                                            \
        }                                                                                                \
        return 1;                                                                                        \
    }

TG_GATHER(uint8_t, 1)
TG_GATHER(uint16_t, 2)
TG_GATHER(uint32_t, 4)
TG_GATHER(uint64_t, 8)
TG_GATHER(item16, 16)

static void gather_range(void *ctx, int64_t begin, int64_t end) {
    along_call *c = ctx;
    int good;
    switch (c->itemsize) {
    case 1: good = gather_1(c, begin, end); break;
    case 2: good = gather_2(c, begin, end); break;
    case 4: good = gather_4(c, begin, end); break;
    case 8: good = gather_8(c, begin, end); break;
    default: good = gather_16(c, begin, end); break;
    }
    if (!good) atomic_store_explicit(&c->bad, 1, memory_order_relaxed);
}

/* Columns [begin, end) of the outer * inner that are independent of each other: no two write to one place. */
#define TG_SCATTER_ADD(type, suffix)                                                       \
    static int scatter_add_##suffix(const along_call *c, int64_t begin, int64_t end) {     \
        const int64_t inner = c->inner;                                                    \
        while (begin < end) {                                                              \
            const int64_t o = begin / inner, from = begin % inner;                         \
            const int64_t width = inner - from < end - begin ? inner - from : end - begin; \
            type *gx = (type *)c->dst + o * c->length * inner + from;                      \
            for (int64_t i = 0; i < c->count; i++) {                                       \
                const int64_t line = (o * c->count + i) * inner + from;                    \
                for (int64_t j = 0; j < width; j++) {                                      \
                    const int64_t place = place_of(c->index[line + j], c->length);         \
                    if (place < 0) return 0;                                               \
                    gx[place * inner + j] += ((const type *)c->src)[line + j];             \
                }                                                                          \
            }                                                                              \
            begin += width;                                                                \
        }                                                                                  \
        return 1;                                                                          \
    }

TG_SCATTER_ADD(float, f32)
TG_SCATTER_ADD(double, f64)

static void scatter_add_range(void *ctx, int64_t begin, int64_t end) {
    along_call *c = ctx;
    const int good = c->itemsize == 4 ? scatter_add_f32(c, begin, end) : scatter_add_f64(c, begin, end);
    if (!good) atomic_store_explicit(&c->bad, 1, memory_order_relaxed);
}

/* What both check; *elements is the index's. */
static int check_along(const along_call *c, int64_t outer, int64_t *elements) {
    int64_t columns, whole;
    if (tg_mul_overflows(outer, c->inner, &columns) || tg_mul_overflows(columns, c->count, elements) ||
        tg_mul_overflows(*elements, 16, &whole) || tg_mul_overflows(columns, c->length, &whole) ||
        tg_mul_overflows(whole, c->itemsize, &whole))
        return TG_BAD_SIZE;
    if (*elements == 0) return TG_OK;
    if (!c->index) return TG_BAD_ARGUMENT;
    if (c->length == 0) return TG_BAD_INDEX;
    return c->src && c->dst ? TG_OK : TG_BAD_ARGUMENT;
}

int tg_gather(int itemsize, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
              const void *src, void *dst) {
    along_call call = {length, inner, count, index, src, dst, itemsize, 0};
    int64_t elements;
    if (itemsize != 1 && itemsize != 2 && itemsize != 4 && itemsize != 8 && itemsize != 16) return TG_BAD_ARGUMENT;
    const int status = check_along(&call, outer, &elements);
    if (status != TG_OK || elements == 0) return status;
    tg_parallel_for(elements, GATHER_ELEMENTS, gather_range, &call);
    return atomic_load(&call.bad) ? TG_BAD_INDEX : TG_OK;
}

int tg_scatter_add(int dtype, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
                   const void *gy, void *gx) {
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    along_call call = {length, inner, count, index, gy, gx, (int)tg_itemsize(dtype), 0};
    int64_t elements;
    const int status = check_along(&call, outer, &elements);
    if (status != TG_OK || elements == 0) return status;
    const int64_t grain = GATHER_ELEMENTS / count;
    tg_parallel_for(outer * inner, grain < SCATTER_COLUMNS ? SCATTER_COLUMNS : grain, scatter_add_range, &call);
    return atomic_load(&call.bad) ? TG_BAD_INDEX : TG_OK;
}
