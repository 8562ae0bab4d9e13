"""Trees: tuples, lists and dicts, nested, of anything else (their leaves)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def leaves_of(tree: Any) -> list[Any]:
    """What is in the tree, in order."""
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves_of(part)]
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in leaves_of(part)]
    return [tree]


def _built(tree: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(tree, tuple):
        parts = [_built(part, leaves) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [_built(part, leaves) for part in tree]
    if isinstance(tree, dict):
        return {key: _built(part, leaves) for key, part in tree.items()}
    return next(leaves)


def built(tree: Any, leaves: Any) -> Any:
    """A tree of the same form with other leaves."""
    return _built(tree, iter(leaves))


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of the same form with function(leaf) in place of each leaf."""
    return built(tree, [function(leaf) for leaf in leaves_of(tree)])
