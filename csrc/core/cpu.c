#include "../kernels/table.h"
const tg_kernels *tg_active = &tg_kernels_baseline;
