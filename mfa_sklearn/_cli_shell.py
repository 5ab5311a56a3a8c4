"""What the command line owes a shell: exit statuses, one line per mistake, and output that any terminal can show.

A mistake that a person can mend ends in one line on standard error and exit status 2; a traceback means a bug. Which
exceptions are mistakes is decided here, and it can be decided by their types because what reads a file given by a
person makes a ValueError of all that a damaged one can raise (`_base.files.reading`).
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from ._base.words import is_out_of_memory, one_line, visible

PROGRAM = "mfa-sklearn"
MISTAKE = 2
INTERRUPTED = 130
# The attribute of errors that all processes of a group have heard of (`_base.group`, which loads torch).
KNOWN_TO_GROUP = "known_to_group"
READER_GONE = 141  # what a shell reports of a program that ended by SIGPIPE


def run(work: Callable[[], None]) -> int:
    """The exit status of some work, its mistakes and warnings told in a line each.

    Parameters
    ----------
    work : callable

    Returns
    -------
    int
        0; 2 for an error that a person can mend; 130 after an interrupt; 141 if the reader of the output is gone.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _each_once()
        try:
            work()
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
        except BrokenPipeError:
            _close(sys.stdout)
            return READER_GONE
        except SystemExit:  # of --help, whose reader may be gone as well
            _close_if_stuck(sys.stdout)
            raise
        except KeyboardInterrupt as interrupt:
            _complain(f"interrupted: {interrupt}" if str(interrupt) else "interrupted")
            return INTERRUPTED
        except Exception as error:
            message = mistake(error)
            if message is None:
                raise
            _complain(f"error: {message}")
            _close_if_stuck(sys.stdout)
            return MISTAKE
    return 0


def mistake(error: Exception) -> str | None:
    """What to say of an exception that a person can do something about; None for a bug."""
    if is_out_of_memory(error.__cause__):  # told already, with a remedy of its own
        return one_line(error)
    if is_out_of_memory(error):
        return f"not enough memory ({one_line(error) or type(error).__name__}): use fewer rows, components or factors"
    # Nothing but a diverging fit raises the last of these: numpy does so only when it is told to.
    if isinstance(error, ValueError | OSError | ImportError | FloatingPointError):
        return one_line(error) or type(error).__name__
    # Another process of the group has failed, or is gone.
    if type(error) is RuntimeError and getattr(error, KNOWN_TO_GROUP, False):
        return one_line(error)
    return None


def say(text: str) -> None:
    """Print lines, without what a terminal would obey."""
    print("\n".join(visible(line) for line in text.split("\n")))


@contextmanager
def lenient_output() -> Iterator[None]:
    """Characters that standard output or error cannot write are replaced inside the block, instead of failing there."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream, errors in zip(streams, before, strict=True):
        if errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with suppress(ValueError, OSError):  # closed meanwhile, or what it holds cannot be written
                stream.reconfigure(errors=errors)


def _complain(message: str) -> None:
    print(f"{PROGRAM}: {one_line(message)}", file=sys.stderr)


def _each_once() -> Callable[..., None]:
    """What shows warnings, each once: Python forgets which it has shown whenever anything changes their filters."""
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        # Only what this library and scikit-learn say about the data; deprecations inside other packages are not the
        # user's.
        if not issubclass(category, DeprecationWarning | FutureWarning) and str(message) not in told:
            told.add(str(message))
            _complain(f"warning: {message}")

    return show


def _close_if_stuck(stream: TextIO | None) -> None:
    """Give up output that cannot be written, which the interpreter would complain of again when it ends."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        _close(stream)


def _close(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError, AttributeError):  # it may be no file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]
