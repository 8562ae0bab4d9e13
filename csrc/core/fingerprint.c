/* fingerprint.c: a number that changes, all but surely, when memory does. */
#include <string.h>

#include "../include/tensorgrad.h"

/* Running hashes over interleaved words, so that their multiplications overlap; odd multipliers, so that each step
   is a bijection and no single changed word can cancel out. The order of words counts. */
enum { LANES = 8 };
static const uint64_t MULTIPLIER = 0x9E3779B97F4A7C15u; /* 2^64 / golden ratio: Knuth, TAOCP 6.4 */

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * MULTIPLIER;
    return hash ^ (hash >> 32);
}

uint64_t tg_fingerprint(int64_t bytes, const void *memory) {
    uint64_t lanes[LANES] = {1, 2, 3, 4, 5, 6, 7, 8}, word;
    const char *at = memory;
    for (; bytes >= (int64_t)sizeof lanes; bytes -= (int64_t)sizeof lanes, at += sizeof lanes) {
        for (int lane = 0; lane < LANES; lane++) {
            memcpy(&word, at + (size_t)lane * sizeof word, sizeof word);
            lanes[lane] = mix(lanes[lane], word);
        }
    }
    uint64_t hash = 0;
    for (int lane = 0; lane < LANES; lane++) hash = mix(hash, lanes[lane]);
    for (; bytes > 0; bytes--, at++) hash = mix(hash, (uint64_t)(unsigned char)*at);
    return hash;
}
