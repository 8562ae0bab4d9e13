"""Names the cffi module and compiles its C files side by side; the rest is in pyproject.toml."""

import os
import sysconfig
from concurrent.futures import ThreadPoolExecutor

from setuptools import setup
from setuptools.command.build_ext import build_ext


class ParallelBuildExt(build_ext):
    """Compiles the files of an extension at the same time; setuptools takes them one by one."""

    def build_extensions(self) -> None:
        compile_serially = self.compiler.compile

        def compile_one(source, args, options):
            if "/isa/baseline" in source:
                # for CPUs of before 2013: -O3 makes these kernels a quarter larger, which is room in the wheel
                options = {**options, "extra_postargs": [*options["extra_postargs"], "-O2"]}
            return compile_serially([source], *args, **options)

        def compile_in_parallel(sources, *args, **kwargs):
            # the kernels of an ISA take longest, so they start first
            ordered = sorted(sources, key=lambda source: "/isa/" not in source)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda source: compile_one(source, args, kwargs), ordered)
                return [name for names in objects for name in names]

        self.compiler.compile = compile_in_parallel
        super().build_extensions()


# cffi uses the stable ABI: one wheel for every Python from 3.10 on. Free-threaded ones have none.
stable_abi = {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"py_limited_api": "cp310"}

setup(
    cffi_modules=["csrc/build_ffi.py:ffibuilder"],
    cmdclass={"build_ext": ParallelBuildExt},
    options={"bdist_wheel": stable_abi},
)
