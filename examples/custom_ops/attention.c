/* Scaled dot-product attention whose memory is linear in the sequence length: Milakov and Gimelshein 2018 (the softmax of a row
 * from a running maximum and sum), Dao et al. 2022 (the backward computes the scores again, block by block).
 *
 * Scores exist only as a tile of QUERIES x KEYS. Every tile is made and used in the same order whatever the number of threads, so
 * the bits do not depend on it. The file includes itself, once per element type.
 */
#ifndef TG_SUFFIX
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
#include <stdatomic.h>
#include <string.h>
TG_MODULE

enum { QUERIES = 128, KEYS = 256, SLOT = 3 /* tg->gemm uses the scratch buffers 0 to 2 */ };

typedef struct {
    int dtype, causal;
    int64_t n, m, d, dv; /* queries, keys, their length, the values' length */
    double scale;
    const void *q, *k, *v, *y, *lse, *gy;
    void *gq, *gk, *gv;
    void *out, *out_lse;
    atomic_int status;
} attention_call;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* How many of the keys from `key` on a query sees, at most `keys`. */
static int64_t visible(const attention_call *c, int64_t query, int64_t key, int64_t keys) {
    if (!c->causal) return keys;
    const int64_t count = query - key + 1;
    return count < 0 ? 0 : least(count, keys);
}

#define TG_SUFFIX f32
#define TG_REAL TG_F32
#include "attention.c"
#undef TG_SUFFIX
#undef TG_REAL
#define TG_SUFFIX f64
#define TG_REAL TG_F64
#include "attention.c"
#undef TG_SUFFIX
#undef TG_REAL

static int refused(int dtype, int64_t batch, int64_t n, int64_t m, int64_t d, int64_t dv) {
    if (dtype != TG_F32 && dtype != TG_F64) return TG_BAD_ARGUMENT;
    return batch < 0 || n < 0 || m < 1 || d < 1 || dv < 1 ? TG_BAD_SIZE : TG_OK;
}

/* y = softmax(scale q k^T) v, and the logarithm of each row's sum of exponentials.
 * q: (batch, n, d), k: (batch, m, d), v: (batch, m, dv), y: (batch, n, dv), lse: (batch, n) */
TG_EXPORT int attention_forward(int dtype, int causal, int64_t batch, int64_t n, int64_t m, int64_t d, int64_t dv,
                                double scale, const void *q, const void *k, const void *v, void *y, void *lse) {
    const int status = refused(dtype, batch, n, m, d, dv);
    if (status != TG_OK || n == 0) return status;
    attention_call c = {.dtype = dtype, .causal = causal, .n = n, .m = m, .d = d, .dv = dv, .scale = scale};
    c.q = q, c.k = k, c.v = v, c.out = y, c.out_lse = lse;
    const int64_t blocks = (n + QUERIES - 1) / QUERIES;
    tg->parallel_for(batch * blocks, 1, dtype == TG_F32 ? forward_blocks_f32 : forward_blocks_f64, &c);
    return atomic_load(&c.status);
}

/* The three gradients; y and lse are the forward's, the other shapes those of what they are gradients by. */
TG_EXPORT int attention_backward(int dtype, int causal, int64_t batch, int64_t n, int64_t m, int64_t d, int64_t dv,
                                 double scale, const void *q, const void *k, const void *v, const void *y,
                                 const void *lse, const void *gy, void *gq, void *gk, void *gv) {
    const int status = refused(dtype, batch, n, m, d, dv);
    if (status != TG_OK) return status;
    attention_call c = {.dtype = dtype, .causal = causal, .n = n, .m = m, .d = d, .dv = dv, .scale = scale};
    c.q = q, c.k = k, c.v = v, c.y = y, c.lse = lse, c.gy = gy, c.gq = gq, c.gk = gk, c.gv = gv;
    const tg_range_fn backward = dtype == TG_F32 ? backward_batches_f32 : backward_batches_f64;
    if (batch >= tg->num_threads())
        tg->parallel_for(batch, 1, backward, &c);
    else
        backward(&c, 0, batch); /* and the threads share each product, and the rows of each tile */
    return atomic_load(&c.status);
}

#else

/* ---- forward ---- */

/* One tile of scores s: (rows, keys) becomes exp(scale s - max), max and sum: (rows) go along, and the rows of y: (rows, dv) that
 * were made with another maximum are brought to the new one. */
