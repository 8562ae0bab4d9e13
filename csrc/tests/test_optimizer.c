/* test_optimizer.c: parameter updates, norms and scaling in every table against plain loops in double, with arrays of many sizes
 * in one call, and bit for bit against themselves with another number of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { COUNT = 9, ROLES = 5, STEPS = 3 };
enum { PARAMETER, GRADIENT, MEAN, SQUARE, TOP }; /* the momenta of SGD are in MEAN */
static const int64_t sizes[COUNT] = {1, 20000, 0, 3, 64, 65, 50001, 7, 130};
enum { SKIPPED = 4 }; /* has no gradient */

typedef struct {
    int dtype;
    void *arrays[ROLES][COUNT];
    float done[COUNT];
    uint8_t started[COUNT];
} model;

/* Every array exactly as long as it says, so that the address sanitizer sees a step beyond. */
static model make_model(int dtype) {
    model m = {.dtype = dtype};
    uint64_t random = 1;
    for (int role = 0; role < ROLES; role++) {
        for (int a = 0; a < COUNT; a++) {
            const size_t bytes = (size_t)sizes[a] * tg_itemsize(dtype);
            if (!(m.arrays[role][a] = calloc(1, bytes + (bytes == 0)))) abort();
            if (role <= GRADIENT) test_fill(dtype, sizes[a], m.arrays[role][a], &random, -2, 2);
        }
    }
    free(m.arrays[GRADIENT][SKIPPED]);
    m.arrays[GRADIENT][SKIPPED] = NULL;
    return m;
}

static void free_model(model *m) {
    for (int role = 0; role < ROLES; role++)
        for (int a = 0; a < COUNT; a++) free(m->arrays[role][a]);
}

typedef struct {
    const char *name;
    double hyper[7];
    int adam, buffers; /* buffers: momentum, or amsgrad */
} variant;

