/* block_table.h: cheap elementwise steps on a block of vectors that stays in registers from step to step. */
#ifndef TG_BLOCK_TABLE_H
#define TG_BLOCK_TABLE_H

#include <stdint.h>

#include "binary_types.h"
#include "unary_types.h"

/* Bytes from what is read to what is fetched meanwhile, of arrays past the caches. Measured: 512 to 2048 serve alike. */
enum { TG_FETCH_AHEAD = 1536 };

typedef void (*tg_block_fn)(void); /* of another type, that only its own table knows; NULL: there is no such step */

/* The block is the value of the step before; `data` is the other operand, or where the block is stored. */
typedef struct {
    tg_block_fn fn;
    char *data;       /* for the first block */
    int64_t advances; /* -1, or 0 where all blocks read the same */
    double p0, p1;
} tg_block_step;

typedef struct {
    int64_t elements;                      /* of a block */
    tg_block_fn load, store, stream, stop; /* stream: past the caches, to data that is aligned; stop: the last step */
    tg_block_fn fetch; /* has the data TG_FETCH_AHEAD further on brought near, and leaves the block */
    /* [.][0]: the block is the left operand, [.][1]: the right one; [1]: all of the other is as its first vector */
    tg_block_fn binary[2][2][TG_BINARY_COUNT];
    tg_block_fn unary[TG_UNARY_COUNT];
    tg_block_fn gradient[TG_UNARY_COUNT]; /* the block is gy, data what the op saved */
    int64_t (*run)(int64_t n,
                   const tg_block_step *steps); /* all whole blocks of n elements: how many elements these are */
} tg_block_kernels;

#endif
