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


def test_of_many_files_one_row_group_is_kept(tmp_path):
    for number in range(5):
        write_parquet(tmp_path / f"{number}.parquet", VALUES + number, group=10, label=["a", "b"] * 15)
    rows = open_activations(tmp_path)
    read = [rows[start : start + 7] for start in range(0, len(rows), 7)]
    np.testing.assert_array_equal(np.concatenate(read), np.concatenate([VALUES + number for number in range(5)]))
    for columns in (rows._values.columns, rows._facts["labels"].columns):
        assert [column._last is None for column in columns] == [True] * 4 + [False]
    rows[[0, 140, 40]]
    assert [column._last is None for column in rows._values.columns] == [True] * 4 + [False]


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
    with pytest.raises(ValueError, match=r"x.parquet', 'embedding' has 147 numbers in 30 rows"):
        open_activations(tmp_path)[:]


def test_rows_without_numbers_are_told(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0, 2.0], None, [3.0, 4.0]]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet', 'embedding' has 5 numbers in 3 rows"):
        open_activations(tmp_path)[:]


def test_without_pyarrow_it_is_told_how_to_get_it(tmp_path, monkeypatch):
    write_parquet(tmp_path / "x.parquet", VALUES)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'mfa-sklearn\[parquet\]'"):
        open_activations(tmp_path)


def test_features_are_read_by_their_names_whatever_their_order(tmp_path):
    write_parquet(tmp_path / "a.parquet", VALUES, features=True)
    table = pq.read_table(tmp_path / "a.parquet")
    pq.write_table(table.select(table.column_names[::-1]), tmp_path / "b.parquet")
    np.testing.assert_array_equal(open_activations(tmp_path)[:], np.concatenate([VALUES, VALUES]))
    pq.write_table(table.rename_columns([f"g{name}" for name in table.column_names]), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b.parquet' and .*a.parquet' have other columns of numbers"):
        open_activations(tmp_path)


@pytest.mark.parametrize("odd", [[None], [[1.0, 2.0]]])
def test_rows_of_unequal_length_are_told_when_a_file_is_opened(tmp_path, odd):
    pq.write_table(pa.table({"x": [[1.0, 2.0, 3.0]] * 4 + odd}), tmp_path / "x.parquet", row_group_size=3)
    with pytest.raises(ValueError, match=r"x.parquet', 'x' has . numbers in 2 rows from row 3 on"):
        open_activations(tmp_path)


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("columns", [{"a": [1, None, 3], "b": [1, 2, 3]}, {"x": [[1, 2], [3, None], [5, 6]]}])
def test_whole_numbers_that_are_missing_are_told(tmp_path, columns, statistics):
    table, path = pa.table(columns), tmp_path / "x.parquet"
    pq.write_table(table, path, write_statistics=statistics)
    with pytest.raises(ValueError, match=r"x.parquet'.*has rows without a number, and whole numbers have no NaN"):
        open_activations(path, activations=list(columns))[:]
    if statistics:
        with pytest.raises(ValueError, match=r"x.parquet'.*has rows without a number"):
            open_activations(path, activations=list(columns))
    kind = pa.float32() if "a" in columns else pa.list_(pa.float32())
    pq.write_table(pa.table({name: table[name].cast(kind) for name in columns}), path)
    assert np.isnan(open_activations(path, activations=list(columns))[:]).sum() == 1


def test_lengths_that_even_out_are_told_when_they_are_read(tmp_path):
    pq.write_table(pa.table({"x": [[1.0, 2.0]] * 4 + [[1.0], [1.0, 2.0, 3.0]]}), tmp_path / "x.parquet")
    rows = open_activations(tmp_path)
    with pytest.raises(ValueError, match="no list of 2 numbers in row 4"):
        rows[:]


def test_facts_that_are_missing_or_cannot_be_read(tmp_path):
    pq.write_table(pa.table({"x": [[1.0, 2.0]] * 2, "token_id": [3, None]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="'token_id' has rows without a number"):
        open_activations(tmp_path)
    pq.write_table(pa.table({"x": [[1.0, 2.0]] * 2, "label": [{"a": 1}] * 2}), tmp_path / "x.parquet")
    with pytest.warns(UserWarning, match="'label' is left out: it holds struct"):
        assert open_activations(tmp_path)[:].labels is None
