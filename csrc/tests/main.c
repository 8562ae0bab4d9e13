/* main.c: runs every test, or those named on the command line; exits with 1 if one fails. */
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define DECLARE(name) void test_##name(void);
TESTS(DECLARE)

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
#define ROW(name) {#name, test_##name},
    TESTS(ROW)};
enum { TEST_COUNT = sizeof tests / sizeof tests[0], PRINTED_PER_TEST = 10, CHILD_SECONDS = 60 };

static atomic_int failures;
static int failures_before; /* the running test */

void test_failed(const char *file, int line, const char *format, ...) {
    if (atomic_fetch_add(&failures, 1) - failures_before >= PRINTED_PER_TEST) return;
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "  %s:%d: failed: %s\n", file, line, message);
}

int test_failures(void) { return atomic_load(&failures); }

uint64_t test_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double test_uniform(uint64_t *state, double low, double high) {
    return low + (high - low) * ((double)(test_random(state) >> 11) * 0x1p-53);
}

void test_fill(int dtype, int64_t n, void *out, uint64_t *state, double low, double high) {
    for (int64_t i = 0; i < n; i++) {
        const double value = test_uniform(state, low, high);
        if (dtype == TG_F32)
            ((float *)out)[i] = (float)value;
        else
            ((double *)out)[i] = value;
    }
}

double test_element(int dtype, const void *array, int64_t i) {
    return dtype == TG_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

bool test_close(double a, double b, double tolerance) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= tolerance * fmax(1, fmax(fabs(a), fabs(b)));
}

bool test_emulated(const char *what) {
    if (!getenv("TEST_EMULATED")) return false;
    printf("  not in an emulator: %s\n", what);
    return true;
}

bool test_in_child(void (*body)(void)) {
    fflush(NULL);
    const int before = test_failures();
    const pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        body();
        fflush(NULL);
        _exit(test_failures() != before);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool chosen(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return argc == 1;
}

int main(int argc, char **argv) {
    int run = 0, failed = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        if (!chosen(tests[i].name, argc, argv)) continue;
        failures_before = test_failures();
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        tests[i].run();
        clock_gettime(CLOCK_MONOTONIC, &end);
        const double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
        const int count = test_failures() - failures_before;
        printf("%-12s %s  %.2f s", tests[i].name, count ? "FAILED" : "ok", seconds);
        printf(count ? "  (%d checks failed)\n" : "\n", count);
        fflush(stdout);
        run++;
        failed += count != 0;
    }
    if (run == 0) fprintf(stderr, "no test of that name\n");
    printf("%d of %d tests passed (%s)\n", run - failed, run, tg_isa());
    return failed != 0 || run == 0;
}
