"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.autograd import enable_grad
from tensorgrad.errors import ArgumentError
from tensorgrad.ops.creation import zeros_like
from tensorgrad.ops.multi import SGDTables, by_dtype, sgd_step
from tensorgrad.optim._optimizer import Optimizer

_values = itemgetter("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")


class SGD(Optimizer):
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
        self._tables: list[tuple[dict[str, Any], list[SGDTables]]] = []  # made at the first step
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

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self._tables = []

    add_param_group.__doc__ = Optimizer.add_param_group.__doc__

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._tables = []

    load_state_dict.__doc__ = Optimizer.load_state_dict.__doc__

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient, in place.

        closure: computes the loss again, and its gradients; its result is returned."""
        result = None
        if closure is not None:
            with enable_grad():
                result = closure()
        if not self._tables:
            for group in self.param_groups:
                self._tables.append(
                    (group, self._tables_of(group["params"], group["momentum"] != 0))
                )
        fit = True
        for group, tables_of_group in self._tables:
            values = _values(group)
            for tables in tables_of_group:
                if not sgd_step(tables, values):
                    fit = False
                    for made_now in self._tables_of(tables.parameters, values[1] != 0):
                        sgd_step(made_now, values)
                        self._note_started(made_now)
                elif tables.waiting:
                    self._note_started(tables)
        if not fit:
            self._tables = []
        return result

    def _tables_of(self, params: Sequence[Tensor], momentum: bool) -> list[SGDTables]:
        made = []
        for parameters in by_dtype(params, "SGD"):
            for p in parameters:
                if not p.is_contiguous():
                    raise ArgumentError(
                        f"SGD: expected parameters in contiguous memory, got strides {p.strides} of {p.shape}"
                    )
            if momentum:
                saved = [self.state.get(p, {}).get("momentum_buffer") for p in parameters]
                momenta = [
                    zeros_like(p.detach()) if b is None else b.astype(p.dtype)
                    for p, b in zip(parameters, saved)
                ]
                tables = SGDTables(parameters, momenta, [b is not None for b in saved])
                self._note_started(tables)
            else:
                tables = SGDTables(parameters, None, [True] * len(parameters))
            made.append(tables)
        return made

    def _note_started(self, tables: SGDTables) -> None:
        """Puts the buffers that hold a value by now into the state."""
        if tables.momenta is not None:
            for p, momentum_buffer, started in zip(
                tables.parameters, tables.momenta, tables.started
            ):
                if started:
                    self.state.setdefault(p, {})["momentum_buffer"] = momentum_buffer
            tables.waiting = not all(tables.started)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": []}
