"""What every optimizer has: parameter groups, state, and their way to and from a plain dict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tensorgrad._tensor import Tensor
from tensorgrad.errors import ArgumentError, DTypeError, GradientError, StateDictError
from tensorgrad.ops.multi import drop_gradients


class Optimizer:
    """Base of optimizers: an optimizer of one's own subclasses it and defines `step`.

    params: Tensors, (name, Tensor) pairs, or dicts with "params" and the options of a group.
    defaults: the options of groups that do not give them. Attributes: `param_groups`, a list of
    dicts with "params" and the options, read at every step; `state`, what is kept for each
    parameter.

    Raises ArgumentError for no parameters or one given twice, DTypeError for what is no Tensor,
    GradientError for a Tensor that is no leaf.

    >>> import tensorgrad
    >>> from tensorgrad import optim
    >>> class SignDescent(optim.Optimizer):
    ...     def step(self, closure=None):
    ...         with tensorgrad.no_grad():
    ...             for group in self.param_groups:
    ...                 for p in group["params"]:
    ...                     p -= group["lr"] * p.grad.sign()
    >>> w = tensorgrad.tensor([3.0, -3.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SignDescent([w], {"lr": 0.5}).step()
    >>> w.tolist()
    [2.5, -2.5]
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, dict)):
            raise DTypeError(
                f"{type(self).__name__}: expected an iterable of Tensors or dicts, got a "
                f"{type(params).__name__}; put it in a list"
            )
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        self._parameters: list[Tensor] = []  # of all groups, in order
        given = list(params)
        if not given:
            raise ArgumentError(f"{type(self).__name__}: expected at least one parameter, got none")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: a dict of "params" (a Tensor or an iterable of them) and options that
        differ from the defaults. Raises as the constructor does; then nothing is added.

        >>> import tensorgrad
        >>> from tensorgrad import nn, optim
        >>> body, head = nn.Linear(4, 8), nn.Linear(8, 2)
        >>> optimizer = optim.SGD(body.parameters(), lr=0.01)
        >>> optimizer.add_param_group({"params": head.parameters(), "lr": 0.1})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.01, 0.1]
        """
        where = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise DTypeError(
                f"{where}: expected a group to be a dict with 'params', got {param_group!r}"
            )
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        params = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in params]
        seen = {id(p) for p in self._parameters}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise DTypeError(
                    f"{where}: expected Tensors as parameters, got {type(p).__name__} at {i}"
                )
            if not p.is_leaf:
                raise GradientError(
                    f"{where}: parameter {i} was computed from other tensors; only leaves can be optimized"
                )
            if id(p) in seen:
                raise ArgumentError(
                    f"{where}: parameter {i} was given before; each must be in one group, once"
                )
            seen.add(id(p))
        group = {"params": params, **{k: v for k, v in param_group.items() if k != "params"}}
        for option, value in self.defaults.items():
            group.setdefault(option, value)
        self._check(group)
        self.param_groups.append(group)
        self._parameters += params

    def _check(self, group: dict[str, Any]) -> None:
        """Raises ArgumentError for options that make no sense."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters; with set_to_none=False, makes them zeros in
        place.

        >>> import tensorgrad
        >>> from tensorgrad import optim
        >>> w = tensorgrad.ones(2, requires_grad=True)
        >>> w.sum().backward()
        >>> optim.SGD([w], lr=0.1).zero_grad()
        >>> w.grad is None
        True
        """
        if set_to_none:
            drop_gradients(self._parameters)
        else:
            zero_gradients(self._parameters)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient. closure: computes the loss again, and its
        gradients; its result is returned."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def state_dict(self) -> dict[str, Any]:
        """The state and the options, parameters being numbered in order: as PyTorch has it.

        >>> import tensorgrad
        >>> from tensorgrad import optim
        >>> w = tensorgrad.ones(2, requires_grad=True)
        >>> optim.SGD([w], lr=0.1).state_dict()["param_groups"][0]["params"]
        [0]
        """
        number = {id(p): i for i, p in enumerate(self._parameters)}
        groups = []
        for group in self.param_groups:
            options = {k: v for k, v in group.items() if k != "params"}
            groups.append({**options, "params": [number[id(p)] for p in group["params"]]})
        state = {number[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; tensors are copied and converted to their parameter's
        dtype. Raises StateDictError if groups or shapes differ, and then changes nothing.

        >>> import tensorgrad
        >>> from tensorgrad import optim
        >>> w = tensorgrad.ones(2, requires_grad=True)
        >>> optimizer = optim.SGD([w], lr=0.1)
        >>> optimizer.load_state_dict(optim.SGD([w], lr=0.5).state_dict())
        >>> optimizer.param_groups[0]["lr"]
        0.5
        """
        where = f"{type(self).__name__}.load_state_dict"
        try:
            saved_groups, saved_state = state_dict["param_groups"], state_dict["state"]
            sizes = [len(group["params"]) for group in saved_groups]
        except (TypeError, KeyError) as error:
            raise StateDictError(
                f"{where}: expected 'state' and 'param_groups', missing {error}"
            ) from None
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise StateDictError(f"{where}: expected groups of {expected} parameters, got {sizes}")
        keys = [key for group in saved_groups for key in group["params"]]
        owner = dict(zip(keys, self._parameters))
        state: dict[Tensor, dict[str, Any]] = {}
        for key, values in saved_state.items():
            if key not in owner:
                raise StateDictError(f"{where}: state of parameter {key!r}, which is in no group")
            p = owner[key]
            state[p] = {
                name: _loaded(value, p, f"{where}: {name} of {key!r}")
                for name, value in values.items()
            }
        groups = [
            {**group, **{k: v for k, v in saved.items() if k != "params"}}
            for group, saved in zip(self.param_groups, saved_groups)
        ]
        for group in groups:
            self._check(group)
        for group, loaded in zip(self.param_groups, groups):
            group.update(loaded)
        self.state = state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def zero_gradients(parameters: Iterable[Tensor]) -> None:
    """Makes every gradient zeros, in its own memory."""
    for p in parameters:
        gradient = p.grad
        if gradient is not None:
            gradient = p.grad = gradient.detach()
            gradient.zero_()


def _loaded(value: Any, p: Tensor, where: str) -> Any:
    """A value of a saved state for parameter p: tensors of its shape in its dtype, others as they
    are."""
    if not hasattr(value, "__array__"):
        return value
    loaded = Tensor(value, None if isinstance(value, Tensor) and value.size == 1 else p.dtype)
    if loaded.size != 1 and loaded.shape != p.shape:
        raise StateDictError(f"{where}: expected shape {p.shape}, got {loaded.shape}")
    return loaded
