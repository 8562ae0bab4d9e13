/* Entry points of the binary family, and of custom ops with several inputs: check the arguments, split the work, call the active table.
 *
 * The result is walked line by line along its last dimension. A kernel takes operands that step by 0 or 1 there; an operand
 * that steps otherwise (a transposed one) is first brought into a tile of that form, a few lines at a time, in cache.
 */
#include "custom.h"
#include "elementwise.h"
#include "streaming.h"

enum {
    TILE_LINE = 128, /* bytes of a row of a transposed operand: CPUs fetch lines of 64 in pairs */
    /* Of all tiles; measured: memory likes to be walked in long lines, and the second cache holds them. */
    TILE_BYTES = 1 << 17,
    OPERANDS = TG_MAP_INPUTS /* a, b; condition, a, b of where */
};

#define TG_BINARY_GRAIN(name, cost, expression) TG_##cost == TG_CHEAP ? TG_CHEAP_GRAIN : TG_COSTLY_GRAIN,
static const int64_t grain_of[] = {TG_BINARY_OPS(TG_BINARY_GRAIN)};

typedef struct {
    const char *data; /* NULL: no such operand */
    int64_t itemsize;
    const int64_t *strides; /* (ndim), in elements */
} operand;

typedef struct {
    int dtype;
    int64_t itemsize, grain;
    tg_where_fn where; /* one of these three */
    tg_binary_fn binary;
    tg_map_fn map;
    const double *params; /* of map: (TG_MAP_PARAMETERS) */
    operand operands[OPERANDS];
    char *y;       /* contiguous */
    int streaming; /* the result goes to memory past the caches */
    int64_t ndim;
    const int64_t *shape; /* (ndim) */
    int64_t columns;      /* the last dimension */
    int64_t tiled;        /* the dimension whose lines share a tile */
    int64_t tile_rows, tile_columns, row_blocks, column_blocks;
} binary_call;

typedef struct {
    const char *data;
    int64_t step; /* 0 or 1 */
} line_operand;

/* n elements of the result from operands that step by 0 or 1 */
static void apply_to(const binary_call *c, int64_t n, const line_operand *o, char *out) {
    if (c->binary) {
        c->binary(n, o[0].data, o[0].step, o[1].data, o[1].step, out);
    } else if (c->where) {
        c->where(n, (const uint8_t *)o[0].data, o[0].step, o[1].data, o[1].step, o[2].data, o[2].step, out);
    } else {
        const void *in[OPERANDS];
        int64_t step[OPERANDS];
        for (int k = 0; k < OPERANDS; k++) in[k] = o[k].data, step[k] = o[k].step;
        c->map(n, in, step, out, c->params);
    }
}

static void apply(const binary_call *c, int64_t n, const line_operand *o, int64_t y) {
    const int64_t itemsize = c->itemsize;
    char *out = c->y + y * itemsize;
    if (!c->streaming) {
        apply_to(c, n, o, out);
        return;
    }
    _Alignas(TG_ALIGNMENT) char block[TG_STREAM_BLOCK * sizeof(double)];
    line_operand part[OPERANDS] = {o[0], o[1], o[2], o[3]};
    for (int64_t i = 0, count; i < n; i += count, out += count * itemsize) {
        /* a line may begin anywhere: its first part ends where a block of the result does */
        count = TG_STREAM_BLOCK - (y + i) % TG_STREAM_BLOCK;
        if (count > n - i) count = n - i;
        const int aligned = (uintptr_t)out % TG_ALIGNMENT == 0;
        for (int k = 0; k < OPERANDS; k++)
            if (part[k].step) tg_stream_fetch(part[k].data, count * c->operands[k].itemsize);
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

/* tile[r, j] = src[r * row_step + j * column_step]. tile: (rows, width), of which `columns` are filled */
static void fill_tile(const operand *source, int64_t rows, int64_t columns, const char *src, int64_t row_step,
                      int64_t column_step, char *tile, int64_t width) {
    if (source->itemsize == 1) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < columns; j++) tile[r * width + j] = src[r * row_step + j * column_step];
    } else if (row_step == 1) {
        const int dtype = source->itemsize == 4 ? TG_F32 : TG_F64;
        tg_active->move[dtype]->transpose(columns, rows, src, column_step, tile, width);
    } else if (source->itemsize == 4) {
        const uint32_t *from = (const uint32_t *)src;
        uint32_t *to = (uint32_t *)tile;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < columns; j++) to[r * width + j] = from[r * row_step + j * column_step];
    } else {
        const uint64_t *from = (const uint64_t *)src;
        uint64_t *to = (uint64_t *)tile;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < columns; j++) to[r * width + j] = from[r * row_step + j * column_step];
    }
}

/* Tiles [begin, end): (the dimensions other than the last and the tiled one, row blocks, column blocks), the last of the three
 * fastest. */
