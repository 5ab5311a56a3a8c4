"""`read_texts` over all formats: one form of texts and labels, whatever the file."""

from __future__ import annotations

import gzip
import json
import os
import warnings
from pathlib import Path

import pytest

from mfa_sklearn.datasets import read_texts

HALF = "\\ud83d"  # as JSON writes half of a surrogate pair
MISSING = {
    "t.csv": "text,label\nOne.,a\nTwo.,\nThree.,  \n",
    "t.json": '[{"text": "One.", "label": "a"}, {"text": "Two.", "label": null}, {"text": "Three."}]',
    "t.jsonl": '{"text": "One.", "label": "a"}\n{"text": "Two.", "label": NaN}\n{"text": "Three.", "label": " "}',
    "columns.json": '{"text": ["One.", "Two.", "Three."], "label": ["a", null, NaN]}',
    "by-label.json": '{"a": ["One."], "": ["Two.", "Three."]}',
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_label_is_none_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(MISSING[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = read_texts(path)
    assert data.texts == ["One.", "Two.", "Three."] and data.labels.tolist() == ["a", None, None]


def test_no_label_at_all_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "One.", "label": null}\n{"text": "Two.", "label": ""}')
    assert read_texts(path).labels is None


def test_a_label_nan_is_a_word_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nOne.,nan\nTwo.,bread\n")
    with pytest.warns(UserWarning, match=r"t\.csv: labels hold 'nan' \(1\), taken as labels"):
        assert read_texts(path).labels.tolist() == ["nan", "bread"]


def test_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.TXT"
    path.write_bytes('\ufeffOne, "two".\r\n\r\n  Three.\u2028Four. \n'.encode())
    data = read_texts(path)
    assert data.texts == ['One, "two".', "Three.\u2028Four."] and data.labels is None and data.n_rows == 2
    with pytest.raises(ValueError, match="no columns to choose"):
        read_texts(path, text_column="text")


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Body,topic,text\nOne.,a,x\nTwo.,,y\n")
    data = read_texts(path, text_column="body", label_column="topic")
    assert data.texts == ["One.", "Two."] and data.labels.tolist() == ["a", None]
    with pytest.raises(ValueError, match=r"t\.csv has no column 'bdy': it has \['Body', 'topic', 'text'\]"):
        read_texts(path, text_column="bdy")
    lines = tmp_path / "t.jsonl"
    lines.write_text('{"body": "One."}')
    with pytest.raises(ValueError, match=r"t\.jsonl has no column 'topic' \(seen: body\)"):
        read_texts(lines, text_column="body", label_column="topic")


def test_halves_of_surrogate_pairs_are_replaced_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(f'[{{"text": "A {HALF} b.", "label": "x{HALF}"}}, "Whole {HALF}\\ude00."]')
    with pytest.warns(UserWarning, match=r"1 text held half of a surrogate pair"):
        data = read_texts(path)
    assert data.texts == ["A \ufffd b.", "Whole 😀."] and data.labels.tolist() == ["x\ufffd", None]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("t.csv", "Hello.,pos\n", r"t\.csv has no rows below its header \['Hello\.', 'pos'\]: the first line names"),
        ("t.csv", "text,text\nA,B\n", r"t\.csv has two columns 'text': rename one"),
        ("t.csv", "id,prompt,text\n1,A,B\n", r"t\.csv: line 2 can be read in two ways, by 'prompt'"),
        ("t.jsonl", '\n{"text": "A", "sentence": "B"}', r"t\.jsonl: line 2 can be read in two ways"),
        ("t.json", '["A", {"text": "B", "label": []}]', r"t\.json: row 2 has a label of type list"),
        ("t.json", f'[{{"text": "A", "label": {"9" * 5000}}}]', r"t\.json' cannot be read as a JSON file"),
        ("t.txt", " \n\n", r"No texts in .*t\.txt: 0 rows"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(tmp_path: Path, name: str, content: str, match: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=match):
        read_texts(path)


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t.jsonl", "t.txt"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_told(tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes("text\nDéjà vu\n".encode(encoding))
    with pytest.raises(ValueError, match=rf"{name}' is not UTF-8 text .*: save it as UTF-8"):
        read_texts(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(IsADirectoryError, match=r"t\.csv is a folder, not a file"):
        read_texts(tmp_path / "t.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_text_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("One.\nTwo.\n".encode(encoding))
    with pytest.raises(ValueError, match="line 1 holds null characters, as UTF-16 text does"):
        read_texts(path)


def test_a_pipe_is_told_from_what_is_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(OSError, match=r"t\.csv is a pipe or a device, not a file"):
        read_texts(tmp_path / "t.csv")


PLAIN = {
    "t.csv.gz": "text,label\nOne.,a\nTwo.,\n",
    "t.tsv": "text\tlabel\nOne.\ta\nTwo.\t\n",
    "t.TSV.gz": "text\tlabel\nOne.\ta\nTwo.\t\n",
    "t.json.gz": '{"text": ["One.", "Two."], "label": ["a", null]}',
    "t.jsonl.gz": '{"text": "One.", "label": "a"}\n{"text": "Two."}\n',
}


def write(path: Path, content: str) -> Path:
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", PLAIN)
def test_compressed_files_and_tabs(tmp_path: Path, name: str) -> None:
    data = read_texts(write(tmp_path / name, PLAIN[name]))
    assert data.texts == ["One.", "Two."] and data.labels.tolist() == ["a", None]


def test_texts_without_columns_may_be_compressed(tmp_path: Path) -> None:
    assert read_texts(write(tmp_path / "t.txt.gz", "One.\n\nTwo.\n")).texts == ["One.", "Two."]


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz"])
def test_compressed_files_that_are_damaged(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, PLAIN[name] * 100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"{name} ends in the middle of its compressed data: copy or download"):
        read_texts(path)
    path.write_text(PLAIN[name])
    with pytest.raises(ValueError, match=rf"{name} holds no gzip data.*: copy .*take \.gz off its name"):
        read_texts(path)


def test_a_column_of_chats(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Hello"}]
    path = write(tmp_path / "t.jsonl", json.dumps({"messages": chat, "label": "x"}))
    assert read_texts(path, text_column="messages").texts == [chat]
    with pytest.raises(ValueError, match=r"seen: messages, label\), or name its column with text_column"):
        read_texts(path)
