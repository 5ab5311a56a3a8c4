"""Text that is shown is on one line and obeyed by no terminal."""

from __future__ import annotations

import pytest

from mfa_sklearn._base.words import check_unicode, is_out_of_memory, one_line, plural, repaired, shortened, visible

HALF = "\ud83d"


def test_every_character_that_a_terminal_may_obey_is_escaped() -> None:
    every = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200B, 0x2028, 0xFEFF, 0xD83D]))
    for show in (visible, one_line):
        assert show(every).isprintable() and show(every).encode()
    assert visible("日本 «é» 🎻") == "日本 «é» 🎻"


def test_lines_are_joined() -> None:
    assert one_line("one  two\n\n   three\r\nfour\x0bfive\n") == "one  two three four five"
    assert one_line(ValueError("")) == ""


def test_counts() -> None:
    assert [plural(n, "row") for n in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a", "'a'"), ("word " * 9, "'word word ..."), (list(range(99)), "[0, 1, 2, 3..."), (3, "3"), (b"abc", "b'abc'")],
)
def test_shortened(value: object, shown: str) -> None:
    assert shortened(value, 11) == shown


def test_half_a_pair_is_told_by_its_place_and_the_advice_works() -> None:
    text = f"ab{HALF}c"
    with pytest.raises(ValueError, match=r"texts\[4\] holds half of a surrogate pair, '\\ud83d', at character 2"):
        check_unicode("texts[4]", text)
    assert text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") == repaired(text) == "ab\ufffdc"
    check_unicode("x", repaired(text))


def test_whole_texts_are_left_alone_and_halves_that_fit_are_joined() -> None:
    assert repaired("\ufeffé🎻") == "\ufeffé🎻"
    assert repaired("\ud83c\udfbb!") == "🎻!" and repaired(f"\ufeff{HALF}") == "\ufeff\ufffd"


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


def test_errors_that_say_that_memory_ran_out() -> None:
    cpu = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to")
    for error in (MemoryError(), OutOfMemoryError("no more"), RuntimeError("MPS backend out of memory"), cpu):
        assert is_out_of_memory(error)
    for other in (None, RuntimeError("no"), ValueError("texts[0] has no tokens: 'out of memory'")):
        assert not is_out_of_memory(other)
