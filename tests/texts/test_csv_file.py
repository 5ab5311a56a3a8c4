"""CSV files: what is valid is read as it was written, and nothing else is."""

from __future__ import annotations

import csv
import random
import threading
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

from mfa_sklearn._texts.columns import Columns
from mfa_sklearn._texts.csv_file import CsvTable


class Table(NamedTuple):
    lines: list[int]
    rows: list[list[str]]


def read(path: Path, columns: Columns | None = None) -> Table:
    found = list(CsvTable(path, columns))
    return Table([line for line, _ in found], [cells for _, cells in found])


def table(folder: Path, content: str, columns: Columns | None = None) -> Table:
    path = folder / "t.csv"
    path.write_text(content, encoding="utf-8", newline="")
    return read(path, columns)


def test_tables_of_any_content_come_back_as_they_were_written(tmp_path: Path) -> None:
    pieces = ["a", " ", ",", '"', "\n", "\r\n", ";", "\\", "'", "é", "\u2028", "\t", "word", '""', '","', "\n\n", "\0"]
    draw = random.Random(0)
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL) * 150:
        width = draw.randint(2, 4)
        rows = [["".join(draw.choices(pieces, k=draw.randint(0, 5))) for _ in range(width)] for _ in range(3)]
        path = tmp_path / "t.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=quoting).writerows([[f"h{i}" for i in range(width)], *rows])
        try:
            found = read(path).rows
        except ValueError as error:
            # A cell that begins with a blank and a quote is written without quotes of its own by no writer.
            raise AssertionError(rows) from error
        assert found == rows


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            "text,label\nI came, I saw,latin\n",
            "line 2 has 3 fields, the header 2: put a text that holds commas in quotes",
        ),
        ("text,label\n\nA,b\n1,A,b\n", "line 4 has 3 fields"),
        ("text,label\nA.\n", "line 2 has 1 field, the header 2: .*line breaks in quotes"),
        (
            'text,label\n"A","b"\n"Never closed,x\nB,y\n',
            r"line 3 opens a quote that is never closed \('\"Never closed,x",
        ),
        ('text,label\nA,"\n', "line 2 opens a quote that is never closed"),
        ('text,label\n"Closed by "the next",x\n', "line 2 closes a quote inside a text"),
        ('text,label\n"a\n"b",x\n', "line 2 closes a quote inside a text"),
        ('text,label\n"He said \\"hi\\"",x\n', r"line 2 escapes a quote with a backslash.*CSV doubles it"),
        ('text,label\n"ends \\"",x\n"also \\"",y\n', "line 2 escapes a quote with a backslash"),
        ('text,label\n "a, b"\n', "line 2 has a blank before a quote"),
        ('text,label\nA, "b"\n', "line 2 has a blank before a quote"),
        ('text, "label"\nA,b\n', "line 1 has a blank before a quote"),
        ("text;label\nA; b;c\n", "line 2 has 3 fields, the header 2: put a text that holds semicolons in quotes"),
        ("text\tlabel\nA\n", "line 2 has 1 field, the header 2: .*write a tab for an empty cell"),
        (
            "body;topic\nA, b;c\n",
            r"line 1 can be read in several ways: .*\['body;topic'\], .* by commas or .*semicolons",
        ),
        (
            "text;a,text\nA;b,c\n",
            r"line 1 can be read in several ways: .*commas or .* by semicolons\. Name one with tex",
        ),
        ("t\0e\0x\0t\0,\0", "line 1 holds null characters, as UTF-16"),
        ("text,label\rA,b,c\r", "line 2 has 3 fields"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_line(tmp_path: Path, content: str, match: str) -> None:
    with pytest.raises(ValueError, match=rf"t\.csv cannot be read with certainty: {match}"):
        table(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "lines", "rows"),
    [
        ('text,label\n"two\nlines",x\n\nB,y\n', [2, 5], [["two\nlines", "x"], ["B", "y"]]),
        ('text,label\n"say ""hi""",\n', [2], [['say "hi"', ""]]),
        ('text,label\n5" nails and 3",x\n', [2], [['5" nails and 3"', "x"]]),
        ('text,label\n" ""quoted"" text",x\n', [2], [[' "quoted" text', "x"]]),
        ("\ufefftext,label\r\nA,b\r\n", [2], [["A", "b"]]),
        (",text,label\n0,A,b\n", [2], [["0", "A", "b"]]),
        ("text;label\nA, b;c\n", [2], [["A, b", "c"]]),
        ("text\tlabel\nA; b\tc\n", [2], [["A; b", "c"]]),
        ('\ntext|label\n"A|\nb"|c\n', [3], [["A|\nb", "c"]]),
        ("a;text,label;b\n1,x\n", [2], [["1", "x"]]),
        ("text\nA; b | c\n  \nB\n", [2, 4], [["A; b | c"], ["B"]]),
        ('text,label\n"C:\\",x\n', [2], [["C:\\", "x"]]),
        ("text,label\n,\n", [2], [["", ""]]),
        ("text,label\n", [], []),
        ("", [], []),
    ],
)
def test_what_is_certain_is_read(tmp_path: Path, content: str, lines: list[int], rows: list[list[str]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = table(tmp_path, content)
    assert (found.lines, found.rows) == (lines, rows)


def test_lines_inside_a_quote_that_look_like_rows_are_said(tmp_path: Path) -> None:
    rows = "".join(f"Row {i},x\n" for i in range(3))
    for content in (f'text,label\n"Open,x\n{rows}A board of 5",y\n', f'label,text\nx,"Open\n{rows}x,A board of 5"\n'):
        with pytest.warns(UserWarning, match="in 1 text lines look like rows of the table, first from line 2 on"):
            assert len(table(tmp_path, content).rows) == 1


def test_long_cells_are_read_and_the_limit_of_the_csv_module_is_as_it_was(tmp_path: Path) -> None:
    before, long = csv.field_size_limit(), "word, " * 60_000
    threads = [threading.Thread(target=lambda: found.append(table_of(tmp_path, long)), name=str(i)) for i in range(4)]
    found: list[list[list[str]]] = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[long, "book"]]] * 4 and csv.field_size_limit() == before


def table_of(folder: Path, text: str) -> list[list[str]]:
    path = folder / f"{threading.current_thread().name}.csv"
    path.write_text(f'text,label\n"{text}",book\n')
    return read(path).rows


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_header_of_a_second_file_is_no_row(tmp_path: Path, mark: str) -> None:
    with pytest.raises(ValueError, match=r"line 3 is the header .* once more: remove it"):
        table(tmp_path, f"text,label\nOne.,a\n{mark}text,label\nTwo.,b\n")
    assert table(tmp_path, "text\ntext\n").rows == [["text"]]  # a list of words may hold this one


def test_a_column_that_is_named_tells_what_separates_fields(tmp_path: Path) -> None:
    assert table(tmp_path, "body;topic\nA, b;c\n", Columns("body")).rows == [["A, b", "c"]]
    assert table(tmp_path, "body;topic\nA\n", Columns("body;topic")).rows == [["A"]]
    assert table(tmp_path, "text;a,text\nx;A,b\n", Columns("a,text")).rows == [["x", "A,b"]]
