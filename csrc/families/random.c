/* Entry points of the random family: check the arguments, split the draw into whole chunks, advance the generator. */
#include <math.h>

#include "../kernels/table.h"

enum { RANDOM_GRAIN = 1 << 13 }; /* elements, a multiple of TG_RANDOM_CHUNK */

typedef struct {
    tg_random_fn draw;
    double a, b;
    uint64_t key, counter;
    size_t itemsize;
    char *out; /* (n) */
} random_call;

static void random_range(void *ctx, int64_t begin, int64_t end) {
    const random_call *c = ctx;
    const size_t offset = (size_t)begin * c->itemsize;
    c->draw(end - begin, c->a, c->b, c->key, c->counter + offset / 16, c->out + offset);
}

int tg_random(int op, int dtype, int64_t n, double a, double b, tg_generator *generator, void *out) {
    if (op < 0 || op >= TG_RANDOM_COUNT || !tg_is_dtype(dtype) || !generator) return TG_BAD_ARGUMENT;
    if (n < 0) return TG_BAD_SIZE;
    const double span = dtype == TG_F32 ? (double)((float)b - (float)a) : b - a;
    if (op == TG_RANDOM_uniform && !isfinite(span)) return TG_BAD_ARGUMENT;
    if (op == TG_RANDOM_bernoulli && !(a >= 0 && a <= 1)) return TG_BAD_ARGUMENT;
    if (n == 0) return TG_OK;
    if (!out) return TG_BAD_ARGUMENT;
    random_call call = {
        tg_active->random[dtype]->draw[op], a, b, generator->key, generator->counter, tg_itemsize(dtype), out};
    tg_parallel_for(n, RANDOM_GRAIN, random_range, &call);
    const uint64_t chunks = (uint64_t)n / TG_RANDOM_CHUNK + ((uint64_t)n % TG_RANDOM_CHUNK != 0);
    generator->counter += chunks * (TG_RANDOM_CHUNK * call.itemsize / 16);
    return TG_OK;
}

enum { BUFFER_BLOCKS = 64 };

/* 64-bit words of the generator's stream, made a buffer at a time. */
typedef struct {
    uint64_t words[2 * BUFFER_BLOCKS];
    int64_t used; /* words taken since the start of the stream */
    uint64_t key, counter;
} word_stream;

static uint64_t next_word(word_stream *s) {
    const int64_t at = s->used % (2 * BUFFER_BLOCKS);
    if (at == 0)
        tg_active->random[TG_F32]->bits(BUFFER_BLOCKS, s->key, s->counter + (uint64_t)s->used / 2,
                                        (uint32_t *)(void *)s->words);
    s->used++;
    return s->words[at];
}

/* Uniform in [0, n), by Lemire 2019, "Fast random integer generation in an interval": the high half of a 64 x 64 bit product,
 * rejecting the few low halves that would favour some results. */
static uint64_t below(word_stream *s, uint64_t n) {
    unsigned __int128 product = (unsigned __int128)next_word(s) * n;
    if ((uint64_t)product < n) {
        const uint64_t least = (0 - n) % n;
        while ((uint64_t)product < least) product = (unsigned __int128)next_word(s) * n;
    }
    return (uint64_t)(product >> 64);
}

int tg_permutation(int64_t n, tg_generator *generator, int64_t *out) {
    if (n < 0) return TG_BAD_SIZE;
    if (!generator || (n > 0 && !out)) return TG_BAD_ARGUMENT;
    word_stream stream = {.key = generator->key, .counter = generator->counter};
    for (int64_t i = 0; i < n; i++) { /* Fisher and Yates, from the front: out[0..i] is a random order of 0..i */
        const int64_t j = (int64_t)below(&stream, (uint64_t)i + 1);
        out[i] = out[j];
        out[j] = i;
    }
    generator->counter += (uint64_t)(stream.used + 1) / 2;
    return TG_OK;
}