static const variant variants[] = {
    {"sgd", {0.1, 0, 0, 0.01, 0, 1}, 0, 0},
    {"momentum", {0.1, 0.9, 0.25, 0, 0, 0}, 0, 1},
    {"nesterov", {0.1, 0.9, 0, 0.01, 1, 0}, 0, 1},
    {"adam", {0.1, 0.9, 0.99, 1e-8, 0.1, 0, 0}, 1, 0},
    {"adamw, amsgrad", {0.1, 0.5, 0.75, 1e-3, 0.1, 1, 1}, 1, 1},
    {"adamw", {0.01, 0.8, 0.999, 1e-6, 0.01, 1, 0}, 1, 0},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* factors: (COUNT) or NULL; others[a], where it is not NULL, has the options of parameter a */
static int step_with(model *m, const variant *v, const double *const *factors, const variant *const *others) {
    const void *const *gradients = (const void *const *)m->arrays[GRADIENT];
    float *done[COUNT];
    uint8_t *started[COUNT];
    const double *hyper[COUNT];
    for (int a = 0; a < COUNT; a++) {
        done[a] = &m->done[a];
        started[a] = &m->started[a];
        hyper[a] = others && others[a] ? others[a]->hyper : v->hyper;
    }
    if (!v->adam)
        return tg_sgd(m->dtype, COUNT, sizes, m->arrays[PARAMETER], gradients, factors,
                      v->buffers ? m->arrays[MEAN] : NULL, started, hyper);
    return tg_adam(m->dtype, COUNT, sizes, m->arrays[PARAMETER], gradients, factors, m->arrays[MEAN], m->arrays[SQUARE],
                   v->buffers ? m->arrays[TOP] : NULL, done, hyper);
}
static int step(model *m, const variant *v) { return step_with(m, v, NULL, NULL); }

/* The value of one parameter after STEPS steps with gradient g. */
static double expected(const variant *v, double w, double g0) {
    const double *h = v->hyper;
    double mean = 0, square = 0, top = 0;
    for (int t = 1; t <= STEPS; t++) {
        if (!v->adam) {
            double g = (h[5] != 0 ? -g0 : g0) + h[3] * w;
            mean = t == 1 ? g : h[1] * mean + (1 - h[2]) * g;
            if (v->buffers) g = h[4] != 0 ? g + h[1] * mean : mean;
            w -= h[0] * g;
            continue;
        }
        const double g = (h[6] != 0 ? -g0 : g0) + (h[5] != 0 ? 0 : h[4] * w);
        if (h[5] != 0) w -= h[0] * h[4] * w;
        mean = h[1] * mean + (1 - h[1]) * g;
        square = h[2] * square + (1 - h[2]) * g * g;
        top = v->buffers ? fmax(top, square) : square;
        w -= h[0] / (1 - pow(h[1], t)) * mean / (sqrt(top) / sqrt(1 - pow(h[2], t)) + h[3]);
    }
    return w;
}

static void check_updates(int dtype, const variant *v, double tolerance) {
    model start = make_model(dtype), one = make_model(dtype), many = make_model(dtype);
    for (int t = 0; t < STEPS; t++) {
        tg_set_num_threads(1);
        CHECK(step(&one, v) == TG_OK);
        tg_set_num_threads(3);
        CHECK(step(&many, v) == TG_OK);
    }
    for (int a = 0; a < COUNT; a++) {
        const void *gradient = start.arrays[GRADIENT][a];
        for (int64_t i = 0; i < sizes[a]; i++) {
            const double w = test_element(dtype, start.arrays[PARAMETER][a], i);
            const double want = gradient ? expected(v, w, test_element(dtype, gradient, i)) : w;
            const double got = test_element(dtype, one.arrays[PARAMETER][a], i);
            CHECK_THAT(test_close(want, got, tolerance), "%s %s, dtype %d, array %d, element %d: %.17g, expected %.17g",
                       tg_isa(), v->name, dtype, a, (int)i, got, want);
        }
        for (int role = 0; role < ROLES; role++)
            CHECK_THAT(!one.arrays[role][a] || memcmp(one.arrays[role][a], many.arrays[role][a],
                                                      (size_t)sizes[a] * tg_itemsize(dtype)) == 0,
                       "%s %s, dtype %d, array %d: other bits with more threads", tg_isa(), v->name, dtype, a);
        if (v->adam) CHECK(one.done[a] == (float)(a == SKIPPED ? 0 : STEPS));
        if (!v->adam && v->buffers) CHECK(one.started[a] == (a != SKIPPED));
    }
    free_model(&start);
    free_model(&one);
    free_model(&many);
}

static void check_same(const model *one, const model *other, const char *what) {
    for (int a = 0; a < COUNT; a++) {
        const size_t bytes = (size_t)sizes[a] * tg_itemsize(one->dtype);
        for (int role = 0; role < ROLES; role++)
            CHECK_THAT(role == GRADIENT || memcmp(one->arrays[role][a], other->arrays[role][a], bytes) == 0,
                       "%s dtype %d, array %d, role %d: %s", tg_isa(), one->dtype, a, role, what);
        CHECK(one->done[a] == other->done[a] && one->started[a] == other->started[a]);
    }
}

/* A factor on the gradients as they are read gives the bits of gradients that were scaled before. */
static void check_factors(int dtype, const variant *v) {
    model scaled = make_model(dtype), read = make_model(dtype);
    const double factor = 0.3;
    const double *factors[COUNT];
    void *gradients[COUNT];
    int64_t lengths[COUNT];
    for (int a = 0; a < COUNT; a++) {
        factors[a] = a % 3 == 1 ? NULL : &factor;
        gradients[a] = scaled.arrays[GRADIENT][a];
        lengths[a] = gradients[a] && factors[a] ? sizes[a] : 0;
    }
    CHECK(tg_multi_scale(dtype, COUNT, lengths, gradients, &factor) == TG_OK);
    for (int t = 0; t < STEPS; t++) {
        CHECK(step(&scaled, v) == TG_OK);
        CHECK(step_with(&read, v, factors, NULL) == TG_OK);
    }
    check_same(&scaled, &read, "other bits with a factor");
    free_model(&scaled);
    free_model(&read);
}

/* One call over parameters with options of their own gives the bits of two calls. */
static void check_options(int dtype, const variant *v, const variant *other) {
    model together = make_model(dtype), apart = make_model(dtype);
    const variant *others[COUNT];
    void *grads[COUNT];
    for (int a = 0; a < COUNT; a++) others[a] = a % 2 ? other : NULL;
    memcpy(grads, apart.arrays[GRADIENT], sizeof grads);
    for (int t = 0; t < STEPS; t++) {
        CHECK(step_with(&together, v, NULL, others) == TG_OK);
        for (int odd = 0; odd < 2; odd++) {
            for (int a = 0; a < COUNT; a++) apart.arrays[GRADIENT][a] = a % 2 == odd ? grads[a] : NULL;
            CHECK(step(&apart, odd ? other : v) == TG_OK);
        }
    }
    memcpy(apart.arrays[GRADIENT], grads, sizeof grads);
    check_same(&together, &apart, "other bits in one call");
    free_model(&together);
    free_model(&apart);
}

static void check_norms(int dtype) {
    model start = make_model(dtype), scaled = make_model(dtype);
    const void *const *inputs = (const void *const *)start.arrays[PARAMETER];
    long double exact = 0;
    for (int a = 0; a < COUNT; a++) {
        for (int64_t i = 0; i < sizes[a]; i++) {
            const double x = test_element(dtype, start.arrays[PARAMETER][a], i);
            exact += (long double)x * (long double)x;
        }
    }
    double total[2], factor = -0.5;
    for (int threads = 1; threads <= 2; threads++) {
        tg_set_num_threads(threads);
        CHECK(tg_multi_sumsq(dtype, COUNT, sizes, inputs, &total[threads - 1]) == TG_OK);
    }
    CHECK_THAT(total[0] == total[1] && fabs(total[0] - (double)exact) <= 1e-14 * (double)exact,
               "%s dtype %d: %.17g and %.17g, expected %.17g", tg_isa(), dtype, total[0], total[1], (double)exact);
    CHECK(tg_multi_scale(dtype, COUNT, sizes, scaled.arrays[PARAMETER], &factor) == TG_OK);
    for (int a = 0; a < COUNT; a++)
        for (int64_t i = 0; i < sizes[a]; i++)
            CHECK(test_element(dtype, scaled.arrays[PARAMETER][a], i) == factor * test_element(dtype, inputs[a], i));
    free_model(&start);
    free_model(&scaled);
}

static void arguments(void) {
    float w = 1, g = 1, m = 0, v = 0, t = 0, *done = &t;
    void *params = &w, *means = &m, *squares = &v, *none = NULL;
    const void *grads = &g;
    const int64_t size = 1, negative = -1, huge = INT64_MAX;
    const double *hyper = variants[3].hyper, *momentum = variants[1].hyper, *missing = NULL;
    uint8_t begun = 0, *started = &begun, *nothing = NULL;
    CHECK(tg_adam(2, 1, &size, &params, &grads, NULL, &means, &squares, NULL, &done, &hyper) == TG_BAD_ARGUMENT);
    CHECK(tg_adam(TG_F32, -1, &size, &params, &grads, NULL, &means, &squares, NULL, &done, &hyper) == TG_BAD_SIZE);
    CHECK(tg_adam(TG_F32, 1, &negative, &params, &grads, NULL, &means, &squares, NULL, &done, &hyper) == TG_BAD_SIZE);
    CHECK(tg_adam(TG_F32, 1, &huge, &params, &grads, NULL, &means, &squares, NULL, &done, &hyper) == TG_BAD_SIZE);
    CHECK(tg_adam(TG_F32, 1, &size, &params, &grads, NULL, &none, &squares, NULL, &done, &hyper) == TG_BAD_ARGUMENT);
    CHECK(tg_adam(TG_F32, 1, &size, &params, &grads, NULL, &means, &squares, NULL, NULL, &hyper) == TG_BAD_ARGUMENT);
    CHECK(tg_adam(TG_F32, 1, &size, &params, &grads, NULL, &means, &squares, NULL, &done, &missing) == TG_BAD_ARGUMENT);
    CHECK(tg_adam(TG_F32, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) == TG_OK);
    CHECK(tg_sgd(TG_F32, 1, &size, &none, &grads, NULL, NULL, NULL, &momentum) == TG_BAD_ARGUMENT);
    CHECK(tg_sgd(TG_F32, 1, &size, &params, &grads, NULL, NULL, NULL, &missing) == TG_BAD_ARGUMENT);
    CHECK(tg_sgd(TG_F32, 1, &size, &params, &grads, NULL, &means, NULL, &momentum) == TG_BAD_ARGUMENT);
    CHECK(tg_sgd(TG_F32, 1, &size, &params, &grads, NULL, &means, &nothing, &momentum) == TG_BAD_ARGUMENT);
    CHECK(tg_sgd(TG_F32, 1, &size, &params, &grads, NULL, &none, &started, &momentum) == TG_BAD_ARGUMENT);
    CHECK(tg_multi_sumsq(TG_F32, 1, &size, &grads, NULL) == TG_BAD_ARGUMENT);
    CHECK(w == 1 && t == 0); /* a refused call does nothing */
}

void test_optimizer(void) {
    const int threads = tg_get_num_threads();
    const char *const best = tg_isa();
    arguments();
    for (int i = 0; tg_isa_available(i); i++) {
        CHECK(tg_select_isa(tg_isa_available(i)) == TG_OK);
        for (int dtype = TG_F32; dtype <= TG_F64; dtype++) {
            for (int v = 0; v < VARIANTS; v++) {
                check_updates(dtype, &variants[v], dtype == TG_F32 ? 1e-5 : 1e-13);
                check_factors(dtype, &variants[v]);
            }
            check_options(dtype, &variants[1], &variants[2]);
            check_options(dtype, &variants[2], &variants[0]);
            check_options(dtype, &variants[3], &variants[5]);
            check_norms(dtype);
        }
    }
    CHECK(tg_select_isa(best) == TG_OK);
    CHECK(tg_set_num_threads(threads) == TG_OK);
}
