"""The first NaN or infinity: which operation made it, in which module, at which line."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np

from tensorgrad.autograd import _tape
from tensorgrad.autograd._modes import _held
from tensorgrad.autograd._saved import is_tensor
from tensorgrad.autograd._sites import Site, site_of, start_tracing, stop_tracing
from tensorgrad.autograd._tape import Node, hooks, watchers
from tensorgrad.errors import AnomalyError


class _Depth(threading.local):
    depth = 0


_here = _Depth()
_lock = threading.Lock()
_everywhere = 0  # how many contexts are open, in all threads


def _fault(value: Any) -> str:
    """What is not finite in a tensor, number or list of such: "NaN", "inf" or ""."""
    if isinstance(value, (list, tuple)):
        return next((fault for v in value if (fault := _fault(v))), "")
    if is_tensor(value):
        value = value._array()
    elif not isinstance(value, float):
        return ""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "fc":
        return ""
    if np.isfinite(value).all():
        return ""
    return "NaN" if np.isnan(value).any() else "inf"


def _check_forward(output: Any) -> None:
    """The watcher: raises AnomalyError if a recorded result is the first that is not finite."""
    if not _here.depth:
        return
    fault = _fault(output)
    if not fault:
        return
    frame: Any = sys._getframe(1)
    while frame.f_code.co_filename == _tape.__file__:
        frame = frame.f_back
    # the operation's function: its inputs are among its local variables
    for value in frame.f_locals.values():
        if not (is_tensor(value) and value._storage is output._storage) and _fault(value):
            return
    raise AnomalyError(
        f"detect_anomaly: {output._node.name} gave {fault} for finite inputs, {Site()}"
    )


def _watch_backward(node: Any) -> None:
    """Makes the node's rule one that checks its gradients, while the mode is on."""
    rule = node.rule
    if rule is None or hasattr(rule, "checks_anomaly") or not _here.depth:
        return

    def checked(gy: Any, node: Node) -> Any:
        gradients = rule(gy, node)
        if _here.depth:
            fault, what = _fault(gy), "was given"
            if not fault:
                for i, gradient in enumerate(gradients):
                    if gradient is not None and (fault := _fault(gradient)):
                        what = f"gave, for its input {i} and from a finite gradient,"
                        break
            if fault:
                site = site_of(node)
                raise AnomalyError(
                    f"detect_anomaly: the backward of {rule.__name__} {what} {fault}; "
                    + (f"the operation was {site}" if site else "where it was is not known, as it "
                       "was recorded outside of detect_anomaly")
                )  # fmt: skip
        return gradients

    checked.__name__ = rule.__name__
    checked.checks_anomaly = True  # type: ignore[attr-defined]
    node.rule = checked


class detect_anomaly:
    """A context, and decorator, that raises AnomalyError at the first NaN or infinity: in a forward,
    when an operation that is recorded makes one of finite inputs; in a backward, when an
    operation's gradient does of a finite one. The error names the operation, the module in whose
    forward it ran ("model.layers.2 (Linear)") and the line of your code. In the context an
    InplaceError names the lines of the operation that saved the tensor and of the write.

    Have both forward and backward inside; of a graph that was recorded outside, the line is
    not known. Everything is checked, which is slow.

    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 0.0], requires_grad=True)
    >>> with tensorgrad.autograd.detect_anomaly():
    ...     y = tensorgrad.log(x)
    Traceback (most recent call last):
    tensorgrad.errors.AnomalyError: detect_anomaly: log gave inf for finite inputs, at ...
    """

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else _held(function, cls)

    def __enter__(self) -> None:
        global _everywhere
        start_tracing()
        _here.depth += 1
        with _lock:
            _everywhere += 1
            if _everywhere == 1:
                watchers.append(_check_forward)
                hooks[0] = _watch_backward

    def __exit__(self, *_: object) -> None:
        global _everywhere
        with _lock:
            _everywhere -= 1
            if not _everywhere:
                watchers.remove(_check_forward)
                del hooks[0]
        _here.depth -= 1
        stop_tracing()

    def __call__(self, function: Any) -> Any:
        return _held(function, detect_anomaly)


__all__ = ["detect_anomaly"]
