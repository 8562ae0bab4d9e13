/* clang-format off */
/* gemm_tile.h: the micro-kernels of matrix multiplication; included once per element type.
 *
 * A tile is `rows` x `vectors` accumulators that stay in registers over one block of k. Every element of c is one chain of
 * multiply-adds in rising k per block, started from zero, and the block's sum is then added to c: the same chain in every tile
 * shape and in every lane, so that neither the tiling nor the split over threads changes a bit.
 */

#define gemm_finish FN(gemm_finish)
#define gemm_tile_fn FN(gemm_tile_fn)
#define gemm_copy FN(gemm_copy)
#define gemm_rows FN(gemm_rows)

#define GEMM_STRIDE 6 /* steps between two copied rows: more at a time would hold up the tile's own loads */
#define GEMM_PIECE 256 /* bytes of a row fetched at a time */
#define GEMM_AHEAD 6  /* rows between the fetch and the copy, about the time that the third-level cache takes */

/* What becomes of a finished block of sums. */
typedef struct {
    int add;          /* c += sums, else c = sums */
    int relu;         /* then max(c, 0) */
    const real *bias; /* (columns of the tile) added before relu, or NULL */
    int64_t columns;  /* of the tile that exist: only the last vector may be cut */
} gemm_finish;

/* Rows of the panel that comes next, of which a full tile copies up to `rows` as it goes; and what else will be read soon, which
 * it then has fetched, as far as its steps last. */
typedef struct {
    const real *from; /* (rows, vectors * LANES), `step` elements apart */
    int64_t step, rows;
    real *to; /* (rows, vectors * LANES), contiguous */
    const real *soon; /* soon_rows, soon_step elements apart, of soon_pieces of GEMM_PIECE bytes */
    int64_t soon_step, soon_rows, soon_pieces;
} gemm_copy;

/* a[i * a_row + k * a_step] is row i at step k, b + k * b_step the row of b: rows x vectors * LANES products are summed over
 * `steps`. c: (rows, finish->columns) with step ldc. copy: advanced by what was copied; or NULL */
typedef void (*gemm_tile_fn)(int64_t steps, const real *a, int64_t a_row, int64_t a_step, const real *b, int64_t b_step,
                             real *c, int64_t ldc, const gemm_finish *finish, gemm_copy *copy);

#if TG_VECTOR_BYTES == 64 || defined(__aarch64__)
#define GEMM_MAX_VECTORS 4
#define GEMM_TILES(TILE)                                                                                               \
    TILE(1, 1)                                                                                                         \
    TILE(1, 2)                                                                                                         \
    TILE(1, 3)                                                                                                         \
    TILE(1, 4)                                                                                                         \
    TILE(1, 5)                                                                                                         \
    TILE(1, 6)                                                                                                         \
    TILE(1, 7) TILE(1, 8) TILE(1, 9) TILE(1, 10) TILE(1, 11) TILE(1, 12) TILE(1, 13) TILE(1, 14) TILE(2, 1) TILE(2, 2) \
        TILE(2, 3) TILE(2, 4) TILE(2, 5) TILE(2, 6) TILE(2, 7) TILE(2, 8) TILE(2, 9) TILE(2, 10) TILE(2, 11)           \
            TILE(2, 12) TILE(3, 1) TILE(3, 2) TILE(3, 3) TILE(3, 4) TILE(3, 5) TILE(3, 6) TILE(3, 7) TILE(3, 8)        \
                TILE(4, 1) TILE(4, 2) TILE(4, 3) TILE(4, 4) TILE(4, 5) TILE(4, 6)
#define GEMM_MAX_ROWS(vectors) ((vectors) == 4 ? 6 : (vectors) == 3 ? 8 : (vectors) == 2 ? 12 : 14)
#elif TG_VECTOR_BYTES == 32
#define GEMM_MAX_VECTORS 2
#define GEMM_TILES(TILE) \
    TILE(1, 1)           \
    TILE(1, 2)           \
    TILE(1, 3)           \
    TILE(1, 4)           \
    TILE(1, 5)           \
    TILE(1, 6)           \
    TILE(1, 7) TILE(1, 8) TILE(1, 9) TILE(1, 10) TILE(2, 1) TILE(2, 2) TILE(2, 3) TILE(2, 4) TILE(2, 5) TILE(2, 6)
