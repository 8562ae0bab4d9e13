/* What every CPU of the architecture has (SSE2 on x86-64). */
#if !defined(__aarch64__)
#define TG_ISA baseline
#define TG_VECTOR_BYTES 16
#include "../kernels/system.h"
#include "../kernels/all.h"
#endif
