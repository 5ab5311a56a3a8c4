"""JSON files: every layout is read the one way that is certain, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mfa_sklearn._texts.columns import Columns
from mfa_sklearn._texts.json_file import json_rows, jsonl_rows

ROWS = [{"text": "One.", "label": "a"}, {"text": "Two.", "label": "b"}]
FRAME = pd.DataFrame(ROWS)


def rows_of(folder: Path, content: Any, columns: Columns | None = None) -> list[Any]:
    path = folder / "t.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return json_rows(path, columns or Columns())


@pytest.mark.parametrize("orient", ["records", "split", "index", "columns"])
def test_what_pandas_writes(tmp_path: Path, orient: str) -> None:
    assert rows_of(tmp_path, FRAME.to_json(orient=orient)) == ROWS
    assert rows_of(tmp_path, FRAME.to_json(orient=orient), Columns("text", "label")) == ROWS


def test_columns(tmp_path: Path) -> None:
    assert rows_of(tmp_path, FRAME.to_dict("list")) == ROWS
    assert rows_of(tmp_path, {"text": ["One."]}) == [{"text": "One."}]
    assert rows_of(tmp_path, {"Sentence": ["One."], "n": [3]}) == [{"Sentence": "One.", "n": 3}]
    assert rows_of(tmp_path, {"body": ["One."], "topic": ["a"]}, Columns("body", "topic")) == [
        {"body": "One.", "topic": "a"}
    ]
    assert rows_of(tmp_path, {"text": ["One."], "other": ["x"]}, Columns("text")) == [{"text": "One.", "other": "x"}]


def test_texts_by_label(tmp_path: Path) -> None:
    assert rows_of(tmp_path, {"a": ["One."], "b": ["Two.", None], "c": []}) == [*ROWS, {"text": None, "label": "b"}]
    assert rows_of(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("content", "columns", "match"),
    [
        (
            {"text": ["A."], "river": ["B."]},
            None,
            r"two ways: as columns, the texts in 'text', or as texts by label, with",
        ),
        ({"text": ["A.", "B."], "label": ["x"]}, None, r"two ways: as columns \(which have 1 and 2 rows\)"),
        ({"label": ["x"], "content": ["A."]}, None, r"object with the keys \['label', 'content'\]"),
        ({"text": "A.", "label": "x"}, None, "object with the keys"),
        ({"text": {"0": "A."}, "label": {"1": "x"}}, None, "columns with different rows"),
        ({"text": ["A."], "label": "x"}, None, "object with the keys"),
        ({"river": ["A."], "bank": [3]}, None, "object with the keys"),
        ({"river": ["A."], "bank": "B."}, None, "object with the keys"),
        ({"river": ["A."]}, Columns("body"), "object with the keys"),
        ({"columns": ["text"], "data": [["A.", "x"]]}, None, "object with the keys"),
        ({"data": ROWS}, None, "object with the keys"),
        ('{"river": ["A."], "river": ["B."]}', None, "one object has the key 'river' twice"),
        ('[{"text": "A.", "text": "B."}]', None, "one object has the key 'text' twice"),
        ('[{"x": {"y": 1, "y": 2}}]', None, "one object has the key 'y' twice"),
        ("[" * 100_000, None, "nests lists or objects too deeply"),
        ('{"text": "A."}\n{"text": "B."}', None, r"line 2 column 1.*named \.jsonl"),
        ("3", None, "holds int, not a list of objects"),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path: Path, content: Any, columns: Columns | None, match: str) -> None:
    with pytest.raises(ValueError, match=rf"t\.json.*{match}"):
        rows_of(tmp_path, content, columns)


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('"One.\u2028"\n\n{"text": "Two.", "label": NaN}\r\n', encoding="utf-8")
    places, rows = map(list, zip(*jsonl_rows(path), strict=True))
    assert places == [1, 3] and rows[0] == "One.\u2028" and rows[1]["text"] == "Two."


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ('[{"text": "A."}]', r"line 1 holds a list, not one row: .* named \.json"),
        ('{"text": "A."}\n["B."]', "line 2 holds a list"),
        ('{"text": "A."}\n{"text": "B.", "text": "C."}', "an object in line 2 has the key 'text' twice"),
        ('{"text": "A."}\n{"text": ', "at line 2 column 10"),
    ],
)
def test_lines_that_are_no_rows(tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=match):
        list(jsonl_rows(path))


def test_a_column_twice_is_refused_where_json_allows_it(tmp_path: Path) -> None:
    frame = pd.DataFrame([["One.", "1.", "a"]], columns=["text", "text", "label"])
    with pytest.raises(ValueError, match=r"t.json has two columns 'text': rename one"):
        rows_of(tmp_path, frame.to_json(orient="split"))
    with pytest.raises(ValueError, match=r"has no column 'topic'"):
        rows_of(tmp_path, FRAME.to_json(orient="split"), Columns("text", "topic"))


def test_rows_whose_names_are_those_of_columns_can_be_read_in_two_ways(tmp_path: Path) -> None:
    rows = FRAME.set_index(pd.Index(["text", "label"])).to_json(orient="index")
    with pytest.raises(ValueError, match="two ways: as columns, or as rows that are named like columns"):
        rows_of(tmp_path, rows)


def test_a_number_of_thousands_of_digits_is_told_with_its_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "n": %s}\n' % ("9" * 5000))
    with pytest.raises(ValueError, match=r"x.jsonl' cannot be read as a JSON file, line 2: Exceeds the limit"):
        list(jsonl_rows(path))