#define GEMM_MAX_ROWS(vectors) ((vectors) == 2 ? 6 : 10)
#else
#define GEMM_MAX_VECTORS 2
#define GEMM_TILES(TILE) \
    TILE(1, 1) TILE(1, 2) TILE(1, 3) TILE(1, 4) TILE(1, 5) TILE(1, 6) TILE(2, 1) TILE(2, 2) TILE(2, 3) TILE(2, 4)
#define GEMM_MAX_ROWS(vectors) ((vectors) == 2 ? 4 : 6)
#endif

/* With AVX-512 the copy of a's rows is interleaved by so many (1: not at all): a full tile then reads a and b in one run each, and
 * its unrolled steps need no address arithmetic, whose instructions would take turns from the multiply-adds. */
#if TG_VECTOR_BYTES == 64
#define GEMM_GROUP 8
#else
#define GEMM_GROUP 1
#endif
#define GEMM_UNROLL 4 /* steps of such a tile at a time */
#define GEMM_FINISH 64 /* steps from the end at which it has c brought near */

#if defined(__x86_64__)
#define GEMM_IN_REGISTER(v) __asm__("" : "+v"(v)) /* one load per broadcast, not one per multiply-add */
#define GEMM_OPAQUE(x) __asm__("" : "+r"(x))      /* no induction variable for each row */
#else
#define GEMM_IN_REGISTER(v) (void)(v)
#define GEMM_OPAQUE(x) (void)(x)
#endif

/* With AVX2 the loop over the steps is 122 bytes: two lines of code if it begins on one, else three, which is up to 4 % slower. */
#if TG_VECTOR_BYTES == 32 && defined(__GNUC__) && !defined(__clang__)
#define GEMM_ALIGNED __attribute__((optimize("align-loops=64")))
#else
#define GEMM_ALIGNED
#endif

/* Vector v of a row; `last` lanes of it if it is the cut one. Only AVX-512 has masks cheap enough to be worth a second loop. */
#define GEMM_MASKED (TG_VECTOR_BYTES == 64)
TG_INLINE vec FN(gemm_load)(const real *row, const int v, const int cut, int64_t last) {
    return v == cut ? v_load_part(row + v * LANES, last) : v_load(row + v * LANES);
}
TG_INLINE void FN(gemm_keep)(real *row, const int v, const int cut, int64_t last, vec sum) {
    if (v == cut)
        v_store_part(row + v * LANES, sum, last);
    else
        v_store(row + v * LANES, sum);
}

/* *sum += x * y. With AVX-512 the instruction by name keeps the sum in its register: compilers else write it into
 * that of x or y, move it, and run out of registers. */
TG_INLINE void FN(gemm_add)(vec *sum, vec x, vec y) {
#if TG_VECTOR_BYTES == 64 && TG_BITS == 32
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(y));
#elif TG_VECTOR_BYTES == 64
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(y));
#else
    *sum += x * y;
#endif
}

/* Where the rows of a tile are: row i at at[i / 8] + within[i % 8], few enough addresses for the registers there are. packed: the
 * rows' elements of one step are neighbours. */
typedef struct {
    const char *at[2];
    int64_t within[8];
} gemm_rows;

TG_INLINE void FN(gemm_point)(const int rows, const int packed, const real *a, int64_t a_row, gemm_rows *r) {
    const int64_t row = packed ? (int64_t)sizeof(real) : a_row * (int64_t)sizeof(real);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r->within[i] = i * row;
        if (!packed && i < rows && i) GEMM_OPAQUE(r->within[i]);
    }
    r->at[0] = (const char *)a;
    r->at[1] = (const char *)a + (rows > 8 ? 8 * row : 0);
}

/* To the next step. */
TG_INLINE void FN(gemm_forward)(const int rows, const int packed, int64_t a_bytes, gemm_rows *a, int64_t b_step,
                                const real **b) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; i += 8) {
        a->at[i / 8] += a_bytes;
        if (!packed) GEMM_OPAQUE(a->at[i / 8]); /* no sums of steps in registers of their own */
    }
    *b += b_step;
    if (!packed) GEMM_OPAQUE(*b);
}

