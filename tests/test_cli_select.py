"""Tokens chosen on a command line, and the selections that they stand for."""

from __future__ import annotations

import argparse

import pytest

from mfa_sklearn import TokenSelection
from mfa_sklearn._cli_select import add_select, selection_of
from mfa_sklearn.activations._selection import NAMES, as_selection


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], TokenSelection()),
        *[(["--select", name], as_selection(name)) for name in NAMES],
        (["--select", "."], TokenSelection(strings=".")),
        (["--select", "last", "first"], TokenSelection(strings=["last", "first"])),
        (["--select", "prompt", "--select-first", "2"], TokenSelection(phase="prompt", first=2)),
        (["--select", " the", "--select-last", "3"], TokenSelection(strings=" the", last=3)),
        (["--select-roles", "user", "system"], TokenSelection(roles=["user", "system"])),
    ],
)
def test_words_are_the_short_forms_and_all_else_is_tokens(words: list[str], expected: TokenSelection) -> None:
    parser = argparse.ArgumentParser()
    add_select(parser, "tokens")
    assert selection_of(parser.parse_args(words)) == expected
