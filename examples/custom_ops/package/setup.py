"""Names the module of kernels; the rest is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["build_kernels.py:ffibuilder"])
