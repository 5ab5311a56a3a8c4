"""Progress: lines with times and figures, a bar on a terminal, nothing where nobody looks; never an end of the work."""

from __future__ import annotations

import builtins
import io
import os
import re
import sys
from typing import Any

import pytest

from mfa_sklearn._base import progress as module
from mfa_sklearn._base.progress import Progress, is_showing, progress, showing, terminal_shown


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(total: int | None, clock: Clock, initial: int = 0, at_most: bool = False) -> tuple[Any, io.StringIO]:
    stream = io.StringIO()
    return module._Lines(stream, total, "rows of it", "row", initial, at_most, clock), stream


def test_lines_tell_amount_rate_time_left_and_figures() -> None:
    clock = Clock()
    bar, stream = lines(4000, clock)
    clock.now = 10
    bar.update(100, log_likelihood=-12.345678, stage="start")
    clock.now = 20
    bar.update(900, stage=None)
    bar.close()
    first, second, third, last = (line.split(" ", 1)[1] for line in stream.getvalue().splitlines())
    assert first == "rows of it: 0 of 4,000 rows"
    assert second == "rows of it: 100 of 4,000 rows, 10 rows/s, 6:30 left, log likelihood -12.3457, stage start"
    assert third == "rows of it: 1,000 of 4,000 rows, 50 rows/s, 1:00 left, log likelihood -12.3457"
    assert last == "rows of it: 1,000 of 4,000 rows, 50 rows/s, 0:20 in all, log likelihood -12.3457"
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in stream.getvalue().splitlines())


def test_lines_come_every_few_seconds_at_most() -> None:
    clock = Clock()
    bar, stream = lines(10_000, clock)
    for second in range(1000):
        clock.now = second / 100
        bar.update(10)
    bar.close()
    assert len(stream.getvalue().splitlines()) == 3  # the first, one after five seconds, the last


def test_what_was_done_before_does_not_count_for_the_rate() -> None:
    clock = Clock()
    bar, stream = lines(4000, clock, initial=2000)
    clock.now = 10
    bar.update(1000)
    assert stream.getvalue().splitlines()[-1].endswith("3,000 of 4,000 rows, 100 rows/s, 0:10 left")
    assert bar.done == 3000


def test_totals_may_be_unknown_or_a_limit() -> None:
    clock = Clock()
    bar, stream = lines(None, clock)
    clock.now = 10
    bar.update(1)
    assert stream.getvalue().splitlines()[-1].endswith("rows of it: 1 row, 10 s/row")
    bar, stream = lines(100, clock, at_most=True)
    clock.now = 20
    bar.update(10)
    assert stream.getvalue().splitlines()[-1].endswith("10 of at most 100 rows, 1 rows/s, at most 1:30 left")


def test_units_are_counted_in_english() -> None:
    for unit, many in (("batch", "2 of 2 batches"), ("pass", "2 of 2 passes"), ("row", "2 of 2 rows")):
        stream = io.StringIO()
        with progress(2, "work", unit, stream=stream) as bar:
            bar.update(2)
        assert f"work: {many}, " in stream.getvalue().splitlines()[-1]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0:00"), (7, "0:07"), (754, "12:34"), (3723, "1:02:03"), (90000, "25:00:00")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert module._duration(seconds) == shown


def test_nothing_is_shown_where_it_is_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, "rows", "row", shown=False) as bar:
        bar.update(2, inertia=1.0)
    assert bar.done == 2 and type(bar) is Progress and capsys.readouterr() == ("", "")


def test_a_log_gets_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, "rows", "row") as bar:
        bar.update(3)
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 2 and "\r" not in shown.err


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    stream = Terminal()
    with progress(None, "rows", "row", stream=stream) as bar:
        bar.total = 4
        bar.update(0, stage="start")
        bar.update(4, inertia=0.25)
    assert bar.done == bar.total == 4
    last = stream.getvalue().split("\r")[-1]
    assert "100%" in last and "4/4" in last and "stage start, inertia 0.25" in last


def test_a_terminal_without_tqdm_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tqdm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    stream = Terminal()
    with progress(1, "rows", "row", stream=stream) as bar:
        bar.update()
    assert "1 of 1 row, " in stream.getvalue().splitlines()[-1]


def test_a_terminal_of_no_size_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    stream = Terminal()
    monkeypatch.setattr(stream, "fileno", lambda: 2)
    for size, shown in ((0, 0), "rows: 1 of 1 row, "), ((80, 0), "rows: 1 of 1 row, "), ((80, 24), "1/1"):
        monkeypatch.setattr("os.get_terminal_size", lambda _, size=size: os.terminal_size(size))
        with progress(1, "rows", "row", stream=stream) as bar:
            bar.update()
        assert shown in stream.getvalue().splitlines()[-1]


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


class Plain:
    """A stream of a program's own, with no more than a method."""

    def write(self, text: str) -> int:
        return len(text)


class BrokenTerminal(Broken):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Broken(), BrokenTerminal(), io.StringIO(), Plain()])
def test_what_cannot_be_shown_ends_nothing(stream: Any) -> None:
    if type(stream) is io.StringIO:
        stream.close()
    with progress(2, "rows", "row", stream=stream) as bar:
        bar.update()
        bar.update(inertia=1.0)
    assert bar.done == 2


def test_no_standard_error_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress(2, "rows", "row") as bar:
        bar.update()
    assert bar.done == 1 and not terminal_shown()


def test_an_error_in_the_work_is_the_works_own_and_the_last_line_says_how_far_it_came() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyError), progress(9, "rows", "row", stream=stream) as bar:
        bar.update(4)
        raise KeyError
    assert "4 of 9 rows" in stream.getvalue().splitlines()[-1]


def test_figures_of_strangers_reach_no_terminal_unescaped() -> None:
    stream = io.StringIO()
    with progress(1, "rows", "row", stream=stream) as bar:
        bar.update(name="\x1b[2J")
    assert "\x1b" not in stream.getvalue() and "\\x1b" in stream.getvalue()


def test_commands_show_bars_on_terminals_and_lines_where_they_are_asked_for() -> None:
    assert [terminal_shown(verbose, Terminal()) for verbose in (None, True, False)] == [True, True, False]
    assert [terminal_shown(verbose, io.StringIO()) for verbose in (None, True, False)] == [False, True, False]


def test_what_has_no_verbose_of_its_own_shows_what_the_innermost_block_says() -> None:
    assert not is_showing()
    with showing(True):
        assert is_showing()
        with pytest.raises(ValueError, match="within"), showing(False):
            assert not is_showing()
            raise ValueError("within")
        assert is_showing()
    assert not is_showing()
