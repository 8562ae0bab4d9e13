"""An exception that a signal's handler raises comes out where the program is, whenever it arrives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs timers that send signals")

PROGRAM = """
import random, signal, sys
import numpy as np
import tensorgrad as tg
from tensorgrad.autograd import Function

class Alarm(BaseException):
    pass

def ring(*_):
    raise Alarm

dropped = []
sys.unraisablehook = dropped.append
signal.signal(signal.SIGALRM, ring)
a, b = tg.rand(64), tg.rand(64)
model = tg.nn.Linear(64, 4)
optimizer = tg.optim.SGD(model.parameters(), lr=0.01)

def operation():
    c = a + b

def array():
    c = a.numpy() > 0

def step():
    optimizer.zero_grad()
    tg.nn.functional.mse_loss(model(tg.ones((8, 64))), tg.ones((8, 4))).backward()
    optimizer.step()

def chain(x):
    for _ in range(20):
        x = (x * 2).exp()
    return x

def recorded():
    compiled = tg.compile(chain, passes=())
    compiled(a)
    return len(compiled.explain().steps)

complete = recorded()

def recording():
    assert recorded() == complete

class Square(Function):
    @staticmethod
    def forward(ctx, x):
        return tg.tensor(np.square(x.detach().numpy()))

in_python = tg.compile(lambda x: Square.apply(x) + 1)
in_python(a), in_python(a)

def replay():
    in_python(a)

work, numbers = {work}, random.Random(3)
caught = 0
for _ in range({times}):
    before = len(dropped)
    try:
        signal.setitimer(signal.ITIMER_REAL, numbers.uniform(3e-4, 3e-3))
        while len(dropped) == before:
            work()
    except Alarm:
        caught += 1
print(caught, "caught", *[repr(d.exc_value) for d in dropped[:3]])
"""


@pytest.mark.parametrize("work", ["operation", "array", "step", "recording", "replay"])
def test_nothing_that_a_signal_raises_is_dropped(work: str) -> None:
    times = 300
    program = PROGRAM.replace("{work}", work).replace("{times}", str(times))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == f"{times} caught"
    assert not done.stderr
