"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.errors import ArgumentError
from tensorgrad.ops.creation import zeros
from tensorgrad.ops.multi import AdamTables
from tensorgrad.optim._fused import FusedOptimizer

_AVERAGES = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")  # the last with amsgrad


class Adam(FusedOptimizer):
    """Adam (Kingma and Ba 2015): steps along the running average of the gradient, divided by the
    root of that of its square.

    For a parameter w with gradient g at its step t, with betas (b1, b2): g += weight_decay * w; m =
    b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g**2; w -= lr / (1 - b1**t) * m / (sqrt(v / (1 -
    b2**t)) + eps), m and v being 0 at first. amsgrad: divides by the largest v so far (Reddi et al.
    2018). decoupled_weight_decay: the decay multiplies w by 1 - lr * weight_decay instead of
    entering the gradient, as in AdamW. maximize: ascends instead. The betas are rounded to the
    parameters' dtype, in which b and 1 - b then add up to 1. The options are read from
    `param_groups` at every step, which is one C call per dtype and group.

    params: Tensors, (name, Tensor) pairs, or dicts with "params" and options of their own. The
    state of a parameter: "step", 0-d; "exp_avg", m; "exp_avg_sq", v; with amsgrad "max_exp_avg_sq".
    Raises ArgumentError for a negative lr, eps or weight_decay, or a beta outside [0, 1), and as
    Optimizer does.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> w = tensorgrad.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, -1.5]
    """

    _values = staticmethod(
        itemgetter(
            "lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize", "amsgrad"
        )
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        where = type(self).__name__
        for option in ("lr", "eps", "weight_decay"):
            value = group[option]
            if not isinstance(value, (int, float)) or not value >= 0:
                raise ArgumentError(f"{where}: expected a number >= 0 for {option}, got {value!r}")
        betas = group["betas"]
        if (
            not isinstance(betas, (tuple, list))
            or len(betas) != 2
            or not all(isinstance(b, (int, float)) and 0 <= b < 1 for b in betas)
        ):
            raise ArgumentError(f"{where}: expected two numbers in [0, 1) for betas, got {betas!r}")

    def _new_tables(self, parameters: list[Tensor], group: dict[str, Any]) -> AdamTables:
        names = _AVERAGES if group["amsgrad"] else _AVERAGES[:2]
        averages = [self._buffers(parameters, name) for name in names]
        saved = [self.state.get(p, {}).get("step") for p in parameters]
        done = [zeros(()) if n is None else Tensor(float(n), "float32") for n in saved]
        return AdamTables(parameters, averages, done, f"{type(self).__name__}.step")

    def _note_state(self, tables: AdamTables) -> None:
        for p, step, *averages in zip(tables.parameters, tables.done, *tables.averages):
            if step.item():
                self.state.setdefault(p, {}).update(zip(("step", *_AVERAGES), (step, *averages)))
        tables.waiting = not all(step.item() for step in tables.done)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): the parameter is multiplied by
    1 - lr * weight_decay, and the averages do not see the decay. Otherwise as Adam.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> w = tensorgrad.tensor([1.0], requires_grad=True)
    >>> optimizer = optim.AdamW([w], lr=0.5, weight_decay=0.5)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.25]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )
