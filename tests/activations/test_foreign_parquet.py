"""Columns of Parquet files: lists, one column per feature, facts beside them, row group by row group."""

from __future__ import annotations

import numpy as np
import pytest
from foreign_cases import N_ROWS, VALUES, write_parquet

from mfa_sklearn import open_activations
from mfa_sklearn.activations._foreign import parquet as parquet_module

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def test_only_row_groups_that_are_asked_for_are_decoded(tmp_path, monkeypatch):
    write_parquet(tmp_path / "x.parquet", VALUES, group=4)
    rows = open_activations(tmp_path / "x.parquet")
    decoded, whole = [], parquet_module.ParquetColumn._decoded
    monkeypatch.setattr(
        parquet_module.ParquetColumn, "_decoded", lambda self, n: (decoded.append(n), whole(self, n))[1]
    )
    np.testing.assert_array_equal(rows[5:7], VALUES[5:7])
    np.testing.assert_array_equal(rows[6:9], VALUES[6:9])
    np.testing.assert_array_equal(rows[[29, 8]], VALUES[[29, 8]])
    assert decoded == [1, 2, 7] or decoded == [1, 2, 2, 7]


def test_features_are_the_columns_of_floating_point_numbers(tmp_path):
    write_parquet(tmp_path / "x.parquet", VALUES, features=True, id=range(N_ROWS), label=["a", "b"] * 15)
    rows = open_activations(tmp_path)
    np.testing.assert_array_equal(np.asarray(rows), VALUES)
    assert set(rows.rows) == {"labels"}
    chosen = open_activations(tmp_path, activations=["f3", "f0"])
    np.testing.assert_array_equal(chosen[:], VALUES[:, [3, 0]])


def test_lists_of_no_fixed_length(tmp_path):
    pq.write_table(pa.table({"embedding": VALUES.tolist(), "label": [None, "x"] * 15}), tmp_path / "x.parquet")
    rows = open_activations(tmp_path)
    np.testing.assert_allclose(np.asarray(rows), VALUES, rtol=1e-7)
    assert rows[:3].labels.tolist() == [None, "x", None]
    uneven = [*VALUES.tolist()[:20], [1.0, 2.0], *VALUES.tolist()[21:]]
    pq.write_table(pa.table({"embedding": uneven}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet' cannot be read .*lists of other lengths than 5"):
        open_activations(tmp_path)[:]


def test_rows_without_numbers_are_told(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0, 2.0], None, [3.0, 4.0]]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet' .*'embedding' has rows without numbers"):
        open_activations(tmp_path)[:]


def test_without_pyarrow_it_is_told_how_to_get_it(tmp_path, monkeypatch):
    write_parquet(tmp_path / "x.parquet", VALUES)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'mfa-sklearn\[parquet\]'"):
        open_activations(tmp_path)
