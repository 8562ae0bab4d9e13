"""A whole training step of a multilayer perceptron with ReLU: forward, cross-entropy, backward,
SGD, as a user writes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from measure import Row, Setting

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


def parameters(
    layers: tuple[int, ...], dtype: str = "float32"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first weights and biases of each layer, the same for everyone."""
    rng = np.random.default_rng(0)
    return [
        ((rng.standard_normal((n, m)) / np.sqrt(m)).astype(dtype), np.zeros(n, dtype))
        for m, n in itertools.pairwise(layers)
    ]


def tensorgrad_step(
    x: np.ndarray, labels: np.ndarray, layers: tuple[int, ...]
) -> Callable[[], object]:
    modules: list[nn.Module] = []
    for w, b in parameters(layers, x.dtype.name):
        linear = nn.Linear(*w.shape[::-1], dtype=x.dtype)
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


Pairs = list[tuple[np.ndarray, np.ndarray]]


def numpy_sgd(pairs: Pairs) -> None:
    """An update of (parameter, gradient) pairs; the gradients are used up."""
    for w, g in pairs:
        g *= RATE
        w -= g


def numpy_step(
    x: np.ndarray,
    labels: np.ndarray,
    layers: tuple[int, ...],
    update: Callable[[Pairs], None] = numpy_sgd,
) -> Callable[[], object]:
    """By hand, with every buffer allocated beforehand and every operation in place."""
    weights = parameters(layers, x.dtype.name)
    batch = len(x)
    rows = np.arange(batch)
    outputs = [np.empty((batch, n), x.dtype) for n in layers[1:]]
    gradients = [np.empty((batch, n), x.dtype) for n in layers[1:]]
    masks = [np.empty((batch, n), bool) for n in layers[1:-1]]
    changes = [(np.empty_like(w), np.empty_like(b)) for w, b in weights]
    top = np.empty((batch, 1), x.dtype)

    def step() -> object:
        y = x
        for i, (w, b) in enumerate(weights):
            np.matmul(y, w.T, out=outputs[i])
            outputs[i] += b
            if i < len(weights) - 1:
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
        for i in reversed(range(len(weights))):
            w, b = weights[i]
            gw, gb = changes[i]
            np.matmul(gy.T, x if i == 0 else outputs[i - 1], out=gw)
            np.sum(gy, axis=0, out=gb)
            if i:
                np.matmul(gy, w, out=gradients[i - 1])
                np.greater(outputs[i - 1], 0, out=masks[i - 1])
                gradients[i - 1] *= masks[i - 1]
                gy = gradients[i - 1]
            update([(w, gw), (b, gb)])
        return loss

    return step


def torch_step(
    torch, x: np.ndarray, labels: np.ndarray, layers: tuple[int, ...]
) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    modules = []
    for w, b in parameters(layers, x.dtype.name):
        linear = torch.nn.Linear(*w.shape[::-1], dtype=torch.tensor(x).dtype)
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

    state = [jax.tree_util.tree_map(jnp.asarray, parameters(layers, x.dtype.name))]
    xs, ys = jnp.asarray(x), jnp.asarray(labels)

    def step() -> object:
        # JAX returns before it has computed: without waiting for the parameters too, the end of
        # the step would go unmeasured, and would run on into the next contender's turn
        state[0], loss = jax.block_until_ready(update(state[0], xs, ys))
        return loss

    return step


def inputs(batch: int, layers: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """A batch and its labels."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, layers[0])).astype(dtype)
    return x, rng.integers(0, layers[-1], batch)


def flops(batch: int, layers: tuple[int, ...]) -> float:
    """Of the products of a step: forward, weight gradients, and input gradients of all layers but
    the first."""
    sizes = [m * n for m, n in itertools.pairwise(layers)]
    return 2.0 * batch * (3 * sum(sizes) - sizes[0])


def rows(setting: Setting) -> Iterator[Row]:
    peak = setting.limits and setting.limits.flops(setting.dtype)
    for batch, layers in setting.sizes(SIZES):
        x, labels = inputs(batch, layers, setting.dtype)
        contenders = {
            "tensorgrad": tensorgrad_step(x, labels, layers),
            "numpy": numpy_step(x, labels, layers),
        }
        if setting.torch:
            contenders["torch"] = torch_step(setting.torch, x, labels, layers)
        if setting.jax:
            contenders["jax"] = _jax_step(setting.jax, x, labels, layers)
        work = flops(batch, layers)
        yield from setting.row(
            f"{batch} x {list(layers)}",
            "training step",
            contenders,
            limit=peak and peak(work),
            judged=layers[1] >= 1024,
            flops=work,
            blas=True,
            turn=0.02,
            rounds=15,
        )
