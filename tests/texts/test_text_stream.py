"""Texts that are read as they are needed."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest

from mfa_sklearn.datasets import read_texts, stream_texts


def lines(path: Path, rows: list[object]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_what_is_read_is_what_read_texts_reads_each_time(tmp_path: Path, name: str) -> None:
    path = lines(
        tmp_path / name, [{"text": f" Text {i}. ", "label": "ab"[i % 2] if i % 3 else None} for i in range(50)]
    )
    whole, stream = read_texts(path), stream_texts(path)
    for _ in range(2):
        assert list(stream) == list(zip(whole.texts, whole.labels.tolist(), strict=True))


def test_it_holds_no_more_than_it_gives(tmp_path: Path) -> None:
    """What stands behind the rows that were taken is not looked at."""
    path = lines(tmp_path / "t.jsonl", [{"text": f"Text {i}."} for i in range(200)])
    with path.open("a") as file:
        file.write("no JSON\n")
    rows = iter(stream_texts(path))
    assert list(islice(rows, 200))[-1] == "Text 199."
    with pytest.raises(ValueError, match=r"t\.jsonl is not valid JSON: .* at line 201"):
        next(rows)


def test_what_is_left_out_is_said_at_the_end(tmp_path: Path) -> None:
    stream = stream_texts(lines(tmp_path / "t.jsonl", [{"text": "One."}, {"text": ""}, {"title": "x"}]))
    with pytest.warns(UserWarning, match=r"Skipped 2 of 3 rows of .*t\.jsonl: 1 with an empty text, 1 without a text"):
        assert list(stream) == ["One."]


@pytest.mark.parametrize(
    ("name", "rows", "columns", "match"),
    [
        ("t.jsonl", [{"body": "One."}], {}, r"t\.jsonl has no texts in its first 1 rows: they have \['body'\]. Name"),
        ("t.jsonl", [{"text": "One."}], {"label_column": "x"}, r"has no column 'x' in its first rows: they have \['te"),
        ("t.json", [{"text": "One."}], {}, r"t\.json is one JSON value, which has to be read whole: .* as \.jsonl, or"),
        ("t.jsonl", [], {}, r"has no texts in its first 0 rows"),
        ("t.xml", [], {}, r"its suffix is '\.xml'"),
    ],
)
def test_files_that_are_refused_before_work(
    tmp_path: Path, name: str, rows: list[object], columns: dict[str, str], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        stream_texts(lines(tmp_path / name, rows), **columns)


def test_a_table_and_lines_of_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text;label\nOne, two;a\n")
    assert list(stream_texts(tmp_path / "t.csv")) == [("One, two", "a")]
    (tmp_path / "t.txt").write_text("One.\n\nTwo.\n")
    assert list(stream_texts(tmp_path / "t.txt")) == ["One.", "Two."]
    with pytest.raises(FileNotFoundError, match="No such file"):
        stream_texts(tmp_path / "none.csv")


def test_rows_of_another_reader(tmp_path: Path) -> None:
    rows = [{"body": f"Text {i}.", "topic": "ab"[i % 2]} for i in range(300)]
    expected = [(row["body"], row["topic"]) for row in rows]
    stream = stream_texts(rows, text_column="body", label_column="topic")
    assert list(stream) == expected and list(stream) == expected
    once = stream_texts(iter(rows), text_column="body", label_column="topic")
    assert list(once) == expected and once.labeled
    with pytest.raises(ValueError, match=r"the stream of rows was read already, .* once only: make another one"):
        list(once)
    with pytest.raises(
        ValueError, match=r"stream of rows has no texts in its first 100 rows: they have \['body', 'topic'\]"
    ):
        stream_texts(rows)
    for wrong in (3, {"text": ["One."]}, b"text"):
        with pytest.raises(TypeError, match="from a path or an iterable of rows, such as dicts, got"):
            stream_texts(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"got DataFrame: give frame\.to_dict\('records'\)"):  # iterated, its columns
        stream_texts(pytest.importorskip("pandas").DataFrame(rows))


def test_a_streamed_data_set_of_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = lines(tmp_path / "t.jsonl", [{"text": f"Text {i}.", "label": "ab"[i % 2]} for i in range(150)])

    def rows():
        yield from (json.loads(line) for line in path.read_text().splitlines())

    for data in (datasets.IterableDataset.from_generator(rows), datasets.Dataset.from_list(list(rows()))):
        assert list(stream_texts(data)) == list(stream_texts(path))


def test_labels_that_come_late(tmp_path: Path) -> None:
    rows = [{"text": "A."}] * 100 + [{"text": "B.", "label": "x"}]
    with pytest.raises(
        ValueError, match=r"the label 'x' in row 101, and no column of labels in its first rows: name it"
    ):
        list(stream_texts(rows))
    late = [{"text": "A.", "label": None}, *rows]
    assert list(stream_texts(late))[-1] == ("B.", "x")
