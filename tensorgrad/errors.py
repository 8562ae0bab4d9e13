"""Named errors. Each subclasses the built-in that a caller would catch, and says which operation,
what was expected, what came, and what to do."""

from __future__ import annotations

from numpy.linalg import LinAlgError

__all__ = [
    "ABIError",
    "AnomalyError",
    "ArgumentError",
    "CaptureError",
    "CheckpointError",
    "CompileError",
    "DTypeError",
    "DataError",
    "GradientError",
    "IndexOutOfRangeError",
    "InplaceError",
    "KernelError",
    "LinearAlgebraError",
    "OutOfMemoryError",
    "ShapeError",
    "SingularMatrixError",
    "StateDictError",
    "TensorgradError",
    "TransformError",
]


class TensorgradError(Exception):
    """Base of every error that tensorgrad raises on purpose."""


class ShapeError(TensorgradError, ValueError):
    """Shapes do not fit each other or the operation, or a size overflows."""


class DTypeError(TensorgradError, TypeError):
    """A dtype, or a Python type, that the operation does not take."""


class ArgumentError(TensorgradError, ValueError):
    """An argument other than a shape or a dtype is out of its range."""


class IndexOutOfRangeError(TensorgradError, IndexError):
    """An index, axis or label lies outside its range."""


class GradientError(TensorgradError, RuntimeError):
    """Backward cannot run: no gradient to compute, none given, or the graph was freed."""


class InplaceError(TensorgradError, RuntimeError):
    """A write in place that would make, or has made, a gradient wrong."""


class AnomalyError(TensorgradError, ArithmeticError):
    """The first NaN or infinity, found by autograd.detect_anomaly."""


class CaptureError(TensorgradError, RuntimeError):
    """A function cannot be compiled by tensorgrad.compile: it reads values, has side effects, or did
    something else when it ran again. Says where, and what to do."""


class CheckpointError(TensorgradError, RuntimeError):
    """A checkpointed function did something else when it was run again."""


class LinearAlgebraError(TensorgradError, LinAlgError):
    """A matrix that has no such factorisation, or one with a NaN or an infinity."""


class SingularMatrixError(LinearAlgebraError):
    """A matrix without an inverse, where one is needed."""


class OutOfMemoryError(TensorgradError, MemoryError):
    """The system has no memory for a buffer of the size asked for."""


class CompileError(TensorgradError, RuntimeError):
    """C source of a custom op cannot be compiled or loaded: says what the compiler said."""


class ABIError(TensorgradError, ImportError):
    """A module of kernels was built for another version of tensorgrad's C interface."""


class KernelError(TensorgradError, RuntimeError):
    """A C kernel of a custom op returned an error status."""


class DataError(TensorgradError, ValueError):
    """A data file is missing, truncated, corrupt or not in the format it should be in."""


class TransformError(TensorgradError, RuntimeError):
    """What cannot be done inside a transformation of tensorgrad.func, or to its arguments."""


class StateDictError(TensorgradError, KeyError):
    """A state dict does not fit the module: names the missing, unexpected and misshapen keys."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""
