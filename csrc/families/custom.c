/* custom.c: the ops that were added at run time. */
#include "custom.h"

#include <pthread.h>

#include "../kernels/table.h"

enum { MOST = 4096, FAMILIES = 3 };

static tg_custom added[FAMILIES][MOST];
static int counts[FAMILIES]; /* written under the lock, after the entry; read without it */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A family's place in the tables, and how many ops it has of its own. */
static int place_of(int family, int *own) {
    switch (family) {
    case TG_UNARY: *own = TG_UNARY_COUNT; return 0;
    case TG_BINARY: *own = TG_BINARY_COUNT; return 1;
    case TG_MAP: *own = 0; return 2;
    default: return -1;
    }
}

const tg_custom *tg_custom_at(int family, int number) {
    int own;
    const int place = place_of(family, &own);
    if (place < 0 || number < 0 || number >= __atomic_load_n(&counts[place], __ATOMIC_ACQUIRE)) return NULL;
    return &added[place][number];
}

int tg_custom_add(int family, int cost, int inputs, const void *f32, const void *f64) {
    int own;
    const int place = place_of(family, &own);
    if (place < 0 || !f32 || !f64 || inputs < 1 || inputs > TG_MAP_INPUTS) return -TG_BAD_ARGUMENT;
    pthread_mutex_lock(&lock);
    const int number = counts[place];
    if (number < MOST) {
        added[place][number] = (tg_custom){cost, inputs, {f32, f64}};
        __atomic_store_n(&counts[place], number + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    return number < MOST ? own + number : -TG_NO_MEMORY;
}

int tg_custom_inputs(int family, int op) {
    int own;
    if (place_of(family, &own) < 0) return -1;
    const tg_custom *custom = tg_custom_at(family, op - own);
    return custom ? custom->inputs : -1;
}

const void *tg_services(void) {
    static const tg_api services = {
        .abi_version = TG_ABI_VERSION,
        .size = (int64_t)sizeof(tg_api),
        .parallel_for = tg_parallel_for,
        .scratch = tg_scratch,
        .alloc = tg_alloc,
        .free = tg_free,
        .num_threads = tg_get_num_threads,
        .gemm = tg_gemm,
    };
    return &services;
}
