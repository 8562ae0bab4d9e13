/* An exponential moving average along the steps of a series, and its gradient, the same average from the end to the beginning. The
 * features beside each other are the lanes of vectors. The file includes itself, once per element type.
 */
#ifndef TG_SUFFIX
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
TG_MODULE

enum { CHUNK = 64 /* features that one range takes along all steps */ };

typedef struct {
    int64_t steps, features, chunks;
    double a;
    int backward;
    const void *x;
    void *y;
} ema_call;

#define TG_SUFFIX f32
#include "ema.c"
#undef TG_SUFFIX
#define TG_SUFFIX f64
#include "ema.c"
#undef TG_SUFFIX

static int ema(int dtype, int64_t batch, int64_t steps, int64_t features, double a, int backward, const void *x,
               void *y) {
    if (dtype != TG_F32 && dtype != TG_F64) return TG_BAD_ARGUMENT;
    if (batch < 0 || steps < 0 || features < 0) return TG_BAD_SIZE;
    const int64_t chunks = (features + CHUNK - 1) / CHUNK;
    ema_call c = {steps, features, chunks, a, backward, x, y};
    tg->parallel_for(batch * chunks, 16384 / (steps * CHUNK + 1) + 1, dtype == TG_F32 ? ema_chunks_f32 : ema_chunks_f64,
                     &c);
    return TG_OK;
}

TG_EXPORT int ema_forward(int dtype, int64_t batch, int64_t steps, int64_t features, double a, const void *x, void *y);
TG_EXPORT int ema_backward(int dtype, int64_t batch, int64_t steps, int64_t features, double a, const void *gy,
                           void *gx);

int ema_forward(int dtype, int64_t batch, int64_t steps, int64_t features, double a, const void *x, void *y) {
    return ema(dtype, batch, steps, features, a, 0, x, y);
}
int ema_backward(int dtype, int64_t batch, int64_t steps, int64_t features, double a, const void *gy, void *gx) {
    return ema(dtype, batch, steps, features, a, 1, gy, gx);
}

#else

/* y = a x + (1 - a) (y of the step before), which is 0 at first. x, y: (batch, steps, features) */
static void FN(ema_chunks)(void *context, int64_t begin, int64_t end) {
    const ema_call *c = context;
    const vec a = v_set(c->a), rest = v_set(1 - c->a);
    const int64_t step = c->backward ? -c->features : c->features;
    for (int64_t i = begin; i < end; i++) {
        const int64_t from = i % c->chunks * CHUNK, to = from + CHUNK < c->features ? from + CHUNK : c->features;
        const int64_t first = i / c->chunks * c->steps + (c->backward ? c->steps - 1 : 0);
        for (int64_t j = from; j < to; j += LANES) {
            const real *x = (const real *)c->x + first * c->features + j;
            real *y = (real *)c->y + first * c->features + j;
            vec state = v_set(0);
            for (int64_t t = 0; t < c->steps; t++) {
                state = a * v_load_upto(x + t * step, to - j) + rest * state;
                v_store_upto(y + t * step, state, to - j);
            }
        }
    }
}
#endif
