#if defined(__x86_64__)
#include "target.h"
/* clang-format off */
#include "../kernels/system.h" /* before the switch: inline functions of system headers keep the baseline set */
TG_TARGET_BEGIN("avx2,fma")
#define TG_ISA avx2
#define TG_VECTOR_BYTES 32
#include "../kernels/all.h"
TG_TARGET_END
#endif
