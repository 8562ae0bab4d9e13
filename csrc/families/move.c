/* Entry points that move data: strided copies, gather along an axis and its gradient. */
#include <string.h>

#include "../kernels/table.h"
#include "streaming.h"

enum {
    MOVE_BYTES = 1 << 17, /* per thread at least */
    PIECE = 1 << 14,      /* bytes of a line that is cut */
    TILE = 64, /* elements, each way, of a transpose: whole cache lines on both sides, and both in the first cache */
    /* A transpose of more than this goes through a buffer, whose rows are then written: lines that lie a power of two apart, as
     * those of a tile in dst often do, would push each other out of the caches. */
    BUFFERED_BYTES = 1 << 20,
    STREAMED_LINE = 512, /* bytes: in shorter ones the ends, which are written to the caches, are too large a part */
    BUFFER_ROW = 2048,   /* bytes: of a row of dst */
    BUFFER_LINE = 128    /* bytes: of a row of src; CPUs fetch lines of 64 in pairs */
};

static int is_itemsize(int size) { return size == 1 || size == 2 || size == 4 || size == 8 || size == 16; }

/* Units of `bytes` each that make a thread's share worth while. */
static int64_t grain_of(int64_t bytes) { return bytes >= MOVE_BYTES ? 1 : MOVE_BYTES / (bytes > 0 ? bytes : 1); }

/* Copies n elements; the size is a constant in each call below, so that memcpy becomes one move. */
#define TG_COPY_LINE(size) \
    for (int64_t i = 0; i < n; i++) memcpy(dst + i * dst_step, src + i * src_step, size)

/* src_step, dst_step: in bytes */
static void copy_line(int itemsize, int64_t n, const char *src, int64_t src_step, char *dst, int64_t dst_step) {
    if (src_step == itemsize && dst_step == itemsize) {
        memcpy(dst, src, (size_t)(n * itemsize));
        return;
    }
    switch (itemsize) {
    case 1: TG_COPY_LINE(1); break;
    case 2: TG_COPY_LINE(2); break;
    case 4: TG_COPY_LINE(4); break;
    case 8: TG_COPY_LINE(8); break;
    default: TG_COPY_LINE(16); break;
    }
}

/* Past the caches but for the ends of the line, which may share their cache line with others. */
static void stream_line(int64_t bytes, const char *src, char *dst) {
    int64_t head = (int64_t)(-(uintptr_t)dst % TG_ALIGNMENT);
    if (head > bytes || (uintptr_t)(src + head) % 4 != 0) head = bytes; /* the kernel reads whole words */
    const int64_t words = (bytes - head) / 4, tail = head + 4 * words;
    memcpy(dst, src, (size_t)head);
    tg_active->move[TG_F32]->stream(words, src + head, dst + head);
    memcpy(dst + tail, src + tail, (size_t)(bytes - tail));
}

typedef struct {
    int itemsize;
    int ndim;
    int64_t shape[TG_MAX_DIMS], src_step[TG_MAX_DIMS], dst_step[TG_MAX_DIMS]; /* steps in bytes */
    const char *src;
    char *dst;
    int tiled; /* the dimension that is contiguous in src where the last is not: a transpose */
    int64_t tile_rows, tile_columns, row_blocks, column_blocks; /* rows: along the tiled dimension */
    int buffered, streaming;
    int64_t bytes; /* of one line, both ways */
} copy_call;

/* Pieces [begin, end) of one line. */
static void piece_range(void *ctx, int64_t begin, int64_t end) {
    const copy_call *c = ctx;
    const int64_t first = begin * PIECE, bytes = end * PIECE < c->bytes ? end * PIECE - first : c->bytes - first;
    if (c->streaming) {
        stream_line(bytes, c->src + first, c->dst + first);
        tg_stream_fence();
    } else {
        memcpy(c->dst + first, c->src + first, (size_t)bytes);
    }
}

