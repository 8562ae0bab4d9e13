/* Entry points of the binary family: check the arguments, split the work, call the active table.
 *
 * The result is walked line by line along its last dimension. A kernel takes operands that step by 0 or 1 there; an operand
 * that steps otherwise (a transposed one) is first brought into a tile of that form, a few lines at a time, in cache.
 */
#include "../kernels/table.h"
#include "streaming.h"

enum {
    CHEAP_GRAIN = 1 << 15,
    COSTLY_GRAIN = 1 << 12,
    TILE_ROWS = 32, /* so that what is read of a transposed operand is whole cache lines */
    TILE_COLUMNS = 128,
    OPERANDS = 3 /* condition, a, b; a binary op has no condition */
};

#define TG_BINARY_GRAIN(name, cost, expression) TG_##cost == TG_CHEAP ? CHEAP_GRAIN : COSTLY_GRAIN,
static const int64_t grain_of[] = {TG_BINARY_OPS(TG_BINARY_GRAIN)};

typedef struct {
    const char *data; /* NULL: no such operand */
    int64_t itemsize;
    const int64_t *strides; /* (ndim), in elements */
} operand;

typedef struct {
    int op, dtype;
    operand operands[OPERANDS];
    char *y;       /* contiguous */
    int streaming; /* the result goes to memory past the caches */
    int64_t ndim;
    const int64_t *shape; /* (ndim) */
    int64_t columns;      /* the last dimension */
    int64_t tiled;        /* the dimension whose lines share a tile */
    int64_t row_blocks, column_blocks;
} binary_call;

typedef struct {
    const char *data;
    int64_t step; /* 0 or 1 */
} line_operand;

/* n elements of the result from operands that step by 0 or 1 */
static void apply_to(const binary_call *c, int64_t n, const line_operand *o, char *out) {
    const tg_binary_kernels *kernels = tg_active->binary[c->dtype];
    if (o[0].data)
        kernels->where(n, (const uint8_t *)o[0].data, o[0].step, o[1].data, o[1].step, o[2].data, o[2].step, out);
    else
        kernels->op[c->op](n, o[1].data, o[1].step, o[2].data, o[2].step, out);
}

static void apply(const binary_call *c, int64_t n, const line_operand *o, int64_t y) {
    const int64_t itemsize = c->operands[1].itemsize;
    char *out = c->y + y * itemsize;
    if (!c->streaming) {
        apply_to(c, n, o, out);
        return;
    }
    _Alignas(TG_ALIGNMENT) char block[TG_STREAM_BLOCK * sizeof(double)];
    line_operand part[OPERANDS] = {o[0], o[1], o[2]};
    for (int64_t i = 0, count; i < n; i += count, out += count * itemsize) {
        /* a line may begin anywhere: its first part ends where a block of the result does */
        count = TG_STREAM_BLOCK - (y + i) % TG_STREAM_BLOCK;
        if (count > n - i) count = n - i;
        const int aligned = (uintptr_t)out % TG_ALIGNMENT == 0;
        apply_to(c, count, part, aligned ? block : out);
        if (aligned) tg_active->move[c->dtype]->stream(count, block, out);
        for (int k = 0; k < OPERANDS; k++)
            if (part[k].data) part[k].data += count * part[k].step * c->operands[k].itemsize;
    }
}

static void contiguous_range(void *ctx, int64_t begin, int64_t end) {
    const binary_call *c = ctx;
    line_operand o[OPERANDS] = {0};
    for (int k = 0; k < OPERANDS; k++)
        if (c->operands[k].data) o[k] = (line_operand){c->operands[k].data + begin * c->operands[k].itemsize, 1};
    apply(c, end - begin, o, begin);
    if (c->streaming) tg_stream_fence();
}

