/* target.h: switches the instruction set for the rest of a file, in gcc's and in clang's way (clang ignores gcc's pragma). */
#define TG_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define TG_TARGET_BEGIN(isa) TG_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define TG_TARGET_END TG_PRAGMA(clang attribute pop)
#else
#define TG_TARGET_BEGIN(isa) TG_PRAGMA(GCC target(isa))
#define TG_TARGET_END
#endif