/* Lines [begin, end): the dimensions before the last, counted in row-major order. */
static void copy_range(void *ctx, int64_t begin, int64_t end) {
    const copy_call *c = ctx;
    const int last = c->ndim - 1;
    int64_t index[TG_MAX_DIMS];
    const char *src = c->src;
    char *dst = c->dst;
    for (int64_t d = last - 1, rest = begin; d >= 0; d--) {
        index[d] = rest % c->shape[d];
        rest /= c->shape[d];
        src += index[d] * c->src_step[d];
        dst += index[d] * c->dst_step[d];
    }
    for (int64_t line = begin; line < end; line++) {
        if (c->streaming)
            stream_line(c->shape[last] * c->itemsize, src, dst);
        else
            copy_line(c->itemsize, c->shape[last], src, c->src_step[last], dst, c->dst_step[last]);
        for (int d = last - 1; d >= 0; d--) {
            src += c->src_step[d];
            dst += c->dst_step[d];
            if (++index[d] < c->shape[d]) break;
            index[d] = 0;
            src -= c->shape[d] * c->src_step[d];
            dst -= c->shape[d] * c->dst_step[d];
        }
    }
    if (c->streaming) tg_stream_fence();
}

/* Tiles [begin, end) of a transpose: (the dimensions other than the last and the tiled one, row blocks, column blocks). */
static void tile_range(void *ctx, int64_t begin, int64_t end) {
    const copy_call *c = ctx;
    const int last = c->ndim - 1, t = c->tiled;
    const tg_move_kernels *kernels = tg_active->move[c->itemsize == 4 ? TG_F32 : TG_F64];
    char buffer[BUFFER_ROW * BUFFER_LINE / 4] __attribute__((aligned(TG_ALIGNMENT)));
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t column = unit % c->column_blocks * c->tile_columns;
        const int64_t row = unit / c->column_blocks % c->row_blocks * c->tile_rows;
        const int64_t columns = c->shape[last] - column < c->tile_columns ? c->shape[last] - column : c->tile_columns;
        const int64_t rows = c->shape[t] - row < c->tile_rows ? c->shape[t] - row : c->tile_rows;
        const char *src = c->src + row * c->src_step[t] + column * c->src_step[last];
        char *dst = c->dst + row * c->dst_step[t] + column * c->dst_step[last];
        for (int64_t d = last - 1, rest = unit / c->column_blocks / c->row_blocks; d >= 0; d--) {
            if (d == t) continue;
            src += rest % c->shape[d] * c->src_step[d];
            dst += rest % c->shape[d] * c->dst_step[d];
            rest /= c->shape[d];
        }
        const int64_t src_step = c->src_step[last] / c->itemsize;
        if (!c->buffered) {
            kernels->transpose(columns, rows, src, src_step, dst, c->dst_step[t] / c->itemsize);
            continue;
        }
        kernels->transpose(columns, rows, src, src_step, buffer, c->tile_columns);
        for (int64_t r = 0; r < rows; r++) {
            if (c->streaming)
                stream_line(columns * c->itemsize, buffer + r * BUFFER_ROW, dst + r * c->dst_step[t]);
            else
                memcpy(dst + r * c->dst_step[t], buffer + r * BUFFER_ROW, (size_t)(columns * c->itemsize));
        }
    }
    if (c->streaming) tg_stream_fence();
}

/* Whether tiles serve this copy, of `bytes` in all; fills what tile_range needs. */
static int is_transpose(copy_call *c, int64_t bytes) {
    const int last = c->ndim - 1;
    if ((c->itemsize != 4 && c->itemsize != 8) || c->dst_step[last] != c->itemsize || c->src_step[last] == c->itemsize)
        return 0;
    for (c->tiled = last - 1; c->tiled >= 0; c->tiled--)
        if (c->src_step[c->tiled] == c->itemsize) break;
    if (c->tiled < 0) return 0;
    c->buffered = bytes >= BUFFERED_BYTES && c->shape[last] >= TILE;
    c->streaming = c->buffered && bytes >= TG_STREAM_BYTES && c->shape[last] * c->itemsize >= STREAMED_LINE;
    c->tile_rows = c->buffered ? BUFFER_LINE / c->itemsize : TILE;
    c->tile_columns = c->buffered ? BUFFER_ROW / c->itemsize : TILE;
    c->row_blocks = (c->shape[c->tiled] - 1) / c->tile_rows + 1;
    c->column_blocks = (c->shape[last] - 1) / c->tile_columns + 1;
    return 1;
}

