/* families.h: the bodies of all families, for one element type. */
#include "simd_ops.h"
#include "vmath.h"
#include "lanes.h"

#include "unary.h"
#include "binary.h"
#include "move.h"
#include "reduce.h"
#include "softmax.h"
#include "norm.h"
#include "gemm.h"
#include "optimizer.h"
#include "random.h"
