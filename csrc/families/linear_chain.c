/* Entry points of a chain of linear layers, each with its activation, as a multilayer perceptron has them: one call forward and one
 * back, so that a small network pays once for what a call costs.
 */
#include "../kernels/table.h"

/* The bytes from an output in `hidden` to the next; -1 if they cannot be counted. */
static int64_t padded_bytes(int dtype, int64_t rows, int64_t columns) {
    int64_t elements, bytes;
    if (tg_mul_overflows(rows, columns, &elements)) return -1;
    if (tg_mul_overflows(elements, (int64_t)tg_itemsize(dtype), &bytes) || bytes > INT64_MAX - TG_ALIGNMENT) return -1;
    return (bytes + TG_ALIGNMENT - 1) / TG_ALIGNMENT * TG_ALIGNMENT;
}

static int check_chain(int dtype, int64_t rows, int64_t count, const tg_layer *layers) {
    if (!tg_is_dtype(dtype) || !layers || count < 1) return TG_BAD_ARGUMENT;
    for (int64_t i = 0; i < count; i++) {
        if (i > 0 && layers[i].in != layers[i - 1].out) return TG_BAD_SIZE;
        if (padded_bytes(dtype, rows, layers[i].out) < 0) return TG_BAD_SIZE;
    }
    return TG_OK;
}

int tg_linear_chain(int dtype, int64_t rows, int64_t count, const tg_layer *layers, const void *x, void *hidden,
                    void *y) {
    int status = check_chain(dtype, rows, count, layers);
    if (status == TG_OK && count > 1 && !hidden) status = TG_BAD_ARGUMENT;
    char *next = hidden;
    for (int64_t i = 0; status == TG_OK && i < count; i++) {
        const tg_layer *l = layers + i;
        void *out = i == count - 1 ? y : next;
        status = tg_linear(dtype, l->activation, rows, l->in, l->out, x, l->w, l->bias, out);
        next += padded_bytes(dtype, rows, l->out);
        x = out;
    }
    return status;
}

int tg_linear_chain_grad(int dtype, int64_t rows, int64_t count, const tg_layer *layers, const void *x,
                         const void *hidden, const void *y, const void *gy, void *gx, void *const *gradients) {
    int status = check_chain(dtype, rows, count, layers);
    if (status != TG_OK) return status;
    if (!gradients || (count > 1 && !hidden)) return TG_BAD_ARGUMENT;
    int64_t last = 0, widest = 0, end = 0; /* last: the layer at which nothing more is asked for */
    while (!gx && last < count && !gradients[2 * last] && !gradients[2 * last + 1]) last++;
    for (int64_t i = 0; i < count - 1; i++) {
        const int64_t bytes = padded_bytes(dtype, rows, layers[i].out);
        if (bytes > widest) widest = bytes;
        end += bytes; /* fits: the caller has the memory */
    }
    /* gradients of the hidden outputs, by turns in the two halves */
    char *made = last < count - 1 ? tg_alloc(2 * widest) : NULL;
    if (!made && last < count - 1) return TG_NO_MEMORY;
    const void *output = y;
    for (int64_t i = count - 1; status == TG_OK && i >= last; i--) {
        const tg_layer *l = layers + i;
        if (i > 0) end -= padded_bytes(dtype, rows, l->in);
        const void *input = i > 0 ? (const char *)hidden + end : x;
        void *down = i == 0 ? gx : i > last ? made + i % 2 * widest : NULL;
        status = tg_linear_grad(dtype, l->activation, rows, l->in, l->out, gy, output, input, l->w, down,
                                gradients[2 * i], gradients[2 * i + 1]);
        output = input;
        gy = down;
    }
    tg_free(made);
    return status;
}