/* One step: sums += column of a times row of b, whose vector `cut` has `last` lanes (-1: none is cut). */
TG_INLINE void FN(gemm_step)(const int vectors, const int rows, const gemm_rows *a, const real *b, const int cut,
                             int64_t last, vec *sums) {
    vec row[GEMM_MAX_VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) row[v] = FN(gemm_load)(b, v, cut, last);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        vec x = *(const real *)(a->at[i / 8] + a->within[i % 8]) - (vec){0};
        if (vectors > 1) GEMM_IN_REGISTER(x);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) FN(gemm_add)(&sums[i * vectors + v], x, row[v]);
    }
}

/* The columns do not fill the vectors: from a copy of the sums, (rows, vectors * LANES). */
static __attribute__((noinline, unused)) void FN(gemm_store_cut)(int rows, int vectors, const vec *sums, real *c, int64_t ldc,
                                                         const gemm_finish *finish) {
    for (int i = 0; i < rows; i++, c += ldc, sums += vectors)
        for (int v = 0; v < vectors; v++) {
            const int64_t at = v * LANES, left = finish->columns - at;
            vec sum = sums[v];
            if (finish->add) sum = v_load_upto(c + at, left) + sum;
            if (finish->bias) sum += v_load_upto(finish->bias + at, left);
            if (finish->relu) sum = v_select(sum < v_set(0), v_set(0), sum);
            v_store_upto(c + at, sum, left);
        }
}

TG_INLINE void FN(gemm_store)(const int vectors, const int rows, vec *sums, real *c, int64_t ldc,
                              const gemm_finish *finish, const int cut, int64_t last) {
    if (!GEMM_MASKED && __builtin_expect(last < LANES, 0)) {
        vec copy[GEMM_MAX_VECTORS * 14];
#pragma GCC unroll 32
        for (int i = 0; i < rows * vectors; i++) copy[i] = sums[i];
        FN(gemm_store_cut)(rows, vectors, copy, c, ldc, finish);
        return;
    }
    real *p = c;
    if (finish->add) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, p += ldc) {
            GEMM_OPAQUE(p);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sums[i * vectors + v] += FN(gemm_load)(p, v, cut, last);
        }
    }
    if (finish->bias) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const vec bias = FN(gemm_load)(finish->bias, v, cut, last);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) sums[i * vectors + v] += bias;
        }
    }
    if (finish->relu) {
#pragma GCC unroll 32
        for (int i = 0; i < rows * vectors; i++) sums[i] = v_select(sums[i] < v_set(0), v_set(0), sums[i]);
    }
    p = c;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++, p += ldc) {
        GEMM_OPAQUE(p);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) FN(gemm_keep)(p, v, cut, last, sums[i * vectors + v]);
    }
}

