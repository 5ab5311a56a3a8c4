"""Strings by number: once each, of a length that a page can show, and such that any file can hold them."""

from __future__ import annotations

from mfa_sklearn.atlas._strings import Strings


def test_strings_are_numbered_as_they_come() -> None:
    strings = Strings()
    assert strings.numbers(["a", " a", "a", "", 3, "3"]) == [0, 1, 0, 2, 3, 3]
    assert strings.found == ["a", " a", "", "3"]


def test_long_strings_are_cut_and_those_that_begin_alike_become_one() -> None:
    strings = Strings()
    assert strings.numbers(["x" * 400, "x" * 401, "x" * 900]) == [0, 1, 1]
    assert [len(found) for found in strings.found] == [400, 401] and strings.found[1][-1] == "…"


def test_halves_of_characters_are_written_out() -> None:
    strings = Strings()
    assert strings.number("\ud83d") == 0
    assert strings.found[0].encode("utf-8")
