/* all.h: every family, compiled for the ISA of the including file (TG_ISA, TG_VECTOR_BYTES), and the ISA's kernel table. */
#include "simd.h"
#include "table.h"

#define TG_SUFFIX f32
#define TG_BITS 32
#include "families.h"
#undef TG_SUFFIX
#undef TG_BITS

#define TG_SUFFIX f64
#define TG_BITS 64
#include "families.h"
#undef TG_SUFFIX
#undef TG_BITS

#define TG_STRING_(x) #x
#define TG_STRING(x) TG_STRING_(x)

const tg_kernels TG_CAT(tg_kernels_, TG_ISA) = {
    .name = TG_STRING(TG_ISA),
    .unary = {&unary_kernels_f32, &unary_kernels_f64},
    .binary = {&binary_kernels_f32, &binary_kernels_f64},
    .block = {&block_kernels_f32, &block_kernels_f64},
    .move = {&move_kernels_f32, &move_kernels_f64},
    .reduce = {&reduce_kernels_f32, &reduce_kernels_f64},
    .softmax = {&softmax_kernels_f32, &softmax_kernels_f64},
    .norm = {&norm_kernels_f32, &norm_kernels_f64},
    .gemm = {&gemm_kernels_f32, &gemm_kernels_f64},
    .optimizer = {&optimizer_kernels_f32, &optimizer_kernels_f64},
    .random = {&random_kernels_f32, &random_kernels_f64},
    .scan = {&scan_kernels_f32, &scan_kernels_f64},
};
