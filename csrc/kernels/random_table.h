/* random_table.h: draws from Philox4x32-10. */
#ifndef TG_RANDOM_TABLE_H
#define TG_RANDOM_TABLE_H

#include <stdint.h>

/* TG_RANDOM_OP(name) */
#define TG_RANDOM_OPS(TG_RANDOM_OP) \
    TG_RANDOM_OP(uniform)           \
    TG_RANDOM_OP(normal)            \
    TG_RANDOM_OP(bernoulli)

#define TG_RANDOM_ID(name) TG_RANDOM_##name,
enum { TG_RANDOM_OPS(TG_RANDOM_ID) TG_RANDOM_COUNT };

/* A draw is cut into chunks of TG_RANDOM_CHUNK elements; a chunk of itemsize-byte elements uses TG_RANDOM_CHUNK * itemsize / 16
 * blocks of 128 bits, so that element i depends on its chunk and its place in it alone, whatever the vector width. */
enum { TG_RANDOM_CHUNK = 32 };

/* out: (n), the start of a draw at block `counter` */
typedef void (*tg_random_fn)(int64_t n, double a, double b, uint64_t key, uint64_t counter, void *out);

typedef struct {
    tg_random_fn draw[TG_RANDOM_COUNT];
    /* words of the blocks counter, counter + 1, ... in their order. out: (4 * blocks) */
    void (*bits)(int64_t blocks, uint64_t key, uint64_t counter, uint32_t *out);
} tg_random_kernels;

#endif
