"""How far long work has come: a bar on a terminal, elsewhere flushed lines with the time of day.

Both go to standard error, so that results on standard output stay clean. Files and logs get at most a line every few
seconds, besides the first, which says what begins, and the last. What cannot be shown never ends the work.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, TextIO

from .words import visible

# Seconds between two lines.
INTERVAL = 5.0
_wanted: ContextVar[bool] = ContextVar("mfa_sklearn_progress_shown", default=False)
# What writing fails with: a stream that is gone or closed, or one of a program's own that lacks `flush`.
_UNSHOWN = (OSError, ValueError, AttributeError)


class Progress:
    """How much of some work is done; this kind shows nothing.

    Attributes
    ----------
    total : int or None
        All there is to do, None if nobody knows. It may be set once it becomes known.
    done : int
    """

    def __init__(self, total: int | None, initial: int = 0) -> None:
        self.total = total
        self.done = initial

    def update(self, n: int = 1, **figures: Any) -> None:
        """Count `n` more, and show figures, such as ``log_likelihood=-12.5``; a name's underscores are shown as spaces.

        ``update(0, stage="start")`` shows a figure without counting. Figures stay until they are given anew; None
        takes one away.
        """
        self.done += n

    def close(self) -> None:
        """Show where it came to an end."""


@contextmanager
def progress(
    total: int | None,
    what: str,
    unit: str,
    *,
    shown: bool = True,
    initial: int = 0,
    at_most: bool = False,
    stream: TextIO | None = None,
) -> Iterator[Progress]:
    """Show how work goes on inside the block.

    Parameters
    ----------
    total : int or None
        How many units there are to do, those that were done before among them; None if nobody knows.
    what : str
        What the work is, such as "activations".
    unit : str
        What is counted, in the singular, such as "text".
    shown : bool, default=True
        False shows nothing, and costs next to nothing.
    initial : int, default=0
        How many units were done before; they do not count for the rate.
    at_most : bool, default=False
        Whether the work may end before `total`, as iterations do that converge.
    stream : file, optional
        Where to, standard error by default. On a terminal it is a bar, if tqdm is installed.

    Yields
    ------
    Progress
        Its `update` counts.

    Examples
    --------
    >>> with progress(2, "k-means", "step", shown=False) as bar:
    ...     bar.update(inertia=12.5)
    >>> bar.done
    1
    """
    bar = _begun(sys.stderr if stream is None else stream, total, what, unit, initial, at_most) if shown else None
    bar = bar or Progress(total, initial)
    try:
        yield bar
    finally:
        with suppress(*_UNSHOWN):
            bar.close()


def hidden(total: int | None, initial: int) -> AbstractContextManager[Progress]:
    """What counts and shows nothing."""
    return nullcontext(Progress(total, initial))


def terminal_shown(verbose: bool | None = None, stream: TextIO | None = None) -> bool:
    """Whether a command shows its progress: as `verbose` says; where it says nothing (None), on a terminal only."""
    stream = sys.stderr if stream is None else stream
    return bool(verbose) if verbose is not None else stream is not None and _is_terminal(stream)


@contextmanager
def showing(shown: bool) -> Iterator[None]:
    """Inside the block, what takes no `verbose` of its own shows its progress, or does not: see `is_showing`.

    Examples
    --------
    >>> with showing(True):
    ...     print(is_showing())
    True
    >>> is_showing()
    False
    """
    token = _wanted.set(shown)
    try:
        yield
    finally:
        _wanted.reset(token)


def is_showing() -> bool:
    """Whether functions without a `verbose` of their own are to show their progress: a command of the shell asks it."""
    return _wanted.get()


def _begun(stream: TextIO | None, *how: Any) -> Progress | None:
    """What shows progress on a stream; None where it cannot be written."""
    if stream is None:
        return None
    try:
        return (_Bar if _is_terminal(stream) and _has_size(stream) and _has_tqdm() else _Lines)(stream, *how)
    except _UNSHOWN:
        return None


class _Lines(Progress):
    """Lines with the time of day, each flushed."""

    def __init__(
        self,
        stream: TextIO,
        total: int | None,
        what: str,
        unit: str,
        initial: int,
        at_most: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(total, initial)
        self.stream, self.what, self.unit, self.at_most, self.clock = stream, what, unit, at_most, clock
        self.initial, self.began = initial, clock()
        self.figures: dict[str, Any] = {}
        self._tell()

    def update(self, n: int = 1, **figures: Any) -> None:
        super().update(n)
        _keep(self.figures, figures)
        if self.clock() - self.told_at >= INTERVAL:
            self._tell()

    def close(self) -> None:
        seconds = self.clock() - self.began
        self._tell(f"{_duration(seconds)} in all")

    def _tell(self, ending: str | None = None) -> None:
        self.told_at = self.clock()
        parts = [self._amount(), self._rate(), self._left() if ending is None else ending, *_shown(self.figures)]
        line = f"{time.strftime('%H:%M:%S')} {self.what}: {', '.join(part for part in parts if part)}"
        with suppress(*_UNSHOWN):
            print(visible(line), file=self.stream, flush=True)

    def _amount(self) -> str:
        if self.total is None:
            return f"{self.done:,} {self.unit if self.done == 1 else _many(self.unit)}"
        limit = "at most " if self.at_most else ""
        return f"{self.done:,} of {limit}{self.total:,} {self.unit if self.total == 1 else _many(self.unit)}"

    def _per_second(self) -> float:
        seconds = self.clock() - self.began
        return (self.done - self.initial) / seconds if seconds > 0 else 0.0

    def _rate(self) -> str:
        rate = self._per_second()
        if rate <= 0:
            return ""
        if rate < 1:
            return f"{1 / rate:,.3g} s/{self.unit}"
        return f"{rate:{',.3g' if rate < 1000 else ',.0f'}} {_many(self.unit)}/s"

    def _left(self) -> str:
        rate = self._per_second()
        if self.total is None or rate <= 0 or self.done >= self.total:
            return ""
        return f"{'at most ' if self.at_most else ''}{_duration((self.total - self.done) / rate)} left"


class _Bar(Progress):
    """A bar of tqdm's."""

    def __init__(self, stream: TextIO, total: int | None, what: str, unit: str, initial: int, at_most: bool) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=total, desc=visible(what), unit=unit, initial=initial, file=stream, dynamic_ncols=True)
        super().__init__(total, initial)
        self.figures: dict[str, Any] = {}

    @property
    def total(self) -> int | None:
        return self.bar.total

    @total.setter
    def total(self, total: int | None) -> None:
        self.bar.total = total

    def update(self, n: int = 1, **figures: Any) -> None:
        super().update(n)
        with suppress(*_UNSHOWN):
            if figures:
                _keep(self.figures, figures)
                self.bar.set_postfix_str(", ".join(_shown(self.figures)), refresh=not n)
            self.bar.update(n)

    def close(self) -> None:
        self.bar.close()


def _keep(figures: dict[str, Any], new: dict[str, Any]) -> None:
    figures.update(new)
    for name in [name for name, value in figures.items() if value is None]:
        del figures[name]


def _shown(figures: dict[str, Any]) -> list[str]:
    return [f"{name.replace('_', ' ')} {_figure(value)}" for name, value in figures.items()]


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else visible(value)


def _many(unit: str) -> str:
    return f"{unit}es" if unit.endswith(("ch", "s", "x")) else f"{unit}s"


def _duration(seconds: float) -> str:
    """Seconds as people write them: 0:07, 12:34, 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # no file, or a closed one
        return False


def _has_size(stream: TextIO) -> bool:
    """Whether a terminal does not say that it has no columns or lines, as some containers' do: a bar would be empty."""
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except _UNSHOWN:
        return True


def _has_tqdm() -> bool:
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return True