int tg_copy(int itemsize, const void *src, void *dst, const tg_layout *layout) {
    if (!is_itemsize(itemsize) || !layout || layout->ndim < 0 || layout->ndim > TG_MAX_DIMS) return TG_BAD_ARGUMENT;
    copy_call call = {.itemsize = itemsize, .ndim = (int)layout->ndim, .src = src, .dst = dst};
    int64_t total = itemsize;
    for (int d = 0; d < call.ndim; d++) {
        call.shape[d] = layout->shape[d];
        if (tg_mul_overflows(total, layout->shape[d], &total)) return TG_BAD_SIZE;
        if (__builtin_mul_overflow(layout->strides[0][d], itemsize, &call.src_step[d]) ||
            __builtin_mul_overflow(layout->strides[1][d], itemsize, &call.dst_step[d]))
            return TG_BAD_SIZE;
    }
    if (total == 0) return TG_OK;
    if (!src || !dst) return TG_BAD_ARGUMENT;
    if (call.ndim == 0) { /* one element */
        call.ndim = 1;
        call.shape[0] = 1;
        call.src_step[0] = call.dst_step[0] = itemsize;
    }
    if (is_transpose(&call, total)) {
        const int64_t lines = call.shape[call.tiled] * call.shape[call.ndim - 1] * itemsize;
        const int64_t tiles = call.row_blocks * call.column_blocks;
        tg_parallel_for(total / lines * tiles, grain_of(lines / tiles), tile_range, &call);
        return TG_OK;
    }
    if (call.ndim == 1 && call.src_step[0] == itemsize && call.dst_step[0] == itemsize) {
        call.bytes = total;
        call.streaming = total >= TG_STREAM_BYTES;
        tg_parallel_for((total - 1) / PIECE + 1, grain_of(PIECE), piece_range, &call);
        return TG_OK;
    }
    const int64_t line = call.shape[call.ndim - 1] * itemsize;
    call.streaming = total >= TG_STREAM_BYTES && line >= STREAMED_LINE && call.src_step[call.ndim - 1] == itemsize &&
                     call.dst_step[call.ndim - 1] == itemsize;
    tg_parallel_for(total / line, grain_of(line), copy_range, &call);
    return TG_OK;
}

typedef struct {
    int64_t length, inner, count; /* inner in bytes for take, in elements for take_grad */
    const int64_t *index;         /* (count) in [-length, length) */
    const char *src;
    char *dst;
    const tg_move_kernels *kernels;
    int64_t itemsize;
    int streaming;
} take_call;

static int index_in_range(int64_t count, const int64_t *index, int64_t length) {
    for (int64_t i = 0; i < count; i++)
        if (index[i] < -length || index[i] >= length) return 0;
    return 1;
}

/* Lines [begin, end) of dst, seen as (outer * count, inner). */
static void take_range(void *ctx, int64_t begin, int64_t end) {
    const take_call *c = ctx;
    int64_t o = begin / c->count, i = begin % c->count;
    for (int64_t line = begin; line < end; line++) {
        const int64_t at = c->index[i] + (c->index[i] < 0 ? c->length : 0);
        const char *from = c->src + (o * c->length + at) * c->inner;
        char *to = c->dst + line * c->inner;
        if (c->streaming) {
            stream_line(c->inner, from, to);
        } else
            switch (c->inner) { /* gathers of single elements: a constant size makes memcpy one move */
            case 4: memcpy(to, from, 4); break;
            case 8: memcpy(to, from, 8); break;
            default: memcpy(to, from, (size_t)c->inner); break;
            }
        if (++i == c->count) i = 0, o++;
    }
    if (c->streaming) tg_stream_fence();
}

