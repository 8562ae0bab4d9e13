/* y = x / |x| and its gradient, row by row, with vectors and threads of the library. */
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
TG_MODULE

#define TG_SUFFIX f32 /* vec, v_load, ... are those of float from here on */

typedef struct {
    int64_t cols;
    const float *x, *gy;
    float *out;
} call;

/* The sum of a_j b_j, in an order that depends on nothing but cols. a, b: (cols) */
static float dot(const float *a, const float *b, int64_t cols) {
    vec sum = v_set(0);
    for (int64_t j = 0; j < cols; j += LANES) sum += v_load_upto(a + j, cols - j) * v_load_upto(b + j, cols - j);
    return v_reduce_add(sum);
}

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const call *c = context;
    for (int64_t r = begin; r < end; r++) {
        const float *x = c->x + r * c->cols;
        float *y = c->out + r * c->cols;
        const float scale = v_sqrt(v_set(1 / (double)dot(x, x, c->cols)))[0];
        for (int64_t j = 0; j < c->cols; j += LANES)
            v_store_upto(y + j, v_load_upto(x + j, c->cols - j) * scale, c->cols - j);
    }
}

/* gx = (gy - y (y . gy)) / |x|, y = x / |x| */
static void backward_rows(void *context, int64_t begin, int64_t end) {
    const call *c = context;
    for (int64_t r = begin; r < end; r++) {
        const float *x = c->x + r * c->cols, *gy = c->gy + r * c->cols;
        float *gx = c->out + r * c->cols;
        const float square = dot(x, x, c->cols), along = dot(x, gy, c->cols) / square;
        const float scale = v_sqrt(v_set(1 / (double)square))[0];
        for (int64_t j = 0; j < c->cols; j += LANES) {
            const int64_t count = c->cols - j;
            v_store_upto(gx + j, (v_load_upto(gy + j, count) - v_load_upto(x + j, count) * along) * scale, count);
        }
    }
}

static int64_t grain(int64_t cols) { return 16384 / (cols + 1) + 1; } /* so many rows are worth a thread */

/* x, y: (rows, cols) */
TG_EXPORT int unit_forward(int64_t rows, int64_t cols, const float *x, float *y) {
    call c = {cols, x, NULL, y};
    tg->parallel_for(rows, grain(cols), forward_rows, &c);
    return TG_OK;
}

/* x, gy, gx: (rows, cols) */
TG_EXPORT int unit_backward(int64_t rows, int64_t cols, const float *x, const float *gy, float *gx) {
    call c = {cols, x, gy, gx};
    tg->parallel_for(rows, grain(cols), backward_rows, &c);
    return TG_OK;
}
