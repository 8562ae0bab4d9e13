/* lanes.h: moving data between the lanes of vectors; included once per element type. */

/* M(0, s), M(1, s), ...: one shuffle index for every lane */
#undef TG_LANE_LIST
#if TG_VECTOR_BYTES * 8 / TG_BITS == 2
#define TG_LANE_LIST(M, s) M(0, s), M(1, s)
#elif TG_VECTOR_BYTES * 8 / TG_BITS == 4
#define TG_LANE_LIST(M, s) M(0, s), M(1, s), M(2, s), M(3, s)
#elif TG_VECTOR_BYTES * 8 / TG_BITS == 8
#define TG_LANE_LIST(M, s) M(0, s), M(1, s), M(2, s), M(3, s), M(4, s), M(5, s), M(6, s), M(7, s)
#else
#define TG_LANE_LIST(M, s)                                                                                        \
    M(0, s), M(1, s), M(2, s), M(3, s), M(4, s), M(5, s), M(6, s), M(7, s), M(8, s), M(9, s), M(10, s), M(11, s), \
        M(12, s), M(13, s), M(14, s), M(15, s)
#endif
#define TG_SHUFFLE(a, b, M, s) __builtin_shufflevector(a, b, TG_LANE_LIST(M, s))

/* Steps of 8, 4 or 2 do not occur where there are no more lanes than that; the remainder keeps their indices valid. */
#define TG_EXCHANGED(lane, s) ((lane ^ s) % (TG_VECTOR_BYTES * 8 / TG_BITS))
#define TG_EVEN_OF_TWO(lane, s) \
    ((lane & s ? TG_VECTOR_BYTES * 8 / TG_BITS + lane - s : lane) % (TG_VECTOR_BYTES * 16 / TG_BITS))
#define TG_ODD_OF_TWO(lane, s) \
    ((lane & s ? TG_VECTOR_BYTES * 8 / TG_BITS + lane : lane + s) % (TG_VECTOR_BYTES * 16 / TG_BITS))

/* Lane i of the result is lane i ^ step of x; step is a constant power of two below LANES. */
TG_INLINE vec v_exchange(vec x, int step) {
    switch (step) {
    case 8: return TG_SHUFFLE(x, x, TG_EXCHANGED, 8);
    case 4: return TG_SHUFFLE(x, x, TG_EXCHANGED, 4);
    case 2: return TG_SHUFFLE(x, x, TG_EXCHANGED, 2);
    default: return TG_SHUFFLE(x, x, TG_EXCHANGED, 1);
    }
}

/* One step of Eklundh 1972: swaps the off-diagonal step x step blocks of every 2 step x 2 step block. */
#define TG_TRANSPOSE_STEP(s)                                            \
    if (LANES > s) {                                                    \
        _Pragma("GCC unroll 16") for (int i = 0; i < (int)LANES; i++) { \
            if (i & s) continue;                                        \
            const vec a = t[i], b = t[(i + s) % LANES];                 \
            t[i] = TG_SHUFFLE(a, b, TG_EVEN_OF_TWO, s);                 \
            t[(i + s) % LANES] = TG_SHUFFLE(a, b, TG_ODD_OF_TWO, s);    \
        }                                                               \
    }

/* Lane j of vector i becomes lane i of vector j. t: (LANES) */
TG_INLINE void v_transpose(vec *t){TG_TRANSPOSE_STEP(8) TG_TRANSPOSE_STEP(4) TG_TRANSPOSE_STEP(2) TG_TRANSPOSE_STEP(1)}

/* 0, 1, 2, ... */
#define TG_LANE_INDEX(lane, s) lane
TG_INLINE ivec v_lane_index(void) {
    return (ivec){TG_LANE_LIST(TG_LANE_INDEX, 0)};
}

/* The first `count` lanes, the others read as `fill`; any count from 0 to more than LANES. */
TG_INLINE vec v_load_fill(const real *p, int64_t count, vec fill) {
    if (count >= LANES) return v_load(p);
    return v_select(v_lane_index() < (integer)count, v_load_part(p, count), fill);
}

#undef TG_EXCHANGED
#undef TG_EVEN_OF_TWO
#undef TG_ODD_OF_TWO
#undef TG_TRANSPOSE_STEP
#undef TG_LANE_INDEX