/* Elements [begin, end) of the result, every operand stepping by 0 or 1 along the last dimension. */
static void line_range(void *ctx, int64_t begin, int64_t end) {
    const binary_call *c = ctx;
    const int64_t last = c->ndim - 1;
    int64_t index[TG_MAX_DIMS], column = begin % c->columns, rest = begin / c->columns;
    line_operand o[OPERANDS] = {0}; /* at the beginning of the line */
    for (int k = 0; k < OPERANDS; k++)
        if (c->operands[k].data) o[k] = (line_operand){c->operands[k].data, c->operands[k].strides[last]};
    for (int64_t d = last - 1; d >= 0; rest /= c->shape[d], d--) {
        index[d] = rest % c->shape[d];
        for (int k = 0; k < OPERANDS; k++)
            if (o[k].data) o[k].data += index[d] * c->operands[k].strides[d] * c->operands[k].itemsize;
    }
    for (int64_t at = begin; at < end; column = 0) {
        const int64_t n = c->columns - column < end - at ? c->columns - column : end - at;
        line_operand part[OPERANDS];
        for (int k = 0; k < OPERANDS; k++) {
            part[k] = o[k];
            if (column && o[k].data) part[k].data += column * o[k].step * c->operands[k].itemsize;
        }
        apply(c, n, part, at);
        at += n;
        for (int64_t d = last - 1; d >= 0; d--) {
            const int64_t back = ++index[d] < c->shape[d] ? 0 : c->shape[d];
            for (int k = 0; k < OPERANDS; k++)
                if (o[k].data) o[k].data += (1 - back) * c->operands[k].strides[d] * c->operands[k].itemsize;
            if (!back) break;
            index[d] = 0;
        }
    }
    if (c->streaming) tg_stream_fence();
}

/* tile[r, j] = src[r * row_step + j * column_step]. tile: (rows, TILE_COLUMNS), of which `columns` are filled */
static void fill_tile(const operand *source, int64_t rows, int64_t columns, const char *src, int64_t row_step,
                      int64_t column_step, char *tile) {
    if (source->itemsize == 1) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < columns; j++) tile[r * TILE_COLUMNS + j] = src[r * row_step + j * column_step];
    } else if (row_step == 1) {
        const int dtype = source->itemsize == 4 ? TG_F32 : TG_F64;
        tg_active->move[dtype]->transpose(columns, rows, src, column_step, tile, TILE_COLUMNS);
    } else if (source->itemsize == 4) {
        const uint32_t *from = (const uint32_t *)src;
        uint32_t *to = (uint32_t *)tile;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < columns; j++) to[r * TILE_COLUMNS + j] = from[r * row_step + j * column_step];
    } else {
        const uint64_t *from = (const uint64_t *)src;
        uint64_t *to = (uint64_t *)tile;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < columns; j++) to[r * TILE_COLUMNS + j] = from[r * row_step + j * column_step];
    }
}

/* Tiles [begin, end): (the dimensions other than the last and the tiled one, row blocks, column blocks), the last of the three
 * fastest. */
static void tile_range(void *ctx, int64_t begin, int64_t end) {
    const binary_call *c = ctx;
    const int64_t last = c->ndim - 1, t = c->tiled;
    _Alignas(TG_ALIGNMENT) char tiles[OPERANDS][TILE_ROWS * TILE_COLUMNS * sizeof(double)];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first_column = unit % c->column_blocks * TILE_COLUMNS;
        const int64_t first_row = unit / c->column_blocks % c->row_blocks * TILE_ROWS;
        const int64_t columns = c->columns - first_column < TILE_COLUMNS ? c->columns - first_column : TILE_COLUMNS;
        const int64_t height = t < 0 ? 1 : c->shape[t];
        const int64_t rows = height - first_row < TILE_ROWS ? height - first_row : TILE_ROWS;
        int64_t y = first_column, y_row_step = 0, y_step = c->columns, offset[OPERANDS], row_step[OPERANDS];
        for (int k = 0; k < OPERANDS; k++) {
            if (!c->operands[k].data) continue;
            row_step[k] = t < 0 ? 0 : c->operands[k].strides[t];
            offset[k] = first_row * row_step[k] + first_column * c->operands[k].strides[last];
        }
        for (int64_t d = last - 1, rest = unit / c->column_blocks / c->row_blocks; d >= 0; d--) {
            if (d == t) {
                y_row_step = y_step;
                y += first_row * y_step;
            } else {
                y += rest % c->shape[d] * y_step;
                for (int k = 0; k < OPERANDS; k++)
                    if (c->operands[k].data) offset[k] += rest % c->shape[d] * c->operands[k].strides[d];
                rest /= c->shape[d];
            }
            y_step *= c->shape[d];
        }
        line_operand o[OPERANDS] = {0};
        for (int k = 0; k < OPERANDS; k++) {
            const operand *source = &c->operands[k];
            if (!source->data) continue;
            o[k] = (line_operand){source->data + offset[k] * source->itemsize, source->strides[last]};
            if (o[k].step == 0 || o[k].step == 1) continue;
            fill_tile(source, rows, columns, o[k].data, row_step[k], o[k].step, tiles[k]);
            o[k] = (line_operand){tiles[k], 1};
            row_step[k] = TILE_COLUMNS;
        }
        for (int64_t r = 0; r < rows; r++) {
            apply(c, columns, o, y + r * y_row_step);
            for (int k = 0; k < OPERANDS; k++)
                if (o[k].data) o[k].data += row_step[k] * c->operands[k].itemsize;
        }
    }
    if (c->streaming) tg_stream_fence();
}

