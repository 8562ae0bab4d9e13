"""A first look at an installed tensorgrad: it is whole, it computes, it learns.

Run it outside the source tree, whose own package would be imported instead.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tensorgrad
from tensorgrad import nn, optim
from tensorgrad.data.datasets import Digits

package = Path(tensorgrad.__file__).parent
for part in ("py.typed", "include/tensorgrad.h"):
    assert (package / part).is_file(), f"{part} is missing from {package}"
assert (Path(tensorgrad.get_include()) / "tensorgrad.h").is_file()
assert "matplotlib" not in sys.modules, "an optional extra was imported unasked"

a = np.arange(6, dtype=np.float32).reshape(2, 3)
np.testing.assert_array_equal((tensorgrad.tensor(a) @ tensorgrad.tensor(a.T)).numpy(), a @ a.T)

tensorgrad.manual_seed(0)
digits = Digits(train=True)
images, labels = digits.images, digits.labels
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loss_function = nn.CrossEntropyLoss()
losses = []
for _ in range(20):
    optimizer.zero_grad()
    loss = loss_function(model(images), labels)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < 0.7 * losses[0], f"the loss went from {losses[0]} to {losses[-1]}"

tensorgrad.show_config()
