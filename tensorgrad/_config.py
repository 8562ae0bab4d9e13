"""Version, paths and the report of the configuration."""

from __future__ import annotations

from pathlib import Path

from tensorgrad._native import config

__version__ = "0.1.0"


def get_include() -> str:
    """The folder of the C header tensorgrad.h.

    >>> import os, tensorgrad
    >>> os.path.exists(os.path.join(tensorgrad.get_include(), "tensorgrad.h"))
    True
    """
    return str(Path(__file__).parent / "include")


def show_config() -> None:
    """Prints the version, the instruction set in use, threads, caches and build flags.

    >>> import tensorgrad
    >>> tensorgrad.show_config()  # doctest: +ELLIPSIS
    tensorgrad 0.1.0
    ...
    """
    print(f"tensorgrad {__version__}")
    for key, value in config().items():
        print(f"  {key:14} {value}")
