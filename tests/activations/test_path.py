"""Rows at a path: folders of stores, tables in files, and what is neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_stores import token_rows, two_layers, written

from mfa_sklearn.activations._path import rows_at
from mfa_sklearn.activations._store import StoredActivations


def test_a_folder_is_its_only_layer_or_the_one_named(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one", token_rows, [7]), written(tmp_path / "two", two_layers, [2, 7])
    for found, expected in ((rows_at(str(tmp_path / "one")), one[7]), (rows_at(tmp_path / "two", 2), two[2])):
        assert isinstance(found, StoredActivations) and found.source == expected.source
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    with pytest.raises(ValueError, match=r"has the layers \[2, 7\]: name one"):
        rows_at(tmp_path / "two")
    with pytest.raises(ValueError, match=r"layer 3 is not in this store, which has \[7\]"):
        rows_at(tmp_path / "one", 3)


def test_a_table_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "table.npy", np.eye(3))
    assert isinstance(rows_at(tmp_path / "table.npy"), np.memmap)
    with pytest.raises(ValueError, match=r"table.npy' is one table, which has no layers: leave layer=3 out"):
        rows_at(tmp_path / "table.npy", 3)


BAD = [
    ("nowhere", None, "there is no '.*nowhere': give a folder that `extract` wrote"),
    ("x.csv", b"a,b", r"cannot read .*x.csv.: give a folder .* or its rows, as pandas.read_csv\(.*x.csv.\) gives them"),
    ("x.dat", b"a,b", "cannot read .*x.dat.: give a folder .* that end in .npy, .safetensors, .pt, .pth, .parquet$"),
    ("x.npy", b"a,b", "x.npy' cannot be read"),
    ("x.npy", b"", "x.npy' cannot be read"),
]


@pytest.mark.parametrize(("name", "content", "match"), BAD)
def test_paths_to_nothing_that_has_rows(tmp_path: Path, name: str, content: bytes | None, match: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=match):
        rows_at(tmp_path / name)


def test_objects_in_a_table_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects.npy' cannot be read"):
        rows_at(tmp_path / "objects.npy")
