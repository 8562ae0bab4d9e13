"""The ops, by family. Importing this package gives Tensor its operators and methods.

Families that small programs seldom need are imported when one of their names, or of their methods, is
first asked for: LAZY_MODULES, whose names scripts/make_stubs.py lists in _lazy.py."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import composite, op, registry
from tensorgrad.ops import (
    _lazy,
    arithmetic,
    comparisons,
    creation,
    gathering,
    indexing,
    inplace,
    joining,
    logic,
    losses,
    matrix,
    moments,
    normalization,
    pointwise,
    reductions,
    regions,
    shaping,
    softmaxes,
    writing,
)
from tensorgrad.ops._elementwise import binary, unary
from tensorgrad.ops.arithmetic import *
from tensorgrad.ops.comparisons import *
from tensorgrad.ops.creation import *
from tensorgrad.ops.gathering import *
from tensorgrad.ops.indexing import *
from tensorgrad.ops.into import matmul
from tensorgrad.ops.joining import *
from tensorgrad.ops.logic import *
from tensorgrad.ops.losses import *
from tensorgrad.ops.matrix import linear, linear_activated
from tensorgrad.ops.moments import *
from tensorgrad.ops.normalization import *
from tensorgrad.ops.pointwise import *
from tensorgrad.ops.reductions import *
from tensorgrad.ops.shaping import *
from tensorgrad.ops.softmaxes import *
from tensorgrad.ops.writing import *

if TYPE_CHECKING:
    from tensorgrad.ops.broadcasting import *
    from tensorgrad.ops.contractions import *
    from tensorgrad.ops.cumulative import *
    from tensorgrad.ops.custom import *
    from tensorgrad.ops.diagonals import *
    from tensorgrad.ops.modules import *
    from tensorgrad.ops.nan_statistics import *
    from tensorgrad.ops.padding import *
    from tensorgrad.ops.products import *
    from tensorgrad.ops.rearranging import *
    from tensorgrad.ops.scattering import *
    from tensorgrad.ops.sets import *
    from tensorgrad.ops.sorting import *
    from tensorgrad.ops.special import *
    from tensorgrad.ops.statistics import *
    from tensorgrad.ops.trigonometric import *
    from tensorgrad.ops.windows import *

TOOLS = ("tensorgrad.ops.custom", "tensorgrad.ops.modules")  # no names of tensorgrad's own
NAMESPACES = ("tensorgrad.fft", "tensorgrad.linalg")  # of ops that only they have
LAZY_MODULES: tuple[str, ...] = (
    "tensorgrad.ops.broadcasting",
    "tensorgrad.ops.contractions",
    "tensorgrad.ops.cumulative",
    "tensorgrad.ops.diagonals",
    "tensorgrad.ops.nan_statistics",
    "tensorgrad.ops.padding",
    "tensorgrad.ops.products",
    "tensorgrad.ops.rearranging",
    "tensorgrad.ops.scattering",
    "tensorgrad.ops.sets",
    "tensorgrad.ops.sorting",
    "tensorgrad.ops.special",
    "tensorgrad.ops.trigonometric",
    "tensorgrad.ops.statistics",
    "tensorgrad.ops.windows",
    *TOOLS,
)


def load_all() -> None:
    """Imports the families that were not needed so far, so that the registry has every op.

    >>> import tensorgrad
    >>> tensorgrad.ops.load_all()
    """
    for module in (*LAZY_MODULES, *NAMESPACES):
        import_module(module)
    _give_methods()


def _give_methods() -> None:
    """Puts the methods of the ops that are there on Tensor."""
    for declared in registry.values():
        for name in declared.methods:
            setattr(Tensor, name, declared.function)


if not TYPE_CHECKING:  # a type checker sees the imports above and below

    def __getattr__(name: str) -> Any:
        if name in _lazy.NAMES:
            found = getattr(import_module(_lazy.NAMES[name]), name)
            globals()[name] = found
            return found
        raise AttributeError(f"module 'tensorgrad.ops' has no attribute {name!r}")


class _LazyMethod:
    """Stands for a method of Tensor until it is asked for; then the op takes its place."""

    __slots__ = ("module", "name")

    def __init__(self, name: str, module: str) -> None:
        self.name, self.module = name, module

    def __get__(self, t: Tensor | None, kind: type[Tensor]) -> Any:
        import_module(self.module)
        _give_methods()
        return getattr(kind if t is None else t, self.name)


for _method, _module in _lazy.METHODS.items():
    setattr(Tensor, _method, _LazyMethod(_method, _module))
_give_methods()

__all__ = ["binary", "composite", "load_all", "op", "unary"]
__all__ += arithmetic.__all__
__all__ += comparisons.__all__
__all__ += creation.__all__
__all__ += pointwise.__all__
__all__ += gathering.__all__
__all__ += indexing.__all__
__all__ += joining.__all__
__all__ += logic.__all__
__all__ += losses.__all__
__all__ += matrix.__all__
__all__ += moments.__all__
__all__ += normalization.__all__
__all__ += reductions.__all__
__all__ += shaping.__all__
__all__ += softmaxes.__all__
__all__ += writing.__all__