/* packed: a has GEMM_GROUP == rows elements a step and b whole vectors, both without gaps. */
TG_INLINE void FN(gemm_tile)(const int vectors, const int rows, const int packed, int64_t steps, const real *a, int64_t a_row,
                             int64_t a_step, const real *b, int64_t b_step, real *c, int64_t ldc,
                             const gemm_finish *finish, gemm_copy *copy) {
    vec sums[GEMM_MAX_VECTORS * 14];
    gemm_rows r;
    FN(gemm_point)(rows, packed, a, a_row, &r);
#pragma GCC unroll 32
    for (int i = 0; i < rows * vectors; i++) sums[i] = (vec){0};
    int64_t a_bytes = (packed ? rows : a_step) * (int64_t)sizeof(real);
    if (packed) {
        b_step = vectors * LANES;
    } else { /* no second loops for steps of one element */
        GEMM_OPAQUE(a_bytes);
        GEMM_OPAQUE(b_step);
    }
    const int64_t last = finish->columns - (vectors - 1) * LANES;
    int64_t k = 0;
    if (2 * vectors > GEMM_MAX_VECTORS && rows == GEMM_MAX_ROWS(vectors) && copy && last == LANES) {
        const real *from = copy->from, *const end = from + copy->rows * copy->step;
        real *to = copy->to;
        for (; k + GEMM_STRIDE <= steps && from != end; k += GEMM_STRIDE) {
            const real *soon = from + GEMM_AHEAD * copy->step;
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) {
                /* past the second level: rows 4 KiB apart would drive all else out of the few sets that they share */
                if (v * TG_VECTOR_BYTES % 64 == 0) __builtin_prefetch(soon + v * LANES, 0, 3);
                v_store(to + v * LANES, v_load(from + v * LANES));
            }
            from += copy->step;
            to += vectors * LANES;
#pragma GCC unroll 8
            for (int s = 0; s < GEMM_STRIDE; s++, FN(gemm_forward)(rows, packed, a_bytes, &r, b_step, &b))
                FN(gemm_step)(vectors, rows, &r, b, -1, last, sums);
        }
        copy->rows -= (to - copy->to) / (vectors * LANES);
        copy->from = from;
        copy->to = to;
        int64_t row = 0;
        const char *soon = (const char *)copy->soon;
        for (int64_t left = copy->soon_rows * copy->soon_pieces; left > 0 && k + GEMM_STRIDE <= steps; left--) {
            const char *piece = soon + row * copy->soon_step * (int64_t)sizeof(real);
#pragma GCC unroll 4
            for (int line = 0; line < GEMM_PIECE; line += 64) __builtin_prefetch(piece + line, 0, 2);
            if (++row == copy->soon_rows) {
                row = 0;
                soon += GEMM_PIECE;
            }
#pragma GCC unroll 8
            for (int s = 0; s < GEMM_STRIDE; s++, FN(gemm_forward)(rows, packed, a_bytes, &r, b_step, &b))
                FN(gemm_step)(vectors, rows, &r, b, -1, last, sums);
            k += GEMM_STRIDE;
        }
    }
    if (packed) {
        const int64_t whole = steps - GEMM_UNROLL + 1;
        for (; k < whole - GEMM_FINISH; k += GEMM_UNROLL)
#pragma GCC unroll 4
            for (int s = 0; s < GEMM_UNROLL; s++, FN(gemm_forward)(rows, packed, a_bytes, &r, b_step, &b))
                FN(gemm_step)(vectors, rows, &r, b, -1, last, sums);
        const real *p = c;
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, p += ldc) {
            GEMM_OPAQUE(p);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) __builtin_prefetch(p + v * LANES, 1, 3);
        }
        for (; k < whole; k += GEMM_UNROLL)
#pragma GCC unroll 4
            for (int s = 0; s < GEMM_UNROLL; s++, FN(gemm_forward)(rows, packed, a_bytes, &r, b_step, &b))
                FN(gemm_step)(vectors, rows, &r, b, -1, last, sums);
    }
    if (GEMM_MASKED && !packed && last < LANES) {
        for (; k < steps; k++, FN(gemm_forward)(rows, packed, a_bytes, &r, b_step, &b))
            FN(gemm_step)(vectors, rows, &r, b, vectors - 1, last, sums);
        FN(gemm_store)(vectors, rows, sums, c, ldc, finish, vectors - 1, last);
    } else {
        for (; k < steps; k++, FN(gemm_forward)(rows, packed, a_bytes, &r, b_step, &b))
            FN(gemm_step)(vectors, rows, &r, b, -1, last, sums);
        FN(gemm_store)(vectors, rows, sums, c, ldc, finish, -1, last);
    }
}

#define TG_DEFINE_TILE(vectors, rows)                                                                         \
    GEMM_ALIGNED static void FN(gemm_tile_##vectors##_##rows)(                                                \
        int64_t steps, const real *a, int64_t a_row, int64_t a_step, const real *b, int64_t b_step, real *c,  \
        int64_t ldc, const gemm_finish *finish, gemm_copy *copy) {                                            \
        FN(gemm_tile)(vectors, rows, 0, steps, a, a_row, a_step, b, b_step, c, ldc, finish, copy);            \
    }
GEMM_TILES(TG_DEFINE_TILE)

#define TG_TILE_ENTRY(vectors, rows) [vectors][rows] = FN(gemm_tile_##vectors##_##rows),
static const gemm_tile_fn FN(gemm_tiles)[GEMM_MAX_VECTORS + 1][15] = {GEMM_TILES(TG_TILE_ENTRY)};

#if GEMM_GROUP > 1
/* The full tile of a panel of 3 vectors that was copied, with a's rows interleaved. */
static void FN(gemm_packed_tile)(int64_t steps, const real *a, int64_t a_row, int64_t a_step, const real *b,
                                 int64_t b_step, real *c, int64_t ldc, const gemm_finish *finish, gemm_copy *copy) {
    FN(gemm_tile)(3, GEMM_GROUP, 1, steps, a, a_row, a_step, b, b_step, c, ldc, finish, copy);
}
#endif

#undef TG_DEFINE_TILE
#undef TG_TILE_ENTRY
