/* program.h: what runs one recorded call. The table is made from tensorgrad.h (csrc/build_ffi.py). */
#ifndef TG_PROGRAM_H
#define TG_PROGRAM_H

#include "core.h"

typedef int (*tg_runner)(const int64_t *words);

typedef struct {
    const char *name;
    tg_runner run;
    int words; /* how many it reads */
} tg_function;

extern const tg_function tg_functions[];
extern const int tg_function_count;

static inline double tg_word_double(int64_t word) {
    double value;
    __builtin_memcpy(&value, &word, sizeof value);
    return value;
}
static inline int64_t tg_double_word(double value) {
    int64_t word;
    __builtin_memcpy(&word, &value, sizeof word);
    return word;
}

#endif
