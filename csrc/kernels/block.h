/* block.h: chains of cheap steps in registers; included once per element type.
 *
 * A step is a function that gets the block as its arguments, for which the calling conventions of x86-64 and AArch64 have eight
 * vector registers, and that ends with a call of the next step, of which compilers make a jump. So a step costs its loads, its
 * arithmetic and an indirect jump, and nothing is stored in between. They compute by the functions of unary.h and binary.h.
 */
#define TG_BLOCK vec a0, vec a1, vec a2, vec a3, vec a4, vec a5, vec a6, vec a7
typedef void (*FN(block_fn))(const tg_block_step *s, int64_t i, TG_BLOCK);

/* Runs `action` on every vector `a` of the block, with the vector `x` of the step's data; then the next step. */
#define TG_BLOCK_VECTOR(k, action)   \
    {                                \
        vec a = a##k;                \
        real *at = data + k * LANES; \
        action;                      \
        a##k = a;                    \
    }
#define TG_DEFINE_BLOCK(name, action)                                      \
    static void FN(name)(const tg_block_step *s, int64_t i, TG_BLOCK) {    \
        real *data = (real *)s->data + (i & s->advances);                  \
        const vec p0 = v_set(s->p0), p1 = v_set(s->p1);                    \
        (void)data, (void)p0, (void)p1;                                    \
        TG_BLOCK_VECTOR(0, action)                                         \
        TG_BLOCK_VECTOR(1, action)                                         \
        TG_BLOCK_VECTOR(2, action)                                         \
        TG_BLOCK_VECTOR(3, action)                                         \
        TG_BLOCK_VECTOR(4, action)                                         \
        TG_BLOCK_VECTOR(5, action)                                         \
        TG_BLOCK_VECTOR(6, action)                                         \
        TG_BLOCK_VECTOR(7, action)                                         \
        ((FN(block_fn))s[1].fn)(s + 1, i, a0, a1, a2, a3, a4, a5, a6, a7); \
    }

TG_DEFINE_BLOCK(block_load, (void)at; a = v_load(at))
TG_DEFINE_BLOCK(block_fetch, (void)a; __builtin_prefetch((const char *)at + TG_FETCH_AHEAD))
TG_DEFINE_BLOCK(block_store, v_store(at, a))
#if defined(__x86_64__)
TG_DEFINE_BLOCK(block_stream, TG_MM(stream)(at, (TG_MM_VEC)a))
#else
#define block_stream_f32 block_store_f32
#define block_stream_f64 block_store_f64
#endif
static void FN(block_stop)(const tg_block_step *s, int64_t i, TG_BLOCK) {
    (void)s, (void)i, (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7;
}

#define TG_BLOCK_BINARY(OP) OP(add) OP(sub) OP(mul) OP(div) OP(maximum) OP(minimum) OP(larger_share)
#define TG_BLOCK_UNARY(OP) OP(relu) OP(leaky_relu) OP(scale) OP(neg) OP(abs) OP(square) OP(sqrt)
#define TG_BLOCK_GRADIENT(OP) OP(relu) OP(leaky_relu) OP(tanh) OP(sigmoid) OP(exp) OP(square)

#define TG_DEFINE_BINARY(name)                                                        \
    TG_DEFINE_BLOCK(block_##name, a = FN(name##_of)(a, v_load(at)))                   \
    TG_DEFINE_BLOCK(block_##name##_right, a = FN(name##_of)(v_load(at), a))           \
    TG_DEFINE_BLOCK(block_##name##_one, (void)at; a = FN(name##_of)(a, v_load(data))) \
    TG_DEFINE_BLOCK(block_##name##_one_right, (void)at; a = FN(name##_of)(v_load(data), a))
#define TG_DEFINE_UNARY(name) TG_DEFINE_BLOCK(block_##name, (void)at; a = FN(name##_value)(a, p0, p1))
#define TG_DEFINE_GRADIENT(name) TG_DEFINE_BLOCK(block_##name##_gradient, a = FN(name##_derive)(a, v_load(at), p0, p1))
TG_BLOCK_BINARY(TG_DEFINE_BINARY)
TG_BLOCK_UNARY(TG_DEFINE_UNARY)
TG_BLOCK_GRADIENT(TG_DEFINE_GRADIENT)

static int64_t FN(block_run)(int64_t n, const tg_block_step *steps) {
    int64_t i = 0;
    const vec zero = {0};
    for (; n - i >= 8 * LANES; i += 8 * LANES)
        ((FN(block_fn))steps->fn)(steps, i, zero, zero, zero, zero, zero, zero, zero, zero);
    return i;
}

#define TG_LEFT(name) [TG_BINARY_##name] = (tg_block_fn)FN(block_##name),
#define TG_RIGHT(name) [TG_BINARY_##name] = (tg_block_fn)FN(block_##name##_right),
#define TG_LEFT_ONE(name) [TG_BINARY_##name] = (tg_block_fn)FN(block_##name##_one),
#define TG_RIGHT_ONE(name) [TG_BINARY_##name] = (tg_block_fn)FN(block_##name##_one_right),
#define TG_VALUE(name) [TG_UNARY_##name] = (tg_block_fn)FN(block_##name),
#define TG_GRADIENT(name) [TG_UNARY_##name] = (tg_block_fn)FN(block_##name##_gradient),
static const tg_block_kernels FN(block_kernels) = {
    .elements = 8 * TG_VECTOR_BYTES / sizeof(real),
    .load = (tg_block_fn)FN(block_load),
    .fetch = (tg_block_fn)FN(block_fetch),
    .store = (tg_block_fn)FN(block_store),
    .stream = (tg_block_fn)FN(block_stream),
    .stop = (tg_block_fn)FN(block_stop),
    .binary = {{{TG_BLOCK_BINARY(TG_LEFT)}, {TG_BLOCK_BINARY(TG_RIGHT)}},
               {{TG_BLOCK_BINARY(TG_LEFT_ONE)}, {TG_BLOCK_BINARY(TG_RIGHT_ONE)}}},
    .unary = {TG_BLOCK_UNARY(TG_VALUE)},
    .gradient = {TG_BLOCK_GRADIENT(TG_GRADIENT)},
    .run = FN(block_run),
};

#undef TG_LEFT
#undef TG_RIGHT
#undef TG_LEFT_ONE
#undef TG_RIGHT_ONE
#undef TG_VALUE
#undef TG_GRADIENT
#undef TG_DEFINE_BINARY
#undef TG_DEFINE_UNARY
#undef TG_DEFINE_GRADIENT
#undef TG_BLOCK_BINARY
#undef TG_BLOCK_UNARY
#undef TG_BLOCK_GRADIENT
#undef TG_DEFINE_BLOCK
#undef TG_BLOCK_VECTOR
#undef TG_BLOCK