static void FN(online_softmax)(const attention_call *c, real *s, int64_t rows, int64_t query, int64_t key, int64_t keys,
                               real *max, real *sum, real *y) {
    const vec scale = v_set(c->scale), low = v_set(-INFINITY);
    for (int64_t r = 0; r < rows; r++, s += keys, y += c->dv) {
        const int64_t seen = visible(c, query + r, key, keys);
        memset(s + seen, 0, (size_t)(keys - seen) * sizeof(real));
        if (seen == 0) continue;
        vec top = low;
        for (int64_t j = 0; j < seen; j += LANES) {
            const vec x = v_load_fill(s + j, seen - j, low) * scale;
            top = v_max(top, j + LANES <= seen ? x : v_select(v_lane_index() < (integer)(seen - j), x, low));
        }
        real largest = v_reduce_max(top);
        if (!(largest <= max[r])) { /* a NaN too goes on to the result */
            if (key > 0) {
                const real factor = v_exp(v_set((double)(max[r] - largest)))[0];
                sum[r] *= factor;
                for (int64_t j = 0; j < c->dv; j += LANES)
                    v_store_upto(y + j, v_load_upto(y + j, c->dv - j) * factor, c->dv - j);
            }
            max[r] = largest;
        }
        const vec shift = v_set((double)max[r]);
        vec total = v_set(0);
        for (int64_t j = 0; j < seen; j += LANES) {
            vec e = v_exp(v_load_upto(s + j, seen - j) * scale - shift);
            if (j + LANES > seen) e = v_select(v_lane_index() < (integer)(seen - j), e, v_set(0));
            v_store_upto(s + j, e, seen - j);
            total += e;
        }
        sum[r] += v_reduce_add(total);
    }
}

/* The queries of one block against all keys. */
static int FN(forward_block)(const attention_call *c, int64_t b, int64_t query) {
    const int64_t rows = least(QUERIES, c->n - query);
    real *s = tg->scratch(SLOT, (QUERIES * KEYS + 2 * QUERIES) * sizeof(real));
    if (!s) return TG_NO_MEMORY;
    real *max = s + QUERIES * KEYS, *sum = max + QUERIES;
    const real *q = (const real *)c->q + (b * c->n + query) * c->d;
    const real *k = (const real *)c->k + b * c->m * c->d, *v = (const real *)c->v + b * c->m * c->dv;
    real *y = (real *)c->out + (b * c->n + query) * c->dv, *lse = (real *)c->out_lse + b * c->n + query;
    for (int64_t r = 0; r < rows; r++) max[r] = -(real)INFINITY, sum[r] = 0;
    const int64_t end = c->causal ? least(c->m, query + rows) : c->m;
    for (int64_t key = 0; key < end; key += KEYS) {
        const int64_t keys = least(KEYS, end - key);
        int status = tg->gemm(TG_REAL, TG_TRANS_B, rows, keys, c->d, q, c->d, k + key * c->d, c->d, s, keys, NULL, 0);
        if (status != TG_OK) return status;
        FN(online_softmax)(c, s, rows, query, key, keys, max, sum, y);
        status = tg->gemm(TG_REAL, key ? TG_ACCUMULATE : 0, rows, c->dv, keys, s, keys, v + key * c->dv, c->dv, y,
                          c->dv, NULL, 0);
        if (status != TG_OK) return status;
    }
    for (int64_t r = 0; r < rows; r++, y += c->dv) {
        const real factor = 1 / sum[r];
        for (int64_t j = 0; j < c->dv; j += LANES)
            v_store_upto(y + j, v_load_upto(y + j, c->dv - j) * factor, c->dv - j);
    }
    for (int64_t r = 0; r < rows; r += LANES)
        v_store_upto(lse + r, v_load_upto(max + r, rows - r) + v_log(v_load_upto(sum + r, rows - r)), rows - r);
    return TG_OK;
}

static void FN(forward_blocks)(void *context, int64_t begin, int64_t end) {
    attention_call *c = context;
    const int64_t blocks = (c->n + QUERIES - 1) / QUERIES;
    for (int64_t i = begin; i < end; i++) {
        const int status = FN(forward_block)(c, i / blocks, i % blocks * QUERIES);
        if (status != TG_OK) atomic_store(&c->status, status);
    }
}

/* ---- backward ---- */

/* p, gp: (rows, keys) the scores and the gradient by the probabilities; y, gy: (rows, dv); lse: (rows) */
typedef struct {
    const attention_call *call;
    int64_t query, key, keys;
    const real *lse, *y, *gy;
    real *p, *gp;
} FN(tile);

