/* move_table.h: the data movement that has to know the element's width. The tables of float32 and float64 serve every 4 and
 * 8 byte element. */
#ifndef TG_MOVE_TABLE_H
#define TG_MOVE_TABLE_H

#include <stdint.h>

typedef struct {
    /* dst[c * dst_stride + r] = src[r * src_stride + c]. src: (rows, cols), dst: (cols, rows) */
    void (*transpose)(int64_t rows, int64_t cols, const void *src, int64_t src_stride, void *dst, int64_t dst_stride);
    void (*accumulate)(int64_t n, const void *x, void *y); /* y[i] += x[i]. x, y: (n) */
    /* dst[i] = src[i], written past the caches; dst is TG_ALIGNMENT-aligned. src, dst: (n) */
    void (*stream)(int64_t n, const void *src, void *dst);
} tg_move_kernels;

#endif
