from __future__ import annotations

import io

import pytest

from tensorgrad.data._progress import Progress, format_rate, format_seconds


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_rewritten(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    with Progress(100, "samples", terminal) as bar:
        assert bar.advance(25)
        bar.draw("epoch 1/4", "loss 0.5000")
        assert not bar.advance(25)  # a tenth of a second has not passed
    shown = terminal.getvalue()
    assert shown.startswith("\r\x1b[2Kepoch 1/4 |━━━━━━" + 18 * " " + "|  25%  loss 0.5000  ")
    assert "samples/s" in shown
    assert "left" in shown
    assert shown.endswith("\r\x1b[2K")
    assert "\n" not in shown


def test_the_line_is_cut_to_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    Progress(100, "samples", terminal).draw("a label that is far too long", "and more")
    assert len(terminal.getvalue()) == len("\r\x1b[2K") + 19


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb")])
def test_elsewhere_nothing_is_written(monkeypatch, stream, term):
    monkeypatch.setenv("TERM", term)
    with Progress(10, "samples", stream) as bar:
        assert not bar.advance(5)
    assert stream.getvalue() == ""


def test_a_terminal_without_unicode_gets_ascii(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    terminal.encoding = "ascii"
    bar = Progress(2, "samples", terminal)
    bar.advance(1)
    bar.draw("half")
    assert "|############............|" in terminal.getvalue()


def test_nothing_to_do_is_no_division_by_zero(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    Progress(0, "samples", terminal).draw("empty")
    assert "-:-- left" in terminal.getvalue()


def test_formats():
    assert format_rate(123456.7, "samples") == "123,457 samples/s"
    assert format_rate(3_210_000, "B") == "3.2 MB/s"
    assert [format_seconds(s) for s in (7.4, 754, 3723)] == ["0:07", "12:34", "1:02:03"]
