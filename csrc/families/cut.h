/* cut.h: how a reduction is cut into units of work.
 *
 * x is (outer, n, inner). n is cut into `blocks` pieces of `length` and inner into `tiles` of `width`, all from the shapes alone:
 * every (o, block, tile) is an independent unit, whichever thread takes it. With more than one block the units' results form an
 * array (outer, blocks, inner) that is reduced in turn.
 */
#ifndef TG_CUT_H
#define TG_CUT_H

#include "../kernels/table.h"

enum {
    TG_CUT_ELEMENTS = 1 << 15,   /* of a unit, about: enough to hide its start, few enough to stay in the L2 cache */
    TG_CUT_LEAST_ROWS = 128,     /* of a block: bounds the partial results to 1/128 of the input */
    TG_CUT_MOST_WIDTH = 1 << 12, /* long pieces of rows: memory is read nearly in order */
    TG_CUT_THREAD_ELEMENTS = 1 << 16 /* a thread's share at least: below this a second one costs more than it brings */
};

typedef struct {
    int64_t n, inner, length, blocks, width, tiles, unit; /* unit: elements in one, for the grain */
} tg_cut;

static inline int64_t tg_divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

static inline tg_cut tg_cut_work(int64_t n, int64_t inner) {
    tg_cut c = {.n = n, .inner = inner};
    c.width = inner < TG_CUT_MOST_WIDTH ? inner : TG_CUT_MOST_WIDTH;
    c.tiles = tg_divide_up(inner, c.width);
    c.length = TG_CUT_ELEMENTS / c.width > TG_CUT_LEAST_ROWS ? TG_CUT_ELEMENTS / c.width : TG_CUT_LEAST_ROWS;
    c.blocks = n > 2 * c.length ? tg_divide_up(n, c.length) : 1;
    if (c.blocks == 1) c.length = n;
    c.unit = c.length * c.width;
    return c;
}

static inline int64_t tg_cut_grain(const tg_cut *c) {
    return c->unit > 0 ? tg_divide_up(TG_CUT_THREAD_ELEMENTS, c->unit) : TG_CUT_THREAD_ELEMENTS;
}

/* Where a unit's elements begin in x and its results in y, both counted in elements. */
typedef struct {
    int64_t length, width, x, y;
} tg_place;

static inline tg_place tg_unit_place(const tg_cut *c, int64_t unit) {
    const int64_t tile = unit % c->tiles, block = unit / c->tiles % c->blocks, o = unit / c->tiles / c->blocks;
    const int64_t row = block * c->length, column = tile * c->width;
    return (tg_place){c->n - row < c->length ? c->n - row : c->length,
                      c->inner - column < c->width ? c->inner - column : c->width, (o * c->n + row) * c->inner + column,
                      (o * c->blocks + block) * c->inner + column};
}

/* What is left of tg_reduce when the blocks have been reduced by somebody else: combines their results, and brings a mean or a norm
 * to its end. partial: (outer, blocks, inner), not in scratch slots 0 and 1; with one block it is y. */
int tg_reduce_blocks(int op, int dtype, int64_t outer, int64_t n, int64_t inner, int64_t blocks, const void *partial,
                     void *y);

#endif
