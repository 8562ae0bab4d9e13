"""Checks of gradients and of ops, for tests: the built-in ops pass them, and so should yours."""

from tensorgrad.testing._bench import Timing, bench_op
from tensorgrad.testing._checks import check_op
from tensorgrad.testing._compare import CheckError, assert_close
from tensorgrad.testing._gradcheck import gradcheck, gradgradcheck
from tensorgrad.testing._samples import sample_inputs

__all__ = [
    "CheckError",
    "Timing",
    "assert_close",
    "bench_op",
    "check_op",
    "gradcheck",
    "gradgradcheck",
    "sample_inputs",
]
