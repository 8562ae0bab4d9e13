/* The Laplacian of a field on a grid by the 5-point stencil, and its adjoint. The file includes itself, once per element type. */
#ifndef TG_SUFFIX
#include <tensorgrad_kernel.h>
#include <tensorgrad_simd.h>
TG_MODULE

/* What lies beyond the border: zero; the border's own value (no flux); the other side; the value before the border. */
enum { ZERO = 0, EDGE = 1, PERIODIC = 2, MIRROR = 3 };

typedef struct {
    int64_t rows, cols;
    double scale;
    int boundary, adjoint;
    const void *x;
    void *y;
} stencil_call;

/* Where neighbour i - 1 or i + 1 of i is, on an axis of n; -1: nowhere. */
static int64_t neighbour(int64_t i, int64_t n, int boundary, int adjoint) {
    if (i >= 0 && i < n) return i;
    switch (boundary) {
    case EDGE: return i < 0 ? 0 : n - 1;
    case PERIODIC: return i < 0 ? n - 1 : 0;
    case MIRROR: return adjoint ? -1 : i < 0 ? 1 : n - 2;
    default: return -1;
    }
}

/* A mirrored border reads its inner neighbour twice, so the adjoint gives it back twice. */
static int weight(int64_t neighbour, int64_t n, int boundary, int adjoint) {
    return boundary == MIRROR && adjoint && (neighbour == 0 || neighbour == n - 1) ? 2 : 1;
}

#define TG_SUFFIX f32
#include "laplacian.c"
#undef TG_SUFFIX
#define TG_SUFFIX f64
#include "laplacian.c"
#undef TG_SUFFIX

/* y = scale * (the sum of the four neighbours - 4 x), or its adjoint. x, y: (batch, rows, cols), a row follows on a row */
TG_EXPORT int laplacian_forward(int dtype, int64_t batch, int64_t rows, int64_t cols, double scale, int boundary,
                                int adjoint, const void *x, void *y) {
    if ((dtype != TG_F32 && dtype != TG_F64) || boundary < ZERO || boundary > MIRROR) return TG_BAD_ARGUMENT;
    if (batch < 0 || rows < 0 || cols < 0) return TG_BAD_SIZE;
    if (boundary == MIRROR && (rows == 1 || cols == 1)) return TG_BAD_SIZE; /* no value before the border */
    stencil_call c = {rows, cols, scale, boundary, adjoint, x, y};
    tg->parallel_for(batch * rows, 32768 / (cols + 1) + 1, dtype == TG_F32 ? stencil_rows_f32 : stencil_rows_f64, &c);
    return TG_OK;
}

#else

/* One element, with whatever neighbours it has. x: the row, up, down: the rows beside it or NULL */
static real FN(stencil_at)(const stencil_call *c, const real *x, const real *up, const real *down, real wu, real wd,
                           int64_t j) {
    real sum = (up ? wu * up[j] : 0) + (down ? wd * down[j] : 0);
    for (int64_t step = -1; step <= 1; step += 2) {
        const int64_t k = neighbour(j + step, c->cols, c->boundary, c->adjoint);
        if (k >= 0) sum += (real)weight(k, c->cols, c->boundary, c->adjoint) * x[k];
    }
    return (real)c->scale * (sum - 4 * x[j]);
}

static void FN(stencil_rows)(void *context, int64_t begin, int64_t end) {
    const stencil_call *c = context;
    const int64_t rows = c->rows, cols = c->cols;
    const vec scale = v_set(c->scale), four = v_set(4);
    for (int64_t i = begin; i < end; i++) {
        const int64_t r = i % rows;
        const real *grid = (const real *)c->x + (i - r) * cols, *x = grid + r * cols;
        real *y = (real *)c->y + i * cols;
        const int64_t above = neighbour(r - 1, rows, c->boundary, c->adjoint);
        const int64_t below = neighbour(r + 1, rows, c->boundary, c->adjoint);
        const real *up = above < 0 ? NULL : grid + above * cols, *down = below < 0 ? NULL : grid + below * cols;
        const real wu = (real)weight(above, rows, c->boundary, c->adjoint);
        const real wd = (real)weight(below, rows, c->boundary, c->adjoint);
        /* two columns from each end may have neighbours beyond the border, or of another weight */
        int64_t j = 0;
        for (; j < 2 && j < cols; j++) y[j] = FN(stencil_at)(c, x, up, down, wu, wd, j);
        for (; j + LANES <= cols - 2; j += LANES) {
            vec a = v_set(0), b = v_set(0);
            if (up) a = v_load(up + j) * wu;
            if (down) b = v_load(down + j) * wd;
            v_store(y + j, scale * (((a + b) + v_load(x + j - 1)) + v_load(x + j + 1) - four * v_load(x + j)));
        }
        for (; j < cols; j++) y[j] = FN(stencil_at)(c, x, up, down, wu, wd, j);
    }
}
#endif
