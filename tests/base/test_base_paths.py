"""A path where rows are expected is opened by what the package has set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfa_sklearn._base import paths
from mfa_sklearn._base.annotated import given_rows


def test_paths_are_opened_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_readers", [])
    paths.open_paths_with(lambda path: np.full((2, 2), len(str(path))))
    for path in ("abc", Path("abc"), np.str_("abc")):
        assert given_rows(path)[0, 0] == 3
    rows = [["abc"]]
    assert given_rows(rows) is rows


def test_the_package_opens_them() -> None:
    with pytest.raises(ValueError, match="there is no 'nowhere'"):
        paths.opened("nowhere")
