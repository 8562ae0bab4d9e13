/* cpu.c: what this CPU can run, and the choice of the kernel table. Compiled without ISA flags, like all of core. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "../kernels/table.h"

#if defined(__x86_64__)
enum {
    LEAF1_ECX_FMA = 1 << 12,
    LEAF1_ECX_OSXSAVE = 1 << 27,
    LEAF7_EBX_AVX2 = 1 << 5,
    LEAF7_EBX_AVX512F = 1 << 16,
    LEAF7_EBX_AVX512DQ = 1 << 17,
    LEAF7_EBX_AVX512BW = 1 << 30,
    XCR0_YMM = 0x06, /* SSE and AVX state */
    XCR0_ZMM = 0xe6  /* and opmask, upper halves of zmm0-15, zmm16-31 */
};
static const unsigned LEAF7_EBX_AVX512VL = 1u << 31; /* does not fit in an enum */

/* The register state that the operating system saves on a context switch: without it, wide registers would be corrupted. */
static unsigned os_saved_state(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has(unsigned state, unsigned leaf1_ecx, unsigned leaf7_ebx) {
    unsigned eax, ebx, ecx, edx;
    const unsigned needed = leaf1_ecx | LEAF1_ECX_OSXSAVE;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & needed) != needed) return false;
    if ((os_saved_state() & state) != state) return false;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & leaf7_ebx) == leaf7_ebx;
}

static bool runs_avx2(void) { return has(XCR0_YMM, LEAF1_ECX_FMA, LEAF7_EBX_AVX2); }

static bool runs_avx512(void) {
    return has(XCR0_ZMM, LEAF1_ECX_FMA,
               LEAF7_EBX_AVX2 | LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512DQ | LEAF7_EBX_AVX512BW | LEAF7_EBX_AVX512VL);
}
#endif

static bool runs_always(void) { return true; }

static const struct {
    const tg_kernels *table;
    bool (*runs)(void);
} tables[] = {/* best first; the last runs on every CPU of the architecture */
#if defined(__x86_64__)
              {&tg_kernels_avx512, runs_avx512},
              {&tg_kernels_avx2, runs_avx2},
#endif
#if defined(__aarch64__)
              {&tg_kernels_neon, runs_always}
#else
              {&tg_kernels_baseline, runs_always}
#endif
};
enum { TABLE_COUNT = sizeof tables / sizeof tables[0] };

#if defined(__aarch64__)
const tg_kernels *tg_active = &tg_kernels_neon;
#else
const tg_kernels *tg_active = &tg_kernels_baseline;
#endif

static const tg_kernels *available(int index) {
    for (int i = 0; i < TABLE_COUNT; i++)
        if (tables[i].runs() && index-- == 0) return tables[i].table;
    return NULL;
}

__attribute__((constructor)) static void choose_table(void) { tg_active = available(0); }

const char *tg_isa(void) { return tg_active->name; }

const char *tg_isa_available(int index) {
    const tg_kernels *table = index < 0 ? NULL : available(index);
    return table ? table->name : NULL;
}

int tg_select_isa(const char *name) {
    if (!name) return TG_BAD_ARGUMENT;
    const tg_kernels *table;
    for (int i = 0; (table = available(i)); i++) {
        if (strcmp(table->name, name) == 0) {
            tg_active = table;
            return TG_OK;
        }
    }
    return TG_BAD_ARGUMENT;
}

int tg_abi_version(void) { return TG_ABI_VERSION; }

const char *tg_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

const char *tg_build_flags(void) {
#if defined(TG_BUILD_FLAGS)
    return TG_BUILD_FLAGS;
#else
    return "unknown";
#endif
}

#if defined(__linux__)
/* sysfs states what sysconf leaves out (musl; glibc on aarch64). Entries of cpu0: index<i>/{level,type,size}, size as "48K". */
static int64_t cache_from_sysfs(int level) {
    for (int i = 0; i < 8; i++) {
        char path[96], type[16] = "", unit = 0;
        int found = 0;
        long size = 0;
        static const char *const files[] = {"level", "type", "size"};
        for (int f = 0; f < 3; f++) {
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", i, files[f]);
            FILE *file = fopen(path, "re");
            if (!file) return 0;
            const int fields = f == 0   ? fscanf(file, "%d", &found)
                               : f == 1 ? fscanf(file, "%15s", type)
                                        : fscanf(file, "%ld%c", &size, &unit);
            fclose(file);
            if (fields < 1) return 0;
        }
        if (found == level && strcmp(type, "Instruction") != 0)
            return (int64_t)size * (unit == 'K' ? 1024 : unit == 'M' ? 1 << 20 : 1);
    }
    return 0;
}
#endif

int64_t tg_cache_bytes(int level) {
    if (level < 1 || level > 3) return 0;
#if defined(__APPLE__)
    static const char *const names[] = {"hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"};
    int64_t bytes = 0;
    size_t size = sizeof bytes;
    return sysctlbyname(names[level - 1], &bytes, &size, NULL, 0) == 0 ? bytes : 0;
#elif defined(__linux__)
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    const long bytes = sysconf(names[level - 1]);
    if (bytes > 0) return bytes;
#endif
    return cache_from_sysfs(level);
#else
    return 0;
#endif
}
