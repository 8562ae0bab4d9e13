/* scratch.c: per-thread working buffers, freed when their thread ends. */
#include <pthread.h>
#include <stdlib.h>

#include "core.h"

typedef struct {
    void *buffers[TG_SCRATCH_SLOTS];
    size_t sizes[TG_SCRATCH_SLOTS];
} slots;

static _Thread_local slots
    *mine; /* the key's destructor gets the pointer as its argument: thread-locals may be gone by then */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_failed;

static void free_slots(void *argument) {
    slots *s = argument;
    for (int i = 0; i < TG_SCRATCH_SLOTS; i++) free(s->buffers[i]);
    free(s);
}

static void make_key(void) { key_failed = pthread_key_create(&key, free_slots); }

static slots *make_slots(void) {
    pthread_once(&once, make_key);
    slots *s = key_failed ? NULL : calloc(1, sizeof *s);
    if (s && pthread_setspecific(key, s) != 0) {
        free(s);
        s = NULL;
    }
    return s;
}

void *tg_scratch(int slot, size_t bytes) {
    if (slot < 0 || slot >= TG_SCRATCH_SLOTS) return NULL;
    if (!mine && !(mine = make_slots())) return NULL;
    if (mine->buffers[slot] && bytes <= mine->sizes[slot]) return mine->buffers[slot];
    size_t size = mine->sizes[slot] + mine->sizes[slot] / 2; /* rising sizes do not each cost an allocation */
    if (size < bytes) size = bytes;
    if (size < TG_ALIGNMENT) size = TG_ALIGNMENT;
    free(mine->buffers[slot]); /* before the new one: contents are not kept, and the peak is lower */
    mine->buffers[slot] = NULL;
    mine->sizes[slot] = 0;
    if (posix_memalign(&mine->buffers[slot], TG_ALIGNMENT, size) != 0) return mine->buffers[slot] = NULL;
    mine->sizes[slot] = size;
    return mine->buffers[slot];
}
