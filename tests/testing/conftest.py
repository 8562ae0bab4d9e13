"""Ops that a test declares are forgotten after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tensorgrad.autograd import registry


@pytest.fixture(autouse=True)
def _forget_ops() -> Iterator[None]:
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)
