"""Recording switched on and off: context managers, decorators, generators, coroutines."""

from __future__ import annotations

import asyncio

import pytest

import tensorgrad
from tensorgrad import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tensorgrad.errors import ArgumentError

OFF = [no_grad(), no_grad, set_grad_enabled, inference_mode(), inference_mode]


def decorated(off, function):
    return set_grad_enabled(False)(function) if off is set_grad_enabled else off(function)


@pytest.mark.parametrize("off", OFF)
def test_functions(off):
    @enable_grad()
    def inner():
        return is_grad_enabled()

    @lambda f: decorated(off, f)
    def function(a, *, b):
        """Its own."""
        return a, b, is_grad_enabled()

    assert function(1, b=2) == (1, 2, False)
    assert function.__name__ == "function"
    assert function.__doc__ == "Its own."
    assert is_grad_enabled()
    assert inner()


@pytest.mark.parametrize("off", OFF)
def test_generators_hold_the_mode_only_while_they_run(off):
    closed = []

    def generator():
        try:
            got = yield is_grad_enabled()
            assert got == "sent"
            try:
                yield is_grad_enabled()
            except KeyError:
                yield is_grad_enabled()
            return "returned"
        finally:
            closed.append(is_grad_enabled())

    g = decorated(off, generator)()
    assert next(g) is False
    assert is_grad_enabled()
    assert g.send("sent") is False
    assert is_grad_enabled()
    assert g.throw(KeyError()) is False
    assert is_grad_enabled()
    with pytest.raises(StopIteration, match="returned"):
        next(g)
    g = decorated(off, generator)()
    next(g)
    g.close()
    assert closed == [False, False]
    assert is_grad_enabled()


@pytest.mark.parametrize("off", OFF)
def test_coroutines_hold_the_mode_only_while_they_run(off):
    seen = []

    async def waits():
        seen.append(is_grad_enabled())
        await asyncio.sleep(0)
        seen.append(is_grad_enabled())
        return "returned"

    async def other():
        seen.append(is_grad_enabled())

    async def main():
        return await asyncio.gather(decorated(off, waits)(), other())

    assert asyncio.run(main())[0] == "returned"
    assert seen == [False, True, False]


def test_what_cannot_be_decorated():
    async def stream():
        yield 1

    with pytest.raises(ArgumentError, match="stream"):
        no_grad()(stream)
    with pytest.raises(ArgumentError, match="class"):
        no_grad(int)
    with pytest.raises(ArgumentError, match="function"):
        set_grad_enabled(False)(3)
    assert is_grad_enabled()


def test_set_grad_enabled_acts_at_once_and_goes_back():
    set_grad_enabled(False)
    assert not is_grad_enabled()
    set_grad_enabled(True)
    with set_grad_enabled(False):
        assert not is_grad_enabled()
        with set_grad_enabled(True):
            assert is_grad_enabled()
    assert is_grad_enabled()


def test_inference_mode():
    w = tensorgrad.ones(2, requires_grad=True)
    with inference_mode():
        y = w * 2
        with enable_grad():
            assert not is_grad_enabled()
        with set_grad_enabled(True):
            assert not is_grad_enabled()
        with inference_mode(False):
            assert not is_grad_enabled()
    with inference_mode(False):
        assert is_grad_enabled()
    assert not y.requires_grad
    (w * y).sum().backward()
    assert w.grad.tolist() == [2.0, 2.0]
