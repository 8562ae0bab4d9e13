/* test_move.c: copies, transposes and gathers against plain loops, small ones and those that go past the caches. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

/* dst (cols, rows + gap) = the transpose of src (rows, cols), and begins `shift` elements past an aligned address */
static void check_transpose(int itemsize, int64_t rows, int64_t cols, int64_t gap, size_t shift) {
    const size_t size = (size_t)itemsize, line = (size_t)(rows + gap) * size, whole = (size_t)cols * line;
    char *src = malloc((size_t)(rows * cols) * size), *block = malloc(64 + whole + shift * size);
    CHECK(src && block);
    if (!src || !block) return;
    char *dst = block + (64 - (uintptr_t)block % 64) + shift * size;
    for (int64_t i = 0; i < rows * cols * itemsize; i++) src[i] = (char)(i * 7 + i / 251);
    memset(dst, 1, whole);
    tg_layout layout = {.ndim = 2, .shape = {cols, rows}, .strides = {{1, cols}, {rows + gap, 1}}};
    CHECK(tg_copy(itemsize, src, dst, &layout) == TG_OK);
    int wrong = 0;
    for (int64_t c = 0; c < cols; c++) {
        for (int64_t r = 0; r < rows; r++)
            wrong += memcmp(dst + (size_t)c * line + (size_t)r * size, src + (size_t)(r * cols + c) * size, size) != 0;
        for (size_t i = (size_t)rows * size; i < line; i++) wrong += dst[(size_t)c * line + i] != 1;
    }
    CHECK_THAT(wrong == 0, "%s: transpose of (%d, %d), %d bytes each: %d wrong", tg_isa(), (int)rows, (int)cols,
               itemsize, wrong);
    free(src), free(block);
}

/* Lines of `inner` bytes, gathered, and copied between arrays whose lines are longer. */
static void check_lines(int64_t count, int64_t inner, uint64_t *random) {
    const size_t whole = (size_t)(count * inner);
    char *src = malloc(whole), *dst = malloc(whole + 3);
    int64_t *index = calloc((size_t)count, sizeof *index);
    CHECK(src && dst && index);
    if (!src || !dst || !index) return;
    for (size_t i = 0; i < whole; i++) src[i] = (char)(i * 5 + i / 253);
    for (int64_t i = 0; i < count; i++) index[i] = (int64_t)(test_random(random) % (uint64_t)count) - i % 2 * count;
    CHECK(tg_take(1, 1, count, inner, count, index, src, dst + 3) == TG_OK);
    int wrong = 0;
    for (int64_t i = 0; i < count; i++)
        wrong += memcmp(dst + 3 + i * inner, src + (index[i] + (index[i] < 0 ? count : 0)) * inner, (size_t)inner) != 0;
    tg_layout layout = {.ndim = 2, .shape = {count, inner - 1}, .strides = {{inner, 1}, {inner, 1}}};
    memset(dst, 1, whole);
    CHECK(tg_copy(1, src, dst, &layout) == TG_OK);
    for (int64_t i = 0; i < count; i++)
        wrong += memcmp(dst + i * inner, src + i * inner, (size_t)inner - 1) != 0 || dst[i * inner + inner - 1] != 1;
    CHECK_THAT(wrong == 0, "%s: %d lines of %d bytes: %d wrong", tg_isa(), (int)count, (int)inner, wrong);
    free(src), free(dst), free(index);
}

/* One line, which threads share: whatever its length and wherever it begins, and nothing around it. */
static void check_one_line(int64_t bytes, size_t shift) {
    char *src = malloc((size_t)bytes), *block = malloc((size_t)bytes + 192);
    CHECK(src && block);
    if (!src || !block) return;
    char *dst = block + (64 - (uintptr_t)block % 64) + shift;
    for (int64_t i = 0; i < bytes; i++) src[i] = (char)(i * 5 + i / 253);
    memset(block, 1, (size_t)bytes + 192);
    const tg_layout layout = {.ndim = 1, .shape = {bytes}, .strides = {{1}, {1}}};
    CHECK(tg_copy(1, src, dst, &layout) == TG_OK);
    const int around = dst[-1] == 1 && dst[bytes] == 1;
    CHECK_THAT(around && memcmp(src, dst, (size_t)bytes) == 0, "%s: a line of %d bytes, %d off", tg_isa(), (int)bytes,
               (int)shift);
    free(src), free(block);
}

void test_move(void) {
    const char *const best = tg_isa();
    const int threads = tg_get_num_threads();
    uint64_t random = 1;
    for (int i = 0; tg_isa_available(i); i++) {
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int itemsize = 4; itemsize <= 8; itemsize *= 2) {
            tg_set_num_threads(itemsize == 4 ? 1 : 2);
            check_transpose(itemsize, 3, 5, 1, 1);
            check_transpose(itemsize, 67, 130, 0, 0);
            check_transpose(itemsize, 515, 1030, 3, 2);  /* through the buffer */
            check_transpose(itemsize, 2051, 4111, 1, 1); /* past the caches */
        }
        const int64_t lines[] = {1, 16383, 16384, 16385, 700001, (33 << 20) + 7}; /* the last past the caches */
        for (int n = 1; n <= 3; n++) {
            tg_set_num_threads(n);
            for (size_t k = 0; k < sizeof lines / sizeof lines[0]; k++) check_one_line(lines[k], n == 2 ? 3 : 64);
        }
        check_lines(100, 7, &random);
        check_lines(20011, 1999, &random);
    }
    CHECK(tg_select_isa(best) == TG_OK);
    tg_set_num_threads(threads);
}
