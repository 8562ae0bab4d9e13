"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.errors import ArgumentError
from tensorgrad.ops.multi import SGDTables
from tensorgrad.optim._fused import FusedOptimizer


class SGD(FusedOptimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013, with PyTorch's
    conventions).

    For a parameter w with gradient g: g += weight_decay * w; v = momentum * v + (1 - dampening) *
    g, the first v being g; w -= lr * v, or lr * (g + momentum * v) with nesterov. maximize: ascends
    instead. The options are read from `param_groups` at every step, which is one C call per dtype
    and group.

    params: Tensors, (name, Tensor) pairs, or dicts with "params" and options of their own. Raises
    ArgumentError for a negative lr, momentum or weight_decay, or nesterov without momentum or with
    dampening, and as Optimizer does.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> w = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, 1.0]
    """

    _values = staticmethod(
        itemgetter("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for option in ("lr", "momentum", "dampening", "weight_decay"):
            value = group[option]
            if not isinstance(value, (int, float)) or not (option == "dampening" or value >= 0):
                raise ArgumentError(f"SGD: expected a number >= 0 for {option}, got {value!r}")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError(
                "SGD: expected momentum > 0 and dampening 0 with nesterov, got momentum "
                f"{group['momentum']} and dampening {group['dampening']}"
            )

    def _new_tables(self, parameters: list[Tensor], group: dict[str, Any]) -> SGDTables:
        if group["momentum"] == 0:
            return SGDTables(parameters, None, [True] * len(parameters))
        started = ["momentum_buffer" in self.state.get(p, {}) for p in parameters]
        return SGDTables(parameters, self._buffers(parameters, "momentum_buffer"), started)

    def _note_state(self, tables: SGDTables) -> None:
        if tables.momenta is not None:
            for p, momentum_buffer, started in zip(
                tables.parameters, tables.momenta, tables.started
            ):
                if started:
                    self.state.setdefault(p, {})["momentum_buffer"] = momentum_buffer
            tables.waiting = not all(tables.started)