static void tile_range(void *ctx, int64_t begin, int64_t end) {
    const binary_call *c = ctx;
    const int64_t last = c->ndim - 1, t = c->tiled;
    const int64_t width = c->tile_columns, height_of_tile = c->tile_rows;
    _Alignas(TG_ALIGNMENT) char tiles[TILE_BYTES];
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first_column = unit % c->column_blocks * width;
        const int64_t first_row = unit / c->column_blocks % c->row_blocks * height_of_tile;
        const int64_t columns = c->columns - first_column < width ? c->columns - first_column : width;
        const int64_t height = t < 0 ? 1 : c->shape[t];
        const int64_t rows = height - first_row < height_of_tile ? height - first_row : height_of_tile;
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
        char *tile = tiles;
        for (int k = 0; k < OPERANDS; k++) {
            const operand *source = &c->operands[k];
            if (!source->data) continue;
            o[k] = (line_operand){source->data + offset[k] * source->itemsize, source->strides[last]};
            if (o[k].step == 0 || o[k].step == 1) continue;
            fill_tile(source, rows, columns, o[k].data, row_step[k], o[k].step, tile, width);
            o[k] = (line_operand){tile, 1};
            row_step[k] = width;
            tile += width * height_of_tile * c->itemsize;
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
    const int64_t grain = c->grain;
    c->streaming = tg_streams(n * c->itemsize, c->y);
    for (int k = 0; k < OPERANDS; k++)
        if (c->y == c->operands[k].data) c->streaming = 0;
    if (c->ndim == 0) {
        tg_parallel_for(n, grain, contiguous_range, c);
        return;
    }
    const int64_t last = c->ndim - 1;
    c->columns = c->shape[last];
    c->tiled = -1;
    int64_t tiles = 0; /* operands that need one */
    for (int k = 0; k < OPERANDS; k++) {
        const operand *o = &c->operands[k];
        if (!o->data || o->strides[last] == 0 || o->strides[last] == 1) continue;
        tiles++;
        for (int64_t d = 0; d < last; d++)
            if (o->strides[d] == 1 || c->tiled < 0) c->tiled = d;
    }
    if (tiles == 0) {
        tg_parallel_for(n, grain, line_range, c);
        return;
    }
    const int64_t height = c->tiled < 0 ? 1 : c->shape[c->tiled];
    c->tile_rows = TILE_LINE / c->itemsize;
    c->tile_columns = TILE_BYTES / TILE_LINE / tiles;
    c->row_blocks = (height - 1) / c->tile_rows + 1;
    c->column_blocks = (c->columns - 1) / c->tile_columns + 1;
    const int64_t units = n / c->columns / height * c->row_blocks * c->column_blocks;
    const int64_t area = n / units > 0 ? n / units : 1;
    tg_parallel_for(units, (grain - 1) / area + 1, tile_range, c);
}

/* The first `given` operands are there; layout has their strides. */
static int check_and_run(binary_call *c, int given, int64_t n, const tg_layout *layout) {
    if (n < 0) return TG_BAD_SIZE;
    if (layout) {
        if (layout->ndim < 0 || layout->ndim > TG_MAX_DIMS) return TG_BAD_ARGUMENT;
        int64_t count = 1;
        for (int64_t d = 0; d < layout->ndim; d++)
            if (tg_mul_overflows(count, layout->shape[d], &count)) return TG_BAD_SIZE;
        if (count != n) return TG_BAD_SIZE;
        c->ndim = layout->ndim;
        c->shape = layout->shape;
    }
    if (n == 0) return TG_OK;
    if (!c->y) return TG_BAD_ARGUMENT;
    c->itemsize = (int64_t)tg_itemsize(c->dtype);
    for (int k = 0; k < given; k++) {
        if (!c->operands[k].data) return TG_BAD_ARGUMENT;
        c->operands[k].itemsize = c->where && k == 0 ? 1 : c->itemsize;
        if (layout) c->operands[k].strides = layout->strides[k];
    }
    run(c, n);
    return TG_OK;
}

tg_binary_fn tg_find_binary(int op, int dtype, int64_t *grain) {
    if (op < 0 || !tg_is_dtype(dtype)) return NULL;
    if (op < TG_BINARY_COUNT) {
        *grain = grain_of[op];
        return tg_active->binary[dtype]->op[op];
    }
    const tg_custom *custom = tg_custom_at(TG_BINARY, op - TG_BINARY_COUNT);
    if (!custom) return NULL;
    *grain = custom->cost == TG_CHEAP ? TG_CHEAP_GRAIN : TG_COSTLY_GRAIN;
    return (tg_binary_fn)custom->functions[dtype][0];
}

tg_map_fn tg_find_map(int op, int dtype, int *inputs, int64_t *grain) {
    const tg_custom *custom = tg_custom_at(TG_MAP, op);
    if (!custom || !tg_is_dtype(dtype)) return NULL;
    *inputs = custom->inputs;
    *grain = custom->cost == TG_CHEAP ? TG_CHEAP_GRAIN : TG_COSTLY_GRAIN;
    return (tg_map_fn)custom->functions[dtype][0];
}

int tg_binary(int op, int dtype, int64_t n, const void *a, const void *b, void *y, const tg_layout *layout) {
    binary_call call = {.dtype = dtype, .operands = {{.data = a}, {.data = b}}, .y = y};
    call.binary = tg_find_binary(op, dtype, &call.grain);
    return call.binary ? check_and_run(&call, 2, n, layout) : TG_BAD_ARGUMENT;
}

int tg_where(int dtype, int64_t n, const uint8_t *condition, const void *a, const void *b, void *y,
             const tg_layout *layout) {
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    binary_call call = {.dtype = dtype,
                        .grain = TG_CHEAP_GRAIN,
                        .where = tg_active->binary[dtype]->where,
                        .operands = {{.data = (const char *)condition}, {.data = a}, {.data = b}},
                        .y = y};
    return check_and_run(&call, 3, n, layout);
}

int tg_map(int op, int dtype, int64_t n, const void *a, const void *b, const void *c, const void *d, void *y,
           const tg_layout *layout, double p0, double p1, double p2, double p3) {
    const void *const in[TG_MAP_INPUTS] = {a, b, c, d};
    const double params[TG_MAP_PARAMETERS] = {p0, p1, p2, p3};
    binary_call call = {.dtype = dtype, .params = params, .y = y};
    int inputs;
    call.map = tg_find_map(op, dtype, &inputs, &call.grain);
    if (!call.map) return TG_BAD_ARGUMENT;
    for (int k = 0; k < inputs; k++) call.operands[k].data = in[k];
    return check_and_run(&call, inputs, n, layout);
}
