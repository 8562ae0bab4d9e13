/* tensorgrad_simd.h: the vectors and the vectorised mathematics of tensorgrad's own kernels, for kernels of your own.
 *
 * What follows has a suffix for the element type: vec_f32 and vec_f64 are vectors of TG_VECTOR_BYTES, v_load_f32(p) reads one from
 * anywhere, v_exp_f32(x), v_tanh_f64(x), ... compute on all lanes; + - * / and comparisons are the language's. Between
 * `#define TG_SUFFIX f32` and `#undef TG_SUFFIX` the names without a suffix mean that type. kernels/simd_ops.h and
 * kernels/vmath.h say what there is and how accurate it is.
 *
 * tensorgrad.ops.load passes the flags of the machine's instruction set; elsewhere TG_VECTOR_BYTES falls to what every machine has.
 */
#ifndef TENSORGRAD_SIMD_H
#define TENSORGRAD_SIMD_H

#ifndef TG_VECTOR_BYTES
#define TG_VECTOR_BYTES 16
#endif

#include "kernels/system.h"
#include "kernels/simd.h"
#include "kernels/cost.h"

#define TG_SUFFIX f32
#define TG_BITS 32
#include "kernels/simd_ops.h"
#include "kernels/vmath.h"
#include "kernels/lanes.h"
#undef TG_SUFFIX
#undef TG_BITS

#define TG_SUFFIX f64
#define TG_BITS 64
#include "kernels/simd_ops.h"
#include "kernels/vmath.h"
#include "kernels/lanes.h"
#undef TG_SUFFIX
#undef TG_BITS

#endif
