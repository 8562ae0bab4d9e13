"""Made by scripts/make_stubs.py: where the names of ops.LAZY_MODULES, and Tensor's methods, are."""

NAMES: dict[str, str] = {}

METHODS: dict[str, str] = {}
