/* limits.c: how many CPUs and how much memory the system grants this process. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

#if defined(__linux__)
/* The limit that the control group in `folder` states, INT64_MAX where it states none. */
typedef int64_t (*limit_fn)(const char *folder);

/* The first one or two whole numbers in folder/file; returns how many there are ("max" is none). */
static int read_numbers(const char *folder, const char *name, long long numbers[2]) {
    char path[4352];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    const int count = fscanf(file, "%lld %lld", &numbers[0], &numbers[1]);
    fclose(file);
    return count;
}

/* A fraction of a CPU counts as one: two threads on a quota of 1.5 finish sooner than one. */
static int64_t cpus_of_quota(long long quota, long long period) {
    return quota > 0 && period > 0 ? quota / period + (quota % period != 0) : INT64_MAX;
}

static int64_t cpus_v2(const char *folder) {
    long long numbers[2];
    return read_numbers(folder, "cpu.max", numbers) == 2 ? cpus_of_quota(numbers[0], numbers[1]) : INT64_MAX;
}

static int64_t cpus_v1(const char *folder) {
    long long quota[2], period[2];
    if (read_numbers(folder, "cpu.cfs_quota_us", quota) < 1 || read_numbers(folder, "cpu.cfs_period_us", period) < 1)
        return INT64_MAX;
    return cpus_of_quota(quota[0], period[0]);
}

static int64_t memory_v2(const char *folder) {
    long long bytes[2];
    return read_numbers(folder, "memory.max", bytes) >= 1 ? bytes[0] : INT64_MAX;
}

static int64_t memory_v1(const char *folder) {
    long long bytes[2];
    return read_numbers(folder, "memory.limit_in_bytes", bytes) >= 1 ? bytes[0] : INT64_MAX;
}

/* The smallest limit on the way from the process's group up to the root of the hierarchy: any ancestor may be the one that
 * binds. In a container the group's path may not exist below the mount; then the mount itself holds the container's limit. */
static int64_t smallest_limit(const char *mount, const char *group, limit_fn limit) {
    char folder[4224];
    const size_t root = strlen(mount);
    int64_t smallest = INT64_MAX;
    if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder) return smallest;
    for (;;) {
        const int64_t found = limit(folder);
        if (found < smallest) smallest = found;
        char *slash = strrchr(folder + root, '/');
        if (!slash) return smallest;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/group" (v2, all controllers), "4:cpu,cpuacct:/group" (v1). */
static int64_t cgroup_limit(const char *controller, limit_fn v2, limit_fn v1) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return INT64_MAX;
    char line[4160];
    int64_t smallest = INT64_MAX;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        int64_t found = INT64_MAX;
        if (*++controllers == '\0') {
            found = smallest_limit("/sys/fs/cgroup", group, v2);
        } else {
            char *rest = NULL;
            for (char *name = strtok_r(controllers, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
                if (strcmp(name, controller) != 0) continue;
                char mount[64];
                snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
                found = smallest_limit(mount, group, v1);
            }
        }
        if (found < smallest) smallest = found;
    }
    fclose(file);
    return smallest;
}

static int64_t affinity_cpus(void) {
    for (size_t cpus = 1024; cpus <= 1 << 20; cpus *= 4) { /* the kernel refuses a set smaller than its own */
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) break;
        const int failed = sched_getaffinity(0, CPU_ALLOC_SIZE(cpus), set);
        const int count = failed ? 0 : CPU_COUNT_S(CPU_ALLOC_SIZE(cpus), set);
        CPU_FREE(set);
        if (count > 0) return count;
    }
    return sysconf(_SC_NPROCESSORS_ONLN);
}
#endif

int tg_default_num_threads(void) {
#if defined(__linux__)
    int64_t count = affinity_cpus();
    const int64_t quota = cgroup_limit("cpu", cpus_v2, cpus_v1);
    if (quota < count) count = quota;
#else
    int64_t count = sysconf(_SC_NPROCESSORS_ONLN);
#endif
    return count < 1 ? 1 : count > TG_MAX_THREADS ? TG_MAX_THREADS : (int)count;
}

int64_t tg_granted_memory(void) {
    const int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    int64_t bytes;
    if (tg_mul_overflows(pages, page, &bytes)) bytes = INT64_C(1) << 30; /* unknown: assume little */
#if defined(__linux__)
    const int64_t limit = cgroup_limit("memory", memory_v2, memory_v1);
    if (limit < bytes) bytes = limit;
#endif
    return bytes;
}
