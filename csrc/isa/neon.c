#if defined(__aarch64__)
#define TG_ISA neon
#define TG_VECTOR_BYTES 16
#include "../kernels/system.h"
#include "../kernels/all.h"
#endif
