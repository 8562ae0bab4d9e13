/* binary_grad.c: the gradients of mul and div by both operands, in one pass over what they are made of.
 *
 * They are chains of elementwise steps, and a sum where an operand was broadcast: so they are given to tg_tiles, and have the bits
 * that the steps have one by one.
 */
#include "elementwise.h"

enum { GY, A, B, GA, RATIO, PRODUCT, GB, VALUES };

typedef struct {
    tg_tile_value values[VALUES];
    tg_tile_step steps[4];
    tg_tile_sum sums[2];
    int64_t step_count, sum_count;
} chain;

static void add_step(chain *c, int kind, int op, int64_t left, int64_t right, int64_t y) {
    c->steps[c->step_count++] = (tg_tile_step){.kind = kind, .op = op, .in = {left, right, -1, -1}, .y = y};
}

/* ga = gy b, gb = gy a */
static void mul_steps(chain *c, int by_a, int by_b) {
    if (by_a) add_step(c, TG_TILE_BINARY, TG_BINARY_mul, GY, B, GA);
    if (by_b) add_step(c, TG_TILE_BINARY, TG_BINARY_mul, GY, A, GB);
}

/* ga = gy / b, gb = -(ga (a / b)): no square of b, which would overflow, or vanish, where b is far from doing so */
static void div_steps(chain *c, int by_b) {
    add_step(c, TG_TILE_BINARY, TG_BINARY_div, GY, B, GA);
    if (!by_b) return;
    add_step(c, TG_TILE_BINARY, TG_BINARY_div, A, B, RATIO);
    add_step(c, TG_TILE_BINARY, TG_BINARY_mul, GA, RATIO, PRODUCT);
    add_step(c, TG_TILE_UNARY, TG_UNARY_neg, PRODUCT, -1, GB);
}

/* Where a gradient goes: to `out` as it is, or its sum over what its operand repeats. */
static void put(chain *c, int64_t value, const tg_spread *operand, int summed, void *out, int64_t n) {
    if (!summed) {
        c->values[value].data = out;
        return;
    }
    const int64_t outer = operand->repeat > 1 ? operand->period : 1, inner = operand->repeat > 1 ? 1 : operand->period;
    c->sums[c->sum_count++] = (tg_tile_sum){TG_REDUCE_sum, value, outer, n / outer / inner, inner, out};
}

int tg_binary_grad(int op, int dtype, const tg_gradient_plan *plan, const void *gy, const void *a, const void *b,
                   void *ga, void *gb) {
    if (!tg_is_dtype(dtype) || !plan || (op != TG_BINARY_mul && op != TG_BINARY_div)) return TG_BAD_ARGUMENT;
    const int64_t n = plan->n, itemsize = (int64_t)tg_itemsize(dtype);
    const tg_spread *const spread[] = {&plan->gy, &plan->a, &plan->b};
    const void *const given[] = {gy, a, b};
    if (n < 0) return TG_BAD_SIZE;
    if (n == 0 || (!ga && !gb)) return TG_OK;
    if (!gy || (gb && !a) || (!b && (ga || op == TG_BINARY_div))) return TG_BAD_ARGUMENT;
    chain c = {.step_count = 0};
    for (int k = GY; k <= B; k++) {
        int64_t once;
        if (spread[k]->repeat < 1 || spread[k]->period < 1 ||
            tg_mul_overflows(spread[k]->repeat, spread[k]->period, &once) || n % once)
            return TG_BAD_SIZE;
        /* what no step reads needs no data of its own */
        c.values[k] =
            (tg_tile_value){(void *)(given[k] ? given[k] : gy), itemsize, spread[k]->repeat, spread[k]->period, -1};
    }
    for (int k = GA; k < VALUES; k++) c.values[k] = (tg_tile_value){NULL, itemsize, 1, n, k - GA};
    if (op == TG_BINARY_mul)
        mul_steps(&c, ga != NULL, gb != NULL);
    else
        div_steps(&c, gb != NULL);
    if (ga) put(&c, GA, &plan->a, plan->sums_a, ga, n);
    if (gb) put(&c, GB, &plan->b, plan->sums_b, gb, n);
    return tg_tiles(dtype, n, VALUES, c.values, c.step_count, c.steps, 0, c.sum_count, c.sums);
}
