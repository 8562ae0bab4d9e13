"""Splits a function before the statement that cannot be recorded: what comes before is compiled, the
rest runs eagerly."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable
from typing import Any


def split(function: Any, line: int) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """Two functions that together do what `function` does. The first takes its arguments, and returns
    the variables that the second takes, as a dict.

    line: the one in the function's file that cannot be recorded; the function is split before the
    statement, on its outermost level, that it is part of. None where that cannot be done: the source is
    not to be had, nothing comes before, or what comes before may return."""
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType):
        return None
    try:
        source, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(source)))
    except (OSError, SyntaxError):
        return None
    definition = tree.body[0] if tree.body else None
    if not isinstance(definition, ast.FunctionDef):
        return None
    ast.increment_lineno(tree, first - 1)
    body = definition.body
    at = next((i for i, s in enumerate(body) if s.lineno <= line <= (s.end_lineno or 0)), 0)
    before, after = body[:at], body[at:]
    if not _worth_it(before):
        return None
    arguments = [a.arg for a in _all_arguments(definition.args)]
    stored = [n for s in before for n in ast.walk(s) if isinstance(n, ast.Name)]
    assigned = {*arguments, *(n.id for n in stored if isinstance(n.ctx, ast.Store))}
    needed = {n.id for s in after for n in ast.walk(s) if isinstance(n, ast.Name)}
    passed = sorted(assigned & needed)
    return (
        _made(function, definition, definition.args, [*before, _returning(passed, after[0])]),
        _made(function, definition, _keywords(passed), after),
    )


def _worth_it(statements: list[ast.stmt]) -> bool:
    """Whether there is something to compile, which runs to its end."""
    inner = [n for s in statements for n in ast.walk(s)]
    return any(isinstance(n, (ast.Call, ast.BinOp)) for n in inner) and not any(
        isinstance(n, (ast.Return, ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal))
        for n in inner
    )


def _all_arguments(a: ast.arguments) -> list[ast.arg]:
    gathering = [one for one in (a.vararg, a.kwarg) if one is not None]
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *gathering]


def _keywords(names: list[str]) -> ast.arguments:
    return ast.arguments([], [], None, [ast.arg(n) for n in names], [None for _ in names], None, [])


def _returning(names: list[str], place: ast.stmt) -> ast.stmt:
    """return {name: its value}"""
    value = ast.Dict([ast.Constant(n) for n in names], [ast.Name(n, ast.Load()) for n in names])
    return ast.copy_location(ast.Return(value), place)


def _made(
    function: types.FunctionType,
    definition: ast.FunctionDef,
    arguments: ast.arguments,
    body: list[ast.stmt],
) -> types.FunctionType:
    """A function with this body that sees what the original sees: its globals, defaults, closure."""
    free = function.__code__.co_freevars
    inner = ast.copy_location(
        ast.FunctionDef(definition.name, arguments, body, [], None), definition
    )
    # defaults are those of the original: here they only have to be as many
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [
        None if d is None else ast.Constant(None) for d in arguments.kw_defaults
    ]
    outer = ast.FunctionDef(
        "outer",
        ast.arguments([], [ast.arg(n) for n in free], None, [], [], None, []),
        [inner],
        [],
        None,
    )
    module = ast.fix_missing_locations(ast.Module([ast.copy_location(outer, definition)], []))
    code = compile(module, function.__code__.co_filename, "exec")
    outer_code = next(c for c in code.co_consts if isinstance(c, types.CodeType))
    inner_code = next(c for c in outer_code.co_consts if isinstance(c, types.CodeType))
    cells = dict(zip(free, function.__closure__ or ()))
    made = types.FunctionType(
        inner_code,
        function.__globals__,
        function.__name__,
        function.__defaults__ if arguments.defaults else None,
        tuple(cells[n] for n in inner_code.co_freevars),
    )
    if any(d is not None for d in arguments.kw_defaults):
        made.__kwdefaults__ = function.__kwdefaults__
    return made


__all__ = ["split"]
