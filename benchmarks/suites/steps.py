"""Training steps of multilayer perceptrons as each library does them best, with SGD or Adam; and the
networks alone, for inference. No suite of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from suites import mlp
from tensorgrad import nn, optim

RATE = mlp.RATE
ADAM_RATE = (
    0.001  # each library's default; with ten times as much all gradients underflow before long
)
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
Layers = tuple[int, ...]
Step = Callable[[], object]


# ---- tensorgrad ----------------------------------------------------------------------------------


def tensorgrad_model(layers: Layers, dtype: str) -> nn.Module:
    """The network."""
    modules: list[nn.Module] = []
    for w, b in mlp.parameters(layers, dtype):
        linear = nn.Linear(*w.shape[::-1], dtype=dtype)
        linear.load_state_dict({"weight": w, "bias": b})
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def tensorgrad_function(layers: Layers, dtype: str, adam: bool) -> Callable[..., Any]:
    """A training step, as a user writes it: a function of a batch and its labels."""
    model = tensorgrad_model(layers, dtype)
    criterion = nn.CrossEntropyLoss()
    kind, rate = (optim.Adam, ADAM_RATE) if adam else (optim.SGD, RATE)
    optimizer = kind(model.parameters(), lr=rate)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


# ---- NumPy, by hand ----------------------------------------------------------------------------------


def numpy_step(x: np.ndarray, labels: np.ndarray, layers: Layers, adam: bool) -> Step:
    """Every buffer allocated beforehand and every operation in place."""
    return mlp.numpy_step(x, labels, layers, _numpy_adam() if adam else mlp.numpy_sgd)


def _numpy_adam() -> Callable[..., None]:
    state: dict[int, Any] = {}

    def update(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
        for w, g in pairs:
            if id(w) not in state:
                state[id(w)] = [np.zeros_like(w), np.zeros_like(w), np.empty_like(w), 0]
            m, v, work, done = state[id(w)]
            state[id(w)][3] = done = done + 1
            m *= BETA1
            np.multiply(g, 1 - BETA1, out=work)
            m += work
            v *= BETA2
            np.multiply(g, g, out=work)
            work *= 1 - BETA2
            v += work
            np.sqrt(v, out=work)
            work /= (1 - BETA2**done) ** 0.5
            work += EPS
            np.divide(m, work, out=work)
            work *= ADAM_RATE / (1 - BETA1**done)
            w -= work

    return update


def numpy_model(x: np.ndarray, layers: Layers) -> Step:
    """The network's output."""
    weights = mlp.parameters(layers, x.dtype.name)
    outputs = [np.empty((len(x), n), x.dtype) for n in layers[1:]]

    def run() -> object:
        y = x
        for i, (w, b) in enumerate(weights):
            np.matmul(y, w.T, out=outputs[i])
            outputs[i] += b
            if i < len(weights) - 1:
                np.maximum(outputs[i], 0, out=outputs[i])
            y = outputs[i]
        return y

    return run


# ---- PyTorch ---------------------------------------------------------------------------------------


def torch_model(torch: Any, layers: Layers, dtype: str) -> Any:
    """The network."""
    modules = []
    for w, b in mlp.parameters(layers, dtype):
        linear = torch.nn.Linear(*w.shape[::-1], dtype=torch.tensor(w).dtype)
        linear.load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def torch_step(
    torch: Any, x: np.ndarray, labels: np.ndarray, layers: Layers, adam: bool, compiled: bool
) -> Step:
    """With the fused optimizer. compiled: model, loss and their gradients by torch.compile; the optimizer's
    step is one fused call anyhow."""
    model = torch_model(torch, layers, x.dtype.name)
    criterion = torch.nn.CrossEntropyLoss()
    kind, rate = (torch.optim.Adam, ADAM_RATE) if adam else (torch.optim.SGD, RATE)
    optimizer = kind(model.parameters(), lr=rate, fused=True)
    xs, ys = torch.tensor(x), torch.tensor(labels)

    def loss_of(x: Any, y: Any) -> Any:
        return criterion(model(x), y)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step() -> object:
        optimizer.zero_grad()
        loss = loss_of(xs, ys)
        loss.backward()
        optimizer.step()
        return loss

    return step