/* Splits the call, whose result has n elements. */
static void run(binary_call *c, int64_t n) {
    c->streaming =
        tg_streams(n * c->operands[1].itemsize, c->y) && c->y != c->operands[1].data && c->y != c->operands[2].data;
    const int64_t grain = c->operands[0].data ? CHEAP_GRAIN : grain_of[c->op];
    if (c->ndim == 0) {
        tg_parallel_for(n, grain, contiguous_range, c);
        return;
    }
    const int64_t last = c->ndim - 1;
    c->columns = c->shape[last];
    c->tiled = -1;
    int lines = 1;
    for (int k = 0; k < OPERANDS; k++) {
        const operand *o = &c->operands[k];
        if (!o->data || o->strides[last] == 0 || o->strides[last] == 1) continue;
        lines = 0;
        for (int64_t d = 0; d < last; d++)
            if (o->strides[d] == 1 || c->tiled < 0) c->tiled = d;
    }
    if (lines) {
        tg_parallel_for(n, grain, line_range, c);
        return;
    }
    const int64_t height = c->tiled < 0 ? 1 : c->shape[c->tiled];
    c->row_blocks = (height - 1) / TILE_ROWS + 1;
    c->column_blocks = (c->columns - 1) / TILE_COLUMNS + 1;
    const int64_t units = n / c->columns / height * c->row_blocks * c->column_blocks;
    const int64_t area = n / units > 0 ? n / units : 1;
    tg_parallel_for(units, (grain - 1) / area + 1, tile_range, c);
}

/* strides: those of the operands that there are, in order */
static int check_and_run(binary_call *c, int64_t n, const tg_layout *layout) {
    if (!tg_is_dtype(c->dtype)) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    if (layout) {
        if (layout->ndim < 0 || layout->ndim > TG_MAX_DIMS) return TG_BAD_ARGUMENT;
        int64_t count = 1;
        for (int64_t d = 0; d < layout->ndim; d++)
            if (tg_mul_overflows(count, layout->shape[d], &count)) return TG_BAD_SIZE;
        if (count != n) return TG_BAD_SIZE;
    }
    if (n == 0) return TG_OK;
    if (!c->operands[1].data || !c->operands[2].data || !c->y) return TG_BAD_ARGUMENT;
    int given = 0;
    for (int k = 0; k < OPERANDS; k++) {
        c->operands[k].itemsize = k == 0 ? 1 : (int64_t)tg_itemsize(c->dtype);
        if (layout && c->operands[k].data) c->operands[k].strides = layout->strides[given++];
    }
    if (layout) {
        c->ndim = layout->ndim;
        c->shape = layout->shape;
    }
    run(c, n);
    return TG_OK;
}

int tg_binary(int op, int dtype, int64_t n, const void *a, const void *b, void *y, const tg_layout *layout) {
    if (op < 0 || op >= TG_BINARY_COUNT) return TG_BAD_ARGUMENT;
    binary_call call = {.op = op, .dtype = dtype, .operands = {[1] = {.data = a}, [2] = {.data = b}}, .y = y};
    return check_and_run(&call, n, layout);
}

int tg_where(int dtype, int64_t n, const uint8_t *condition, const void *a, const void *b, void *y,
             const tg_layout *layout) {
    if (!condition && n > 0) return TG_BAD_ARGUMENT;
    binary_call call = {
        .dtype = dtype, .operands = {{.data = (const char *)condition}, {.data = a}, {.data = b}}, .y = y};
    return check_and_run(&call, n, layout);
}
