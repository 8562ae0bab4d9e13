"""scan and run: many mini-batches in one call into C."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

import tensorgrad
from tensorgrad import Tensor, nn, optim
from tensorgrad.data import DataLoader, TensorDataset
from tensorgrad.errors import GradientError, IndexOutOfRangeError, ShapeError


def training(lr=0.1, momentum=0.9):
    tensorgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    criterion = nn.CrossEntropyLoss()

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, step


def batches(n=20, rows=4):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, rows, 6)).astype(np.float32)
    y = rng.integers(0, 3, (n, rows))
    return tensorgrad.tensor(x), tensorgrad.tensor(y)


def assert_same_weights(a, b):
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_scan_is_the_loop():
    xs, ys = batches(200)
    eager_model, _, eager = training()
    model, _, step = training()
    losses = tensorgrad.compile(step).scan(xs, ys)
    assert losses.shape == (200,)
    assert losses.detach().tolist() == [eager(x, y).item() for x, y in zip(xs, ys)]
    assert_same_weights(model, eager_model)
    with pytest.raises(GradientError, match="keeps no graph"):
        losses.sum().backward()


def test_scan_goes_on_where_calls_stopped():
    xs, ys = batches()
    eager_model, _, eager = training()
    model, _, step = training()
    compiled = tensorgrad.compile(step)
    for x, y in zip(xs, ys):
        eager(x, y)
        compiled(x, y)
    compiled.scan(xs, ys)
    for x, y in zip(xs, ys):
        eager(x, y)
    assert_same_weights(model, eager_model)


def test_scan_takes_and_returns_nested_results():
    @tensorgrad.compile
    def both(pair):
        a, b = pair["a"], pair["b"]
        return {"sum": a + b, "parts": (a.sum(), b[0])}

    rng = np.random.default_rng(0)
    a, b = (tensorgrad.tensor(rng.standard_normal((7, 3))) for _ in range(2))
    found = both.scan({"a": a, "b": b})
    np.testing.assert_array_equal(found["sum"].numpy(), (a + b).numpy())
    np.testing.assert_array_equal(found["parts"][1].numpy(), b[:, 0].numpy())
    assert found["parts"][0].shape == (7,)


def test_scan_of_few_is_right_too():
    for n in (1, 2, 3, 4):
        found = tensorgrad.compile(lambda x: x * 2).scan(tensorgrad.arange(n, dtype="float32"))
        assert found.tolist() == [2.0 * i for i in range(n)]


def test_scan_refuses_what_has_no_common_length():
    step = tensorgrad.compile(lambda x, y: x + y)
    with pytest.raises(ShapeError, match="one length along axis 0"):
        step.scan(tensorgrad.ones((3, 2)), tensorgrad.ones((4, 2)))
    with pytest.raises(ShapeError, match="at least one"):
        step.scan(tensorgrad.ones((0, 2)), tensorgrad.ones((0, 2)))


def test_scan_follows_a_schedule_inside():
    xs, ys = batches(50)
    weights = []
    for compiled in (False, True):
        model, optimizer, step = training()
        scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.5)

        def scheduled(x, y, step=step, scheduler=scheduler):
            loss = step(x, y)
            scheduler.step()
            return loss

        if compiled:
            tensorgrad.compile(scheduled).scan(xs, ys)
        else:
            for x, y in zip(xs, ys):
                scheduled(x, y)
        assert scheduler.last_epoch == 50
        weights.append((model, optimizer.param_groups[0]["lr"]))
    assert weights[0][1] == weights[1][1]
    assert_same_weights(weights[0][0], weights[1][0])


def test_a_label_out_of_range_stops_a_scan_where_the_loop_stops():
    xs, ys = batches(30)
    ys = ys.copy()
    ys[17, 2] = 3
    eager_model, _, eager = training()
    model, _, step = training()
    with pytest.raises(IndexOutOfRangeError):
        tensorgrad.compile(step).scan(xs, ys)
    for i in range(17):
        eager(xs[i], ys[i])
    assert_same_weights(model, eager_model)


def test_run_takes_a_loader_with_a_smaller_last_batch():
    rng = np.random.default_rng(0)
    x = tensorgrad.tensor(rng.standard_normal((50, 6)).astype(np.float32))
    y = tensorgrad.tensor(rng.integers(0, 3, 50))
    eager_model, _, eager = training()
    model, _, step = training()
    compiled = tensorgrad.compile(step)
    for _ in range(4):
        loader = DataLoader(TensorDataset(x, y), batch_size=8)
        losses = compiled.run(loader)
        assert [t.item() for t in losses] == [eager(*batch).item() for batch in loader]
    assert len(losses) == 7
    assert_same_weights(model, eager_model)


def test_signals_are_handled_during_a_scan():
    xs, ys = batches(200)
    many = tensorgrad.concat([xs] * 200), tensorgrad.concat([ys] * 200)
    model, _, step = training()
    compiled = tensorgrad.compile(step)
    compiled.scan(xs, ys)
    timer = threading.Timer(0.005, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    began = time.perf_counter()
    try:
        compiled.scan(*many)
        compiled.scan(*many)
        compiled.scan(*many)
    except KeyboardInterrupt:
        pass
    timer.join()
    assert time.perf_counter() - began < 60
    before = [p.detach().tolist() for p in model.parameters()]
    compiled(xs[0], ys[0])  # and it goes on afterwards
    assert before != [p.detach().tolist() for p in model.parameters()]


def test_two_threads_run_two_programs_and_one_is_not_reentered():
    xs, ys = batches(100)
    expected_model, _, eager = training()
    for x, y in zip(xs, ys):
        eager(x, y)
    trained = []

    def work():
        model, _, step = training()
        tensorgrad.compile(step).scan(xs, ys)
        trained.append(model)

    with pytest.MonkeyPatch.context():
        models = [training() for _ in range(2)]  # the seed is shared: made one after the other
        compiled = [tensorgrad.compile(step) for _, _, step in models]
        threads = [threading.Thread(target=c.scan, args=(xs, ys)) for c in compiled]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for model, _, _ in models:
        assert_same_weights(model, expected_model)

    @tensorgrad.compile
    def itself(x: Tensor) -> Tensor:
        return itself(x) if x.shape[0] > 9 else x + 1

    assert itself(tensorgrad.ones(1)).item() == 2
