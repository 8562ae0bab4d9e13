/* sort_keys.h: sorting unsigned integers; included once per type with KEY (the type) and NAME(x) (its names).
 *
 * Keys that carry a position in their low bits are all different, so that any way to sort them is stable. Short arrays are cut
 * into runs, sorted by insertion and merged without branches; long ones go through a radix sort from the lowest digit up (Knuth,
 * The Art of Computer Programming 3, 5.2.5), which leaves out the digits that are the same everywhere.
 */

/* a: (n) */
static void NAME(insertion)(int64_t n, KEY *a) {
    for (int64_t i = 1; i < n; i++) {
        const KEY key = a[i];
        int64_t j = i;
        for (; j > 0 && key < a[j - 1]; j--) a[j] = a[j - 1];
        a[j] = key;
    }
}

/* out = the keys of both in order. a: (na), b: (nb), out: (na + nb) */
static void NAME(merge)(int64_t na, const KEY *a, int64_t nb, const KEY *b, KEY *out) {
    const KEY *const end_a = a + na, *const end_b = b + nb;
    while (a < end_a && b < end_b) {
        const int take_b = *b < *a;
        *out++ = take_b ? *b : *a;
        a += !take_b;
        b += take_b;
    }
    while (a < end_a) *out++ = *a++;
    while (b < end_b) *out++ = *b++;
}

/* Returns where the result is: a or b. a, b: (n) */
static KEY *NAME(by_merging)(int64_t n, KEY *a, KEY *b) {
    for (int64_t i = 0; i < n; i += RUN) NAME(insertion)(n - i < RUN ? n - i : RUN, a + i);
    for (int64_t width = RUN; width < n; width *= 2) {
        for (int64_t i = 0; i < n; i += 2 * width) {
            const int64_t na = n - i < width ? n - i : width, rest = n - i - na, nb = rest < width ? rest : width;
            NAME(merge)(na, a + i, nb, a + i + na, b + i);
        }
        KEY *const t = a;
        a = b, b = t;
    }
    return a;
}

/* The same by the digits from bit `low` on; counts: (digits of KEY, BUCKETS) */
static KEY *NAME(by_digits)(int64_t n, KEY *a, KEY *b, int low, uint32_t (*counts)[BUCKETS]) {
    const int digits = ((int)sizeof(KEY) * 8 - low + DIGIT - 1) / DIGIT;
    memset(counts, 0, (size_t)digits * sizeof *counts);
    for (int64_t i = 0; i < n; i++) {
        KEY key = a[i] >> low;
        for (int d = 0; d < digits; d++, key >>= DIGIT) counts[d][(uint32_t)key & (BUCKETS - 1)]++;
    }
    for (int d = 0; d < digits; d++) {
        const int shift = low + d * DIGIT;
        uint32_t *const count = counts[d];
        if (count[(uint32_t)(a[0] >> shift) & (BUCKETS - 1)] == (uint32_t)n) continue;
        uint32_t start = 0;
        for (int k = 0; k < BUCKETS; k++) {
            const uint32_t c = count[k];
            count[k] = start;
            start += c;
        }
        for (int64_t i = 0; i < n; i++) b[count[(uint32_t)(a[i] >> shift) & (BUCKETS - 1)]++] = a[i];
        KEY *const t = a;
        a = b, b = t;
    }
    return a;
}

static KEY *NAME(sort)(int64_t n, KEY *a, KEY *b, int low, uint32_t (*counts)[BUCKETS]) {
    return n <= (int64_t)sizeof(KEY) * MERGE_PER_BYTE ? NAME(by_merging)(n, a, b)
                                                      : NAME(by_digits)(n, a, b, low, counts);
}

#undef KEY
#undef NAME
