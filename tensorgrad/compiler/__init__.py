"""compile: whole functions as one call into C."""

from tensorgrad.compiler._compiled import Compiled, compile

__all__ = ["Compiled", "compile"]
