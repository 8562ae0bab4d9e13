/* tiles.c: elementwise chains, a tile at a time, so that what the steps hand to each other stays in the first cache.
 *
 * Work is cut into units of tiles. Without a sum a unit is a tile. With sums it is what a reduction takes at a time (cut.h): its
 * elements are gathered in the second cache, unless they are stored anyway, and then handed to the reduction's own kernel. So a
 * chain calls the same kernels on the same numbers as its steps one by one do, and its results have the same bits.
 *
 * Cheap steps that follow upon one another are a run: it goes through a tile by blocks of vectors, all its steps on one before the
 * next, and hands values on in registers (kernels/block.h). What the last block leaves of a tile its steps do one by one.
 */
#include "cut.h"
#include "elementwise.h"
#include "streaming.h"

enum {
    MOST_VALUES = 256,
    MOST_STEPS = 256,
    MOST_SUMS = 8,
    INPUTS = TG_MAP_INPUTS,
    LEAST_TILE = 256, /* elements; measured: below, the calls of the kernels show */
    MOST_TILE = 4096,
    MOST_OPS = 768,   /* of all runs */
    RUNS_FROM = 2048, /* elements; measured: for fewer, making the ops takes longer than they save */
    ROWS_UNIT = 4096, /* elements, about: of whole rows that are reduced */
    PARTIAL_SLOT = 2,
    TILES_SLOT = 3
};

/* How the elements of a value are found. */
typedef enum {
    MADE,     /* by a step: in its slot, or where it is stored */
    LOCAL,    /* by a step of a run and for others of it alone: a block in its slot */
    GATHERED, /* by a step, and for a sum only: with the rest of its unit */
    ONE,      /* a single element, over which the kernels step by 0 */
    WHOLE,    /* an array of n elements */
    PATTERN,  /* laid out once, a tile and a pattern long: a tile begins within the first pattern */
    LONG      /* a pattern longer than a tile: laid out for every tile */
} place;

typedef struct {
    tg_unary_fn forward; /* one of these five; none copies */
    tg_unary_grad_fn gradient;
    tg_binary_fn binary;
    tg_where_fn where;
    tg_map_fn map;
    const tg_tile_step *given;
    int inputs;
} tile_step;

/* What a run does next: a step, a load or a store. */
typedef struct {
    tg_block_fn fn;
    int64_t value; /* whose memory it reads or writes */
    int streams;   /* where that is aligned, past the caches */
    const tg_tile_step *given;
} block_op;

typedef struct {
    int dtype;
    int64_t n, itemsize, tile, unit, once;
    int64_t value_count, step_count, sum_count;
    const tg_tile_value *values;
    const tg_tile_sum *sums;
    place places[MOST_VALUES];
    unsigned char constant[MOST_VALUES]; /* made once, the same for all elements */
    unsigned char wanted[MOST_VALUES];   /* read from memory */
    unsigned char local[MOST_VALUES];    /* see LOCAL */
    int64_t offsets[MOST_VALUES];        /* in a thread's memory, in bytes */
    unsigned char streams[MOST_VALUES];  /* stored past the caches */
    tile_step steps[MOST_STEPS];
    const tg_block_kernels *blocks;
    block_op ops[MOST_OPS];
    int64_t op_count;
    int64_t runs[MOST_STEPS];   /* how many steps the run has that begins with this one, 0: none begins */
    int64_t begins[MOST_STEPS]; /* its first op */
    int64_t
        spread[MOST_VALUES];  /* of a single element that a run reads: a block full of it, in a thread's memory; -1 */
    int64_t ops_at;           /* the ops as the kernels want them, in a thread's memory */
    char *partial[MOST_SUMS]; /* what the blocks of a sum gave: (blocks, inner) */
    int64_t bytes;            /* of a thread's memory */
    int failed;
} tiles_call;

static int64_t blocks_of(const tg_tile_sum *s) { return tg_cut_work(s->n, s->inner).blocks; }

int64_t tg_tiles_unit(int64_t outer, int64_t n, int64_t inner) {
    int64_t all;
    if (outer < 1 || n < 1 || inner < 1 || tg_mul_overflows(outer, n, &all) || tg_mul_overflows(all, inner, &all))
        return 0;
    const tg_cut cut = tg_cut_work(n, inner);
    if (cut.blocks > 1) return outer == 1 && cut.tiles == 1 && cut.unit <= 4 * TG_CUT_ELEMENTS ? cut.unit : 0;
    if (inner > 1) return 0;
    const int64_t unit = n < ROWS_UNIT ? ROWS_UNIT / n * n : n;
    /* few long rows would keep threads idle */
    return all <= 2 * ROWS_UNIT || all / unit >= 8 ? unit : 0;
}