/* p becomes the probabilities and gp the gradient by the scores: scale p (gp - sum(gy y)), row by row. */
static void FN(tile_rows)(void *context, int64_t begin, int64_t end) {
    const FN(tile) *t = context;
    const attention_call *c = t->call;
    const vec scale = v_set(c->scale);
    for (int64_t r = begin; r < end; r++) {
        real *p = t->p + r * t->keys, *gp = t->gp + r * t->keys;
        const real *y = t->y + r * c->dv, *gy = t->gy + r * c->dv;
        const int64_t seen = visible(c, t->query + r, t->key, t->keys);
        vec dot = v_set(0);
        for (int64_t j = 0; j < c->dv; j += LANES)
            dot += v_load_upto(y + j, c->dv - j) * v_load_upto(gy + j, c->dv - j);
        const vec mean = v_set((double)v_reduce_add(dot)), shift = v_set((double)t->lse[r]);
        for (int64_t j = 0; j < seen; j += LANES) {
            const int64_t count = seen - j;
            const vec e = v_exp(v_load_upto(p + j, count) * scale - shift);
            v_store_upto(p + j, e, count);
            v_store_upto(gp + j, e * (v_load_upto(gp + j, count) - mean) * scale, count);
        }
        memset(p + seen, 0, (size_t)(t->keys - seen) * sizeof(real));
        memset(gp + seen, 0, (size_t)(t->keys - seen) * sizeof(real));
    }
}

/* One batch: for each block of keys, all blocks of queries that see it. */
static int FN(backward_batch)(const attention_call *c, int64_t b) {
    const int64_t n = c->n, m = c->m, d = c->d, dv = c->dv;
    const real *q = (const real *)c->q + b * n * d, *k = (const real *)c->k + b * m * d;
    const real *v = (const real *)c->v + b * m * dv, *gy = (const real *)c->gy + b * n * dv;
    real *gq = (real *)c->gq + b * n * d, *gk = (real *)c->gk + b * m * d, *gv = (real *)c->gv + b * m * dv;
    real *p = tg->scratch(SLOT, 2 * QUERIES * KEYS * sizeof(real)), *gp = p + QUERIES * KEYS;
    if (!p) return TG_NO_MEMORY;
    memset(gq, 0, (size_t)(n * d) * sizeof(real));
    memset(gk, 0, (size_t)(m * d) * sizeof(real));
    memset(gv, 0, (size_t)(m * dv) * sizeof(real));
    int status = TG_OK;
    for (int64_t key = 0; key < m; key += KEYS) {
        const int64_t keys = least(KEYS, m - key);
        const real *kj = k + key * d, *vj = v + key * dv;
        for (int64_t query = c->causal ? key / QUERIES * QUERIES : 0; query < n; query += QUERIES) {
            const int64_t rows = least(QUERIES, n - query);
            const real *qi = q + query * d, *gi = gy + query * dv;
            FN(tile) t = {c, query, key, keys, (const real *)c->lse + b * n + query, NULL, gi, p, gp};
            t.y = (const real *)c->y + (b * n + query) * dv;
            status |= tg->gemm(TG_REAL, TG_TRANS_B, rows, keys, d, qi, d, kj, d, p, keys, NULL, 0);
            status |= tg->gemm(TG_REAL, TG_TRANS_B, rows, keys, dv, gi, dv, vj, dv, gp, keys, NULL, 0);
            tg->parallel_for(rows, 16, FN(tile_rows), &t);
            const int to_keys = TG_TRANS_A | TG_ACCUMULATE;
            status |= tg->gemm(TG_REAL, to_keys, keys, dv, rows, p, keys, gi, dv, gv + key * dv, dv, NULL, 0);
            status |= tg->gemm(TG_REAL, to_keys, keys, d, rows, gp, keys, qi, d, gk + key * d, d, NULL, 0);
            status |= tg->gemm(TG_REAL, TG_ACCUMULATE, rows, d, keys, gp, keys, kj, d, gq + query * d, d, NULL, 0);
            if (status != TG_OK) return TG_NO_MEMORY; /* the arguments are right, so nothing else can fail */
        }
    }
    return TG_OK;
}

static void FN(backward_batches)(void *context, int64_t begin, int64_t end) {
    attention_call *c = context;
    for (int64_t b = begin; b < end; b++) {
        const int status = FN(backward_batch)(c, b);
        if (status != TG_OK) atomic_store(&c->status, status);
    }
}
#endif
