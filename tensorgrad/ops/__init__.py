"""The ops, by family. Importing this package gives Tensor its operators and methods."""

from __future__ import annotations

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import composite, op, registry
from tensorgrad.ops import (
    arithmetic,
    comparisons,
    creation,
    elementwise,
    indexing,
    inplace,
    logic,
    losses,
    matrix,
    moments,
    normalization,
    reductions,
    shaping,
    softmaxes,
    special,
    trigonometric,
)
from tensorgrad.ops._elementwise import binary, unary
from tensorgrad.ops.arithmetic import *
from tensorgrad.ops.comparisons import *
from tensorgrad.ops.creation import *
from tensorgrad.ops.elementwise import *
from tensorgrad.ops.indexing import *
from tensorgrad.ops.into import matmul
from tensorgrad.ops.logic import *
from tensorgrad.ops.losses import *
from tensorgrad.ops.matrix import linear, linear_activated
from tensorgrad.ops.moments import *
from tensorgrad.ops.normalization import *
from tensorgrad.ops.reductions import *
from tensorgrad.ops.shaping import *
from tensorgrad.ops.softmaxes import *
from tensorgrad.ops.special import *
from tensorgrad.ops.trigonometric import *

for _declared in registry.values():
    for _method in _declared.methods:
        setattr(Tensor, _method, _declared.function)

__all__ = ["binary", "composite", "op", "unary"]
__all__ += arithmetic.__all__
__all__ += comparisons.__all__
__all__ += creation.__all__
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += logic.__all__
__all__ += losses.__all__
__all__ += matrix.__all__
__all__ += moments.__all__
__all__ += normalization.__all__
__all__ += reductions.__all__
__all__ += shaping.__all__
__all__ += softmaxes.__all__
__all__ += special.__all__
__all__ += trigonometric.__all__