# ---- JAX -------------------------------------------------------------------------------------------


def _jax_forward(jax: Any, parameters: Any, x: Any) -> Any:
    h = x
    for w, b in parameters[:-1]:
        h = jax.nn.relu(h @ w.T + b)
    w, b = parameters[-1]
    return h @ w.T + b


def _jax_update(jax: Any, adam: bool) -> Callable[..., Any]:
    """(state, batch) -> (state, loss), not yet jitted."""
    jnp, tree_map = jax.numpy, jax.tree_util.tree_map

    def loss_of(parameters: Any, xs: Any, ys: Any) -> Any:
        log_p = jax.nn.log_softmax(_jax_forward(jax, parameters, xs))
        return -jnp.take_along_axis(log_p, ys[:, None], 1).mean()

    def sgd(state: Any, batch: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(state, *batch)
        return tree_map(lambda p, g: p - RATE * g, state, gradients), loss

    def adam_update(state: Any, batch: Any) -> Any:
        parameters, means, squares, done = state
        loss, gradients = jax.value_and_grad(loss_of)(parameters, *batch)
        done = done + 1
        means = tree_map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, gradients)
        squares = tree_map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, gradients)
        rate, root = ADAM_RATE / (1 - BETA1**done), jnp.sqrt(1 - BETA2**done)
        parameters = tree_map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + EPS), parameters, means, squares
        )
        return (parameters, means, squares, done), loss

    return adam_update if adam else sgd


def _jax_state(jax: Any, layers: Layers, dtype: str, adam: bool) -> Any:
    jnp, tree_map = jax.numpy, jax.tree_util.tree_map
    parameters = tree_map(jnp.asarray, mlp.parameters(layers, dtype))
    if not adam:
        return parameters
    means, squares = (tree_map(jnp.zeros_like, parameters) for _ in range(2))
    return parameters, means, squares, jnp.zeros((), dtype)


def jax_step(jax: Any, x: np.ndarray, labels: np.ndarray, layers: Layers, adam: bool) -> Step:
    """The whole step jitted, its state written in place."""
    update = jax.jit(_jax_update(jax, adam), donate_argnums=0)
    state = [_jax_state(jax, layers, x.dtype.name, adam)]
    batch = jax.numpy.asarray(x), jax.numpy.asarray(labels)

    def step() -> object:
        state[0], loss = jax.block_until_ready(update(state[0], batch))
        return loss

    return step


def jax_scan(jax: Any, xs: np.ndarray, labels: np.ndarray, layers: Layers, adam: bool) -> Step:
    """Many steps in lax.scan, jitted."""
    update = _jax_update(jax, adam)
    steps = jax.jit(lambda state, batches: jax.lax.scan(update, state, batches), donate_argnums=0)
    state = [_jax_state(jax, layers, xs.dtype.name, adam)]
    batches = jax.numpy.asarray(xs), jax.numpy.asarray(labels)

    def run() -> object:
        state[0], losses = jax.block_until_ready(steps(state[0], batches))
        return losses

    return run


def jax_model(jax: Any, x: np.ndarray, layers: Layers) -> Step:
    """The network's output, jitted."""
    parameters = jax.tree_util.tree_map(jax.numpy.asarray, mlp.parameters(layers, x.dtype.name))
    forward = jax.jit(lambda p, xs: _jax_forward(jax, p, xs))
    xs = jax.numpy.asarray(x)
    return lambda: jax.block_until_ready(forward(parameters, xs))


__all__ = [
    "jax_model", "jax_scan", "jax_step", "numpy_model", "numpy_step", "tensorgrad_function",
    "tensorgrad_model", "torch_model", "torch_step",
]  # fmt: skip
