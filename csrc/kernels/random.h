/* random.h: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") and the distributions made from
 * it; included once per element type. Block i of a stream is philox(counter = {i low, i high, 0, 0}, key). */

#ifndef TG_PHILOX_ROUNDS
#define TG_PHILOX_ROUNDS 10
#define TG_PHILOX_M0 UINT64_C(0xD2511F53)
#define TG_PHILOX_M1 UINT64_C(0xCD9E8D57)
#define TG_PHILOX_W0 UINT32_C(0x9E3779B9)
#define TG_PHILOX_W1 UINT32_C(0xBB67AE85)

static void philox_bits(int64_t blocks, uint64_t key, uint64_t counter, uint32_t *out) {
    for (int64_t b = 0; b < blocks; b++, counter++) {
        uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        for (int round = 0; round < TG_PHILOX_ROUNDS; round++) {
            const uint64_t p0 = TG_PHILOX_M0 * c0, p1 = TG_PHILOX_M1 * c2;
            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)p1;
            c3 = (uint32_t)p0;
            k0 += TG_PHILOX_W0;
            k1 += TG_PHILOX_W1;
        }
        out[4 * b] = c0, out[4 * b + 1] = c1, out[4 * b + 2] = c2, out[4 * b + 3] = c3;
    }
}
#endif

enum {
    FN(PHILOX_CHUNKS) = 8, /* made at a time */
    FN(PHILOX_BLOCKS) = TG_RANDOM_CHUNK * TG_BITS / 128,
    FN(PHILOX_ELEMENTS) = FN(PHILOX_CHUNKS) * TG_RANDOM_CHUNK
};

/* Fills out chunk by chunk: the statement turns the chunk's integers w[0..31] into reals v[0..31]. */
#define TG_DEFINE_DRAW(name, ...)                                                                                  \
    static void FN(name)(int64_t n, double a, double b, uint64_t key, uint64_t counter, void *outp) {              \
        real *out = outp;                                                                                          \
        integer words[FN(PHILOX_ELEMENTS)];                                                                        \
        for (int64_t i = 0; i < n; i += FN(PHILOX_ELEMENTS)) {                                                     \
            philox_bits(FN(PHILOX_CHUNKS) * FN(PHILOX_BLOCKS), key, counter, (uint32_t *)(void *)words);           \
            counter += FN(PHILOX_CHUNKS) * FN(PHILOX_BLOCKS);                                                      \
            for (int64_t at = 0; at < FN(PHILOX_ELEMENTS) && i + at < n; at += TG_RANDOM_CHUNK) {                  \
                const integer *w = words + at;                                                                     \
                real v[TG_RANDOM_CHUNK];                                                                           \
                __VA_ARGS__;                                                                                       \
                const int64_t rest = n - i - at;                                                                   \
                memcpy(out + i + at, v, (size_t)(rest < TG_RANDOM_CHUNK ? rest : TG_RANDOM_CHUNK) * sizeof(real)); \
            }                                                                                                      \
        }                                                                                                          \
    }

/* The top 24 (53) bits, as a number in [0, 1). */
TG_INLINE real FN(unit)(integer w) {
    return TG_BITS == 32 ? (real)((uint32_t)w >> 8) * (real)0x1p-24 : (real)((uint64_t)w >> 11) * (real)0x1p-53;
}

/* a + u * (b - a) can round up to b: the next number below is returned instead. */
TG_DEFINE_DRAW(
    uniform, for (int k = 0; k < TG_RANDOM_CHUNK; k++) {
        v[k] = (real)a + FN(unit)(w[k]) * ((real)b - (real)a);
        if (v[k] >= (real)b && (real)a < (real)b)
            v[k] = (real)(TG_BITS == 32 ? nextafterf((float)b, -INFINITY) : nextafter(b, -INFINITY));
    })

/* Box and Muller 1958: elements k and k + 16 share a radius from word k, in (0, 1], and an angle from word k + 16. */
TG_DEFINE_DRAW(
    normal, for (int k = 0; k < TG_RANDOM_CHUNK / 2; k++) {
        const double radius = sqrt(-2 * log(1 - (double)FN(unit)(w[k]))),
                     angle = 2 * 3.14159265358979323846 * (double)FN(unit)(w[k + 16]);
        v[k] = (real)(a + b * radius * cos(angle));
        v[k + TG_RANDOM_CHUNK / 2] = (real)(a + b * radius * sin(angle));
    })

TG_DEFINE_DRAW(bernoulli, (void)b; for (int k = 0; k < TG_RANDOM_CHUNK; k++) v[k] = (double)FN(unit)(w[k]) < a ? 1 : 0)

static const tg_random_kernels FN(random_kernels) = {{FN(uniform), FN(normal), FN(bernoulli)}, philox_bits};

#undef TG_DEFINE_DRAW
