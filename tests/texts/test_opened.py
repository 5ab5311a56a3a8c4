"""Files of text are read alike, compressed or not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mfa_sklearn._texts.opened import is_compressed, opened, suffix_of


@pytest.mark.parametrize(
    ("name", "suffix", "compressed"),
    [("a.csv", ".csv", False), ("a.JSONL.GZ", ".jsonl", True), ("a.gz", "", True), ("a.b.txt", ".txt", False)],
)
def test_the_suffix_before_the_compression(name: str, suffix: str, compressed: bool) -> None:
    assert suffix_of(Path(name)) == suffix and is_compressed(Path(name)) == compressed


def test_a_mark_at_the_beginning_and_line_ends(tmp_path: Path) -> None:
    content = "\ufeffOne.\r\nTwo.".encode()
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    for name in ("a.txt", "a.txt.gz"):
        with opened(tmp_path / name) as file:
            assert file.read() == "One.\nTwo."
        with opened(tmp_path / name, newline="") as file:
            assert file.read() == "One.\r\nTwo."
