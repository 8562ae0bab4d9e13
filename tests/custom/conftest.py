"""Compiled ops go to a cache of the test session's own, and are forgotten after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tensorgrad._native import BINARY, UNARY
from tensorgrad.autograd import registry


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("cache")
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORGRAD_CACHE_DIR", str(folder))
        yield


@pytest.fixture(autouse=True)
def _forget(_cache: None) -> Iterator[None]:
    tables = (registry, UNARY, BINARY)
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
