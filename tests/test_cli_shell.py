"""Exit statuses, one line per mistake, and output for every terminal, by the shell itself where it matters."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mfa_sklearn._cli_shell import lenient_output, mistake, run, say


def raiser(error: BaseException):
    def work() -> None:
        raise error

    return work


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("one\n  two\x1b[2J\n"), "error: one two\\x1b[2J"),
        (ValueError(), "error: ValueError"),
        (FileNotFoundError(2, "No such file", "a\nb"), "error: [Errno 2] No such file: 'a\\nb'"),
        (ImportError("needs pandas"), "error: needs pandas"),
        (FloatingPointError("not finite"), "error: not finite"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "error: 'utf-8' codec can't decode"),
        (MemoryError(), "error: not enough memory (MemoryError): use fewer rows"),
        (
            OutOfMemoryError("CUDA out of memory.\nTried 3 GiB"),
            "error: not enough memory (CUDA out of memory. Tried 3 GiB)",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"),
            "error: not enough memory ([enforce fail]",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_two(error: Exception, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raiser(error)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"mfa-sklearn: {said}") and captured.err.count("\n") == 1 and captured.out == ""


def test_what_was_told_of_memory_keeps_its_own_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise RuntimeError("memory ran out: lower max_length") from OutOfMemoryError("CUDA out of memory.")

    assert run(work) == 2
    assert capsys.readouterr().err == "mfa-sklearn: error: memory ran out: lower max_length\n"


@pytest.mark.parametrize("error", [TypeError("bug"), KeyError("bug"), RuntimeError("bug"), AssertionError("bug")])
def test_a_bug_is_none(error: Exception) -> None:
    assert mistake(error) is None
    with pytest.raises(type(error), match="bug"):
        run(raiser(error))


@pytest.mark.filterwarnings("default")
def test_interrupts_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    def warned() -> None:
        warnings.warn("of two\nlines \x07", UserWarning, stacklevel=1)
        warnings.warn("not the user's", DeprecationWarning, stacklevel=1)

    assert run(warned) == 0
    assert capsys.readouterr().err == "mfa-sklearn: warning: of two lines \\x07\n"
    assert run(raiser(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "mfa-sklearn: interrupted\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "cp437", "shift_jis"])
def test_any_encoding_takes_any_text(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    with contextlib.redirect_stdout(stream), lenient_output():
        say("table of «é» 日本 🎻 \ud83d\x1b[0m\nend")
    stream.flush()
    found = stream.buffer.getvalue()  # type: ignore[attr-defined]
    assert found.startswith(b"table of ") and found.endswith(b"\nend\n") and b"\x1b" not in found
    assert stream.errors == "strict"
    if encoding == "utf-8":
        assert "«é» 日本 🎻 \\ud83d\\x1b[0m" in found.decode()


def test_streams_that_cannot_be_set_up_are_left_alone() -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), lenient_output():
        say("日本\tx")
    assert out.getvalue() == "日本\\tx\n"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, env=settings, check=False
    )


LINES = (
    f"{sys.executable} -c 'from mfa_sklearn._cli_shell import run, say; exit(run(lambda: say(\"line\\n\" * 100000)))'"
)


def test_a_reader_that_is_gone_is_quiet() -> None:
    ended = shell(f"{LINES} | head -1")
    assert (ended.stdout, ended.stderr, ended.returncode) == ("line\n", "", 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_standard_output_is_told_once() -> None:
    ended = shell(f"{LINES} > /dev/full")
    assert ended.returncode == 2 and ended.stderr == "mfa-sklearn: error: [Errno 28] No space left on device\n"
    ended = shell(f"{sys.executable} -m mfa_sklearn --help > /dev/full")
    assert ended.stderr == ""


def test_help_in_a_terminal_without_unicode() -> None:
    ended = shell(f"{sys.executable} -m mfa_sklearn --help", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert ended.returncode == 0 and "a typical run:" in ended.stdout


def test_an_interrupt_from_the_terminal_ends_with_130() -> None:
    work = "lambda: (print('on', flush=True), time.sleep(600))"
    code = f"import time\nfrom mfa_sklearn._cli_shell import run\nexit(run({work}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130 and said == "mfa-sklearn: interrupted\n"
