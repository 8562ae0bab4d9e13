/* map.h: the kernels of TG_MAP_OPS, which a custom op lists: y = f(a, b, c, d), element by element, with parameters p0 to p3;
 * included once per element type.
 *
 * TG_MAP_OP(name, cost, inputs, expression in as many of the vectors a, b, c, d as there are inputs)
 */
#define TG_MAP_LOAD(k, i, count) (step[k] ? v_load_upto((const real *)in[k] + (i), count) : first[k])

#define TG_DEFINE_MAP(name, cost, inputs, expression)                                                                  \
    TG_INLINE vec FN(name##_of)(vec a, vec b, vec c, vec d, vec p0, vec p1, vec p2, vec p3) {                          \
        (void)a, (void)b, (void)c, (void)d, (void)p0, (void)p1, (void)p2, (void)p3;                                    \
        return (expression);                                                                                           \
    }                                                                                                                  \
    static void FN(name)(int64_t n, const void *const *in, const int64_t *step, void *out, const double *p) {          \
        real *y = out;                                                                                                 \
        vec first[4] = {{0}};                                                                                          \
        for (int k = 0; k < (inputs); k++)                                                                             \
            if (!step[k]) first[k] = v_set((double)*(const real *)in[k]);                                              \
        const vec p0 = v_set(p[0]), p1 = v_set(p[1]), p2 = v_set(p[2]), p3 = v_set(p[3]);                              \
        TG_FOR_VECTORS(cost, n,                                                                                        \
                       v_store_upto(y + i,                                                                             \
                                    FN(name##_of)((inputs) > 0 ? TG_MAP_LOAD(0, i, count) : first[0],                  \
                                                  (inputs) > 1 ? TG_MAP_LOAD(1, i, count) : first[1],                  \
                                                  (inputs) > 2 ? TG_MAP_LOAD(2, i, count) : first[2],                  \
                                                  (inputs) > 3 ? TG_MAP_LOAD(3, i, count) : first[3], p0, p1, p2, p3), \
                                    count));                                                                           \
    }
TG_MAP_OPS(TG_DEFINE_MAP)

#undef TG_DEFINE_MAP
#undef TG_MAP_LOAD
