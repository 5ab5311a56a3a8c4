"""Tokens and their contexts, made visible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from interpret_fixtures import annotated, mixture

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import top_tokens
from mfa_sklearn.interpret._text import label_text, visible


def test_context_from_offsets() -> None:
    text = "The quick brown fox jumps over the lazy dog.\nIt then sleeps for a long, long while."
    starts = [text.index(word) for word in ("quick", "lazy", "dog", "It", "while", " jumps")]
    ends = [start + length for start, length in zip(starts, (5, 4, 3, 2, 5, 6), strict=True)]
    shown = contexts({"starts": starts, "ends": ends}, {"texts": ("another text", text)}, 12)
    assert shown == [
        "The «quick» brown fox…",
        "…over the «lazy» dog.\\nIt…",
        "…the lazy «dog».\\nIt then…",
        "…lazy dog.\\n«It» then sleeps…",
        "…long, long «while».",
        "…brown fox «jumps» over the…",
    ]


def contexts(rows: dict[str, Any], shared: dict[str, Any], width: int) -> list[str]:
    """The contexts of rows of text 1, in the order of the rows."""
    n = len(next(iter(rows.values())))
    rows = {"tokens": ["?"] * n, "text_index": np.ones(n, dtype=int), **rows}
    X = AnnotatedArray(np.zeros((n, 5)), rows=rows, shared=shared)
    table = top_tokens(mixture(n_components=1), X, n_tokens=n, context=width, aggregate="occurrence")
    return table.sort_values("row")["context"].tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            {"tokens": ["The", " cat", " sat", ".", "A", " dog"], "text_index": [0, 0, 0, 0, 1, 1]},
            ["«The» cat…", "The «cat» sat.", "…cat «sat».", "…sat«.»", "«A» dog", "A «dog»"],
        ),
        (
            # rows out of order: their positions say what is next to what
            {"tokens": [" sat", "The", " cat"], "text_index": [0, 0, 0], "positions": [3, 1, 2]},
            ["…cat «sat»", "«The» cat…", "The «cat» sat"],
        ),
        (
            # a word in between was left out
            {"tokens": ["The", " sat"], "text_index": [0, 0], "positions": [1, 3]},
            ["«The»", "«sat»"],
        ),
        (
            # tokens without blanks of their own
            {"tokens": ["the", "cat", "\t"], "text_index": [0, 0, 0]},
            ["«the» cat…", "the «cat» \\t", "…cat «\\t»"],
        ),
    ],
)
def test_context_from_neighbors(rows: dict[str, Any], expected: list[str]) -> None:
    assert contexts(rows, {}, 5) == expected


def test_context_column_only_where_texts_are_known() -> None:
    mfa = mixture()
    X = annotated(mfa)
    assert "context" not in top_tokens(mfa, X)
    X.rows["text_index"] = np.zeros(len(X), dtype=int)
    assert "context" in top_tokens(mfa, X)
    assert "context" not in top_tokens(mfa, X, context=0)


@pytest.mark.parametrize(
    ("token", "shown", "label"),
    [
        (" cat", " cat", "cat"),
        ("\n", "\\n", "\\n"),
        (" a\tb", " a\\tb", "a\\tb"),
        ("\x1b[0m", "\\x1b[0m", "\\x1b[0m"),
        ("\u200b", "\\u200b", "\\u200b"),
        ("日本", "日本", "日本"),
        ("   ", "   ", "␣␣␣"),
        ("", "", ""),
        (7, "7", "7"),
    ],
)
def test_visible(token: Any, shown: str, label: str) -> None:
    assert (visible(token), label_text(token)) == (shown, label)
