"""What is read lazily is what plain indexing gives, and nothing else is read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from row_cases import BAD_KEYS, KEYS, KINDS, N_ROWS, NUMBERS, WORDS, NotedRows, tables

from mfa_sklearn._base.annotated import AnnotatedArray, is_row_source
from mfa_sklearn._base.lazy_rows import dtype_of, fact_names, in_order, parts_of, read_facts, read_values, row_index


@pytest.mark.parametrize("kind", KEYS)
def test_rows_and_facts_are_those_of_plain_indexing(kind):
    key = KEYS[kind]
    rows = NotedRows(NUMBERS, word=WORDS)
    found = rows[key]
    assert isinstance(found, AnnotatedArray) and found.shared == {"origin": "noted"}
    np.testing.assert_array_equal(np.asarray(found), NUMBERS[key])
    np.testing.assert_array_equal(found.rows["word"], WORDS[key[0] if isinstance(key, tuple) else key])


def test_one_row_is_plain():
    rows = NotedRows(NUMBERS, word=WORDS)
    for number in (4, -1, np.int64(0)):
        np.testing.assert_array_equal(rows[number], NUMBERS[number])
        assert type(rows[number]) is np.ndarray


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_keys_that_select_no_rows(kind):
    key, match = BAD_KEYS[kind]
    with pytest.raises(IndexError, match=match):
        NotedRows(NUMBERS)[key]


def test_all_of_it_as_an_array():
    rows = NotedRows(NUMBERS, word=WORDS)
    assert is_row_source(rows) and rows.ndim == 2 and len(rows) == N_ROWS
    np.testing.assert_array_equal(np.asarray(rows), NUMBERS)
    assert np.asarray(rows, dtype=np.float64).dtype == np.float64
    assert {name for name, _ in rows.read} == {"values"}
    with pytest.raises(ValueError, match="so an array of it is a copy"):
        np.asarray(rows, copy=False)
    assert repr(rows) == "NotedRows(shape=(23, 3), dtype=float32)"


def test_facts_are_read_one_by_one_and_once():
    rows = NotedRows(NUMBERS, word=WORDS, other=WORDS)
    assert list(rows.rows) == ["word", "other"] and len(rows.rows) == 2 and "third" not in rows.rows
    assert repr(rows.rows) == "facts of 23 rows: word, other"
    assert rows.read == []
    for _ in range(2):
        np.testing.assert_array_equal(rows.rows["word"], WORDS)
    assert rows.read == [("word", N_ROWS)]
    with pytest.raises(KeyError, match="third"):
        rows.rows["third"]


@pytest.mark.parametrize("kind", KINDS)
def test_any_table_is_read_by_runs_and_numbers(kind, tmp_path):
    table = tables(NUMBERS, tmp_path)[kind]
    assert dtype_of(table) == np.float32
    for index in (slice(0, N_ROWS), slice(4, 9), slice(5, 5), np.array([2, 7]), np.array([9, 1, 1, 22])):
        found = read_values(table, index)
        np.testing.assert_array_equal(found, NUMBERS[index])
        assert type(found) is np.ndarray
    assert fact_names(table) == (("word",) if kind in ("annotated", "lazy") else ())
    facts = read_facts(table, np.array([3, 1]), fact_names(table))
    assert {name: fact.tolist() for name, fact in facts.items()} in ({}, {"word": ["word3", "word1"]})


def test_bfloat16_is_read_as_single_precision():
    table = torch.from_numpy(NUMBERS).to(torch.bfloat16)
    assert dtype_of(table) == np.float32
    np.testing.assert_array_equal(read_values(table, slice(1, 3)), NUMBERS[1:3])


def test_a_run_stays_a_run():
    assert row_index(slice(None), 5) == slice(0, 5)
    assert row_index(slice(-2, 99), 5) == slice(3, 5)
    assert row_index(slice(4, 1), 5) == slice(4, 4)
    np.testing.assert_array_equal(row_index(slice(None, None, -2), 5), [4, 2, 0])


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("lengths", [[23], [0, 9, 0, 0, 14, 0], [1] * 23])
def test_parts_put_together_are_the_whole(lengths, kind):
    """Also with parts without rows, which none of the rows lie in."""
    key = KEYS[kind][0] if isinstance(KEYS[kind], tuple) else KEYS[kind]
    key = slice(None) if key is ... else key
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pieces = [NUMBERS[start:stop] for start, stop in pairwise(offsets)]
    index = row_index(key, N_ROWS)
    found = np.full(NUMBERS[index].shape, np.nan)
    parts = list(parts_of(offsets, index))
    for number, where, local in parts:
        found[where] = pieces[number][local]
        assert lengths[number]
    np.testing.assert_array_equal(found, NUMBERS[key])
    assert len({number for number, _, _ in parts}) == len(parts)


def test_runs_within_parts_are_found_in_lists_of_numbers():
    (first, second) = parts_of(np.array([0, 10, 20]), np.array([3, 4, 5, 12, 14]))
    assert first[2] == slice(3, 6)
    np.testing.assert_array_equal(second[2], [2, 4])


def test_facts_of_parts_keep_their_order_and_types():
    words, numbers = np.array(["a", "bbb"]), np.array([1, 2])
    joined = in_order([words, np.array(["cc"])], [np.array([2, 0]), np.array([1])])
    assert joined.tolist() == ["bbb", "cc", "a"] and joined.dtype.kind == "U"
    assert in_order([words, numbers], [slice(0, 2), slice(2, 4)]).tolist() == ["a", "bbb", 1, 2]
    assert in_order([numbers, np.array([0.5])], [slice(0, 2), slice(2, 3)]).dtype == np.float64
