# The compiled module, made by csrc/build_ffi.py. cffi's objects have no static types.
from typing import Any

ffi: Any
lib: Any
