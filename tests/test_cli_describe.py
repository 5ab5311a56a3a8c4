"""A line for each component on any terminal, all that is known of some, and a table of all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from cli_cases import read_csv
from interpret_fixtures import mixture
from tiny_stores import token_rows, written

from mfa_sklearn import MFA, ActivationStore, describe_components
from mfa_sklearn._cli_describe import blocks, columns_of, cut, in_order, lines
from mfa_sklearn.cli import main

TABLE = pd.DataFrame(
    {
        "component": [0, 1],
        "tokens": [" cat · \x1b[2J · 日本日本日本", "dog"],
        "size": [1200, 7],
        "weight": [0.25, 0.004],
        "concepts": ["pets 100%", None],
        "typical": [[3, 1], [2]],
        "spread": [1.23456, float("nan")],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("describe")
    written(path / "x", token_rows, [7])
    rows = ActivationStore(path / "x").load()
    MFA(4, 2, init=mixture(5.0).means_, max_iter=2, tol=0).fit(rows).save_pretrained(path / "mfa")
    return path


def test_lines() -> None:
    head, first, second = lines(TABLE).split("\n")
    assert head.split() == ["component", "size", "weight", "concepts", "tokens"]
    assert first.split()[:4] == ["0", "1,200", "25.0%", "pets"] and "\\x1b[2J" in first and "\x1b" not in first
    assert second.split() == ["1", "7", "0.4%", "dog"]
    assert head.index("tokens") == first.index(" cat") == second.index("dog")


@pytest.mark.parametrize("width", [40, 57, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for text in (lines(TABLE, width), blocks(TABLE, width)):
        assert max(columns_of(line) for line in text.split("\n")) <= width
        assert all(line.isprintable() for line in text.split("\n"))


def test_blocks_hold_all_that_is_known() -> None:
    first, second = blocks(TABLE, 60).split("\n\n")
    assert first.startswith("component 0: 1,200 rows, weight 0.25, spread 1.23\n") and "typical   rows 3, 1" in first
    assert second.split("\n") == ["component 1: 7 rows, weight 0.004", "  tokens    dog", "  typical   rows 2"]
    long = blocks(TABLE.assign(tokens="a word " * 30), 50).split("\n")
    assert long[2].startswith(" " * 12 + "word") or long[2].startswith(" " * 12 + "a word")
    assert "".join(long).count("word") == 60


def test_texts_are_cut_by_what_they_take_on_a_screen() -> None:
    assert cut("日本日本", 6) == "日本…" and cut("abc", None) == cut("abc", 3) == "abc"
    assert columns_of("e\u0301日") == 3


def test_order() -> None:
    table = TABLE.set_index("component")
    assert in_order(table, "spread").index.tolist() == [0, 1]
    assert in_order(table, "weight", 1).index.tolist() == [0]
    assert in_order(table, None, None, [1, 0, 1]).index.tolist() == [1, 0]
    with pytest.raises(ValueError, match="--sort tokens: give one of the columns of numbers, size, weight, spread"):
        in_order(table, "tokens")


def test_describe(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    command = ["describe", str(folder / "mfa"), str(folder / "x")]
    assert main([*command, "--sort", "size", "--top", "3"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4 and max(map(columns_of, printed)) <= 50
    sizes = [int(line.split()[1].replace(",", "")) for line in printed[1:]]
    assert sizes == sorted(sizes, reverse=True)
    assert main([*command, "--component", "2", "0"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("component 2: ") < printed.index("component 0: ") and "component 1: " not in printed
    assert main([*command, "-o", str(tmp_path / "all.csv")]) == 0
    rows = ActivationStore(folder / "x").load()
    expected = describe_components(MFA.from_pretrained(folder / "mfa"), rows)
    written_rows = read_csv(tmp_path / "all.csv")
    assert list(written_rows[0]) == ["component", *expected.columns]
    assert [int(row["size"]) for row in written_rows] == expected["size"].tolist()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--component", "9"], "component=9 is out of range"),
        (["--top", "0"], "--top=0 must be at least 1"),
        (["--sort", "x"], "give one of the columns of numbers"),
        (["-o", "t.txt"], "must end in .csv"),
    ],
)
def test_mistakes(folder: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(folder / "mfa"), str(folder / "x"), *more]) == 2
    assert says in capsys.readouterr().err
