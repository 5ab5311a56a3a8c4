"""Parquet files: the columns that matter, and what is damaged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mfa_sklearn._texts.columns import Columns
from mfa_sklearn._texts.parquet_file import parquet_rows
from mfa_sklearn.datasets import read_texts, stream_texts

pytest.importorskip("pyarrow")


def save(path: Path, **columns: Any) -> Path:
    pd.DataFrame(columns).to_parquet(path)
    return path


def test_only_columns_of_texts_and_labels_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "t.parquet", text=["One.", None], other=[1, 2], label=["a", "b"])
    assert list(parquet_rows(path, Columns())) == [
        (1, {"text": "One.", "label": "a"}),
        (2, {"text": None, "label": "b"}),
    ]
    assert [row for _, row in parquet_rows(path, Columns("label", "other"))] == [
        {"other": 1, "label": "a"},
        {"other": 2, "label": "b"},
    ]


def test_texts_and_labels(tmp_path: Path) -> None:
    path = save(tmp_path / "t.parquet", body=["One.", " ", "Three."], topic=[1.0, 2.0, None])
    with pytest.warns(UserWarning, match=r"Skipped 1 of 3 rows .*: 1 with an empty text"):
        data = read_texts(path, text_column="Body", label_column="topic")
    assert data.texts == ["One.", "Three."] and data.labels.tolist() == ["1.0", None]


def test_many_rows_are_numbered_and_streamed(tmp_path: Path) -> None:
    path = save(tmp_path / "t.parquet", text=[f"Text {i}." for i in range(3000)])
    assert [number for number, _ in parquet_rows(path, Columns())] == list(range(1, 3001))
    assert list(stream_texts(path)) == [f"Text {i}." for i in range(3000)]


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"text_column": "bdy"}, r"t\.parquet has no column 'bdy': it has \['body', 'topic'\]"),
        ({"text_column": "body", "label_column": "x"}, r"has no column 'x'"),
        ({}, r"t\.parquet has no column of texts among \['body', 'topic'\]: name it with text_column"),
    ],
)
def test_columns_that_are_missing(tmp_path: Path, columns: dict[str, str], match: str) -> None:
    path = save(tmp_path / "t.parquet", body=["One."], topic=["a"])
    for read in (read_texts, stream_texts):
        with pytest.raises(ValueError, match=match):
            read(path, **columns)


def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    path = save(tmp_path / "t.parquet", text=["One."] * 1000)
    whole = path.read_bytes()
    for content in (whole[:-100], b"text\nOne.\n", b"", whole[: len(whole) // 2] + whole[-60:]):
        path.write_bytes(content)
        for read in (read_texts, stream_texts):
            with pytest.raises(
                ValueError, match=r"t\.parquet is no whole Parquet file \(.*\): copy or download it again"
            ):
                read(path)
    whole_path = tmp_path / "t.parquet.gz"
    whole_path.write_bytes(whole)
    with pytest.raises(ValueError, match="compressed as a whole"):
        read_texts(whole_path)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "t.parquet", text=["One."])
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"a Parquet file needs pyarrow: pip install 'mfa-sklearn\[parquet\]'"):
        read_texts(path)
