/* harness.h: what a C test needs. A file test_<name>.c defines `void test_<name>(void)`, which calls CHECK as often as it
 * likes, and has its line in TESTS below; that is all.
 */
#ifndef TG_HARNESS_H
#define TG_HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../core/core.h"
#include "../kernels/table.h"

#define TESTS(TEST) \
    TEST(cpu)       \
    TEST(threads)   \
    TEST(memory)    \
    TEST(tables)    \
    TEST(gemm)      \
    TEST(reduce)    \
    TEST(moments)   \
    TEST(move)      \
    TEST(gather)    \
    TEST(softmax)   \
    TEST(norm)      \
    TEST(optimizer) \
    TEST(program)   \
    TEST(custom)    \
    TEST(scan)      \
    TEST(sort)      \
    TEST(tiles)     \
    TEST(binary_grad)

/* Counts a failure and goes on; prints the first ten of a test. Callable from any thread. */
#define CHECK(condition) ((condition) ? (void)0 : test_failed(__FILE__, __LINE__, "%s", #condition))
/* The same with a message of its own, as printf takes it. */
#define CHECK_THAT(condition, ...) ((condition) ? (void)0 : test_failed(__FILE__, __LINE__, __VA_ARGS__))

void test_failed(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
int test_failures(void); /* so far in this process: what a forked child returns to its parent */

/* Reproducible pseudo-random numbers (splitmix64). */
uint64_t test_random(uint64_t *state);
double test_uniform(uint64_t *state, double low, double high);
/* The same as elements of a dtype: out: (n) */
void test_fill(int dtype, int64_t n, void *out, uint64_t *state, double low, double high);
double test_element(int dtype, const void *array, int64_t i);

/* NaN agrees with NaN, an infinity with itself, and else |a - b| <= tolerance * max(1, |a|, |b|). */
bool test_close(double a, double b, double tolerance);

/* Whether the tests run in an emulator (TEST_EMULATED is set): qemu's user mode dies when a forked child starts a thread, and does
 * not limit the address space. What needs these is left out, and said. */
bool test_emulated(const char *what);

/* Runs `body` in a forked child; true if it ended normally, in time, with no failure of its own. */
bool test_in_child(void (*body)(void));

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define TEST_SANITIZED 1
#endif
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED 1
#endif

#endif
