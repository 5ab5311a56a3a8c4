"""Files that are replaced as a whole or not at all, and paths that can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfa_sklearn._base.files import check_writable, replacing


def test_replacing_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_check_writable(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "a.CSV", (".csv",)) == tmp_path / "a.CSV"
    with pytest.raises(ValueError, match="it is a folder"):
        check_writable(tmp_path)
