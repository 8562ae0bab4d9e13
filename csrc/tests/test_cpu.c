/* test_cpu.c: the kernel tables this machine can run, and what the library says about itself. */
#include <string.h>

#include "harness.h"

void test_cpu(void) {
    const char *const first = tg_isa_available(0);
    CHECK(first && strcmp(tg_isa(), first) == 0); /* the best is active at load */
    int count = 0;
    for (const char *name; (name = tg_isa_available(count)); count++) {
        CHECK(tg_select_isa(name) == TG_OK && strcmp(tg_isa(), name) == 0);
        for (int earlier = 0; earlier < count; earlier++) CHECK(strcmp(tg_isa_available(earlier), name) != 0);
    }
    CHECK(count >= 1);
    CHECK(tg_isa_available(-1) == NULL && tg_isa_available(count + 1) == NULL);

    CHECK(tg_select_isa(first) == TG_OK);
    CHECK(tg_select_isa("none such") == TG_BAD_ARGUMENT);
    CHECK(tg_select_isa("") == TG_BAD_ARGUMENT);
    CHECK(tg_select_isa(NULL) == TG_BAD_ARGUMENT);
    CHECK(strcmp(tg_isa(), first) == 0); /* a refusal changes nothing */

    CHECK(tg_abi_version() == TG_ABI_VERSION);
    CHECK(strlen(tg_compiler()) > 4);
    CHECK(tg_cache_bytes(0) == 0 && tg_cache_bytes(4) == 0);
    for (int level = 1; level <= 3; level++) CHECK(tg_cache_bytes(level) >= 0);

    CHECK(strcmp(tg_op_name(TG_UNARY, TG_UNARY_relu), "relu") == 0);
    CHECK(strcmp(tg_op_name(TG_BINARY, TG_BINARY_pow), "pow") == 0);
    CHECK(tg_op_name(TG_UNARY, TG_UNARY_COUNT) == NULL && tg_op_name(TG_UNARY, -1) == NULL);
    CHECK(tg_op_name(-1, 0) == NULL && tg_op_name(99, 0) == NULL);
    CHECK(tg_granted_memory() > 1 << 20);
}
