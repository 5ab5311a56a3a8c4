"""Rows among their neighbors: pieces put together are the text, and rows that are shown differ."""

from __future__ import annotations

import numpy as np
import pytest

from mfa_sklearn import ActivationArray
from mfa_sklearn.atlas._context import Texts, varied

TEXT = "One two, three (not a row) four five"
WORDS = ["two", ",", "three", "four", "five"]


def array(**changes: object) -> ActivationArray:
    starts = [TEXT.index(word) for word in WORDS]
    facts = {
        "tokens": WORDS,
        "text_index": [0] * 5,
        "positions": [1, 2, 3, 7, 8],
        "starts": starts,
        "ends": [start + len(word) for start, word in zip(starts, WORDS, strict=True)],
        **changes,
    }
    X = ActivationArray(np.zeros((5, 2)), rows=facts, shared={"texts": (TEXT,)})  # type: ignore[arg-type]
    return X


def pieces(X: ActivationArray, row: int, width: int) -> list[tuple[str, int]]:
    window = Texts(X, X.tokens, width).window(row)
    assert window.rows[window.at] == row
    return list(zip(window.pieces, window.rows.tolist(), strict=True))


def test_blanks_go_to_the_row_behind_them_and_other_words_are_pieces() -> None:
    expected = [("One ", -1), ("two", 0), (",", 1), (" three", 2), (" (not a row) ", -1), ("four", 3), (" five", 4)]
    assert pieces(array(), 2, 9) == expected
    assert "".join(piece for piece, _ in expected) == TEXT


def test_where_the_text_goes_on() -> None:
    assert pieces(array(), 2, 1) == [("…", -1), (",", 1), (" three", 2), (" (not a row) ", -1), ("four", 3), ("…", -1)]
    assert pieces(array(), 0, 0) == [("One ", -1), ("two", 0), ("…", -1)]


def test_long_parts_that_are_no_rows_are_cut() -> None:
    text = f"{'a' * 100} two {'b' * 100} five {'c' * 100}"
    places = [text.index("two"), text.index("five")]
    facts = {"tokens": ["two", "five"], "text_index": [0, 0], "starts": places, "ends": [places[0] + 3, places[1] + 4]}
    X = ActivationArray(np.zeros((2, 2)), rows=facts, shared={"texts": (text,)})
    found = [piece for piece, _ in pieces(X, 0, 3)]
    assert [found[1], found[3]] == ["two", "five"] and all(len(found[i]) == 61 for i in (0, 2, 4))
    assert found[0][0] == found[4][-1] == "…" == found[2][30]


@pytest.mark.parametrize(("tokens", "glue"), [(WORDS, " "), ([" two", ",", " three", " four", " five"], "")])
def test_without_offsets_tokens_are_put_together(tokens: list[str], glue: str) -> None:
    X = array(tokens=tokens, starts=None, ends=None)
    expected = ["…", tokens[1], glue + tokens[2], f"{glue}…", glue + tokens[3], "…"]
    assert [piece for piece, _ in pieces(X, 2, 1)] == expected


def test_rows_of_other_texts_are_no_neighbors() -> None:
    X = array(text_index=[0, 0, 1, 1, 1], starts=None, ends=None, positions=None)
    assert [row for _, row in pieces(X, 2, 9)] == [2, 3, 4]


def test_rows_may_stand_in_any_order() -> None:
    X = array()
    assert pieces(X[::-1], 2, 9) == [(piece, 4 - row if row >= 0 else -1) for piece, row in pieces(X, 2, 9)]


def test_what_a_row_is() -> None:
    every = {"texts": ("a", "b", "c")}
    for index, source, tokens, is_text in (
        ([0, 1, 2], {}, None, True),
        ([0, 1, 1], {}, None, False),
        ([0, 1, 2], {}, ["x", "y", "z"], False),
        ([0, 1, 2], {"pooling": "last"}, ["x", "y", "z"], True),
    ):
        X = ActivationArray(np.zeros((3, 2)), rows={"text_index": index}, shared={**every, "source": source})
        texts = Texts(X, None if tokens is None else np.array(tokens), 2)
        assert texts.are_rows is is_text and texts.known is (is_text or tokens is not None)


def test_varied_rows_differ_in_text_and_token_first() -> None:
    texts, tokens = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 2, 0])
    rows = np.arange(5)
    assert varied(rows, 2, texts, tokens) == [0, 3]
    assert varied(rows, 3, texts, tokens) == [0, 3, 2]
    assert varied(rows, 9, texts, tokens) == [0, 3, 2, 1, 4]
    assert varied(rows, 2, None, None) == [0, 1]
    assert varied(rows[:0], 2, texts, tokens) == []
