"""A whole training step of a multilayer perceptron with ReLU: forward, cross-entropy, backward,
SGD, as a user writes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from measure import Row, compare
from peers import load_torch, optional

import tensorgrad
from tensorgrad import nn, optim

SIZES = (
    (1, (4, 16, 3)),
    (32, (64, 32, 10)),
    (32, (784, 128, 10)),
    (64, (784, 256, 128, 10)),
    (128, (784, 512, 256, 10)),
    (512, (784, 1024, 1024, 10)),
)
RATE = 0.01


def _parameters(layers: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        ((rng.standard_normal((n, m)) / np.sqrt(m)).astype(np.float32), np.zeros(n, np.float32))
        for m, n in itertools.pairwise(layers)
    ]


def _tensorgrad_step(
    x: np.ndarray, labels: np.ndarray, layers: tuple[int, ...]
) -> Callable[[], object]:
    modules: list[nn.Module] = []
    for w, b in _parameters(layers):
        linear = nn.Linear(*w.shape[::-1])
        linear.load_state_dict({"weight": w, "bias": b})
        modules += [linear, nn.ReLU()]
    model = nn.Sequential(*modules[:-1])
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=RATE)
    xs, ys = tensorgrad.tensor(x), tensorgrad.tensor(labels)

    def step() -> object:
        optimizer.zero_grad()
        loss = criterion(model(xs), ys)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _numpy_step(x: np.ndarray, labels: np.ndarray, layers: tuple[int, ...]) -> Callable[[], object]:
    """By hand, with every buffer allocated beforehand and every operation in place."""
    parameters = _parameters(layers)
    batch = len(x)
    rows = np.arange(batch)
    outputs = [np.empty((batch, n), np.float32) for n in layers[1:]]
    gradients = [np.empty((batch, n), np.float32) for n in layers[1:]]
    masks = [np.empty((batch, n), bool) for n in layers[1:-1]]
    changes = [(np.empty_like(w), np.empty_like(b)) for w, b in parameters]
    top = np.empty((batch, 1), np.float32)

    def step() -> object:
        y = x
        for i, (w, b) in enumerate(parameters):
            np.matmul(y, w.T, out=outputs[i])
            outputs[i] += b
            if i < len(parameters) - 1:
                np.maximum(outputs[i], 0, out=outputs[i])
            y = outputs[i]
        np.max(y, axis=1, keepdims=True, out=top)
        gy = gradients[-1]
        np.subtract(y, top, out=gy)
        correct = gy[rows, labels]
        np.exp(gy, out=gy)
        np.sum(gy, axis=1, keepdims=True, out=top)
        loss = float((np.log(top[:, 0]) - correct).mean())
        gy /= top
        gy[rows, labels] -= 1
        gy *= 1.0 / batch
        for i in reversed(range(len(parameters))):
            w, b = parameters[i]
            gw, gb = changes[i]
            np.matmul(gy.T, x if i == 0 else outputs[i - 1], out=gw)
            np.sum(gy, axis=0, out=gb)
            if i:
                np.matmul(gy, w, out=gradients[i - 1])
                np.greater(outputs[i - 1], 0, out=masks[i - 1])
                gradients[i - 1] *= masks[i - 1]
                gy = gradients[i - 1]
            gw *= RATE
            gb *= RATE
            w -= gw
            b -= gb
        return loss

    return step


def _torch_step(
    torch, x: np.ndarray, labels: np.ndarray, layers: tuple[int, ...]
) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    modules = []
    for w, b in _parameters(layers):
        linear = torch.nn.Linear(*w.shape[::-1])
        linear.load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    xs, ys = torch.tensor(x), torch.tensor(labels)

    def step() -> object:
        optimizer.zero_grad()
        loss = criterion(model(xs), ys)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _jax_step(
    jax, x: np.ndarray, labels: np.ndarray, layers: tuple[int, ...]
) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    jnp = jax.numpy

    def loss_of(parameters, xs, ys):  # type: ignore[no-untyped-def]
        h = xs
        for w, b in parameters[:-1]:
            h = jax.nn.relu(h @ w.T + b)
        w, b = parameters[-1]
        log_p = jax.nn.log_softmax(h @ w.T + b)
        return -jnp.take_along_axis(log_p, ys[:, None], 1).mean()

    @jax.jit
    def update(parameters, xs, ys):  # type: ignore[no-untyped-def]
        loss, gradients = jax.value_and_grad(loss_of)(parameters, xs, ys)
        return jax.tree_util.tree_map(lambda p, g: p - RATE * g, parameters, gradients), loss

    state = [jax.tree_util.tree_map(jnp.asarray, _parameters(layers))]
    xs, ys = jnp.asarray(x), jnp.asarray(labels)

    def step() -> object:
        # JAX returns before it has computed: without waiting for the parameters too, the end of
        # the step would go unmeasured, and would run on into the next contender's turn
        state[0], loss = jax.block_until_ready(update(state[0], xs, ys))
        return loss

    return step


def rows(threads: int) -> Iterator[Row]:
    torch = load_torch(threads)
    jax = optional("jax")
    rng = np.random.default_rng(1)
    for batch, layers in SIZES:
        x = rng.standard_normal((batch, layers[0])).astype(np.float32)
        labels = rng.integers(0, layers[-1], batch)
        contenders = {
            "tensorgrad": _tensorgrad_step(x, labels, layers),
            "numpy": _numpy_step(x, labels, layers),
        }
        if torch:
            contenders["torch"] = _torch_step(torch, x, labels, layers)
        if jax:
            contenders["jax"] = _jax_step(jax, x, labels, layers)
        yield compare(f"{batch} x {list(layers)}", contenders, threads=threads, turn=0.02)
