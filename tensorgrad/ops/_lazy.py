"""Made by scripts/make_stubs.py: where the names of ops.LAZY_MODULES, and Tensor's methods, are."""

NAMES: dict[str, str] = {
    "Kernel": "tensorgrad.ops.modules",
    "Module": "tensorgrad.ops.modules",
    "bind": "tensorgrad.ops.modules",
    "elementwise": "tensorgrad.ops.custom",
    "from_pointer": "tensorgrad.ops.modules",
    "load": "tensorgrad.ops.modules",
}

METHODS: dict[str, str] = {}