/* What take and take_grad check of their sizes; *bytes is that of the smaller side's lines: inner * itemsize. */
static int check_take(int64_t itemsize, int64_t outer, int64_t length, int64_t inner, int64_t count, int64_t *bytes) {
    int64_t whole;
    if (tg_mul_overflows(inner, itemsize, bytes) || outer < 0) return TG_BAD_SIZE;
    if (tg_mul_overflows(*bytes, length, &whole) || tg_mul_overflows(whole, outer, &whole)) return TG_BAD_SIZE;
    if (tg_mul_overflows(*bytes, count, &whole) || tg_mul_overflows(whole, outer, &whole)) return TG_BAD_SIZE;
    return TG_OK;
}

int tg_take(int itemsize, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
            const void *src, void *dst) {
    take_call call = {length, inner, count, index, src, dst, NULL, itemsize, 0};
    if (!is_itemsize(itemsize)) return TG_BAD_ARGUMENT;
    const int status = check_take(itemsize, outer, length, inner, count, &call.inner);
    if (status != TG_OK || count == 0) return status;
    if (!index) return TG_BAD_ARGUMENT;
    if (!index_in_range(count, index, length)) return TG_BAD_INDEX;
    if (outer == 0 || inner == 0) return TG_OK;
    if (!src || !dst) return TG_BAD_ARGUMENT;
    int64_t lines;
    if (tg_mul_overflows(outer, count, &lines)) return TG_BAD_SIZE;
    call.streaming = call.inner >= STREAMED_LINE && lines * call.inner >= TG_STREAM_BYTES;
    tg_parallel_for(lines, grain_of(call.inner), take_range, &call);
    return TG_OK;
}

/* A column of single elements, for which a call of a kernel each would be most of the work. */
#define TG_ADD_ELEMENTS(type)                                                             \
    for (int64_t i = 0; i < c->count; i++) {                                              \
        const int64_t at = c->index[i] + (c->index[i] < 0 ? c->length : 0);               \
        ((type *)c->dst)[o * c->length + at] += ((const type *)c->src)[o * c->count + i]; \
    }

static void add_elements(const take_call *c, int64_t o) {
    if (c->itemsize == 4)
        TG_ADD_ELEMENTS(float)
    else
        TG_ADD_ELEMENTS(double)
}

/* Columns [begin, end) of the outer * inner sums that are independent of each other. */
static void take_grad_range(void *ctx, int64_t begin, int64_t end) {
    const take_call *c = ctx;
    if (c->inner == 1) {
        for (; begin < end; begin++) add_elements(c, begin);
        return;
    }
    while (begin < end) {
        const int64_t o = begin / c->inner, from = begin % c->inner;
        const int64_t width = c->inner - from < end - begin ? c->inner - from : end - begin;
        for (int64_t i = 0; i < c->count; i++) {
            const int64_t at = c->index[i] + (c->index[i] < 0 ? c->length : 0);
            c->kernels->accumulate(width, c->src + ((o * c->count + i) * c->inner + from) * c->itemsize,
                                   c->dst + ((o * c->length + at) * c->inner + from) * c->itemsize);
        }
        begin += width;
    }
}

int tg_take_grad(int dtype, int64_t outer, int64_t length, int64_t inner, int64_t count, const int64_t *index,
                 const void *gy, void *gx) {
    int64_t bytes, columns;
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    const int64_t itemsize = (int64_t)tg_itemsize(dtype);
    const int status = check_take(itemsize, outer, length, inner, count, &bytes);
    if (status != TG_OK || count == 0) return status;
    if (!index) return TG_BAD_ARGUMENT;
    if (!index_in_range(count, index, length)) return TG_BAD_INDEX;
    if (tg_mul_overflows(outer, inner, &columns)) return TG_BAD_SIZE;
    if (columns == 0) return TG_OK;
    if (!gy || !gx) return TG_BAD_ARGUMENT;
    take_call call = {length, inner, count, index, gy, gx, tg_active->move[dtype], itemsize, 0};
    /* pieces of 16 columns at least, so that threads share no cache line */
    const int64_t grain = grain_of(itemsize * count);
    tg_parallel_for(columns, grain < 16 ? 16 : grain, take_grad_range, &call);
    return TG_OK;
}
