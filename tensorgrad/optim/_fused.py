"""Optimizers whose step is one C call per dtype and group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorgrad._captures import captures, current_capture, unrecorded
from tensorgrad._tensor import Tensor
from tensorgrad.autograd import enable_grad
from tensorgrad.errors import ArgumentError
from tensorgrad.ops.creation import zeros_like
from tensorgrad.ops.multi import AdamTables, SGDTables, by_dtype
from tensorgrad.optim._optimizer import Optimizer


class Options:
    """The options of a group, which the kernel reads from its tables."""

    __slots__ = ("group", "read", "tables")

    def __init__(
        self, tables: SGDTables | AdamTables, read: Callable[[Any], Any], group: dict[str, Any]
    ) -> None:
        self.tables = tables
        self.read = read
        self.group = group

    def take(self) -> bool:
        """Puts them where the kernel reads them; False if the tables do not fit them."""
        return self.tables.take(self.read(self.group))


class FusedOptimizer(Optimizer):
    """Base of SGD and Adam: makes the tables of the C call at the first step, and anew when they do
    not fit any more.

    `state` has an entry for a parameter once that has made a step."""

    # the options of a group in the order in which its tables take them
    _values: staticmethod[[Any], tuple[Any, ...]]

    _tables: list[tuple[dict[str, Any], SGDTables | AdamTables]]

    def _new_tables(
        self, parameters: list[Tensor], group: dict[str, Any]
    ) -> SGDTables | AdamTables:
        """Tables over parameters of one dtype."""
        raise NotImplementedError

    def _note_state(self, tables: Any) -> None:
        """Puts what the parameters that have made a step keep into the state."""
        raise NotImplementedError

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
            with unrecorded():
                for group in self.param_groups:
                    self._tables += [(group, t) for t in self._tables_of(group["params"], group)]
        fit = True
        for group, tables in self._tables:
            values = self._values(group)
            if not tables.step(values):
                fit = False
                with unrecorded():
                    made = self._tables_of(tables.parameters, group)
                for made_now in made:
                    made_now.step(values)
                    self._step_made(group, made_now)
            elif tables.waiting or captures:
                self._step_made(group, tables)
        if not fit:
            self._tables = []
        return result

    def _step_made(self, group: dict[str, Any], tables: Any) -> None:
        """What follows a step, until all parameters have made one and unless it is recorded."""
        if tables.waiting:
            with unrecorded():
                self._note_state(tables)
        capture = current_capture()
        if capture is not None:
            capture.keep(tables)
            # the options are read again before each replay, as they are before each step
            capture.options.append(Options(tables, self._values, group))

    def _tables_of(
        self, params: Sequence[Tensor], group: dict[str, Any]
    ) -> list[SGDTables | AdamTables]:
        where = type(self).__name__
        made = []
        for parameters in by_dtype(params, where):
            for p in parameters:
                if not p.is_contiguous():
                    raise ArgumentError(
                        f"{where}: expected parameters in contiguous memory, got strides {p.strides} of {p.shape}"
                    )
            tables = self._new_tables(parameters, group)
            self._note_state(tables)
            made.append(tables)
        return made

    def _buffers(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """What the state has under a name for each parameter, in its dtype, or zeros."""
        saved = [self.state.get(p, {}).get(name) for p in parameters]
        return [
            zeros_like(p.detach()) if b is None else b.astype(p.dtype).contiguous()
            for p, b in zip(parameters, saved)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": []}
