"""Views that do not begin where their memory does, as inputs of kernels that read integers."""

from __future__ import annotations

import numpy as np

import tensorgrad


def test_indices_and_labels():
    x = tensorgrad.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    index = tensorgrad.tensor([[0, 0, 0], [2, 0, 1]])[1]
    y = tensorgrad.take(x, index, axis=0)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy()[[2, 0, 1]])
    np.testing.assert_array_equal(x.grad.numpy(), np.ones((3, 4)))
    a = tensorgrad.ops.cross_entropy(x.detach(), index)
    b = tensorgrad.ops.cross_entropy(x.detach(), index.copy())
    assert a.item() == b.item()
