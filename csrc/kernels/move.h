/* move.h; included once per element type. */

static const tg_move_kernels FN(move_kernels) = {0};
