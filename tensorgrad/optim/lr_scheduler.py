"""Learning rates as functions of the epoch, in closed form. Call `step()` after each epoch's last
`optimizer.step()`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tensorgrad._captures import current_capture
from tensorgrad.errors import ArgumentError, DTypeError
from tensorgrad.optim._optimizer import Optimizer


class LRScheduler:
    """Base of schedulers: a scheduler of one's own subclasses it and defines `rate`.

    Attributes: `last_epoch`, the number of steps so far; `base_lrs`, the learning rate of each
    group at the start. Raises DTypeError for what is no Optimizer.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> class Halving(optim.lr_scheduler.LRScheduler):
    ...     def rate(self, base_lr, epoch, group):
    ...         return base_lr / 2**epoch
    >>> optimizer = optim.SGD([tensorgrad.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = Halving(optimizer)
    >>> scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(
                f"{type(self).__name__}: expected an Optimizer, got {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        self.base_lrs = [
            group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups
        ]
        self.last_epoch = 0
        self._apply()

    def rate(self, base_lr: float, epoch: int, group: int) -> float:
        """The learning rate of the group with the number `group` after `epoch` steps."""
        raise NotImplementedError(f"{type(self).__name__} has no rate")

    def _apply(self) -> None:
        for i, base_lr in enumerate(self.base_lrs):
            self.optimizer.param_groups[i]["lr"] = self.rate(base_lr, self.last_epoch, i)

    def step(self) -> None:
        """Goes on by one epoch and sets the learning rate of each group."""
        self._go_on()
        capture = current_capture()
        if capture is not None:
            capture.python_step(f"{type(self).__name__}.step", self._go_on)

    def _go_on(self) -> None:
        self.last_epoch += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the scheduler is."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes to where `state_dict` said."""
        self.last_epoch, self.base_lrs = state_dict["last_epoch"], list(state_dict["base_lrs"])
        self._apply()


class StepLR(LRScheduler):
    """The learning rate times gamma after every step_size epochs. Raises ArgumentError for
    step_size < 1.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> optimizer = optim.SGD([tensorgrad.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for epoch in range(3):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if not isinstance(step_size, int) or step_size < 1:
            raise ArgumentError(f"StepLR: expected an integer step_size >= 1, got {step_size!r}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, base_lr: float, epoch: int, group: int) -> float:
        """base_lr * gamma ** (epoch // step_size)."""
        return float(base_lr * self.gamma ** (epoch // self.step_size))


class CosineAnnealingLR(LRScheduler):
    """The learning rate from its start to eta_min along half a cosine of T_max epochs, and on along
    the cosine (Loshchilov and Hutter 2017, without restarts). Raises ArgumentError for T_max < 1.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> optimizer = optim.SGD([tensorgrad.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if not T_max >= 1:
            raise ArgumentError(f"CosineAnnealingLR: expected T_max >= 1, got {T_max!r}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base_lr: float, epoch: int, group: int) -> float:
        """eta_min + (base_lr - eta_min) * (1 + cos(pi * epoch / T_max)) / 2."""
        half = (1.0 + math.cos(math.pi * epoch / self.T_max)) / 2.0
        return self.eta_min + (base_lr - self.eta_min) * half


class LambdaLR(LRScheduler):
    """The learning rate at the start times a function of the epoch. lr_lambda: a function, or one
    for each group. Raises ArgumentError if their number differs from that of the groups.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> optimizer = optim.SGD([tensorgrad.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        groups = len(getattr(optimizer, "param_groups", ()))
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ArgumentError(
                f"LambdaLR: expected {groups} functions, got {len(self.lr_lambdas)}"
            )
        super().__init__(optimizer)

    def rate(self, base_lr: float, epoch: int, group: int) -> float:
        """base_lr * lr_lambda(epoch)."""
        return base_lr * self.lr_lambdas[group](epoch)


__all__ = ["CosineAnnealingLR", "LRScheduler", "LambdaLR", "StepLR"]