/* ---- before the tiles ------------------------------------------------------------------------------------------- */

static int is_summed(const tiles_call *c, int64_t value) {
    for (int64_t k = 0; k < c->sum_count; k++)
        if (c->sums[k].value == value) return 1;
    return 0;
}

/* The kernel of a step; 0 if there is none. */
static int find_kernel(int dtype, const tg_tile_step *given, tile_step *s, int64_t *grain) {
    const int op = given->op == (int)given->op ? (int)given->op : -1;
    *s = (tile_step){.given = given};
    *grain = TG_CHEAP_GRAIN;
    switch (given->kind) {
    case TG_TILE_UNARY:
    case TG_TILE_UNARY_GRAD:
        s->inputs = given->kind == TG_TILE_UNARY_GRAD ? 2 : op != TG_UNARY_fill;
        if (!tg_find_unary(op, dtype, &s->forward, &s->gradient, grain)) return 0;
        if (given->kind == TG_TILE_UNARY_GRAD) s->forward = NULL;
        return 1;
    case TG_TILE_BINARY: s->inputs = 2; return (s->binary = tg_find_binary(op, dtype, grain)) != NULL;
    case TG_TILE_WHERE: s->inputs = 3; return (s->where = tg_active->binary[dtype]->where) != NULL;
    case TG_TILE_COPY: return s->inputs = 1;
    case TG_TILE_MAP: return (s->map = tg_find_map(op, dtype, &s->inputs, grain)) != NULL;
    default: return 0;
    }
}

/* Steps may read what is given and what was made before, each element of the width that they expect. */
static int check_step(const tiles_call *c, const tile_step *s, const unsigned char *made, int is_once) {
    const int64_t y = s->given->y;
    if (y < 0 || y >= c->value_count || c->values[y].slot < 0 || c->values[y].itemsize != c->itemsize) return 0;
    for (int k = 0; k < s->inputs; k++) {
        const int64_t in = s->given->in[k];
        if (in < 0 || in >= c->value_count || (c->values[in].slot >= 0 && !made[in])) return 0;
        if (c->values[in].itemsize != (s->where && k == 0 ? 1 : c->itemsize)) return 0;
        if (is_once && c->values[in].slot < 0 && c->values[in].period != 1) return 0;
        /* these kernels do not step */
        if ((s->forward || s->gradient) && c->values[in].period == 1 && c->n > 1) return 0;
    }
    return 1;
}

static int check_value(const tiles_call *c, const tg_tile_value *v) {
    if (v->itemsize != c->itemsize && v->itemsize != 1) return 0;
    if (v->slot >= 0) return v->slot < c->value_count && v->repeat == 1 && v->period == c->n;
    return v->data && v->repeat > 0 && v->period > 0;
}

/* The steps' kernels, and how much they cost together, in cheap ones. */
static int prepare_steps(tiles_call *c, const tg_tile_step *steps, int64_t *cost) {
    unsigned char made[MOST_VALUES] = {0};
    *cost = 1;
    for (int64_t i = 0; i < c->step_count; i++) {
        int64_t grain;
        if (!find_kernel(c->dtype, &steps[i], &c->steps[i], &grain)) return 0;
        if (!check_step(c, &c->steps[i], made, i < c->once)) return 0;
        if (i < c->once && (c->values[steps[i].y].data || is_summed(c, steps[i].y))) return 0;
        if (i >= c->once) *cost += TG_CHEAP_GRAIN / grain;
        made[steps[i].y] = 1;
    }
    for (int64_t k = 0; k < c->sum_count; k++) {
        const int64_t value = c->sums[k].value;
        if (c->values[value].slot >= 0 && !made[value]) return 0;
    }
    return 1;
}

static int check_sums(tiles_call *c) {
    for (int64_t k = 0; k < c->sum_count; k++) {
        const tg_tile_sum *s = &c->sums[k];
        const int64_t unit = tg_tiles_unit(s->outer, s->n, s->inner);
        if (unit == 0 || (k && unit != c->unit) || s->outer * s->n * s->inner != c->n || !s->y) return 0;
        if (s->op < 0 || s->op >= TG_REDUCE_COUNT || s->value < 0 || s->value >= c->value_count) return 0;
        const tg_tile_value *v = &c->values[s->value];
        if (v->itemsize != c->itemsize || v->repeat != 1 || v->period != c->n) return 0;
        c->unit = unit;
    }
    return 1;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

/* Whether a value is the same for all elements: then a run reads a vector of it. */
static int is_one(const tiles_call *c, int64_t value) {
    return c->constant[value] || (c->values[value].slot < 0 && c->values[value].period == 1);
}

/* The block's function for a step whose input `side` is the block; NULL if there is none. */
static tg_block_fn block_step(const tiles_call *c, const tile_step *s, int side) {
    const int64_t op = s->given->op;
    switch (s->given->kind) {
    case TG_TILE_UNARY: return op < TG_UNARY_COUNT ? c->blocks->unary[op] : NULL;
    case TG_TILE_UNARY_GRAD: return op < TG_UNARY_COUNT ? c->blocks->gradient[op] : NULL;
    case TG_TILE_BINARY:
        return op < TG_BINARY_COUNT ? c->blocks->binary[is_one(c, s->given->in[1 - side])][side][op] : NULL;
    case TG_TILE_COPY: return c->blocks->load;
    default: return NULL;
    }
}

/* Which input of a step is the block, if that holds the value `block`. */
static int block_side(const tile_step *s, int64_t block) {
    const int64_t *in = s->given->in;
    return s->binary && in[0] != block && in[1] == block;
}

/* Finds the runs, and which values they have to themselves. */
static void find_runs(tiles_call *c) {
    int64_t maker[MOST_VALUES]; /* the run that makes a value, by its first step; -1: none */
    c->blocks = tg_active->block[c->dtype];
    for (int64_t v = 0; v < c->value_count; v++) {
        c->constant[v] = c->wanted[v] = c->local[v] = 0;
        maker[v] = -1;
    }
    for (int64_t i = 0; i < c->step_count; i++) c->runs[i] = 0;
    for (int64_t i = 0; i < c->once; i++) c->constant[c->steps[i].given->y] = 1;
    int64_t room = c->n < RUNS_FROM ? 0 : MOST_OPS; /* a step takes six at most, the end of a run one */
    for (int64_t i = c->once, end; i < c->step_count; i = end) {
        for (end = i; end < c->step_count && room >= 7 && block_step(c, &c->steps[end], 0); end++) room -= 6;
        if (end - i < 2)
            end = i + 1;
        else
            c->runs[i] = end - i, room--;
        int64_t block = -1;
        for (int64_t k = i; k < end; k++) {
            const tile_step *s = &c->steps[k];
            const int held = c->runs[i] ? block_side(s, block) : 0;
            for (int side = 0; side < s->inputs; side++) {
                const int64_t v = s->given->in[side];
                if (!c->runs[i] || side != held || v != block) c->wanted[v] = 1;
                if (!c->runs[i] || maker[v] != i) c->local[v] = 0;
            }
            block = s->given->y;
            maker[block] = i;
            c->local[block] = c->runs[i] && !c->values[block].data && !is_summed(c, block);
        }
    }
}

/* ---- where values are ------------------------------------------------------------------------------------------- */

/* As many elements as leave the tiles of all arrays, and of `slots` slots, in the first cache. */
static int64_t choose_tile(const tiles_call *c, int64_t slots) {
    int64_t streams = 0;
    for (int64_t v = 0; v < c->value_count; v++)
        if (c->values[v].data && c->values[v].period > 1) streams++;
    const int64_t cache = tg_cache_bytes(1) > 0 ? tg_cache_bytes(1) : 32 << 10;
    int64_t tile = cache / (c->itemsize * (slots + streams + 1));
    tile -= tile % TG_STREAM_BLOCK;
    tile = tile < LEAST_TILE ? LEAST_TILE : tile > MOST_TILE ? MOST_TILE : tile;
    return tile < c->n ? tile : c->n;
}

static place place_of(const tiles_call *c, const tg_tile_value *v) {
    if (v->slot >= 0) return MADE;
    if (v->period == 1) return ONE;
    if (v->repeat == 1 && v->period >= c->n) return WHOLE;
    return v->period <= c->tile / v->repeat ? PATTERN : LONG;
}

static int64_t aligned(int64_t bytes) { return (bytes + TG_ALIGNMENT - 1) / TG_ALIGNMENT * TG_ALIGNMENT; }

/* Large results go past the caches, but for those that are read again: by a sum, or because they replace what they are made of. */
static int streams(const tiles_call *c, int64_t value) {
    const tg_tile_value *v = &c->values[value];
    if (v->slot < 0 || !v->data || !tg_streams(c->n * c->itemsize, v->data) || is_summed(c, value)) return 0;
    for (int64_t other = 0; other < c->value_count; other++)
        if (other != value && c->values[other].data == v->data) return 0;
    return 1;
}

static int64_t take(tiles_call *c, int64_t bytes) {
    const int64_t at = c->bytes;
    c->bytes += aligned(bytes);
    return at;
}

/* Chooses the tile, and where each value is, in a thread's memory: slots, patterns, what is gathered for sums. */
static void place_values(tiles_call *c) {
    int64_t tiles[MOST_VALUES], blocks[MOST_VALUES]; /* where each slot is, as a whole tile and as a block */
    int64_t slots = 0;                               /* that are whole tiles */
    for (int64_t v = 0; v < c->value_count; v++) tiles[v] = blocks[v] = -1;
    for (int64_t v = 0; v < c->value_count; v++)
        if (c->values[v].slot >= 0 && !c->local[v] && tiles[c->values[v].slot]++ < 0) slots++;
    c->tile = choose_tile(c, slots);
    if (c->unit == 0) c->unit = c->tile;
    c->bytes = 0;
    for (int64_t v = 0; v < c->value_count; v++) tiles[v] = -1;
    for (int64_t v = 0; v < c->value_count; v++) {
        c->offsets[v] = 0;
        const tg_tile_value *value = &c->values[v];
        c->places[v] = place_of(c, value);
        c->streams[v] = (unsigned char)streams(c, v);
        if (c->places[v] == MADE && !value->data && is_summed(c, v)) {
            c->places[v] = GATHERED;
            c->offsets[v] = take(c, (c->unit < c->n ? c->unit : c->n) * c->itemsize);
        } else if (c->places[v] == MADE) {
            int64_t *slot = &(c->local[v] ? blocks : tiles)[value->slot];
            if (*slot < 0) *slot = take(c, (c->local[v] ? c->blocks->elements : c->tile) * c->itemsize);
            c->offsets[v] = *slot;
            if (c->local[v]) c->places[v] = LOCAL;
        }
        if (c->places[v] == PATTERN)
            c->offsets[v] = take(c, (c->tile + value->repeat * value->period) * value->itemsize);
        if (c->places[v] == LONG) c->offsets[v] = take(c, c->tile * value->itemsize);
        if (c->places[v] == ONE && c->wanted[v]) c->offsets[v] = take(c, c->blocks->elements * c->itemsize);
    }
}

/* ---- the ops of runs --------------------------------------------------------------------------------------------- */

static void add_op(tiles_call *c, tg_block_fn fn, int64_t value, const tg_tile_step *given) {
    c->ops[c->op_count++] = (block_op){.fn = fn, .value = value, .given = given};
}

/* Has the arrays that a run reads fetched ahead, each once: an eighth faster past the caches, no faster in them. */
static void fetch_inputs(tiles_call *c, int64_t first, int64_t last) {
    unsigned char fetched[MOST_VALUES] = {0};
    for (int64_t i = first; i < last; i++)
        for (int side = 0; side < c->steps[i].inputs; side++) {
            const int64_t v = c->steps[i].given->in[side];
            if (c->places[v] != WHOLE || fetched[v]) continue;
            fetched[v] = 1;
            add_op(c, c->blocks->fetch, v, NULL);
        }
}

static void make_run(tiles_call *c, int64_t first, int64_t last) {
    int64_t block = -1; /* the value that it holds */
    c->begins[first] = c->op_count;
    if (c->n * c->itemsize >= TG_STREAM_BYTES) fetch_inputs(c, first, last);
    for (int64_t i = first; i < last; i++) {
        const tile_step *s = &c->steps[i];
        const int64_t *in = s->given->in, y = s->given->y;
        const int side = block_side(s, block);
        if (in[side] != block) add_op(c, c->blocks->load, in[side], NULL);
        if (s->given->kind != TG_TILE_COPY)
            add_op(c, block_step(c, s, side), s->inputs == 2 ? in[1 - side] : y, s->given);
        if (c->streams[y]) {
            add_op(c, c->blocks->stream, y, NULL);
            c->ops[c->op_count - 1].streams = 1;
        }
        if (c->wanted[y] || c->places[y] == GATHERED || (c->values[y].data && !c->streams[y]))
            add_op(c, c->blocks->store, y, NULL);
        block = y;
    }
    add_op(c, c->blocks->stop, c->steps[last - 1].given->y, NULL);
}

static void make_runs(tiles_call *c) {
    c->op_count = 0;
    for (int64_t i = 0; i < c->step_count; i++)
        if (c->runs[i]) make_run(c, i, i + c->runs[i]);
    c->ops_at = take(c, c->op_count * (int64_t)sizeof(tg_block_step));
}

/* ---- in a thread ------------------------------------------------------------------------------------------------ */

/* out[j] = the element begin + j of a value, j < n */
static void lay_out(const tg_tile_value *v, int64_t begin, int64_t n, char *out) {
    const int64_t repeat = v->period == 1 ? begin + n : v->repeat; /* of a single element: all */
    int64_t phase = begin % repeat, at = begin / repeat % v->period;
    for (int64_t i = 0, count; i < n; i += count) {
        const char *from = (const char *)v->data + at * v->itemsize;
        char *to = out + i * v->itemsize;
        if (repeat == 1) {
            count = v->period - at < n - i ? v->period - at : n - i;
            __builtin_memcpy(to, from, (size_t)(count * v->itemsize));
            at = 0;
            continue;
        }
        count = repeat - phase < n - i ? repeat - phase : n - i;
        if (v->itemsize == 1)
            __builtin_memset(to, *from, (size_t)count);
        else if (v->itemsize == 4)
            for (int64_t j = 0; j < count; j++) ((uint32_t *)to)[j] = *(const uint32_t *)from;
        else
            for (int64_t j = 0; j < count; j++) ((uint64_t *)to)[j] = *(const uint64_t *)from;
        phase = 0;
        if (++at == v->period) at = 0;
    }
}

/* Where the n elements of a value from `begin` on are; in_unit: how far that is in the unit. */
static char *address(const tiles_call *c, int64_t value, char *memory, int64_t n, int64_t begin, int64_t in_unit) {
    const tg_tile_value *v = &c->values[value];
    char *own = memory + c->offsets[value];
    switch (c->places[value]) {
    case MADE:
        if (!v->data) return own;
        char *stored = (char *)v->data + begin * c->itemsize;
        return c->streams[value] && (uintptr_t)stored % TG_ALIGNMENT == 0 ? own : stored;
    case LOCAL: return own;
    case GATHERED: return own + in_unit * c->itemsize;
    case ONE: return v->data;
    case WHOLE: return (char *)v->data + begin * v->itemsize;
    case PATTERN: return own + begin % (v->repeat * v->period) * v->itemsize;
    case LONG:
        if (v->repeat == 1 && begin % v->period + n <= v->period)
            return (char *)v->data + begin % v->period * v->itemsize;
        lay_out(v, begin, n, own);
        return own;
    }
    return NULL;
}

/* What a thread's memory holds from the first tile to the last: patterns, single elements as blocks, the ops of runs. */
static void lay_out_constants(const tiles_call *c, char *memory) {
    for (int64_t v = 0; v < c->value_count; v++) {
        const tg_tile_value *value = &c->values[v];
        if (c->places[v] == PATTERN) lay_out(value, 0, c->tile + value->repeat * value->period, memory + c->offsets[v]);
        if (c->places[v] == ONE && c->wanted[v]) lay_out(value, 0, c->blocks->elements, memory + c->offsets[v]);
    }
    tg_block_step *steps = (tg_block_step *)(memory + c->ops_at);
    for (int64_t k = 0; k < c->op_count; k++) {
        const block_op *op = &c->ops[k];
        const int stays = c->places[op->value] == LOCAL || is_one(c, op->value);
        steps[k] = (tg_block_step){.fn = op->fn, .data = memory + c->offsets[op->value], .advances = stays ? 0 : -1};
        if (op->given) steps[k].p0 = op->given->p[0], steps[k].p1 = op->given->p[1];
    }
}

/* The run that begins with step `first`, on the whole blocks of n elements from `begin` on: how many elements these are. */
static int64_t run_blocks(const tiles_call *c, char *memory, char *const *at, int64_t first, int64_t n, int64_t begin) {
    tg_block_step *steps = (tg_block_step *)(memory + c->ops_at) + c->begins[first];
    const block_op *ops = c->ops + c->begins[first];
    for (int64_t k = 0; ops[k].fn != c->blocks->stop; k++) {
        const int64_t v = ops[k].value;
        if (!steps[k].advances) continue;
        steps[k].data = at[v];
        if (!ops[k].streams) continue;
        steps[k].data = (char *)c->values[v].data + begin * c->itemsize;
        steps[k].fn = steps[k].data == at[v] ? c->blocks->store : c->blocks->stream; /* it may not be aligned */
    }
    return c->blocks->run(n, steps);
}

static void run_step(const tiles_call *c, const tile_step *s, char *const *at, int64_t n) {
    const tg_tile_step *g = s->given;
    const int64_t *in = g->in;
    char *y = at[g->y];
    if (s->forward) {
        s->forward(n, s->inputs ? at[in[0]] : y, y, g->p[0], g->p[1]);
    } else if (s->gradient) {
        s->gradient(n, at[in[0]], at[in[1]], y, g->p[0], g->p[1]);
    } else if (s->binary) {
        s->binary(n, at[in[0]], c->places[in[0]] != ONE, at[in[1]], c->places[in[1]] != ONE, y);
    } else if (s->where) {
        s->where(n, (const uint8_t *)at[in[0]], c->places[in[0]] != ONE, at[in[1]], c->places[in[1]] != ONE, at[in[2]],
                 c->places[in[2]] != ONE, y);
    } else if (s->given->kind == TG_TILE_COPY) {
        if (c->places[in[0]] == ONE)
            lay_out(&c->values[in[0]], 0, n, y);
        else
            __builtin_memcpy(y, at[in[0]], (size_t)(n * c->itemsize));
    } else {
        const void *inputs[INPUTS] = {0};
        int64_t steps[INPUTS] = {0};
        for (int k = 0; k < s->inputs; k++) inputs[k] = at[in[k]], steps[k] = c->places[in[k]] != ONE;
        s->map(n, inputs, steps, y, g->p);
    }
}

/* Steps [first, last) one by one on n elements that begin at `begin`. */
static void run_steps(const tiles_call *c, char *const *at, int64_t first, int64_t last, int64_t n, int64_t begin) {
    for (int64_t i = first; i < last; i++) {
        const int64_t y = c->steps[i].given->y;
        run_step(c, &c->steps[i], at, n);
        if (!c->streams[y]) continue;
        char *stored = (char *)c->values[y].data + begin * c->itemsize;
        if (at[y] != stored) tg_active->move[c->dtype]->stream(n, at[y], stored);
    }
}

/* The n elements from `begin` on. */
static void run_tile(const tiles_call *c, char *memory, int64_t n, int64_t begin, int64_t in_unit) {
    char *at[MOST_VALUES], *rest[MOST_VALUES];
    for (int64_t v = 0; v < c->value_count; v++) at[v] = address(c, v, memory, n, begin, in_unit);
    for (int64_t i = c->once, end; i < c->step_count; i = end) {
        int64_t done = 0;
        end = i + 1;
        if (c->runs[i]) {
            end = i + c->runs[i];
            done = run_blocks(c, memory, at, i, n, begin);
            if (done == n) continue;
        }
        for (int64_t v = 0; v < c->value_count; v++)
            rest[v] = at[v] + (c->places[v] == ONE || c->places[v] == LOCAL ? 0 : done * c->values[v].itemsize);
        run_steps(c, done ? rest : at, i, end, n - done, begin + done);
    }
}

/* What a unit's elements give to the sums. */
static void run_sums(const tiles_call *c, char *memory, int64_t n, int64_t begin) {
    const tg_reduce_kernels *kernels = tg_active->reduce[c->dtype];
    for (int64_t k = 0; k < c->sum_count; k++) {
        const tg_tile_sum *s = &c->sums[k];
        const char *x = address(c, s->value, memory, n, begin, 0);
        const int64_t rows = n / s->inner;
        if (!c->partial[k])
            kernels->rows[s->op](rows / s->n, s->n, x, (char *)s->y + begin / s->n * c->itemsize);
        else if (s->inner == 1)
            kernels->rows[s->op](1, rows, x, c->partial[k] + begin / c->unit * c->itemsize);
        else
            kernels->columns[s->op](rows, s->inner, s->inner, x,
                                    c->partial[k] + begin / c->unit * s->inner * c->itemsize);
    }
}

static void run_units(void *ctx, int64_t first, int64_t last) {
    tiles_call *c = ctx;
    char *memory = tg_scratch(TILES_SLOT, (size_t)c->bytes);
    if (!memory) {
        __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    char *at[MOST_VALUES];
    for (int64_t v = 0; v < c->value_count; v++)
        at[v] = c->places[v] == ONE ? c->values[v].data : memory + c->offsets[v];
    lay_out_constants(c, memory);
    for (int64_t i = 0; i < c->once; i++) run_step(c, &c->steps[i], at, c->tile);
    const int64_t end = last * c->unit < c->n ? last * c->unit : c->n;
    for (int64_t unit = first * c->unit; unit < end; unit += c->unit) {
        const int64_t length = end - unit < c->unit ? end - unit : c->unit;
        for (int64_t i = 0; i < length; i += c->tile)
            run_tile(c, memory, length - i < c->tile ? length - i : c->tile, unit + i, i);
        run_sums(c, memory, length, unit);
    }
    tg_stream_fence();
}

/* ---- the entry point -------------------------------------------------------------------------------------------- */

/* Memory for what the blocks of the sums give. */
static int place_partials(tiles_call *c) {
    int64_t bytes = 0, begins[MOST_SUMS];
    for (int64_t k = 0; k < c->sum_count; k++) {
        begins[k] = bytes;
        if (blocks_of(&c->sums[k]) > 1) bytes += aligned(blocks_of(&c->sums[k]) * c->sums[k].inner * c->itemsize);
    }
    char *memory = bytes ? tg_scratch(PARTIAL_SLOT, (size_t)bytes) : NULL;
    for (int64_t k = 0; k < c->sum_count; k++)
        c->partial[k] = blocks_of(&c->sums[k]) > 1 && memory ? memory + begins[k] : NULL;
    return memory || !bytes;
}

int tg_tiles(int dtype, int64_t n, int64_t values_count, const tg_tile_value *values, int64_t steps_count,
             const tg_tile_step *steps, int64_t once, int64_t sums_count, const tg_tile_sum *sums) {
    if (!tg_is_dtype(dtype)) return TG_BAD_ARGUMENT;
    if (n < 0 || values_count < 0 || steps_count < 0 || sums_count < 0 || once < 0 || once > steps_count)
        return TG_BAD_SIZE;
    if (values_count > MOST_VALUES || steps_count > MOST_STEPS || sums_count > MOST_SUMS) return TG_BAD_SIZE;
    if (n == 0) return TG_OK;
    if ((values_count && !values) || (steps_count && !steps) || (sums_count && !sums)) return TG_BAD_ARGUMENT;
    tiles_call c; /* large, and most of it unused: not cleared */
    c.dtype = dtype, c.n = n, c.itemsize = (int64_t)tg_itemsize(dtype), c.once = once, c.failed = 0, c.unit = 0;
    c.value_count = values_count, c.step_count = steps_count, c.sum_count = sums_count;
    c.values = values, c.sums = sums;
    for (int64_t v = 0; v < values_count; v++)
        if (!check_value(&c, &values[v])) return TG_BAD_ARGUMENT;
    int64_t cost;
    if (!check_sums(&c) || !prepare_steps(&c, steps, &cost)) return TG_BAD_ARGUMENT;
    find_runs(&c);
    place_values(&c);
    make_runs(&c);
    if (!place_partials(&c)) return TG_NO_MEMORY;
    const int64_t units = tg_divide_up(n, c.unit), grain = tg_divide_up(TG_CHEAP_GRAIN / cost + 1, c.unit);
    tg_parallel_for(units, grain, run_units, &c);
    if (c.failed) return TG_NO_MEMORY;
    int status = TG_OK;
    for (int64_t k = 0; k < sums_count && status == TG_OK; k++) {
        const tg_tile_sum *s = &sums[k];
        status = tg_reduce_blocks((int)s->op, dtype, s->outer, s->n, s->inner, blocks_of(s), c.partial[k], s->y);
    }
    return status;
}
