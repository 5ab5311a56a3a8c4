"""Which column is the text and which the label, or why that cannot be said."""

from __future__ import annotations

from typing import Any

import pytest

from mfa_sklearn._texts.columns import Columns

NAN = float("nan")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("  A text. ", ("A text.", None)),
        ({"text": " A. ", "label": " x "}, ("A.", "x")),
        ({" Prompt ": "A.", "CONCEPT": 3}, ("A.", "3")),
        ({"sentence": "A.", "label": None, "concept": "x"}, ("A.", "x")),
        ({"prompt": "", "text": "A.", "label": NAN}, ("A.", None)),
        ({"prompt": "A.", "text": "A.", "label": "x", "concept": "x"}, ("A.", "x")),
        ({"text": "A.", "label": False}, ("A.", "False")),
        ({"text": "A.", "label": "", "other": "x"}, ("A.", None)),
    ],
)
def test_rows(row: Any, expected: tuple[str, str | None]) -> None:
    assert Columns().read(row) == (*expected, "")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("  ", "with an empty text"),
        ({"text": None}, "with an empty text"),
        ({"text": NAN}, "with an empty text"),
        ({"title": "A."}, "without a text column"),
        ({"text": 3}, "whose text is of type int"),
        ({"text": ["A."]}, "whose text is of type list"),
        (["A."], "of type list"),
        (None, "of type NoneType"),
    ],
)
def test_rows_that_are_left_out(row: Any, problem: str) -> None:
    assert Columns().read(row) == ("", None, problem)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (
            {"prompt": "A.", "text": "B."},
            r"two ways, by 'prompt' \('A\.'\) and 'text' \('B\.'\): choose with text_column",
        ),
        ({"Text": "A.", "text": "B."}, "two ways.*text_column"),
        ({"text": "A.", "label": "x", "concept": "y"}, "two ways.*label_column"),
        ({"text": "A.", "label": ["x", "y"]}, r"label of type list, \['x', 'y'\]: give one label per text"),
        ({"text": "A.", "label": {"x": 1}}, "label of type dict"),
    ],
)
def test_rows_that_can_be_read_in_two_ways(row: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Columns().read(row)


def test_columns_that_are_named() -> None:
    row = {"prompt": "A.", "text": "B.", "Topic": "x", "label": "y"}
    assert Columns("text", "topic").read(row) == ("B.", "x", "")
    assert Columns("prompt").read(row) == ("A.", "y", "")
    assert Columns("body").read(row) == ("", None, "without a text column")


@pytest.mark.parametrize(
    ("names", "columns", "match"),
    [
        (["text", "text"], Columns(), "two columns 'text'"),
        (["Text", " text"], Columns(), "two columns 'Text'"),
        (["text", "label", "label"], Columns(), "two columns 'label'"),
        (["id", "id"], Columns("id"), "two columns 'id'"),
        (["text"], Columns("body"), r"no column 'body': it has \['text'\]"),
        (["text"], Columns(None, "topic"), "no column 'topic'"),
    ],
)
def test_headers_that_are_refused(names: list[str], columns: Columns, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        columns.check_header(names)


def test_columns_that_do_not_matter_may_share_a_name() -> None:
    Columns().check_header(["", "", "id", "id", "text", "label"])
    Columns("prompt").check_header(["prompt", "text", "text"])


def test_a_column_that_is_named_is_not_the_other_one_too() -> None:
    assert Columns(text="label").read({"label": "A.", "concept": "x"}) == ("A.", "x", "")
    assert Columns(text="label").read({"label": "A."}) == ("A.", None, "")
    assert Columns(label="sentence").read({"text": "A.", "sentence": "x"}) == ("A.", "x", "")
    with pytest.raises(ValueError, match="both name 'text'"):
        Columns("text", "Text ")


def test_texts_without_columns_have_none_to_name() -> None:
    assert Columns(text="body").read("A.")[2] == "without columns"
